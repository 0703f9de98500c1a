"""Models without a thought: what a forecast has to beat."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.local_days import local_dates, minutes_of_day
from forecasts.series import FloatArray
from forecasts.similar_days import quantiles_of


@dataclass(frozen=True, slots=True)
class SameTime:
    """The same local time on given days before: their quantiles, or their one value."""

    time_zone: str
    days_before: tuple[int, ...]
    levels: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)

    def __call__(self, history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:  # noqa: ARG002  # a model's signature
        local = _by_local_time(history, self.time_zone)
        dates, minutes = _local_keys(index, self.time_zone)
        past = [_at(local, dates - np.timedelta64(days, "D"), minutes) for days in self.days_before]
        return pd.DataFrame(quantiles_of(np.stack(past), self.levels).T, index=index, columns=list(self.levels))


@dataclass(frozen=True, slots=True)
class LastWholeDay:
    """The same local time on the last day that was known whole: for the day ahead at noon, two days before it."""

    time_zone: str

    def __call__(self, history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        today = local_dates(pd.DatetimeIndex([issued_at]).tz_convert("UTC"), self.time_zone)[0]
        _, minutes = _local_keys(index, self.time_zone)
        values = _at(_by_local_time(history, self.time_zone), np.repeat(today - 1, len(index)), minutes)
        return pd.DataFrame({0.5: values}, index=index)


def last_value(history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:  # noqa: ARG001  # a model's signature
    """What was measured last goes on for ever: hard to beat in the next quarter hour."""
    known = history.dropna()
    return pd.DataFrame({0.5: float(known.iloc[-1]) if len(known) else np.nan}, index=index)


def two_days_before(time_zone: str) -> SameTime:
    """At noon nobody knows all of today yet: the last whole day is yesterday, two days before the day to come."""
    return SameTime(time_zone, (2,), levels=(0.5,))


def same_weekday(time_zone: str, weeks: int = 4) -> SameTime:
    """Quantiles of the same weekday in the last weeks: the model to beat."""
    return SameTime(time_zone, tuple(7 * week for week in range(1, weeks + 1)))


def _by_local_time(history: pd.Series, time_zone: str) -> pd.Series:
    keys = _local_keys(pd.DatetimeIndex(history.index), time_zone)
    local = pd.Series(history.to_numpy(), index=pd.MultiIndex.from_arrays(keys))
    return local[~local.index.duplicated()]


def _at(local: pd.Series, dates: NDArray[np.datetime64], minutes: NDArray[np.int64]) -> FloatArray:
    return np.asarray(local.reindex(pd.MultiIndex.from_arrays([dates, minutes])), dtype="float64")


def _local_keys(index: pd.DatetimeIndex, time_zone: str) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    return local_dates(index, time_zone), minutes_of_day(index, time_zone)
