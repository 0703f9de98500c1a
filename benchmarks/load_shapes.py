"""Made base loads of many shapes, by the hour and the local clock, over a night on which the clock changes."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.local_days import day_slots, local_dates, minutes_of_day, weekdays

TIME_ZONE = "Europe/Berlin"
SPRING, AUTUMN = date(2026, 3, 23), date(2026, 10, 19)  # Mondays, six days before the clock changes
Floats = NDArray[np.floating[Any]]


class Clock:
    """The local clock of a series, slot by slot, and a source of noise."""

    def __init__(self, index: pd.DatetimeIndex, seed: int) -> None:
        dates = local_dates(index, TIME_ZONE)
        self.rng = np.random.default_rng(seed)
        self.size = len(index)
        self.hour: Floats = minutes_of_day(index, TIME_ZONE) / 60
        self.day = (dates - dates[0]).astype(np.int64)
        self.weekday = weekdays(dates)
        self.works = self.weekday < 5
        self.bump: Floats = np.exp(-(((self.hour - 13.0) / 4.0) ** 2))

    def noise(self, scale: float = 1.0) -> Floats:
        return self.rng.normal(0.0, scale, self.size)

    def lasting(self) -> Floats:
        """Noise that lasts for hours."""
        result, pushed = np.zeros(self.size), self.noise()
        for slot in range(1, self.size):
            result[slot] = 0.9 * result[slot - 1] + pushed[slot]
        return result

    def by_day(self, low: float, high: float) -> Floats:
        """Another number each day."""
        return np.asarray(self.rng.uniform(low, high, self.day[-1] + 1)[self.day])

    def since(self) -> NDArray[np.bool_]:
        """From some day of the first two weeks on."""
        return np.asarray(self.day >= self.rng.integers(4, 12))

    def spike(self) -> Floats:
        """One hour, fifty times what is usual."""
        result = np.zeros(self.size)
        result[self.rng.integers(4 * 24, 10 * 24)] = 500.0
        return result

    def office(self) -> Floats:
        return 10 + 20 * self.bump * self.works


SHAPES: dict[str, Callable[[Clock], Floats]] = {
    "constant": lambda c: np.full(c.size, 10.0),
    "zeros": lambda c: np.zeros(c.size),
    "every day the same": lambda c: 10 + 20 * c.bump,
    "every week the same": lambda c: c.office(),
    "step without noise": lambda c: 10 + 25.0 * c.since(),
    "straight line": lambda c: 10 + 0.05 * np.arange(c.size),
    "one spike without noise": lambda c: 10 + c.spike(),
    "Mondays only": lambda c: 60.0 * ((c.weekday == 0) & (c.hour > 8) & (c.hour < 16)),
    "office": lambda c: c.office() + c.lasting(),
    "every day with noise": lambda c: 10 + 20 * c.bump + c.lasting(),
    "white noise": lambda c: 20 + c.noise(5.0),
    "heavy tails": lambda c: np.exp(c.noise()),
    "step up": lambda c: c.office() + 25.0 * c.since() + c.lasting(),
    "step down": lambda c: 60 - 40.0 * c.since() + c.noise(0.5),
    "growth": lambda c: c.office() + c.day + c.lasting(),
    "season": lambda c: 30 + 20 * np.sin(c.day / 14) + 20 * c.bump + c.lasting(),
    "one spike": lambda c: c.office() + c.spike() + c.lasting(),
    "washes on Mondays": lambda c: 10 + 60.0 * ((c.weekday == 0) & (c.hour > 8) & (c.hour < 16)) + np.abs(c.noise()),
    "night shift": lambda c: 5 + 30 * ((c.hour < 5) | (c.hour > 21)) * c.works + c.lasting(),
    "car park": lambda c: 30 * np.exp(-(((c.hour - 9) / 2) ** 2)) * c.works * c.by_day(0.5, 1.5) + 0.5 * c.lasting(),
    "household": lambda c: (
        0.3 + 0.3 * np.abs(c.lasting()) + 2 * ((c.hour > 17) & (c.hour < 22)) * (c.by_day(0, 1) < 0.8)
    ),
    "random walk": lambda c: 60 + np.cumsum(c.noise(0.3)),
    "another level each day": lambda c: 15 + 30 * c.by_day(0, 1) + 20 * c.bump + c.noise(),
    "on and off by chance": lambda c: 20.0 * (c.rng.random(c.size) < 0.3),
    "seldom on": lambda c: 50.0 * (c.rng.random(c.size) < 0.02),
    "every other day": lambda c: 10 + 10.0 * (c.day % 2) + np.abs(c.noise()),
    "every third day": lambda c: 10 + 30.0 * (c.day % 3 == 0) + np.abs(c.noise()),
    "every other week": lambda c: 10 + 20 * c.bump * (c.day // 7 % 2 == 0) + np.abs(c.lasting()),
    "days missing": lambda c: np.where((c.by_day(0, 1) < 0.25) & (c.day > 0), np.nan, c.office() + c.lasting()),
    "below zero at noon": lambda c: 12 * c.works - 15 * c.bump + c.lasting(),
}
BELOW_ZERO = frozenset({"below zero at noon"})  # left as measured; every other one is cut at 0


def a_load(shape: str, seed: int = 0, days: int = 50) -> pd.Series:
    """A load of one of `SHAPES` [kW]; seeds differ in noise, in the weekday they begin on, and in the season."""
    first = (AUTUMN if seed % 2 else SPRING) + timedelta(days=seed % 7)
    begin, end = (day_slots(day, TIME_ZONE, 60)[0] for day in (first, first + timedelta(days=days)))
    index = pd.date_range(begin, end, freq="h", inclusive="left")
    values = SHAPES[shape](Clock(index, seed))
    return pd.Series(values if shape in BELOW_ZERO else np.maximum(values, 0.0), index=index)
