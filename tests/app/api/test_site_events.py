"""The event stream, over a real socket: the test transport would wait for its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import httpx

from app.api.site_events import concerns, encode
from app.events import MeterValuesReceived, PlanMade, StationConnected, WishChanged
from app.server import listening
from app.site import Site
from tests.app.api.builders import NOW, SITE, Api, an_api, wrong

DEPOT = Site.model_validate(SITE)


@asynccontextmanager
async def _streaming(api: Api) -> AsyncIterator[tuple[AsyncIterator[str], asyncio.Event]]:
    """The lines of depot's stream, and the event that ends the server."""
    stop = api.app.state.services.stop
    async with (
        listening(api.app, "127.0.0.1", 0, stop) as url,
        httpx.AsyncClient(base_url=url, headers=api.client.headers, timeout=10) as client,
        client.stream("GET", "/v1/sites/depot/events") as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        while await anext(lines) != ": listening":
            pass
        yield lines, stop


async def test_what_happens_at_the_site_is_told_and_what_happens_elsewhere_is_not() -> None:
    async with an_api() as api, _streaming(api) as (lines, stop):
        events = api.app.state.services.events
        events.publish(WishChanged("elsewhere", NOW))
        events.publish(StationConnected("cs99", NOW))
        events.publish(PlanMade("depot", "plan-1", NOW))
        events.publish(StationConnected("cs01", NOW))

        told = [line for line in [await anext(lines) for _ in range(7)] if line]
        stop.set()

    assert told[0::2] == ["event: plan-made", "event: station-connected"]
    assert json.loads(told[1].removeprefix("data: ")) == {
        "site_id": "depot",
        "plan_id": "plan-1",
        "at": "2026-06-01T12:00:00+00:00",
    }
    assert json.loads(told[3].removeprefix("data: "))["charging_station_id"] == "cs01"


async def test_an_open_stream_ends_with_the_service_within_a_second() -> None:
    async with an_api() as api, _streaming(api) as (lines, stop):
        start = perf_counter()
        stop.set()

        async for _ in lines:
            pass

    assert perf_counter() - start < 1


async def test_a_stream_that_its_reader_left_listens_no_more() -> None:
    async with an_api() as api:
        before = len(api.app.state.services.events._listeners)
        async with _streaming(api):
            assert len(api.app.state.services.events._listeners) == before + 1

        assert len(api.app.state.services.events._listeners) == before


async def test_the_events_of_an_unknown_site_are_a_problem() -> None:
    async with an_api() as api:
        wrong(await api.client.get("/v1/sites/attic/events"), 404)


def test_a_station_that_left_the_site_concerns_it_no_more() -> None:
    event = MeterValuesReceived("cs01", 1, None, NOW, 7_400.0, {"L1": 32.0}, None)
    without = DEPOT.model_copy(update={"charging_stations": DEPOT.charging_stations[1:]})

    assert concerns(event, DEPOT)
    assert not concerns(event, without)


def test_an_event_is_one_line_of_json() -> None:
    event = encode(PlanMade("depot", "line\nbreak", NOW))

    assert event.endswith("\n\n")
    assert event.count("\n") == 3
