"""Prices beyond the last published one: the shape that they had on the days before."""

from datetime import timedelta

import numpy as np
import pandas as pd

from forecasts.errors import SeriesError
from forecasts.local_days import local_dates, minutes_of_day
from forecasts.series import on_grid, slot_length

SHAPE_DAYS = 28
_WEEK = range(7, SHAPE_DAYS + 1, 7)
LOOK_BACK = (*_WEEK, *(days for days in range(1, SHAPE_DAYS) if days not in _WEEK))  # same weekday, else the latest
_ALWAYS = timedelta(days=366)


def continued(
    known: pd.Series, until: pd.Timestamp | None, index: pd.DatetimeIndex, time_zone: str
) -> tuple[pd.Series, pd.Series]:
    """Mean price of each slot, and whether it is estimated. `known` is validated and neither empty nor holds NaN."""
    slot = slot_length(index)
    back = (SHAPE_DAYS * timedelta(days=1)) // slot + 1
    grid = pd.date_range(index[0] - back * slot, index[-1], freq=slot)
    price = on_grid(_with_ends(known, until), grid, hold=_ALWAYS, field="prices")
    values = price.to_numpy()

    dates = local_dates(grid, time_zone)
    day = (dates - dates[0]).astype(np.int64)
    slot_of_day = minutes_of_day(grid, time_zone) // max(1, round(slot / timedelta(minutes=1)))
    table = np.full((day[-1] + 1, slot_of_day.max() + 1), np.nan)
    table[day[::-1], slot_of_day[::-1]] = values[::-1]  # of an hour that comes twice, the first
    result = values.copy()
    for days in LOOK_BACK:
        empty = np.isnan(result[back:]) & (day[back:] >= days)
        result[back:][empty] = table[day[back:][empty] - days, slot_of_day[back:][empty]]
    result[np.isnan(result)] = float(known.median())
    return pd.Series(result[back:], index=index), pd.Series(np.isnan(values[back:]), index=index)


def _with_ends(known: pd.Series, until: pd.Timestamp | None) -> pd.Series:
    """`known` with a NaN where a price ends and no other begins: hours and quarter hours may follow each other."""
    starts_us = pd.DatetimeIndex(known.index).as_unit("us").asi8
    until_us = None if until is None else int(pd.DatetimeIndex([until]).as_unit("us").asi8[0])
    distance_us = np.diff(starts_us)
    if len(distance_us):
        ends_us = starts_us + np.minimum(
            np.append(distance_us[0], distance_us), np.append(distance_us, distance_us[-1])
        )
        ends_us[-1] = until_us or ends_us[-1]
    elif until_us is not None:
        ends_us = np.array([until_us])
    else:
        raise SeriesError("prices", "has one value and no known_until: nobody knows how long it holds")
    ends = pd.DatetimeIndex(np.setdiff1d(ends_us, starts_us).view("datetime64[us]")).tz_localize("UTC")
    complete: pd.Series = pd.concat([known, pd.Series(np.nan, index=ends)]).sort_index()
    return complete
