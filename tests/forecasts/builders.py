"""Histories, grids and samples for the tests of forecasts."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecasts.local_days import is_off_day, local_dates, minutes_of_day
from forecasts.series import utc_index

BERLIN = "Europe/Berlin"
SHORT_DAY, LONG_DAY = date(2026, 3, 29), date(2026, 10, 25)  # 23 and 25 hours in Berlin
_SAMPLES = Path(__file__).parents[3] / "shared" / "data"


def at(text: str) -> datetime:
    """A moment in UTC from ``2026-03-29 12:00``."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(start: str, count: int, minutes: int = 15) -> pd.DatetimeIndex:
    return utc_index(at(start), minutes, count)


def a_series(values: list[float], start: str = "2026-01-01 00:00", minutes: int = 15) -> pd.Series:
    return pd.Series(values, index=slots(start, len(values), minutes), dtype="float64")


def a_site(
    until: str, days: float, *, minutes: int = 15, workday_kw: float = 50.0, off_kw: float = 20.0, noise_kw: float = 0.0
) -> pd.Series:
    """An office in Berlin: `workday_kw` from 08:00 to 18:00 local on workdays, `off_kw` at all other times."""
    end = at(until)
    count = round(timedelta(days=days) / timedelta(minutes=minutes))
    index = utc_index(end - count * timedelta(minutes=minutes), minutes, count)
    minute = minutes_of_day(index, BERLIN)
    working = ~is_off_day(local_dates(index, BERLIN), "DE") & (minute >= 8 * 60) & (minute < 18 * 60)
    noise = np.random.default_rng(7).normal(0.0, noise_kw, len(index))
    return pd.Series(np.maximum(np.where(working, workday_kw, off_kw) + noise, 0.0), index=index)


def sample(name: str) -> Path:
    """A file of the samples beside the repository; the test is skipped where they are absent."""
    path = _SAMPLES / name
    if not path.exists():
        pytest.skip(f"the sample {name} is not beside this repository")
    return path


def office_load() -> pd.Series:
    """Two months of an office near Los Angeles [kW], 15 min."""
    return _table("load_office_lbnl_b59_2018-09_10_15min.csv.gz", "time")["kw"]


def pv_power() -> pd.Series:
    """Three months of a roof in Colorado [kW], 15 min."""
    return pv_table()["ac_w"].clip(lower=0) / 1000


def pv_table() -> pd.DataFrame:
    """The same roof with its satellite weather: ghi [W/m²] and temp_air [°C]."""
    return _table("pv_serf_east_2016_15min.csv.gz", "measured_on")


def energy_charts_reply(day: str) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(sample(f"energy_charts/{day}.json").read_text(encoding="utf-8"))
    return reply


def _table(name: str, stamps: str) -> pd.DataFrame:
    with gzip.open(sample(name), "rt", encoding="utf-8") as text:
        return pd.read_csv(text, parse_dates=[stamps], index_col=stamps)
