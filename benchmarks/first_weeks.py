"""The base load forecast against the naive model while a site is new: made loads of many shapes.

    python benchmarks/first_weeks.py [--seeds 8] [--days-ahead 1] [--shapes office,constant]

Issued every noon from the third day on. The naive model is the same weekday's quantiles of up to four weeks, and where
no such day is known, the last whole day. A ratio of pinball losses above 1 is worse than naive; where the naive model
loses nothing, 1 is nothing lost either.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from math import inf
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from benchmarks.load_shapes import SHAPES, TIME_ZONE, a_load
from forecasts.base_load import base_load
from forecasts.blend import pinball
from forecasts.local_days import day_slots, local_dates
from forecasts.naive import LastWholeDay, same_weekday

WINDOWS = ((3, 7), (7, 14), (14, 28), (28, 42))  # days of history at issue, half-open
LAST_DAY = WINDOWS[-1][1]
NOTHING = 1e-6  # kW: rounding


@dataclass(frozen=True)
class Loss:
    """Pinball loss over the slots of one day [kW, summed], ours and the naive model's."""

    days_known: int
    own: float
    naive: float


def losses(load_kw: pd.Series, days_known: Iterable[int] = range(3, LAST_DAY), days_ahead: int = 1) -> list[Loss]:
    """Of a forecast for the day `days_ahead`, issued at noon after so many whole days."""
    hour = timedelta(hours=1)
    first = local_dates(pd.DatetimeIndex(load_kw.index[:1]), TIME_ZONE)[0].item()
    weekly, daily, found = same_weekday(TIME_ZONE), LastWholeDay(TIME_ZONE), []
    for known_days in days_known:
        issued = datetime.combine(first + timedelta(days=known_days), time(12), ZoneInfo(TIME_ZONE)).astimezone(UTC)
        known = load_kw[load_kw.index <= pd.Timestamp(issued) - hour]
        index = day_slots(first + timedelta(days=known_days + days_ahead), TIME_ZONE, 60)
        truth = load_kw.reindex(index).to_numpy()
        week, day = weekly(known, index, issued).to_numpy(), daily(known, index, issued).to_numpy()
        naive = np.maximum(np.where(np.isnan(week), day, week), 0.0)  # a base load is never below 0
        own = base_load(known, index, time_zone=TIME_ZONE, issued_at=issued).quantiles.to_numpy()
        scored = ~np.isnan(truth) & ~np.isnan(naive).any(axis=1)
        own_kw, naive_kw = (float(pinball(said.T, truth)[scored].sum()) for said in (own, naive))
        found.append(Loss(known_days, own_kw, naive_kw))
    return found


def ratio(some: Iterable[Loss]) -> float:
    """Ours by the naive model's, of all together."""
    found = list(some)
    own, naive = sum(loss.own for loss in found), sum(loss.naive for loss in found)
    if naive <= NOTHING:
        return 1.0 if own <= NOTHING else inf
    return own / naive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--days-ahead", type=int, default=1)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    options = parser.parse_args()
    heads = [f"days {first} to {end - 1}" for first, end in WINDOWS]
    print(f"| load, {options.seeds} series each | {' | '.join(heads)} | worst series |")
    print(f"|---|{'---|' * (len(heads) + 1)}")
    for shape in options.shapes.split(","):
        series = [
            losses(a_load(shape, seed, LAST_DAY + options.days_ahead), days_ahead=options.days_ahead)
            for seed in range(options.seeds)
        ]
        cells = [
            ratio(loss for one in series for loss in one if first <= loss.days_known < end) for first, end in WINDOWS
        ]
        print(f"| {shape} | {' | '.join(f'{cell:.2f}' for cell in (*cells, max(map(ratio, series))))} |", flush=True)


if __name__ == "__main__":
    main()
