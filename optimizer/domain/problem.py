"""One site's optimisation problem, whole."""

from dataclasses import dataclass, field
from math import inf, isfinite

from optimizer.domain.assets import Battery, DemandCharge
from optimizer.domain.grid import CONNECTION, Circuit, Connection, Evse, Reservation
from optimizer.domain.horizon import Horizon
from optimizer.domain.quantities import Series, require_at_least, require_positive, require_unique
from optimizer.domain.session import Session
from optimizer.errors import InvalidProblemError

BASE_LOAD_MARGIN = 0.2  # stands in, with a warning, where no high quantile of the base load is given


@dataclass(frozen=True, slots=True)
class Settings:
    """How to solve; nothing here changes what is allowed."""

    time_limit_s: float = 30.0
    preference_budget: float = 0.001  # share of the gross EV money that preferences may cost
    skew_s: float = 60.0  # how far charger clocks may differ; the profile compiler keeps rule 7 with it

    def __post_init__(self) -> None:
        require_positive("settings.time_limit_s", self.time_limit_s)
        require_at_least("settings.preference_budget", self.preference_budget, 0)
        require_at_least("settings.skew_s", self.skew_s, 0)


@dataclass(frozen=True, slots=True)
class Problem:
    """One site's optimisation problem: everything the answer may depend on.

    All series have `horizon.slots` values. A quantile series that is None is unknown, not 0: `safe_base_load_kw`
    and its siblings say what stands in for it.
    """

    horizon: Horizon
    connection: Connection
    circuits: tuple[Circuit, ...]
    evses: tuple[Evse, ...]
    sessions: tuple[Session, ...]
    base_load_kw: Series
    import_price_per_kwh: Series
    export_price_per_kwh: Series
    pv_kw: Series
    base_load_high_kw: Series | None = None
    base_load_low_kw: Series | None = None
    base_load_phase_share: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    pv_low_kw: Series | None = None
    pv_high_kw: Series | None = None
    pv_curtailable: bool = False
    carbon_kg_per_kwh: Series | None = None
    carbon_price_per_kg: float = 0.0
    batteries: tuple[Battery, ...] = ()
    demand_charges: tuple[DemandCharge, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    currency: str = "EUR"
    time_zone: str = "UTC"
    unmet_price_per_kwh: float | None = None  # of energy that a belief is expected to miss; beliefs need it
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        for name in _SERIES:
            self._check_series(name, getattr(self, name))
        for name in ("base_load_kw", "base_load_high_kw", "base_load_low_kw", "pv_kw", "pv_low_kw", "pv_high_kw"):
            series: Series | None = getattr(self, name)
            for slot, value in enumerate(series or ()):
                if value < 0:
                    raise InvalidProblemError(f"{name}[{slot}]", f"{value} is negative")
        require_at_least("carbon_price_per_kg", self.carbon_price_per_kg, 0)
        if abs(sum(self.base_load_phase_share) - 1) > 1e-6 or min(self.base_load_phase_share) < 0:
            raise InvalidProblemError("base_load_phase_share", f"{self.base_load_phase_share} do not add up to 1")
        require_at_least("unmet_price_per_kwh", self.unmet_price_per_kwh, 0)
        self._check_ids()
        self._check_sessions()
        self._check_shared_power()
        self._check_tree()
        for evse in self.evses:
            if evse.planned_kw is not None:
                self._check_length(f"evses[{evse.evse_id}].planned_kw", len(evse.planned_kw))
        for circuit in self.circuits:
            if circuit.power_cap_kw is not None:
                self._check_length(f"circuits[{circuit.circuit_id}].power_cap_kw", len(circuit.power_cap_kw))
        for charge in self.demand_charges:
            if self.horizon.slot_minutes > charge.interval_minutes:
                raise InvalidProblemError(
                    f"demand_charges[{charge.charge_id}].interval_minutes",
                    f"{charge.interval_minutes} is shorter than a slot of {self.horizon.slot_minutes}",
                )
            if charge.active is not None:
                self._check_length(f"demand_charges[{charge.charge_id}].active", len(charge.active))

    def _check_series(self, name: str, series: Series | None) -> None:
        if series is None:
            return
        self._check_length(name, len(series))
        for slot, value in enumerate(series):
            if not isfinite(value):
                raise InvalidProblemError(f"{name}[{slot}]", f"{value} is not a finite number")

    def _check_length(self, name: str, length: int) -> None:
        if length != self.horizon.slots:
            raise InvalidProblemError(name, f"has {length} values, the horizon has {self.horizon.slots} slots")

    def _check_ids(self) -> None:
        require_unique("circuits", (circuit.circuit_id for circuit in self.circuits))
        require_unique("evses", (evse.evse_id for evse in self.evses))
        require_unique("sessions", (session.session_id for session in self.sessions))
        require_unique("batteries", (battery.battery_id for battery in self.batteries))
        require_unique("demand_charges", (charge.charge_id for charge in self.demand_charges))
        circuits = {circuit.circuit_id for circuit in self.circuits} | {CONNECTION}
        evses = {evse.evse_id for evse in self.evses}
        if CONNECTION in {circuit.circuit_id for circuit in self.circuits}:
            raise InvalidProblemError("circuits[connection]", "is the name of the connection itself")
        for evse in self.evses:
            if evse.circuit_id not in circuits:
                raise InvalidProblemError(f"evses[{evse.evse_id}].circuit", f"{evse.circuit_id!r} does not exist")
        for session in self.sessions:
            if session.evse_id not in evses:
                raise InvalidProblemError(f"sessions[{session.session_id}].evse", f"{session.evse_id!r} does not exist")
        for battery in self.batteries:
            if battery.circuit_id is not None and battery.circuit_id not in circuits:
                raise InvalidProblemError(
                    f"batteries[{battery.battery_id}].circuit", f"{battery.circuit_id!r} does not exist"
                )
        for reservation in self.reservations:
            if reservation.evse_id is not None and reservation.evse_id not in evses:
                raise InvalidProblemError("reservations[].evse", f"{reservation.evse_id!r} does not exist")
            if reservation.circuit_id is not None and reservation.circuit_id not in circuits:
                raise InvalidProblemError("reservations[].circuit", f"{reservation.circuit_id!r} does not exist")

    def _check_sessions(self) -> None:
        evses = {evse.evse_id: evse for evse in self.evses}
        for session in self.sessions:
            where = f"sessions[{session.session_id}]"
            if session.scenarios and self.unmet_price_per_kwh is None:
                raise InvalidProblemError("unmet_price_per_kwh", f"is missing: {where} has scenarios, which need it")
            room_kwh = room_in_vehicle_kwh(session, evses[session.evse_id])
            if session.required_energy_kwh > room_kwh * (1 + 1e-6) + 1e-6:
                raise InvalidProblemError(
                    f"{where}.required_energy_kwh",
                    f"{session.required_energy_kwh} is more than the {room_kwh:.3f} kWh that fit into the vehicle",
                )

    def _check_shared_power(self) -> None:
        groups: dict[str, float] = {}
        for evse in self.evses:
            if (shared := evse.shared_power) is not None and (
                groups.setdefault(shared.group, shared.max_current_a) != shared.max_current_a
            ):
                raise InvalidProblemError(
                    f"evses[{evse.evse_id}].shared_power.max_current_a",
                    f"{shared.max_current_a} differs from {groups[shared.group]} of the same group {shared.group!r}",
                )

    def _check_tree(self) -> None:
        parents = {circuit.circuit_id: circuit.parent for circuit in self.circuits}
        for circuit_id, parent in parents.items():
            if parent is not None and parent != CONNECTION and parent not in parents:
                raise InvalidProblemError(f"circuits[{circuit_id}].parent", f"{parent!r} does not exist")
        for circuit_id in parents:
            seen: set[str] = set()
            above: str | None = circuit_id
            while above is not None and above != CONNECTION:
                if above in seen:
                    raise InvalidProblemError(f"circuits[{circuit_id}].parent", f"{above!r} closes a loop")
                seen.add(above)
                above = parents[above]

    @property
    def safe_base_load_kw(self) -> Series:
        """What import-side safety rows count: the high quantile, or expected plus `BASE_LOAD_MARGIN`."""
        if self.base_load_high_kw is not None:
            return tuple(map(max, self.base_load_high_kw, self.base_load_kw))
        return tuple(value * (1 + BASE_LOAD_MARGIN) for value in self.base_load_kw)

    @property
    def low_base_load_kw(self) -> Series:
        """What export-side safety rows count: the low quantile, or expected less `BASE_LOAD_MARGIN`."""
        if self.base_load_low_kw is not None:
            return tuple(map(min, self.base_load_low_kw, self.base_load_kw))
        return tuple(value * (1 - BASE_LOAD_MARGIN) for value in self.base_load_kw)

    @property
    def high_pv_kw(self) -> Series:
        """What export-side safety rows count."""
        return self.pv_kw if self.pv_high_kw is None else tuple(map(max, self.pv_high_kw, self.pv_kw))

    def evse(self, evse_id: str) -> Evse:
        return next(evse for evse in self.evses if evse.evse_id == evse_id)

    def ancestors(self, circuit_id: str | None) -> tuple[str, ...]:
        """The circuit itself and every circuit above it, without the connection. Root last."""
        parents = {circuit.circuit_id: circuit.parent for circuit in self.circuits}
        path = []
        while circuit_id is not None and circuit_id != CONNECTION:
            path.append(circuit_id)
            circuit_id = parents[circuit_id]
        return tuple(path)


def room_in_vehicle_kwh(session: Session, evse: Evse) -> float:
    """kWh at the EVSE's meter that fill the vehicle's battery; infinite where its state of charge is unknown."""
    if session.soc is None or session.capacity_kwh is None:
        return inf
    return (1 - session.soc) * session.capacity_kwh / evse.efficiency


_SERIES = (
    "base_load_kw",
    "base_load_high_kw",
    "base_load_low_kw",
    "pv_kw",
    "pv_low_kw",
    "pv_high_kw",
    "import_price_per_kwh",
    "export_price_per_kwh",
    "carbon_kg_per_kwh",
)
