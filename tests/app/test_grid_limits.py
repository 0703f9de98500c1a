"""A grid operator's limit: stored before it is acknowledged, planned for, and proven."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.sites import EXAMPLE as SITE
from app.clock import SteppedClock
from app.db.records import Plan
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError
from app.events import Event, Events, GridLimitChanged, PlanMade
from app.grid_limits import GridLimits
from app.main import service
from app.settings import Settings
from app.site import Site
from tests.app.api.builders import NOW, READ, Api, a_plan, an_api, wrong
from tests.stores import a_store

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class World:
    def __init__(self, store: Store, clock: SteppedClock) -> None:
        self.store, self.clock, self.events = store, clock, Events()
        self.limits = GridLimits(store, clock, self.events)
        self.heard: list[Event] = []
        self.events.subscribe(self.heard.append)

    def changes(self) -> list[datetime]:
        return [event.at for event in self.heard if isinstance(event, GridLimitChanged)]

    async def log(self, limit_id: str) -> list[str]:
        return [entry.what for entry in await self.store.grid_limit_log(limit_id)]


@asynccontextmanager
async def a_world(now: datetime = NOW, directory: Path | None = None) -> AsyncIterator[World]:
    clock = SteppedClock(now)
    async with a_store(clock, directory=directory) as store:
        await store.save_site(Site.model_validate(SITE))
        world = World(store, clock)
        task = asyncio.create_task(world.limits.run())
        await clock.run_until(now)  # what was in the store is known
        try:
            yield world
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_a_limit_is_stored_and_told_before_it_is_acknowledged() -> None:
    async with a_world() as world:
        limit = await world.limits.place("depot", max_kw=8.4, end=NOW + HOUR, source="dso", reference="42", by="key-1")

        assert await world.store.grid_limits("depot") == [limit]
        assert world.limits.in_force("depot", NOW) == (limit,)
        assert world.changes() == [NOW]
        [entry] = await world.store.grid_limit_log(limit.limit_id)
        assert (entry.what, entry.detail["by"], entry.detail["max_kw"]) == ("received", "key-1", 8.4)


async def test_it_is_told_again_when_it_begins_and_when_it_ends() -> None:
    async with a_world() as world:
        limit = await world.limits.place("depot", max_kw=8.4, start=NOW + HOUR, end=NOW + 2 * HOUR)
        before = world.limits.in_force("depot", NOW)
        await world.clock.run_until(NOW + HOUR)
        during = world.limits.in_force("depot", NOW + HOUR)
        await world.clock.run_until(NOW + 3 * HOUR)

        assert (before, during) == ((), (limit,))
        assert world.limits.in_force("depot", NOW + 2 * HOUR) == ()
        assert world.changes() == [NOW, NOW + HOUR, NOW + 2 * HOUR]
        assert await world.log(limit.limit_id) == ["received", "begun", "ended"]


async def test_the_same_reference_again_changes_the_limit_and_keeps_its_id() -> None:
    async with a_world() as world:
        first = await world.limits.place("depot", max_kw=8.4, source="dso", reference="42")
        await world.clock.run_until(NOW + MINUTE)
        second = await world.limits.place("depot", max_kw=4.2, source="dso", reference="42")

        assert second.limit_id == first.limit_id
        assert world.limits.in_force("depot", NOW + MINUTE) == (second,)
        assert await world.log(first.limit_id) == ["received", "received"]


async def test_a_cancelled_limit_holds_no_more_and_stays_in_the_list() -> None:
    async with a_world() as world:
        limit = await world.limits.place("depot", max_kw=8.4)
        await world.clock.run_until(NOW + MINUTE)
        cancelled = await world.limits.cancel("depot", limit.limit_id)

        assert cancelled == replace(limit, cancelled_at=NOW + MINUTE)
        assert await world.limits.cancel("depot", limit.limit_id) == cancelled
        assert world.limits.in_force("depot", NOW + MINUTE) == ()
        assert await world.store.grid_limits("depot") == [cancelled]
        assert await world.store.grid_limits("depot", after=NOW) == []


async def test_the_first_plan_that_keeps_it_is_written_down_as_proof() -> None:
    async with a_world() as world:
        limit = await world.limits.place("depot", max_kw=8.4)
        kept: dict[str, Any] = {limit.limit_id: {}}
        for plan_id, within in (("without", {}), ("first", kept), ("second", kept)):
            await world.store.save_plan(_plan(plan_id, within))
            world.events.publish(PlanMade("depot", plan_id, NOW))
            await world.clock.run_until(NOW + MINUTE)

        [_, planned] = await world.store.grid_limit_log(limit.limit_id)
        assert (planned.what, planned.detail) == ("planned", {"plan_id": "first"})


def _plan(plan_id: str, limits: dict[str, Any]) -> Plan:
    return replace(a_plan(), plan_id=plan_id, provenance={"grid_limits": limits})


async def test_a_limit_outlives_the_service(tmp_path: Path) -> None:
    async with a_world(directory=tmp_path) as world:
        limit = await world.limits.place("depot", max_kw=8.4, end=NOW + HOUR)

    async with a_world(NOW + MINUTE, tmp_path) as world:
        await world.clock.run_until(NOW + 2 * MINUTE)

        assert world.limits.in_force("depot", NOW + 2 * MINUTE) == (limit,)
        assert world.changes() == [NOW + MINUTE]  # planned anew


async def test_a_limit_that_cannot_be_is_refused_and_nothing_kept() -> None:
    async with a_world() as world:
        with pytest.raises(InvalidInputError, match="end"):
            await world.limits.place("depot", max_kw=8.4, start=NOW + HOUR, end=NOW + HOUR)
        with pytest.raises(NotFoundError):
            await world.limits.place("nowhere", max_kw=8.4)

        assert await world.store.grid_limits() == []
        assert world.changes() == []


# By HTTP


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with an_api() as api:
        yield api


ORDER = {"max_kw": 8.4, "start": "2026-06-01T14:00:00+02:00", "end": "2026-06-01T16:00:00+02:00", "reference": "42"}


async def test_an_order_is_acknowledged_with_its_time_listed_and_cancelled(api: Api) -> None:
    placed = await api.client.post("/v1/sites/depot/grid-limits", json=ORDER)
    listed = (await api.client.get("/v1/sites/depot/grid-limits", params={"current": True})).json()
    cancelled = await api.client.delete(f"/v1/sites/depot/grid-limits/{placed.json()['id']}")
    proof = (await api.client.get(f"/v1/sites/depot/grid-limits/{placed.json()['id']}")).json()

    assert placed.status_code == 201
    assert placed.json()["received_at"] == "2026-06-01T12:00:00Z"
    assert placed.json()["state"] == "in force"
    assert listed == [placed.json()]
    assert cancelled.json()["state"] == "cancelled"
    assert [entry["what"] for entry in proof["log"]] == ["received", "cancelled"]
    assert (await api.client.get("/v1/sites/depot/grid-limits", params={"current": True})).json() == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"max_kw": -1}, "max_kw"),
        ({"max_kw": None}, "max_kw"),
        ({"end": "2026-06-01T13:00:00+02:00"}, "end"),
        ({"start": "2026-06-01T14:00:00"}, "start"),
        ({"applies_to": "sun"}, "applies_to"),
        ({"kw": 3}, "kw"),
    ],
)
async def test_an_order_that_is_wrong_names_its_field(api: Api, change: dict[str, Any], field: str) -> None:
    error = wrong(await api.client.post("/v1/sites/depot/grid-limits", json=ORDER | change))

    assert error["field"] == field


async def test_only_keys_that_may_write_may_order_and_strangers_are_404(api: Api) -> None:
    reads = await api.as_(READ)

    assert (await api.anonymous.post("/v1/sites/depot/grid-limits", json=ORDER, headers=reads)).status_code == 403
    assert (await api.client.get("/v1/sites/nowhere/grid-limits")).status_code == 404
    assert (await api.client.delete("/v1/sites/depot/grid-limits/none")).status_code == 404


async def test_in_the_service_an_order_makes_a_plan_that_keeps_it_within_seconds(tmp_path: Path) -> None:
    settings = Settings(http_port=0, ocpp_port=0, data_dir=tmp_path, replan_debounce_s=0.05)
    async with service(settings) as running:
        headers = {"Authorization": f"Bearer {await running.create_key('test')}"}
        async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=60) as client:
            (await client.post("/v1/sites", json=SITE)).raise_for_status()
            end = (datetime.now(UTC) + HOUR).isoformat()
            placed = (await client.post("/v1/sites/depot/grid-limits", json={"max_kw": 8.4, "end": end})).json()
            proof: dict[str, Any] = {}
            for _ in range(1500):  # half a minute, for liveness only
                proof = (await client.get(f"/v1/sites/depot/grid-limits/{placed['id']}")).json()
                if len(proof["log"]) > 1:
                    break
                await asyncio.sleep(0.02)
            plan = await running.store.plan(proof["log"][1]["detail"]["plan_id"])

    assert [entry["what"] for entry in proof["log"]] == ["received", "planned"]
    assert plan.provenance["grid_limits"][placed["id"]]["max_kw"] == 8.4
