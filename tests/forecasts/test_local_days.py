"""Days are those of the people who live there."""

from datetime import date

import numpy as np
import pytest

from forecasts.errors import SeriesError
from forecasts.local_days import day_slots, is_holiday, is_off_day, local_dates, minutes_of_day, weekdays
from tests.forecasts.builders import BERLIN, LONG_DAY, SHORT_DAY, slots


@pytest.mark.parametrize(("day", "quarters"), [(SHORT_DAY, 92), (date(2026, 3, 30), 96), (LONG_DAY, 100)])
def test_a_day_has_as_many_quarter_hours_as_the_clock_goes_through(day: date, quarters: int) -> None:
    index = day_slots(day, BERLIN, 15)

    assert len(index) == quarters
    assert set(local_dates(index, BERLIN)) == {np.datetime64(day)}
    assert minutes_of_day(index, BERLIN)[0] == 0
    assert minutes_of_day(index, BERLIN)[-1] == 24 * 60 - 15


def test_a_day_that_has_no_midnight_begins_at_one() -> None:
    index = day_slots(date(2018, 11, 4), "America/Sao_Paulo", 60)

    assert len(index) == 23
    assert minutes_of_day(index, "America/Sao_Paulo")[0] == 60


def test_a_day_with_two_midnights_begins_at_the_first() -> None:
    assert len(day_slots(date(2025, 11, 2), "America/Havana", 60)) == 25


def test_the_local_hour_that_comes_twice_has_the_same_minutes_twice() -> None:
    minutes = minutes_of_day(slots("2026-10-25 00:00", 2, minutes=60), BERLIN)

    assert minutes.tolist() == [120, 120]


def test_an_unknown_time_zone_is_named() -> None:
    with pytest.raises(SeriesError, match="'Europe/Atlantis' is not in the time zone database"):
        minutes_of_day(slots("2026-01-01 00:00", 1), "Europe/Atlantis")


def test_the_first_weekday_is_monday() -> None:
    assert weekdays(np.array(["2026-11-16", "2026-11-22"], dtype="datetime64[D]")).tolist() == [0, 6]


def test_holidays_are_those_of_the_country_and_its_part() -> None:
    unity, reformation = np.array(["2026-10-03", "2026-10-31"], dtype="datetime64[D]")

    assert is_holiday(np.array([unity, reformation]), "DE").tolist() == [True, False]
    assert is_holiday(np.array([unity, reformation]), "DE", "SN").tolist() == [True, True]
    assert is_holiday(np.array([unity, reformation]), None).tolist() == [False, False]


def test_a_weekend_is_off_without_any_country() -> None:
    week = np.arange("2026-11-16", "2026-11-23", dtype="datetime64[D]")

    assert is_off_day(week, None).tolist() == [False] * 5 + [True] * 2


def test_a_country_without_a_calendar_is_named() -> None:
    with pytest.raises(SeriesError, match="'XX' has no calendar"):
        is_holiday(np.array(["2026-10-03"], dtype="datetime64[D]"), "XX")


def test_a_part_that_a_country_does_not_have_is_named_with_those_that_it_has() -> None:
    with pytest.raises(SeriesError, match=r"subdivision 'CA' is no part of DE .* BB, BE, BW, BY") as refused:
        is_holiday(np.array(["2026-10-03"], dtype="datetime64[D]"), "DE", "CA")

    assert refused.value.field == "subdivision"
