"""The contract between the planner and whatever speaks to the charging stations.

The gateway is its first implementation; someone else's CSMS over HTTP is another. Types here are version-neutral
and pure; a station is named by its OCPP identity, an EVSE by its number (1.6: connectorId; 0 is the whole station).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Purpose(StrEnum):
    """1.6 spelling; 2.x says ChargingStationMaxProfile for the first."""

    STATION_MAX = "ChargePointMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"


class RateUnit(StrEnum):
    """A is per phase; W is the sum of all phases."""

    A = "A"
    W = "W"


@dataclass(frozen=True, slots=True)
class Period:
    """From `start_s` seconds after the schedule's start until the next period, `limit` in the schedule's unit."""

    start_s: int
    limit: float
    number_phases: int | None = None


@dataclass(frozen=True, slots=True)
class ChargingProfile:
    """One Absolute charging profile. `start` aware UTC; `duration_s` None: its last period holds on."""

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


@dataclass(frozen=True, slots=True)
class CompositeSchedule:
    """What a station says it will do, from `start` for `duration_s`."""

    start: datetime
    duration_s: int
    unit: RateUnit
    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class Passport:
    """What a station accepts, read from its configuration keys; the defaults are what 1.6 obliges it to."""

    units: frozenset[RateUnit] = frozenset({RateUnit.A})
    max_periods: int = 1
    max_stack_level: int = 0
    max_profiles: int = 1
    smart_charging: bool = True
    known: bool = False  # False: never read, the defaults are a guess on the safe side
    raw: dict[str, str] = field(default_factory=dict)  # the keys as the station sent them


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

    async def trigger(self, station_id: str, message: str, evse_id: int | None = None) -> str: ...
