"""What several simple models say of a day's base load, as each would have said it at noon of the day before.

None is best everywhere: an office repeats by type of day, a plant that cleans on Mondays by weekday, a house in spring
by its last days. `forecasts.blend` weighs them by how well each did lately.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecasts.local_days import weekdays
from forecasts.series import FloatArray
from forecasts.similar_days import QUANTILES, DayTable, pooled_quantiles, quantiles_of, similar_quantiles

MODELS = ("similar days", "same weekday", "recent days", "last days", "similar days, level", "same weekday, level")
LEVELLED = (0, 1)  # which of them come a second time, moved by what the last day's mean missed
LOOK_BACK_DAYS = 42  # ten days off reach back five weeks
WEEKS, LAST_DAYS = 4, 3
SCORED_DAYS = 28
FAR_DAYS, FAR_FROM_DAYS = 7, 3  # bands grow from those of the day ahead to those of a week ahead
LEVEL_PRIOR_DAYS = 7.0  # how many days without any persistence of the level each estimate starts from
MEDIAN = QUANTILES.index(0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Forecasts of the last days and of the days to come, by (day, model, quantile, slot) in kW.

    `truth` is what was measured on the past days (day, slot), NaN unknown; the last of them is that of the last
    measurement, mostly unfinished. `level_kw` is by (day, model), for the models without a level of their own, the
    mean of what they missed in the 24 hours that were known: up to noon of the day before (past), up to the last
    measurement, faded by as many days as lie between (coming); NaN unknown. `far` is `past` as it would have been said
    `FAR_DAYS` ahead, empty where nobody asked for it.
    """

    past: FloatArray
    far: FloatArray
    coming: FloatArray
    truth: FloatArray
    level_kw: FloatArray
    coming_level_kw: FloatArray


def candidates(
    table: DayTable, off: NDArray[np.bool_], coming: NDArray[np.datetime64], scored_days: int = SCORED_DAYS
) -> Candidates:
    """Forecasts of each of `MODELS` for the last `scored_days` of `table` and for the days `coming`, `off` or not.

    A past day is forecast from what was known at noon of the day before; the days to come from the whole table. `far`
    is made where one of those lies `FAR_FROM_DAYS` or more ahead: it costs as much as the rest.
    """
    rows = range(max(3, len(table.dates) - scored_days), len(table.dates))
    raw = _as_said(table, rows, 1)
    truth = table.power_kw[rows.start :]
    medians = raw[:, :, MEDIAN]
    missed = truth[:, None] - medians  # (day, model, slot)
    noon = truth.shape[1] // 2
    level = np.full(missed.shape[:2], np.nan)
    # The afternoon two days before and the morning of the day before: the last day that is known at noon.
    level[2:] = mean_known(np.concatenate([missed[:-2, :, noon:], missed[1:-1, :, :noon]], axis=2))
    persistence = _persistence(level, mean_known(missed))
    last = _last_day(table)
    today = np.stack([_raw(last, off_day, day) for off_day, day in zip(off, coming, strict=True)])
    now_level = _level_now(missed)
    days_ahead = np.maximum((coming - table.dates[-1]).astype(np.int64), 1)
    faded = now_level * persistence ** (days_ahead - 1)[:, None]
    past_level = np.nan_to_num(level)
    if days_ahead.max() >= FAR_FROM_DAYS:
        known_level = np.zeros_like(past_level)
        known_level[FAR_DAYS - 1 :] = past_level[: len(past_level) - FAR_DAYS + 1]
        far = _with_levels(_as_said(table, rows, FAR_DAYS), known_level * persistence**FAR_DAYS)
    else:
        far = np.zeros((0, *raw.shape[1:]))
    return Candidates(
        past=_with_levels(raw, past_level * persistence),
        far=far,
        coming=_with_levels(today, np.nan_to_num(faded) * persistence),
        truth=truth,
        level_kw=level,
        coming_level_kw=faded,
    )


def _as_said(table: DayTable, rows: range, days_ahead: int) -> FloatArray:
    """(day, model, quantile, slot) of past days, from what was known at noon so many days before each."""
    return np.stack(
        [_raw(known_at_noon(table, max(row - days_ahead, 0)), table.off[row], table.dates[row]) for row in rows]
    )


def _raw(known: DayTable, off: bool, day: np.datetime64) -> FloatArray:
    """(model, quantile, slot) of the models that need nothing but days."""
    similar = similar_quantiles(known, bool(off))
    same = known.power_kw[weekdays(known.dates) == weekdays(np.array([day]))[0]][-WEEKS:]
    weekday = quantiles_of(same)
    recent = similar_quantiles(DayTable(known.dates, np.zeros_like(known.off), known.power_kw), off=False)
    last = pooled_quantiles(known.power_kw[-LAST_DAYS - 1 :], known.slot_minutes)
    result = np.stack([similar, weekday, recent, last])
    return np.asarray(np.where(np.isnan(result), similar, result))


def known_at_noon(table: DayTable, row: int) -> DayTable:
    """What was known at noon of the day in `row`."""
    first, end = max(0, row + 1 - LOOK_BACK_DAYS), row + 1
    power_kw = table.power_kw[first:end].copy()
    power_kw[-1, power_kw.shape[1] // 2 :] = np.nan
    return DayTable(table.dates[first:end], table.off[first:end], power_kw)


def _last_day(table: DayTable) -> DayTable:
    return DayTable(table.dates[-LOOK_BACK_DAYS:], table.off[-LOOK_BACK_DAYS:], table.power_kw[-LOOK_BACK_DAYS:])


def mean_known(values: FloatArray) -> FloatArray:
    """Mean over the last axis of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1))


def _persistence(level: FloatArray, followed: FloatArray) -> FloatArray:
    """By model: the regression of a day's mean miss on the level known at noon before, 0 to 1, drawn to 0."""
    both = ~np.isnan(level) & ~np.isnan(followed)
    x, y = np.where(both, level, 0.0), np.where(both, followed, 0.0)
    square = (x**2).sum(axis=0)
    prior = LEVEL_PRIOR_DAYS * square / np.maximum(both.sum(axis=0), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(np.nan_to_num((x * y).sum(axis=0) / (square + prior)), 0.0, 1.0))


def _level_now(missed: FloatArray) -> FloatArray:
    """By model: the mean miss of the last day's worth of known slots."""
    slots = missed.shape[2]
    flat = missed[-3:].transpose(1, 0, 2).reshape(missed.shape[1], -1)
    known = np.flatnonzero(~np.isnan(flat[0]))
    end = known[-1] + 1 if len(known) else flat.shape[1]
    return mean_known(flat[:, max(0, end - slots) : end])


def _with_levels(raw: FloatArray, shift_kw: FloatArray) -> FloatArray:
    """The raw models, and those of `LEVELLED` once more, moved by (day, model)."""
    moved = [raw[:, model] + shift_kw[:, model, None, None] for model in LEVELLED]
    return np.asarray(np.maximum(np.concatenate([raw, np.stack(moved, axis=1)], axis=1), 0.0))
