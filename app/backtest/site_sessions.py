"""A site's own sessions for a back-test: what its stations recorded, and what was said and measured by each moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from app.backtest.sessions import LEAST_KWH, rows_of
from app.cdr import total_power_w
from app.db.records import MeterValue, Transaction, Wish
from app.db.store import Store
from app.gather.beliefs import HISTORY, MOST_SESSIONS, arrived, history
from app.gather.charged import POWER, REGISTER, from_power
from app.gather.sessions import WISH_WAITS, wish_of
from app.imports.rows import Progress, no_progress
from app.site import Site, evse_key
from forecasts.session_backtest import HOURS, Place, session_scores
from forecasts.sessions import Arrived

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SiteSessions:
    """Sessions that are over, by row: as models know them, and as each was seen while it lasted.

    `taken_kwh` is by position and hour after plug-in: by the meter values until then; missing where nothing was
    measured, which is nothing that is known.
    """

    site: Site
    frame: pd.DataFrame
    transactions: Sequence[Transaction]
    wishes: Sequence[Sequence[Wish]]
    recent: Sequence[Sequence[Transaction]]
    taken_kwh: Mapping[tuple[int, int], float]

    def seen(self, position: int, hour: int) -> tuple[Arrived, float]:
        """What was said of a stay by so many hours after its arrival, and what it had taken."""
        transaction = self.transactions[position]
        moment = transaction.started_at + hour * _HOUR
        said = [wish for wish in self.wishes[position] if wish.created_at <= moment]
        wish = wish_of(transaction, said, self.recent[position])
        return arrived(transaction, wish), self.taken_kwh.get((position, hour), 0.0)

    def scores(self, days: Sequence[date], time_zone: str, progress: Progress = no_progress) -> list[dict[str, Any]]:
        """Every model's scores over the sessions that arrived on local `days`; empty where none did."""
        site = self.site
        place = Place(
            time_zone,
            site.country,
            site.subdivision,
            site.session_defaults.stay_h,
            site.session_defaults.required_energy_kwh,
            HISTORY,
        )
        table = session_scores(
            self.frame, place=place, days=days, least_kwh=LEAST_KWH, seen=self.seen, progress=progress
        )
        return rows_of(table)


async def sessions_of(store: Store, site: Site, start: datetime, end: datetime) -> SiteSessions:
    """What is known of the sessions that arrived from `start` until before `end`, with those of the time before.

    A session without a stop, or without the register of one, is not among them.
    """
    limit = MOST_SESSIONS * max(1, round((end - start + HISTORY) / HISTORY))
    rows = await store.transactions(site_id=site.id, start=start - HISTORY, end=end, limit=limit)
    wishes = await store.wishes(site.id, active_at=start - HISTORY)
    frame = history(rows, wishes).sort_values("arrival", kind="stable").reset_index(drop=True)
    known = {(row.started_at, evse_key(row.station_id, row.evse_id)): row for row in rows}
    moments = [at.to_pydatetime() for at in frame["arrival"]]
    transactions = [known[key] for key in zip(moments, frame["evse_id"], strict=True)]
    taken_kwh: dict[tuple[int, int], float] = {}
    for position, row in enumerate(transactions):
        hours = [
            hour for hour in HOURS if row.stopped_at is not None and row.started_at + hour * _HOUR < row.stopped_at
        ]
        if row.started_at >= start and hours[-1:] > [0]:
            values = await store.meter_values(transaction_id=row.transaction_id, measurands=(POWER, REGISTER))
            taken_kwh |= {(position, hour): _taken_kwh(row, values, row.started_at + hour * _HOUR) for hour in hours}
    return SiteSessions(
        site,
        frame,
        transactions,
        [_meant_for(row, wishes) for row in transactions],
        [_before(row, transactions, position) for position, row in enumerate(transactions)],
        taken_kwh,
    )


def _meant_for(row: Transaction, wishes: Sequence[Wish]) -> list[Wish]:
    """Those that may mean a stay: said before its end, for a departure after its start."""
    return [
        wish
        for wish in wishes
        if wish.departure > row.started_at and row.stopped_at is not None and wish.created_at <= row.stopped_at
    ]


def _before(row: Transaction, transactions: Sequence[Transaction], position: int) -> list[Transaction]:
    """Stays that may have claimed a wish that was said before this one."""
    first = position
    while first > 0 and row.started_at - transactions[first - 1].started_at <= 2 * WISH_WAITS:
        first -= 1
    return list(transactions[first:position])


def _taken_kwh(row: Transaction, values: Sequence[MeterValue], until: datetime) -> float:
    """By the last register at `until`; by integrating the power of a station that sends no register."""
    seen = [value for value in values if value.at <= until]
    registers = [value.value for value in seen if value.measurand == REGISTER and value.phase == ""]
    if registers:
        return max(0.0, registers[-1] - row.meter_start_wh) / 1000
    power_w = total_power_w(seen)
    if not power_w:
        return 0.0
    return float(from_power(power_w).between(np.array([row.started_at.timestamp(), until.timestamp()]))[0])
