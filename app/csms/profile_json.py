"""Charging profiles as the store keeps them."""

from datetime import datetime
from typing import Any

from app.csms.connector import ChargingProfile, Kind, Period, Purpose, RateUnit, Recurrency


def profile_to_json(profile: ChargingProfile) -> dict[str, Any]:
    """As the store keeps it; absent where the profile says nothing."""
    optional = {
        "duration_s": profile.duration_s,
        "valid_from": profile.valid_from and profile.valid_from.isoformat(),
        "valid_to": profile.valid_to and profile.valid_to.isoformat(),
        "transaction_id": profile.transaction_id,
        "kind": None if profile.kind is Kind.ABSOLUTE else profile.kind.value,
        "recurrency": None if profile.recurrency is None else profile.recurrency.value,
    }
    return {
        "profile_id": profile.profile_id,
        "stack_level": profile.stack_level,
        "purpose": profile.purpose.value,
        "unit": profile.unit.value,
        "start": profile.start.isoformat(),
        "periods": [
            {"start_s": period.start_s, "limit": period.limit}
            | ({} if period.number_phases is None else {"number_phases": period.number_phases})
            for period in profile.periods
        ],
    } | {key: value for key, value in optional.items() if value is not None}


def profile_from_json(document: dict[str, Any]) -> ChargingProfile:
    """The inverse of `profile_to_json`. Raises `KeyError` and `ValueError` on anything else."""
    valid_from, valid_to = document.get("valid_from"), document.get("valid_to")
    return ChargingProfile(
        profile_id=int(document["profile_id"]),
        stack_level=int(document["stack_level"]),
        purpose=Purpose(document["purpose"]),
        unit=RateUnit(document["unit"]),
        start=datetime.fromisoformat(document["start"]),
        periods=tuple(
            Period(int(period["start_s"]), float(period["limit"]), period.get("number_phases"))
            for period in document["periods"]
        ),
        duration_s=document.get("duration_s"),
        valid_from=None if valid_from is None else datetime.fromisoformat(valid_from),
        valid_to=None if valid_to is None else datetime.fromisoformat(valid_to),
        transaction_id=document.get("transaction_id"),
        kind=Kind(document.get("kind", Kind.ABSOLUTE)),
        recurrency=None if document.get("recurrency") is None else Recurrency(document["recurrency"]),
    )
