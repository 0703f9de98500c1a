"""The wire of a simulated station: a socket that comes back, and an outbox that keeps transaction messages in order."""

import asyncio
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from ocpp.exceptions import OCPPError
from ocpp.v16 import call
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from app.clock import Clock
from app.demo.link import Link

log = structlog.get_logger()

BACK_OFF_S = (5.0, 300.0)  # first and longest wait before it connects again
ATTEMPTS = 3  # TransactionMessageAttempts


@dataclass(slots=True)
class _Outgoing:
    """A transaction message; its payload is built when it is sent, since only then the transaction's id is known."""

    build: Callable[[], Any]
    heard: Callable[[Any], None] | None
    settled: asyncio.Future[None]


class Line:
    """Connects as `station_id` with `password`, again and again.

    On each connection `greet` runs for as long as it lasts. Transaction messages wait until `booted` is set.
    """

    def __init__(
        self,
        station_id: str,
        password: str,
        clock: Clock,
        noise: np.random.Generator,
        *,
        make_link: Callable[[ClientConnection], Link],
        greet: Callable[[], Awaitable[None]],
    ) -> None:
        self.booted = asyncio.Event()
        self._station_id = station_id
        self._password = password
        self._clock = clock
        self._noise = noise
        self._make_link = make_link
        self._greet = greet
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
                wait_s = BACK_OFF_S[0]
                await self._serve(connection, link)
            await self._clock.sleep(wait_s * float(self._noise.uniform(0.8, 1.2)))
            wait_s = min(2 * wait_s, BACK_OFF_S[1])

    async def drop(self) -> None:
        """Hang up; the line comes back after the back-off."""
        if self._connection is not None:
            with self._clock.hold():
                await self._connection.close()

    async def call(self, message: Any) -> Any:
        """Send and wait for the answer; None where there is none: offline, time-out, or a CALLERROR."""
        link, lost = self._link, self._lost
        if link is None or lost is None:
            return None
        with self._clock.hold():
            hot = isinstance(message, call.Heartbeat | call.StatusNotification)
            asking = asyncio.ensure_future(link.call(message, suppress=False, skip_schema_validation=hot))
            try:
                await asyncio.wait({asking, lost}, return_when=asyncio.FIRST_COMPLETED)
                return asking.result() if asking.done() else None
            except (OCPPError, TimeoutError) as error:
                log.warning("station got no answer", station=self._station_id, error=str(error))
            except ConnectionClosed:
                pass  # `_serve` sees it too, and connects again
            finally:
                asking.cancel()
        return None

    async def deliver(self, build: Callable[[], Any], heard: Callable[[Any], None] | None = None) -> None:
        """Through the outbox; returns when it is answered, or at once while there is no connection."""
        outgoing = _Outgoing(build, heard, asyncio.get_running_loop().create_future())
        self._outbox.append(outgoing)
        self._outbox_grew.set()
        if self.booted.is_set() and self._lost is not None and not self._lost.done():
            with self._clock.hold():
                await asyncio.wait({outgoing.settled, self._lost}, return_when=asyncio.FIRST_COMPLETED)

    async def _connect(self, url: str) -> ClientConnection | None:
        credentials = b64encode(f"{self._station_id}:{self._password}".encode()).decode()
        try:
            return await connect(
                f"{url.rstrip('/')}/{self._station_id}",
                subprotocols=["ocpp1.6"],  # type: ignore[list-item]  # a NewType of str
                additional_headers={"Authorization": f"Basic {credentials}"},
                compression=None,  # twelve stations of small frames: not worth the memory
                ping_interval=None,  # pings run on real time, the simulation does not
                proxy=None,
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            log.info("station cannot connect", station=self._station_id, error=str(error))
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
            log.info("station lost its connection", station=self._station_id)
        finally:
            self._link = self._connection = None
            if self._lost is not None:
                self._lost.set_result(None)
            with suppress(ConnectionClosed):
                await connection.close()

    async def _run_greeting(self) -> None:
        await self._greet()

    async def _send_outbox(self, link: Link) -> None:
        await self.booted.wait()
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
                # our own messages are well-formed, and schemas cost more than everything else of a simulated day
                reply = await link.call(outgoing.build(), suppress=False, skip_schema_validation=True)
            except (OCPPError, TimeoutError) as error:
                log.warning("transaction message failed", station=self._station_id, error=str(error), n=attempt + 1)
                continue
            if outgoing.heard is not None:
                outgoing.heard(reply)
            break
        if not outgoing.settled.done():
            outgoing.settled.set_result(None)
