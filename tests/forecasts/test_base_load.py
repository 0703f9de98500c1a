"""Base load: what is known of it at the time of issue, and nothing else."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasts.base_load import BaseLoadForecast, base_load
from forecasts.errors import InsufficientHistoryError, SeriesError
from forecasts.local_days import day_slots
from forecasts.series import utc_index
from tests.forecasts.builders import BERLIN, LONG_DAY, SHORT_DAY, a_series, a_site, at, slots

NOTHING = pd.Series(dtype="float64", index=slots("2026-01-01 00:00", 1)[:0])
WEDNESDAY_NOON = "2026-06-10 10:00"  # 12:00 in Berlin


def forecast(
    history: pd.Series,
    index: pd.DatetimeIndex,
    issued_at: str = WEDNESDAY_NOON,
    *,
    annual_energy_kwh: float | None = None,
) -> BaseLoadForecast:
    return base_load(
        history,
        index,
        time_zone=BERLIN,
        issued_at=at(issued_at),
        country="DE",
        annual_energy_kwh=annual_energy_kwh,
    )


def test_a_workday_is_like_the_workdays_before() -> None:
    history = a_site(WEDNESDAY_NOON, days=40)
    thursday = day_slots(pd.Timestamp("2026-06-11").date(), BERLIN, 15)

    result = forecast(history, thursday)

    assert result.expected.iloc[12 * 4] == pytest.approx(50.0)
    assert result.expected.iloc[3 * 4] == pytest.approx(20.0)
    assert not result.provenance.estimated
    assert result.days_of_history == pytest.approx(40.0)


@pytest.mark.parametrize("day", ["2026-06-13", "2026-06-14", "2026-06-04"])
def test_weekends_and_holidays_are_days_off(day: str) -> None:
    """The fourth of June is Corpus Christi: a Thursday off in North Rhine-Westphalia, a workday in Berlin."""
    issued = "2026-06-03 10:00" if day == "2026-06-04" else WEDNESDAY_NOON
    index = day_slots(pd.Timestamp(day).date(), BERLIN, 15)

    result = base_load(
        a_site(issued, days=40), index, time_zone=BERLIN, issued_at=at(issued), country="DE", subdivision="NW"
    )

    assert result.expected.iloc[12 * 4] == pytest.approx(20.0)


def test_the_forecast_follows_the_local_clock_over_the_end_of_summer_time() -> None:
    history = a_site("2026-10-24 10:00", days=40)
    monday = day_slots(pd.Timestamp("2026-10-26").date(), BERLIN, 15)

    result = forecast(history, monday, "2026-10-24 10:00")

    assert result.expected.loc["2026-10-26 06:30+00:00"] == pytest.approx(20.0)  # 07:30 in Berlin
    assert result.expected.loc["2026-10-26 07:30+00:00"] == pytest.approx(50.0)


@pytest.mark.parametrize(("day", "quarters"), [(SHORT_DAY, 92), (LONG_DAY, 100)])
def test_days_of_23_and_25_hours_are_whole(day: pd.Timestamp, quarters: int) -> None:
    issued = f"{pd.Timestamp(day) - timedelta(days=1):%Y-%m-%d} 11:00"
    index = day_slots(day, BERLIN, 15)

    result = forecast(a_site(issued, days=30), index, issued)

    assert len(result.expected) == quarters
    assert result.quantiles.notna().all().all()


def test_what_happens_after_the_issue_changes_nothing() -> None:
    history = a_site("2026-06-12 00:00", days=40, noise_kw=3.0)
    index = utc_index(at(WEDNESDAY_NOON), 15, 96)
    other = history.copy()
    other[other.index > at(WEDNESDAY_NOON) - timedelta(minutes=15)] = 999.0

    known, changed = forecast(history, index), forecast(other, index)

    pd.testing.assert_frame_equal(known.quantiles, changed.quantiles)


def test_future_stamps_of_another_step_change_nothing() -> None:
    history = a_site(WEDNESDAY_NOON, days=20, noise_kw=3.0)
    index = utc_index(at(WEDNESDAY_NOON), 15, 96)
    minutes = a_series([999.0] * 5000, WEDNESDAY_NOON, minutes=1)

    known, changed = forecast(history, index), forecast(pd.concat([history, minutes]), index)

    pd.testing.assert_frame_equal(known.quantiles, changed.quantiles)


def test_the_coming_slots_are_anchored_to_the_last_measured_hour() -> None:
    # Deviations from the routine last for hours here, so that persistence can be learned.
    history = a_site(WEDNESDAY_NOON, days=40)
    rng = np.random.default_rng(3)
    history += np.repeat(rng.normal(0.0, 5.0, len(history) // 32 + 1), 32)[: len(history)]
    index = utc_index(at(WEDNESDAY_NOON), 15, 96)
    higher = history.copy()
    higher.iloc[-4:] += 10.0

    lift = forecast(higher, index).expected - forecast(history, index).expected

    assert 4.0 < lift.iloc[0] <= 10.0
    assert lift.iloc[:12].is_monotonic_decreasing
    assert lift.iloc[-1] == pytest.approx(0.0, abs=0.5)


def test_an_old_measurement_anchors_nothing() -> None:
    history = a_site("2026-06-10 07:00", days=40)
    spike = history.copy()
    spike.iloc[-4:] += 10.0
    index = utc_index(at(WEDNESDAY_NOON), 15, 8)

    assert forecast(spike, index).expected.iloc[0] == pytest.approx(forecast(history, index).expected.iloc[0], abs=0.5)


def test_a_week_without_a_measurement_is_said() -> None:
    stale = forecast(a_site("2026-06-01 00:00", days=40), utc_index(at(WEDNESDAY_NOON), 15, 4))

    assert stale.provenance.estimated
    assert "226.0 h old" in stale.provenance.detail


def test_a_noisy_site_gets_a_band_that_holds_what_it_says() -> None:
    history = a_site("2026-06-11 22:00", days=60, noise_kw=4.0)
    thursday = day_slots(pd.Timestamp("2026-06-11").date(), BERLIN, 15)

    band = forecast(history, thursday).quantiles
    inside = (history.loc[thursday] >= band[0.1]) & (history.loc[thursday] <= band[0.9])

    assert 0.7 <= inside.mean() <= 0.9


@pytest.mark.parametrize("kw_a_day", [1.0, -1.0])
def test_a_band_that_the_truth_kept_leaving_is_widened(kw_a_day: float) -> None:
    drifting = a_site(WEDNESDAY_NOON, days=40, workday_kw=90.0, off_kw=60.0)
    drifting += kw_a_day * np.arange(len(drifting)) / 96  # the truth is never within the days before
    friday = day_slots(pd.Timestamp("2026-06-12").date(), BERLIN, 15)

    band = forecast(drifting, friday).quantiles.iloc[12 * 4]

    assert band[0.1] < 90.0 + kw_a_day * 42 < band[0.9]


def test_without_history_the_standard_profile_has_the_energy_of_the_year() -> None:
    start = "2025-12-31 23:00"
    week = slots(start, 7 * 96)

    result = forecast(NOTHING, week, start, annual_energy_kwh=52_000)

    assert result.expected.sum() / 4 == pytest.approx(1000, rel=0.15)
    assert result.provenance.estimated
    assert result.provenance.source == "bdew-g25"
    assert result.days_of_history == 0.0


def test_a_little_history_scales_the_standard_profile() -> None:
    history = a_site(WEDNESDAY_NOON, days=2)
    index = utc_index(at(WEDNESDAY_NOON), 15, 2 * 96)

    result = forecast(history, index)

    assert result.expected.mean() == pytest.approx(history.mean(), rel=0.1)
    assert result.provenance.estimated


@pytest.mark.parametrize(
    ("days", "source"), [(2.9, "bdew-g25"), (3, "first-days"), (13.9, "first-days"), (14, "own-history")]
)
def test_a_standard_profile_serves_for_three_days_and_few_days_for_a_fortnight(days: float, source: str) -> None:
    result = forecast(a_site(WEDNESDAY_NOON, days=days), utc_index(at(WEDNESDAY_NOON), 15, 96))

    assert result.provenance.source == source
    assert result.provenance.estimated is (source != "own-history")


def test_neither_history_nor_the_energy_of_a_year_is_an_error() -> None:
    with pytest.raises(InsufficientHistoryError, match="annual_energy_kwh"):
        forecast(NOTHING, utc_index(at(WEDNESDAY_NOON), 15, 4))


def test_history_of_nothing_but_gaps_is_no_history() -> None:
    gaps = a_series([float("nan")] * 3000, "2026-05-01 00:00")

    with pytest.raises(InsufficientHistoryError):
        forecast(gaps, utc_index(at(WEDNESDAY_NOON), 15, 4))


def test_workdays_alone_tell_something_about_a_sunday() -> None:
    history = a_site("2026-06-12 20:00", days=40, off_kw=20.0)
    workdays = history[pd.DatetimeIndex(history.index).dayofweek < 5]
    sunday = day_slots(pd.Timestamp("2026-06-14").date(), BERLIN, 15)

    result = forecast(workdays, sunday, "2026-06-12 20:00")

    assert result.quantiles.notna().all().all()
    assert result.provenance.source == "own-history"


@pytest.mark.parametrize("minutes", [5, 10, 15, 30, 60])
@pytest.mark.parametrize("measured_minutes", [1, 15, 60])
def test_every_slot_length_serves_every_meter(minutes: int, measured_minutes: int) -> None:
    history = a_site(WEDNESDAY_NOON, days=20, minutes=measured_minutes)

    result = forecast(history, utc_index(at(WEDNESDAY_NOON), minutes, 24 * 60 // minutes))

    assert result.expected.notna().all()
    assert result.expected.iloc[0] == pytest.approx(50.0)


def test_slots_that_do_not_divide_an_hour_are_refused() -> None:
    with pytest.raises(SeriesError, match="slots of 420 s"):
        forecast(a_site(WEDNESDAY_NOON, days=20), utc_index(at(WEDNESDAY_NOON), 7, 4))


def test_a_naive_history_is_refused() -> None:
    naive = a_site(WEDNESDAY_NOON, days=20).tz_localize(None)

    with pytest.raises(SeriesError, match="history has stamps without a time zone"):
        forecast(naive, utc_index(at(WEDNESDAY_NOON), 15, 4))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    days=st.integers(1, 45),
    missing=st.floats(0.0, 0.9),
    level_kw=st.floats(-20.0, 100.0),
    start_minute=st.integers(-600, 600),
)
def test_no_history_makes_a_forecast_that_is_unknown_negative_or_crossed(
    seed: int, days: int, missing: float, level_kw: float, start_minute: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(level_kw, 30.0, days * 24)
    values[rng.random(len(values)) < missing] = np.nan
    values[0] = level_kw
    history = pd.Series(values, index=utc_index(at(WEDNESDAY_NOON) - timedelta(days=days), 60, len(values)))
    start = at(WEDNESDAY_NOON) + timedelta(minutes=start_minute // 15 * 15)

    band = forecast(history, utc_index(start, 15, 100)).quantiles.to_numpy()

    assert not np.isnan(band).any()
    assert (band >= 0).all()
    assert (np.diff(band, axis=1) >= 0).all()
