"""The first two weeks of a site: whatever its load is like, the naive model is not better by more than a little."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.first_weeks import losses, ratio
from benchmarks.load_shapes import SHAPES, TIME_ZONE, a_load
from forecasts.base_load import base_load
from forecasts.local_days import day_slots
from forecasts.series import utc_index
from tests.forecasts.builders import BERLIN, a_series, a_site, at

WORSE_AT_MOST = 1.05
REPEAT = ("constant", "zeros", "every day the same", "step without noise")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_new_site_is_forecast_no_worse_than_by_the_naive_model(shape: str) -> None:
    """Two series of each shape: one alone may be unlucky."""
    found = [loss for seed in range(2) for loss in losses(a_load(shape, seed), range(3, 14))]

    first_week, second_week = ([loss for loss in found if (loss.days_known < 7) is first] for first in (True, False))

    assert ratio(first_week) <= WORSE_AT_MOST
    assert ratio(second_week) <= WORSE_AT_MOST


@pytest.mark.parametrize("shape", SHAPES)
def test_a_site_of_some_weeks_is_forecast_no_worse_than_by_the_naive_model(shape: str) -> None:
    found = losses(a_load(shape), range(14, 40, 2))

    assert ratio(found) <= WORSE_AT_MOST


@pytest.mark.parametrize("shape", REPEAT)
def test_a_load_that_repeats_is_forecast_as_it_is(shape: str) -> None:
    found = losses(a_load(shape), range(3, 14))

    assert sum(loss.own for loss in found) <= sum(loss.naive for loss in found) + 1e-6


def test_noise_gets_a_band_from_the_third_day_on() -> None:
    found = losses(a_load("white noise"), range(3, 7))

    assert ratio(found) < 0.9


@settings(max_examples=25, deadline=None)  # shared cores
@given(level_kw=st.floats(0.0, 1e4), days=st.integers(3, 20), gap_day=st.none() | st.integers(1, 2))
def test_a_constant_load_is_forecast_exactly_with_or_without_a_day_that_is_missing(
    level_kw: float, days: int, gap_day: int | None
) -> None:
    start = at("2026-03-24 11:00")
    history = pd.Series(level_kw, index=utc_index(start, 60, (days + 1) * 24))
    if gap_day is not None:
        history.iloc[gap_day * 24 : (gap_day + 1) * 24] = np.nan
    issued = start + timedelta(days=days + 1)

    band = base_load(history, utc_index(issued, 60, 48), time_zone=BERLIN, issued_at=issued).quantiles

    assert band.to_numpy() == pytest.approx(level_kw, rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)  # shared cores
@given(
    seed=st.integers(0, 1000), days=st.integers(3, 16), missing=st.floats(0.0, 0.7), minutes=st.sampled_from((15, 60))
)
def test_few_days_with_gaps_make_a_band_that_is_known_and_not_crossed(
    seed: int, days: int, missing: float, minutes: int
) -> None:
    rng = np.random.default_rng(seed)
    slots = days * 24 * 60 // minutes
    values = np.where(rng.random(slots) < missing, np.nan, rng.normal(20.0, 15.0, slots))
    values[0] = 20.0
    issued = at("2026-03-30 10:00")
    history = pd.Series(values, index=utc_index(issued - timedelta(days=days), minutes, slots))

    band = base_load(
        history, utc_index(issued, minutes, 7 * 24 * 60 // minutes), time_zone=BERLIN, issued_at=issued, country="DE"
    ).quantiles.to_numpy()

    assert not np.isnan(band).any()
    assert (band >= 0).all()
    assert (np.diff(band, axis=1) >= -1e-9).all()


@pytest.mark.parametrize(("day", "slots"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100)])
def test_the_night_of_a_clock_change_within_the_first_days_is_whole(day: date, slots: int) -> None:
    issued = pd.Timestamp(day, tz="UTC") - timedelta(hours=13)
    history = a_site(f"{issued:%Y-%m-%d %H:%M}", days=5)

    result = base_load(history, day_slots(day, BERLIN, 15), time_zone=BERLIN, issued_at=issued.to_pydatetime())

    assert len(result.expected) == slots
    assert result.quantiles.notna().all().all()
    assert result.provenance.source == "first-days"


def test_the_hour_that_a_past_day_lacked_is_forecast() -> None:
    issued = at("2026-04-04 10:00")  # a Saturday: the Sunday before had no hour from two to three

    result = base_load(
        a_site("2026-04-04 10:00", days=8), day_slots(date(2026, 4, 5), BERLIN, 15), time_zone=BERLIN, issued_at=issued
    )

    assert result.quantiles.notna().all().all()


def test_what_a_forecast_of_few_days_rests_on_is_said() -> None:
    result = base_load(
        a_series([10.0] * 96 * 5, "2026-06-01 00:00"),
        utc_index(at("2026-06-06 00:00"), 15, 96),
        time_zone=TIME_ZONE,
        issued_at=at("2026-06-06 00:00"),
    )

    assert result.provenance.estimated
    assert "mostly naive" in result.provenance.detail
    assert "5.0 days of history" in result.provenance.detail
