"""All stations come back at once: how long until each is accepted, and what a connection costs in memory.

    python benchmarks/reconnect_storm.py [--stations 10000] [--connecting 500]

The gateway runs here with a real store; the stations are another process on loopback, several addresses wide. Each
logs in by its password, sends a BootNotification and is done when it is accepted; one that is told to come back does
so. Prints seconds until the last was accepted, logins answered with 503, and this process's memory a connection.
"""

import argparse
import asyncio
import base64
import gc
import logging
import multiprocessing
import re
import resource
import sqlite3
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import cast

import structlog
import uvloop

from app.clock import SystemClock
from app.csms.gateway import Gateway
from app.csms.passwords import hmac_hash
from app.db.store import Store
from app.events import Event, Events, StationBooted
from app.settings import Settings
from app.site import Site

PASSWORD = "ab" * 20
SOURCES = 4  # loopback addresses: one has 28,000 ports
PATIENCE_S = 300
BOOT = b'[2,"boot","BootNotification",{"chargePointVendor":"Vendor","chargePointModel":"Model"}]'


def name_of(number: int) -> str:
    return f"cs{number:05}"


class StormyStation(asyncio.Protocol):
    """The least that a station must do: upgrade, boot, stay. `outcome` is None when accepted, else a wait in s."""

    def __init__(self, number: int) -> None:
        self._name = name_of(number)
        self._received = b""
        self.outcome: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        login = base64.b64encode(f"{self._name}:{PASSWORD}".encode()).decode()
        self._transport.write(
            f"GET /ocpp/{self._name} HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: ocpp1.6\r\nAuthorization: Basic {login}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self.outcome.done():
            return
        self._received += data
        if b"\r\n\r\n" in self._received and not self._received.startswith(b"HTTP/1.1 101"):
            retry = re.search(rb"Retry-After: (\d+)", self._received)
            self.outcome.set_result(float(retry[1]) if retry else 1.0)
            self._transport.close()
        elif self._received.endswith(b"\r\n\r\n"):
            masked = bytes([0x81, 0x80 | len(BOOT)]) + bytes(4) + BOOT  # with zeros, and a short length
            self._transport.write(masked)
        elif b'"Accepted"' in self._received:
            self._received = b""
            self.outcome.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(1.0)


def stations(port: int, count: int, connecting: int, parent: Connection) -> None:
    """The other process: sends the number of second attempts when all are accepted, and leaves when told."""
    allow_files(count)

    async def storm() -> None:
        loop = asyncio.get_running_loop()
        turn = asyncio.Semaphore(connecting)
        retries = 0

        async def station(number: int) -> None:
            nonlocal retries
            while True:
                async with turn:
                    source = (f"127.0.0.{2 + number % SOURCES}", 0)
                    try:
                        _, protocol = await loop.create_connection(
                            lambda: StormyStation(number), "127.0.0.1", port, local_addr=source
                        )
                        wait_s = await protocol.outcome
                    except OSError:
                        wait_s = 1.0
                if wait_s is None:
                    return
                retries += 1
                await asyncio.sleep(wait_s)

        await asyncio.gather(*[station(number) for number in range(count)])
        parent.send(retries)
        await asyncio.to_thread(parent.recv)

    uvloop.run(storm())


def allow_files(count: int) -> None:
    """A connection is a file, and the usual limit is 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 200
    if most != resource.RLIM_INFINITY and needed > most:
        raise SystemExit(f"{count} connections need {needed} open files, this machine allows {most}: --stations less")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(needed, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), most))


def resident_kb() -> float:
    text = Path("/proc/self/status").read_text()
    return float(text.partition("VmRSS:")[2].split()[0])


def furnish(database: Path, count: int) -> None:
    """Give every station its password, in one statement: ten thousand durable ones would take longer than the storm."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE charging_stations SET password_hash = ?", (hmac_hash(PASSWORD.encode()),))
        (known,) = connection.execute("SELECT count(*) FROM charging_stations").fetchone()
    assert known == count


async def measure(count: int, connecting: int) -> None:
    allow_files(count)
    site = {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {"max_current_a": 100_000},
        "charging_stations": [{"id": name_of(number), "evses": [{"id": 1}]} for number in range(count)],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
    booted: set[str] = set()

    def hear(event: Event) -> None:
        if isinstance(event, StationBooted):
            booted.add(event.station_id)

    with TemporaryDirectory() as directory:
        database = Path(directory) / "benchmark.db"
        async with Store.open(f"sqlite:///{database}", SystemClock()) as store:
            await store.save_site(Site.model_validate(site))
        furnish(database, count)
        events = Events()
        events.subscribe(hear)
        settings = Settings(ocpp_port=0, ping_interval_s=None)
        async with (
            Store.open(f"sqlite:///{database}", SystemClock()) as store,
            Gateway(store, events, SystemClock(), settings) as gateway,
        ):
            spawn = multiprocessing.get_context("spawn")
            ours, theirs = spawn.Pipe()
            client = spawn.Process(target=stations, args=(gateway.port, count, connecting, theirs))
            gc.collect()
            before_kb, began, cpu_began = resident_kb(), perf_counter(), process_time()
            client.start()
            while not await asyncio.to_thread(ours.poll, 1.0):
                assert client.is_alive(), "the stations' process has ended"
                assert perf_counter() - began < PATIENCE_S, f"{len(booted)} accepted after {PATIENCE_S} s"
            seconds, cpu_s = perf_counter() - began, process_time() - cpu_began
            retries = ours.recv()
            gc.collect()
            each_kb = (resident_kb() - before_kb) / count
            assert len(gateway.connected()) == len(booted) == count
            ours.send(None)
            await asyncio.to_thread(client.join)
    print(f"{count:,} stations connect, log in, boot and are accepted")
    print(f"until the last          {seconds:8.1f} s   ({cpu_s:.1f} s of the gateway's CPU time)")
    print(f"told to come back       {retries:8,}")
    print(f"memory a connection     {each_kb:8.1f} KB")
    print(f"ratio to the 60 s goal  {60 / seconds:8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stations", type=int, default=10_000)
    parser.add_argument("--connecting", type=int, default=500, help="how many connect at the same time")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    uvloop.run(measure(arguments.stations, arguments.connecting))


if __name__ == "__main__":
    main()
