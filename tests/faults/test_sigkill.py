"""SIGKILL in the middle of everything: whatever was acknowledged is in the database, and nothing is there twice."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from app.clock import SystemClock
from app.db.store import Store
from app.site import Site
from tests.faults.depot import found
from tests.faults.load import SAMPLES_A_CAR, Acknowledged, LoadStation, long_ago
from tests.faults.loaded import LOADED, a_load, everything_is_there
from tests.faults.serving import a_service


async def killed_again_and_again(directory: Path, url: str, *, rounds: int, seed: int) -> None:
    noted, noise = Acknowledged(), random.Random(seed)
    async with Store.open(url, SystemClock()) as store:
        token, passwords = await found(store, Site.model_validate(LOADED))
    async with a_service(directory, SMARTCHARGE_DATABASE_URL=url) as service:
        for life in range(rounds):
            await service.start()
            async with a_load(service, token, passwords, noted, life) as load:
                await load.goes_on(150)
                await asyncio.sleep(noise.uniform(0, 0.1))  # somewhere in the middle of something
                await service.kill()
            await everything_is_there(url, noted)


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
