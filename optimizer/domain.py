"""The nouns of the optimisation problem: frozen, units in their names, checked on the way in.

Inside this package power is kW, energy kWh, current A per phase, time aware UTC, money the problem's currency.
A slot is half-open ``[start, end)``. A series is a tuple with exactly one value per slot of the horizon.
Power to a vehicle or a battery is positive, from it negative, on the AC side. Ids are opaque text.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Literal, get_args

from optimizer.errors import InvalidProblemError

Phase = Literal["L1", "L2", "L3"]
PHASES: tuple[Phase, ...] = get_args(Phase)
Series = tuple[float, ...]
PhaseCurrents = tuple[float, float, float]  # A on L1, L2, L3

CONNECTION = "connection"  # the name of the root of the circuit tree in violations and shadow prices
BASE_LOAD_MARGIN = 0.2  # stands in, with a warning, where no high quantile of the base load is given
SLOT_MINUTES = (5, 10, 15, 30, 60)
MAX_HORIZON = timedelta(days=7, hours=1)  # a week with the longer DST day


@dataclass(frozen=True, slots=True)
class Horizon:
    """The time grid: `slots` slots of `slot_minutes`, the first starting at `start` (aware UTC).

    Slots that end at or before `now` are over: nothing is planned in them. The slot that holds `now` counts its
    remaining length only. `now` None means `start`.
    """

    start: datetime
    slot_minutes: int
    slots: int
    now: datetime | None = None

    def __post_init__(self) -> None:
        _require_utc("start", self.start)
        if self.slot_minutes not in SLOT_MINUTES:
            raise InvalidProblemError("slot_minutes", f"{self.slot_minutes} is none of {SLOT_MINUTES}")
        if self.slots < 1:
            raise InvalidProblemError("slots", f"{self.slots} is not at least 1")
        if self.end - self.start > MAX_HORIZON:
            raise InvalidProblemError("slots", f"{self.slots} of {self.slot_minutes} minutes are more than 7 days")
        if self.now is not None:
            _require_utc("now", self.now)
            if not self.start <= self.now < self.end:
                raise InvalidProblemError("now", f"{self.now.isoformat()} is not within the horizon")

    @property
    def slot_hours(self) -> float:
        return self.slot_minutes / 60

    @property
    def end(self) -> datetime:
        return self.start + timedelta(minutes=self.slot_minutes) * self.slots

    @property
    def first_moment(self) -> datetime:
        """The moment from which power can still be chosen."""
        return self.now or self.start

    def slot_start(self, slot: int) -> datetime:
        return self.start + timedelta(minutes=self.slot_minutes) * slot


@dataclass(frozen=True, slots=True)
class Connection:
    """The grid connection: the root of the circuit tree. None is unlimited."""

    max_import_kw: float | None = None
    max_export_kw: float | None = None
    max_current_a: float | None = None  # per phase
    voltage_v: float = 230.0  # line to neutral

    def __post_init__(self) -> None:
        for name in ("max_import_kw", "max_export_kw", "max_current_a"):
            _require_at_least(f"connection.{name}", getattr(self, name), 0)
        _require_positive("connection.voltage_v", self.voltage_v)


@dataclass(frozen=True, slots=True)
class Circuit:
    """A fuse or feeder below the connection. `parent` None hangs on the connection itself."""

    circuit_id: str
    parent: str | None = None
    max_power_kw: float | None = None
    max_current_a: float | None = None  # per phase
    base_load_a: PhaseCurrents = (0.0, 0.0, 0.0)  # what else always draws here, beside the EVSEs

    def __post_init__(self) -> None:
        _require_at_least(f"circuits[{self.circuit_id}].max_power_kw", self.max_power_kw, 0)
        _require_at_least(f"circuits[{self.circuit_id}].max_current_a", self.max_current_a, 0)
        for phase, current_a in zip(PHASES, self.base_load_a, strict=True):
            _require_at_least(f"circuits[{self.circuit_id}].base_load_a.{phase}", current_a, 0)


@dataclass(frozen=True, slots=True)
class Evse:
    """Charges one vehicle at a time. AC with `max_current_a` per phase, or DC with `max_power_kw` alone.

    `phases` maps the EVSE's own first, second and third phase to the site's (its rotation): a one-phase vehicle at
    an EVSE wired ``("L2", "L3", "L1")`` loads L2. A DC EVSE draws evenly from its phases.
    """

    evse_id: str
    circuit_id: str
    phases: tuple[Phase, ...] = PHASES
    max_current_a: float | None = None
    max_power_kw: float | None = None
    min_current_a: float = 6.0  # IEC 61851-1: an AC vehicle is not asked for less, but for 0
    current_step_a: float = 0.1

    def __post_init__(self) -> None:
        where = f"evses[{self.evse_id}]"
        if self.max_current_a is None and self.max_power_kw is None:
            raise InvalidProblemError(where, "has neither max_current_a nor max_power_kw")
        _require_at_least(f"{where}.max_current_a", self.max_current_a, 0)
        _require_at_least(f"{where}.max_power_kw", self.max_power_kw, 0)
        _require_at_least(f"{where}.min_current_a", self.min_current_a, 0)
        _require_positive(f"{where}.current_step_a", self.current_step_a)
        if not self.phases or len(set(self.phases)) != len(self.phases) or not set(self.phases) <= set(PHASES):
            raise InvalidProblemError(f"{where}.phases", f"{list(self.phases)} are not distinct phases of {PHASES}")

    @property
    def is_dc(self) -> bool:
        return self.max_current_a is None


@dataclass(frozen=True, slots=True)
class Session:
    """One vehicle's stay at one EVSE, and what it needs before it leaves.

    It may draw power while present: ``arrival <= time < departure``, both aware UTC.
    `required_energy_kwh` is what is still to be delivered from `Horizon.now` on, at the EVSE's meter.
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

    def __post_init__(self) -> None:
        where = f"sessions[{self.session_id}]"
        _require_utc(f"{where}.arrival", self.arrival)
        _require_utc(f"{where}.departure", self.departure)
        if self.departure <= self.arrival:
            raise InvalidProblemError(
                f"{where}.departure",
                f"{self.departure.isoformat()} is not after the arrival {self.arrival.isoformat()}",
            )
        _require_at_least(f"{where}.required_energy_kwh", self.required_energy_kwh, 0)
        _require_at_least(f"{where}.max_power_kw", self.max_power_kw, 0)
        _require_at_least(f"{where}.min_current_a", self.min_current_a, 0)
        if self.vehicle_phases not in (None, 1, 2, 3):
            raise InvalidProblemError(f"{where}.vehicle_phases", f"{self.vehicle_phases} is none of 1, 2, 3 or null")
        if self.priority < 1:
            raise InvalidProblemError(f"{where}.priority", f"{self.priority} is not at least 1")


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
            _require_at_least(f"{where}.{name}", getattr(self, name), 0)
        _require_at_least(f"{where}.wear_price_per_kwh", self.wear_price_per_kwh, 0)
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

    def __post_init__(self) -> None:
        where = f"demand_charges[{self.charge_id}]"
        for name in ("price_per_kw", "peak_so_far_kw", "expected_peak_kw", "interval_energy_so_far_kwh"):
            _require_at_least(f"{where}.{name}", getattr(self, name), 0)
        if self.interval_minutes not in (15, 30, 60):
            raise InvalidProblemError(f"{where}.interval_minutes", f"{self.interval_minutes} is none of 15, 30, 60")

    @property
    def free_peak_kw(self) -> float:
        """The peak up to which import costs nothing more."""
        return max(self.peak_so_far_kw, self.expected_peak_kw)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Current that is spoken for in every slot: a station that is offline, unverified or disobeys.

    Exactly one of `evse_id` and `circuit_id` is set; with `circuit_id` ``"connection"`` it loads the connection.
    Never planned away.
    """

    current_a: PhaseCurrents
    evse_id: str | None = None
    circuit_id: str | None = None

    def __post_init__(self) -> None:
        if (self.evse_id is None) == (self.circuit_id is None):
            raise InvalidProblemError("reservations[]", "needs either evse or circuit")
        for phase, current_a in zip(PHASES, self.current_a, strict=True):
            _require_at_least(f"reservations[{self.evse_id or self.circuit_id}].current_a.{phase}", current_a, 0)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to solve; nothing here changes what is allowed."""

    time_limit_s: float = 30.0
    preference_budget: float = 0.001  # share of the gross EV money that preferences may cost
    skew_s: float = 60.0  # how far charger clocks may differ; the profile compiler keeps rule 7 with it

    def __post_init__(self) -> None:
        _require_positive("settings.time_limit_s", self.time_limit_s)
        _require_at_least("settings.preference_budget", self.preference_budget, 0)
        _require_at_least("settings.skew_s", self.skew_s, 0)


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
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        for name in _SERIES:
            self._check_series(name, getattr(self, name))
        for name in ("base_load_kw", "base_load_high_kw", "base_load_low_kw", "pv_kw", "pv_low_kw", "pv_high_kw"):
            series: Series | None = getattr(self, name)
            for slot, value in enumerate(series or ()):
                if value < 0:
                    raise InvalidProblemError(f"{name}[{slot}]", f"{value} is negative")
        _require_at_least("carbon_price_per_kg", self.carbon_price_per_kg, 0)
        if abs(sum(self.base_load_phase_share) - 1) > 1e-6 or min(self.base_load_phase_share) < 0:
            raise InvalidProblemError("base_load_phase_share", f"{self.base_load_phase_share} do not add up to 1")
        self._check_ids()
        self._check_tree()
        for charge in self.demand_charges:
            if self.horizon.slot_minutes > charge.interval_minutes:
                raise InvalidProblemError(
                    f"demand_charges[{charge.charge_id}].interval_minutes",
                    f"{charge.interval_minutes} is shorter than a slot of {self.horizon.slot_minutes}",
                )
            if charge.active is not None and len(charge.active) != self.horizon.slots:
                raise InvalidProblemError(
                    f"demand_charges[{charge.charge_id}].active",
                    f"has {len(charge.active)} values, the horizon has {self.horizon.slots} slots",
                )

    def _check_series(self, name: str, series: Series | None) -> None:
        if series is None:
            return
        if len(series) != self.horizon.slots:
            raise InvalidProblemError(name, f"has {len(series)} values, the horizon has {self.horizon.slots} slots")
        for slot, value in enumerate(series):
            if not isfinite(value):
                raise InvalidProblemError(f"{name}[{slot}]", f"{value} is not a finite number")

    def _check_ids(self) -> None:
        _require_unique("circuits", (circuit.circuit_id for circuit in self.circuits))
        _require_unique("evses", (evse.evse_id for evse in self.evses))
        _require_unique("sessions", (session.session_id for session in self.sessions))
        _require_unique("batteries", (battery.battery_id for battery in self.batteries))
        _require_unique("demand_charges", (charge.charge_id for charge in self.demand_charges))
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


Status = Literal["optimal", "feasible", "fallback"]


@dataclass(frozen=True, slots=True)
class Cost:
    """The site's money over the horizon, base load included. `ev` is with minus without EVs."""

    energy: float = 0.0
    demand: float = 0.0
    carbon: float = 0.0
    wear: float = 0.0
    ev: float | None = None

    @property
    def total(self) -> float:
        return self.energy + self.demand + self.carbon + self.wear


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What one session gets. `note` names an unavoidable remainder, e.g. one below the minimum current."""

    planned_energy_kwh: float
    unmet_kwh: float
    note: str | None = None


@dataclass(frozen=True, slots=True)
class BatteryResult:
    """`power_kw` positive when charging, at the AC side; `energy_kwh` at each slot's end."""

    power_kw: Series
    energy_kwh: Series


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule. `unavoidable` is present without any EV; only a caused one blocks dispatch.

    `rule` is the name of the constraint, `where` the circuit, EVSE, session or battery, `slot` None for the whole
    horizon, `excess` the amount in `unit` beyond the limit.
    """

    rule: str
    where: str
    excess: float
    unit: str
    slot: int | None = None
    phase: Phase | None = None
    unavoidable: bool = False

    def __str__(self) -> str:
        place = " ".join(filter(None, (self.where, self.phase, None if self.slot is None else f"slot {self.slot}")))
        return f"{self.rule} at {place}: {self.excess:.3f} {self.unit} too much"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What would have happened under a simpler policy, on the same needs and limits."""

    cost: Cost
    unmet_kwh: float
    peak_kw: float
    violations: tuple[Violation, ...]
    power_kw: Mapping[str, Series]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The answer: one power limit per EVSE and slot, and what follows from it.

    `power_kw` and `current_a` map EVSE id to a series; the limit holds while a vehicle is present, a slot shared by
    presence and absence still carries the full limit. `current_a` is per phase in use, None for DC. An EVSE without
    any session in the horizon has zeros. `peak_kw` maps a demand charge's id to the highest mean import of its
    intervals within the horizon or the peak so far, whichever is larger.
    """

    status: Status
    power_kw: Mapping[str, Series]
    current_a: Mapping[str, Series | None]
    sessions: Mapping[str, SessionResult]
    batteries: Mapping[str, BatteryResult]
    import_kw: Series
    export_kw: Series
    curtail_kw: Series
    peak_kw: Mapping[str, float]
    cost: Cost
    gap: float | None = None  # (cost - LP bound at equal unmet energy) / gross EV money
    reason: str | None = None  # why it is no optimum
    currency: str = "EUR"
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()
    timing_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def unmet_kwh(self) -> float:
        return sum(result.unmet_kwh for result in self.sessions.values())


def kw_per_ampere(evse: Evse, vehicle_phases: int | None, voltage_v: float) -> float:
    """AC power in kW of one ampere per phase: phases in use × line-to-neutral voltage. Unknown counts one phase."""
    phases = min(vehicle_phases or 1, len(evse.phases))
    return phases * voltage_v / 1000


def _require_utc(where: str, moment: datetime) -> None:
    if moment.tzinfo is None:
        raise InvalidProblemError(where, f"{moment.isoformat()} has no time zone")
    if moment.utcoffset() != timedelta(0):
        raise InvalidProblemError(where, f"{moment.isoformat()} is not in UTC: convert it with astimezone({UTC})")


def _require_at_least(where: str, value: float | None, least: float) -> None:
    if value is not None and not (isfinite(value) and value >= least):
        raise InvalidProblemError(where, f"{value} is not a finite number of at least {least}")


def _require_positive(where: str, value: float) -> None:
    if not (isfinite(value) and value > 0):
        raise InvalidProblemError(where, f"{value} is not a finite number above 0")


def _require_unique(where: str, ids: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise InvalidProblemError(where, f"holds {repeated[0]!r} more than once")
