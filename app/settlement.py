"""Every completed transaction gets its charge detail record, as it completes or, after a crash, at the next start.

A transaction whose stop was lost completes when its EVSE starts the next one.
"""

import asyncio
from datetime import timedelta

import structlog

from app.cdr import end_superseded, settle
from app.clock import Clock
from app.db.store import Store
from app.errors import AppError
from app.events import Event, Events, TransactionStarted, TransactionStopped

log = structlog.get_logger()

TRY_AGAIN = timedelta(minutes=5)  # after the store did not answer: all that have no record yet


class Settlement:
    """`run` works until it is cancelled."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._work: asyncio.Queue[TransactionStarted | TransactionStopped | None] = asyncio.Queue()
        self._work.put_nowait(None)
        self._retry: asyncio.Task[None] | None = None
        self._unsubscribe = events.subscribe(self._hear)

    async def run(self) -> None:
        try:
            while True:
                event = await self._work.get()
                with self._clock.hold():
                    await self._take(event)
        finally:
            self._unsubscribe()
            if self._retry is not None:
                self._retry.cancel()

    async def _take(self, event: TransactionStarted | TransactionStopped | None) -> None:
        try:
            match event:
                case TransactionStopped(transaction_id=transaction_id):
                    await settle(self._store, [transaction_id])
                case TransactionStarted(station_id=station_id):
                    await self._end_superseded(station_id)
                case None:
                    await self._end_superseded(None)
                    await settle(self._store)
        except AppError as error:
            log.warning("not settled", about=event, error=str(error))
            self._try_again()
        except Exception:  # a bug met in one record must not keep all later ones from being made
            log.exception("not settled", about=event)

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

    def _hear(self, event: Event) -> None:
        if isinstance(event, TransactionStarted | TransactionStopped):
            self._work.put_nowait(event)
