"""Charging profiles as messages: OCPP 1.6 and 2.x read into what a station holds, and 2.x written back for reports."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.demo.profiles_held import CHARGE_POINT_MAX, HeldProfile, Limit, Unit

RECURRENCE = {"Daily": timedelta(days=1), "Weekly": timedelta(weeks=1)}
STATION_MAX = "ChargingStationMaxProfile"  # 2.x for 1.6's ChargePointMaxProfile
PHASE_LIMITS = ("limit", "limit_L2", "limit_L3")

Json = dict[str, Any]


def read_profile_16(connector_id: int, message: Mapping[str, Any]) -> HeldProfile:
    """A `csChargingProfiles`."""
    return _read(connector_id, message, message["chargingSchedule"], message["chargingProfileId"], received_at=None)


def read_profile_2x(evse_id: int, message: Mapping[str, Any], received_at: datetime) -> HeldProfile:
    """A `chargingProfile`; of several schedules to choose from, a simulated station takes the first."""
    return _read(evse_id, message, message["chargingSchedule"][0], message["id"], received_at=received_at)


def _read(
    connector_id: int,
    message: Mapping[str, Any],
    schedule: Mapping[str, Any],
    profile_id: int,
    *,
    received_at: datetime | None,
) -> HeldProfile:
    kind = message["chargingProfileKind"]
    starts_with_transaction = kind == "Relative" or "startSchedule" not in schedule
    start = None if starts_with_transaction else moment_of(schedule["startSchedule"])
    max_offline_s = message.get("maxOfflineDuration")
    return HeldProfile(
        profile_id=profile_id,
        connector_id=connector_id,
        stack_level=message["stackLevel"],
        purpose=_purpose_16(message["chargingProfilePurpose"]),
        start=received_at if kind == "Dynamic" else start,
        periods=tuple(
            (int(period["startPeriod"]), limit_of(period, schedule["chargingRateUnit"]))
            for period in schedule["chargingSchedulePeriod"]
        ),
        duration_s=schedule.get("duration"),
        recurrence=RECURRENCE.get(message.get("recurrencyKind", "Daily")) if kind == "Recurring" else None,
        valid_from=moment_of(message["validFrom"]) if "validFrom" in message else None,
        valid_to=moment_of(message["validTo"]) if "validTo" in message else None,
        transaction_id=message.get("transactionId"),
        not_before=received_at,
        max_offline=None if max_offline_s is None else timedelta(seconds=max_offline_s),
        is_dynamic=kind == "Dynamic",
    )


def profile_2x(held: HeldProfile) -> Json:
    """As ReportChargingProfiles tells it."""
    unit = held.periods[0][1].unit
    kind = "Dynamic" if held.is_dynamic else "Recurring" if held.recurrence else "Absolute"
    recurrency = next((word for word, length in RECURRENCE.items() if length == held.recurrence), None)
    schedule = {
        "id": held.profile_id,
        "startSchedule": None if held.start is None else stamp(held.start),
        "duration": held.duration_s,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [
            _without_none({"startPeriod": begin_s, "limit": limit.value, "numberPhases": limit.number_phases})
            for begin_s, limit in held.periods
        ],
    }
    return _without_none(
        {
            "id": held.profile_id,
            "stackLevel": held.stack_level,
            "chargingProfilePurpose": purpose_2x(held.purpose),
            "chargingProfileKind": kind if held.start is not None else "Relative",
            "recurrencyKind": recurrency,
            "validFrom": None if held.valid_from is None else stamp(held.valid_from),
            "validTo": None if held.valid_to is None else stamp(held.valid_to),
            "transactionId": held.transaction_id,
            "chargingSchedule": [_without_none(schedule)],
        }
    )


def purpose_2x(purpose: str) -> str:
    return STATION_MAX if purpose == CHARGE_POINT_MAX else purpose


def purpose_of_2x(purpose: str | None) -> str | None:
    return None if purpose is None else _purpose_16(purpose)


def limit_of(period: Mapping[str, Any], unit: Unit) -> Limit:
    """Limits for each phase become the least of them: a simulated socket offers the same on every phase."""
    limits = [float(period[key]) for key in PHASE_LIMITS if key in period]
    if unit == "W" and len(limits) > 1:
        return Limit(min(limits) * len(limits), unit, len(limits))
    return Limit(min(limits), unit, period.get("numberPhases"))


def moment_of(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def stamp(moment: datetime, timespec: str = "milliseconds") -> str:
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def _purpose_16(purpose: str) -> str:
    return CHARGE_POINT_MAX if purpose == STATION_MAX else purpose


def _without_none(fields: Json) -> Json:
    return {key: value for key, value in fields.items() if value is not None}
