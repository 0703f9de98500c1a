"""Every completed transaction gets its charge detail record, as it completes or, after a crash, at the next start."""

import asyncio

import structlog

from app.cdr import settle
from app.clock import Clock
from app.db.store import Store
from app.errors import AppError
from app.events import Event, Events, TransactionStopped

log = structlog.get_logger()


class Settlement:
    """`run` works until it is cancelled."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._stopped: asyncio.Queue[int] = asyncio.Queue()
        self._unsubscribe = events.subscribe(self._hear)

    async def run(self) -> None:
        try:
            await settle(self._store)
            while True:
                transaction_id = await self._stopped.get()
                try:
                    with self._clock.hold():
                        await settle(self._store, [transaction_id])
                except AppError as error:  # it has no record yet, so the next start settles it
                    log.warning("not settled", transaction=transaction_id, error=str(error))
        finally:
            self._unsubscribe()

    def _hear(self, event: Event) -> None:
        if isinstance(event, TransactionStopped):
            self._stopped.put_nowait(event.transaction_id)
