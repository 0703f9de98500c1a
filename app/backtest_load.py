"""`smartcharge backtest load`: base load forecasts on a plain file."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from app.backtest_file import not_negative, read_columns
from app.backtest_report import Backtest, Column
from app.errors import InvalidInputError
from forecasts.backtest import Model, backtest, same_weekday, two_days_before
from forecasts.base_load import base_load
from forecasts.local_days import local_dates

KNOWN_DAYS = 28  # before the first scored day, where the file is long enough
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
    file: Path, time_zone: str | None, first_day: datetime | None = None, end_day: datetime | None = None
) -> Backtest:
    """Raises `InvalidInputError` for a file that cannot be meant, and where no day is left to score."""
    load_kw, noise = not_negative(
        read_columns(file, ("kw",), time_zone)["kw"],
        "kw",
        "a base load is what the building draws; add the PV again and take no export for it",
    )
    return backtest_load(load_kw, file.name, time_zone or "UTC", first_day, end_day, noise)


def backtest_load(
    load_kw: pd.Series, name: str, time_zone: str, first_day: datetime | None, end_day: datetime | None, noise: int = 0
) -> Backtest:
    """The same of a series that is already there."""
    days = scored_days(load_kw, time_zone, first_day, end_day)

    def similar(history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        return base_load(history, index, time_zone=time_zone, issued_at=issued_at).quantiles

    models: dict[str, Model] = {
        "two days before": two_days_before(time_zone),
        "same weekday": same_weekday(time_zone),
        "similar days": similar,
    }
    table = backtest(models, load_kw, time_zone=time_zone, days=days)
    rows = [{"horizon": "day ahead", "model": str(model), **scores} for model, scores in table.iterrows()]
    about: dict[str, str | int | float | None] = {
        "file": name,
        "time zone": time_zone,
        "scored": f"{days[0]} to {days[-1]}",
        "issued": "the day before at 12:00",
        "values below zero read as 0": noise,
    }
    return Backtest("load", f"Base load of {name}", about, COLUMNS, rows)


def scored_days(
    values: pd.Series, time_zone: str, first_day: datetime | None, end_day: datetime | None, known: int = KNOWN_DAYS
) -> list[date]:
    """The local days from `first_day` until before `end_day`; without them all of which `known` days lie before."""
    stamps = pd.DatetimeIndex(values.dropna().index)
    if len(stamps) == 0:
        raise InvalidInputError("file", "holds nothing but gaps")
    dates = local_dates(stamps, time_zone)
    begin, last = dates.min().item(), dates.max().item()
    least = min(known, (last - begin).days // 2)
    start = begin + timedelta(days=least) if first_day is None else first_day.date()
    end = last + timedelta(days=1) if end_day is None else min(end_day.date(), last + timedelta(days=1))
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    if not days:
        raise InvalidInputError("from", f"leaves no day to score: the file reaches from {begin} to {last}")
    return days
