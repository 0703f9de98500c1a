"""Who is expected to come: the coming day's arrivals as sessions with probabilities, from days of the same type.

Each hour of the local day that has had arrivals gets as many expected sessions as came in it on average; the last of
them, and each in an hour with less than one, has a probability below 1. Days on which nobody came count: only a day
before the first session of all says nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from forecasts.local_days import is_off_day, local_dates, local_times
from forecasts.sessions import completed_before, weighted_quantile

DAYS = 10  # of the same type, as for base load
LEAST_PROBABILITY = 0.2  # who comes more seldom is nobody to hold room for


@dataclass(frozen=True, slots=True)
class ExpectedArrival:
    """A car that will come at about `arrival` with this `probability`, stay and take as the median of its hour."""

    arrival: datetime
    probability: float
    departure: datetime
    energy_kwh: float


def expected_arrivals(
    history: pd.DataFrame,
    *,
    time_zone: str,
    issued_at: datetime,
    until: datetime,
    country: str | None = None,
    subdivision: str | None = None,
) -> tuple[ExpectedArrival, ...]:
    """Arrivals expected after `issued_at` and before `until`, in order of time; none without history.

    `history` is that of `forecasts.sessions.SessionModel`.
    """
    known = completed_before(history, issued_at, time_zone)
    if known.empty:
        return ()
    arrival = pd.DatetimeIndex(known["arrival"])
    dates = local_dates(arrival, time_zone)
    local = local_times(arrival, time_zone)
    hour = np.asarray(local.hour, dtype=np.int64)
    minute = np.asarray(local.minute, dtype=float)
    stay_h = ((pd.DatetimeIndex(known["departure"]) - arrival) / pd.Timedelta(hours=1)).to_numpy(dtype=float)
    energy_kwh = known["energy_kwh"].to_numpy(dtype=float)
    coming = pd.date_range(pd.Timestamp(issued_at).tz_convert("UTC").floor("h"), until, freq="h", inclusive="left")
    coming_dates = local_dates(coming, time_zone)
    first, today = dates.min(), local_dates(pd.DatetimeIndex([pd.Timestamp(issued_at).tz_convert("UTC")]), time_zone)[0]
    past_days = np.arange(first, today)
    past_off = is_off_day(past_days, country, subdivision)
    found: list[ExpectedArrival] = []
    for off in (False, True):
        alike = past_days[past_off == off][-DAYS:]
        if len(alike) == 0:
            continue
        on_alike = np.isin(dates, alike)
        for begin in coming[is_off_day(coming_dates, country, subdivision) == off]:
            local_hour = int(local_times(pd.DatetimeIndex([begin]), time_zone).hour[0])
            chosen = on_alike & (hour == local_hour)
            if not chosen.any():
                continue
            mean = chosen.sum() / len(alike)
            ones = np.ones(int(chosen.sum()))
            stay = timedelta(hours=weighted_quantile(stay_h[chosen], ones, 0.5))
            kwh = weighted_quantile(energy_kwh[chosen], ones, 0.5)
            minutes = np.quantile(minute[chosen], (np.arange(int(np.ceil(mean))) + 0.5) / int(np.ceil(mean)))
            for number, at in enumerate(minutes):
                moment = begin.to_pydatetime() + timedelta(minutes=float(at))
                probability = min(1.0, mean - number)
                if issued_at < moment < until and probability >= LEAST_PROBABILITY:
                    found.append(ExpectedArrival(moment, probability, moment + stay, kwh))
    return tuple(sorted(found, key=lambda one: (one.arrival, -one.probability)))
