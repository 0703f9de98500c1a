"""Stations that charge car after car as fast as they are answered, and note what was acknowledged.

A message that got no answer is sent again after the next connection, as OCPP has it: nothing is lost on their side.
"""

import asyncio
import base64
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tests.faults.serving import Service, answer

SAMPLES_A_CAR = 6

Json = dict[str, Any]


@dataclass
class Acknowledged:
    """What the service has said it has."""

    started: dict[tuple[str, str], int] = field(default_factory=dict)  # (station, start): transaction id
    stopped: dict[int, float] = field(default_factory=dict)  # transaction id: its last register, Wh
    sampled: set[tuple[str, datetime]] = field(default_factory=set)  # (station, time)
    readings: set[datetime] = field(default_factory=set)

    def count(self) -> int:
        return len(self.started) + len(self.stopped) + len(self.sampled) + len(self.readings)


@dataclass
class LoadStation:
    name: str
    password: str
    service: Service
    noted: Acknowledged
    start: datetime
    numbers: Any = field(default_factory=count)
    seconds: Any = field(default_factory=lambda: count(1))
    connections: int = 0
    refused: int = 0  # calls that were answered with an error

    async def run(self) -> None:
        """Until it is cancelled."""
        script = self._cars()
        action, payload = next(script)
        while True:
            try:
                async with self._connection() as connection:
                    self.connections += 1
                    while True:
                        reply = await self._ask(connection, action, payload)
                        if reply is None:  # to be sent again, says OCPP
                            self.refused += 1
                            await asyncio.sleep(0.05)
                            continue
                        action, payload = script.send(reply)
            except (OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                await asyncio.sleep(0.05)

    def _cars(self) -> Any:
        """Coroutine of one car after the other: yields what to send, is handed the answer."""
        register_wh = 0
        while True:
            at = self._next()
            start = {"connectorId": 1, "idTag": "TAG", "meterStart": register_wh, "timestamp": at.isoformat()}
            transaction_id = (yield "StartTransaction", start)["transactionId"]
            known = self.noted.started.setdefault((self.name, at.isoformat()), transaction_id)
            assert known == transaction_id
            for _ in range(SAMPLES_A_CAR):
                at, register_wh = self._next(), register_wh + 10
                value = {"value": str(register_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
                sample = {"timestamp": at.isoformat(), "sampledValue": [value]}
                yield "MeterValues", {"connectorId": 1, "transactionId": transaction_id, "meterValue": [sample]}
                self.noted.sampled.add((self.name, at))
            stop = {"transactionId": transaction_id, "meterStop": register_wh, "timestamp": self._next().isoformat()}
            yield "StopTransaction", stop
            self.noted.stopped[transaction_id] = register_wh

    def _next(self) -> datetime:
        return self.start + timedelta(seconds=next(self.seconds))

    async def _ask(self, connection: ClientConnection, action: str, payload: Json) -> Json | None:
        message_id = str(next(self.numbers))
        await connection.send(json.dumps([2, message_id, action, payload]))
        async with asyncio.timeout(20):
            while True:
                frame = json.loads(await connection.recv())
                if frame[0] == 2:  # the service prepares us: not supported
                    await connection.send(json.dumps([4, frame[1], "NotSupported", "", {}]))
                elif frame[0] == 3 and frame[1] == message_id:
                    found: Json = frame[2]
                    return found
                elif frame[1] == message_id:
                    return None

    def _connection(self) -> connect:
        login = base64.b64encode(f"{self.name}:{self.password}".encode()).decode()
        return connect(
            f"{self.service.ocpp_url}/{self.name}",
            subprotocols=[Subprotocol("ocpp1.6")],
            additional_headers={"Authorization": f"Basic {login}"},
            compression=None,
            proxy=None,
            ping_interval=None,
        )


async def send_readings(client: httpx.AsyncClient, noted: Acknowledged, start: datetime) -> None:
    """One quarter of an hour of a site's meter after the other, until it is cancelled."""
    for number in count():
        at = start + timedelta(minutes=15 * number)
        body = {"readings": [{"meter_id": "building", "at": at.isoformat(), "kw": 10.0}]}
        while True:
            response = await answer(client, "POST", "/v1/sites/depot/readings", json=body)
            if response is not None and response.is_success:
                break
            await asyncio.sleep(0.05)
        noted.readings.add(at)
        await asyncio.sleep(0.005)


async def stop_all(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel them; raises what one of them had failed with."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


def long_ago() -> datetime:
    """Where the stations' time begins: history, so that nobody plans for it."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
