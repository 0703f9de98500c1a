"""What OCPP 1.6 makes of profiles and configuration keys."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.csms.connector import PURPOSES_OF_1_6, ChargingProfile, Kind, Passport, Period, Purpose, RateUnit, Recurrency
from app.csms.ocpp_schemas import SchemaError, check_call
from app.csms.v16_passport import passport_json, passport_of, stored_passport
from app.csms.v16_profiles import floor_to_tenth, profile_json
from app.errors import InvalidInputError

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@given(st.floats(0, 1e6))
def test_a_limit_is_floored_to_a_tenth_and_never_raised(limit: float) -> None:
    floored = floor_to_tenth(limit)

    assert -1e-6 < limit - floored < 0.1 + 1e-6
    assert Decimal(str(floored)) % Decimal("0.1") == 0


@pytest.mark.parametrize(
    ("limit", "sent"), [(16.1, 16.1), (0.1 + 0.2, 0.3), (6.05, 6.0), (33.3, 33.3), (0, 0), (5.99, 5.9)]
)
def test_rounding_noise_costs_no_tenth(limit: float, sent: float) -> None:
    assert floor_to_tenth(limit) == sent


PERIODS = st.lists(
    st.tuples(st.integers(1, 3600), st.floats(0, 1e5), st.sampled_from([None, 1, 3])), min_size=1, max_size=30
)


@given(PERIODS, st.sampled_from(RateUnit), st.sampled_from(sorted(PURPOSES_OF_1_6)), st.none() | st.integers(1, 10**6))
async def test_every_profile_is_valid_by_the_schema(
    raw: list[tuple[int, float, int | None]], unit: RateUnit, purpose: Purpose, duration_s: int | None
) -> None:
    starts = [sum(step for step, _, _ in raw[1 : position + 1]) for position in range(len(raw))]
    periods = tuple(Period(start, limit, phases) for start, (_, limit, phases) in zip(starts, raw, strict=True))
    profile = ChargingProfile(
        profile_id=1,
        stack_level=0,
        purpose=purpose,
        unit=unit,
        start=NOON,
        periods=periods,
        duration_s=duration_s,
        valid_to=NOON + timedelta(hours=1),
        transaction_id=7 if purpose is Purpose.TX else None,
    )

    await check_call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile_json(profile)})


async def test_the_schema_is_asked_before_anything_is_sent() -> None:
    with pytest.raises(SchemaError, match="TriggerMessage"):
        await check_call("TriggerMessage", {"requestedMessage": "Dance"})


def test_times_are_written_in_utc_with_whole_seconds() -> None:
    berlin = datetime.fromisoformat("2026-06-01T14:00:00.9+02:00")
    profile = ChargingProfile(
        profile_id=1,
        stack_level=0,
        purpose=Purpose.STATION_MAX,
        unit=RateUnit.W,
        start=berlin,
        periods=(Period(0, 11_000.0),),
        valid_from=berlin,
    )

    written = profile_json(profile)

    assert written["validFrom"] == written["chargingSchedule"]["startSchedule"] == "2026-06-01T12:00:00Z"
    assert "duration" not in written["chargingSchedule"]


DAY = (Period(0, 16.0), Period(21_600, 6.0))
PLAIN = ChargingProfile(1, 0, Purpose.TX_DEFAULT, RateUnit.A, NOON, DAY)


async def test_a_recurring_profile_says_how_often_and_a_relative_one_names_no_start() -> None:
    daily = profile_json(replace(PLAIN, kind=Kind.RECURRING, recurrency=Recurrency.DAILY))
    relative = profile_json(replace(PLAIN, kind=Kind.RELATIVE))

    assert (daily["chargingProfileKind"], daily["recurrencyKind"]) == ("Recurring", "Daily")
    assert "startSchedule" not in relative["chargingSchedule"]
    for written in (daily, relative):
        await check_call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": written})


@pytest.mark.parametrize(
    "profile",
    [
        replace(PLAIN, purpose=Purpose.LOCAL_GENERATION),
        replace(PLAIN, kind=Kind.RECURRING),
        replace(PLAIN, recurrency=Recurrency.WEEKLY),
    ],
)
def test_refuses_what_1_6_does_not_know(profile: ChargingProfile) -> None:
    with pytest.raises(InvalidInputError):
        profile_json(profile)


@pytest.mark.parametrize(
    ("said", "units"),
    [
        ("Current", {RateUnit.A}),
        ("Power", {RateUnit.W}),
        ("Current,Power", {RateUnit.A, RateUnit.W}),
        ("A", {RateUnit.A}),
        ("W", {RateUnit.W}),
        ("power", {RateUnit.W}),
        ('"Current", "Power"', {RateUnit.A, RateUnit.W}),
        ("A;W ", {RateUnit.A, RateUnit.W}),
        ("", {RateUnit.A}),
        ("Bananas", {RateUnit.A}),
        (None, {RateUnit.A}),
    ],
)
def test_units_are_understood_as_stations_spell_them(said: str | None, units: set[RateUnit]) -> None:
    assert passport_of({"ChargingScheduleAllowedChargingRateUnit": said}).units == units


def test_missing_keys_keep_the_safe_defaults() -> None:
    assert passport_of({}) == replace(Passport(), known=True)


@pytest.mark.parametrize(
    ("said", "periods"), [("24", 24), ('"24"', 24), (" 24 ", 24), ("0", 1), ("-1", 1), ("many", 1)]
)
def test_counts_are_read_or_left_at_the_safe_default(said: str, periods: int) -> None:
    assert passport_of({"ChargingScheduleMaxPeriods": said}).max_periods == periods


@pytest.mark.parametrize(
    ("keys", "smart"),
    [
        ({}, True),
        ({"SupportedFeatureProfiles": "Core,SmartCharging"}, True),
        ({"SupportedFeatureProfiles": "Core, smartcharging"}, True),
        ({"SupportedFeatureProfiles": "Core"}, False),
        ({"SupportedFeatureProfiles": "Core", "ChargeProfileMaxStackLevel": "5"}, True),  # the list is often wrong
    ],
)
def test_smart_charging_is_believed_of_whoever_has_its_keys(keys: dict[str, str | None], smart: bool) -> None:
    assert passport_of(keys).smart_charging is smart


def test_a_stored_passport_comes_back_whole() -> None:
    passport = passport_of({"ChargingScheduleAllowedChargingRateUnit": "Power", "ChargingScheduleMaxPeriods": "9"})

    assert stored_passport(passport_json(passport, NOON), booted_at=NOON) == passport


def test_a_stored_passport_is_void_after_a_boot_or_when_it_is_no_passport() -> None:
    stored = passport_json(Passport(), NOON)

    assert stored_passport(stored, booted_at=NOON + timedelta(seconds=1)) is None
    assert stored_passport({}, booted_at=None) is None
    assert stored_passport({"read_at": "2026-06-01T12:00:00Z"}, booted_at=None) is None
