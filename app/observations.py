"""What the service itself observes of charging stations, kept among their notices for an operator to read.

Slips that were forgiven, stations that were kept out because they connected all the time, EVSEs that draw more than
they may, and the lines of the quirk file that a station is treated by.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine

import structlog

from app.clock import Clock
from app.csms.quirks import quirks_of
from app.db.records import Json, StationNotice
from app.db.store import Store
from app.errors import NotFoundError, StoreUnavailableError
from app.events import Event, Events, ObedienceChanged, StationBooted, StationFlapping, StationMisread

OBSERVED_AS = "service:"  # what the action of a notice begins with that neither a station nor an operator caused
MAX_REMEMBERED = 10_000  # slips and quirks that were written already; a station repeats its own with every connection

log = structlog.get_logger(__name__)


class Observations:
    """Listens until `close`, which returns once everything is written."""

    def __init__(self, store: Store, events: Events, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._written: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()
        self._deaf = events.subscribe(self._hear)

    async def close(self) -> None:
        self._deaf()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _hear(self, event: Event) -> None:
        match event:
            case StationMisread(station_id=station_id, action=action, violation=violation):
                if self._is_news(station_id, f"{action} {violation}"):
                    self._write(station_id, "tolerated", {"action": action, "violation": violation})
            case StationFlapping(station_id=station_id):
                self._write(station_id, "kept_out", {"reason": "it connects again and again"})
            case ObedienceChanged(station_id=station_id, evse_id=evse_id, obeys=obeys):
                self._write(station_id, "obeys" if obeys else "disobeys", {"evse_id": evse_id})
            case StationBooted(station_id=station_id):
                self._begin(self._quirks(station_id))
            case _:
                pass

    def _is_news(self, station_id: str, text: str) -> bool:
        if (station_id, text) in self._written:
            self._written.move_to_end((station_id, text))
            return False
        self._written[station_id, text] = None
        if len(self._written) > MAX_REMEMBERED:
            self._written.popitem(last=False)
        return True

    async def _quirks(self, station_id: str) -> None:
        """The lines that fit what it said of itself in its boot; once for each vendor, model and firmware."""
        try:
            with self._clock.hold():
                station = await self._store.station(station_id)
        except (StoreUnavailableError, NotFoundError) as error:
            log.warning("observations.no_station", station=station_id, reason=str(error))
            return
        quirks = quirks_of(station.vendor, station.model, station.firmware)
        if quirks and self._is_news(station_id, f"quirks of {station.vendor} {station.model} {station.firmware}"):
            lines = [
                {"source": quirk.source, "note": quirk.note, "settings": quirk.settings.as_json()} for quirk in quirks
            ]
            await self._add(station_id, "quirks", {"quirks": lines})

    def _write(self, station_id: str, what: str, payload: Json) -> None:
        self._begin(self._add(station_id, what, payload))

    async def _add(self, station_id: str, what: str, payload: Json) -> None:
        notice = StationNotice(station_id, self._clock.now(), f"{OBSERVED_AS}{what}", payload)
        try:
            with self._clock.hold():
                await self._store.add_notice(notice)
        except (StoreUnavailableError, NotFoundError) as error:
            log.warning("observations.not_written", station=station_id, what=what, reason=str(error))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
