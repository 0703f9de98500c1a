"""The first two weeks of a site: its own few days and a standard profile, held against the naive model.

Nobody knows yet what kind of site it is. So each model is scored on the days there are, as it would have said them at
noon of the day before, and counts by that. Few days prove little: the naive model, the same weekday or else the last
whole day, is followed until the others were clearly better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecasts.blend import POWER, blended, pinball
from forecasts.load_candidates import LAST_DAYS, MEDIAN, SCORED_DAYS, WEEKS, known_at_noon, mean_known
from forecasts.local_days import weekdays
from forecasts.series import FloatArray
from forecasts.similar_days import DayTable, pooled_quantiles, quantiles_of, similar_quantiles

NAIVE = "naive"
MODELS = ("last day", "last like day", "similar days", "recent days", "last days", "standard profile")
LAST_DAY = MODELS.index("last day")
# Of the power of a standard profile: an assumption, wide on purpose, until the site has a history of its own.
PROFILE_FACTORS = (0.5, 0.75, 1.0, 1.3, 1.7)
CLEARLY = 1.3  # how much better than the naive model the others have to be to count as much
MOST_WORSE = 100.0  # times: beyond, the power says nothing more
# Of the mean load, added to what a day lost: one day that was exact, or one that nobody foresaw, does not decide alone.
SHARE_FLOOR, TRUST_FLOOR = 0.02, 1e-3
_LEAST_KW = 1e-9  # where the load is 0 throughout


@dataclass(frozen=True, slots=True, eq=False)
class FirstDays:
    """What was said of the past days and is of those to come, by (day, quantile, slot) in kW.

    `truth` is what was measured on the past days (day, slot), NaN unknown; `share` is by the name of a model.
    """

    past: FloatArray
    coming: FloatArray
    truth: FloatArray
    share: dict[str, float]


def first_days(
    table: DayTable,
    off: Sequence[bool] | NDArray[np.bool_],
    coming: NDArray[np.datetime64],
    profile: FloatArray,
    coming_profile: FloatArray,
) -> FirstDays:
    """Forecasts for the days `coming`, `off` or not, from a table of three days at least.

    `profile` and `coming_profile` are the shape of a standard profile by (day, slot), in any unit, for the days of the
    table and for those to come; its level is that of the days measured.
    """
    rows = range(max(2, len(table.dates) - SCORED_DAYS), len(table.dates))
    dates, truth = table.dates[rows.start :], table.power_kw[rows.start :]
    said = np.stack(
        [_said(known_at_noon(table, row - 1), bool(table.off[row]), profile[:row], profile[row]) for row in rows]
    )
    ahead = np.stack([_said(table, bool(one), profile, shape) for one, shape in zip(off, coming_profile, strict=True)])
    missed = truth[:, None] - said[:, :, MEDIAN]  # (day, model, slot)
    own = np.stack([_with_misses(said[number], _until_noon(missed[:number])) for number in range(len(rows))])
    every = np.concatenate([said, own], axis=1)
    every_ahead = np.concatenate([ahead, np.stack([_with_misses(one, missed) for one in ahead])], axis=1)
    share = _shares(every, truth)
    past, future = blended(every, share), blended(every_ahead, share)

    last_loss, week = pinball(said[:, LAST_DAY], truth), _same_weekdays(table, dates, rows)
    loss, week_loss = pinball(past, truth), pinball(week, truth)
    floor = _LEAST_KW + TRUST_FLOOR * float(mean_known(np.abs(truth).ravel()))
    by_last = np.full(len(dates) + len(coming), _trust(_ratio(loss, last_loss, floor)))
    by_week = np.array(
        [
            _trust(max(_ratio(loss, week_loss, floor), _ratio_like(loss, week_loss, dates, day)))
            for day in (*dates, *coming)
        ]
    )
    past = _towards(past, said[:, LAST_DAY], week, by_last[: len(dates)], by_week[: len(dates)])
    week_ahead = np.stack([_same_weekday(table, day) for day in coming])
    future = _towards(future, ahead[:, LAST_DAY], week_ahead, by_last[len(dates) :], by_week[len(dates) :])
    naive = np.where(np.isnan(week_ahead).all(axis=(1, 2)), by_last[len(dates) :], by_week[len(dates) :]).mean()
    of_models = (1 - naive) * (share[: len(MODELS)] + share[len(MODELS) :])
    return FirstDays(past, future, truth, {NAIVE: float(naive)} | dict(zip(MODELS, of_models.tolist(), strict=True)))


def _shares(forecasts: FloatArray, truth: FloatArray) -> FloatArray:
    """The share of each model, together 1: by the geometric mean of its days, for few days hold odd ones."""
    by_day = mean_known(pinball(forecasts, truth[:, None]))
    by_day = by_day[~np.isnan(by_day).any(axis=1)]
    if not len(by_day):
        return np.full(forecasts.shape[1], 1.0 / forecasts.shape[1])
    exact = by_day.max(axis=0) <= 0
    if exact.any():
        return np.asarray(exact / exact.sum())
    score = np.exp(np.log(by_day + _LEAST_KW + SHARE_FLOOR * mean_known(np.abs(truth).ravel())).mean(axis=0))
    share = (score.min() / score) ** POWER
    return np.asarray(share / share.sum())


def _ratio(loss: FloatArray, naive_loss: FloatArray, floor: float) -> float:
    """How many times more the others lost where the naive model said something: overall or day by day, the larger.

    It has no limit where the naive model was never wrong, or never tried.
    """
    unknown = np.isnan(loss) | np.isnan(naive_loss)
    loss, naive_loss = np.where(unknown, np.nan, loss), np.where(unknown, np.nan, naive_loss)
    whole, whole_naive = mean_known(loss.ravel()), mean_known(naive_loss.ravel())
    if unknown.all() or whole_naive <= 0:
        return np.inf
    by_day = (mean_known(loss) + floor) / (mean_known(naive_loss) + floor)
    return float(max(whole / whole_naive, np.exp(np.log(by_day[~np.isnan(by_day)]).mean())))


def _ratio_like(loss: FloatArray, naive_loss: FloatArray, dates: NDArray[np.datetime64], day: np.datetime64) -> float:
    """What the others lost at worst on the same weekday before, in terms of what the naive model loses on average.

    A Monday that was unlike the days before it may be a rule. Without limit where no such day was seen.
    """
    like = loss[(weekdays(dates) == weekdays(np.array([day]))[0]) & (dates < day)]
    worst, usual = mean_known(like), mean_known(naive_loss.ravel())
    if np.isnan(worst).all() or not usual > 0:
        return np.inf
    return float(np.nanmax(worst) / usual)


def _trust(ratio: float) -> float:
    """The share of the naive model, where the others lost so many times more."""
    odds: float = min(CLEARLY * ratio, MOST_WORSE) ** POWER
    return odds / (1 + odds)


def _towards(
    said: FloatArray, last: FloatArray, week: FloatArray, by_last: FloatArray, by_week: FloatArray
) -> FloatArray:
    """What is said drawn to the same weekday, or where that is not known to the last day, by a share of each day."""
    naive = np.where(np.isnan(week), last, week)
    share = np.where(np.isnan(week), by_last[:, None, None], by_week[:, None, None])
    return np.asarray((1 - share) * said + share * naive)


def _same_weekdays(table: DayTable, dates: NDArray[np.datetime64], rows: range) -> FloatArray:
    """`_same_weekday` of past days, each from what was known at noon of the day before."""
    return np.stack([_same_weekday(known_at_noon(table, row - 1), day) for row, day in zip(rows, dates, strict=True)])


def _same_weekday(known: DayTable, day: np.datetime64) -> FloatArray:
    """(quantile, slot) of the same weekday in the last weeks; NaN where it is not known."""
    return quantiles_of(known.power_kw[weekdays(known.dates) == weekdays(np.array([day]))[0]][-WEEKS:])


def _said(known: DayTable, off: bool, profile: FloatArray, shape: FloatArray) -> FloatArray:
    """(model, quantile, slot) of `MODELS` for a day whose profile is `shape`; `profile` ends with the known days."""
    similar = similar_quantiles(known, off)
    recent = similar_quantiles(DayTable(known.dates, np.zeros_like(known.off), known.power_kw), off=False)
    last = _latest(known.power_kw[:-1], similar[MEDIAN])  # a whole day: of the one that is running a part is known
    like = _latest(known.power_kw[known.off == off], last)
    pooled = pooled_quantiles(known.power_kw[-LAST_DAYS - 1 :], known.slot_minutes)
    measured = ~np.isnan(known.power_kw)
    level, usual = mean_known(known.power_kw.ravel()), mean_known(profile[-len(known.dates) :][measured])
    standard = np.multiply.outer(PROFILE_FACTORS, shape * (level / usual if usual > 0 else 0.0))
    points = [np.broadcast_to(one, similar.shape) for one in (last, like)]
    return np.asarray(
        np.maximum(np.stack([*points, similar, recent, np.where(np.isnan(pooled), similar, pooled), standard]), 0.0)
    )


def _latest(power_kw: FloatArray, otherwise: FloatArray) -> FloatArray:
    """What was known last in each slot; `otherwise` where nothing was."""
    for row in power_kw:
        otherwise = np.asarray(np.where(np.isnan(row), otherwise, row))
    return otherwise


def _until_noon(missed: FloatArray) -> FloatArray:
    """What was known at noon of the last of these days."""
    known = missed.copy()
    known[-1:, :, missed.shape[2] // 2 :] = np.nan
    return known


def _with_misses(said: FloatArray, missed: FloatArray) -> FloatArray:
    """Each model's median with the quantiles of what it missed; itself where nothing was scored."""
    by_model = missed.transpose(0, 2, 1).reshape(-1, said.shape[0])
    if np.isnan(by_model).all():
        return said
    return np.maximum(said[:, MEDIAN : MEDIAN + 1] + quantiles_of(by_model).T[:, :, None], 0.0)
