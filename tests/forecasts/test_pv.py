"""PV: the sun's geometry, the site's own sky, and no light at night."""

from datetime import date, timedelta
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasts.clear_sky import PvArray, clear_sky_kw
from forecasts.errors import SeriesError
from forecasts.local_days import day_slots
from forecasts.pv import CLEAR_SKY_CAP, DEFAULT_CLEARNESS, PvForecast, pv
from forecasts.series import on_grid, utc_index
from tests.forecasts.builders import BERLIN, at, slots

LATITUDE, LONGITUDE = 52.5, 13.4
ROOF = PvArray("roof", peak_kw=10.0, tilt_deg=30.0)
NOON = "2026-06-10 10:00"
TOMORROW = day_slots(date(2026, 6, 11), BERLIN, 15)


def peak(power_kw: pd.Series) -> pd.Timestamp:
    """The middle of the slot with the highest power."""
    return pd.DatetimeIndex(power_kw.index)[int(power_kw.argmax())] + timedelta(minutes=7.5)


def sky(index: pd.DatetimeIndex, *arrays: PvArray) -> pd.Series:
    return clear_sky_kw(arrays or (ROOF,), LATITUDE, LONGITUDE, index)


def forecast(history: pd.Series | None, index: pd.DatetimeIndex = TOMORROW, *arrays: PvArray) -> PvForecast:
    return pv(arrays or (ROOF,), LATITUDE, LONGITUDE, index, history=history, issued_at=at(NOON))


def measured(clearness: float, days: int = 28) -> pd.Series:
    """A site whose sky always lets through the same share."""
    return clearness * sky(utc_index(at(NOON) - timedelta(days=days), 15, days * 96))


def test_a_clear_june_day_in_berlin_has_the_energy_of_one() -> None:
    energy_kwh = sky(TOMORROW).sum() / 4

    assert 60 < energy_kwh < 80  # 10 kWp: six to eight full-load hours


def test_the_highest_power_comes_at_solar_noon() -> None:
    solar_noon = pd.Timestamp("2026-06-11 11:06", tz="UTC")  # 12:00 less 13.4° at four minutes each

    assert abs(peak(sky(TOMORROW)) - solar_noon) <= timedelta(minutes=8)


def test_an_east_roof_peaks_before_a_west_roof() -> None:
    east, west = PvArray("east", 10.0, 45.0, 90.0), PvArray("west", 10.0, 45.0, 270.0)

    assert peak(sky(TOMORROW, east)) < peak(sky(TOMORROW, west)) - timedelta(hours=4)


def test_two_arrays_deliver_the_sum_of_both() -> None:
    east, west = PvArray("east", 6.0, 45.0, 90.0), PvArray("west", 4.0, 45.0, 270.0)

    pd.testing.assert_series_equal(sky(TOMORROW, east, west), sky(TOMORROW, east) + sky(TOMORROW, west))


def test_an_inverter_clips_its_own_array() -> None:
    small = PvArray("roof", 10.0, 30.0, inverter_kw=5.0)

    assert sky(TOMORROW, small).max() == 5.0
    assert sky(TOMORROW).max() > 6.0


def test_a_slot_holds_its_mean_and_not_the_instant_at_its_start() -> None:
    minutes = sky(day_slots(date(2026, 6, 11), BERLIN, 1))

    quarters = on_grid(minutes, TOMORROW)

    assert (sky(TOMORROW) - quarters).abs().max() < 0.01


def test_the_site_s_own_sky_sets_the_level() -> None:
    result = forecast(measured(0.7))

    assert result.gain == pytest.approx(0.7)
    assert result.expected.sum() == pytest.approx(0.7 * sky(TOMORROW).sum(), rel=0.01)
    assert not result.provenance.estimated


def test_an_hour_in_the_shade_stays_in_the_shade() -> None:
    history = measured(0.8)
    shaded = history.where(pd.DatetimeIndex(history.index).hour != 15, 0.1 * history)

    result = forecast(shaded).expected / sky(TOMORROW)

    assert result.loc["2026-06-11 15:15+00:00"] < 0.4
    assert result.loc["2026-06-11 10:00+00:00"] > 0.7


def test_changing_skies_make_a_band() -> None:
    history = measured(1.0)
    daily = np.random.default_rng(5).uniform(0.1, 1.0, 40)
    days = (pd.DatetimeIndex(history.index) - pd.Timestamp(at(NOON))).days.to_numpy()
    result = forecast(history * daily[days])
    noon = pd.Timestamp("2026-06-11 11:00", tz="UTC")

    assert result.low[noon] < 0.6 * result.expected[noon]
    assert result.high[noon] > 1.3 * result.expected[noon]


def test_the_current_sky_is_carried_into_the_coming_hours() -> None:
    history = measured(0.8)
    clouded = history.copy()
    clouded.iloc[-4:] *= 0.2
    index = utc_index(at(NOON), 15, 96)

    share = forecast(clouded, index).expected / forecast(history, index).expected

    assert share.iloc[0] < 0.4
    assert 0.6 < share.iloc[16] < 0.9
    assert share.loc["2026-06-11 09:00+00:00"] == pytest.approx(1.0, abs=0.05)


def test_what_happens_after_the_issue_changes_nothing() -> None:
    history = 0.7 * sky(utc_index(at(NOON) - timedelta(days=28), 15, 30 * 96))
    other = history.where(pd.DatetimeIndex(history.index) < pd.Timestamp(at(NOON)), 99.0)

    pd.testing.assert_series_equal(forecast(history).expected, forecast(other).expected)


@pytest.mark.parametrize("history", [None, measured(0.7, days=2)])
def test_without_enough_history_the_default_clearness_stands_in(history: pd.Series | None) -> None:
    result = forecast(history)

    assert result.provenance.estimated
    assert result.expected.sum() == pytest.approx(DEFAULT_CLEARNESS[1] * sky(TOMORROW).sum())


def test_what_the_inverter_draws_at_night_is_not_negative_power() -> None:
    history = measured(0.7)
    drawing = history.where(history > 0, -0.003)

    assert forecast(drawing).gain == pytest.approx(0.7)


def test_a_nameplate_that_is_too_small_is_learned() -> None:
    result = forecast(measured(1.4))

    assert result.expected.sum() == pytest.approx(1.4 * sky(TOMORROW).sum(), rel=0.02)


@pytest.mark.parametrize(
    ("field", "array"),
    [("tilt_deg", {"tilt_deg": 100.0}), ("peak_kw", {"peak_kw": -1.0}), ("inverter_kw", {"inverter_kw": float("nan")})],
)
def test_an_impossible_array_is_refused_with_its_field(field: str, array: dict[str, float]) -> None:
    values: dict[str, float] = {"peak_kw": 10.0, "tilt_deg": 30.0} | array

    with pytest.raises(SeriesError, match=rf"arrays\[roof\].{field}"):
        PvArray("roof", **values)


def test_no_arrays_and_no_slots_are_errors() -> None:
    with pytest.raises(SeriesError, match="arrays is empty"):
        pv([], LATITUDE, LONGITUDE, TOMORROW, issued_at=at(NOON))
    with pytest.raises(SeriesError, match="index has no slots"):
        pv([ROOF], LATITUDE, LONGITUDE, TOMORROW[:0], issued_at=at(NOON))
    with pytest.raises(SeriesError, match="latitude 91"):
        pv([ROOF], 91, LONGITUDE, TOMORROW, issued_at=at(NOON))


def test_two_days_are_forecast_in_a_moment() -> None:
    history = measured(0.7)
    started = perf_counter()

    forecast(history, slots(NOON, 192))

    assert perf_counter() - started < 1.0


@settings(max_examples=40, deadline=None)
@given(
    latitude=st.floats(-89, 89),
    longitude=st.floats(-180, 180),
    tilt_deg=st.floats(0, 90),
    azimuth_deg=st.floats(0, 360),
    inverter_kw=st.one_of(st.none(), st.floats(0, 10)),
    scale=st.floats(0, 3),
    month=st.integers(1, 12),
)
def test_nothing_exceeds_the_inverter_and_the_sky_and_the_night_is_dark(
    latitude: float,
    longitude: float,
    tilt_deg: float,
    azimuth_deg: float,
    inverter_kw: float | None,
    scale: float,
    month: int,
) -> None:
    array = PvArray("roof", 10.0, tilt_deg, azimuth_deg, inverter_kw)
    issued = at(f"2026-{month:02d}-15 10:00")
    past = utc_index(issued - timedelta(days=12), 60, 12 * 24)
    noise = np.random.default_rng(month).uniform(0, scale, len(past))
    history = noise * clear_sky_kw([array], latitude, longitude, past)
    index = utc_index(issued, 60, 24)
    clear = clear_sky_kw([array], latitude, longitude, index)

    result = pv([array], latitude, longitude, index, history=history, issued_at=issued)

    for power_kw in (result.low, result.expected, result.high):
        assert power_kw.notna().all()
        assert (power_kw >= 0).all()
        assert (power_kw[clear == 0] == 0).all()
        assert (power_kw <= CLEAR_SKY_CAP * max(1.0, scale) * clear + 1e-9).all()
        assert inverter_kw is None or (power_kw <= inverter_kw + 1e-9).all()
    assert (result.low <= result.expected + 1e-9).all()
    assert (result.expected <= result.high + 1e-9).all()
