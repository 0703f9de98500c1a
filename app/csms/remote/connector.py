"""The stations behind one CSMS as a `CsmsConnector`: present or not, commanded through it, heard through it."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import structlog
from websockets.asyncio.server import ServerConnection

from app.clock import Clock
from app.csms import v2, v16
from app.csms.by_dialect import ByDialect
from app.csms.connector import OcppVersion
from app.csms.frames import Json
from app.csms.lenient import quote, read_count
from app.csms.ocpp_schemas import load_schemas
from app.csms.remote.road import Command, CsmsBusyError, Road
from app.csms.remote.settings import RemoteCsms
from app.csms.remote.transaction_names import TransactionNames
from app.csms.remote.tunnel import Tunnel
from app.csms.session import Dialect, Session
from app.csms.station_clock import StationClock
from app.csms.wire import WIRE_16, WIRE_21, WIRE_201, Wire
from app.db.store import Store
from app.errors import (
    CallFailedError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    StationOfflineError,
    StoreUnavailableError,
)
from app.events import Event, Events, StationConnected, StationDisconnected
from app.settings import Settings

PROBE_EVERY_S = 60.0  # how often a station that is not connected, as far as we know, is looked for
SPEAKERS: dict[OcppVersion, tuple[Wire, Callable[[Session, Store, Clock, Settings], Dialect]]] = {
    "1.6": (WIRE_16, v16.V16),
    "2.0.1": (WIRE_201, v2.v201),
    "2.1": (WIRE_21, v2.v21),
}
GONE = 1001

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Present:
    """A station that its CSMS says is connected."""

    tunnel: Tunnel
    session: Session
    dialect: Dialect
    running: asyncio.Task[None]


class RemoteConnector(ByDialect):
    """Implements `CsmsConnector` for the stations that `csms` names."""

    def __init__(
        self, csms: RemoteCsms, road: Road, store: Store, events: Events, clock: Clock, settings: Settings
    ) -> None:
        self.csms = csms
        self._road = road
        self._store = store
        self._events = events
        self._clock = clock
        # The road's own time-out is the one that counts; the session's is only there to be longer.
        self._settings = settings.model_copy(update={"call_timeout_s": csms.timeout_s + 5.0})
        self._station_clocks: defaultdict[str, StationClock] = defaultdict(StationClock)
        self._present: dict[str, _Present] = {}
        self._presence_at: dict[str, datetime] = {}  # by the CSMS's clock: its newest word on a station
        self._turns: dict[str, asyncio.Lock] = {}
        self._names: dict[str, TransactionNames] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Look for the stations, and go on looking for those that are not there."""
        await load_schemas(("SetChargingProfile", "ClearChargingProfile", "GetCompositeSchedule", "TriggerMessage"))
        self._in_background(self._look_for_all())

    async def close(self) -> None:
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for station_id in tuple(self._present):
            await self.note_absent(station_id)

    # --- what its CSMS says

    async def note_present(self, station_id: str, at: datetime | None = None) -> None:
        """The station is connected to its CSMS. `at`: since when, by its clock; what is older than the last is ignored.

        Raises `NotFoundError` for a station that the settings do not name, or no site.
        """
        self._require_ours(station_id)
        async with self._turn(station_id):
            if self._is_news(station_id, at) and station_id not in self._present:
                with self._clock.hold():
                    await self._open(station_id)

    async def note_absent(self, station_id: str, at: datetime | None = None) -> None:
        self._require_ours(station_id)
        async with self._turn(station_id):
            if self._is_news(station_id, at):
                with self._clock.hold():
                    await self._close(station_id)

    async def tell(self, station_id: str, action: str, payload: Json, answer: Json | None = None) -> None:
        """What the station said to its CSMS, and what that answered. Stored when this returns; a repetition changes
        nothing. Raises `InvalidInputError`, `NotFoundError` and `StoreUnavailableError` (tell it again)."""
        if station_id not in self._present:
            await self.note_present(station_id)
        present = self._present.get(station_id)
        if present is None:
            raise StationOfflineError(station_id)
        if self.csms.stations[station_id] != "1.6":
            await present.tunnel.tell(action, payload)
            return
        names = self._names_of(station_id)
        payload = await names.inwards(action, payload)
        if action != "StartTransaction":
            await present.tunnel.tell(action, payload)
            return
        theirs = read_count((answer or {}).get("transactionId"))
        if theirs is None:
            said = quote((answer or {}).get("transactionId"))
            raise InvalidInputError("answer.transactionId", f"{said} is no number: what the CSMS answered is needed")

        async def learn(ours: Json) -> None:
            await names.learn(theirs, ours["transactionId"])

        await present.tunnel.tell(action, payload, learn)

    # --- CsmsConnector

    def connected(self) -> frozenset[str]:
        return frozenset(self._present)

    # --- plain OCPP, as the gateway has it

    def version(self, station_id: str) -> OcppVersion:
        """The version that the settings say the station speaks; raises `StationOfflineError`."""
        return self._there(station_id).session.wire.version

    async def call(self, station_id: str, action: str, payload: Json, *, timeout_s: float | None = None) -> Json:
        """Send `payload` as it is and return the station's answer as it came; raises the errors of every command."""
        return await self._there(station_id).session.call(action, payload, timeout_s=timeout_s)

    # --- how

    def _dialect(self, station_id: str) -> Dialect:
        return self._there(station_id).dialect

    def _there(self, station_id: str) -> _Present:
        try:
            return self._present[station_id]
        except KeyError:
            raise StationOfflineError(station_id) from None

    def _require_ours(self, station_id: str) -> None:
        if station_id not in self.csms.stations:
            raise NotFoundError("charging station", station_id)

    def _turn(self, station_id: str) -> asyncio.Lock:
        return self._turns.setdefault(station_id, asyncio.Lock())

    def _names_of(self, station_id: str) -> TransactionNames:
        return self._names.setdefault(station_id, TransactionNames(station_id, self._store))

    def _is_news(self, station_id: str, at: datetime | None) -> bool:
        """Times of the CSMS are compared with one another only: its clock need not be ours."""
        if at is None:
            return True
        if at < self._presence_at.get(station_id, at):
            return False
        self._presence_at[station_id] = at
        return True

    async def _open(self, station_id: str) -> None:
        version, now = self.csms.stations[station_id], self._clock.now()
        await self._store.update_station(station_id, connected=True, last_seen_at=now, ocpp_version=version)
        wire, speak = SPEAKERS[version]
        tunnel = Tunnel(station_id, version, wire, _Watched(self, self._road, self._names_of(station_id)))
        session = Session(
            station_id,
            cast(ServerConnection, tunnel),  # which has the four members that a session uses
            clock=self._clock,
            call_timeout_s=self._settings.call_timeout_s,
            publish=self._publish,
            seen=lambda _station_id, _at: None,  # presence is its CSMS's to say
            wire=wire,
            station_clock=self._station_clocks[station_id],
        )
        dialect = speak(session, self._store, self._clock, self._settings)
        running = asyncio.create_task(session.run(dialect), name=f"remote-{station_id}")
        self._present[station_id] = _Present(tunnel, session, dialect, running)
        log.info("remote.connected", station=station_id, csms=self.csms.name, version=version)
        self._publish(StationConnected(station_id, now))

    async def _close(self, station_id: str) -> None:
        present = self._present.pop(station_id, None)
        if present is None:
            return
        await present.session.close(GONE, "its CSMS lost it")
        await asyncio.gather(present.running, return_exceptions=True)
        now = self._clock.now()
        try:
            await self._store.update_station(station_id, connected=False, last_seen_at=now)
        except (StoreUnavailableError, NotFoundError) as error:
            log.error("remote.presence_not_stored", station=station_id, reason=str(error))
        log.info("remote.disconnected", station=station_id, csms=self.csms.name)
        self._publish(StationDisconnected(station_id, now))

    async def _look_for_all(self) -> None:
        while True:
            for station_id in self.csms.stations:
                if station_id not in self._present:
                    await self._look_for(station_id)
            await self._clock.sleep(PROBE_EVERY_S)

    async def _look_for(self, station_id: str) -> None:
        """Whatever it answers to the most harmless question, it is there; its silence says nothing."""
        payload = {"requestedMessage": "Heartbeat"}
        command = Command(str(uuid.uuid4()), station_id, self.csms.stations[station_id], "TriggerMessage", payload)
        try:
            with self._clock.hold():
                await self._road.ask(command)
        except CallFailedError:
            pass
        except (StationOfflineError, OutcomeUnknownError) as error:
            log.debug("remote.not_found", station=station_id, csms=self.csms.name, reason=str(error))
            return
        try:
            await self.note_present(station_id)
        except (NotFoundError, StoreUnavailableError) as error:
            log.warning("remote.not_opened", station=station_id, csms=self.csms.name, reason=str(error))

    def lost(self, station_id: str) -> None:
        """A command could not be sent: the station is not connected to its CSMS, or that is not there itself."""
        if station_id in self._present:
            self._in_background(self.note_absent(station_id))

    def _publish(self, event: Event) -> None:
        try:
            self._events.publish(event)
        except Exception:  # a fault of ours, not the station's
            log.exception("remote.listener_failed", event_type=type(event).__name__)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class _Watched:
    """The road of one station, in its own numbers, and an eye on whether the station is still there."""

    def __init__(self, connector: RemoteConnector, road: Road, names: TransactionNames) -> None:
        self._connector = connector
        self._road = road
        self._names = names

    async def ask(self, command: Command) -> Json:
        if command.version == "1.6":
            payload = await self._names.outwards(command.action, command.payload)
            command = Command(command.command_id, command.station_id, command.version, command.action, payload)
        try:
            return await self._road.ask(command)
        except CsmsBusyError:
            raise
        except StationOfflineError:
            self._connector.lost(command.station_id)
            raise
