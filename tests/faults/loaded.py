"""A service under load: twelve stations and a site's meter, and what of it is in the database afterwards."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx
from sqlalchemy import text

from app.clock import SystemClock
from app.db.database import Database
from app.db.store import Store
from tests.faults.depot import SITE
from tests.faults.load import Acknowledged, LoadStation, long_ago, send_readings, stop_all
from tests.faults.serving import Service, answer

Json = dict[str, object]
STATIONS = [f"cs{number:02}" for number in range(1, 13)]
LOADED: Json = SITE | {
    "charging_stations": [{"id": name, "evses": [{"id": 1, "circuit": "garage"}]} for name in STATIONS],
    "meters": [{"id": "building", "measures": "base_load"}],
    "mode": "shadow",  # the load is what counts here, not plans
}


@dataclass
class Load:
    client: httpx.AsyncClient
    noted: Acknowledged
    stations: list[LoadStation]
    tasks: list[asyncio.Task[None]]

    async def goes_on(self, acknowledgements: int) -> None:
        """Return once so many more things are acknowledged."""
        wanted = self.noted.count() + acknowledgements
        async with asyncio.timeout(40):
            while self.noted.count() < wanted:
                assert not any(task.done() for task in self.tasks)
                await asyncio.sleep(0.005)

    async def ready(self) -> bool | None:
        """None: no answer."""
        response = await answer(self.client, "GET", "/health/ready")
        return None if response is None else response.status_code == httpx.codes.OK

    async def refusals(self, more: int) -> None:
        """Return once so many more calls of stations were refused."""
        wanted = sum(station.refused for station in self.stations) + more
        async with asyncio.timeout(40):
            while sum(station.refused for station in self.stations) < wanted:  # noqa: ASYNC110 -- counted by others
                await asyncio.sleep(0.01)


@asynccontextmanager
async def a_load(
    service: Service, token: str, passwords: dict[str, str], noted: Acknowledged, life: int = 0
) -> AsyncIterator[Load]:
    """It stops at the end; `life` sets the times of its messages apart from those of earlier ones."""
    start = long_ago() + timedelta(hours=3 * life)
    stations = [LoadStation(name, passwords[name], service, noted, start) for name in STATIONS]
    async with httpx.AsyncClient(
        base_url=service.http_url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    ) as client:
        works = [*(station.run() for station in stations), send_readings(client, noted, start)]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield Load(client, noted, stations, tasks)
        finally:
            await stop_all(tasks)


async def everything_is_there(url: str, noted: Acknowledged) -> None:
    async with Store.open(url, SystemClock()) as store:
        transactions = await store.transactions(limit=100_000)
        by_id = {row.transaction_id: row for row in transactions}
        samples = {(value.station_id, value.at) for value in await store.meter_values()}
        first, last = min(noted.readings), max(noted.readings)
        readings = {at for at, _ in await store.readings("depot", "building", first, last + timedelta(hours=1))}

    assert set(noted.started.values()) - set(by_id) == set()
    assert {number: by_id[number].meter_stop_wh for number in noted.stopped} == noted.stopped
    assert noted.sampled - samples == set()
    assert noted.readings - readings == set()
    starts = Counter((row.station_id, row.started_at) for row in transactions)
    assert max(starts.values()) == 1
    if url.startswith("sqlite"):
        async with Database.open(url, SystemClock()) as database, database.read() as connection:
            assert (await connection.execute(text("PRAGMA integrity_check"))).scalar() == "ok"
