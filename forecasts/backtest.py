"""Back-test: models' forecasts scored against what then happened, with only what was known at the time of issue."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.errors import InsufficientHistoryError, SeriesError
from forecasts.local_days import day_slots, local_dates
from forecasts.series import FloatArray, known_by, on_grid, resolution, validated

Model = Callable[[pd.Series, pd.DatetimeIndex, datetime], pd.DataFrame]
"""(history known at issue, slots, issued_at) → a column for each quantile, at least 0.5, in the history's unit."""

REFERENCE = "same weekday"
NOON = (12,)
LONGEST = timedelta(days=8)  # from the day of issue
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Horizon:
    """What is scored of the forecasts issued at `issue_hours` local time.

    Either the local day `days_ahead` of that of issue, or the slots that begin `from_h` to `to_h` hours (half-open)
    after the moment of issue.
    """

    name: str
    days_ahead: int | None = None
    from_h: float = 0.0
    to_h: float = 0.0
    issue_hours: tuple[int, ...] = NOON

    @classmethod
    def day(cls, ahead: int) -> "Horizon":
        """The whole local day, issued at noon."""
        return cls("day ahead" if ahead == 1 else f"{ahead} days ahead", days_ahead=ahead)

    def covers(self, index: pd.DatetimeIndex, issued_at: datetime, time_zone: str) -> NDArray[np.bool_]:
        """Which of the slots of `index` are its own."""
        if self.days_ahead is not None:
            day = np.datetime64(issued_at.date() + timedelta(days=self.days_ahead))
            return np.asarray(local_dates(index, time_zone) == day)
        ahead_h = np.asarray((index - pd.Timestamp(issued_at)) / _HOUR)
        return np.asarray((ahead_h >= self.from_h) & (ahead_h < self.to_h))


DAYLIGHT_HOURS = (6, 9, 12, 15, 18)
INTRADAY = (
    Horizon("1st hour", from_h=0, to_h=1, issue_hours=DAYLIGHT_HOURS),
    Horizon("2nd hour", from_h=1, to_h=2, issue_hours=DAYLIGHT_HOURS),
    Horizon("3rd and 4th hour", from_h=2, to_h=4, issue_hours=DAYLIGHT_HOURS),
    Horizon("5th to 8th hour", from_h=4, to_h=8, issue_hours=DAYLIGHT_HOURS),
)


@dataclass(frozen=True, slots=True)
class Backtested:
    """`table` has a row for each (horizon, model); `forecasts` their quantiles beside the column `truth`, by slot."""

    table: pd.DataFrame
    forecasts: Mapping[tuple[str, str], pd.DataFrame] = field(repr=False)


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
    """`backtest_horizons` of the day ahead alone: a row for each model."""
    horizon = Horizon("day ahead", days_ahead=1, issue_hours=(issue_hour,))
    result = backtest_horizons(
        models,
        history,
        time_zone=time_zone,
        days=days,
        horizons=(horizon,),
        scored=scored,
        normaliser=normaliser,
        reference=reference,
    )
    return pd.DataFrame(result.table.xs(horizon.name))


def backtest_horizons(
    models: Mapping[str, Model],
    history: pd.Series,
    *,
    time_zone: str,
    days: Iterable[date],
    horizons: Sequence[Horizon],
    scored: pd.Series | None = None,
    normaliser: float | None = None,
    reference: str = REFERENCE,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Backtested:
    """Score `models` in the slots of local `days`, whenever the forecasts of each horizon are issued for them.

    A model is handed only values whose interval had ended by the moment of issue; moments rise, so that a model may
    keep what it learned. Columns: `mae`, `rmse`, `bias` (forecast minus truth) and `pinball` (mean over the quantiles)
    in the history's unit; `nmae` and `nrmse` as a share of `normaliser`, by default the mean of the truth; `coverage`
    of the outermost interval (NaN for a single quantile); `skill`, 1 − pinball / that of `reference` (NaN when it is
    not among the models); `slots` scored; forecasts `refused` for lack of history. `scored` restricts the score to
    slots where it is true, such as daylight.
    """
    history = validated(history, "history")
    step = resolution(history, "history")
    if step % timedelta(minutes=1) or _HOUR % step:
        raise SeriesError(
            "history", f"has a step of {step.total_seconds():g} s: minutes that divide an hour are needed"
        )
    targets = sorted(days)
    parts: dict[tuple[str, str], list[tuple[pd.DatetimeIndex, pd.DataFrame]]] = {
        (one.name, name): [] for one in horizons for name in models
    }
    refused = dict.fromkeys(parts, 0)
    if not targets:
        return _scored(parts, refused, None, normaliser, reference)
    slots = _slots(targets[0], targets[-1], time_zone, step)
    truth = on_grid(history, slots, hold=step)
    wanted = np.isin(local_dates(slots, time_zone), np.array(targets, dtype="datetime64[D]"))
    if scored is not None:
        wanted &= scored.reindex(slots, fill_value=False).to_numpy(dtype=np.bool_)
    slots = pd.DatetimeIndex(slots[wanted])
    issues = _issues(targets, horizons, ZoneInfo(time_zone))
    for number, (issued_at, due) in enumerate(issues):
        progress(number, len(issues))
        span = _slots(issued_at.date(), issued_at.date() + LONGEST, time_zone, step)
        covered = {one.name: one.covers(span, issued_at, time_zone) & span.isin(slots) for one in due}
        needed = np.flatnonzero(np.any(list(covered.values()), axis=0))
        if len(needed) == 0:
            continue
        index = span[needed[0] : needed[-1] + 1]  # without holes: models ask for slots of equal length
        known = known_by(history, issued_at, step)
        for name, model in models.items():
            try:
                forecast = model(known, index, issued_at)
            except InsufficientHistoryError:
                for one in due:
                    refused[one.name, name] += 1
                continue
            for one in due:
                places = np.flatnonzero(covered[one.name][needed[0] : needed[-1] + 1])
                parts[one.name, name].append((index[places], forecast.iloc[places]))
    progress(len(issues), len(issues))
    return _scored(parts, refused, truth, normaliser, reference)


def _scored(
    parts: Mapping[tuple[str, str], list[tuple[pd.DatetimeIndex, pd.DataFrame]]],
    refused: Mapping[tuple[str, str], int],
    truth: pd.Series | None,
    normaliser: float | None,
    reference: str,
) -> Backtested:
    joined = {}
    for key, some in parts.items():
        whole = pd.concat([forecast for _, forecast in some]) if some else pd.DataFrame({0.5: []}, dtype="float64")
        joined[key] = whole.assign(truth=np.nan if truth is None else truth.reindex(whole.index))
    return Backtested(_table(joined, refused, normaliser, reference), joined)


def _issues(
    targets: Sequence[date], horizons: Sequence[Horizon], zone: ZoneInfo
) -> list[tuple[datetime, list[Horizon]]]:
    """Every moment at which a forecast is issued for some of `targets`, rising, with the horizons it is issued for."""
    due: dict[datetime, list[Horizon]] = {}
    for one in horizons:
        for day in targets:
            for hour in one.issue_hours:
                issued_on = day - timedelta(days=one.days_ahead or 0)
                due.setdefault(datetime.combine(issued_on, time(hour), zone), []).append(one)
    return sorted(due.items(), key=lambda item: item[0].timestamp())


def _slots(first: date, last: date, time_zone: str, step: timedelta) -> pd.DatetimeIndex:
    """All slots from the start of the local day `first` to the end of `last`."""
    minutes = round(step / timedelta(minutes=1))
    ends = day_slots(first, time_zone, minutes)[0], day_slots(last, time_zone, minutes)[-1]
    return pd.date_range(*ends, freq=pd.Timedelta(step))


def _table(
    forecasts: Mapping[tuple[str, str], pd.DataFrame],
    refused: Mapping[tuple[str, str], int],
    normaliser: float | None,
    reference: str,
) -> pd.DataFrame:
    rows = {key: _summary(_errors(part), normaliser) | {"refused": refused[key]} for key, part in forecasts.items()}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["horizon", "model"])
    base = {horizon: table["pinball"].get((horizon, reference), np.nan) for horizon, _ in rows}
    table["skill"] = 1 - table["pinball"] / table.index.get_level_values("horizon").map(base)
    return table


def _errors(forecast: pd.DataFrame) -> pd.DataFrame:
    levels = np.array([float(q) for q in forecast.columns if q != "truth"])
    values: FloatArray = forecast.drop(columns="truth").to_numpy(dtype="float64")
    truth = forecast["truth"].to_numpy(dtype="float64")
    over = truth[:, None] - values
    known = ~np.isnan(truth) & ~np.isnan(values).any(axis=1)
    inside = (over[:, 0] >= 0) & (over[:, -1] <= 0)
    result: pd.DataFrame = pd.DataFrame(
        {
            "truth": truth,
            "error": -over[:, int(np.flatnonzero(levels == 0.5)[0])],
            "pinball": np.maximum(levels * over, (levels - 1) * over).mean(axis=1),
            "inside": inside if len(levels) > 1 else np.nan,
        }
    )
    return pd.DataFrame(result[known])


def _summary(errors: pd.DataFrame, normaliser: float | None) -> dict[str, float]:
    if errors.empty:
        names = ("mae", "nmae", "rmse", "nrmse", "pinball", "coverage", "bias")
        return dict.fromkeys(names, float("nan")) | {"slots": 0}
    mae, rmse = float(errors["error"].abs().mean()), float(np.sqrt((errors["error"] ** 2).mean()))
    whole = float(errors["truth"].mean()) if normaliser is None else normaliser
    return {
        "mae": mae,
        "nmae": mae / whole if whole else float("nan"),
        "rmse": rmse,
        "nrmse": rmse / whole if whole else float("nan"),
        "pinball": float(errors["pinball"].mean()),
        "coverage": float(errors["inside"].astype(float).mean()),
        "bias": float(errors["error"].mean()),
        "slots": len(errors),
    }
