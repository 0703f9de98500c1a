"""Similar days: what was measured at the same local time on the last days of the same type.

Two types are enough for a site's base load: workdays, and days off (Saturdays, Sundays, holidays). Values of the
neighbouring quarter hours are pooled, because nobody's routine is that exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.local_days import SATURDAY, is_off_day, local_dates, minutes_of_day, weekdays
from forecasts.series import FloatArray

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
SIMILAR_DAYS = 10
POOLED_MINUTES = 15  # on either side of a slot
FEWEST_VALUES = 5  # a slot with fewer values of its own type of day takes those of any day
_MINUTES_OF_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class DayTable:
    """Measurements laid out by local day and slot of the local clock: `power_kw[day, slot]`, NaN unknown.

    `off` says which days are days off, `dates` which days they are: consecutive, the first that of the first value.
    """

    dates: NDArray[np.datetime64]
    off: NDArray[np.bool_]
    power_kw: FloatArray

    @property
    def slot_minutes(self) -> float:
        return float(_MINUTES_OF_DAY / self.power_kw.shape[1])


def day_table(
    history: pd.Series, slot_minutes: int, time_zone: str, country: str | None, subdivision: str | None
) -> DayTable:
    """The table of a history that is on a grid of `slot_minutes`, a divisor of 60."""
    dates = local_dates(pd.DatetimeIndex(history.index), time_zone)
    days = np.arange(dates[0], dates[-1] + 1)
    table = np.full((len(days), _MINUTES_OF_DAY // slot_minutes), np.nan)
    slot = minutes_of_day(pd.DatetimeIndex(history.index), time_zone) // slot_minutes
    known = history.notna().to_numpy()
    table[(dates - days[0]).astype(np.int64)[known], slot[known]] = history.to_numpy()[known]
    return DayTable(days, is_off_day(days, country, subdivision), table)


def as_lived(table: DayTable, holidays: NDArray[np.bool_]) -> tuple[DayTable, bool]:
    """The table with holidays on which the site worked as workdays; and whether a coming holiday is to be a day off.

    A holiday was worked when its measurements are nearer to the median workday than to the median day off. The next
    one is taken as a day off unless most of those known were worked.
    """
    own = table.off & ~holidays
    rows = np.flatnonzero(table.off & holidays & (weekdays(table.dates) < SATURDAY))
    if len(rows) == 0 or own.sum() < 2 or (~table.off).sum() < 2:
        return table, True
    work, rest = (quantiles_of(table.power_kw[kind])[QUANTILES.index(0.5)] for kind in (~table.off, own))
    off = table.off.copy()
    for row in rows:
        known = ~np.isnan(table.power_kw[row] + work + rest)
        apart = [np.abs(table.power_kw[row] - usual)[known].sum() for usual in (work, rest)]
        off[row] = bool(apart[0] >= apart[1])
    return DayTable(table.dates, off, table.power_kw), bool(off[rows].sum() * 2 >= len(rows))


def similar_quantiles(table: DayTable, off: bool, before: int | None = None) -> FloatArray:
    """Quantiles [kW] for a day of a type, by (quantile, slot), from the rows before `before` (all when None).

    A slot without enough values of that type takes those of any day, and at last those of any time of day.
    NaN only where those rows hold no value at all.
    """
    power_kw, kind = table.power_kw[:before], table.off[:before]
    pooled_slots = round(POOLED_MINUTES / table.slot_minutes)
    own = _pooled(power_kw[kind == off], pooled_slots)
    result = quantiles_of(own)
    scarce = (~np.isnan(own)).sum(axis=0) < FEWEST_VALUES
    if scarce.any():
        any_day = quantiles_of(_pooled(power_kw, pooled_slots))
        any_time = quantiles_of(power_kw.reshape(-1, 1))
        result[:, scarce] = np.where(np.isnan(any_day), any_time, any_day)[:, scarce]
    return result


def _pooled(rows: FloatArray, pooled_slots: int) -> FloatArray:
    """The last known values of each slot and its neighbours, as (value, slot); NaN where there are fewer."""
    order = np.argsort(~np.isnan(rows), axis=0, kind="stable")  # the unknown first, the known in order of days
    latest = np.take_along_axis(rows, order, axis=0)[-SIMILAR_DAYS:]
    padded = np.pad(latest, ((0, 0), (pooled_slots, pooled_slots)), constant_values=np.nan)
    slots = rows.shape[1]
    return np.concatenate([padded[:, shift : shift + slots] for shift in range(2 * pooled_slots + 1)])


def pooled_quantiles(rows: FloatArray, slot_minutes: float) -> FloatArray:
    """`QUANTILES` of the rows' values in each slot and its neighbours; NaN where nothing is known."""
    return quantiles_of(_pooled(rows, round(POOLED_MINUTES / slot_minutes)))


def quantiles_of(values: FloatArray, levels: Sequence[float] = QUANTILES) -> FloatArray:
    """The quantiles `levels` of each column, NaN left out; np.nanquantile does the same forty times slower."""
    if len(values) == 0:
        return np.full((len(levels), values.shape[1]), np.nan)
    ordered = np.sort(values, axis=0)
    highest = np.maximum((~np.isnan(values)).sum(axis=0) - 1, 0)
    position = np.array(levels)[:, None] * highest
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, highest)
    share = position - below
    column = np.arange(values.shape[1])
    return np.asarray(ordered[below, column] * (1 - share) + ordered[above, column] * share)
