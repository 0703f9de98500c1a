"""Standard profiles: a year's energy, and the shape of the right kind of day."""

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from forecasts.bdew import PROFILES, standard_profile
from forecasts.errors import SeriesError
from forecasts.local_days import day_slots
from tests.forecasts.builders import BERLIN, LONG_DAY, SHORT_DAY, slots


def a_day(day: date, profile: str = "g25", minutes: int = 15) -> pd.Series:
    return standard_profile(profile, day_slots(day, BERLIN, minutes), time_zone=BERLIN, annual_energy_kwh=1_000_000)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_year_sums_to_the_energy_asked_for(profile: str) -> None:
    start, end = datetime(2024, 12, 31, 23, tzinfo=UTC), datetime(2025, 12, 31, 23, tzinfo=UTC)
    year = pd.date_range(start, end, freq="15min", inclusive="left")

    power_kw = standard_profile(profile, year, time_zone=BERLIN, annual_energy_kwh=5000)

    assert power_kw.sum() / 4 == pytest.approx(5000, rel=0.01)


def test_the_first_quarter_hour_of_a_january_workday_is_the_published_one() -> None:
    assert a_day(date(2026, 1, 7)).iloc[0] == pytest.approx(14.832 * 4)


def test_a_holiday_is_like_a_sunday() -> None:
    assert a_day(date(2026, 5, 14)).tolist() == a_day(date(2026, 5, 17)).tolist()  # Ascension Day is a Thursday


def test_christmas_eve_is_like_a_saturday() -> None:
    assert a_day(date(2026, 12, 24)).tolist() == a_day(date(2026, 12, 12)).tolist()


def test_a_household_is_scaled_by_the_day_of_the_year() -> None:
    factor = a_day(date(2026, 1, 7), "h25").iloc[0] / (20.126 * 4)

    assert factor == pytest.approx(1.24 + 2.1e-3 * 7 - 7.02e-5 * 49 + 3.2e-7 * 343, abs=1e-5)


def test_days_of_23_and_25_hours_follow_the_local_clock() -> None:
    assert len(a_day(SHORT_DAY)) == 92
    long_day = a_day(LONG_DAY)
    assert long_day.iloc[8:12].tolist() == long_day.iloc[12:16].tolist()  # 02:00 comes twice


@pytest.mark.parametrize("minutes", [5, 30, 60])
def test_every_slot_length_has_the_same_energy(minutes: int) -> None:
    quarters, other = a_day(date(2026, 6, 10)), a_day(date(2026, 6, 10), minutes=minutes)

    assert other.sum() * minutes == pytest.approx(quarters.sum() * 15)


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(SeriesError, match="'h0' is none of g25, h25"):
        standard_profile("h0", slots("2026-01-01 00:00", 4), time_zone=BERLIN, annual_energy_kwh=1)


def test_a_negative_energy_is_refused() -> None:
    with pytest.raises(SeriesError, match="annual_energy_kwh -1"):
        standard_profile("g25", slots("2026-01-01 00:00", 4), time_zone=BERLIN, annual_energy_kwh=-1)
