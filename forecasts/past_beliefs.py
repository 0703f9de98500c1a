"""What was believed of past sessions when they began: each by the model of its own day, which knew nothing of it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from forecasts.errors import SeriesError
from forecasts.local_days import local_dates
from forecasts.sessions import Arrived, SessionModel, StayBelief


@dataclass(frozen=True, slots=True, eq=False)
class PastBelief:
    """A session that is over, by its row in the history, and the belief at its arrival."""

    row: int
    belief: StayBelief


def beliefs_at_arrival(
    history: pd.DataFrame,
    *,
    since: datetime,
    time_zone: str,
    country: str | None = None,
    subdivision: str | None = None,
    default_stay_h: float = 8.0,
    default_energy_kwh: float = 20.0,
) -> list[PastBelief]:
    """The beliefs in the sessions of `history` that arrived at or after `since` (aware), in their order.

    `history` is that of `forecasts.sessions.SessionModel`; of each local day's sessions its model knows what had ended
    when the day began.
    """
    arrival = pd.DatetimeIndex(history["arrival"])
    asked = np.flatnonzero(arrival >= pd.Timestamp(since))
    dates = local_dates(arrival, time_zone)
    rows = history.to_dict("records")
    models: dict[np.datetime64, SessionModel] = {}
    found = []
    for position in asked:
        day = dates[position]
        if day not in models:
            models[day] = SessionModel(
                history,
                time_zone=time_zone,
                issued_at=pd.Timestamp(day).tz_localize(time_zone).tz_convert("UTC").to_pydatetime(),
                country=country,
                subdivision=subdivision,
                default_stay_h=default_stay_h,
                default_energy_kwh=default_energy_kwh,
            )
        found.append(PastBelief(int(position), models[day].belief(arrived_of(rows[position]))))
    return found


def arrived_of(row: Mapping[Hashable, object], at: datetime | None = None) -> Arrived:
    """What was known at the arrival of a session: a row of a history; empty or missing values are unknown.

    `at` is when it counts as arrived, where that is not what the row says.
    """
    stated, requested = row.get("stated_departure"), row.get("requested_kwh")
    user, evse, came = row.get("user_id"), row.get("evse_id"), row["arrival"]
    if at is None:
        if not isinstance(came, pd.Timestamp):
            raise SeriesError("history", f"has an arrival that is no time: {came!r}")
        at = came.tz_convert("UTC").to_pydatetime()
    return Arrived(
        arrival=at,
        user_id=user if isinstance(user, str) and user else None,
        evse_id=evse if isinstance(evse, str) and evse else None,
        stated_departure=stated.to_pydatetime() if isinstance(stated, pd.Timestamp) else None,
        requested_kwh=requested if isinstance(requested, float) and np.isfinite(requested) else None,
    )
