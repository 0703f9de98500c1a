"""Local days: people follow the clock on the wall and the calendar of their country, not UTC.

A day is 23, 24 or 25 hours long. The hour that a day lacks has no slots; the hour that comes twice has the same
local time twice.
"""

from datetime import date, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.errors import SeriesError

SATURDAY, SUNDAY = 5, 6


def local_times(index: pd.DatetimeIndex, time_zone: str) -> pd.DatetimeIndex:
    """The moments of `index` by the local clock; `SeriesError` for a time zone that nobody knows."""
    try:
        return index.tz_convert(ZoneInfo(time_zone))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SeriesError("time_zone", f"{time_zone!r} is not in the time zone database") from error


def local_dates(index: pd.DatetimeIndex, time_zone: str) -> NDArray[np.datetime64]:
    """The local calendar date of each moment, as days without a zone."""
    return local_times(index, time_zone).tz_localize(None).to_numpy().astype("datetime64[D]")


def minutes_of_day(index: pd.DatetimeIndex, time_zone: str) -> NDArray[np.int64]:
    """Minutes that the local clock shows since its midnight: 0 to 1439 on every day of the year."""
    local = local_times(index, time_zone)
    return np.asarray(local.hour * 60 + local.minute, dtype=np.int64)


def weekdays(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """0 is Monday. 1970-01-01 was a Thursday."""
    return (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7


def day_slots(day: date, time_zone: str, slot_minutes: int) -> pd.DatetimeIndex:
    """The starts in UTC of all slots of a local day: of quarter hours 92, 96 or 100."""
    zone = local_times(pd.DatetimeIndex([pd.Timestamp(day, tz="UTC")]), time_zone).tz
    first, last = (
        pd.Timestamp(d).tz_localize(zone, nonexistent="shift_forward", ambiguous=True)
        for d in (day, day + timedelta(1))
    )
    return pd.date_range(
        first.tz_convert("UTC"), last.tz_convert("UTC"), freq=pd.Timedelta(minutes=slot_minutes), inclusive="left"
    )


def is_holiday(dates: NDArray[np.datetime64], country: str | None, subdivision: str | None = None) -> NDArray[np.bool_]:
    """Which dates are public holidays in `country` (ISO 3166-1 alpha-2). Without a country none is.

    Raises `SeriesError` for a country or subdivision that the `holidays` package does not know.
    """
    if country is None or len(dates) == 0:
        return np.zeros(len(dates), dtype=np.bool_)
    import holidays  # only where a country is given: start-up stays short

    years = range(
        dates.min().astype("datetime64[Y]").astype(int) + 1970, dates.max().astype("datetime64[Y]").astype(int) + 1971
    )
    try:
        known = holidays.country_holidays(country, subdiv=subdivision, years=years)
    except NotImplementedError as error:
        if subdivision is not None and country in holidays.list_supported_countries():
            raise SeriesError("subdivision", not_a_part_of(country, subdivision)) from error
        raise SeriesError("country", f"{country!r} has no calendar of holidays") from error
    return np.isin(dates.astype("datetime64[D]"), np.array(list(known), dtype="datetime64[D]"))


@cache
def subdivisions_of(country: str) -> tuple[str, ...]:
    """The parts of a country (ISO 3166-1 alpha-2) that have holidays of their own, by the code that names them.

    Empty where the `holidays` package knows none, or not the country.
    """
    import holidays  # as above

    return tuple(sorted(holidays.list_supported_countries(include_aliases=False).get(country, ())))


def not_a_part_of(country: str, subdivision: str) -> str:
    """What is wrong with a subdivision that the country does not have."""
    known = ", ".join(subdivisions_of(country)) or "none"
    return f"{subdivision!r} is no part of {country} that has holidays of its own; there is {known}"


def is_off_day(dates: NDArray[np.datetime64], country: str | None, subdivision: str | None = None) -> NDArray[np.bool_]:
    """Which dates are Saturdays, Sundays or public holidays."""
    return (weekdays(dates) >= SATURDAY) | is_holiday(dates, country, subdivision)
