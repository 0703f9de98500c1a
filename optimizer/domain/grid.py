"""The wires: the grid connection, the circuits below it, the EVSEs, and the current that is spoken for."""

from dataclasses import dataclass
from math import isfinite

from optimizer.domain.quantities import PHASES, Phase, PhaseCurrents, Series, require_at_least, require_positive
from optimizer.errors import InvalidProblemError

CONNECTION = "connection"  # the name of the root of the circuit tree in violations and shadow prices


@dataclass(frozen=True, slots=True)
class Connection:
    """The grid connection: the root of the circuit tree. None is unlimited."""

    max_import_kw: float | None = None
    max_export_kw: float | None = None
    max_current_a: float | None = None  # per phase
    voltage_v: float = 230.0  # line to neutral
    max_base_load_kw: float | None = None  # the plan does not use it: the certificate of fail-safe limits does

    def __post_init__(self) -> None:
        for name in ("max_import_kw", "max_export_kw", "max_current_a", "max_base_load_kw"):
            require_at_least(f"connection.{name}", getattr(self, name), 0)
        require_positive("connection.voltage_v", self.voltage_v)


@dataclass(frozen=True, slots=True)
class Circuit:
    """A fuse or feeder below the connection. `parent` None hangs on the connection itself.

    `power_cap_kw` is a limit that changes with time, one value a slot, of what may be drawn: that of a grid operator.
    Beside `max_power_kw` the lower one counts; what is fed has none but `max_power_kw`.
    """

    circuit_id: str
    parent: str | None = None
    max_power_kw: float | None = None
    max_current_a: float | None = None  # per phase
    base_load_a: PhaseCurrents = (0.0, 0.0, 0.0)  # what else always draws here, beside the EVSEs
    power_cap_kw: Series | None = None

    def __post_init__(self) -> None:
        require_at_least(f"circuits[{self.circuit_id}].max_power_kw", self.max_power_kw, 0)
        require_at_least(f"circuits[{self.circuit_id}].max_current_a", self.max_current_a, 0)
        for phase, current_a in zip(PHASES, self.base_load_a, strict=True):
            require_at_least(f"circuits[{self.circuit_id}].base_load_a.{phase}", current_a, 0)
        for slot, power_kw in enumerate(self.power_cap_kw or ()):
            require_at_least(f"circuits[{self.circuit_id}].power_cap_kw[{slot}]", power_kw, 0)


@dataclass(frozen=True, slots=True)
class SharedPower:
    """EVSEs of one station that share its supply: those of one `group` draw at most `max_current_a` per phase."""

    group: str
    max_current_a: float


@dataclass(frozen=True, slots=True)
class InForce:
    """The limit that an EVSE was last given, per phase. One that is not verified may still be drawn."""

    limit_a: float
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Evse:
    """Charges one vehicle at a time. AC with `max_current_a` per phase, or DC with `max_power_kw` alone.

    `phases` maps the EVSE's own first, second and third phase to the site's (its rotation): a one-phase vehicle at
    an EVSE wired ``("L2", "L3", "L1")`` loads L2. A DC EVSE draws evenly from its phases.

    `efficiency` is what reaches the vehicle's battery of a kWh at the EVSE's meter. Power and energy are those of the
    meter everywhere; efficiency matters where a state of charge is turned into energy, and to what a vehicle gives.
    While `in_force` is not verified, the first slot plans no more than its limit, and safety counts all of it there.
    `planned_kw` is the plan in force, one value a slot of the horizon, from the vehicle below 0: among plans that cost
    about the same the closest to it is chosen. None: nothing is planned yet, or not for who is there now.
    """

    evse_id: str
    circuit_id: str
    phases: tuple[Phase, ...] = PHASES
    max_current_a: float | None = None
    max_power_kw: float | None = None
    min_current_a: float = 6.0  # IEC 61851-1: an AC vehicle is not asked for less, but for 0
    current_step_a: float = 0.1
    efficiency: float = 1.0
    shared_power: SharedPower | None = None
    in_force: InForce | None = None
    planned_kw: Series | None = None

    def __post_init__(self) -> None:
        where = f"evses[{self.evse_id}]"
        if self.max_current_a is None and self.max_power_kw is None:
            raise InvalidProblemError(where, "has neither max_current_a nor max_power_kw")
        require_at_least(f"{where}.max_current_a", self.max_current_a, 0)
        require_at_least(f"{where}.max_power_kw", self.max_power_kw, 0)
        require_at_least(f"{where}.min_current_a", self.min_current_a, 0)
        require_positive(f"{where}.current_step_a", self.current_step_a)
        if not 0 < self.efficiency <= 1:
            raise InvalidProblemError(f"{where}.efficiency", f"{self.efficiency} is not within (0, 1]")
        if self.shared_power is not None:
            require_at_least(f"{where}.shared_power.max_current_a", self.shared_power.max_current_a, 0)
        if self.in_force is not None:
            require_at_least(f"{where}.in_force.limit_a", self.in_force.limit_a, 0)
        for slot, power_kw in enumerate(self.planned_kw or ()):
            if not isfinite(power_kw):
                raise InvalidProblemError(f"{where}.planned_kw[{slot}]", f"{power_kw} is not a finite number")
        if not self.phases or len(set(self.phases)) != len(self.phases) or not set(self.phases) <= set(PHASES):
            raise InvalidProblemError(f"{where}.phases", f"{list(self.phases)} are not distinct phases of {PHASES}")

    @property
    def is_dc(self) -> bool:
        return self.max_current_a is None


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
            require_at_least(f"reservations[{self.evse_id or self.circuit_id}].current_a.{phase}", current_a, 0)


def kw_per_ampere(evse: Evse, vehicle_phases: int | None, voltage_v: float) -> float:
    """AC power in kW of one ampere per phase: phases in use × line-to-neutral voltage. Unknown counts one phase."""
    phases = min(vehicle_phases or 1, len(evse.phases))
    return phases * voltage_v / 1000
