"""Tariffs: the contract by the local clock and calendar, and the price that it puts on each slot.

Money is the contract's currency per kWh; an export price is what the site is paid. A price that is missing is never
0: uploaded prices that end too early are continued by what they were at the same local time, marked as estimated.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from math import isfinite

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.errors import SeriesError, UnknownPriceError
from forecasts.local_days import is_holiday, local_dates, minutes_of_day, weekdays
from forecasts.price_shape import continued
from forecasts.series import on_grid, require_aware, slot_length, validated, validated_index

EVERY_DAY = frozenset(range(7))
WORKING_WEEK = frozenset(range(5))
WEEKEND = EVERY_DAY - WORKING_WEEK
_CLOCK = timedelta(minutes=5)  # prices change on the local clock's multiples of it
_MIDNIGHT = time(0)


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days that a contract treats as one weekday: the public holidays of `country` (ISO 3166), and `days`.

    With a `subdivision` those of that part of the country.
    """

    weekday: int
    country: str | None = None
    days: frozenset[date] = frozenset()
    subdivision: str | None = None

    def weekdays(self, dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """The weekday that each date counts as; 0 is Monday."""
        own = np.isin(dates, np.array(sorted(self.days), dtype="datetime64[D]"))
        return np.where(own | is_holiday(dates, self.country, self.subdivision), self.weekday, weekdays(dates))


@dataclass(frozen=True, slots=True)
class Season:
    """The local days on which a rule applies: from `first_day` to `last_day` (month, day), both included, each year.

    A season may reach over New Year. `weekdays` holds 0 for Monday to 6 for Sunday.
    """

    first_day: tuple[int, int] = (1, 1)
    last_day: tuple[int, int] = (12, 31)
    weekdays: frozenset[int] = EVERY_DAY

    def __post_init__(self) -> None:
        for name in ("first_day", "last_day"):
            month, day = getattr(self, name)
            try:
                datetime(2024, month, day)  # noqa: DTZ001  # a leap year, so that 29 February is a day
            except ValueError as error:
                raise SeriesError(f"season.{name}", f"({month}, {day}) is no day of the year") from error
        if not self.weekdays or not self.weekdays <= EVERY_DAY:
            raise SeriesError("season.weekdays", f"{sorted(self.weekdays)} are not days from 0 to 6")

    def holds_on(self, dates: NDArray[np.datetime64], holidays: Holidays | None = None) -> NDArray[np.bool_]:
        days = pd.DatetimeIndex(dates)
        month_day = np.asarray(days.month * 100 + days.day)
        first, last = (month * 100 + day for month, day in (self.first_day, self.last_day))
        after, before = month_day >= first, month_day <= last
        in_season = after & before if first <= last else after | before
        counted = weekdays(dates) if holidays is None else holidays.weekdays(dates)
        return in_season & np.isin(counted, list(self.weekdays))


@dataclass(frozen=True, slots=True)
class TimeOfUseStep:
    """The price from the local time `start` until the next step. `export_price_per_kwh` None: that of the tariff."""

    start: time
    price_per_kwh: float
    export_price_per_kwh: float | None = None

    def __post_init__(self) -> None:
        _require_clock("steps.start", self.start)
        _require_finite("steps.price_per_kwh", self.price_per_kwh)
        if self.export_price_per_kwh is not None:
            _require_finite("steps.export_price_per_kwh", self.export_price_per_kwh)


@dataclass(frozen=True, slots=True)
class TimeOfUsePeriod:
    """What a local day costs in a season. `steps` rise in time; the first starts at midnight."""

    steps: tuple[TimeOfUseStep, ...]
    season: Season = field(default_factory=Season)
    name: str = ""

    def __post_init__(self) -> None:
        starts = [step.start for step in self.steps]
        if not starts or starts[0] != _MIDNIGHT:
            raise SeriesError(f"periods[{self.name}].steps", "do not start at 00:00")
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise SeriesError(f"periods[{self.name}].steps", f"do not rise: {', '.join(map(str, starts))}")


@dataclass(frozen=True, slots=True)
class DemandCharge:
    """Money per kW and billing period of the highest mean import over a clock-aligned interval.

    It is active on the days of `season` between the local times `start` and `end` (`end` excluded; equal means all
    day; earlier than `start` means over midnight, each day by its own calendar date).
    """

    charge_id: str
    price_per_kw: float
    interval_minutes: int = 15
    season: Season = field(default_factory=Season)
    start: time = _MIDNIGHT
    end: time = _MIDNIGHT

    def __post_init__(self) -> None:
        where = f"demand_charges[{self.charge_id}]"
        if not isfinite(self.price_per_kw) or self.price_per_kw < 0:
            raise SeriesError(f"{where}.price_per_kw", f"{self.price_per_kw} is not a number of at least 0")
        if self.interval_minutes not in (15, 30, 60):
            raise SeriesError(f"{where}.interval_minutes", f"{self.interval_minutes} is none of 15, 30, 60")
        _require_clock(f"{where}.start", self.start)
        _require_clock(f"{where}.end", self.end)


@dataclass(frozen=True, slots=True)
class FixedTariff:
    """One price, always."""

    price_per_kwh: float
    export_price_per_kwh: float = 0.0
    demand_charges: tuple[DemandCharge, ...] = ()

    def __post_init__(self) -> None:
        _require_finite("price_per_kwh", self.price_per_kwh)
        _require_finite("export_price_per_kwh", self.export_price_per_kwh)


@dataclass(frozen=True, slots=True)
class TimeOfUseTariff:
    """Prices by season, weekday and local time. Of several periods that hold on a day the first one counts."""

    periods: tuple[TimeOfUsePeriod, ...]
    export_price_per_kwh: float = 0.0
    demand_charges: tuple[DemandCharge, ...] = ()
    holidays: Holidays | None = None

    def __post_init__(self) -> None:
        if not self.periods:
            raise SeriesError("periods", "are missing: a time-of-use tariff has at least one")
        _require_finite("export_price_per_kwh", self.export_price_per_kwh)


@dataclass(frozen=True, slots=True, eq=False)  # a Series has no single truth value to compare by
class SeriesTariff:
    """Prices as published, start-labelled, in currency/kWh; NaN is not published.

    A price holds until the next one, but no longer than its neighbours' distance; the last one until `known_until`,
    by default for that distance. The site pays ``(price + surcharge_per_kwh) * factor``: fees first, then taxes.
    `export_prices` is a number, or a series with an end of its own; nothing is added to it.
    """

    prices: pd.Series
    known_until: datetime | None = None
    export_prices: pd.Series | float = 0.0
    surcharge_per_kwh: float = 0.0
    factor: float = 1.0
    demand_charges: tuple[DemandCharge, ...] = ()

    def __post_init__(self) -> None:
        _require_finite("surcharge_per_kwh", self.surcharge_per_kwh)
        _require_finite("factor", self.factor)
        if not isinstance(self.export_prices, pd.Series):
            _require_finite("export_prices", self.export_prices)


TariffPlan = FixedTariff | TimeOfUseTariff | SeriesTariff


@dataclass(frozen=True, slots=True, eq=False)
class ActiveDemandCharge:
    """A demand charge, and for each slot whether it is active in any part of it."""

    charge: DemandCharge
    active: pd.Series


def prices(tariff: TariffPlan, index: pd.DatetimeIndex, time_zone: str) -> pd.DataFrame:
    """The mean price of each slot: columns `price`, `export_price` (currency/kWh, no NaN) and `estimated` (bool).

    Estimated slots have the price of the same local time on the same weekday of the last four weeks, else on the
    latest other day that has one, else the median of all known prices. Raises `UnknownPriceError` when a tariff says
    nothing at all about a day or holds no price, `SeriesError` for malformed input.
    """
    index = validated_index(index)
    if isinstance(tariff, FixedTariff):
        columns = {"price": tariff.price_per_kwh, "export_price": tariff.export_price_per_kwh, "estimated": False}
        return pd.DataFrame(columns, index=index)
    if isinstance(tariff, TimeOfUseTariff):
        return _time_of_use(tariff, index, time_zone)
    spot, estimated = _published(tariff.prices, tariff.known_until, index, time_zone)
    price = (spot + tariff.surcharge_per_kwh) * tariff.factor
    if isinstance(tariff.export_prices, pd.Series):
        lone = tariff.known_until if len(tariff.export_prices) == 1 else None
        export, export_estimated = _published(tariff.export_prices, lone, index, time_zone)
        return pd.DataFrame({"price": price, "export_price": export, "estimated": estimated | export_estimated})
    return pd.DataFrame({"price": price, "export_price": float(tariff.export_prices), "estimated": estimated})


def demand_charges(
    charges: Iterable[DemandCharge], index: pd.DatetimeIndex, time_zone: str, holidays: Holidays | None = None
) -> tuple[ActiveDemandCharge, ...]:
    """When each charge is active, by the local clock."""
    index = validated_index(index)
    clock = _clock(index)
    dates, minute = local_dates(clock, time_zone), minutes_of_day(clock, time_zone)
    result = []
    for charge in charges:
        start, end = _minutes(charge.start), _minutes(charge.end)
        from_start, to_end = minute >= start, minute < end
        within = from_start & to_end if start < end else from_start | to_end
        active = charge.season.holds_on(dates, holidays) & within
        parts = active.reshape(len(index), -1)
        result.append(ActiveDemandCharge(charge, pd.Series(parts.any(axis=1), index=index, name=charge.charge_id)))
    return tuple(result)


def _time_of_use(tariff: TimeOfUseTariff, index: pd.DatetimeIndex, time_zone: str) -> pd.DataFrame:
    clock = _clock(index)
    dates, minute = local_dates(clock, time_zone), minutes_of_day(clock, time_zone)
    price, export = np.full(len(clock), np.nan), np.full(len(clock), np.nan)
    for period in reversed(tariff.periods):  # the first one has the last word
        holds = period.season.holds_on(dates, tariff.holidays)
        step = np.searchsorted([_minutes(step.start) for step in period.steps], minute[holds], side="right") - 1
        exports = [
            tariff.export_price_per_kwh if step.export_price_per_kwh is None else step.export_price_per_kwh
            for step in period.steps
        ]
        price[holds] = np.array([step.price_per_kwh for step in period.steps])[step]
        export[holds] = np.array(exports)[step]
    if np.isnan(price).any():
        raise UnknownPriceError(f"no period of the tariff holds on {dates[np.isnan(price)][0]}")
    length = slot_length(clock) if len(clock) > 1 else slot_length(index)
    mean = {
        name: on_grid(pd.Series(values, index=clock), index, hold=length)
        for name, values in (("price", price), ("export_price", export))
    }
    return pd.DataFrame({**mean, "estimated": False}, index=index)


def _published(
    known: pd.Series, known_until: datetime | None, index: pd.DatetimeIndex, time_zone: str
) -> tuple[pd.Series, pd.Series]:
    known = validated(known, "prices").dropna()
    until = None if known_until is None else require_aware("known_until", known_until)
    if until is not None:
        known = known[pd.DatetimeIndex(known.index) < until]
    if known.empty:
        raise UnknownPriceError("the tariff holds no price")
    return continued(known, until, index, time_zone)


def _clock(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The slots cut into steps of the local clock, each slot into the same number of parts."""
    parts = max(1, round(slot_length(index) / _CLOCK))
    part_us = slot_length(index) / timedelta(microseconds=1) / parts
    starts_us = index.as_unit("us").asi8[:, None] + np.round(np.arange(parts) * part_us).astype(np.int64)
    return pd.DatetimeIndex(starts_us.ravel().view("datetime64[us]")).tz_localize("UTC")


def _minutes(moment: time) -> int:
    return moment.hour * 60 + moment.minute


def _require_clock(where: str, moment: time) -> None:
    if moment.tzinfo is not None or moment.second or moment.microsecond or moment.minute % 5:
        raise SeriesError(where, f"{moment} is not a local time on five minutes")


def _require_finite(where: str, value: float) -> None:
    if not isfinite(value):
        raise SeriesError(where, f"{value} is not a number")
