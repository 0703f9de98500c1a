"""The contract between the planner and whatever speaks to the charging stations.

The gateway is its first implementation; someone else's CSMS over HTTP is another. Types here are version-neutral
and pure; a station is named by its OCPP identity, an EVSE by its number (1.6: connectorId; 0 is the whole station).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol


class Purpose(StrEnum):
    """1.6 spelling; 2.x says ChargingStationMaxProfile for the first, and knows the last three, which 1.6 does not."""

    STATION_MAX = "ChargePointMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"
    EXTERNAL = "ChargingStationExternalConstraints"  # set at the station's place, never by a CSMS
    PRIORITY = "PriorityCharging"  # 2.1
    LOCAL_GENERATION = "LocalGeneration"  # 2.1


PURPOSES_OF_1_6 = frozenset({Purpose.STATION_MAX, Purpose.TX_DEFAULT, Purpose.TX})


class RateUnit(StrEnum):
    """A is per phase; W is the sum of all phases."""

    A = "A"
    W = "W"


class Kind(StrEnum):
    """What a profile's periods count from: `start`, the recurrence's beginning, or the start of charging."""

    ABSOLUTE = "Absolute"
    RECURRING = "Recurring"
    RELATIVE = "Relative"


class Recurrency(StrEnum):
    DAILY = "Daily"
    WEEKLY = "Weekly"


class PauseMethod(StrEnum):
    """How a station is brought to draw nothing for a while."""

    ZERO = "zero"  # a limit of 0
    MINIMUM = "minimum"  # not at all: it rejects 0, or draws on, and goes no lower than its minimum limit
    REMOTE_STOP = "remote_stop"  # the transaction is stopped, and started again
    AVAILABILITY = "availability"  # ChangeAvailability to Inoperative and back


OcppVersion = Literal["1.6", "2.0.1", "2.1"]


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_s` seconds after the schedule's start until the next period, `limit` in the schedule's unit."""

    start_s: int
    limit: float
    number_phases: int | None = None


@dataclass(frozen=True, slots=True)
class ChargingProfile:
    """One charging profile with one schedule. `duration_s` None: its last period holds on.

    `start` is aware UTC. A Recurring profile begins again a day or a week after it; for a Relative one, which names
    no start, it is the moment since when it counts: start of charging, or receipt.
    """

    profile_id: int
    stack_level: int
    purpose: Purpose
    unit: RateUnit
    start: datetime
    periods: tuple[Period, ...]
    duration_s: int | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    transaction_id: int | None = None
    kind: Kind = Kind.ABSOLUTE
    recurrency: Recurrency | None = None  # of a Recurring one


@dataclass(frozen=True, slots=True)
class CompositeSchedule:
    """What a station says it will do, from `start` for `duration_s`."""

    start: datetime
    duration_s: int
    unit: RateUnit
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class Passport:
    """What a station accepts: read from its configuration keys or variables, then corrected by what is known of it.

    The defaults are what 1.6 obliges a station to. `max_stack_level` is the highest value, so 0 is a single level
    ("only stack level 0"). `min_limit_a` is the least limit other than 0 that it takes, A per phase: less is written
    as a pause. `decimals` are those of a limit, 0 or 1. `phases_switchable`: it charges on as many phases as a period
    says, and moves between them.
    """

    units: frozenset[RateUnit] = frozenset({RateUnit.A})
    max_periods: int = 1
    max_stack_level: int = 0
    max_profiles: int = 1
    smart_charging: bool = True
    known: bool = False  # False: never read, the defaults are a guess on the safe side
    raw: dict[str, str] = field(default_factory=dict)  # the keys as the station sent them
    version: OcppVersion = "1.6"
    kinds: frozenset[Kind] = frozenset({Kind.ABSOLUTE})  # those that it executes, not those that it names
    purposes: frozenset[Purpose] = PURPOSES_OF_1_6
    decimals: int = 1
    min_limit_a: float = 0.0
    pause: PauseMethod = PauseMethod.ZERO
    honest_readback: bool = True  # False: what it reports of its schedules proves nothing
    needs_remote_start: bool = False  # it heeds profiles only in a transaction that was started remotely
    phases_switchable: bool = False


class CsmsConnector(Protocol):
    """Deliver a command, or say which of four things went wrong.

    Every method raises `StationOfflineError`, `CallFailedError` (the station answered with an error) or
    `OutcomeUnknownError` (no answer in time: the caller assumes the worse and reads back).
    """

    def connected(self) -> frozenset[str]: ...

    async def set_charging_profile(self, station_id: str, evse_id: int, profile: ChargingProfile) -> None:
        """Deliver `profile`; raises `ProfileRejectedError` when the station declines."""
        ...

    async def clear_charging_profile(
        self,
        station_id: str,
        *,
        profile_id: int | None = None,
        evse_id: int | None = None,
        purpose: Purpose | None = None,
        stack_level: int | None = None,
    ) -> bool:
        """Remove profiles that match; False when the station knew none (which is as good)."""
        ...

    async def composite_schedule(
        self, station_id: str, evse_id: int, duration_s: int, unit: RateUnit | None = None
    ) -> CompositeSchedule:
        """Read back what the station will do; raises `ProfileRejectedError` when it declines to say."""
        ...

    async def passport(self, station_id: str) -> Passport:
        """What the station accepts; read from it once per boot, then remembered."""
        ...

    async def get_configuration(self, station_id: str, keys: tuple[str, ...] = ()) -> dict[str, str | None]: ...

    async def change_configuration(self, station_id: str, key: str, value: str) -> str: ...

    async def remote_start(
        self, station_id: str, evse_id: int, id_tag: str, profile: ChargingProfile | None = None
    ) -> str: ...

    async def remote_stop(self, station_id: str, transaction_id: int) -> str: ...

    async def change_availability(self, station_id: str, evse_id: int, *, is_operative: bool) -> str: ...

    async def trigger(self, station_id: str, message: str, evse_id: int | None = None) -> str: ...
