"""A station's passport, from its 1.6 configuration keys, and as JSON in the store."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.csms.connector import Passport, RateUnit
from app.csms.lenient import read_count
from app.csms.timestamps import iso_utc, read_timestamp

MAX_STACK_LEVEL = "ChargeProfileMaxStackLevel"
RATE_UNIT = "ChargingScheduleAllowedChargingRateUnit"
MAX_PERIODS = "ChargingScheduleMaxPeriods"
MAX_PROFILES = "MaxChargingProfilesInstalled"
FEATURES = "SupportedFeatureProfiles"
SAMPLE_INTERVAL = "MeterValueSampleInterval"
PASSPORT_KEYS = (MAX_STACK_LEVEL, RATE_UNIT, MAX_PERIODS, MAX_PROFILES, FEATURES, SAMPLE_INTERVAL)

# 1.6 says Current and Power; the field says the rest.
_UNIT_WORDS = {
    "current": RateUnit.A,
    "a": RateUnit.A,
    "amp": RateUnit.A,
    "amps": RateUnit.A,
    "power": RateUnit.W,
    "w": RateUnit.W,
    "watt": RateUnit.W,
    "watts": RateUnit.W,
}


def passport_of(configuration: Mapping[str, str | None]) -> Passport:
    """The passport that the station's answer amounts to; a key it left out or garbled keeps the safe default."""
    raw = {key: value for key in PASSPORT_KEYS if (value := configuration.get(key)) is not None}
    safe = Passport()
    features = {word.lower() for word in _words(raw.get(FEATURES, ""))}
    return Passport(
        units=frozenset(
            _UNIT_WORDS[word.lower()] for word in _words(raw.get(RATE_UNIT, "")) if word.lower() in _UNIT_WORDS
        )
        or safe.units,
        max_periods=max(1, _count(raw, MAX_PERIODS, safe.max_periods)),
        max_stack_level=_count(raw, MAX_STACK_LEVEL, safe.max_stack_level),
        max_profiles=max(1, _count(raw, MAX_PROFILES, safe.max_profiles)),
        # The list is often wrong; the stack level key exists only where the profile is supported.
        smart_charging=not features or "smartcharging" in features or MAX_STACK_LEVEL in raw,
        known=True,
        raw=raw,
    )


def passport_json(passport: Passport, read_at: datetime) -> dict[str, Any]:
    """For the store; `read_at` (aware) tells later whether the station has booted since."""
    return {
        "units": sorted(unit.value for unit in passport.units),
        "max_periods": passport.max_periods,
        "max_stack_level": passport.max_stack_level,
        "max_profiles": passport.max_profiles,
        "smart_charging": passport.smart_charging,
        "raw": passport.raw,
        "read_at": iso_utc(read_at),
    }


def stored_passport(stored: Mapping[str, Any], booted_at: datetime | None) -> Passport | None:
    """The passport that `passport_json` made, unless it is older than the last boot."""
    read_at, _ = read_timestamp(stored.get("read_at"))
    if read_at is None or (booted_at is not None and read_at < booted_at):
        return None
    try:
        return Passport(
            units=frozenset(RateUnit(unit) for unit in stored["units"]),
            max_periods=stored["max_periods"],
            max_stack_level=stored["max_stack_level"],
            max_profiles=stored["max_profiles"],
            smart_charging=stored["smart_charging"],
            known=True,
            raw=dict(stored["raw"]),
        )
    except (KeyError, TypeError, ValueError):  # written by another version: read it again
        return None


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+", text)


def _count(raw: Mapping[str, str], key: str, default: int) -> int:
    count = read_count(raw.get(key, "").strip("\"' "))
    return default if count is None else count
