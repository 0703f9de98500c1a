"""SIGKILL in the middle of everything: whatever was acknowledged is in the database, and nothing is there twice."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.clock import SystemClock
from app.db.database import Database
from app.db.store import Store
from app.site import Site
from tests.faults.depot import SITE, found
from tests.faults.load import SAMPLES_A_CAR, Acknowledged, LoadStation, long_ago, send_readings, stop_all
from tests.faults.serving import a_service

STATIONS = [f"cs{number:02}" for number in range(1, 13)]
LOADED: dict[str, object] = SITE | {
    "charging_stations": [{"id": name, "evses": [{"id": 1, "circuit": "garage"}]} for name in STATIONS],
    "meters": [{"id": "building", "measures": "base_load"}],
    "mode": "shadow",  # the load is what counts here, not plans
}
BEFORE_A_KILL = 150  # acknowledgements at least


async def killed_again_and_again(directory: Path, url: str, *, rounds: int, seed: int) -> None:
    noted, noise = Acknowledged(), random.Random(seed)
    async with Store.open(url, SystemClock()) as store:
        token, passwords = await found(store, Site.model_validate(LOADED))
    async with a_service(directory, SMARTCHARGE_DATABASE_URL=url) as service:
        for number in range(rounds):
            await service.start()
            async with httpx.AsyncClient(
                base_url=service.http_url, headers={"Authorization": f"Bearer {token}"}, trust_env=False
            ) as client:
                start = long_ago() + timedelta(hours=3 * number)
                loads = [LoadStation(name, passwords[name], service, noted, start).run() for name in STATIONS]
                tasks = [asyncio.create_task(one) for one in (*loads, send_readings(client, noted, start))]
                wanted = noted.count() + BEFORE_A_KILL
                async with asyncio.timeout(40):
                    while noted.count() < wanted:
                        assert not any(task.done() for task in tasks)
                        await asyncio.sleep(0.005)
                await asyncio.sleep(noise.uniform(0, 0.1))  # somewhere in the middle of something

                await service.kill()
                await stop_all(tasks)

            await everything_is_there(url, noted)


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


async def test_what_was_acknowledged_survives_sigkill_under_load(tmp_path: Path, database_url: str) -> None:
    await killed_again_and_again(tmp_path, database_url, rounds=3, seed=1)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(5))
async def test_what_was_acknowledged_survives_many_kills(seed: int, tmp_path: Path, database_url: str) -> None:
    await killed_again_and_again(tmp_path, database_url, rounds=12, seed=seed)


def test_the_load_has_every_kind_of_message() -> None:
    script = LoadStation("cs01", "", None, Acknowledged(), long_ago())._cars()  # type: ignore[arg-type]  # it never connects

    sent = [next(script)[0]]
    sent += [script.send({"transactionId": 7})[0] for _ in range(SAMPLES_A_CAR + 1)]

    assert Counter(sent) == {"StartTransaction": 1, "MeterValues": SAMPLES_A_CAR, "StopTransaction": 1}
