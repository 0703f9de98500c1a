"""A station's passport, from its 1.6 configuration keys, and as JSON in the store."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.csms.connector import Kind, Passport, PauseMethod, Purpose, RateUnit
from app.csms.lenient import read_count
from app.csms.timestamps import iso_utc, read_timestamp
from app.db.store import Store

MAX_STACK_LEVEL = "ChargeProfileMaxStackLevel"
RATE_UNIT = "ChargingScheduleAllowedChargingRateUnit"
MAX_PERIODS = "ChargingScheduleMaxPeriods"
MAX_PROFILES = "MaxChargingProfilesInstalled"
FEATURES = "SupportedFeatureProfiles"
SAMPLE_INTERVAL = "MeterValueSampleInterval"
PASSPORT_KEYS = (MAX_STACK_LEVEL, RATE_UNIT, MAX_PERIODS, MAX_PROFILES, FEATURES, SAMPLE_INTERVAL)

# The keys of 1.6 and the variables of 2.x from which a field of the passport is read.
SAID_BY = {
    "units": (RATE_UNIT, "SmartChargingCtrlr.RateUnit"),
    "max_periods": (MAX_PERIODS, "SmartChargingCtrlr.PeriodsPerSchedule"),
    "max_stack_level": (MAX_STACK_LEVEL, "SmartChargingCtrlr.ProfileStackLevel"),
    "max_profiles": (MAX_PROFILES, "SmartChargingCtrlr.Entries[ChargingProfiles]"),
    "smart_charging": (FEATURES, "SmartChargingCtrlr.Enabled", "SmartChargingCtrlr.Available"),
    "purposes": ("SmartChargingCtrlr.SupportedAdditionalPurposes",),
    "phases_switchable": ("SmartChargingCtrlr.ACPhaseSwitchingSupported", "SmartChargingCtrlr.Phases3to1"),
}

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


def passport_json(passport: Passport, read_at: datetime, firmware: str | None = None) -> dict[str, Any]:
    """For the store; `read_at` (aware) and `firmware` tell later whether the station may have changed since."""
    return {
        "units": sorted(unit.value for unit in passport.units),
        "max_periods": passport.max_periods,
        "max_stack_level": passport.max_stack_level,
        "max_profiles": passport.max_profiles,
        "smart_charging": passport.smart_charging,
        "version": passport.version,
        "kinds": sorted(kind.value for kind in passport.kinds),
        "purposes": sorted(purpose.value for purpose in passport.purposes),
        "decimals": passport.decimals,
        "min_limit_a": passport.min_limit_a,
        "pause": passport.pause.value,
        "honest_readback": passport.honest_readback,
        "needs_remote_start": passport.needs_remote_start,
        "phases_switchable": passport.phases_switchable,
        "raw": passport.raw,
        "read_at": iso_utc(read_at),
        "firmware": firmware,
    }


def stored_passport(
    stored: Mapping[str, Any], booted_at: datetime | None, firmware: str | None = None
) -> Passport | None:
    """The passport that `passport_json` made, unless it is older than the last boot or of another firmware."""
    read_at, _ = read_timestamp(stored.get("read_at"))
    if read_at is None or (booted_at is not None and read_at < booted_at.replace(microsecond=0)):  # stored in seconds
        return None
    if firmware is not None and stored.get("firmware") not in (None, firmware):
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
            version=stored["version"],
            kinds=frozenset(Kind(kind) for kind in stored["kinds"]),
            purposes=frozenset(Purpose(purpose) for purpose in stored["purposes"]),
            decimals=stored["decimals"],
            min_limit_a=stored["min_limit_a"],
            pause=PauseMethod(stored["pause"]),
            honest_readback=stored["honest_readback"],
            needs_remote_start=stored["needs_remote_start"],
            phases_switchable=stored["phases_switchable"],
        )
    except (KeyError, TypeError, ValueError):  # written by another version: read it again
        return None


async def keep_passport(store: Store, station_id: str, passport: Passport, read_at: datetime) -> None:
    """With the firmware that it was read from, beside what else is known of the station.

    Raises `NotFoundError` and `StoreUnavailableError`.
    """
    station = await store.station(station_id)
    said = passport_json(passport, read_at, station.firmware)
    await store.update_station(station_id, passport=station.passport | said)


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+", text)


def _count(raw: Mapping[str, str], key: str, default: int) -> int:
    count = read_count(raw.get(key, "").strip("\"' "))
    return default if count is None else count
