"""BDEW standard load profiles 2025: what a consumer of a kind draws, before anything was measured.

The published numbers are kWh per quarter hour for 1,000,000 kWh a year, by month and day type; `data/ATTRIBUTION.md`
says where they come from. They are German: elsewhere they are a shape, and no more than that.
"""

from datetime import timedelta
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.errors import SeriesError
from forecasts.local_days import SATURDAY, SUNDAY, is_holiday, local_dates, minutes_of_day, weekdays
from forecasts.series import FloatArray, on_grid, slot_length, validated_index

PROFILES = ("g25", "h25", "l25", "p25", "s25")
DYNAMIC = ("h25", "p25", "s25")  # scaled by the day of the year, as published; businesses and farms are not
_PROFILE_YEAR_KWH = 1_000_000
_QUARTER = timedelta(minutes=15)
_DAY_TYPES = ("SA", "FT", "WT")
_MONTHS = (
    "Januar", "Februar", "März", "April", "Mai", "Juni",
    "Juli", "August", "September", "Oktober", "November", "Dezember",
)  # fmt: skip


def standard_profile(
    profile: str,
    index: pd.DatetimeIndex,
    *,
    time_zone: str,
    annual_energy_kwh: float,
    country: str | None = "DE",
    subdivision: str | None = None,
) -> pd.Series:
    r"""Mean power in each slot of `index` [kW] of a consumer that takes `annual_energy_kwh` a year.

    Day types are Saturday, Sunday or holiday, and workday; 24 and 31 December count as Saturdays unless they are
    Sundays. H25, P25 and S25 are multiplied by the published dynamisation factor for day of the year :math:`d`

    .. math:: -3.92\cdot10^{-10} d^4 + 3.2\cdot10^{-7} d^3 - 7.02\cdot10^{-5} d^2 + 2.1\cdot10^{-3} d + 1.24

    so that a year sums to `annual_energy_kwh` within about 1 %. Raises `SeriesError` for an unknown profile.
    """
    if not np.isfinite(annual_energy_kwh) or annual_energy_kwh < 0:
        raise SeriesError("annual_energy_kwh", f"{annual_energy_kwh} is not a number of at least 0")
    index = validated_index(index)
    first = index[0].floor("15min")
    quarters = pd.date_range(first, index[-1] + slot_length(index), freq=_QUARTER, inclusive="left")
    dates = local_dates(quarters, time_zone)
    month = dates.astype("datetime64[M]").astype(np.int64) % 12
    quarter = minutes_of_day(quarters, time_zone) // 15
    power_kw = _table(profile)[month, _day_type(dates, country, subdivision), quarter] * annual_energy_kwh
    if profile in DYNAMIC:
        power_kw = power_kw * _dynamisation(dates)
    return on_grid(pd.Series(power_kw, index=quarters), index, hold=_QUARTER).rename(profile)


@cache
def _table(profile: str) -> FloatArray:
    """kW per kWh a year, by month, day type and quarter hour of the local day."""
    if profile not in PROFILES:
        raise SeriesError("profile", f"{profile!r} is none of {', '.join(PROFILES)}")
    with files("forecasts").joinpath("data", f"{profile}.csv").open(encoding="utf-8") as text:
        table = pd.read_csv(text, header=[0, 1], index_col=0)
    kwh = np.array([[table[month, kind].to_numpy() for kind in _DAY_TYPES] for month in _MONTHS], dtype="float64")
    return kwh * (timedelta(hours=1) / _QUARTER) / _PROFILE_YEAR_KWH


def _day_type(dates: NDArray[np.datetime64], country: str | None, subdivision: str | None) -> NDArray[np.int64]:
    weekday = weekdays(dates)
    month_day = pd.DatetimeIndex(dates).strftime("%m-%d")
    saturday = (weekday == SATURDAY) | np.isin(month_day, ["12-24", "12-31"])
    sunday = (weekday == SUNDAY) | is_holiday(dates, country, subdivision)
    return np.select([sunday, saturday], [_DAY_TYPES.index("FT"), _DAY_TYPES.index("SA")], _DAY_TYPES.index("WT"))


def _dynamisation(dates: NDArray[np.datetime64]) -> FloatArray:
    day = (dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1.0
    return np.asarray(np.polyval([-3.92e-10, 3.2e-7, -7.02e-5, 2.1e-3, 1.24], day), dtype=np.float64)
