"""OpenADR 3 against a small server of its own: prices, carbon and limits that bind, over real HTTP."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.clock import SteppedClock
from app.events import GridLimitChanged
from app.sources.fetcher import Fetcher
from app.sources.outbound import outbound_client
from forecasts.errors import SourceError
from forecasts.sources.openadr import OpenAdr
from forecasts.sources.published import Published, Window
from tests.app.sources.provider import Provider
from tests.app.sources.test_sources import a_site, a_world
from tests.app.sources.vtn import BEARER, CLIENT, SECRET, a_vtn, an_event

START = datetime(2026, 4, 26, 8, 0, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
DAY = Window(START, START + timedelta(days=1))
VEN = OpenAdr("https://vtn.example/openadr3/3.1.0", CLIENT, SECRET, "44")


def read(*events: dict[str, Any]) -> dict[str, Published]:
    return {one.kind: one for one in VEN.parse([json.dumps(events).encode()], DAY)}


async def test_a_ven_logs_in_reads_all_pages_and_shows_no_secret() -> None:
    async with a_vtn() as vtn, outbound_client(["127.0.0.1"]) as client:
        vtn.events = [an_event(f"e{n}", "PRICE", 0.1 + n / 1000, intervalPeriod=_hour(n % 20)) for n in range(60)]
        fetcher = Fetcher(client, SteppedClock(START))
        ven = OpenAdr(vtn.url, CLIENT, SECRET, "44")

        published = {one.kind: one for one in await fetcher.published(ven, DAY)}

        assert vtn.asked == ["token", "events 0", "events 50"]
        assert len(published["import_price"].values) == 20
        assert SECRET not in repr(ven)
        assert BEARER not in repr(ven.logged_in(json.dumps({"access_token": BEARER}).encode()))


async def test_a_wrong_secret_is_an_error_without_it() -> None:
    async with a_vtn() as vtn, outbound_client(["127.0.0.1"]) as client:
        with pytest.raises(SourceError, match="status 401") as raised:
            await Fetcher(client, SteppedClock(START)).published(OpenAdr(vtn.url, CLIENT, "wrong-one"), DAY)

    assert "wrong-one" not in str(raised.value)


def _hour(n: int) -> dict[str, str]:
    return {"start": (START + n * HOUR).isoformat(), "duration": "PT1H"}


def test_intervals_without_a_period_of_their_own_follow_each_other() -> None:
    prices = read(an_event("e", "PRICE", 0.1, 0.2, 0.3))["import_price"]

    assert prices.values.tolist() == [0.1, 0.2, 0.3]
    assert prices.step == HOUR
    assert prices.values.index[0] == START
    assert prices.unit == "EUR/kWh"


def test_an_interval_of_its_own_period_overrides_the_events() -> None:
    event = an_event("e", "PRICE", 0.1, 0.2)
    event["intervals"][1]["intervalPeriod"] = {"start": (START + 5 * HOUR).isoformat(), "duration": "PT30M"}

    prices = read(event)["import_price"]

    assert prices.values.loc[START + 5 * HOUR] == 0.2
    assert START + HOUR not in prices.values.index


def test_several_values_divide_their_interval_equally() -> None:
    event = an_event("e", "PRICE", 0.1)
    event["intervals"][0]["payloads"][0]["values"] = [0.1, 0.2, 0.3, 0.4]

    prices = read(event)["import_price"]

    assert (prices.values.tolist(), prices.step) == ([0.1, 0.2, 0.3, 0.4], 15 * MINUTE)


def test_now_and_for_ever_fill_the_window() -> None:
    event = an_event("e", "PRICE", 0.25, intervalPeriod={"start": "0001-01-01T00:00:00Z", "duration": "P9999Y"})

    prices = read(event)["import_price"]

    assert set(prices.values) == {0.25}
    assert prices.missing(DAY) is None


def test_the_lowest_priority_number_counts_and_of_equals_the_latest_changed() -> None:
    usual = an_event("usual", "PRICE", 0.1, 0.1, 0.1)
    corrected = an_event("corrected", "PRICE", 0.2, 0.2, modificationDateTime="2026-04-26T07:00:00Z")
    urgent = an_event("urgent", "PRICE", 0.9, priority=0)

    for events in ((usual, corrected, urgent), (urgent, corrected, usual)):
        assert read(*events)["import_price"].values.tolist() == [0.9, 0.2, 0.1]


def test_carbon_is_in_grams_and_an_export_price_is_a_series_of_its_own() -> None:
    published = read(an_event("g", "GHG", 250, 300), an_event("x", "EXPORT_PRICE", 0.07, 0.08))

    assert published["carbon"].values.tolist() == [0.25, 0.3]
    assert published["export_price"].values.tolist() == [0.07, 0.08]


def test_limits_are_orders_each_by_its_reference() -> None:
    endless = an_event("now", "IMPORT_CAPACITY_LIMIT", 30, intervalPeriod={"start": "0001-01-01T00:00:00Z"})

    orders = read(an_event("e", "IMPORT_CAPACITY_LIMIT", 20, 10), endless)["import_limit"].orders

    assert [(one.reference, one.start, one.end, one.max_kw) for one in orders] == [
        ("e/0", START, START + HOUR, 20),
        ("e/1", START + HOUR, START + 2 * HOUR, 10),
        ("now/0", None, None, 30),
    ]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (an_event("e", "PRICE", 1, intervals=None), "no intervals"),
        (an_event("e", "PRICE", 1, intervals=[{"id": 0}]), "without payloads"),
        (an_event("e", "PRICE", 1, intervalPeriod={"start": "noon", "duration": "PT1H"}), "not a time"),
        (an_event("e", "PRICE", 1, intervalPeriod={"start": "2026-04-26T08:00:00Z", "duration": "1 hour"}), "duration"),
        (an_event("e", "PRICE", 1, payloadDescriptors=[]), "not in a currency per KWH"),
        (an_event("e", "IMPORT_CAPACITY_LIMIT", -5), "no limit in KW"),
        (an_event("e", "PRICE", "cheap"), "not a number"),  # type: ignore[arg-type]  # what a server might say
        (an_event("e", "PRICE", 1, payloadDescriptors=True), "are no list"),
        (an_event("e", "PRICE", 1, intervalPeriod={"start": "9999-12-31T23:00:00Z", "duration": "P9D"}), "beyond"),
        (an_event("e", "PRICE", 1, intervalPeriod={"start": "0001-01-02T00:00:00+90:00"}), "not a time"),
        ("text", "no list of events"),
    ],
)
def test_an_event_that_cannot_be_read_is_refused_with_its_id(event: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(event)


async def test_a_limit_of_a_utility_is_kept_changed_and_taken_back(provider: Provider) -> None:
    async with a_vtn() as vtn:
        source = {"type": "openadr", "url": vtn.url, "client_id": CLIENT, "program_id": "44"}
        async with a_world(provider, a_site(source), tokens={"openadr": SECRET}) as world:
            vtn.events = [an_event("cap", "IMPORT_CAPACITY_LIMIT", 20, intervalPeriod=_hour(2))]
            await world.until(START + SECOND)
            [placed] = await world.store.grid_limits("depot")
            vtn.events = [an_event("cap", "IMPORT_CAPACITY_LIMIT", 12, intervalPeriod=_hour(2))]
            await world.until(START + 7 * MINUTE)
            [changed] = await world.store.grid_limits("depot")
            told = [event for event in world.heard if isinstance(event, GridLimitChanged)]
            vtn.events = []
            await world.until(START + 15 * MINUTE)
            [taken_back] = await world.store.grid_limits("depot")

        assert (placed.source, placed.reference, placed.applies_to, placed.max_kw) == ("openadr", "cap/0", "import", 20)
        assert (placed.start, placed.end) == (START + 2 * HOUR, START + 3 * HOUR)
        assert (changed.limit_id, changed.max_kw) == (placed.limit_id, 12)
        assert len(told) == 2  # each makes a plan; asking again and hearing the same does not
        assert taken_back.cancelled_at is not None


async def test_a_limit_stays_while_the_utility_does_not_answer(provider: Provider) -> None:
    async with a_vtn() as vtn:
        source = {"type": "openadr", "url": vtn.url, "client_id": CLIENT}
        async with a_world(provider, a_site(source), tokens={"openadr": SECRET}) as world:
            vtn.events = [an_event("cap", "IMPORT_CAPACITY_LIMIT", 20, intervalPeriod=_hour(0))]
            await world.until(START + SECOND)
            vtn.events = [{"id": "broken"}]
            await world.until(START + 20 * MINUTE)

            assert world.feed("openadr").state() == "failing"
            assert [limit.cancelled_at for limit in await world.store.grid_limits("depot")] == [None]


async def test_prices_that_stay_the_same_are_stored_and_told_once(provider: Provider) -> None:
    async with a_vtn() as vtn:
        source = {"type": "openadr", "url": vtn.url, "client_id": CLIENT}
        async with a_world(provider, a_site(source), tokens={"openadr": SECRET}) as world:
            vtn.events = [an_event("p", "PRICE", *[0.1 + n / 100 for n in range(24)])]
            await world.until(START + 40 * MINUTE)
            polls = vtn.asked.count("events 0")

            assert polls >= 6
            assert len(world.arrivals()) == 1
            assert len(await world.store.series("depot", "import_price", START, START + HOUR)) == 1
