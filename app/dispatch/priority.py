"""Drivers who charge with priority: no TxProfile holds at their EVSE, so none is sent, and it counts with all it can.

Kept beside the station's passport in the store, for a station says it once and not again to a service that restarts.
"""

from collections.abc import Callable, Coroutine, Sequence

import structlog

from app.db.records import Station
from app.db.store import Store
from app.dispatch.in_force import Book
from app.errors import AppError
from app.events import Event, Events, PriorityChargingChanged, TransactionStopped
from app.site import evse_key

log = structlog.get_logger()

PRIORITY = "priority_charging"  # beside the passport in the store: transaction by EVSE number
REASON = "its driver charges with priority (OCPP 2.1), which no plan limits"


class PriorityCharging:
    """By EVSE key. `in_background` begins what has to be written."""

    def __init__(
        self,
        store: Store,
        events: Events,
        book: Book,
        in_background: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        self._store = store
        self._book = book
        self._in_background = in_background
        self._active: dict[str, tuple[str, int, int]] = {}  # station, EVSE, transaction
        events.subscribe(self._hear)

    def restore(self, stations: Sequence[Station], running: set[int]) -> None:
        """What was so before this process began, and still is: those of transactions that run."""
        for station in stations:
            for evse_id, transaction_id in station.passport.get(PRIORITY, {}).items():
                if transaction_id in running:
                    self._begin(station.station_id, int(evse_id), transaction_id)

    def reasons(self) -> dict[str, str]:
        return dict.fromkeys(self._active, REASON)

    def _begin(self, station_id: str, evse_id: int, transaction_id: int) -> None:
        key = evse_key(station_id, evse_id)
        self._active[key] = station_id, evse_id, transaction_id
        self._book.free(key)

    def _end(self, key: str) -> None:
        self._active.pop(key, None)
        self._book.bind(key)

    def _hear(self, event: Event) -> None:
        if not isinstance(event, PriorityChargingChanged | TransactionStopped):
            return
        key = evse_key(event.station_id, event.evse_id)
        before = self._active.get(key)
        if isinstance(event, PriorityChargingChanged) and event.active:
            self._begin(event.station_id, event.evse_id, event.transaction_id)
        elif before is not None and before[2] == event.transaction_id:
            self._end(key)
        if self._active.get(key) != before:
            self._in_background(self._keep(event.station_id))

    async def _keep(self, station_id: str) -> None:
        active = {
            str(evse_id): transaction_id for own, evse_id, transaction_id in self._active.values() if own == station_id
        }
        try:
            stored = (await self._store.station(station_id)).passport
            await self._store.update_station(station_id, passport=stored | {PRIORITY: active})
        except AppError as error:
            log.error("priority not kept", station=station_id, error=str(error))
