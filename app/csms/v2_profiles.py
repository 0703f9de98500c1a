"""Charging profiles as OCPP 2.0.1 and 2.1 write them, and the schedules that stations report.

2.1's keys for single phases (`limit_L2`) are written and read as they stand: nothing here converts the case of a key.
"""

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from app.csms.connector import (
    ChargingProfile,
    CompositeSchedule,
    Kind,
    Period,
    Purpose,
    RateUnit,
    Recurrency,
)
from app.csms.frames import Json
from app.csms.lenient import read_count, read_number, read_text
from app.csms.timestamps import iso_utc, read_timestamp
from app.csms.v16_profiles import UnreadableScheduleError, floor_to_tenth, read_composite
from app.errors import InvalidInputError

_PURPOSE_WORDS = {Purpose.STATION_MAX: "ChargingStationMaxProfile"}
_PURPOSE_BY_WORD = {_PURPOSE_WORDS.get(purpose, purpose.value): purpose for purpose in Purpose}
_PHASE_LIMITS = ("limit", "limit_L2", "limit_L3")


@dataclass(frozen=True, slots=True)
class InstalledProfile:
    """A profile that a station says it holds. `transaction` is the station's own name of it.

    `profile` None: one that the compiler has no form for, e.g. a Dynamic one; `document` is as it was reported.
    """

    evse_id: int
    source: str
    transaction: str | None
    profile: ChargingProfile | None
    document: Json


def purpose_word(purpose: Purpose) -> str:
    """As 2.x spells it."""
    return _PURPOSE_WORDS.get(purpose, purpose.value)


def profile_json(profile: ChargingProfile, transaction: str | None) -> Json:
    """The chargingProfile of SetChargingProfile; `transaction` is the station's name of the TxProfile's one.

    Limits are floored to a tenth of their unit. Raises `InvalidInputError` for a limit that is none.
    """
    schedule = {
        "id": profile.profile_id,
        "startSchedule": None if profile.kind is Kind.RELATIVE else iso_utc(profile.start),
        "duration": profile.duration_s,
        "chargingRateUnit": profile.unit.value,
        "chargingSchedulePeriod": [_period_json(position, period) for position, period in enumerate(profile.periods)],
    }
    return _without_none(
        {
            "id": profile.profile_id,
            "stackLevel": profile.stack_level,
            "chargingProfilePurpose": purpose_word(profile.purpose),
            "chargingProfileKind": profile.kind.value,
            "recurrencyKind": None if profile.recurrency is None else profile.recurrency.value,
            "validFrom": iso_utc(profile.valid_from) if profile.valid_from else None,
            "validTo": iso_utc(profile.valid_to) if profile.valid_to else None,
            "transactionId": transaction,
            "chargingSchedule": [_without_none(schedule)],
        }
    )


def composite_of(reply: Json, *, asked: RateUnit | None, duration_s: int, received_at: datetime) -> CompositeSchedule:
    """The schedule of an accepted GetCompositeSchedule.

    Raises `UnreadableScheduleError` as 1.6's reader does, and where a period has no limit at all.
    """
    schedule = reply.get("schedule")
    if not isinstance(schedule, dict):
        raise UnreadableScheduleError("accepted, but without a schedule")
    periods, unit = schedule.get("chargingSchedulePeriod"), schedule.get("chargingRateUnit")
    plain = [_plain_period(period, unit) for period in periods] if isinstance(periods, list) else periods
    as_in_16 = schedule | {"startSchedule": schedule.get("scheduleStart"), "chargingSchedulePeriod": plain}
    return read_composite({"chargingSchedule": as_in_16}, asked=asked, duration_s=duration_s, received_at=received_at)


def installed_profiles(report: Json, received_at: datetime) -> list[InstalledProfile]:
    """The profiles of one ReportChargingProfiles."""
    listed = report.get("chargingProfile")
    return [
        InstalledProfile(
            evse_id=read_count(report.get("evseId")) or 0,
            source=read_text(report.get("chargingLimitSource"), 20) or "Other",
            transaction=read_text(document.get("transactionId"), 36),
            profile=_profile_of(document, received_at),
            document=document,
        )
        for document in (listed if isinstance(listed, list) else [])
        if isinstance(document, dict)
    ]


def read_periods(schedule: Json) -> list[Period]:
    """The periods of a station's chargingSchedule in order. Raises `UnreadableScheduleError`.

    A limit may be negative here: what that means is the caller's to say.
    """
    listed = schedule.get("chargingSchedulePeriod")
    if not isinstance(listed, list) or not listed:
        raise UnreadableScheduleError("a schedule without a period")
    periods = []
    for listed_period in listed:
        period = _plain_period(listed_period, schedule.get("chargingRateUnit"))
        start_s = read_number(period.get("startPeriod")) if isinstance(period, dict) else None
        limit = read_number(period.get("limit")) if isinstance(period, dict) else None
        if start_s is None or limit is None or start_s < 0:
            raise UnreadableScheduleError("a period without a start or a limit")
        periods.append(Period(int(start_s), limit, read_count(period.get("numberPhases"))))
    return sorted(periods, key=lambda period: period.start_s)


def read_unit(schedule: Json) -> RateUnit:
    """Raises `UnreadableScheduleError`: watts taken for amperes would be a hundred times too much."""
    word = str(schedule.get("chargingRateUnit")).strip().upper()
    if word not in ("A", "W"):
        raise UnreadableScheduleError("a schedule without a unit")
    return RateUnit(word)


def _profile_of(document: Json, received_at: datetime) -> ChargingProfile | None:
    schedules = document.get("chargingSchedule")
    profile_id, stack_level = read_number(document.get("id")), read_count(document.get("stackLevel"))
    purpose = _PURPOSE_BY_WORD.get(str(document.get("chargingProfilePurpose")))
    if profile_id is None or stack_level is None or purpose is None:
        return None
    if not isinstance(schedules, list) or len(schedules) != 1 or not isinstance(schedules[0], dict):
        return None
    schedule = schedules[0]
    try:
        kind = Kind(str(document.get("chargingProfileKind")))
        recurrency = document.get("recurrencyKind")
        return ChargingProfile(
            profile_id=int(profile_id),
            stack_level=stack_level,
            purpose=purpose,
            unit=read_unit(schedule),
            start=read_timestamp(schedule.get("startSchedule"))[0] or received_at,
            periods=tuple(read_periods(schedule)),
            duration_s=read_count(schedule.get("duration")),
            valid_from=read_timestamp(document.get("validFrom"))[0],
            valid_to=read_timestamp(document.get("validTo"))[0],
            kind=kind,
            recurrency=None if recurrency is None else Recurrency(str(recurrency)),
        )
    except ValueError:  # also a schedule that cannot be read, and a kind of 2.1 that the compiler does not know
        return None


def _period_json(position: int, period: Period) -> Json:
    if not isfinite(period.limit) or period.limit < 0:
        raise InvalidInputError(f"profile.periods[{position}].limit", f"{period.limit} is no limit")
    return _without_none(
        {
            "startPeriod": period.start_s,
            "limit": floor_to_tenth(period.limit),
            "numberPhases": period.number_phases,
        }
    )


def _plain_period(period: Any, unit: Any) -> Any:
    """With one limit in place of one for each phase: the highest current, or the sum of the powers."""
    if not isinstance(period, dict) or ("limit_L2" not in period and "limit_L3" not in period):
        return period
    limits = [read_number(period[key]) for key in _PHASE_LIMITS if key in period]
    known = [limit for limit in limits if limit is not None]
    if len(known) < len(limits):
        return period | {"limit": None}
    return period | {"limit": sum(known) if str(unit).strip().upper() == "W" else max(known)}


def _without_none(fields: Json) -> Json:
    return {key: value for key, value in fields.items() if value is not None}
