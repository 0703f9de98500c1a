"""Two services on one database, as two real processes: each night is planned once and sent once, whoever dies."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from app.clock import SystemClock
from app.db.ledger_records import Run, RunState
from app.db.store import Store
from app.planning.nightly import AT_ONCE
from app.site import Site
from tests.app.db.conftest import (  # noqa: F401  # fixtures
    database_url,
    migrated_database,
    postgres_server,
    postgres_url,
    sqlite_file,
)

SITES = [f"site-{number:02d}" for number in range(8)]
PROGRAM = Path(__file__).with_name("night_service.py")
PATIENCE_S = 60.0
BEHIND = timedelta(minutes=1)  # the night is a minute old when they begin


def a_site(site_id: str) -> Site:
    return Site.model_validate(
        {
            "id": site_id,
            "name": site_id,
            "time_zone": "UTC",
            "connection": {"max_import_kw": 60},
            "charging_stations": [{"id": f"{site_id}-cs", "evses": [{"id": 1}]}],
            "base_load": {"annual_energy_kwh": 50_000},
            "nightly_at": "22:00",
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        }
    )


class Service:
    """A process, and what it said."""

    def __init__(self, url: str, name: str, *, lease_s: float, work_s: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, url, name, str(lease_s), str(work_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        )

    def wait_until_it_is_ready(self) -> None:
        assert self._process.stdout is not None
        while self._process.stdout.readline().strip() != "ready":
            assert self._process.poll() is None

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> list[str]:
        self._process.send_signal(signal.SIGKILL)
        return self._rest()

    def end(self) -> list[str]:
        self.begin()  # the second line ends it
        return self._rest()

    def _rest(self) -> list[str]:
        """The sites that it sent a plan to."""
        said, _ = self._process.communicate(timeout=PATIENCE_S)
        return [line.split()[1] for line in said.splitlines() if line.startswith("sent ")]


async def a_night_to_plan(url: str) -> None:
    clock = SystemClock()
    async with Store.open(url, clock) as store:
        for name in SITES:
            await store.save_site(a_site(name))
        now = clock.now()
        await store.open_runs("nightly", dict.fromkeys(SITES, now - BEHIND), now - timedelta(hours=1))


async def until(url: str, state: RunState, count: int) -> list[Run]:
    """The runs in a state, as soon as there are so many."""
    deadline = time.monotonic() + PATIENCE_S
    async with Store.open(url, SystemClock()) as store:
        while True:
            found = await store.runs(kind="nightly", states=(state,))
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, await store.runs(kind="nightly")
            await asyncio.sleep(0.05)


async def plans(url: str) -> Counter[str]:
    async with Store.open(url, SystemClock()) as store:
        return Counter({name: len(await store.plans(name)) for name in SITES})


@pytest.mark.timeout(120)
async def test_each_site_is_planned_once_and_sent_once_by_one_of_two_services(
    database_url: str,  # noqa: F811  # the fixture
) -> None:
    await a_night_to_plan(database_url)
    services = [Service(database_url, name, lease_s=30, work_s=0.02) for name in ("one", "two")]
    for service in services:
        await asyncio.to_thread(service.wait_until_it_is_ready)

    for service in services:
        service.begin()
    done = await until(database_url, "done", len(SITES))
    sent = [await asyncio.to_thread(service.end) for service in services]

    assert Counter(sent[0] + sent[1]) == Counter(SITES)
    assert await plans(database_url) == Counter(SITES)
    assert {run.attempts for run in done} == {1}


@pytest.mark.timeout(120)
async def test_what_a_killed_service_had_begun_is_finished_by_the_other(
    postgres_url: str,  # noqa: F811  # the fixture
) -> None:
    await a_night_to_plan(postgres_url)
    stuck = Service(postgres_url, "one", lease_s=2.0, work_s=600.0)  # it plans, and never comes to the end of sending
    other = Service(postgres_url, "two", lease_s=30.0, work_s=0.0)
    for service in (stuck, other):
        await asyncio.to_thread(service.wait_until_it_is_ready)

    stuck.begin()
    in_hand = {run.site_id: run.plan_id for run in await until(postgres_url, "planned", AT_ONCE)}
    of_the_killed = await asyncio.to_thread(stuck.kill)
    other.begin()
    done = await until(postgres_url, "done", len(SITES))
    of_the_other = await asyncio.to_thread(other.end)

    assert of_the_killed == []
    assert Counter(of_the_other) == Counter(SITES)
    assert await plans(postgres_url) == Counter(SITES)
    assert {run.site_id: run.plan_id for run in done if run.attempts > 1} == in_hand
    assert {run.owner for run in done} == {"two"}
