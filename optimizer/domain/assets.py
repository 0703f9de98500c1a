"""What else is at the site or in its contract: stationary batteries and demand charges."""

from dataclasses import dataclass

from optimizer.domain.quantities import require_at_least
from optimizer.errors import InvalidProblemError


@dataclass(frozen=True, slots=True)
class Battery:
    """A stationary battery on the AC side. `final_energy_kwh` None: it ends with at least what it starts with.

    One that is not controllable is a forecast and no variable: it must not be in the problem at all, its power
    belongs into the base load. `wear_price_per_kwh` is paid per kWh charged.
    """

    battery_id: str
    capacity_kwh: float
    energy_kwh: float
    max_charge_kw: float
    max_discharge_kw: float
    min_energy_kwh: float = 0.0
    final_energy_kwh: float | None = None
    charge_efficiency: float = 1.0
    discharge_efficiency: float = 1.0
    wear_price_per_kwh: float = 0.0
    circuit_id: str | None = None  # None: on the connection
    controllable: bool = True

    def __post_init__(self) -> None:
        where = f"batteries[{self.battery_id}]"
        for name in ("capacity_kwh", "energy_kwh", "max_charge_kw", "max_discharge_kw", "min_energy_kwh"):
            require_at_least(f"{where}.{name}", getattr(self, name), 0)
        require_at_least(f"{where}.wear_price_per_kwh", self.wear_price_per_kwh, 0)
        for name in ("charge_efficiency", "discharge_efficiency"):
            if not 0 < getattr(self, name) <= 1:
                raise InvalidProblemError(f"{where}.{name}", f"{getattr(self, name)} is not within (0, 1]")
        for name in ("energy_kwh", "min_energy_kwh", "final_energy_kwh"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= self.capacity_kwh:
                raise InvalidProblemError(f"{where}.{name}", f"{value} is not within 0 and capacity_kwh")

    @property
    def final_floor_kwh(self) -> float:
        return self.energy_kwh if self.final_energy_kwh is None else self.final_energy_kwh


@dataclass(frozen=True, slots=True)
class DemandCharge:
    """Money per kW of the highest mean import of a clock-aligned interval; only what exceeds the known peak costs.

    `active` says slot by slot where it applies; None is everywhere. The interval is aligned to the local clock of
    the problem's time zone. `interval_energy_so_far_kwh` is what the interval that is running at `Horizon.now` has
    already imported.
    """

    charge_id: str
    price_per_kw: float
    interval_minutes: int = 15
    active: tuple[bool, ...] | None = None
    peak_so_far_kw: float = 0.0
    expected_peak_kw: float = 0.0
    interval_energy_so_far_kwh: float = 0.0
    ratchet_kw: float = 0.0  # billed in any case, e.g. a share of last year's peak

    def __post_init__(self) -> None:
        where = f"demand_charges[{self.charge_id}]"
        for name in ("price_per_kw", "peak_so_far_kw", "expected_peak_kw", "interval_energy_so_far_kwh", "ratchet_kw"):
            require_at_least(f"{where}.{name}", getattr(self, name), 0)
        if self.interval_minutes not in (15, 30, 60):
            raise InvalidProblemError(f"{where}.interval_minutes", f"{self.interval_minutes} is none of 15, 30, 60")

    @property
    def free_peak_kw(self) -> float:
        """The peak up to which import costs nothing more."""
        return max(self.peak_so_far_kw, self.expected_peak_kw, self.ratchet_kw)
