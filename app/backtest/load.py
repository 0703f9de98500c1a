"""`smartcharge backtest load`: base load forecasts on a plain file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from time import perf_counter

import pandas as pd

from app.backtest.file import holidays_in, not_negative, read_columns
from app.backtest.pictures import pictures_of, rows_of
from app.backtest.report import Backtest, Column
from app.errors import InvalidInputError
from app.imports.rows import Progress, no_progress
from forecasts.backtest import INTRADAY, Backtested, Horizon, Model, backtest_horizons
from forecasts.base_load import base_load, fit_load
from forecasts.errors import SeriesError
from forecasts.local_days import local_dates
from forecasts.naive import LastWholeDay, last_value, same_weekday
from forecasts.residual_trees import REFIT_AFTER, ResidualFit, is_installed
from forecasts.series import slot_length

HORIZONS = (*(Horizon.day(ahead) for ahead in (1, 2, 4, 7)), *INTRADAY)
KNOWN_DAYS = 28  # before the first scored day, where the file is long enough
LEAST_DAYS = 21  # else: two weeks to learn from, a week ahead
COLUMNS = (
    Column("horizon", "Horizon"),
    Column("model", "Model"),
    Column("mae", "MAE kW"),
    Column("nmae", "nMAE", percent=True),
    Column("rmse", "RMSE kW"),
    Column("bias", "Bias kW"),
    Column("pinball", "Pinball kW", digits=3),
    Column("coverage", "In the 80 % band", percent=True),
    Column("skill", "Skill", percent=True),
    Column("slots", "Slots"),
    Column("refused", "Refused"),
)


def backtest_load_file(
    file: Path,
    time_zone: str | None,
    first_day: datetime | None = None,
    end_day: datetime | None = None,
    country: str | None = None,
    subdivision: str | None = None,
    progress: Progress = no_progress,
) -> Backtest:
    """Raises `InvalidInputError` for a file that cannot be meant, and where no day is left to score."""
    load_kw, noise = not_negative(
        read_columns(file, ("kw",), time_zone)["kw"],
        "kw",
        "a base load is what the building draws; add the PV again and take no export for it",
    )
    about = {"gaps": int(load_kw.isna().sum()), "values just below zero, read as 0": noise}
    return backtest_load(
        load_kw,
        file.name,
        time_zone or "UTC",
        first_day,
        end_day,
        country=country,
        subdivision=subdivision,
        about=about,
        progress=progress,
    )


def backtest_load(
    load_kw: pd.Series,
    name: str,
    time_zone: str,
    first_day: datetime | None,
    end_day: datetime | None,
    *,
    country: str | None = None,
    subdivision: str | None = None,
    about: Mapping[str, str | int | float | None] | None = None,
    progress: Progress = no_progress,
) -> Backtest:
    """The same of a series that is already there."""
    days = scored_days(load_kw, time_zone, first_day, end_day)
    place = Place(time_zone, country, subdivision)
    result, trees = score_load(load_kw, place, days, HORIZONS, progress)
    require_scores(result, days)
    notes = [] if trees else ["Without boosted trees: pip install 'smartcharge[ml]' adds them."]
    said: dict[str, str | int | float | None] = {
        "file": name,
        "time zone": time_zone,
        "holidays": holidays_in(country, subdivision),
        "scored": f"{days[0]} to {days[-1]}",
        "issued": "at 12:00 for whole days, at 6, 9, 12, 15 and 18 o'clock for hours; with what was measured by then",
        **(about or {}),
    }
    if trees is not None:
        said["trees fitted"] = f"{trees.fits} times, weekly, {trees.slowest_s:.1f} s at most"
    return Backtest("load", f"Base load of {name}", said, COLUMNS, rows_of(result), pictures_of(result), notes)


def score_load(
    load_kw: pd.Series,
    place: "Place",
    days: Sequence[date],
    horizons: Sequence[Horizon],
    progress: Progress = no_progress,
    *,
    with_trees: bool = True,
) -> tuple[Backtested, "WithTrees | None"]:
    """Every model that there is here on `days`, and the one with trees, to say how often it was fitted."""
    models: dict[str, Model] = {
        "last value": last_value,
        "last whole day": LastWholeDay(place.time_zone),
        "same weekday": same_weekday(place.time_zone),
        "own history": OwnHistory(place),
    }
    trees = WithTrees(place) if with_trees and is_installed() else None
    if trees is not None:
        models["own history, trees"] = trees
    try:
        result = backtest_horizons(
            models, load_kw, time_zone=place.time_zone, days=days, horizons=horizons, progress=progress
        )
    except SeriesError as error:
        if error.field in ("country", "subdivision"):
            raise InvalidInputError(error.field, error.message) from error
        raise InvalidInputError("file", str(error)) from error
    return result, trees


def require_scores(result: Backtested, days: Sequence[date]) -> None:
    """Raises `InvalidInputError` where not one forecast met a measurement."""
    if not result.table["slots"].any():
        raise InvalidInputError(
            "file", f"holds nothing to score from {days[0]} to {days[-1]}: too little is known before"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Whose clock and holidays hold."""

    time_zone: str
    country: str | None = None
    subdivision: str | None = None


@dataclass(frozen=True, slots=True)
class OwnHistory:
    """`base_load` as a model of the back-test."""

    place: Place

    def __call__(
        self, history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime, fit: ResidualFit | None = None
    ) -> pd.DataFrame:
        place = self.place
        return base_load(
            history,
            index,
            time_zone=place.time_zone,
            issued_at=issued_at,
            country=place.country,
            subdivision=place.subdivision,
            fit=fit,
        ).quantiles


@dataclass(slots=True)
class WithTrees:
    """The same with trees that are fitted weekly, from what was known then; moments of issue rise."""

    place: Place
    fit: ResidualFit | None = None
    tried_at: datetime | None = None
    fits: int = 0
    slowest_s: float = 0.0

    def __call__(self, history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        if self.tried_at is None or issued_at - self.tried_at >= REFIT_AFTER:
            place, started = self.place, perf_counter()
            self.tried_at = issued_at
            self.fit = fit_load(
                history,
                round(slot_length(index) / timedelta(minutes=1)),
                time_zone=place.time_zone,
                issued_at=issued_at,
                country=place.country,
                subdivision=place.subdivision,
            )
            self.fits += self.fit is not None
            self.slowest_s = max(self.slowest_s, perf_counter() - started)
        return OwnHistory(self.place)(history, index, issued_at, self.fit)


def scored_days(
    values: pd.Series, time_zone: str, first_day: datetime | None, end_day: datetime | None, known: int = KNOWN_DAYS
) -> list[date]:
    """The local days from `first_day` until before `end_day`; without them all of which `known` days lie before."""
    stamps = pd.DatetimeIndex(values.dropna().index)
    if len(stamps) == 0:
        raise InvalidInputError("file", "holds nothing but gaps")
    dates = local_dates(stamps, time_zone)
    begin, last = dates.min().item(), dates.max().item()
    span = (last - begin).days
    least = min(known, max(span // 2, min(LEAST_DAYS, span - 1)))
    start = begin + timedelta(days=least) if first_day is None else first_day.date()
    start = max(start, begin)
    end = last + timedelta(days=1) if end_day is None else min(end_day.date(), last + timedelta(days=1))
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    if not days:
        raise InvalidInputError("from", f"leaves no day to score: the file reaches from {begin} to {last}")
    return days
