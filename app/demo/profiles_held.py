"""The charging profiles that a simulated station holds, by the rules of OCPP 1.6 (section 3.13), 2.0.1 and 2.1 (K01).

Written from the specification and on purpose apart from `app.csms`: two readings of the same rules find each
other's mistakes. Currents are A per phase; a limit in W is the sum of all phases. Purposes have their 1.6 names.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

CHARGE_POINT_MAX = "ChargePointMaxProfile"  # 2.x: ChargingStationMaxProfile
TX_DEFAULT = "TxDefaultProfile"
TX = "TxProfile"
EXTERNAL = "ChargingStationExternalConstraints"  # 2.x: set at the station's place, never by a CSMS
PRIORITY = "PriorityCharging"  # 2.1
LOCAL_GENERATION = "LocalGeneration"  # 2.1
PURPOSES = {
    "1.6": frozenset({CHARGE_POINT_MAX, TX_DEFAULT, TX}),
    "2.0.1": frozenset({CHARGE_POINT_MAX, TX_DEFAULT, TX}),
    "2.1": frozenset({CHARGE_POINT_MAX, TX_DEFAULT, TX, PRIORITY, LOCAL_GENERATION}),
}
OF_THE_STATION = frozenset({CHARGE_POINT_MAX, EXTERNAL, LOCAL_GENERATION})
PHASES_ASSUMED = 3  # 1.6 section 7.14: where a number of phases is needed and none is given

Unit = Literal["A", "W"]
Version = Literal["1.6", "2.0.1", "2.1"]
TransactionId = int | str  # 1.6: the service's number; 2.x: the station's own name


@dataclass(frozen=True, slots=True)
class Limit:
    """A value as the profile gave it; `number_phases` None where it said nothing."""

    value: float
    unit: Unit
    number_phases: int | None = None

    def current_a(self, voltage_v: float, wired_phases: int) -> float:
        """A per phase. More phases than are wired are not counted (errata 3.34)."""
        if self.unit == "A":
            return self.value
        return self.value / (voltage_v * min(self.number_phases or PHASES_ASSUMED, wired_phases))

    def power_w(self, voltage_v: float, wired_phases: int) -> float:
        if self.unit == "W":
            return self.value
        return self.value * voltage_v * min(self.number_phases or PHASES_ASSUMED, wired_phases)


@dataclass(frozen=True, slots=True)
class HeldProfile:
    """One installed profile. `start` None: its schedule starts with the transaction.

    `not_before`: or, in 2.x, when it was received, if that was later. `max_offline`: it says nothing any more when
    the station has been offline that long.
    """

    profile_id: int
    connector_id: int
    stack_level: int
    purpose: str
    start: datetime | None
    periods: tuple[tuple[int, Limit], ...]
    duration_s: int | None = None
    recurrence: timedelta | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    transaction_id: TransactionId | None = None
    not_before: datetime | None = None
    max_offline: timedelta | None = None
    is_dynamic: bool = False

    def describe(self) -> str:
        """In one line."""
        place = "the station" if self.connector_id == 0 else f"EVSE {self.connector_id}"
        start = "its start" if self.start is None else f"{self.start:%H:%M:%S}"
        steps = ", ".join(f"+{begin_s} s {limit.value:g} {limit.unit}" for begin_s, limit in self.periods[:4])
        more = f" and {len(self.periods) - 4} more" if len(self.periods) > 4 else ""
        return f"{self.purpose} {self.profile_id} for {place}, level {self.stack_level}, from {start}: {steps}{more}"

    def limit_at(self, moment: datetime, transaction_start: datetime | None) -> Limit | None:
        """What it says at `moment`; None while it is not valid, not begun or over."""
        if (self.valid_from and moment < self.valid_from) or (self.valid_to and moment >= self.valid_to):
            return None
        start = self._begun(moment, transaction_start)
        if start is None:
            return None
        elapsed_s = (moment - start).total_seconds()
        if self.duration_s is not None and elapsed_s >= self.duration_s:
            return None
        return next(limit for begin_s, limit in reversed(self.periods) if begin_s <= elapsed_s)

    def boundaries(self, begin: datetime, end: datetime, transaction_start: datetime | None) -> Iterator[datetime]:
        """Every moment of [begin, end) at which it may change its mind, in no order."""
        yield from (moment for moment in (self.valid_from, self.valid_to) if moment is not None)
        start = self._begun(begin, transaction_start) or self.start
        while start is not None and start < end:
            yield from (start + timedelta(seconds=begin_s) for begin_s, _ in self.periods)
            if self.duration_s is not None:
                yield start + timedelta(seconds=self.duration_s)
            start = start + self.recurrence if self.recurrence else None

    def _begun(self, moment: datetime, transaction_start: datetime | None) -> datetime | None:
        start = self.start or transaction_start
        if start is not None and self.start is None and self.not_before is not None:
            start = max(start, self.not_before)
        if start is None or moment < start:
            return None
        if self.recurrence is None:
            return start
        return start + self.recurrence * ((moment - start) // self.recurrence)


@dataclass(frozen=True, slots=True)
class Capability:
    """What a station model takes: its `ChargingSchedule…` and `ChargeProfile…` configuration keys."""

    units: tuple[Unit, ...] = ("A", "W")
    max_periods: int = 24
    max_stack_level: int = 8
    max_profiles: int = 20


class ProfilesHeld:
    """The profiles of one station. All moments are the station's own clock, aware UTC.

    `offline_since` and `priority` (connectors that charge by their PriorityCharging profile) are the station's to set.
    """

    def __init__(self, capability: Capability, version: Version = "1.6") -> None:
        self.capability = capability
        self.version = version
        self.offline_since: datetime | None = None
        self.priority: set[int] = set()
        self._profiles: tuple[HeldProfile, ...] = ()

    def __iter__(self) -> Iterator[HeldProfile]:
        return iter(self._profiles)

    def install(self, profile: HeldProfile, running_transaction: TransactionId | None) -> bool:
        """Hold `profile`, in place of those that it replaces; False: declined."""
        if self.reason_to_decline(profile, running_transaction) is not None:
            return False
        self._profiles = (*(held for held in self._profiles if not self._replaces(profile, held)), profile)
        return True

    def constrain(self, profile: HeldProfile) -> None:
        """An external constraint, set at the station's place; no CSMS can set or clear it."""
        self._profiles = (*(held for held in self._profiles if held.profile_id != profile.profile_id), profile)

    def release(self) -> bool:
        """End every external constraint; False: there was none."""
        kept = tuple(held for held in self._profiles if held.purpose != EXTERNAL)
        found, self._profiles = len(kept) < len(self._profiles), kept
        return found

    def update(self, profile_id: int, limit: Limit, since: datetime) -> bool:
        """2.1's UpdateDynamicSchedule; False: there is no such Dynamic profile."""
        held = next((held for held in self._profiles if held.profile_id == profile_id and held.is_dynamic), None)
        if held is None:
            return False
        changed = replace(held, start=since, periods=((0, limit),))
        self._profiles = tuple(changed if one is held else one for one in self._profiles)
        return True

    def reason_to_decline(self, profile: HeldProfile, running_transaction: TransactionId | None) -> str | None:
        """A reasonCode in the words of 2.1's appendix; None: it can be held."""
        starts = [begin_s for begin_s, _ in profile.periods]
        others = [held for held in self._profiles if not self._replaces(profile, held) and held.purpose != EXTERNAL]
        level = profile.stack_level
        reasons = {
            "UnsupportedPurpose": profile.purpose not in PURPOSES[self.version],
            "UnsupportedRateUnit": any(limit.unit not in self.capability.units for _, limit in profile.periods),
            "InvalidStackLevel": not 0 <= level <= self.capability.max_stack_level,
            "InvalidSchedule": (
                len(starts) > self.capability.max_periods
                or not starts
                or starts[0] != 0
                or any(late <= early for early, late in pairwise(starts))
                or any(limit.value < 0 for _, limit in profile.periods)
            ),
            "InvalidProfile": profile.purpose in OF_THE_STATION and profile.connector_id != 0,
            "TxNotFound": profile.purpose == TX
            and (
                profile.connector_id == 0
                or running_transaction is None
                or profile.transaction_id not in (None, running_transaction)
            ),
            "DuplicateProfile": self.version != "1.6" and any(_conflicts(profile, held) for held in others),
            "OutOfMemory": len(others) >= self.capability.max_profiles,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _replaces(self, new: HeldProfile, held: HeldProfile) -> bool:
        """The same id always; in 1.6 also the same purpose, stack level and connector. 2.x refuses that instead."""
        if held.purpose == EXTERNAL:
            return False
        if new.profile_id == held.profile_id:
            return True
        return self.version == "1.6" and _place(new) == _place(held)

    def clear(
        self,
        *,
        profile_id: int | None = None,
        connector_id: int | None = None,
        purpose: str | None = None,
        stack_level: int | None = None,
    ) -> bool:
        """Drop what matches every given field; with an id, all others are ignored (errata 3.25). False: none did."""
        if profile_id is not None:
            connector_id = purpose = stack_level = None
        found = self.matching(
            profile_ids=None if profile_id is None else {profile_id},
            connector_id=connector_id,
            purpose=purpose,
            stack_level=stack_level,
        )
        gone = [held for held in found if held.purpose != EXTERNAL]
        self._profiles = tuple(held for held in self._profiles if held not in gone)
        return bool(gone)

    def matching(
        self,
        *,
        profile_ids: Collection[int] | None = None,
        connector_id: int | None = None,
        purpose: str | None = None,
        stack_level: int | None = None,
    ) -> list[HeldProfile]:
        """Those that have every given field."""
        return [
            held
            for held in self._profiles
            if (profile_ids is None or held.profile_id in profile_ids)
            and connector_id in (None, held.connector_id)
            and purpose in (None, held.purpose)
            and stack_level in (None, held.stack_level)
        ]

    def forget_all(self) -> None:
        self._profiles = ()

    def end_transaction(self, connector_id: int) -> None:
        """A TxProfile ends with its transaction, and so does priority charging."""
        self.clear(connector_id=connector_id, purpose=TX)
        self.priority.discard(connector_id)

    def limit_at(self, connector_id: int, moment: datetime, transaction_start: datetime | None) -> Limit | None:
        """TxProfile, where none speaks TxDefaultProfile; None: nothing limits this connector."""
        own = (0, connector_id)
        chosen = (
            self._prevailing(PRIORITY, own, moment, transaction_start) if connector_id in self.priority else None,
            self._prevailing(TX, (connector_id,), moment, transaction_start),
            self._prevailing(TX_DEFAULT, own, moment, transaction_start),
        )
        return next((limit for limit in chosen if limit is not None), None)

    def station_power_w(self, moment: datetime, voltage_v: float, phases: int) -> float | None:
        """For the sum of all connectors: the station's maximum with local generation on top, and what is external."""
        limits_w = []
        cap = self._prevailing(CHARGE_POINT_MAX, (0,), moment, None)
        if cap is not None:
            extra = self._prevailing(LOCAL_GENERATION, (0,), moment, None)
            limits_w.append(sum(limit.power_w(voltage_v, phases) for limit in (cap, extra) if limit is not None))
        external = self._prevailing(EXTERNAL, (0,), moment, None)
        if external is not None:
            limits_w.append(external.power_w(voltage_v, phases))
        return min(limits_w, default=None)

    def boundaries(
        self, connector_id: int, begin: datetime, end: datetime, transaction_start: datetime | None
    ) -> list[datetime]:
        """`begin` and every moment before `end` at which the connector's limit may change, in order."""
        moments = {
            moment
            for held in self._profiles
            if held.connector_id in (0, connector_id)
            for moment in (*held.boundaries(begin, end, transaction_start), self._offline_end(held))
            if moment is not None and begin < moment < end
        }
        return [begin, *sorted(moments)]

    def _offline_end(self, held: HeldProfile) -> datetime | None:
        if self.offline_since is None or held.max_offline is None:
            return None
        return self.offline_since + held.max_offline

    def _prevailing(
        self, purpose: str, connectors: tuple[int, ...], moment: datetime, transaction_start: datetime | None
    ) -> Limit | None:
        """The highest stack level that says something now; on a tie the connector's own overrules the station's."""
        for held in sorted(self._profiles, key=lambda held: (held.stack_level, held.connector_id), reverse=True):
            if held.purpose != purpose or held.connector_id not in connectors:
                continue
            ends = self._offline_end(held)
            limit = held.limit_at(moment, transaction_start) if ends is None or moment < ends else None
            if limit is not None:
                return limit
        return None


def _place(profile: HeldProfile) -> tuple[str, int, int]:
    return profile.purpose, profile.stack_level, profile.connector_id


def _conflicts(new: HeldProfile, held: HeldProfile) -> bool:
    """2.x: another id at the same place and time (FR.06, FR.39, and FR.52/53: EVSE 0 is every EVSE)."""
    if (new.purpose, new.stack_level) != (held.purpose, held.stack_level):
        return False
    if new.purpose == TX:
        return new.transaction_id == held.transaction_id
    same_place = new.connector_id == held.connector_id or (
        new.purpose == TX_DEFAULT and 0 in (new.connector_id, held.connector_id)
    )
    new_ends_first = new.valid_to is not None and held.valid_from is not None and new.valid_to <= held.valid_from
    held_ends_first = held.valid_to is not None and new.valid_from is not None and held.valid_to <= new.valid_from
    return same_place and not new_ends_first and not held_ends_first
