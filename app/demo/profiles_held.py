"""The charging profiles that a simulated station holds, by the rules of OCPP 1.6 (edition 2, section 3.13).

Written from the specification and on purpose apart from `app.csms`: two readings of the same rules find each
other's mistakes. Currents are A per phase; a limit in W is the sum of all phases.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

CHARGE_POINT_MAX = "ChargePointMaxProfile"
TX_DEFAULT = "TxDefaultProfile"
TX = "TxProfile"
PURPOSES = (CHARGE_POINT_MAX, TX_DEFAULT, TX)
RECURRENCE = {"Daily": timedelta(days=1), "Weekly": timedelta(weeks=1)}
PHASES_ASSUMED = 3  # section 7.14: where a number of phases is needed and none is given

Unit = Literal["A", "W"]


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
    """One installed profile. `start` None: its schedule starts with the transaction."""

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
    transaction_id: int | None = None

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
    """The profiles of one station. All moments are the station's own clock, aware UTC."""

    def __init__(self, capability: Capability) -> None:
        self.capability = capability
        self._profiles: tuple[HeldProfile, ...] = ()

    def __iter__(self) -> Iterator[HeldProfile]:
        return iter(self._profiles)

    def install(self, profile: HeldProfile, running_transaction: int | None) -> bool:
        """Hold `profile`, in place of one with its id or its purpose, stack level and connector; False: declined."""
        if self._reason_to_decline(profile, running_transaction) is not None:
            return False
        self._profiles = (*(held for held in self._profiles if not _replaces(profile, held)), profile)
        return True

    def _reason_to_decline(self, profile: HeldProfile, running_transaction: int | None) -> str | None:
        starts = [begin_s for begin_s, _ in profile.periods]
        others = [held for held in self._profiles if not _replaces(profile, held)]
        reasons = {
            "too many periods": len(starts) > self.capability.max_periods,
            "no period at its start": not starts or starts[0] != 0,
            "periods out of order": any(late <= early for early, late in pairwise(starts)),
            "unit": any(limit.unit not in self.capability.units for _, limit in profile.periods),
            "negative limit": any(limit.value < 0 for _, limit in profile.periods),
            "purpose": profile.purpose not in PURPOSES,
            "stack level": not 0 <= profile.stack_level <= self.capability.max_stack_level,
            "station limit on a connector": profile.purpose == CHARGE_POINT_MAX and profile.connector_id != 0,
            "too many profiles": len(others) >= self.capability.max_profiles,
            "no such transaction": profile.purpose == TX
            and (
                profile.connector_id == 0
                or running_transaction is None
                or profile.transaction_id not in (None, running_transaction)
            ),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def clear(
        self,
        *,
        profile_id: int | None = None,
        connector_id: int | None = None,
        purpose: str | None = None,
        stack_level: int | None = None,
    ) -> bool:
        """Drop what matches every given field; with an id, all others are ignored (errata 3.25). False: none did."""
        wanted = {"connector_id": connector_id, "purpose": purpose, "stack_level": stack_level}
        if profile_id is not None:
            wanted = {"profile_id": profile_id}
        kept = tuple(
            held
            for held in self._profiles
            if any(value is not None and getattr(held, name) != value for name, value in wanted.items())
        )
        found = len(kept) < len(self._profiles)
        self._profiles = kept
        return found

    def end_transaction(self, connector_id: int) -> None:
        """A TxProfile ends with its transaction."""
        self.clear(connector_id=connector_id, purpose=TX)

    def limit_at(self, connector_id: int, moment: datetime, transaction_start: datetime | None) -> Limit | None:
        """TxProfile, where none speaks TxDefaultProfile; None: nothing limits this connector."""
        return self._prevailing(TX, (connector_id,), moment, transaction_start) or self._prevailing(
            TX_DEFAULT, (0, connector_id), moment, transaction_start
        )

    def station_limit_at(self, moment: datetime) -> Limit | None:
        """ChargePointMaxProfile: for the sum of all connectors."""
        return self._prevailing(CHARGE_POINT_MAX, (0,), moment, None)

    def boundaries(
        self, connector_id: int, begin: datetime, end: datetime, transaction_start: datetime | None
    ) -> list[datetime]:
        """`begin` and every moment before `end` at which the connector's limit may change, in order."""
        moments = {
            moment
            for held in self._profiles
            if held.connector_id in (0, connector_id)
            for moment in held.boundaries(begin, end, transaction_start)
            if begin < moment < end
        }
        return [begin, *sorted(moments)]

    def _prevailing(
        self, purpose: str, connectors: tuple[int, ...], moment: datetime, transaction_start: datetime | None
    ) -> Limit | None:
        """The highest stack level that says something now; on a tie the connector's own overrules the station's."""
        for held in sorted(self._profiles, key=lambda held: (held.stack_level, held.connector_id), reverse=True):
            if held.purpose == purpose and held.connector_id in connectors:
                limit = held.limit_at(moment, transaction_start)
                if limit is not None:
                    return limit
        return None


def read_profile(connector_id: int, message: Mapping[str, Any]) -> HeldProfile:
    """A `csChargingProfiles` as the `ocpp` package hands it over: snake_case keys, checked by its schema."""
    schedule = message["charging_schedule"]
    starts_with_transaction = message["charging_profile_kind"] == "Relative" or "start_schedule" not in schedule
    return HeldProfile(
        profile_id=message["charging_profile_id"],
        connector_id=connector_id,
        stack_level=message["stack_level"],
        purpose=message["charging_profile_purpose"],
        start=None if starts_with_transaction else _moment(schedule["start_schedule"]),
        periods=tuple(
            (int(period["start_period"]), _limit(period, schedule["charging_rate_unit"]))
            for period in schedule["charging_schedule_period"]
        ),
        duration_s=schedule.get("duration"),
        recurrence=RECURRENCE.get(message.get("recurrency_kind", "Daily"))
        if message["charging_profile_kind"] == "Recurring"
        else None,
        valid_from=_moment(message["valid_from"]) if "valid_from" in message else None,
        valid_to=_moment(message["valid_to"]) if "valid_to" in message else None,
        transaction_id=message.get("transaction_id"),
    )


def _replaces(new: HeldProfile, held: HeldProfile) -> bool:
    return new.profile_id == held.profile_id or (
        (new.purpose, new.stack_level, new.connector_id) == (held.purpose, held.stack_level, held.connector_id)
    )


def _limit(period: Mapping[str, Any], unit: Unit) -> Limit:
    return Limit(float(period["limit"]), unit, period.get("number_phases"))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
