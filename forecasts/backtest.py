"""Back-test: a model's forecasts scored against what then happened, with only what was known at the time of issue."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.errors import InsufficientHistoryError
from forecasts.local_days import day_slots, local_dates, minutes_of_day
from forecasts.series import FloatArray, known_by, on_grid, resolution, validated

Model = Callable[[pd.Series, pd.DatetimeIndex, datetime], pd.DataFrame]
"""(history known at issue, slots, issued_at) → a column for each quantile, at least 0.5, in the history's unit."""

REFERENCE = "same weekday"


@dataclass(frozen=True, slots=True)
class Naive:
    """The same local time on given days before: their quantiles, or their one value."""

    time_zone: str
    days_before: tuple[int, ...]
    levels: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)

    def __call__(self, history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:  # noqa: ARG002  # a model's signature
        local = pd.Series(
            history.to_numpy(),
            index=pd.MultiIndex.from_arrays(_local_keys(pd.DatetimeIndex(history.index), self.time_zone)),
        )
        local = local[~local.index.duplicated()]
        dates, minutes = _local_keys(index, self.time_zone)
        past = [
            local.reindex(pd.MultiIndex.from_arrays([dates - np.timedelta64(days, "D"), minutes])).to_numpy()
            for days in self.days_before
        ]
        return pd.DataFrame({q: _nanquantile(np.stack(past), q) for q in self.levels}, index=index)


def two_days_before(time_zone: str) -> Naive:
    """At noon nobody knows all of today yet: the last whole day is yesterday, two days before the day to come."""
    return Naive(time_zone, (2,), levels=(0.5,))


def same_weekday(time_zone: str, weeks: int = 4) -> Naive:
    """Quantiles of the same weekday in the last weeks: the model to beat."""
    return Naive(time_zone, tuple(7 * week for week in range(1, weeks + 1)))


def backtest(
    models: Mapping[str, Model],
    history: pd.Series,
    *,
    time_zone: str,
    days: Iterable[date],
    issue_hour: int = 12,
    scored: pd.Series | None = None,
    normaliser: float | None = None,
    reference: str = REFERENCE,
) -> pd.DataFrame:
    """Score `models` on local `days`, each forecast issued the day before at `issue_hour` local time.

    A model is handed only values whose interval had ended by then. Columns: `mae`, `rmse`, `bias` (forecast minus
    truth) and `pinball` (mean over the quantiles) in the history's unit; `nmae` as a share of `normaliser`, by
    default the mean of the truth; `coverage` of the outermost interval (NaN for a single quantile); `skill`,
    1 − pinball / that of `reference` (NaN when it is not among the models); `slots` scored; `issues` refused for lack
    of history. `scored` restricts the score to slots where it is true, such as daylight.
    """
    history = validated(history, "history")
    step = resolution(history, "history")
    zone = ZoneInfo(time_zone)
    errors: dict[str, list[pd.DataFrame]] = {name: [] for name in models}
    refused = dict.fromkeys(models, 0)
    for day in days:
        issued_at = datetime.combine(day - timedelta(days=1), time(issue_hour), zone)
        known = known_by(history, issued_at, step)
        index = day_slots(day, time_zone, round(step / timedelta(minutes=1)))
        truth = on_grid(history, index, hold=step)
        if scored is not None:
            truth = truth.where(scored.reindex(index, fill_value=False))
        for name, model in models.items():
            try:
                forecast = model(known, index, issued_at)
            except InsufficientHistoryError:
                refused[name] += 1
                continue
            errors[name].append(_errors(forecast, truth))
    rows = {name: _summary(parts, normaliser) | {"refused": refused[name]} for name, parts in errors.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    base = table["pinball"].get(reference, np.nan)
    table.insert(6, "skill", 1 - table["pinball"] / base)
    return table


def _errors(forecast: pd.DataFrame, truth: pd.Series) -> pd.DataFrame:
    levels = np.array([float(q) for q in forecast.columns])
    values = forecast.to_numpy()
    over = truth.to_numpy()[:, None] - values
    known = truth.notna().to_numpy() & ~np.isnan(values).any(axis=1)
    inside = (over[:, 0] >= 0) & (over[:, -1] <= 0)
    result: pd.DataFrame = pd.DataFrame(
        {
            "truth": truth.to_numpy(),
            "error": -over[:, int(np.flatnonzero(levels == 0.5)[0])],
            "pinball": np.maximum(levels * over, (levels - 1) * over).mean(axis=1),
            "inside": inside if len(levels) > 1 else np.nan,
        }
    )
    return pd.DataFrame(result[known])


def _summary(parts: list[pd.DataFrame], normaliser: float | None) -> dict[str, float]:
    scores = pd.concat(parts) if parts else pd.DataFrame(columns=["truth", "error", "pinball", "inside"], dtype=float)
    mae = float(scores["error"].abs().mean())
    return {
        "mae": mae,
        "nmae": mae / (float(scores["truth"].mean()) if normaliser is None else normaliser),
        "rmse": float(np.sqrt((scores["error"] ** 2).mean())),
        "pinball": float(scores["pinball"].mean()),
        "coverage": float(scores["inside"].mean()),
        "bias": float(scores["error"].mean()),
        "slots": len(scores),
    }


def _local_keys(index: pd.DatetimeIndex, time_zone: str) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    return local_dates(index, time_zone), minutes_of_day(index, time_zone)


def _nanquantile(values: FloatArray, level: float) -> FloatArray:
    """Quantile over axis 0 without NaN; NaN where nothing is known."""
    return np.asarray(pd.DataFrame(values).quantile(level), dtype="float64")
