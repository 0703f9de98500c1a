"""PV from a weather forecast: pvlib's chain, times a gain and a shade factor by the hour that the site has taught.

The gain is what the nameplate does not say, the shade what stands in the way at that hour: both by least squares over
the last 30 days, each hour drawn towards the whole day. The band is what was missed under skies like the one forecast,
wider by a conformal correction: each half of the days is scored with the band that the other half gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.clear_sky import PvArray, clear_sky_kw
from forecasts.conformal import correction, scores
from forecasts.errors import SeriesError
from forecasts.irradiance import weather_kw
from forecasts.pv import (
    CLEAR_SKY_CAP,
    FEWEST_DAYS,
    MIN_CLEAR_SHARE,
    PvForecast,
    inverters_kw,
    now_factor,
    pv,
    solar_days,
    solar_hour,
)
from forecasts.series import (
    FloatArray,
    Provenance,
    known_on_grid,
    on_grid,
    require_aware,
    resolution,
    slot_length,
    validated,
    validated_index,
)

LEARNING_DAYS = 30
HOURLY_PRIOR_DAYS = 10.0  # how many days of the whole day's gain each hour's factor starts from
SKIES = (0.25, 0.5, 0.8)  # forecast power over that of a clear sky: overcast, cloudy, fair, clear
FEWEST_OF_A_SKY = 40  # slots; a kind of sky with fewer takes the band of all
NOW_FADES = timedelta(minutes=30)  # a weather forecast knows more of the next hours than the current sky
BAND = (0.1, 0.9)
DEFAULT_BAND = (0.5, 1.3)  # of what is expected, where nothing was measured: an assumption
CLEAREST = 0.98  # quantile of power over that of a clear sky that counts as the site's own clear sky
LEAST_MISS_KW_SHARE = 0.01  # of the highest power, as one slot more in each hour: no hour has a band of no width
LEAST_MODEL_KW = 1e-6  # irradiance that never promised more teaches no gain
_HOURS = 24


@dataclass(frozen=True, slots=True)
class Weather:
    """What was known of the weather at the moment of issue, past and to come, labelled by the start of each interval.

    `ghi_w_m2` is global horizontal irradiance [W/m²], `air_c` the air temperature [°C]; gaps missing or NaN.
    """

    ghi_w_m2: pd.Series
    air_c: pd.Series | None = None

    def power_kw(
        self, arrays: Sequence[PvArray], latitude: float, longitude: float, index: pd.DatetimeIndex
    ) -> pd.Series:
        """What the arrays' nameplates make of it, on the slots of `index`; NaN where the irradiance is not known."""
        ghi = _on(self.ghi_w_m2, index, "ghi")
        air = None if self.air_c is None else _on(self.air_c, index, "temp_air")
        return weather_kw(arrays, latitude, longitude, ghi, air)


@dataclass(frozen=True, slots=True)
class _Taught:
    """Factors by solar hour, the gain, and from how many days.

    `usual_miss_kw` is by solar hour the mean absolute error; `low` and `high` are by kind of sky, in multiples of it.
    `most` is by solar hour this site's own clear sky: 1, or what it reached above the computed one.
    """

    hourly: FloatArray
    gain: float
    usual_miss_kw: FloatArray
    most: FloatArray
    low: FloatArray
    high: FloatArray
    days: int


def pv_from_weather(
    arrays: Sequence[PvArray],
    latitude: float,
    longitude: float,
    index: pd.DatetimeIndex,
    *,
    weather: Weather,
    history: pd.Series | None = None,
    issued_at: datetime,
) -> PvForecast:
    """Forecast the mean PV power of all `arrays` in the slots of `index` from weather and what was measured.

    `history` is as in `forecasts.pv.pv`; of the weather, what lies in its time is used to learn from. Slots without
    irradiance are those of `pv`. In the coming hours the last measured hour is carried forward. Nothing exceeds the
    inverters, or 1.1 times this site's clear sky. With less than three days that have both power and irradiance the
    nameplate counts, and the provenance says that it is estimated. Raises `SeriesError` for malformed input.
    """
    index = validated_index(index)
    fallback = pv(arrays, latitude, longitude, index, history=history, issued_at=issued_at)
    if weather.ghi_w_m2.count() == 0:
        return fallback
    coming_kw = weather.power_kw(arrays, latitude, longitude, index)
    if coming_kw.isna().all():
        return fallback
    issued = require_aware("issued_at", issued_at)
    slot = slot_length(index)
    if history is None:
        history = pd.Series(dtype="float64", index=index[:0])
    measured = known_on_grid(history, index[0], slot, issued=issued, reach=timedelta(days=LEARNING_DAYS)).clip(lower=0)
    past = pd.DatetimeIndex(measured.index)
    past_kw = weather.power_kw(arrays, latitude, longitude, past)
    past_clear = clear_sky_kw(arrays, latitude, longitude, past)
    clear = clear_sky_kw(arrays, latitude, longitude, index)
    taught = _learn(measured, past_kw, past_clear, longitude)

    hour = solar_hour(index, longitude)
    factor = np.ones(_HOURS) if taught is None else taught.hourly
    expected = coming_kw.to_numpy() * factor[hour]
    room_kw = clear.to_numpy() * np.maximum(factor[hour], 1.0)
    limit_kw = CLEAR_SKY_CAP * room_kw
    if taught is None:
        low, high = DEFAULT_BAND[0] * expected, DEFAULT_BAND[1] * expected
        detail = f"the nameplate's: no {FEWEST_DAYS} days of power and irradiance to learn from"
    else:
        usual = past_kw.fillna(0.0) * factor[solar_hour(past, longitude)]
        now = now_factor(measured, usual, index, issued, NOW_FADES)
        sky = _sky(expected, room_kw)
        expected = expected * now
        usual_kw = np.where(clear.to_numpy() > 0, taught.usual_miss_kw[hour], 0.0)
        low, high = expected + taught.low[sky] * usual_kw, expected + taught.high[sky] * usual_kw
        limit_kw = CLEAR_SKY_CAP * taught.most[hour] * clear.to_numpy()
        detail = f"gain {taught.gain:.2f}, learned from {taught.days} days"
    limit_kw = np.minimum(limit_kw, inverters_kw(arrays))
    known = coming_kw.notna().to_numpy()
    if not known.all():
        detail += f"; {int((~known).sum())} of {len(known)} slots by clear sky"

    def power_kw(values: FloatArray, other: pd.Series) -> pd.Series:
        return pd.Series(np.where(known, np.clip(values, 0.0, limit_kw), other), index=index, name=other.name)

    expected_kw = power_kw(expected, fallback.expected)
    return PvForecast(
        expected_kw,
        power_kw(low, fallback.low).clip(upper=expected_kw),
        power_kw(high, fallback.high).clip(lower=expected_kw),
        Provenance("weather", issued_at, detail, estimated=taught is None),
        1.0 if taught is None else taught.gain,
    )


def _learn(measured: pd.Series, model: pd.Series, clear: pd.Series, longitude: float) -> _Taught | None:
    """What the days that have both teach; None where they are too few."""
    used = measured.notna() & model.notna() & (clear > 0)
    truth, said, sky_kw = (values[used].to_numpy() for values in (measured, model, clear))
    stamps = pd.DatetimeIndex(measured.index[used])
    day = pd.factorize(solar_days(stamps, longitude))[0]
    days = int(sky_kw.sum() / max(np.bincount(day, sky_kw).max(), 1e-9) + 0.5) if len(day) else 0
    if days < FEWEST_DAYS or said.max() < LEAST_MODEL_KW:
        return None
    hour = solar_hour(stamps, longitude)
    gain = float((said @ truth) / (said @ said))
    square = np.bincount(hour, said * said, _HOURS)
    prior = square * HOURLY_PRIOR_DAYS / days
    with np.errstate(invalid="ignore", divide="ignore"):
        hourly = (np.bincount(hour, said * truth, _HOURS) + gain * prior) / (square + prior)
    hourly = np.nan_to_num(hourly, nan=gain)
    expected = said * hourly[hour]
    room_kw = sky_kw * np.maximum(hourly[hour], 1.0)
    missed_kw = truth - expected
    slots = np.bincount(hour, minlength=_HOURS)
    usual_miss_kw = (np.bincount(hour, np.abs(missed_kw), _HOURS) + LEAST_MISS_KW_SHARE * truth.max()) / (slots + 1)
    missed = missed_kw / usual_miss_kw[hour]
    kind = _sky(expected, room_kw)
    low, high = _bands(missed, kind)
    halves = [_bands(missed[day % 2 == half], kind[day % 2 == half]) for half in (0, 1)]
    other = 1 - day % 2
    wider = correction(
        scores(
            np.stack([half[0] for half in halves])[other, kind], np.stack([h[1] for h in halves])[other, kind], missed
        ),
        BAND[1] - BAND[0],
    )
    ratio = pd.Series(truth / sky_kw)[sky_kw > MIN_CLEAR_SHARE * sky_kw.max()]
    reached = ratio.groupby(hour[ratio.index]).quantile(CLEAREST).reindex(range(_HOURS))
    most = np.maximum(reached.fillna(reached.max()).to_numpy(), np.maximum(hourly, 1.0))
    return _Taught(hourly, gain, usual_miss_kw, most, np.minimum(low - wider, 0.0), np.maximum(high + wider, 0.0), days)


def _sky(power_kw: FloatArray, room_kw: FloatArray) -> NDArray[np.int64]:
    """The kind of sky of each slot, by its share of the clear sky's power."""
    share = np.divide(power_kw, room_kw, out=np.zeros_like(power_kw), where=room_kw > 0)
    return np.searchsorted(SKIES, np.nan_to_num(share)).astype(np.int64)


def _bands(missed: FloatArray, kind: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """The quantiles of `BAND` for each kind of sky."""
    every = np.quantile(missed, BAND) if len(missed) else np.zeros(2)
    by_kind = [
        np.quantile(missed[kind == one], BAND) if (kind == one).sum() >= FEWEST_OF_A_SKY else every
        for one in range(len(SKIES) + 1)
    ]
    low, high = np.array(by_kind).T
    return low, high


def _on(series: pd.Series, index: pd.DatetimeIndex, name: str) -> pd.Series:
    series = validated(series, name).dropna()
    if len(series) == 0 or len(index) == 0:
        return pd.Series(np.nan, index=index, dtype="float64")
    if len(series) == 1:
        raise SeriesError(name, "has one value: too few to tell how long it holds")
    return on_grid(series, index, hold=resolution(series, name), field=name)
