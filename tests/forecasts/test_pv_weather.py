"""PV from weather: what pvlib makes of irradiance, and what a site teaches about the rest."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasts.backtest import Horizon, Model, backtest_horizons
from forecasts.clear_sky import PvArray, clear_sky_kw
from forecasts.errors import SeriesError
from forecasts.irradiance import weather_kw
from forecasts.local_days import day_slots
from forecasts.pv import PvForecast, pv
from forecasts.pv_weather import Weather, pv_from_weather
from forecasts.series import utc_index
from tests.forecasts.builders import BERLIN, at, pv_power, pv_table, slots

LATITUDE, LONGITUDE = 52.5, 13.4
ROOF = PvArray("roof", peak_kw=10.0, tilt_deg=30.0)
NOON = "2026-06-10 10:00"
TOMORROW = day_slots(date(2026, 6, 11), BERLIN, 15)
PAST = utc_index(at(NOON) - timedelta(days=30), 15, 30 * 96)


def clear_ghi(index: pd.DatetimeIndex) -> pd.Series:
    from pvlib import clearsky, irradiance, solarposition

    middle = index + timedelta(minutes=7.5)
    sun = solarposition.ephemeris(middle, LATITUDE, LONGITUDE)
    sky = clearsky.simplified_solis(sun["apparent_elevation"], dni_extra=irradiance.get_extra_radiation(middle))
    return pd.Series(np.nan_to_num(sky["ghi"].to_numpy()), index=index)


def a_sky(seed: int = 1, days: int = 33) -> pd.Series:
    """Irradiance from 30 days before noon on: each day as clear as its own number, with clouds in it."""
    rng = np.random.default_rng(seed)
    index = utc_index(at(NOON) - timedelta(days=30), 15, days * 96)
    daily = np.repeat(rng.uniform(0.2, 1.0, days), 96)
    return clear_ghi(index) * np.clip(daily * rng.normal(1.0, 0.1, len(index)), 0.0, 1.05)


def forecast(ghi: pd.Series, history: pd.Series | None, index: pd.DatetimeIndex = TOMORROW) -> PvForecast:
    return pv_from_weather(
        [ROOF], LATITUDE, LONGITUDE, index, weather=Weather(ghi), history=history, issued_at=at(NOON)
    )


def test_a_clear_sky_s_irradiance_gives_a_clear_sky_s_power() -> None:
    through_weather = weather_kw([ROOF], LATITUDE, LONGITUDE, clear_ghi(TOMORROW))
    direct = clear_sky_kw([ROOF], LATITUDE, LONGITUDE, TOMORROW)

    assert through_weather.sum() == pytest.approx(direct.sum(), rel=0.06)
    assert (through_weather[direct == 0] == 0).all()


def test_hours_of_irradiance_give_the_energy_of_their_quarters() -> None:
    quarters = clear_ghi(TOMORROW)
    hours = quarters.groupby(TOMORROW.floor("h")).mean()

    assert weather_kw([ROOF], LATITUDE, LONGITUDE, hours).sum() == pytest.approx(
        weather_kw([ROOF], LATITUDE, LONGITUDE, quarters).sum() / 4, rel=0.02
    )


def test_heat_costs_power_and_an_unknown_temperature_is_twenty_degrees() -> None:
    ghi = clear_ghi(TOMORROW)

    def energy(air_c: float | None) -> float:
        air = None if air_c is None else pd.Series(air_c, index=TOMORROW)
        return float(weather_kw([ROOF], LATITUDE, LONGITUDE, ghi, air).sum())

    assert energy(35.0) < energy(20.0) < energy(5.0)
    assert energy(None) == energy(20.0) == energy(float("nan"))


def test_each_array_is_clipped_at_its_own_inverter() -> None:
    east, west = PvArray("east", 10.0, 45.0, 90.0, inverter_kw=3.0), PvArray("west", 10.0, 45.0, 270.0)
    ghi = clear_ghi(TOMORROW)

    both = weather_kw([east, west], LATITUDE, LONGITUDE, ghi)
    alone = [weather_kw([array], LATITUDE, LONGITUDE, ghi) for array in (east, west)]

    assert alone[0].max() == pytest.approx(3.0)
    pd.testing.assert_series_equal(both, alone[0] + alone[1])


def test_an_irradiance_that_is_not_known_is_not_dark() -> None:
    ghi = clear_ghi(TOMORROW)
    ghi.iloc[40:44] = np.nan

    power_kw = weather_kw([ROOF], LATITUDE, LONGITUDE, ghi)

    assert power_kw.isna().sum() == 4


def test_what_the_nameplate_does_not_say_is_learned() -> None:
    ghi = a_sky()
    history = 0.7 * weather_kw([ROOF], LATITUDE, LONGITUDE, ghi[PAST])

    result = forecast(ghi, history)

    assert result.gain == pytest.approx(0.7, rel=0.01)
    assert result.expected.sum() == pytest.approx(
        0.7 * weather_kw([ROOF], LATITUDE, LONGITUDE, ghi[TOMORROW]).sum(), rel=0.02
    )
    assert not result.provenance.estimated


def test_the_neighbour_s_tree_shades_the_same_hours_tomorrow() -> None:
    ghi = a_sky()
    open_kw = weather_kw([ROOF], LATITUDE, LONGITUDE, ghi)
    afternoon = pd.DatetimeIndex(ghi.index).hour >= 14
    history = open_kw.mask(afternoon, 0.4 * open_kw)[PAST]

    share = forecast(ghi, history).expected / open_kw[TOMORROW]

    assert share[TOMORROW.hour == 9].mean() == pytest.approx(1.0, abs=0.1)
    assert share[TOMORROW.hour == 16].mean() == pytest.approx(0.5, abs=0.15)


def test_an_overcast_forecast_gives_little_and_a_clear_one_much() -> None:
    ghi = a_sky()
    history = weather_kw([ROOF], LATITUDE, LONGITUDE, ghi[PAST])
    grey, blue = ghi.copy(), ghi.copy()
    grey[TOMORROW], blue[TOMORROW] = 0.15 * clear_ghi(TOMORROW), clear_ghi(TOMORROW)

    assert forecast(grey, history).expected.sum() < 0.25 * forecast(blue, history).expected.sum()


def test_without_measurements_the_nameplate_counts_and_says_so() -> None:
    result = forecast(a_sky(), None)

    assert result.provenance.estimated
    assert "nameplate" in result.provenance.detail
    assert result.gain == 1.0


def test_slots_that_the_weather_does_not_reach_are_those_of_the_clear_sky() -> None:
    ghi = a_sky()
    history = 0.8 * weather_kw([ROOF], LATITUDE, LONGITUDE, ghi[PAST])
    index = slots(NOON, 2 * 96)
    short = ghi[ghi.index < index[96]]

    result = forecast(short, history, index)
    without = pv([ROOF], LATITUDE, LONGITUDE, index, history=history, issued_at=at(NOON))

    pd.testing.assert_series_equal(result.expected.iloc[96:], without.expected.iloc[96:])
    assert "96 of 192 slots by clear sky" in result.provenance.detail


def test_without_any_weather_it_is_the_clear_sky_s_forecast() -> None:
    ghi = a_sky()
    history = 0.8 * weather_kw([ROOF], LATITUDE, LONGITUDE, ghi[PAST])

    result = forecast(ghi[ghi.index < at(NOON)], history)

    assert result.provenance.source == "clear-sky"


def test_what_is_measured_after_the_issue_changes_nothing() -> None:
    ghi = a_sky()
    history = 0.8 * weather_kw([ROOF], LATITUDE, LONGITUDE, ghi)
    other = history.copy()
    other[other.index >= at(NOON)] = 99.0

    pd.testing.assert_series_equal(forecast(ghi, history).expected, forecast(ghi, other).expected)


def test_one_lone_value_of_irradiance_is_refused() -> None:
    with pytest.raises(SeriesError, match="ghi has one value"):
        forecast(pd.Series([300.0], index=TOMORROW[40:41]), None)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.0, 3.0), inverter_kw=st.one_of(st.none(), st.floats(0.5, 9.0)))
def test_no_weather_makes_a_forecast_that_is_unknown_crossed_or_above_the_inverter(
    seed: int, scale: float, inverter_kw: float | None
) -> None:
    roof = PvArray("roof", 10.0, 30.0, 180.0, inverter_kw)
    ghi = a_sky(seed) * scale
    history = weather_kw([roof], LATITUDE, LONGITUDE, a_sky(seed + 1)[PAST])

    said = pv_from_weather(
        [roof], LATITUDE, LONGITUDE, TOMORROW, weather=Weather(ghi), history=history, issued_at=at(NOON)
    )
    band = np.stack([said.low, said.expected, said.high])

    assert not np.isnan(band).any()
    assert (band >= 0).all()
    assert (np.diff(band, axis=0) >= 0).all()
    assert band.max() <= (np.inf if inverter_kw is None else inverter_kw + 1e-9)
    assert (band[:, clear_sky_kw([roof], LATITUDE, LONGITUDE, TOMORROW) == 0] == 0).all()


def test_a_real_roof_with_satellite_weather_is_within_the_aim() -> None:
    table, power_kw = pv_table(), pv_power()
    place = ([PvArray("roof", 6.0, 45.0, 158.0)], 39.742, -105.173)
    weather = Weather(table["ghi"], table["temp_air"])

    def learned(known: pd.Series, index: pd.DatetimeIndex, issued_at: object) -> pd.DataFrame:
        said = pv_from_weather(*place, index, weather=weather, history=known, issued_at=issued_at)  # type: ignore[arg-type]  # a moment
        return pd.DataFrame({0.1: said.low, 0.5: said.expected, 0.9: said.high})

    models: dict[str, Model] = {"learned": learned}
    scores = backtest_horizons(
        models,
        power_kw,
        time_zone="Etc/GMT+7",
        days=[date(2016, 8, 1) + timedelta(days=4 * n) for n in range(18)],
        horizons=(Horizon.day(1),),
        scored=clear_sky_kw(*place, pd.DatetimeIndex(power_kw.index)) > 0,
        normaliser=float(power_kw.quantile(0.995)),
    ).table.to_dict("records")[0]

    assert scores["nrmse"] <= 0.163
    assert 0.7 <= scores["coverage"] <= 0.9
