"""Signals come onto the grid without losing energy, and what is not known stays unknown."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasts.errors import SeriesError
from forecasts.series import known_by, known_on_grid, on_grid, resolution, slot_length, utc_index, validated
from tests.forecasts.builders import a_series, at, slots


def test_the_grid_starts_where_it_is_told_to_and_is_in_utc() -> None:
    index = utc_index(datetime.fromisoformat("2026-03-29T00:00+01:00"), 15, 92)

    assert index[0] == pd.Timestamp("2026-03-28 23:00", tz="UTC")
    assert index[-1] == pd.Timestamp("2026-03-29 21:45", tz="UTC")


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(SeriesError, match=r"start 2026-03-29T00:00:00 has no time zone"):
        utc_index(datetime(2026, 3, 29), 15, 4)  # noqa: DTZ001  # the mistake under test


@pytest.mark.parametrize(
    ("stamps", "message"),
    [
        (["2026-01-01 00:00", "2026-01-01 00:15"], "without a time zone, first stamp 2026-01-01T00:00:00"),
        (["2026-01-01 00:15+00:00", "2026-01-01 00:15+00:00"], r"2026-01-01T00:15:00\+00:00 twice"),
        (
            ["2026-01-01 00:00+00:00", "2026-01-01 00:30+00:00", "2026-01-01 00:15+00:00"],
            r"2026-01-01T00:15:00\+00:00 comes after 2026-01-01T00:30:00",
        ),
    ],
)
def test_a_malformed_series_is_refused_with_the_stamp_that_is_wrong(stamps: list[str], message: str) -> None:
    series = pd.Series(1.0, index=pd.DatetimeIndex(stamps))

    with pytest.raises(SeriesError, match=message) as caught:
        validated(series, "history")

    assert caught.value.field == "history"


def test_an_infinite_value_is_refused_with_its_stamp() -> None:
    with pytest.raises(SeriesError, match=r"infinite at 2026-01-01T00:15"):
        validated(a_series([1.0, float("inf")]))


def test_another_time_zone_means_the_same_moments() -> None:
    local = a_series([1.0, 2.0])
    local.index = pd.DatetimeIndex(local.index).tz_convert("Asia/Kolkata")

    assert validated(local).index.equals(slots("2026-01-01 00:00", 2))


def test_a_slot_holds_the_time_weighted_mean() -> None:
    five_minutes = a_series([3.0, 6.0, 9.0], minutes=5)

    assert on_grid(five_minutes, slots("2026-01-01 00:00", 1)).tolist() == [6.0]


def test_an_hour_is_spread_over_its_quarters_unchanged() -> None:
    hourly = a_series([0.1, 0.3], minutes=60)

    assert on_grid(hourly, slots("2026-01-01 00:00", 8)).tolist() == [0.1] * 4 + [0.3] * 4


def test_an_energy_is_shared_out_by_time() -> None:
    kwh = a_series([4.0, 8.0], minutes=60)

    assert on_grid(kwh, slots("2026-01-01 00:30", 4), how="sum").tolist() == [1.0, 1.0, 2.0, 2.0]


def test_a_gap_stays_unknown() -> None:
    series = a_series([1.0, 2.0, 3.0, 4.0]).drop(slots("2026-01-01 00:30", 1))

    result = on_grid(series, slots("2026-01-01 00:00", 6))

    assert result.isna().tolist() == [False, False, True, False, True, True]


def test_a_slot_that_is_half_known_is_known_only_to_those_who_ask_for_half() -> None:
    half = a_series([2.0, 2.0, float("nan"), float("nan")])
    hour = slots("2026-01-01 00:00", 1, minutes=60)

    assert on_grid(half, hour).isna().all()
    assert on_grid(half, hour, min_coverage=0.5).tolist() == [2.0]


def test_slots_of_different_length_are_refused() -> None:
    uneven = pd.DatetimeIndex([at(f"2026-01-01 {clock}") for clock in ("00:00", "00:15", "00:30", "01:00")])

    with pytest.raises(SeriesError, match=r"different length: 900 s, but 1800 s at 2026-01-01T00:30"):
        on_grid(a_series([1.0, 2.0]), uneven)


def test_one_slot_has_a_length_only_with_a_frequency() -> None:
    assert slot_length(slots("2026-01-01 00:00", 1)) == timedelta(minutes=15)
    with pytest.raises(SeriesError, match="length is unknown"):
        slot_length(pd.DatetimeIndex([at("2026-01-01 00:00")]))


def test_the_step_of_a_series_is_its_most_frequent_one() -> None:
    assert resolution(a_series([1.0] * 8).drop(slots("2026-01-01 00:30", 1))) == timedelta(minutes=15)


def test_a_value_is_known_when_its_interval_is_over() -> None:
    series = a_series([1.0, 2.0, 3.0])

    assert known_by(series, at("2026-01-01 00:30"), timedelta(minutes=15)).tolist() == [1.0, 2.0]
    assert known_by(series, at("2026-01-01 00:29"), timedelta(minutes=15)).tolist() == [1.0]


def test_the_known_grid_goes_through_the_slots_of_the_forecast() -> None:
    history = a_series([float(n) for n in range(8)], "2026-01-01 00:07")

    known = known_on_grid(
        history,
        pd.Timestamp("2026-01-01 03:00", tz="UTC"),
        timedelta(minutes=15),
        issued=pd.Timestamp("2026-01-01 02:00", tz="UTC"),
        reach=timedelta(days=1),
    )

    assert known.index[0] == pd.Timestamp("2026-01-01 00:00", tz="UTC")
    assert known.iloc[1:7].tolist() == pytest.approx([n + 8 / 15 for n in range(6)])


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40),
    minutes=st.sampled_from([1, 5, 7, 15, 60]),
    slot_minutes=st.sampled_from([5, 10, 15, 30, 60]),
    shift_s=st.integers(0, 3600),
)
def test_no_energy_is_lost_between_two_grids(
    values: list[float], minutes: int, slot_minutes: int, shift_s: int
) -> None:
    series = a_series(values, minutes=minutes)
    start = at("2026-01-01 00:00") - timedelta(seconds=shift_s)
    covering = int((len(values) * minutes + 61) // slot_minutes) + 2

    energy = on_grid(series, utc_index(start, slot_minutes, covering), how="sum", min_coverage=1e-9)

    assert np.nansum(energy) == pytest.approx(sum(values), abs=1e-6)


@settings(deadline=None)
@given(value=st.floats(-10, 10), minutes=st.sampled_from([1, 5, 7, 60]), slot_minutes=st.sampled_from([5, 15, 30]))
def test_equal_values_stay_exactly_equal(value: float, minutes: int, slot_minutes: int) -> None:
    series = a_series([value] * (300 // minutes + 1), minutes=minutes)

    result = on_grid(series, slots("2026-01-01 00:00", 300 // slot_minutes, slot_minutes))

    assert result.tolist() == [value] * len(result)
