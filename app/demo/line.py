"""The wire of a simulated station: a socket that comes back, and an outbox that keeps transaction messages in order."""

import asyncio
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import numpy as np
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from app.clock import Clock
from app.demo.faults import Fault, Faults
from app.demo.link import CallError, Json, Link

log = structlog.get_logger()

BACK_OFF_S = (5.0, 300.0)  # first and longest wait before it connects again
STEADY = timedelta(minutes=1)  # a connection that lasted so long ends the doubling
ATTEMPTS = 3  # TransactionMessageAttempts

Message = tuple[str, Json]  # action and payload


@dataclass(frozen=True, slots=True)
class Login:
    """As whom it connects; without a password it sends no credentials."""

    station_id: str
    password: str | None
    subprotocol: str


@dataclass(slots=True)
class _Outgoing:
    """A transaction message; its payload is built when it is sent, since only then 1.6 knows the transaction's id."""

    build: Callable[[], Message]
    heard: Callable[[Json], None] | None
    settled: asyncio.Future[None]
    is_movable: bool  # may overtake others of its kind


class Line:
    """Connects, again and again.

    On each connection `greet` runs for as long as it lasts. Transaction messages wait until `booted` is set.
    """

    def __init__(
        self,
        login: Login,
        clock: Clock,
        noise: np.random.Generator,
        faults: Faults,
        *,
        make_link: Callable[[ClientConnection], Link],
        greet: Callable[[], Awaitable[None]],
        lost: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.booted = asyncio.Event()
        self._login = login
        self._clock = clock
        self._noise = noise
        self._faults = faults
        self._make_link = make_link
        self._greet = greet
        self._note_lost = lost
        self._tell = tell
        self._outbox: deque[_Outgoing] = deque()
        self._outbox_grew = asyncio.Event()
        self._link: Link | None = None
        self._connection: ClientConnection | None = None
        self._lost: asyncio.Future[None] | None = None

    @property
    def is_online(self) -> bool:
        return self._link is not None

    async def run(self, url: str) -> None:
        """Stay connected to `url` (the service's endpoint, without the identity) until cancelled."""
        wait_s = BACK_OFF_S[0]
        while True:
            with self._clock.hold():
                connection = await self._connect(url)
                link = None if connection is None else self._open(connection)
            if connection is not None and link is not None:
                since = self._clock.now()
                await self._serve(connection, link)
                if self._clock.now() - since >= STEADY:
                    wait_s = BACK_OFF_S[0]
            await self._clock.sleep(wait_s * float(self._noise.uniform(0.8, 1.2)))
            wait_s = min(2 * wait_s, BACK_OFF_S[1])

    async def drop(self) -> None:
        """Hang up; the line comes back after the back-off."""
        if self._connection is not None:
            with self._clock.hold():
                await self._connection.close()

    def abort(self) -> None:
        """The cable is cut: no closing handshake."""
        if self._connection is not None:
            self._connection.transport.abort()

    async def call(self, action: str, payload: Json) -> Json | None:
        """Send and wait for the answer; None where there is none: offline, time-out, or a CALLERROR."""
        link, lost = self._link, self._lost
        if link is None or lost is None:
            return None
        with self._clock.hold():
            asking = asyncio.ensure_future(link.call(action, payload))
            either: set[asyncio.Future[Any]] = {asking, lost}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                return asking.result() if asking.done() else None
            except (CallError, TimeoutError) as error:
                log.warning("station got no answer", station=self._login.station_id, action=action, error=str(error))
            except ConnectionClosed:
                pass  # `_serve` sees it too, and connects again
            finally:
                asking.cancel()
        return None

    async def deliver(
        self, build: Callable[[], Message], heard: Callable[[Json], None] | None = None, *, is_movable: bool = False
    ) -> None:
        """Through the outbox; returns when it is answered, or at once while there is no connection."""
        outgoing = _Outgoing(build, heard, asyncio.get_running_loop().create_future(), is_movable)
        self._outbox.append(outgoing)
        self._outbox_grew.set()
        if self.booted.is_set() and self._lost is not None and not self._lost.done():
            with self._clock.hold():
                await asyncio.wait({outgoing.settled, self._lost}, return_when=asyncio.FIRST_COMPLETED)

    async def _connect(self, url: str) -> ClientConnection | None:
        login, headers = self._login, {}
        if login.password is not None:
            credentials = b64encode(f"{login.station_id}:{login.password}".encode()).decode()
            headers = {"Authorization": f"Basic {credentials}"}
        try:
            return await connect(
                f"{url.rstrip('/')}/{quote(login.station_id, safe='')}",
                subprotocols=[login.subprotocol],  # type: ignore[list-item]  # a NewType of str
                additional_headers=headers,
                compression=None,  # twelve stations of small frames: not worth the memory
                ping_interval=None,  # pings run on real time, the simulation does not
                proxy=None,
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            log.info("station cannot connect", station=login.station_id, error=str(error))
            self._tell(f"cannot connect: {error}")
            return None

    def _open(self, connection: ClientConnection) -> Link:
        self._connection = connection
        self._link = self._make_link(connection)
        self._lost = asyncio.get_running_loop().create_future()
        return self._link

    async def _serve(self, connection: ClientConnection, link: Link) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(link.start())
                tasks.create_task(self._run_greeting())
                tasks.create_task(self._send_outbox(link))
        except* ConnectionClosed:
            log.info("station lost its connection", station=self._login.station_id)
        finally:
            self._link = self._connection = None
            if self._lost is not None:
                self._lost.set_result(None)
            self._note_lost()
            with suppress(ConnectionClosed):
                await connection.close()

    async def _run_greeting(self) -> None:
        await self._greet()

    async def _send_outbox(self, link: Link) -> None:
        await self.booted.wait()
        if Fault.SHUFFLES in self._faults:
            self._shuffle()
        while True:
            while self._outbox:
                with self._clock.hold():
                    await self._send_oldest(link, self._outbox[0])
                    self._outbox.popleft()
            self._outbox_grew.clear()
            await self._outbox_grew.wait()

    async def _send_oldest(self, link: Link, outgoing: _Outgoing) -> None:
        for attempt in range(ATTEMPTS):
            try:
                reply = await link.call(*outgoing.build())
                if Fault.DUPLICATES in self._faults:
                    reply = await link.call(*outgoing.build())
            except (CallError, TimeoutError) as error:
                station_id = self._login.station_id
                log.warning("transaction message failed", station=station_id, error=str(error), n=attempt + 1)
                continue
            if outgoing.heard is not None:
                outgoing.heard(reply)
            break
        if not outgoing.settled.done():
            outgoing.settled.set_result(None)

    def _shuffle(self) -> None:
        waiting = list(self._outbox)
        places = [place for place, outgoing in enumerate(waiting) if outgoing.is_movable]
        for place, source in zip(places, self._noise.permutation(places), strict=True):
            self._outbox[place] = waiting[source]
