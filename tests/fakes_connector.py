"""An in-memory `CsmsConnector`: stations that hold charging profiles by the rules of OCPP 1.6, with fault switches.

``connector = FakeConnector(clock); station = connector.add("cs01", evses=2)``, then ``station.offline = True`` or
``station.switches(1).rejects = {RateUnit.A}``. What a station truly executes is ``station.limit_a(evse_id, moment)``.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.clock import Clock
from app.csms.composite import composite
from app.csms.connector import ChargingProfile, CompositeSchedule, Passport, Period, Purpose, RateUnit
from app.errors import CallFailedError, OutcomeUnknownError, ProfileRejectedError, StationOfflineError

FULL_PASSPORT = Passport(
    units=frozenset({RateUnit.A, RateUnit.W}),
    max_periods=24,
    max_stack_level=3,
    max_profiles=10,
    known=True,
)


@dataclass
class Switches:
    """What one EVSE does wrong."""

    reject: Callable[[ChargingProfile], bool] = lambda profile: False  # answers Rejected
    call_error: bool = False  # answers with a CALLERROR
    timeout: bool = False  # never answers, and did not take it
    late: bool = False  # never answers, but took it
    ignore: bool = False  # answers Accepted, and does not take it
    silent: bool = False  # declines GetCompositeSchedule
    empty: bool = False  # reports no periods
    reports: Callable[[CompositeSchedule], CompositeSchedule] | None = None  # and lies


@dataclass
class FakeStation:
    """One charging station; EVSEs are numbered from 1, 0 is the whole of it."""

    station_id: str
    evses: int
    clock: Clock
    passport: Passport = FULL_PASSPORT
    offline: bool = False
    skew: timedelta = timedelta(0)  # how far its clock is ahead
    hardware_a: float = 32.0
    voltage_v: float = 230.0
    profiles: dict[int, list[ChargingProfile]] = field(default_factory=dict)
    transactions: dict[int, int] = field(default_factory=dict)  # EVSE -> running transaction
    sent: list[tuple[int, ChargingProfile]] = field(default_factory=list)  # every one that reached it
    inoperative: set[int] | str = field(default_factory=set)  # EVSEs; "later": only once a transaction has ended
    _switches: dict[int, Switches] = field(default_factory=dict)

    def switches(self, evse_id: int) -> Switches:
        return self._switches.setdefault(evse_id, Switches())

    def held(self, evse_id: int) -> list[ChargingProfile]:
        """An EVSE's own TxDefaultProfile of a stack level takes the place of the station's."""
        own = self.profiles.get(evse_id, [])
        levels = {profile.stack_level for profile in own if profile.purpose is Purpose.TX_DEFAULT}
        return own + [
            profile
            for profile in self.profiles.get(0, [])
            if profile.purpose is not Purpose.TX_DEFAULT or profile.stack_level not in levels
        ]

    def limit_a(self, evse_id: int, moment: datetime) -> float:
        """What it allows at `moment` of true time, by its own clock; its hardware where no profile holds."""
        moment += self.skew
        return composite(
            self._effective(evse_id),
            moment,
            moment + timedelta(seconds=1),
            voltage_v=self.voltage_v,
            phases=3,
            otherwise_a=self.hardware_a,
        ).values[0]

    def reboot(self, *, forgets: bool = False) -> None:
        if forgets:
            self.profiles.clear()

    def stop_transaction(self, evse_id: int) -> None:
        self.transactions.pop(evse_id, None)
        self.profiles[evse_id] = [held for held in self.profiles.get(evse_id, []) if held.purpose is not Purpose.TX]

    def take(self, evse_id: int, profile: ChargingProfile) -> None:
        """By the rules: the same id, or the same purpose and level, is replaced."""
        if profile.purpose is Purpose.TX and self.transactions.get(evse_id) != profile.transaction_id:
            raise ProfileRejectedError(self.station_id, "Rejected")
        if len(profile.periods) > self.passport.max_periods or profile.stack_level > self.passport.max_stack_level:
            raise ProfileRejectedError(self.station_id, "Rejected")
        if profile.unit not in self.passport.units:
            raise ProfileRejectedError(self.station_id, "Rejected")
        for number, held in self.profiles.items():
            self.profiles[number] = [one for one in held if one.profile_id != profile.profile_id]
        kept = [
            held
            for held in self.profiles.get(evse_id, [])
            if (held.purpose, held.stack_level) != (profile.purpose, profile.stack_level)
        ]
        self.profiles[evse_id] = [*kept, profile]

    def report(self, evse_id: int, duration_s: int, unit: RateUnit | None) -> CompositeSchedule:
        start = (self.clock.now() + self.skew).replace(microsecond=0)
        steps = composite(
            self._effective(evse_id),
            start,
            start + timedelta(seconds=duration_s),
            voltage_v=self.voltage_v,
            phases=3,
            otherwise_a=self.hardware_a,
        )
        factor = self.voltage_v * 3 if unit is RateUnit.W else 1.0
        periods = tuple(
            Period(round((moment - start).total_seconds()), round(value * factor, 1), 3 if unit is RateUnit.W else None)
            for moment, value in zip(steps.moments, steps.values, strict=True)
        )
        return CompositeSchedule(start, duration_s, unit or RateUnit.A, periods)

    def _effective(self, evse_id: int) -> list[ChargingProfile]:
        running = self.transactions.get(evse_id)
        return [
            profile
            for profile in self.held(evse_id)
            if profile.purpose is not Purpose.TX or profile.transaction_id == running
        ]


class FakeConnector:
    """Structurally a `CsmsConnector`. `on_message` is called after every profile that a station was sent."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.stations: dict[str, FakeStation] = {}
        self.calls: list[str] = []
        self.on_message: Callable[[], None] = lambda: None
        self.turns: Callable[[], int] = lambda: 0  # loop turns that a message takes on its way

    def add(self, station_id: str, evses: int = 1, **more: object) -> FakeStation:
        self.stations[station_id] = replace(FakeStation(station_id, evses, self.clock), **more)  # type: ignore[arg-type]  # a test's keywords
        return self.stations[station_id]

    def connected(self) -> frozenset[str]:
        return frozenset(station_id for station_id, station in self.stations.items() if not station.offline)

    async def set_charging_profile(self, station_id: str, evse_id: int, profile: ChargingProfile) -> None:
        station = await self._reach("SetChargingProfile", station_id)
        switches = station.switches(evse_id)
        station.sent.append((evse_id, profile))
        if switches.timeout:
            raise OutcomeUnknownError(station_id, "did not answer in time")
        if switches.call_error:
            raise CallFailedError(station_id, "PropertyConstraintViolation", "")
        if switches.reject(profile):
            raise ProfileRejectedError(station_id, "Rejected")
        if not switches.ignore:
            station.take(evse_id, profile)
        self.on_message()
        if switches.late:
            raise OutcomeUnknownError(station_id, "did not answer in time")

    async def clear_charging_profile(
        self,
        station_id: str,
        *,
        profile_id: int | None = None,
        evse_id: int | None = None,
        purpose: Purpose | None = None,
        stack_level: int | None = None,
    ) -> bool:
        station = await self._reach("ClearChargingProfile", station_id)
        found = False
        for number, profiles in station.profiles.items():
            kept = []
            for profile in profiles:
                matches = (
                    profile_id == profile.profile_id
                    if profile_id is not None
                    else evse_id in (None, number)
                    and purpose in (None, profile.purpose)
                    and stack_level in (None, profile.stack_level)
                )
                found = found or matches
                if not matches:
                    kept.append(profile)
            station.profiles[number] = kept
        return found

    async def composite_schedule(
        self, station_id: str, evse_id: int, duration_s: int, unit: RateUnit | None = None
    ) -> CompositeSchedule:
        station = await self._reach("GetCompositeSchedule", station_id)
        switches = station.switches(evse_id)
        if switches.timeout:
            raise OutcomeUnknownError(station_id, "did not answer in time")
        if switches.silent:
            raise ProfileRejectedError(station_id, "Rejected")
        reported = station.report(evse_id, duration_s, unit)
        if switches.empty:
            return replace(reported, periods=())
        return switches.reports(reported) if switches.reports else reported

    async def passport(self, station_id: str) -> Passport:
        return (await self._reach("GetConfiguration", station_id)).passport

    async def get_configuration(self, station_id: str, keys: tuple[str, ...] = ()) -> dict[str, str | None]:
        await self._reach("GetConfiguration", station_id)
        return dict.fromkeys(keys)

    async def change_configuration(self, station_id: str, key: str, value: str) -> str:
        await self._reach("ChangeConfiguration", station_id)
        return "NotSupported"

    async def remote_start(
        self, station_id: str, evse_id: int, id_tag: str, profile: ChargingProfile | None = None
    ) -> str:
        await self._reach("RemoteStartTransaction", station_id)
        return "Accepted"

    async def remote_stop(self, station_id: str, transaction_id: int) -> str:
        await self._reach("RemoteStopTransaction", station_id)
        return "Accepted"

    async def change_availability(self, station_id: str, evse_id: int, *, is_operative: bool) -> str:
        station = await self._reach("ChangeAvailability", station_id)
        if station.inoperative == "later" and not is_operative:
            return "Scheduled"
        if isinstance(station.inoperative, set):
            (station.inoperative.discard if is_operative else station.inoperative.add)(evse_id)
        return "Accepted"

    async def trigger(self, station_id: str, message: str, evse_id: int | None = None) -> str:
        await self._reach("TriggerMessage", station_id)
        return "Accepted"

    async def _reach(self, action: str, station_id: str) -> FakeStation:
        for _ in range(self.turns()):
            await asyncio.sleep(0)
        station = self.stations.get(station_id)
        if station is None or station.offline:
            raise StationOfflineError(station_id)
        self.calls.append(f"{action} {station_id}")
        return station
