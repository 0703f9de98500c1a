"""The shape of signals: start-labelled values on an aware UTC index, and how they come onto the grid of slots.

A value holds from its own stamp until the next one, but never longer than the step of its series: what lies behind
is a gap, and a gap stays NaN. Whoever needs a number there says so, in a forecast that is marked as one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.errors import SeriesError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a signal comes from. `estimated` is true where no measurement or publication of this signal backs it."""

    source: str
    issued_at: datetime
    detail: str = ""
    estimated: bool = False


def require_aware(field: str, moment: datetime) -> pd.Timestamp:
    """`moment` as a UTC timestamp; `SeriesError` when it has no time zone."""
    if moment.tzinfo is None:
        raise SeriesError(field, f"{moment.isoformat()} has no time zone")
    return pd.Timestamp(moment).tz_convert("UTC")


def utc_index(start: datetime, slot_minutes: int, slots: int) -> pd.DatetimeIndex:
    """The starts of `slots` slots of `slot_minutes`, the first at `start` (aware), in UTC."""
    if slot_minutes < 1:
        raise SeriesError("slot_minutes", f"{slot_minutes} is not at least 1")
    if slots < 1:
        raise SeriesError("slots", f"{slots} is not at least 1")
    return pd.date_range(require_aware("start", start), periods=slots, freq=pd.Timedelta(minutes=slot_minutes))


def validated(series: pd.Series, field: str = "series") -> pd.Series:
    """`series` as float values on a UTC index; NaN is a gap.

    Raises `SeriesError`, naming the first offending stamp, when the index is naive, unsorted or has duplicates, and
    when a value is infinite.
    """
    index = validated_index(series.index, field)
    values = series.to_numpy(dtype="float64", na_value=np.nan)
    infinite = np.isinf(values)
    if infinite.any():
        raise SeriesError(field, f"is infinite at {index[int(infinite.argmax())].isoformat()}")
    return pd.Series(values, index=index, name=series.name)


def validated_index(index: pd.Index, field: str = "index") -> pd.DatetimeIndex:
    """`index` in UTC; `SeriesError` when it is naive, unsorted or has duplicates."""
    if not isinstance(index, pd.DatetimeIndex):
        raise SeriesError(field, f"has an index of {type(index).__name__}, not of times")
    if index.tz is None:
        first = f", first stamp {index[0].isoformat()}" if len(index) else ""
        raise SeriesError(field, f"has stamps without a time zone{first}")
    if index.hasnans:
        raise SeriesError(field, f"has no stamp at position {int(index.isna().argmax())}")
    if not index.is_unique:
        raise SeriesError(field, f"has {index[index.duplicated()][0].isoformat()} twice")
    if not index.is_monotonic_increasing:
        back = int((np.diff(index.asi8) < 0).argmax()) + 1
        raise SeriesError(field, f"is not sorted: {index[back].isoformat()} comes after {index[back - 1].isoformat()}")
    return index.tz_convert("UTC")


def slot_length(index: pd.DatetimeIndex, field: str = "index") -> timedelta:
    """The length of the slots whose starts are `index`; `SeriesError` when they are not equally long.

    A single slot needs an index with a frequency, as `utc_index` makes it.
    """
    if len(index) < 2:
        if index.freq is None:
            raise SeriesError(field, f"has {len(index)} slots and no frequency: their length is unknown")
        return (index[0] + index.freq - index[0]).to_pytimedelta()
    steps = np.diff(_seconds(index))
    odd = steps != steps[0]
    if odd.any():
        at = index[int(odd.argmax())].isoformat()
        raise SeriesError(field, f"has slots of different length: {steps[0]:g} s, but {steps[odd][0]:g} s at {at}")
    return timedelta(seconds=float(steps[0]))


def resolution(series: pd.Series, field: str = "series") -> timedelta:
    """The step of a series: the most frequent distance between two stamps, the shorter one of equals."""
    if len(series) < 2:
        raise SeriesError(field, f"has {len(series)} values: too few to tell its step")
    steps, counts = np.unique(np.diff(_seconds(validated_index(series.index, field))), return_counts=True)
    return timedelta(seconds=float(steps[counts.argmax()]))


def known_by(series: pd.Series, moment: datetime, step: timedelta) -> pd.Series:
    """The values whose interval, `step` long, had ended by `moment`."""
    return series[pd.DatetimeIndex(series.index) <= pd.Timestamp(moment) - step]


def on_grid(
    series: pd.Series,
    index: pd.DatetimeIndex,
    how: Literal["mean", "sum"] = "mean",
    *,
    hold: timedelta | None = None,
    min_coverage: float = 1.0,
    field: str = "series",
) -> pd.Series:
    """`series` on the slots of `index`: the time-weighted mean (power, price) or the share of the sum (energy).

    `hold` is how long a value holds at most; by default the step of the series. A slot of which less than
    `min_coverage` (0 to 1] is known stays NaN; the mean is over the known part, the sum is never scaled up.
    Raises `SeriesError` for a malformed series or index.
    """
    series = validated(series, field)
    index = validated_index(index, "index")
    if len(index) == 0 or len(series) == 0:
        return pd.Series(np.nan, index=index, dtype="float64", name=series.name)
    slot_s = slot_length(index).total_seconds()
    hold_s = (resolution(series, field) if hold is None else hold) / timedelta(seconds=1)

    starts = _seconds(series.index)
    ends = np.minimum(np.append(starts[1:], np.inf), starts + hold_s)
    values = series.to_numpy()
    if how == "sum":  # to a density and back, so that a value is shared out by time
        values = values / (ends - starts)
    known = ~np.isnan(values)
    mean, covered = _slot_means(starts[known], ends[known], values[known], _seconds(index), slot_s)
    result = mean * covered if how == "sum" else mean
    result[covered < slot_s * min_coverage - 1e-6] = np.nan
    return pd.Series(result, index=index, name=series.name)


def known_on_grid(
    history: pd.Series,
    first_slot: pd.Timestamp,
    slot: timedelta,
    *,
    issued: pd.Timestamp,
    reach: timedelta,
    min_coverage: float = 1.0,
) -> pd.Series:
    """What was known at `issued` of the time `reach` before it, on the grid that goes through `first_slot`.

    From the first known value to the last slot that had ended, NaN unknown; empty when nothing is known.
    """
    history = validated(history, "history").dropna()
    stamps = pd.DatetimeIndex(history.index)
    history = history[(stamps < issued) & (stamps >= issued - reach)]
    step = resolution(history, "history") if len(history) > 1 else slot
    history = known_by(history, issued, step)
    if history.empty:
        return pd.Series(dtype="float64", index=pd.date_range(first_slot, periods=0, freq=slot))
    slots_back = -((history.index[0] - first_slot) // slot)
    grid = pd.date_range(first_slot - slots_back * slot, issued - slot, freq=slot)
    return on_grid(history, grid, hold=step, min_coverage=min_coverage, field="history")


def _slot_means(
    starts: FloatArray, ends: FloatArray, values: FloatArray, slots: FloatArray, slot_s: float
) -> tuple[FloatArray, FloatArray]:
    """For each slot the mean over its known part, and how many seconds of it are known."""
    slot_ends = slots + slot_s
    first = np.searchsorted(slot_ends, starts, side="right")  # the slots that a value touches
    last = np.searchsorted(slots, ends, side="left")
    touched = np.maximum(last - first, 0)
    piece = np.repeat(np.arange(len(values)), touched)
    slot = np.arange(touched.sum()) - np.repeat(np.cumsum(touched) - touched, touched) + np.repeat(first, touched)
    overlap_s = np.minimum(ends[piece], slot_ends[slot]) - np.maximum(starts[piece], slots[slot])

    covered: FloatArray = np.bincount(slot, weights=overlap_s, minlength=len(slots)).astype("float64")
    base = np.full(len(slots), np.nan)
    base[slot[::-1]] = values[piece[::-1]]  # the first value of each slot
    # Means are taken relative to that first value: equal prices stay exactly equal, whatever the slot length.
    excess = np.bincount(slot, weights=overlap_s * (values[piece] - base[slot]), minlength=len(slots))
    with np.errstate(invalid="ignore", divide="ignore"):
        return base + excess / covered, covered


def _seconds(index: pd.Index) -> FloatArray:
    """Seconds since 1970, exact for whole microseconds."""
    times = pd.DatetimeIndex(index)
    return (times.as_unit("us").asi8 / 1e6).astype("float64")
