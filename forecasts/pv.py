"""PV without a weather service: clear sky, times what the site's own sky let through lately.

Clearness is measured energy over clear-sky energy. It holds the weather of the last weeks, and with it the shade of
the neighbour's tree, the dirt, and whatever the nameplate does not say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.clear_sky import PvArray, clear_sky_kw
from forecasts.errors import SeriesError
from forecasts.series import (
    FloatArray,
    Provenance,
    known_on_grid,
    require_aware,
    slot_length,
    validated_index,
)

LEARNING_DAYS = 28
FEWEST_DAYS = 3  # of history: below it the default clearness stands in
HOURLY_FROM_DAYS = 10  # below it every hour of the day has the factor of the whole day
HOURLY_PRIOR_DAYS = 3.0  # how many days of the mean clearness each hour's factor starts from
DEFAULT_CLEARNESS = (0.1, 0.6, 1.0)  # low, expected, high where nothing was measured: an assumption, not a forecast
CLEAR_SKY_CAP = 1.1  # cloud edges reach above a clear sky, but no slot's mean stays there
MIN_CLEAR_SHARE = 0.02  # of the highest clear-sky power: below it a ratio is noise
NOW_WITHIN = timedelta(hours=1)
NOW_FADES = timedelta(hours=3)  # e-folding time of what the current sky says about the coming slots
MAX_NOW_FACTOR = 2.0
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PvForecast:
    """PV power for each slot [kW]: ``0 <= low <= expected <= high``, 0 while the sun is down, never NaN.

    `low` and `high` are meant as the 10 % and 90 % quantile, `expected` as the mean. `gain` is measured over
    clear-sky energy of the history used.
    """

    expected: pd.Series
    low: pd.Series
    high: pd.Series
    provenance: Provenance
    gain: float


@dataclass(frozen=True, slots=True)
class _Clearness:
    """Factors on the clear sky by solar hour of the day. `most` is the site's own clear sky: 1, or what it reached."""

    low: FloatArray
    expected: FloatArray
    high: FloatArray
    most: FloatArray
    gain: float
    days: int


def pv(
    arrays: Sequence[PvArray],
    latitude: float,
    longitude: float,
    index: pd.DatetimeIndex,
    *,
    history: pd.Series | None = None,
    issued_at: datetime,
) -> PvForecast:
    """Forecast the mean PV power of all `arrays` in the slots of `index` from what was known at `issued_at`.

    `history` is measured kW on start-labelled stamps, gaps missing or NaN; a curtailed slot should be a gap. Values
    whose interval ends after `issued_at` are not used. The factor is learned over the last 28 days for each hour of
    the solar day; in the coming hours the sky of the last measured hour is carried forward. Nothing exceeds the
    inverters, or 1.1 times the clear sky of this site: the computed one, or what its clearest hours reached above it.
    With less than three days of history the factors are `DEFAULT_CLEARNESS`, and the provenance says that they are
    estimated.

    Raises `SeriesError` for malformed input.
    """
    index = validated_index(index)
    if len(index) == 0:
        raise SeriesError("index", "has no slots")
    if not arrays:
        raise SeriesError("arrays", "is empty: there is no PV to forecast")
    slot = slot_length(index)
    issued = require_aware("issued_at", issued_at)
    if history is None:
        history = pd.Series(dtype="float64", index=index[:0])
    measured = known_on_grid(history, index[0], slot, issued=issued, reach=timedelta(days=LEARNING_DAYS))
    measured = measured.clip(lower=0.0)  # what an inverter draws at night comes as a small negative power
    past_clear = clear_sky_kw(arrays, latitude, longitude, pd.DatetimeIndex(measured.index))
    clear = clear_sky_kw(arrays, latitude, longitude, index)

    clearness = _learn(measured, past_clear, longitude)
    if clearness is None:
        low, expected, high = (np.full(len(index), factor) for factor in DEFAULT_CLEARNESS)
        most = np.ones(len(index))
        detail = f"no {FEWEST_DAYS} days of history: {DEFAULT_CLEARNESS[1]:g} of a clear sky is assumed"
        provenance = Provenance("clear-sky", issued_at, detail, estimated=True)
        gain = DEFAULT_CLEARNESS[1]
    else:
        hour = solar_hour(index, longitude)
        usual = past_clear * clearness.expected[solar_hour(measured.index, longitude)]
        now = now_factor(measured, usual, index, issued)
        low, expected, high = clearness.low[hour] * now, clearness.expected[hour] * now, clearness.high[hour] * now
        most = clearness.most[hour]
        detail = f"clear sky times {clearness.gain:.2f}, learned from {clearness.days} days"
        provenance = Provenance("clear-sky", issued_at, detail)
        gain = clearness.gain

    limit_kw = np.minimum(CLEAR_SKY_CAP * most * clear, inverters_kw(arrays))

    def power_kw(factor: FloatArray, name: str) -> pd.Series:
        return pd.Series(np.minimum(factor * clear, limit_kw), index=index, name=name)

    return PvForecast(
        power_kw(expected, "pv_kw"), power_kw(low, "pv_low_kw"), power_kw(high, "pv_high_kw"), provenance, gain
    )


def _learn(measured: pd.Series, clear: pd.Series, longitude: float) -> _Clearness | None:
    """The factors that the measurements tell, or None when they are too few."""
    used = measured.notna() & (clear > MIN_CLEAR_SHARE * clear.max())
    measured, clear = measured[used], clear[used]
    day = solar_days(pd.DatetimeIndex(clear.index), longitude)
    by_day = pd.DataFrame({"measured": measured, "clear": clear}).groupby(day).sum()
    # A day counts by the share of its clear-sky energy that was measured.
    days = int(by_day["clear"].sum() / by_day["clear"].max() + 0.5) if len(by_day) else 0
    if days < FEWEST_DAYS:
        return None
    gain = float(measured.sum() / clear.sum())
    if days < HOURLY_FROM_DAYS:
        least, most = np.quantile(by_day["measured"] / by_day["clear"], [0.1, 0.9])
        low, expected, high, most = (np.full(24, x) for x in (min(least, gain), gain, max(most, gain), max(most, 1.0)))
        return _Clearness(low, expected, high, most, gain, days)

    hour = solar_hour(clear.index, longitude)
    hourly = pd.DataFrame({"measured": measured, "clear": clear}).groupby(hour).sum()
    prior = hourly["clear"] * HOURLY_PRIOR_DAYS / days
    mean = (hourly["measured"] + gain * prior) / (hourly["clear"] + prior)
    ratios = (measured / clear).groupby(hour)
    factors = pd.DataFrame(
        {
            "low": np.minimum(ratios.quantile(0.1), mean),
            "expected": mean,
            "high": np.maximum(ratios.quantile(0.9), mean),
            "most": np.maximum(ratios.quantile(0.98), 1.0),
        }
    ).reindex(range(24))
    # Hours in which the sun was too low to tell.
    factors = factors.fillna({"low": 0.0, "expected": gain, "high": max(1.0, gain), "most": max(1.0, gain)})
    low, expected, high, most = factors.to_numpy().T
    return _Clearness(low, expected, high, most, gain, days)


def now_factor(
    measured: pd.Series,
    usual: pd.Series,
    index: pd.DatetimeIndex,
    issued: pd.Timestamp,
    fades: timedelta = NOW_FADES,
) -> FloatArray:
    """How much more or less than `usual` (kW, on the stamps of `measured`) the current sky promises for each slot."""
    recent = (measured.index >= issued - NOW_WITHIN) & measured.notna()
    usual_kw = float(usual[recent].mean()) if recent.any() else 0.0
    if usual_kw <= 0.1 * float(usual.max()):  # night, or a sun too low to tell
        return np.ones(len(index))
    now = min(float(measured[recent].mean()) / usual_kw, MAX_NOW_FACTOR)
    ahead = np.asarray((index - issued) / fades)
    return np.asarray(1.0 + (now - 1.0) * np.exp(-np.maximum(ahead, 0.0)))


def solar_hour(index: pd.Index, longitude: float) -> NDArray[np.int64]:
    """The hour of the day by the mean sun: no time zone, and no jump in March."""
    return np.asarray((pd.DatetimeIndex(index) + longitude / 15 * _HOUR).hour, dtype=np.int64)


def solar_days(index: pd.DatetimeIndex, longitude: float) -> pd.DatetimeIndex:
    return (index + longitude / 15 * _HOUR).normalize()


def inverters_kw(arrays: Sequence[PvArray]) -> float:
    """What all inverters can deliver together; infinite when one is not limited."""
    return sum(np.inf if array.inverter_kw is None else array.inverter_kw for array in arrays)
