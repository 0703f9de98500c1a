"""The station's side of the wire: a gateway on loopback, and a client that says exactly what a test wants."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.clock import Clock, SystemClock
from app.csms.gateway import Gateway
from app.csms.passwords import generate_password
from app.db.store import Store
from app.events import Event, Events
from app.settings import Settings
from app.site import Site

STATION = "cs01"
PASSWORD, PASSWORD_HASH = generate_password()

Json = dict[str, Any]
T = TypeVar("T")


def a_site(*station_ids: str) -> Site:
    return Site.model_validate(
        {
            "id": "depot",
            "name": "Depot",
            "time_zone": "Europe/Berlin",
            "connection": {"max_current_a": 100},
            "charging_stations": [{"id": name, "evses": [{"id": 1}, {"id": 2}]} for name in station_ids or (STATION,)],
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        }
    )


async def furnish(store: Store, *station_ids: str) -> None:
    """Put a site into the store, with stations that all know `PASSWORD`."""
    await store.save_site(a_site(*station_ids))
    for name in station_ids or (STATION,):
        await store.set_password_hash(name, PASSWORD_HASH)


@asynccontextmanager
async def a_gateway(
    store: Store, *, clock: Clock | None = None, events: Events | None = None, **settings: Any
) -> AsyncIterator[Gateway]:
    """A gateway on a port of the system's choice."""
    chosen = Settings(**({"ocpp_port": 0, "call_timeout_s": 5.0, "ping_interval_s": None} | settings))
    async with Gateway(store, events or Events(), clock or SystemClock(), chosen) as gateway:
        yield gateway


class Station:
    """A connected client. Calls of the gateway are kept in `asked` and answered from `answers`.

    An answer is a payload, a function of the request's payload, a list (the frame after its id, for errors), or None:
    silence.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Json]] = []
        self.asked_ids: list[str] = []
        self.frames: asyncio.Queue[list[Any]] = asyncio.Queue()  # whatever else came in
        self._ids = count(1)
        self._waiting: dict[str, asyncio.Future[list[Any]]] = {}

    async def listen(self) -> None:
        with suppress(ConnectionClosed):
            async for text in self.connection:
                frame = json.loads(text)
                if frame[0] == 2:
                    await self._answer(*frame[1:])
                elif frame[1] in self._waiting:
                    self._waiting.pop(frame[1]).set_result(frame)
                else:
                    self.frames.put_nowait(frame)

    async def send(self, frame: Any) -> None:
        await self.connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def request(self, action: str, payload: Any) -> list[Any]:
        """The whole frame that answers a call."""
        message_id = f"{action}-{next(self._ids)}"[-36:]
        self._waiting[message_id] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[message_id]
        await self.send([2, message_id, action, payload])
        async with asyncio.timeout(5):
            return await waiting

    async def call(self, action: str, payload: Any) -> Json:
        """The payload of the result of a call."""
        kind, _, answer, *_ = await self.request(action, payload)
        assert kind == 3, f"{action} was answered with the error {answer}"
        assert isinstance(answer, dict)
        return answer

    async def next_frame(self) -> list[Any]:
        async with asyncio.timeout(5):
            return await self.frames.get()

    async def _answer(self, message_id: str, action: str, payload: Json) -> None:
        self.asked.append((action, payload))
        self.asked_ids.append(message_id)
        answer = self.answers.get(action, [4, "NotImplemented", "", {}])
        if callable(answer):
            answer = answer(payload)
        if isinstance(answer, dict):
            answer = [3, answer]
        if answer is not None:
            await self.send([answer[0], message_id, *answer[1:]])


@asynccontextmanager
async def dial(
    gateway: Gateway,
    station_id: str = STATION,
    *,
    password: str | bytes | None = PASSWORD,
    path: str | None = None,
    user: str | None = None,
    subprotocols: tuple[str, ...] | None = ("ocpp1.6",),
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[ClientConnection]:
    """A bare connection to the gateway; raises what `websockets.connect` raises when it is refused."""
    endpoint = f"wss://127.0.0.1:{gateway.tls_port}" if tls else f"ws://127.0.0.1:{gateway.port}"
    headers = {}
    if password is not None:
        secret = password.encode() if isinstance(password, str) else password
        login = (user or station_id).encode() + b":" + secret
        headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    async with connect(
        f"{endpoint}{path or f'/ocpp/{station_id}'}",
        ssl=tls,
        subprotocols=[Subprotocol(name) for name in subprotocols] if subprotocols else None,
        additional_headers=headers,
        close_timeout=1,
        max_size=None,
        compression=None,
    ) as connection:
        yield connection


@asynccontextmanager
async def connected(gateway: Gateway, station_id: str = STATION, **login: Any) -> AsyncIterator[Station]:
    """A `Station` on the gateway, listening."""
    async with dial(gateway, station_id, **login) as connection:
        station = Station(connection)
        listening = asyncio.create_task(station.listen())
        try:
            yield station
        finally:
            await connection.close()
            await listening


async def eventually(look: Callable[[], T | None], seconds: float = 5.0) -> T:
    """What `look` returns once it is neither None nor False."""
    async with asyncio.timeout(seconds):
        while True:
            if found := look():
                return found
            await asyncio.sleep(0.005)


def recorded(events: Events) -> list[Event]:
    """Every later event, in order."""
    seen: list[Event] = []
    events.subscribe(seen.append)
    return seen


def of_kind(seen: list[Event], kind: type[T]) -> list[T]:
    return [event for event in seen if isinstance(event, kind)]
