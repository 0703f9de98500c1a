"""Boosted trees on what the simpler models missed: LightGBM, the optional extra `ml`.

Trees are fitted weekly, apart from planning, for each quantile of the residual to the blended median. The last four
weeks are fitted once more without what came after, so that there are honest past forecasts of the trees to weigh and
to correct them by. A fit is plain data: it can be pickled, stored, and read where LightGBM is.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from forecasts.blend import blended, weights
from forecasts.load_candidates import LOOK_BACK_DAYS, MEDIAN, SCORED_DAYS, candidates
from forecasts.local_days import is_off_day, weekdays
from forecasts.series import FloatArray
from forecasts.similar_days import QUANTILES, DayTable

if TYPE_CHECKING:
    from lightgbm import Booster

FEWEST_DAYS = 21  # of history, so that there is a week to learn and one to score
FOLD_DAYS = 7
REFIT_AFTER = timedelta(days=7)
TOO_OLD = timedelta(days=15)  # one fitted a month ago lost to the naive model
ROUNDS = 60
# Small trees, many rows a leaf: eight weeks of one site are few days, however many slots they have.
PARAMETERS: dict[str, Any] = {
    "objective": "quantile",
    "learning_rate": 0.06,
    "num_leaves": 7,
    "min_data_in_leaf": 100,
    "lambda_l2": 5.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # sites are fitted side by side
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Fold:
    """Trees that have seen nothing of `first_day` and after: LightGBM's own text, one for each quantile."""

    first_day: np.datetime64
    trees: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResidualFit:
    """What was learned of one site at `fitted_at`; `share` is the blend that the residuals are of."""

    fitted_at: datetime
    slot_minutes: float
    time_zone: str
    share: tuple[float, ...]
    scale_kw: float
    folds: tuple[Fold, ...]

    def holds(self, issued_at: datetime, slot_minutes: float, time_zone: str) -> bool:
        """Whether it is of this grid, not from the future and not too old."""
        same = (self.slot_minutes, self.time_zone) == (slot_minutes, time_zone)
        return same and timedelta(0) <= issued_at - self.fitted_at < TOO_OLD

    def forecast(
        self, found: FloatArray, level_kw: FloatArray, dates: NDArray[np.datetime64], off: NDArray[np.bool_]
    ) -> FloatArray:
        """(day, quantile, slot) in kW of days whose candidates are `found`; `off` has a day more at both ends.

        NaN on days that every fold has seen.
        """
        base = blended(found, np.array(self.share))
        features = _features(found, base, level_kw, dates, off)
        result = np.full_like(base, np.nan)
        for number, fold in enumerate(self.folds):
            end = self.folds[number + 1].first_day if number + 1 < len(self.folds) else np.datetime64("9999-01-01")
            days = np.flatnonzero((dates >= fold.first_day) & (dates < end))
            if len(days) == 0:
                continue
            rows = features[days].reshape(-1, features.shape[2])
            missed = np.stack([np.asarray(_booster(text).predict(rows)) for text in fold.trees]) * self.scale_kw
            missed = missed.reshape(len(QUANTILES), len(days), -1).transpose(1, 0, 2)
            result[days] = np.sort(base[days, MEDIAN][:, None] + missed, axis=1)
        return np.maximum(result, 0.0)


def is_installed() -> bool:
    """Whether LightGBM can be loaded here; its wheel also needs the system's libgomp."""
    try:
        import lightgbm  # noqa: F401  # only whether it can be
    except (ImportError, OSError):
        return False
    return True


def fit_residuals(
    table: DayTable,
    *,
    fitted_at: datetime,
    time_zone: str,
    country: str | None = None,
    subdivision: str | None = None,
) -> ResidualFit | None:
    """Learn from all of `table`; None when it has less than `FEWEST_DAYS`. Raises ImportError without LightGBM.

    The same table gives the same trees.
    """
    if len(table.dates) < FEWEST_DAYS:
        return None
    known = candidates(table, table.off[-1:], table.dates[-1:], scored_days=LOOK_BACK_DAYS + SCORED_DAYS)
    first = len(table.dates) - len(known.truth)
    dates = table.dates[first:]
    off = with_neighbours(dates, table.off[first:], country, subdivision)
    share = weights(known.past[-SCORED_DAYS:], known.truth[-SCORED_DAYS:])
    base = blended(known.past, share)
    features = _features(known.past, base, known.level_kw, dates, off)
    missed = known.truth - base[:, MEDIAN]
    scale_kw = float(np.nanmean(np.abs(missed))) if (~np.isnan(missed)).any() else 0.0
    if scale_kw <= 0.0:
        return None
    end = len(dates)
    weeks = min(SCORED_DAYS, end - FEWEST_DAYS // 2) // FOLD_DAYS
    begins = [end - 1 - FOLD_DAYS * week for week in range(weeks, 0, -1)] + [end - 1]
    # A past day is forecast at noon of the day before, when of that day only the morning was known. The last fold is
    # for the days to come: it may have all that lies before today.
    seen = [row if row == end - 1 else row - 1 for row in begins]
    folds = [
        Fold(dates[row], _trees(features[:upto], missed[:upto] / scale_kw))
        for row, upto in zip(begins, seen, strict=True)
        if upto > FOLD_DAYS
    ]
    if not folds:
        return None
    return ResidualFit(
        fitted_at, table.slot_minutes, time_zone, tuple(float(one) for one in share), scale_kw, tuple(folds)
    )


def with_neighbours(
    dates: NDArray[np.datetime64], off: NDArray[np.bool_], country: str | None, subdivision: str | None
) -> NDArray[np.bool_]:
    """`off` of consecutive `dates`, with the day before the first and the day after the last."""
    outer = is_off_day(np.array([dates[0] - 1, dates[-1] + 1]), country, subdivision)
    return np.concatenate([outer[:1], off, outer[1:]])


def _trees(features: FloatArray, missed: FloatArray) -> tuple[str, ...]:
    import lightgbm

    rows, target = features.reshape(-1, features.shape[2]), missed.ravel()
    known = ~np.isnan(target)
    data = lightgbm.Dataset(rows[known], target[known], params={"verbosity": -1}, free_raw_data=False)
    return tuple(lightgbm.train({**PARAMETERS, "alpha": level}, data, ROUNDS).model_to_string() for level in QUANTILES)


@lru_cache(maxsize=256)  # five folds of five quantiles a site; reading one takes a millisecond
def _booster(text: str) -> "Booster":
    import lightgbm

    return lightgbm.Booster(model_str=text)


def _features(
    found: FloatArray, base: FloatArray, level_kw: FloatArray, dates: NDArray[np.datetime64], off: NDArray[np.bool_]
) -> FloatArray:
    """(day, slot, feature): clock, calendar, the blend and its width, the level, and how the candidates differ."""
    days, _, _, slots = found.shape

    def by_day(values: FloatArray | NDArray[Any]) -> FloatArray:
        return np.repeat(np.asarray(values, dtype=np.float64)[:, None], slots, axis=1)

    middle = base[:, MEDIAN]
    columns = [
        np.repeat(np.arange(slots)[None] * 24.0 / slots, days, axis=0),
        by_day(weekdays(dates)),
        by_day(off[1:-1]),
        by_day(off[:-2]),
        by_day(off[2:]),
        middle,
        base[:, -1] - base[:, 0],
        by_day(level_kw[:, 0]),
        by_day(level_kw[:, 1]),
        *(found[:, model, MEDIAN] - middle for model in range(found.shape[1])),
    ]
    return np.stack(columns, axis=2)
