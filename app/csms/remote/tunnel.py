"""What a `Session` takes for a station's connection, when the station is connected to another CSMS.

Frames that we send as calls become commands on the road; the answers come back as frames. What the station said to
its CSMS comes in as calls, and our answer to it, which the station never sees, says whether it was stored.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from websockets.exceptions import ConnectionClosedOK
from websockets.protocol import State

from app.csms.connector import OcppVersion
from app.csms.frames import Json, Kind, Malformed, read_frame
from app.csms.remote.road import Command, Road
from app.csms.wire import Wire
from app.errors import AppError, InvalidInputError, StationOfflineError, StoreUnavailableError

MAX_WAITING = 64  # frames on their way in; whoever brings more waits


T = TypeVar("T")


class _Closed(ConnectionClosedOK):
    def __init__(self) -> None:
        super().__init__(None, None)


@dataclass(slots=True, eq=False)
class _Told:
    """A message of the station on its way through the session. `learn` hears our answer before anybody else does."""

    action: str
    answer: asyncio.Future[Json]
    learn: Callable[[Json], Awaitable[None]] | None = field(default=None)


class Tunnel:
    """One station's stand-in connection; the four members of `ServerConnection` that a session uses, and `tell`."""

    def __init__(self, station_id: str, version: OcppVersion, wire: Wire, road: Road) -> None:
        self.station_id = station_id
        self._version = version
        self._wire = wire
        self._road = road
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self._told: dict[str, _Told] = {}
        self._ids = count(1)
        self._closed = asyncio.Event()

    @property
    def state(self) -> State:
        return State.CLOSED if self._closed.is_set() else State.OPEN

    async def recv(self, decode: bool | None = None) -> bytes:  # noqa: ARG002  # bytes are all there is
        """The next frame; what came in before the close is still read."""
        if not self._inbox.empty():
            return self._inbox.get_nowait()
        return await self._unless_closed(self._inbox.get())

    async def send(self, text: str) -> None:
        """A call goes to the station, and its answer into the inbox; an answer goes to whoever told the message."""
        kind, message_id, *rest = json.loads(text)
        if kind != Kind.CALL:
            await self._settle(message_id, kind, rest)
            return
        action, payload = rest
        command = Command(message_id, self.station_id, self._version, action, payload)
        answer = await self._unless_closed(self._road.ask(command))
        await self._unless_closed(self._inbox.put(_frame(Kind.RESULT, message_id, answer)))

    async def close(self, _code: int = 1000, _reason: str = "") -> None:
        """Whoever waits for the station learns at once that it is gone."""
        self._closed.set()
        told, self._told = self._told, {}
        for one in told.values():
            if not one.answer.done():
                one.answer.set_exception(StationOfflineError(self.station_id))

    async def tell(self, action: str, payload: Json, learn: Callable[[Json], Awaitable[None]] | None = None) -> Json:
        """Hand in what the station said; returns our answer once it is stored.

        Raises `InvalidInputError` for what no station says, `StoreUnavailableError` (tell it again), and
        `StationOfflineError` when the tunnel closes before.
        """
        if self._closed.is_set():
            raise StationOfflineError(self.station_id)
        message_id = str(next(self._ids))
        frame = _frame(Kind.CALL, message_id, action, payload)
        match read_frame(frame, self._wire):
            case Malformed(_, _, reason):  # a session answers those, if at all, without their id
                raise InvalidInputError(action[:50], reason)
        told = _Told(action, asyncio.get_running_loop().create_future(), learn)
        self._told[message_id] = told
        try:
            await self._unless_closed(self._inbox.put(frame))
            return await told.answer
        except ConnectionClosedOK:
            raise StationOfflineError(self.station_id) from None
        finally:
            self._told.pop(message_id, None)

    async def _settle(self, message_id: str, kind: int, rest: list[Any]) -> None:
        told = self._told.get(message_id)
        if told is None or told.answer.done():
            return
        try:
            if kind != Kind.RESULT:
                raise _refusal(told.action, *rest[:2])
            if told.learn is not None:
                await told.learn(rest[0])
        except AppError as error:
            told.answer.set_exception(error)
        else:
            told.answer.set_result(rest[0])

    async def _unless_closed(self, work: Awaitable[T]) -> T:
        """What `work` gives; `ConnectionClosed` as soon as the tunnel is."""
        working, closing = asyncio.ensure_future(work), asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({working, closing}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise _Closed
        finally:
            working.cancel()
            closing.cancel()


def _refusal(action: str, code: str, description: str) -> AppError:
    if code == "InternalError":
        return StoreUnavailableError(f"{action} was not stored: {description}")
    return InvalidInputError(action, f"{code}: {description}")


def _frame(*parts: Any) -> bytes:
    return json.dumps(parts, separators=(",", ":")).encode()
