"""Charging profiles as OCPP 1.6 writes them, and composite schedules as stations do."""

import math
from datetime import datetime
from itertools import pairwise
from typing import Any

from app.csms.connector import (
    PURPOSES_OF_1_6,
    ChargingProfile,
    CompositeSchedule,
    Kind,
    Period,
    Purpose,
    RateUnit,
)
from app.csms.frames import Json
from app.csms.lenient import quote, read_count, read_number
from app.csms.timestamps import iso_utc, read_timestamp
from app.errors import InvalidInputError


class UnreadableScheduleError(ValueError):
    """A station's schedule that says nothing we could rely on."""


def profile_json(profile: ChargingProfile, *, with_transaction: bool = True) -> Json:
    """The csChargingProfiles of SetChargingProfile. Limits are floored to a tenth, what 1.6 allows.

    `with_transaction=False` leaves the transaction out: RemoteStartTransaction forbids it, there is none yet.
    Raises `InvalidInputError` for limits and starts that no station may be sent.
    """
    periods = [_period_json(position, period) for position, period in enumerate(profile.periods)]
    starts = [period.start_s for period in profile.periods]
    if not starts or starts[0] != 0 or any(later <= earlier for earlier, later in pairwise(starts)):
        raise InvalidInputError("profile.periods", f"start at {starts}: the first must be 0, each later than the last")
    if profile.purpose not in PURPOSES_OF_1_6:
        raise InvalidInputError("profile.purpose", f"{profile.purpose} is none of 1.6")
    if (profile.kind is Kind.RECURRING) != (profile.recurrency is not None):
        raise InvalidInputError(
            "profile.recurrency", f"{profile.recurrency} does not fit a profile that is {profile.kind}"
        )
    if profile.stack_level < 0:
        raise InvalidInputError("profile.stack_level", f"{profile.stack_level} is below 0")
    if profile.purpose is Purpose.TX and with_transaction and profile.transaction_id is None:
        raise InvalidInputError("profile.transaction_id", "a TxProfile needs its transaction")
    return _without_none(
        {
            "chargingProfileId": profile.profile_id,
            "transactionId": profile.transaction_id if with_transaction else None,
            "stackLevel": profile.stack_level,
            "chargingProfilePurpose": profile.purpose.value,
            "chargingProfileKind": profile.kind.value,
            "recurrencyKind": None if profile.recurrency is None else profile.recurrency.value,
            "validFrom": iso_utc(profile.valid_from) if profile.valid_from else None,
            "validTo": iso_utc(profile.valid_to) if profile.valid_to else None,
            "chargingSchedule": _without_none(
                {
                    "duration": profile.duration_s,
                    "startSchedule": None if profile.kind is Kind.RELATIVE else iso_utc(profile.start),
                    "chargingRateUnit": profile.unit.value,
                    "chargingSchedulePeriod": periods,
                }
            ),
        }
    )


def floor_to_tenth(limit: float) -> float:
    """The largest multiple of 0.1 not above `limit`; what differs from one by rounding noise alone is that one."""
    return math.floor(round(limit * 10, 6)) / 10


def read_composite(
    payload: Json, *, asked: RateUnit | None, duration_s: int, received_at: datetime
) -> CompositeSchedule:
    """The schedule of an accepted GetCompositeSchedule.conf: extra digits, fractions and a missing unit forgiven.

    Raises `UnreadableScheduleError` when it is missing, empty, or holds a limit that is no number or below 0: a
    schedule that is half guessed would prove nothing.
    """
    schedule = payload.get("chargingSchedule")
    if not isinstance(schedule, dict):
        raise UnreadableScheduleError("accepted, but without a schedule")
    periods = schedule.get("chargingSchedulePeriod")
    if not isinstance(periods, list) or not periods:
        raise UnreadableScheduleError("accepted, but without a period")
    unit_text = str(schedule.get("chargingRateUnit") or (asked or RateUnit.A).value).strip().upper()
    if unit_text not in {"A", "W"}:
        raise UnreadableScheduleError(f"accepted, but in the unit {quote(unit_text)}")
    start = read_timestamp(schedule.get("startSchedule"))[0] or read_timestamp(payload.get("scheduleStart"))[0]
    duration = read_count(schedule.get("duration"))
    return CompositeSchedule(
        start=start or received_at,
        duration_s=duration_s if duration is None else duration,
        unit=RateUnit(unit_text),
        periods=tuple(sorted((_read_period(period) for period in periods), key=lambda period: period.start_s)),
    )


def _period_json(position: int, period: Period) -> Json:
    if not math.isfinite(period.limit) or period.limit < 0:
        raise InvalidInputError(f"profile.periods[{position}].limit", f"{period.limit} is no limit")
    return _without_none(
        {
            "startPeriod": period.start_s,
            "limit": floor_to_tenth(period.limit),
            "numberPhases": period.number_phases,
        }
    )


def _read_period(period: Any) -> Period:
    if not isinstance(period, dict):
        raise UnreadableScheduleError(f"accepted, but with the period {quote(period)}")
    start, limit = read_number(period.get("startPeriod")), read_number(period.get("limit"))
    if start is None or limit is None or start < 0 or limit < 0:
        said = f"startPeriod {quote(period.get('startPeriod'))}, limit {quote(period.get('limit'))}"
        raise UnreadableScheduleError(f"accepted, but with {said}")
    return Period(start_s=int(start), limit=limit, number_phases=read_count(period.get("numberPhases")))


def _without_none(fields: Json) -> Json:
    return {key: value for key, value in fields.items() if value is not None}
