"""The service's own CSMS: charging stations connect here, and are commanded through here.

Connections are authenticated before the WebSocket exists; the newest connection of a station is the one that counts;
commands either reach it or say which of four things went wrong.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from app.clock import Clock
from app.csms import v2, v16
from app.csms.admission import Admission
from app.csms.by_dialect import ByDialect
from app.csms.connector import OcppVersion
from app.csms.enrolment import Enrolment
from app.csms.frames import Json
from app.csms.handshake import choose_subprotocol, identity_of
from app.csms.key_changes import KeyChanges
from app.csms.ocpp_schemas import load_schemas
from app.csms.session import Dialect, Session
from app.csms.station_clock import StationClock
from app.csms.station_rules import StationRules
from app.csms.tls import RevocationLists, SecurityProfile, profile_of, server_context
from app.csms.wire import LARGEST_FRAME_BYTES, WIRE_16, WIRE_21, WIRE_201, Wire
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError, StationOfflineError, StoreUnavailableError
from app.events import Event, Events, SiteChanged, StationConnected, StationDisconnected, StationFlapping
from app.settings import Settings

MAX_FRAMES_WAITING = 8
OPEN_TIMEOUT_S = 5.0  # a handshake that drips in is a slowloris
PING_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 2.0  # a station that hangs must not hold up a shutdown
SEEN_INTERVAL = timedelta(seconds=60)  # how stale `last_seen_at` may be in the store

PROTOCOL_ERROR = 1002
POLICY_VIOLATION = 1008
SUPERSEDED = 4001  # private use: the same station has connected anew

# Subprotocol: (how its frames look, how it is spoken). Another version is another line.
DIALECTS: dict[str, tuple[Wire, Callable[[Session, Store, Clock, Settings], Dialect]]] = {
    v2.SUBPROTOCOL_21: (WIRE_21, v2.v21),
    v2.SUBPROTOCOL_201: (WIRE_201, v2.v201),
    v16.SUBPROTOCOL: (WIRE_16, v16.V16),
}

COMMANDED_ACTIONS = (
    "SetChargingProfile",
    "ClearChargingProfile",
    "GetCompositeSchedule",
    "GetConfiguration",
    "ChangeConfiguration",
    "RemoteStartTransaction",
    "RemoteStopTransaction",
    "TriggerMessage",
)

log = structlog.get_logger(__name__)


class Gateway(ByDialect):
    """Listens for stations and implements `CsmsConnector`.

    ``async with Gateway(store, events, clock, settings) as gateway`` listens on ``gateway.port``.
    """

    def __init__(self, store: Store, events: Events, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._settings = settings
        self._servers: list[Server] = []
        self._tls_server: Server | None = None
        self._rules = StationRules()
        self.enrolment = Enrolment()
        self._key_changes = KeyChanges(store)
        self._sessions: dict[str, tuple[Session, Dialect]] = {}
        self._revocations: asyncio.Task[None] | None = None
        self._station_clocks: defaultdict[str, StationClock] = defaultdict(StationClock)
        self._last_seen: dict[str, datetime] = {}
        self._seen_unwritten: dict[str, datetime] = {}
        self._seen_written_at: datetime | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._admission = Admission(store, settings, clock, self._rules, self.enrolment, self._tell_flapping)
        self._deaf: Callable[[], None] = lambda: None  # ends the subscription to events

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """The port without TLS, or from security profile 2 on the one with it. The system's choice when set to 0."""
        return _port_of(self._servers[0] if self._servers else None)

    @property
    def scheme(self) -> str:
        """``ws`` or ``wss``: what `port` speaks."""
        return "wss" if self._servers and self._servers[0] is self._tls_server else "ws"

    @property
    def tls_port(self) -> int:
        """The port with TLS, when there is a certificate."""
        return _port_of(self._tls_server)

    async def start(self) -> None:
        await self._store.mark_all_disconnected()  # whatever was open when we went down is not any more
        await load_schemas(COMMANDED_ACTIONS)
        await self._rules.load(self._store)
        settings = self._settings
        context = server_context(settings)
        if settings.ocpp_security_profile >= SecurityProfile.TLS_AND_BASIC and context is None:
            raise InvalidInputError("ocpp_tls_certificate", "is missing: security profiles 2 and 3 need one")
        if settings.ocpp_security_profile < SecurityProfile.TLS_AND_BASIC:
            self._servers.append(await self._listen(settings.ocpp_port, None))
            log.info("ocpp.listening", host=settings.ocpp_host, port=self.port)
        if context is not None:
            self._tls_server = await self._listen(settings.ocpp_tls_port, context)
            self._servers.append(self._tls_server)
            if settings.ocpp_tls_client_crl is not None:
                lists = RevocationLists(context, settings.ocpp_tls_client_crl, self._clock)
                self._revocations = asyncio.create_task(lists.keep_current(), name="ocpp-revocations")
            log.info("ocpp.listening_tls", host=settings.ocpp_host, port=self.tls_port)
        self._deaf = self._events.subscribe(self._hear)

    async def _listen(self, port: int, context: ssl.SSLContext | None) -> Server:
        return await serve(
            self._serve_station,
            self._settings.ocpp_host,
            port,
            ssl=context,
            process_request=self._admission,
            select_subprotocol=_select_subprotocol,
            compression=None,  # no compression bombs, and 50 KB less a connection
            max_size=LARGEST_FRAME_BYTES,  # until the version is agreed; then its own bound holds
            max_queue=MAX_FRAMES_WAITING,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=self._settings.ping_interval_s,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            server_header=None,
        )

    async def close(self) -> None:
        """Close every connection and wait until what they had sent is stored."""
        self._deaf()
        self._deaf = lambda: None
        if self._revocations is not None:
            self._revocations.cancel()
        for server in self._servers:
            server.close()  # with 1001, going away
        for server in self._servers:
            await server.wait_closed()
        if self._background:
            await asyncio.gather(*self._background, return_exceptions=True)

    # --- what is known of the stations

    def connected(self) -> frozenset[str]:
        return frozenset(self._sessions)

    def last_seen(self, station_id: str) -> datetime | None:
        """When the station's last message came in; None when none has since the service started."""
        return self._last_seen.get(station_id)

    def violations(self, station_id: str) -> int:
        """How often the station's present connection was forgiven a breach of the protocol."""
        session, _ = self._sessions.get(station_id, (None, None))
        return session.violations if session else 0

    # --- what only some stations can do

    def of_2x(self, station_id: str) -> v2.V2:
        """What only 2.x can do: report the installed profiles, take raw and Dynamic ones, charge with priority.

        Raises `StationOfflineError`, and `InvalidInputError` for a station of 1.6.
        """
        dialect = self._dialect(station_id)
        if isinstance(dialect, v2.V2):
            return dialect
        raise InvalidInputError("station_id", f"{station_id} speaks OCPP {self.version(station_id)}, not 2.x")

    # --- plain OCPP

    def version(self, station_id: str) -> OcppVersion:
        """The version that the station speaks now, e.g. ``2.0.1``; raises `StationOfflineError`."""
        return self._connected(station_id)[0].wire.version

    async def call(self, station_id: str, action: str, payload: Json, *, timeout_s: float | None = None) -> Json:
        """Send `payload` as it is and return the station's answer as it came.

        Raises `StationOfflineError`, `CallFailedError` (the station answered with an error) or `OutcomeUnknownError`.
        """
        return await self._connected(station_id)[0].call(action, payload, timeout_s=timeout_s)

    def _dialect(self, station_id: str) -> Dialect:
        return self._connected(station_id)[1]

    def _connected(self, station_id: str) -> tuple[Session, Dialect]:
        try:
            return self._sessions[station_id]
        except KeyError:
            raise StationOfflineError(station_id) from None

    # --- connections

    async def _serve_station(self, connection: ServerConnection) -> None:
        station_id = identity_of(connection.request.path) if connection.request else None
        subprotocol = self._agreed_subprotocol(connection, station_id)
        if station_id is None or subprotocol is None:
            await connection.close(PROTOCOL_ERROR, f"we speak {', '.join(DIALECTS)}")
            return
        wire, speak = DIALECTS[subprotocol]
        connection.protocol.max_message_size = wire.max_frame_bytes
        session = Session(
            station_id,
            connection,
            clock=self._clock,
            call_timeout_s=self._settings.call_timeout_s,
            publish=self._publish,
            seen=self._note_seen,
            wire=wire,
            key_changes=self._key_changes,
            security_profile=profile_of(
                connection.transport, station_id, asks_password=self._settings.ocpp_auth == "basic"
            ),
            station_clock=self._station_clocks[station_id],
        )
        dialect = speak(session, self._store, self._clock, self._settings)
        superseded = self._sessions.get(station_id)
        self._sessions[station_id] = (session, dialect)
        self._last_seen[station_id] = self._clock.now()
        if superseded is not None:
            log.warning("ocpp.superseded", station=station_id)
            self._in_background(superseded[0].close(SUPERSEDED, "the station has connected anew"))
        try:
            with self._clock.hold():
                await self._open(session, wire.version)
            await session.run(dialect)
        finally:
            with self._clock.hold():
                await self._close(session)

    async def _open(self, session: Session, version: str) -> None:
        station_id = session.station_id
        try:
            await self._write_presence(station_id, ocpp_version=version)
        except (
            StoreUnavailableError,
            NotFoundError,
        ) as error:  # keep the socket: commands and live values work from memory
            log.error("ocpp.connection_not_stored", station=station_id, reason=str(error))
        log.info("ocpp.connected", station=station_id, version=version)
        self._publish(StationConnected(station_id, self._clock.now()))

    async def _close(self, session: Session) -> None:
        """Forget the connection, unless a newer one has taken its place."""
        station_id = session.station_id
        current = self._sessions.get(station_id)
        if current is None or current[0] is not session:
            return
        del self._sessions[station_id]
        try:
            await self._write_presence(station_id)
        except (StoreUnavailableError, NotFoundError) as error:
            log.error("ocpp.disconnection_not_stored", station=station_id, reason=str(error))
        log.info("ocpp.disconnected", station=station_id, violations=session.violations)
        if station_id not in self._sessions:
            self._publish(StationDisconnected(station_id, self._clock.now()))

    def _hear(self, event: Event) -> None:
        if isinstance(event, SiteChanged):
            self._in_background(self._dismiss_strangers())

    async def _dismiss_strangers(self) -> None:
        """Close the connections of stations that would not be let in again, as their sites' documents are now."""
        with self._clock.hold():
            try:
                await self._rules.load(self._store)
                known = {station.station_id for station in await self._store.stations()}
            except StoreUnavailableError:
                return
            for session in [session for session, _ in self._sessions.values()]:
                if session.station_id not in known:
                    log.warning("ocpp.station_removed", station=session.station_id)
                    await session.close(POLICY_VIOLATION, "the station is in no site any more")
                elif not self._admission.still_admits(session.station_id, session.security_profile):
                    log.warning("ocpp.security_profile_too_low", station=session.station_id)
                    await session.close(POLICY_VIOLATION, "the station must connect more securely now")

    def _agreed_subprotocol(self, connection: ServerConnection, station_id: str | None) -> str | None:
        if connection.subprotocol is not None:
            return connection.subprotocol
        if connection.request and "Sec-WebSocket-Protocol" in connection.request.headers:
            log.warning("ocpp.no_common_subprotocol", station=station_id)
            return None
        expected = self._rules.of(station_id).subprotocol if station_id else None
        taken_as = expected if expected in DIALECTS else v16.SUBPROTOCOL
        log.warning("ocpp.subprotocol_missing", station=station_id, taken_as=taken_as)
        return taken_as

    def _tell_flapping(self, station_id: str) -> None:
        log.warning("ocpp.flapping", station=station_id, most_a_minute=self._settings.ocpp_connects_a_minute)
        self._publish(StationFlapping(station_id, self._clock.now()))

    async def _write_presence(self, station_id: str, **columns: str) -> None:
        """Write whether the station is connected *now*; the store keeps the order in which it was told."""
        self._seen_unwritten.pop(station_id, None)
        await self._store.update_station(
            station_id, connected=station_id in self._sessions, last_seen_at=self._last_seen[station_id], **columns
        )

    def _note_seen(self, station_id: str, at: datetime) -> None:
        self._last_seen[station_id] = at
        self._seen_unwritten[station_id] = at
        if self._seen_written_at is None or at - self._seen_written_at >= SEEN_INTERVAL:
            self._seen_written_at = at
            unwritten, self._seen_unwritten = self._seen_unwritten, {}
            self._in_background(self._write_seen(unwritten))

    async def _write_seen(self, seen_at: dict[str, datetime]) -> None:
        """All stations in one transaction: ten thousand of them would keep the database busy with nothing else."""
        with self._clock.hold():
            try:
                await self._store.note_last_seen(seen_at)
            except StoreUnavailableError as error:
                log.error("ocpp.last_seen_not_stored", stations=len(seen_at), reason=str(error))

    def _publish(self, event: Event) -> None:
        """Tell the service. A listener that fails is a fault of ours, not the station's."""
        try:
            self._events.publish(event)
        except Exception:
            log.exception("ocpp.listener_failed", event_type=type(event).__name__)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _port_of(server: Server | None) -> int:
    if server is None:
        raise RuntimeError("the gateway does not listen there")
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


def _select_subprotocol(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """None completes the handshake without the header, as 1.6-J asks where nothing is common."""
    chosen = choose_subprotocol(offered, tuple(DIALECTS))
    return Subprotocol(chosen) if chosen else None
