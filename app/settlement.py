"""Every completed transaction gets its charge detail record, as it completes or, after a crash, at the next start.

A transaction whose stop was lost completes when its EVSE starts the next one. What stations send late, out of an
offline queue, is counted when the records of the last days are made again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import structlog

from app.accounting import COST_ESTIMATED, NO_PRICE, Accounts
from app.cdr import LOST, record
from app.clock import Clock
from app.db.records import Cdr, MeterValue, Transaction
from app.db.store import Store
from app.errors import AppError, NotFoundError
from app.events import Event, Events, StationMisread, TransactionStarted, TransactionStopped
from app.plausibility import metered, reason_of, suspect, suspects_of
from app.site import Site

log = structlog.get_logger()

TRY_AGAIN = timedelta(minutes=5)  # after the store did not answer: all that have no record yet
LATE_FOR = timedelta(days=2)  # how long after its stop a record takes in what comes late
LATE_AT = [timedelta(hours=hours) for hours in (1, 2, 4, 8, 16, 32, 48)]  # after its stop; soon, then seldom
LOOK_AGAIN = timedelta(hours=1)
UNPRICED = frozenset({COST_ESTIMATED, NO_PRICE})
MAX_RUNNING = 100_000


async def settle(
    store: Store,
    transaction_ids: Sequence[int] | None = None,
    *,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[Cdr]:
    """Make and store the CDRs of these completed transactions, or of all that have none yet.

    Made again from the same rows a record is the same, in whatever order they came. What is odd about a transaction's
    meter values goes into the quarantine of its site with it.
    """
    if transaction_ids is None:
        transactions = await store.transactions_without_cdr()
    else:
        transactions = [await store.transaction(transaction_id) for transaction_id in transaction_ids]
    accounts, sites, cdrs = Accounts(store), {site.id: site for site in await store.sites()}, []
    completed = sorted((row for row in transactions if not row.is_running), key=lambda row: row.started_at)
    for number, transaction in enumerate(completed, start=1):
        site = sites.get(transaction.site_id)
        max_power_kw = evse_power_kw(site, transaction.station_id, transaction.evse_id) if site else None
        voltage_v = site.connection.voltage_v if site else 230.0
        meter = metered(await _values_of(store, transaction), max_power_kw=max_power_kw, voltage_v=voltage_v)
        cdr, findings = record(transaction, meter, max_power_kw=max_power_kw)
        if site is not None:
            cdr = await accounts.priced(site, cdr, meter)
        await store.save_cdr(cdr, suspects_of(transaction, findings))
        cdrs.append(cdr)
        progress(number, len(completed))
    return cdrs


async def settle_late(store: Store, now: datetime, since: datetime | None = None) -> None:
    """Make the records of what stopped within `LATE_FOR` again: all, or those due after the last look at `since`.

    The first and the last time in any case, for the site's meters and its prices may be late, too; in between where
    something came in late, or a price was not known.
    """
    recent = await store.cdrs(start=(since or now) - LATE_FOR)
    if since is None:
        await settle(store, [cdr.transaction_id for cdr in recent])
        return
    looks = {cdr.transaction_id: (cdr, age) for cdr in recent for age in LATE_AT if since < cdr.stop + age <= now}
    heard = await store.last_received(list(looks))
    await settle(store, [number for number, (cdr, age) in looks.items() if _may_change(cdr, age, heard.get(number))])


def _may_change(cdr: Cdr, age: timedelta, heard_at: datetime | None) -> bool:
    """Whether the record may be another one than at the look before."""
    if age in (LATE_AT[0], LATE_AT[-1]) or not UNPRICED.isdisjoint(cdr.flags):
        return True
    return heard_at is None or heard_at >= cdr.stop + LATE_AT[LATE_AT.index(age) - 1]


def evse_power_kw(site: Site, station_id: str, evse_id: int) -> float | None:
    """What the EVSE can carry by the site's document; None for one that is not in it."""
    station = site.station(station_id)
    evse = next((one for one in station.evses if one.id == evse_id), None) if station else None
    if evse is None:
        return None
    limits = [] if evse.max_power_kw is None else [evse.max_power_kw]
    if evse.max_current_a is not None:
        limits.append(evse.max_current_a * len(evse.phases) * site.connection.voltage_v / 1000)
    return min(limits)


async def _values_of(store: Store, transaction: Transaction) -> list[MeterValue]:
    """Its meter values; of a station that never says whose they are, those of its EVSE in that time."""
    values = await store.meter_values(transaction_id=transaction.transaction_id)
    if values or transaction.stopped_at is None or transaction.stopped_at <= transaction.started_at:
        return values
    nobodys = await store.meter_values(
        station_id=transaction.station_id,
        evse_id=transaction.evse_id,
        start=transaction.started_at,
        end=transaction.stopped_at,
    )
    return [value for value in nobodys if value.transaction_id is None]


async def end_superseded(store: Store, station_id: str | None = None) -> list[Transaction]:
    """End every running transaction whose EVSE has started a newer one: its stop was lost, and will not come.

    A station tells of starts and stops in order, so the newer start says that the older stop is not on its way. It
    ends when it was last heard of, with the register of then: energy that nobody measured is billed to nobody.
    """
    by_evse: dict[tuple[str, int], list[Transaction]] = {}
    for transaction in await store.transactions(station_id=station_id, running=True, limit=MAX_RUNNING):
        by_evse.setdefault((transaction.station_id, transaction.evse_id), []).append(transaction)
    ended = []
    for running in by_evse.values():
        newest_first = sorted(running, key=lambda row: (row.started_at, row.transaction_id), reverse=True)
        for successor, lost in pairwise(newest_first):
            registers = await store.latest_energy_wh([lost.transaction_id])
            at, register_wh = registers.get(lost.transaction_id, (lost.started_at, lost.meter_start_wh))
            stopped_at = max(lost.started_at, min(at, successor.started_at))
            stopped, _ = await store.stop_transaction(
                lost.transaction_id, stopped_at=stopped_at, meter_stop_wh=register_wh, reason=LOST
            )
            ended.append(stopped)
    return ended


METERING = ("MeterValues", "StartTransaction", "StopTransaction", "TransactionEvent")
Heard = TransactionStarted | TransactionStopped | StationMisread


class Settlement:
    """`run` works until it is cancelled. What stations sent of their meters and nobody could read is quarantined."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._work: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._work.put_nowait(None)
        self._retry: asyncio.Task[None] | None = None
        self._late: asyncio.Task[None] | None = None
        self._unsubscribe = events.subscribe(self._hear)

    async def run(self) -> None:
        self._late = asyncio.create_task(self._look_again())
        try:
            while True:
                event = await self._work.get()
                with self._clock.hold():
                    await self._take(event)
        finally:
            self._unsubscribe()
            for task in (self._retry, self._late):
                if task is not None:
                    task.cancel()

    async def _take(self, event: Heard | None) -> None:
        try:
            match event:
                case TransactionStopped(transaction_id=transaction_id):
                    await settle(self._store, [transaction_id])
                case TransactionStarted(station_id=station_id):
                    await self._end_superseded(station_id)
                case StationMisread():
                    await self._quarantine(event)
                case None:
                    await self._end_superseded(None)
                    await settle(self._store)
        except AppError as error:
            log.warning("not settled", about=event, error=str(error))
            self._try_again()
        except Exception:  # a bug met in one record must not keep all later ones from being made
            log.exception("not settled", about=event)

    async def _quarantine(self, misread: StationMisread) -> None:
        try:
            station = await self._store.station(misread.station_id)
        except NotFoundError:  # it is being enrolled
            return
        found = suspect(
            station.site_id,
            reason_of(misread.violation),
            misread.violation,
            source=f"{misread.action} of {misread.station_id}",
        )
        await self._store.add_suspects([replace(found, station_id=misread.station_id, at=misread.at)])

    async def _end_superseded(self, station_id: str | None) -> None:
        for lost in await end_superseded(self._store, station_id):
            log.warning("stop lost", transaction=lost.transaction_id, station=lost.station_id, evse=lost.evse_id)
            self._events.publish(
                TransactionStopped(
                    lost.station_id, lost.evse_id, lost.transaction_id, lost.stopped_at or lost.started_at, live=False
                )
            )

    def _try_again(self) -> None:
        if self._retry is None or self._retry.done():
            self._retry = asyncio.create_task(self._look_at_all_later())

    async def _look_at_all_later(self) -> None:
        await self._clock.sleep(TRY_AGAIN.total_seconds())
        self._work.put_nowait(None)

    async def _look_again(self) -> None:
        looked_at: datetime | None = None
        while True:
            await self._clock.sleep(LOOK_AGAIN.total_seconds())
            with self._clock.hold():
                now = self._clock.now()
                try:
                    await settle_late(self._store, now, looked_at)
                    looked_at = now
                except AppError as error:
                    log.warning("late values are not counted yet", error=str(error))

    def _hear(self, event: Event) -> None:
        match event:
            case TransactionStarted() | TransactionStopped():
                self._work.put_nowait(event)
            case StationMisread() if event.action in METERING:
                self._work.put_nowait(event)
            case _:
                pass
