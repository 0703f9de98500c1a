"""What peak a month will need, on weeks small enough to check by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from app.gather.expected_peak import (
    RESERVE,
    Stay,
    WeekPeak,
    best_peak_kw,
    expected_peak_kw,
    week_price_per_kw,
    with_reserve,
)

START = datetime(2024, 3, 4, tzinfo=UTC)
FLAT = (0.2,) * 96


def stay(first_h: float, last_h: float, energy_kwh: float) -> Stay:
    return Stay(START + timedelta(hours=first_h), START + timedelta(hours=last_h), energy_kwh, 10.0)


def best(stays: list[Stay], price_per_kw: float = 10.0) -> float:
    return best_peak_kw(stays, start=START, slot_minutes=15, import_price_per_kwh=FLAT, price_per_kw=price_per_kw)


def test_a_car_with_time_is_spread_over_its_stay() -> None:
    assert best([stay(8, 18, 20.0)]) == pytest.approx(2.0)


def test_cars_take_turns() -> None:
    assert best([stay(8, 10, 8.0), stay(8, 12, 8.0)]) == pytest.approx(4.0)


def test_what_does_not_fit_into_a_stay_is_left_out() -> None:
    assert best([stay(8, 9, 50.0)]) == pytest.approx(10.0)


def test_nobody_needs_no_peak() -> None:
    assert best([]) == 0.0


def test_weeks_count_by_their_workdays_and_a_reserve_is_added() -> None:
    expected = expected_peak_kw([WeekPeak(40.0, 5), WeekPeak(10.0, 1)], car_kw=7.0)

    assert expected == pytest.approx(35.0 + RESERVE * (35.0 * 7.0) ** 0.5)


def test_before_the_first_workday_nothing_is_expected() -> None:
    assert expected_peak_kw([WeekPeak(0.0, 0)], car_kw=7.0) is None


def test_a_small_site_holds_a_larger_share_in_reserve() -> None:
    assert with_reserve(20.0, 7.0) / 20.0 > with_reserve(200.0, 7.0) / 200.0


def test_few_days_pay_more_than_their_share() -> None:
    shares = [week_price_per_kw(20.0, days, 20) / days for days in (1, 4, 16)]

    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(2.0)
    assert shares[2] == pytest.approx(1.25)
