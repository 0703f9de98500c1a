"""Site base load: what the site draws without its EVs, as quantiles for each slot.

Quantiles of similar days, widened by a rolling conformal correction and anchored to the last measurements; before two
weeks were measured, a standard profile. Subtract past EV charging from the meter first: nobody here knows of it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from forecasts.bdew import standard_profile
from forecasts.conformal import correction, scores
from forecasts.errors import InsufficientHistoryError, SeriesError
from forecasts.local_days import is_off_day, local_dates, minutes_of_day
from forecasts.series import (
    FloatArray,
    Provenance,
    known_on_grid,
    require_aware,
    slot_length,
    validated_index,
)
from forecasts.similar_days import QUANTILES, DayTable, day_table, similar_quantiles

COLD_START_DAYS = 14.0
SCORED_DAYS = 28
OLDEST_DAYS = 70  # ten days off reach back five weeks; twice that leaves room for gaps
STALE_AFTER = timedelta(days=7)
ANCHOR_WITHIN = timedelta(hours=1)  # an older measurement says nothing about the coming slots
MAX_HOURLY_PERSISTENCE = 0.8  # above it a residual would reach into the next day
# Of the power of a standard profile: an assumption, wide on purpose, until the site has a history of its own.
COLD_START_FACTORS = (0.5, 0.75, 1.0, 1.3, 1.7)
_MEDIAN = QUANTILES.index(0.5)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class BaseLoadForecast:
    """Base load for each slot [kW], never negative and never NaN.

    `quantiles` has a column for each of `QUANTILES`, rising from left to right; `expected` is the median.
    `days_of_history` is how much was known at the time of issue, gaps not counted.
    """

    quantiles: pd.DataFrame
    expected: pd.Series
    provenance: Provenance
    days_of_history: float


@dataclass(frozen=True, slots=True)
class _Calendar:
    time_zone: str
    country: str | None
    subdivision: str | None


def base_load(
    history: pd.Series,
    index: pd.DatetimeIndex,
    *,
    time_zone: str,
    issued_at: datetime,
    country: str | None = None,
    subdivision: str | None = None,
    annual_energy_kwh: float | None = None,
    profile: str = "g25",
) -> BaseLoadForecast:
    """Forecast the base load in the slots of `index` from what was known at `issued_at`.

    `history` is kW on start-labelled stamps at its own step, gaps missing or NaN; a value whose interval ends after
    `issued_at` is not used. Quantiles are those of the last ten days of the same type, neighbouring quarter hours
    pooled, plus what the outer (0.1 to 0.9) and inner (0.25 to 0.75) interval missed in the last 28 days. The mean
    residual of the last measured hour is carried forward, fading as residuals faded in the past.

    With less than 14 days of history it is the BDEW `profile`, scaled to `annual_energy_kwh`, or to the mean of the
    little history there is, and the provenance says that it is estimated. Raises `InsufficientHistoryError` when
    there is neither, `SeriesError` for malformed input.
    """
    index = validated_index(index)
    if len(index) == 0:
        raise SeriesError("index", "has no slots")
    slot = slot_length(index)
    slot_minutes = round(slot / timedelta(minutes=1))
    if slot != timedelta(minutes=slot_minutes) or 60 % slot_minutes:
        raise SeriesError("index", f"has slots of {slot.total_seconds():g} s, which do not divide an hour")
    issued = require_aware("issued_at", issued_at)
    calendar = _Calendar(time_zone, country, subdivision)
    # Half a slot says enough about a site's mean power; a slot that is less known is a gap.
    measured = known_on_grid(
        history, index[0], slot, issued=issued, reach=timedelta(days=OLDEST_DAYS), min_coverage=0.5
    )
    measured = measured.loc[: measured.last_valid_index()] if measured.notna().any() else measured[:0]
    days_of_history = float(measured.count() * (slot / _DAY))

    if days_of_history < COLD_START_DAYS:
        expected, detail = _cold_start(measured, index, calendar, annual_energy_kwh, profile)
        power_kw = np.outer(COLD_START_FACTORS, expected)
        provenance = Provenance(f"bdew-{profile}", issued_at, detail, estimated=True)
    else:
        power_kw = _from_similar_days(measured, index, slot_minutes, calendar, issued)
        age = issued - (measured.index[-1] + slot)
        detail = f"{days_of_history:.0f} days of history, the last value {age / _HOUR:.1f} h old"
        provenance = Provenance("similar-days", issued_at, detail, estimated=age > STALE_AFTER)

    power_kw = np.maximum.accumulate(np.maximum(power_kw, 0.0), axis=0)
    quantiles = pd.DataFrame(power_kw.T, index=index, columns=list(QUANTILES))
    return BaseLoadForecast(quantiles, quantiles[0.5].rename("base_load_kw"), provenance, days_of_history)


def _cold_start(
    measured: pd.Series, index: pd.DatetimeIndex, calendar: _Calendar, annual_energy_kwh: float | None, profile: str
) -> tuple[FloatArray, str]:
    """Expected kW in each slot of a standard profile, and what scaled it."""

    def shape(slots: pd.DatetimeIndex, energy_kwh: float) -> pd.Series:
        return standard_profile(
            profile,
            slots,
            time_zone=calendar.time_zone,
            annual_energy_kwh=energy_kwh,
            country=calendar.country,
            subdivision=calendar.subdivision,
        )

    if annual_energy_kwh is not None:
        return shape(index, annual_energy_kwh).to_numpy(), f"scaled to {annual_energy_kwh:g} kWh a year"
    if measured.empty:
        raise InsufficientHistoryError(
            "the base load needs a history, or annual_energy_kwh to scale a standard profile"
        )
    unit = shape(pd.DatetimeIndex(measured.index), 1.0)[measured.notna()]
    scale = max(float(measured.mean()), 0.0) / float(unit.mean())
    return shape(index, scale).to_numpy(), f"scaled to the mean of {measured.count()} measured slots"


def _from_similar_days(
    measured: pd.Series, index: pd.DatetimeIndex, slot_minutes: int, calendar: _Calendar, issued: pd.Timestamp
) -> FloatArray:
    """Quantiles [kW] by (quantile, slot of `index`)."""
    table = day_table(measured, slot_minutes, calendar.time_zone, calendar.country, calendar.subdivision)
    scored, past = _past_forecasts(table)
    by_type = np.stack([_corrected(similar_quantiles(table, off), past, scored) for off in (False, True)])

    dates = local_dates(index, calendar.time_zone)
    days, day_of_slot = np.unique(dates, return_inverse=True)
    off = is_off_day(days, calendar.country, calendar.subdivision).astype(np.int64)[day_of_slot]
    slot_of_day = minutes_of_day(index, calendar.time_zone) // slot_minutes
    power_kw = by_type[off, :, slot_of_day].T
    return power_kw + _carried_residual_kw(scored - past[:, _MEDIAN], measured, index, calendar.time_zone, issued)


def _past_forecasts(table: DayTable) -> tuple[FloatArray, FloatArray]:
    """The last days' measurements by (day, slot), and what would have been forecast for them two days ahead."""
    rows = range(max(3, len(table.dates) - SCORED_DAYS), len(table.dates))
    past = [similar_quantiles(table, bool(table.off[row]), before=row - 1) for row in rows]
    return table.power_kw[rows.start :], np.stack(past)


def _corrected(quantiles: FloatArray, past: FloatArray, truth: FloatArray) -> FloatArray:
    corrected = quantiles.copy()
    for low in range(_MEDIAN):
        high = len(QUANTILES) - 1 - low
        missed = correction(scores(past[:, low], past[:, high], truth), QUANTILES[high] - QUANTILES[low])
        corrected[low] = np.minimum(quantiles[low] - missed, quantiles[_MEDIAN])
        corrected[high] = np.maximum(quantiles[high] + missed, quantiles[_MEDIAN])
    corrected[:_MEDIAN] = np.minimum.accumulate(corrected[:_MEDIAN][::-1], axis=0)[::-1]
    return np.maximum.accumulate(corrected, axis=0)


def _carried_residual_kw(
    residuals_kw: FloatArray, measured: pd.Series, index: pd.DatetimeIndex, time_zone: str, issued: pd.Timestamp
) -> FloatArray:
    r"""What the last measured hour's mean residual :math:`r` still says about each slot: :math:`r \varphi^h`.

    :math:`h` is hours since the last measured slot, :math:`\varphi` the regression of residuals on the mean residual
    of the hour that ended an hour before.
    """
    last = measured.index[-1]
    slots_per_day = residuals_kw.shape[1]
    slots_per_hour = slots_per_day // 24
    if issued - (last + _DAY / slots_per_day) > ANCHOR_WITHIN:
        return np.zeros(len(index))
    residual_kw = residuals_kw.ravel()
    hour_mean = pd.Series(residual_kw).rolling(slots_per_hour, min_periods=1).mean().to_numpy()
    slot_of_day = minutes_of_day(pd.DatetimeIndex([last]), time_zone)[0] * slots_per_day // (24 * 60)
    now_kw = np.nan_to_num(hour_mean[len(residual_kw) - slots_per_day + slot_of_day])

    before, after = hour_mean[:-slots_per_hour], residual_kw[slots_per_hour:]
    both = ~np.isnan(before) & ~np.isnan(after)
    square = float(before[both] @ before[both])
    persistence = float(before[both] @ after[both]) / square if square > 0 else 0.0
    persistence = min(max(persistence, 0.0), MAX_HOURLY_PERSISTENCE)
    ahead_h = np.maximum(np.asarray((index - last) / _HOUR), 0.0)
    return np.asarray(now_kw * persistence**ahead_h)
