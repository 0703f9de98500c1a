"""What the EVSEs of a site charged, by integrating what they measured over any grid of moments.

Power samples say it best: their total, else the sum of their phases. A station that sends only its energy register is
believed by that: between two readings of it the energy is spread evenly. Energy is conserved, whatever the grid.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.cdr import total_power_w
from app.db.records import MeterValue, Transaction
from app.db.store import Store
from forecasts.series import slot_length

POWER, REGISTER = "Power.Active.Import", "Energy.Active.Import.Register"
Floats = NDArray[np.float64]
Samples = Sequence[tuple[datetime, float]]

LAST_HOLDS = timedelta(minutes=15)  # what a station said longer ago says nothing about now
STEP_AT_MOST = timedelta(hours=1)  # stations sample at least hourly: two samples further apart have a gap between
LONGEST_STAY = timedelta(days=7)
MAX_TRANSACTIONS = 100_000
CELL = timedelta(minutes=5)  # every slot is a whole number of them
READ_AGAIN = timedelta(hours=12)  # how late values may come and still be counted at once
ALL_AGAIN = timedelta(days=1)  # and when those are counted that came later still


@dataclass(frozen=True, slots=True)
class Curve:
    """Cumulated energy [kWh] at rising moments [s since 1970]; straight between them, flat outside."""

    at_s: Floats
    kwh: Floats

    def between(self, edges_s: Floats) -> Floats:
        """The energy from each edge to the next."""
        energy_kwh: Floats = np.diff(np.interp(edges_s, self.at_s, self.kwh))
        return energy_kwh


def from_power(samples: Samples, stops: Sequence[datetime] = ()) -> Curve:
    """Each sample (at, W), in order of time, holds until the next one, or until the stop of its transaction.

    A sample that neither follows within `STEP_AT_MOST` holds for `LAST_HOLDS`.
    """
    at_s = _seconds([at for at, _ in samples])
    stops_s = np.append(np.sort(_seconds(stops)), np.inf)
    next_s = np.minimum(np.append(at_s[1:], np.inf), stops_s[np.searchsorted(stops_s, at_s)])
    until_s = np.where(next_s - at_s <= STEP_AT_MOST.total_seconds(), next_s, at_s + LAST_HOLDS.total_seconds())
    energy_kwh = np.array([watt for _, watt in samples]) / 1000 * (until_s - at_s) / 3600
    after_kwh = np.cumsum(energy_kwh)
    # Two points a sample: where it begins to hold and where it ends.
    return Curve(np.stack([at_s, until_s], axis=1).ravel(), np.stack([after_kwh - energy_kwh, after_kwh], 1).ravel())


def from_register(readings: Samples) -> Curve:
    """From (at, Wh), in order of time; a register that falls was reset, and says nothing of what lies between."""
    at_s = _seconds([at for at, _ in readings])
    rises_kwh = np.maximum(np.diff([wh for _, wh in readings]), 0.0) / 1000
    return Curve(at_s, np.concatenate([[0.0], np.cumsum(rises_kwh)]))


@dataclass(slots=True)
class _Known:
    """Energy by cell from `first` on, read up to `until`; everything was last read at `all_read`."""

    first: datetime
    until: datetime
    all_read: datetime
    kwh: Floats
    transactions: set[int] = field(default_factory=set)


class ChargedEnergy:
    """Reads the past once and then continues it: a month of samples takes half a second, the last hours a few ms."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}

    async def power_kw(self, site_id: str, index: pd.DatetimeIndex) -> pd.Series:
        """Mean charging power in each slot of `index`, on multiples of five minutes; 0 where nobody charged."""
        slot = slot_length(index)
        start, end = index[0].to_pydatetime(), (index[-1] + slot).to_pydatetime()
        known = await self._continued(site_id, start, end)
        first = (start - known.first) // CELL
        cells = known.kwh[first : first + (end - start) // CELL]
        by_slot = cells.reshape(len(index), slot // CELL).sum(axis=1)
        return pd.Series(by_slot / (slot / timedelta(hours=1)), index=index)

    async def energy_kwh(self, site_id: str, index: pd.DatetimeIndex) -> pd.Series:
        """Energy charged in each slot of `index`, on any grid: read anew each time."""
        start, end = index[0].to_pydatetime(), (index[-1] + slot_length(index)).to_pydatetime()
        edges_s = np.linspace(start.timestamp(), end.timestamp(), len(index) + 1)
        transactions = await self._transactions(site_id, start, end)
        return pd.Series(await self._read(site_id, start, end, edges_s, transactions), index=index)

    async def _continued(self, site_id: str, start: datetime, end: datetime) -> _Known:
        known = self._known.get(site_id)
        transactions = await self._transactions(site_id, start, end)
        if known is None or start < known.first or end - known.all_read >= ALL_AGAIN:
            kwh = await self._read(site_id, start, end, _edges(start, end), transactions)
            known = _Known(start, end, end, kwh, {row.transaction_id for row in transactions})
            self._known[site_id] = known
            return known
        # An imported history brings transactions of long ago; only they make the past be read again.
        new = [row for row in transactions if row.transaction_id not in known.transactions]
        since = min([min(known.until, end) - READ_AGAIN, *(row.started_at for row in new)])
        since = max(known.first, known.first + (since - known.first) // CELL * CELL)
        if since < end:
            kwh = await self._read(site_id, since, end, _edges(since, end), transactions)
            kept = (since - known.first) // CELL
            known.kwh = np.concatenate([known.kwh[:kept], kwh, known.kwh[kept + len(kwh) :]])
            known.until = max(known.until, end)
        known.transactions |= {row.transaction_id for row in new}
        return known

    async def _transactions(self, site_id: str, start: datetime, end: datetime) -> list[Transaction]:
        return await self._store.transactions(
            site_id=site_id, start=start - LONGEST_STAY, end=end, limit=MAX_TRANSACTIONS
        )

    async def _read(
        self, site_id: str, start: datetime, end: datetime, edges_s: Floats, transactions: Sequence[Transaction]
    ) -> Floats:
        totals = await self._store.charging_power(site_id, start - STEP_AT_MOST, end)
        stops: dict[tuple[str, int], list[datetime]] = {}
        for row in transactions:
            if row.stopped_at is not None:
                stops.setdefault((row.station_id, row.evse_id), []).append(row.stopped_at)
        curves = [from_power(samples, stops.get(key, ())) for key, samples in totals.items()]
        for row in transactions:
            stopped_at = row.stopped_at or end
            if stopped_at > start and not _says_something(totals, row, stopped_at):
                curves += await self._without_totals(row)
        energy_kwh = np.zeros(len(edges_s) - 1)
        for curve in curves:
            energy_kwh += curve.between(edges_s)
        return energy_kwh

    async def _without_totals(self, transaction: Transaction) -> list[Curve]:
        """Of a transaction whose station sends no total power: the sum of its phases, else its register."""
        values = await self._store.meter_values(transaction_id=transaction.transaction_id, measurands=(POWER, REGISTER))
        if any(value.measurand == POWER and value.phase == "" for value in values):
            return []  # it does, only not at this time
        by_phase = total_power_w(values)
        if by_phase:
            return [from_power(by_phase, [transaction.stopped_at] if transaction.stopped_at else ())]
        return [from_register(_registers(transaction, values))]


def _says_something(totals: Mapping[tuple[str, int], Samples], transaction: Transaction, until: datetime) -> bool:
    """Whether its EVSE sent a total power from its start on, or from shortly before what was read."""
    samples = totals.get((transaction.station_id, transaction.evse_id), ())
    first = bisect_left(samples, transaction.started_at, key=lambda sample: sample[0])
    return first < len(samples) and samples[first][0] <= until


def _registers(transaction: Transaction, values: Iterable[MeterValue]) -> list[tuple[datetime, float]]:
    readings = {value.at: value.value for value in values if value.measurand == REGISTER and value.phase == ""}
    readings.setdefault(transaction.started_at, transaction.meter_start_wh)
    if transaction.stopped_at is not None and transaction.meter_stop_wh is not None:
        readings[transaction.stopped_at] = transaction.meter_stop_wh
    return sorted(readings.items())


def _edges(start: datetime, end: datetime) -> Floats:
    return np.asarray(start.timestamp() + CELL.total_seconds() * np.arange((end - start) // CELL + 1))


def _seconds(moments: Iterable[datetime]) -> Floats:
    return np.array([moment.astimezone(UTC).timestamp() for moment in moments], dtype=np.float64)
