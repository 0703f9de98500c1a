"""Meter values a second on one core: decoded and answered against the `ocpp` package, then over sockets into SQLite.

    python benchmarks/ocpp_throughput.py [--messages 20000] [--stations 50] [--version 2.0.1]

In 1.6 they come as MeterValues, in 2.0.1 as TransactionEvents, each of which is stored before it is answered. The first
part hands the same 1 KB frames to our session and to the package's own validated route, in turns in this
process, over a connection that is a list. The second runs the whole gateway with a real store; its stations are
another process on loopback. All rates are for a second of this process's CPU time, SQLite's thread included.
"""

import argparse
import asyncio
import base64
import gc
import json
import logging
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event as EventType
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, cast

import ocpp.messages
import structlog
import uvloop
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call_result as call_result_201
from ocpp.v201.enums import Action as Action201
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedOK
from websockets.protocol import State
from websockets.typing import Subprotocol

from app.clock import SystemClock
from app.csms.gateway import Gateway
from app.csms.passwords import hmac_hash
from app.csms.session import Session
from app.csms.v2 import V2
from app.csms.v2_version import V201
from app.csms.v16 import V16
from app.db.records import MeterValue, Transaction, TransactionEvent
from app.db.store import Store
from app.db.transaction_event_rows import Recorded
from app.events import Events
from app.settings import Settings
from app.site import Site

START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=4)  # live, as far as the service is concerned
SAMPLES = (
    ("Energy.Active.Import.Register", "Wh", None),
    ("Power.Active.Import", "W", None),
    ("Current.Import", "A", "L1"),
    ("Current.Import", "A", "L2"),
    ("Current.Import", "A", "L3"),
    ("Voltage", "V", "L1"),
    ("Voltage", "V", "L2"),
    ("Voltage", "V", "L3"),
    ("SoC", "Percent", None),
)
PASSWORD = "ab" * 20
PASSWORD_HASH = hmac_hash(PASSWORD.encode())
ROUNDS = 5


@dataclass(frozen=True)
class Traffic:
    """What the stations of one version say: `begin` before anything is measured, then a frame for each number."""

    subprotocol: str
    what: str
    begin: tuple[str, ...]
    frame: Callable[[int], str]
    dialect: Callable[[Session, Any, SystemClock, Settings], Any]
    package: Callable[[Any], Any]
    rows_before: int = 0  # meter values of `begin`


def frame(number: int) -> str:
    """One MeterValues.req of nine values, 1 KB; each has its own time, so that each is nine new rows."""
    sampled = []
    for position, (measurand, unit, phase) in enumerate(SAMPLES):
        value = {"value": f"{number * 10 + position}.5", "context": "Sample.Periodic", "measurand": measurand}
        sampled.append(value | {"unit": unit} | ({"phase": phase} if phase else {}))
    payload = {"connectorId": 1, "meterValue": [{"timestamp": _at(number), "sampledValue": sampled}]}
    return json.dumps([2, f"{number:032x}", "MeterValues", payload], separators=(",", ":"))


def frame_2x(number: int) -> str:
    """One TransactionEvent.req with the same nine values."""
    sampled = []
    for position, (measurand, unit, phase) in enumerate(SAMPLES):
        value = {"value": number * 10 + position + 0.5, "context": "Sample.Periodic", "measurand": measurand}
        sampled.append(value | {"unitOfMeasure": {"unit": unit}} | ({"phase": phase} if phase else {}))
    payload = {
        "eventType": "Updated",
        "timestamp": _at(number),
        "triggerReason": "MeterValuePeriodic",
        "seqNo": number + 1,
        "transactionInfo": {"transactionId": "tx-1", "chargingState": "Charging"},
        "meterValue": [{"timestamp": _at(number), "sampledValue": sampled}],
    }
    return json.dumps([2, f"{number:032x}", "TransactionEvent", payload], separators=(",", ":"))


def _at(number: int) -> str:
    at = START + timedelta(milliseconds=10 * number)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


BOOT_16 = '[2,"boot","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]'
BOOT_2X = '[2,"boot","BootNotification",{"chargingStation":{"vendorName":"V","model":"M"},"reason":"PowerUp"}]'
STARTED = json.dumps(
    [
        2,
        "started",
        "TransactionEvent",
        {
            "eventType": "Started",
            "timestamp": _at(-100),
            "triggerReason": "Authorized",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "tx-1", "chargingState": "Charging"},
            "evse": {"id": 1, "connectorId": 1},
            "meterValue": [{"timestamp": _at(-100), "sampledValue": [{"value": 1.0}]}],
        },
    ]
)


class Wire:
    """A connection that is a list of frames, each there once the last is answered, as OCPP has it."""

    state = State.OPEN

    def __init__(self, frames: list[str]) -> None:
        self._frames = iter(frames)
        self._received = 0
        self.sent = 0

    async def recv(self, decode: bool | None = None) -> str | bytes:
        while self.sent < self._received:  # noqa: ASYNC110  # the loop's other tasks are what is measured
            await asyncio.sleep(0)
        for text in self._frames:
            self._received += 1
            return text.encode() if decode is False else text
        raise ConnectionClosedOK(None, None)

    async def send(self, _text: str) -> None:
        self.sent += 1


class NoStore:
    """Takes everything and keeps nothing: the first part is about frames."""

    async def transactions(self, **_wanted: Any) -> list[Any]:
        return []

    async def add_meter_values(self, values: list[MeterValue]) -> None:
        assert len(values) in (1, len(SAMPLES))

    async def record_transaction_event(self, event: TransactionEvent) -> Recorded:
        running = Transaction(1, "depot", "cs01", 1, "", event.at, 0.0, ocpp_transaction_id=event.ocpp_transaction_id)
        return Recorded(None, running, is_new=True)

    async def add_transaction_update(self, _event: TransactionEvent) -> bool:
        return True

    async def set_evse_status(self, _status: Any) -> None:
        pass

    async def samples_written(self) -> None:
        pass

    def add_samples(self, values: list[Any], **_of: Any) -> None:
        assert len(values) == len(SAMPLES)


class Peer(ChargePoint):
    """The package's own way: a handler behind its validated route."""

    @on(Action.meter_values)
    def on_meter_values(self, **_payload: Any) -> call_result.MeterValues:
        return call_result.MeterValues()


class Peer2x(ChargePoint201):
    @on(Action201.transaction_event)
    def on_transaction_event(self, **_payload: Any) -> call_result_201.TransactionEvent:
        return call_result_201.TransactionEvent()


def a_v201(session: Session, store: Store, clock: SystemClock, settings: Settings) -> V2:
    return V2(session, store, clock, settings, V201)


def a_peer(wire: Any) -> Peer:
    return Peer("cs01", wire)


def a_peer_2x(wire: Any) -> Peer2x:
    return Peer2x("cs01", wire)


TRAFFIC = {
    "1.6": Traffic("ocpp1.6", "1.6 MeterValues", (BOOT_16,), frame, V16, a_peer),
    "2.0.1": Traffic(
        "ocpp2.0.1", "2.0.1 TransactionEvents", (BOOT_2X, STARTED), frame_2x, a_v201, a_peer_2x, rows_before=1
    ),
}


async def through_ours(wire: Wire, traffic: Traffic) -> None:
    settings, clock = Settings(), SystemClock()
    session = Session(
        "cs01",
        cast(ServerConnection, wire),
        clock=clock,
        call_timeout_s=30,
        publish=Events().publish,
        seen=lambda _station, _at: None,
    )
    await session.run(traffic.dialect(session, cast(Store, NoStore()), clock, settings))


async def through_the_package(wire: Wire, traffic: Traffic) -> None:
    with suppress(ConnectionClosedOK):
        await traffic.package(wire).start()


async def rate(frames: list[str], way: Any, traffic: Traffic) -> float:
    wire = Wire(frames)
    gc.collect()
    began = process_time()
    await way(wire, traffic)
    seconds = process_time() - began
    assert wire.sent == len(frames), f"{wire.sent} of {len(frames)} were answered"
    return len(frames) / seconds


def stations(port: int, count: int, messages: int, version: str, connected: EventType, go: EventType) -> None:
    """The other process: `count` stations, each sending its next message when the last is answered."""
    waiting, traffic = count, TRAFFIC[version]
    frames = [traffic.frame(number) for number in range(messages)]

    async def station(number: int) -> None:
        name = f"cs{number:03}"
        login = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
        async with connect(
            f"ws://127.0.0.1:{port}/{name}",
            subprotocols=[Subprotocol(traffic.subprotocol)],
            additional_headers={"Authorization": f"Basic {login}"},
            compression=None,
        ) as connection:
            for text in traffic.begin:
                await connection.send(text)
                await connection.recv()
            nonlocal waiting
            waiting -= 1
            if waiting == 0:
                connected.set()
            await asyncio.to_thread(go.wait)
            for text in frames:
                await connection.send(text)
                await connection.recv()

    async def all_stations() -> None:
        await asyncio.gather(*[station(number) for number in range(count)])

    uvloop.run(all_stations())


async def into_the_store(messages: int, count: int, version: str) -> float:
    frames_each = messages // count
    site = {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {"max_current_a": 1000},
        "charging_stations": [{"id": f"cs{number:03}", "evses": [{"id": 1}]} for number in range(count)],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
    with TemporaryDirectory() as directory:
        async with Store.open(f"sqlite:///{Path(directory) / 'benchmark.db'}", SystemClock()) as store:
            await store.save_site(Site.model_validate(site))
            for number in range(count):
                await store.set_password_hash(f"cs{number:03}", PASSWORD_HASH)
            async with Gateway(store, Events(), SystemClock(), Settings(ocpp_port=0)) as gateway:
                spawn = multiprocessing.get_context("spawn")
                connected, go = spawn.Event(), spawn.Event()
                client = spawn.Process(target=stations, args=(gateway.port, count, frames_each, version, connected, go))
                client.start()
                await asyncio.to_thread(connected.wait)
                began = process_time()
                go.set()
                await asyncio.to_thread(client.join)
                await store.flush()
                seconds = process_time() - began
            stored = len(await store.meter_values(station_id="cs000"))
    assert client.exitcode == 0
    expected = frames_each * len(SAMPLES) + TRAFFIC[version].rows_before
    assert stored == expected, f"{stored} of {expected} rows are there"
    return frames_each * count / seconds


async def measure(messages: int, count: int, version: str) -> None:
    traffic = TRAFFIC[version]
    frames = [traffic.frame(number) for number in range(messages // 4)]
    ocpp.messages.ASYNC_VALIDATION = False  # the package at its best: no hop into a thread
    ours, package = [], []
    for _ in range(ROUNDS):
        ours.append(await rate([*traffic.begin[1:], *frames], through_ours, traffic))
        package.append(await rate(frames[: len(frames) // 8], through_the_package, traffic))
    whole = await into_the_store(messages, count, version)
    print(f"{traffic.what} of {len(frames[0])} bytes, nine values each; messages for a second of CPU time")
    print(f"decode and answer, this gateway      {median(ours):10,.0f}")
    print(f"decode and answer, package `ocpp`    {median(package):10,.0f}")
    print(f"ratio                                {median(o / p for o, p in zip(ours, package, strict=True)):10.1f}")
    print(f"over sockets into SQLite             {whole:10,.0f}   ({whole * len(SAMPLES):,.0f} rows)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--stations", type=int, default=50)
    parser.add_argument("--version", choices=TRAFFIC, default="1.6")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    uvloop.run(measure(arguments.messages, arguments.stations, arguments.version))


if __name__ == "__main__":
    main()
