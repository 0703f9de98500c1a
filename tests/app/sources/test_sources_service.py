"""Sources inside the whole service, over real sockets: from a provider's reply to a plan."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from app.api.sites import EXAMPLE as SITE
from app.events import PlanMade
from app.main import service
from app.settings import Settings
from forecasts.local_days import day_slots
from tests.app.sources import recorded
from tests.app.sources.provider import Asked, Provider, Reply
from tests.app.sources.recorded import QUARTER

SECRET = "a-token-of-the-service"


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1500):  # half a minute, for liveness only
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(condition.__name__)


def day_ahead(asked: Asked) -> Reply:
    """Every day's prices are out."""
    day = datetime.fromisoformat(asked.query["start"]).date()
    starts = day_slots(day, "Europe/Berlin", 15)
    rows: list[tuple[datetime, float | None]] = [(at.to_pydatetime(), 0.1 + n / 1000) for n, at in enumerate(starts)]
    return Reply(recorded.energy_charts(rows, QUARTER))


async def test_a_site_with_a_source_is_planned_by_the_prices_that_it_publishes(
    provider: Provider, tmp_path: Path
) -> None:
    provider.answer = day_ahead
    settings = Settings(
        http_port=0, ocpp_port=0, data_dir=tmp_path, source_hosts=("127.0.0.1",), replan_debounce_s=0.05
    )
    source = {"type": "energy_charts", "bidding_zone": "DE-LU", "url": provider.url}
    site = SITE | {"tariff": {"kind": "series"}, "sources": [source]}
    async with service(settings) as running:
        plans: list[PlanMade] = []
        running.events.subscribe(lambda event: plans.append(event) if isinstance(event, PlanMade) else None)
        headers = {"Authorization": f"Bearer {await running.create_key('test')}"}
        async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=60) as client:
            (await client.post("/v1/sites", json=site)).raise_for_status()

            async def is_good() -> bool:
                return [one["state"] for one in (await client.get("/v1/sites/depot/sources")).json()] == ["good"]

            async def is_planned_anew() -> bool:
                return bool(plans)

            await until(is_good)
            await until(is_planned_anew)  # because prices arrived: nothing else happened
            [told] = (await client.get("/v1/sites/depot/sources")).json()
            planned = (await client.post("/v1/sites/depot/schedules", json={"dispatch": False})).json()
            metrics = (await client.get("/metrics")).text

    now = datetime.now(UTC)
    assert told["error"] is None
    assert told["licence"] == "CC BY 4.0"
    assert 0 <= told["age_s"] < 60
    assert datetime.fromisoformat(told["known_until"]) > now
    assert now < datetime.fromisoformat(told["next_poll_at"]) < now + timedelta(days=2)
    assert planned["provenance"]["import_price"]["source"] == "energy_charts"
    assert 'smartcharge_source_polls_total{outcome="delivered",type="energy_charts"}' in metrics
    assert 'smartcharge_sources{state="good"} 1.0' in metrics


async def test_a_private_address_in_a_site_is_never_asked(provider: Provider, tmp_path: Path) -> None:
    provider.answer = day_ahead
    source = {"type": "energy_charts", "bidding_zone": "DE-LU", "url": provider.url.replace("http:", "https:")}
    async with service(Settings(http_port=0, ocpp_port=0, data_dir=tmp_path)) as running:
        headers = {"Authorization": f"Bearer {await running.create_key('test')}"}
        async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=60) as client:
            site = SITE | {"sources": [source]}
            (await client.post("/v1/sites", json=site)).raise_for_status()
            told: dict[str, Any] = {}

            async def has_failed() -> bool:
                listed = (await client.get("/v1/sites/depot/sources")).json()
                told.update(listed[0] if listed else {})
                return told.get("state") == "failing"

            await until(has_failed)

    assert "not on the internet" in told["error"]
    assert provider.asked == []


async def test_no_sources_are_an_empty_list_and_no_site_is_404(tmp_path: Path) -> None:
    async with service(Settings(http_port=0, ocpp_port=0, data_dir=tmp_path)) as running:
        headers = {"Authorization": f"Bearer {await running.create_key('test')}"}
        async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=60) as client:
            (await client.post("/v1/sites", json=SITE)).raise_for_status()

            assert (await client.get("/v1/sites/depot/sources")).json() == []
            assert (await client.get("/v1/sites/nowhere/sources")).status_code == 404
