"""One vehicle's stay and need: a promise of one departure and energy, or a belief in several."""

from dataclasses import dataclass
from datetime import datetime

from optimizer.domain.quantities import require_at_least, require_positive, require_utc
from optimizer.errors import InvalidProblemError

PROBABILITY_NOISE = 1e-6


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way a stay may go: with this `probability` the vehicle leaves at `departure` and wants this much by then."""

    probability: float
    departure: datetime
    required_energy_kwh: float


@dataclass(frozen=True, slots=True)
class Taper:
    """A vehicle that is nearly full takes less: all its power up to `from_soc`, then linearly less, 0 at `zero_at_soc`.

    Its power is that of the vehicle, or where that is unknown of the EVSE. SoC is a share of `Session.capacity_kwh`.
    """

    from_soc: float
    zero_at_soc: float = 1.0


@dataclass(frozen=True, slots=True)
class VehicleToGrid:
    """The vehicle may give energy back, as long as it holds `floor_energy_kwh`. Wear is paid per kWh it gives (AC)."""

    max_discharge_kw: float
    floor_energy_kwh: float = 0.0
    wear_price_per_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class Session:
    """One vehicle's stay at one EVSE, and what it needs before it leaves.

    It may draw power while present: ``arrival <= time < departure``, both aware UTC.
    `required_energy_kwh` is what is still to be delivered from `Horizon.now` on, at the EVSE's meter.

    With `scenarios` it is a belief, not a promise: `departure` is the last of theirs, `required_energy_kwh` the
    largest, and what is expected to be missing costs `Problem.unmet_price_per_kwh`. The floor is a promise in both:
    `floor_energy_kwh` of the required energy, by `floor_by`. `probability` is that of an expected vehicle to come:
    money weighs its energy by it, safety counts it fully. Beyond its need it may take up to `max_energy_kwh` where
    that pays. `soc` (0 to 1) is the state of charge at `Horizon.now`.
    """

    session_id: str
    evse_id: str
    arrival: datetime
    departure: datetime
    required_energy_kwh: float
    max_power_kw: float | None = None  # of the vehicle; None: only the EVSE limits it
    vehicle_phases: int | None = None  # None: unknown. Safety counts every wired phase, energy counts one
    priority: int = 1  # 1 is served first
    min_current_a: float | None = None  # the vehicle's own; the larger of it and the EVSE's holds
    scenarios: tuple[Scenario, ...] = ()
    floor_energy_kwh: float = 0.0
    floor_by: datetime | None = None
    max_energy_kwh: float | None = None  # None: not more than is required
    probability: float = 1.0
    soc: float | None = None
    capacity_kwh: float | None = None
    taper: Taper | None = None
    v2g: VehicleToGrid | None = None

    def __post_init__(self) -> None:
        where = f"sessions[{self.session_id}]"
        require_utc(f"{where}.arrival", self.arrival)
        require_utc(f"{where}.departure", self.departure)
        if self.departure <= self.arrival:
            raise InvalidProblemError(
                f"{where}.departure",
                f"{self.departure.isoformat()} is not after the arrival {self.arrival.isoformat()}",
            )
        require_at_least(f"{where}.required_energy_kwh", self.required_energy_kwh, 0)
        require_at_least(f"{where}.max_power_kw", self.max_power_kw, 0)
        require_at_least(f"{where}.min_current_a", self.min_current_a, 0)
        if self.vehicle_phases not in (None, 1, 2, 3):
            raise InvalidProblemError(f"{where}.vehicle_phases", f"{self.vehicle_phases} is none of 1, 2, 3 or null")
        if self.priority < 1:
            raise InvalidProblemError(f"{where}.priority", f"{self.priority} is not at least 1")
        if not 0 < self.probability <= 1:
            raise InvalidProblemError(f"{where}.probability", f"{self.probability} is not within (0, 1]")
        require_at_least(f"{where}.max_energy_kwh", self.max_energy_kwh, self.required_energy_kwh)
        self._check_scenarios(f"{where}.scenarios")
        self._check_floor(where)
        self._check_vehicle(where)

    def _check_scenarios(self, where: str) -> None:
        if not self.scenarios:
            return
        for index, scenario in enumerate(self.scenarios):
            require_utc(f"{where}[{index}].departure", scenario.departure)
            require_at_least(f"{where}[{index}].required_energy_kwh", scenario.required_energy_kwh, 0)
            require_at_least(f"{where}[{index}].probability", scenario.probability, 0)
            if scenario.departure <= self.arrival:
                raise InvalidProblemError(
                    f"{where}[{index}].departure", f"{scenario.departure.isoformat()} is not after the arrival"
                )
        together = sum(scenario.probability for scenario in self.scenarios)
        if abs(together - 1) > PROBABILITY_NOISE:
            raise InvalidProblemError(where, f"the probabilities add up to {together}, not to 1")
        if self.departure != max(scenario.departure for scenario in self.scenarios):
            raise InvalidProblemError(where, f"the last departure is not the session's {self.departure.isoformat()}")
        if self.required_energy_kwh != max(scenario.required_energy_kwh for scenario in self.scenarios):
            raise InvalidProblemError(where, f"the largest energy is not the session's {self.required_energy_kwh}")

    def _check_floor(self, where: str) -> None:
        require_at_least(f"{where}.floor_energy_kwh", self.floor_energy_kwh, 0)
        if self.floor_energy_kwh > self.required_energy_kwh:
            raise InvalidProblemError(
                f"{where}.floor_energy_kwh", f"{self.floor_energy_kwh} is more than the required energy"
            )
        if self.floor_by is None:
            if self.floor_energy_kwh > 0:
                raise InvalidProblemError(f"{where}.floor_by", "is missing: by when is the floor owed?")
            return
        require_utc(f"{where}.floor_by", self.floor_by)
        if not self.arrival < self.floor_by <= self.departure:
            raise InvalidProblemError(f"{where}.floor_by", f"{self.floor_by.isoformat()} is not within the stay")

    def _check_vehicle(self, where: str) -> None:
        if self.soc is not None and not 0 <= self.soc <= 1:
            raise InvalidProblemError(f"{where}.soc", f"{self.soc} is not within 0 and 1")
        if self.capacity_kwh is not None:
            require_positive(f"{where}.capacity_kwh", self.capacity_kwh)
        for name, needs in (("taper", self.taper), ("v2g", self.v2g)):
            if needs is not None and (self.soc is None or self.capacity_kwh is None):
                raise InvalidProblemError(f"{where}.{name}", "needs soc and capacity_kwh")
        if self.taper is not None and not 0 <= self.taper.from_soc < self.taper.zero_at_soc <= 1:
            raise InvalidProblemError(
                f"{where}.taper", f"{self.taper.from_soc} to {self.taper.zero_at_soc} do not rise within 0 and 1"
            )
        if self.v2g is not None:
            for name in ("max_discharge_kw", "floor_energy_kwh", "wear_price_per_kwh"):
                require_at_least(f"{where}.v2g.{name}", getattr(self.v2g, name), 0)


def energy_for_soc(soc: float, target_soc: float, capacity_kwh: float, efficiency: float) -> float:
    """kWh at the EVSE's meter that bring a vehicle from `soc` to `target_soc`; losses are on its way to the battery."""
    return max(target_soc - soc, 0.0) * capacity_kwh / efficiency
