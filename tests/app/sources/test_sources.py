"""The background task: what is asked when, who stands in, and what is kept, by a clock that is stepped."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from random import Random
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import SecretStr

from app.clock import SteppedClock
from app.db.store import Store
from app.events import Event, Events, SignalsArrived, SiteChanged, SourcePolled
from app.gather.prices import PriceSource
from app.grid_limits import GridLimits
from app.site import Site
from app.sources.adapters import Tokens
from app.sources.feed import Feed
from app.sources.fetcher import Fetcher
from app.sources.outbound import outbound_client
from app.sources.sources import Sources
from forecasts.local_days import day_slots
from forecasts.series import utc_index
from tests.app.sources import recorded
from tests.app.sources.provider import Asked, Provider, Reply
from tests.app.sources.recorded import HOUR, QUARTER, SECRET
from tests.stores import a_store

MORNING = datetime(2026, 4, 26, 8, 0, tzinfo=UTC)  # ten o'clock in Berlin
NOON = datetime(2026, 4, 26, 10, 58, tzinfo=UTC)  # 12:58
TODAY, TOMORROW = date(2026, 4, 26), date(2026, 4, 27)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def a_site(*sources: dict[str, Any], **changed: Any) -> Site:
    document = {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {},
        "tariff": {"kind": "series"},
        "sources": sources,
    }
    return Site.model_validate(document | changed)


class Market:
    """A provider of day-ahead prices: each day is out or not; what it asks for a kWh is `level` and a little more."""

    def __init__(self, level: float, *days: date) -> None:
        self.level, self.days = level, set(days)
        self.broken: Reply | None = None

    def rows(self, day: date, minutes: int) -> list[tuple[datetime, float | None]]:
        starts = day_slots(day, "Europe/Berlin", minutes)
        return [(at.to_pydatetime(), round(self.level + n / 10_000, 6)) for n, at in enumerate(starts)]

    def energy_charts(self, asked: Asked) -> Reply:
        day = date.fromisoformat(asked.query["start"])
        if self.broken is not None:
            return self.broken
        return Reply(recorded.energy_charts(self.rows(day, 15), QUARTER)) if day in self.days else Reply(status=404)

    def awattar(self, asked: Asked) -> Reply:
        start = datetime.fromtimestamp(int(asked.query["start"]) / 1000, UTC)
        day = (start + timedelta(hours=3)).date()
        if self.broken is not None:
            return self.broken
        return Reply(recorded.awattar(self.rows(day, 60) if day in self.days else [], HOUR))


class World:
    def __init__(self, store: Store, clock: SteppedClock, sources: Sources, events: Events, provider: Provider) -> None:
        self.store, self.clock, self.sources, self.events, self.provider = store, clock, sources, events, provider
        self.heard: list[Event] = []
        events.subscribe(self.heard.append)
        self.first, self.second = Market(0.1, TODAY), Market(0.2, TODAY)
        provider.answer = self.answer

    def answer(self, asked: Asked) -> Reply:
        return self.first.energy_charts(asked) if asked.path == "/price" else self.second.awattar(asked)

    def feed(self, name: str) -> Feed:
        return next(feed for feed in self.sources.feeds() if feed.source.name == name)

    async def until(self, moment: datetime) -> None:
        await self.clock.run_until(moment)

    async def prices(self, start: datetime, hours: int = 24) -> tuple[Sequence[float], bool]:
        """Of the site's plan from `start`, and whether any of them is estimated."""
        site = await self.store.site("depot")
        priced = await PriceSource(self.store).of(site, utc_index(start, 60, hours), self.clock.now())
        return priced.import_price_per_kwh, priced.provenance["import_price"]["estimated"]

    def outcomes(self, name: str) -> list[str]:
        return [e.outcome for e in self.heard if isinstance(e, SourcePolled) and e.source == name]

    def arrivals(self) -> list[tuple[str, datetime]]:
        return [(e.source, e.at) for e in self.heard if isinstance(e, SignalsArrived) and e.kind == "import_price"]


@asynccontextmanager
async def a_world(
    provider: Provider,
    site: Site,
    start: datetime = MORNING,
    *,
    directory: Any = None,
    tokens: Mapping[str, str] = MappingProxyType({"solcast": SECRET}),
) -> AsyncIterator[World]:
    clock = SteppedClock(start)
    async with a_store(clock, directory=directory) as store, outbound_client(["127.0.0.1"]) as client:
        await store.save_site(site)
        events = Events()
        secrets = Tokens({name: SecretStr(token) for name, token in tokens.items()}, ["127.0.0.1"])
        limits = GridLimits(store, clock, events)
        sources = Sources(store, Fetcher(client, clock, longest_s=2), secrets, clock, events, limits, Random(1))
        world = World(store, clock, sources, events, provider)
        task = asyncio.create_task(sources.run())
        try:
            yield world
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def both(provider: Provider) -> Site:
    return a_site(
        {"type": "energy_charts", "bidding_zone": "DE-LU", "url": provider.url},
        {"type": "awattar", "url": provider.url},
    )


async def test_todays_prices_are_fetched_at_once_and_stored_with_their_source(provider: Provider) -> None:
    async with a_world(provider, both(provider)) as world:
        await world.until(MORNING + SECOND)
        stored = await world.store.series("depot", "import_price", MORNING, MORNING + HOUR)

        assert [(row.source, row.resolution_minutes, len(row.values)) for row in stored] == [("energy_charts", 15, 96)]
        assert stored[0].issued_at == MORNING
        assert world.outcomes("awattar") == []  # nobody has to stand in


async def test_tomorrow_is_asked_for_from_two_minutes_to_one_until_it_is_there(provider: Provider) -> None:
    async with a_world(provider, both(provider)) as world:
        await world.until(NOON - SECOND)
        asked_before = len(provider.asked)
        await world.until(NOON + 10 * MINUTE)
        asked_in_vain = len(provider.asked) - asked_before
        world.first.days.add(TOMORROW)
        await world.until(NOON + 16 * MINUTE)
        asked_till_there = len(provider.asked)
        await world.until(NOON + timedelta(hours=6))

        assert asked_before == 1  # today
        assert 4 <= asked_in_vain <= 10  # two sources, every three or four minutes
        assert len(provider.asked) == asked_till_there  # and then no more
        assert [source for source, _ in world.arrivals()] == ["energy_charts", "energy_charts"]


async def test_prices_are_estimated_and_marked_until_the_real_ones_arrive(provider: Provider) -> None:
    tomorrow_noon = NOON + timedelta(days=1)
    async with a_world(provider, both(provider)) as world:
        await world.until(NOON + MINUTE)
        before, is_estimated = await world.prices(tomorrow_noon, hours=2)
        world.first.days.add(TOMORROW)
        world.first.level = 0.3
        await world.until(NOON + 10 * MINUTE)
        after, is_still_estimated = await world.prices(tomorrow_noon, hours=2)

        assert is_estimated
        assert before == pytest.approx([0.1 + 51 / 10_000 + 0.0002] * 2, abs=0.005)  # as today at that time
        assert not is_still_estimated
        assert min(after) > 0.3


async def test_when_the_first_source_fails_the_next_one_stands_in_and_the_first_one_takes_over_again(
    provider: Provider,
) -> None:
    async with a_world(provider, both(provider), NOON - HOUR) as world:
        world.first.broken = Reply(status=500)
        await world.until(NOON - HOUR + SECOND)
        stood_in, _ = await world.prices(MORNING, hours=1)
        failing = world.feed("energy_charts").state()
        world.first.broken = None
        await world.until(NOON + timedelta(hours=1))
        again, _ = await world.prices(MORNING, hours=1)

        assert stood_in == pytest.approx([0.2], abs=0.01)
        assert failing == "failing"
        assert again == pytest.approx([0.1], abs=0.01)
        assert world.feed("energy_charts").breaker.failures == 0


async def test_a_provider_that_is_down_all_day_is_asked_less_and_less(provider: Provider) -> None:
    site = a_site({"type": "energy_charts", "bidding_zone": "DE-LU", "url": provider.url})
    async with a_world(provider, site) as world:
        world.first.broken = Reply(status=502)
        await world.until(MORNING + timedelta(hours=1, minutes=30))
        in_the_first, state = len(provider.asked), world.feed("energy_charts").breaker.state(world.clock.now())
        await world.until(MORNING + timedelta(hours=6))

        assert in_the_first <= 9
        assert len(provider.asked) - in_the_first <= 8
        assert state in ("open", "half_open")
        assert "status 502" in str(world.feed("energy_charts").error)


async def test_a_pause_that_is_asked_for_is_kept(provider: Provider) -> None:
    site = a_site({"type": "energy_charts", "bidding_zone": "DE-LU", "url": provider.url})
    async with a_world(provider, site) as world:
        world.first.broken = Reply(status=429, headers={"Retry-After": "7200"})
        await world.until(MORNING + timedelta(minutes=115))

        assert len(provider.asked) == 1


async def test_what_is_not_believed_is_refused_and_the_next_source_asked(provider: Provider) -> None:
    for level, said in ((0.0, "every price is 0"), (700.0, "is not believed")):
        async with a_world(provider, both(provider)) as world:

            def odd(asked: Asked, level: float = level, world: World = world) -> Reply:
                if asked.path != "/price":
                    return world.second.awattar(asked)
                rows = [(at, level) for at, _ in world.first.rows(TODAY, 15)]
                return Reply(recorded.energy_charts(rows, QUARTER))

            provider.answer = odd
            await world.until(MORNING + SECOND)

            assert said in str(world.feed("energy_charts").error)
            assert world.outcomes("awattar") == ["delivered"]


async def test_prices_in_another_currency_are_refused(provider: Provider) -> None:
    site = a_site({"type": "energy_charts", "bidding_zone": "DE-LU", "url": provider.url}, currency="SEK")
    async with a_world(provider, site) as world:
        await world.until(MORNING + SECOND)

        assert "prices are in EUR/kWh, the site's currency is SEK" in str(world.feed("energy_charts").error)
        assert await world.store.series("depot", "import_price", MORNING, MORNING + HOUR) == []


async def test_a_partial_day_is_refused_as_a_whole(provider: Provider) -> None:
    site = a_site({"type": "energy_charts", "bidding_zone": "DE-LU", "url": provider.url})
    async with a_world(provider, site) as world:
        provider.answer = lambda _: Reply(recorded.energy_charts(world.first.rows(TODAY, 15)[:90], QUARTER))
        await world.until(MORNING + SECOND)

        assert world.outcomes("energy_charts") == ["not_published"]
        assert "the day is not whole" in str(world.feed("energy_charts").error)
        assert await world.store.series("depot", "import_price", MORNING, MORNING + HOUR) == []


async def test_after_a_restart_a_day_that_is_stored_is_not_asked_for_again(provider: Provider, tmp_path: Any) -> None:
    async with a_world(provider, both(provider), directory=tmp_path) as world:
        await world.until(MORNING + SECOND)
    asked = len(provider.asked)

    async with a_world(provider, both(provider), MORNING + HOUR, directory=tmp_path) as world:
        await world.until(MORNING + HOUR + SECOND)

        assert len(provider.asked) == asked
        assert world.feed("energy_charts").good_at == MORNING
        assert world.feed("energy_charts").state() == "good"


async def test_a_site_that_gets_a_source_is_served_at_once(provider: Provider) -> None:
    async with a_world(provider, a_site()) as world:
        await world.until(MORNING + MINUTE)
        await world.store.save_site(both(provider))
        world.events.publish(SiteChanged("depot", world.clock.now()))
        await world.until(MORNING + MINUTE + SECOND)

        assert world.arrivals() == [("energy_charts", MORNING + MINUTE)]


async def test_a_source_without_its_token_says_so_and_is_not_asked(provider: Provider) -> None:
    site = a_site({"type": "tibber", "home_id": "96a14971", "url": provider.url})
    async with a_world(provider, site) as world:
        await world.until(MORNING + HOUR)

        assert world.feed("tibber").state() == "misconfigured"
        assert provider.asked == []


async def test_weather_and_pv_are_fetched_every_hour_and_every_three(provider: Provider) -> None:
    site = a_site(
        {"type": "open_meteo", "url": provider.url},
        {"type": "solcast", "rooftop_id": "abcd-1234", "url": provider.url},
        latitude=52.52,
        longitude=13.4,
        pv_arrays=[{"id": "roof", "peak_kw": 10}],
    )
    rows: list[tuple[datetime, float | None]] = [(MORNING + n * QUARTER, 1.0 + n / 100) for n in range(24)]

    def answer(asked: Asked) -> Reply:
        make = recorded.open_meteo if asked.path == "/v1/forecast" else recorded.solcast
        return Reply(make(rows, QUARTER))

    async with a_world(provider, site) as world:
        provider.answer = answer
        await world.until(MORNING + timedelta(hours=4))
        kinds = {}
        for kind in ("ghi", "temp_air", "pv", "pv_low", "pv_high"):
            kinds[kind] = len(await world.store.series("depot", kind, MORNING, MORNING + HOUR))

        assert kinds == {"ghi": 4, "temp_air": 4, "pv": 2, "pv_low": 2, "pv_high": 2}


async def test_a_forecast_above_what_the_arrays_can_give_is_not_believed(provider: Provider) -> None:
    site = a_site(
        {"type": "solcast", "rooftop_id": "abcd-1234", "url": provider.url}, pv_arrays=[{"id": "r", "peak_kw": 10}],
        latitude=52.52, longitude=13.4,
    )  # fmt: skip
    async with a_world(provider, site) as world:
        provider.answer = lambda _: Reply(recorded.solcast([(MORNING, 900.0), (MORNING + QUARTER, 950.0)], QUARTER))
        await world.until(MORNING + SECOND)

        assert "pv 900 kW" in str(world.feed("solcast").error)


async def test_late_prices_are_said_to_be_late(provider: Provider) -> None:
    async with a_world(provider, both(provider)) as world:
        await world.until(datetime(2026, 4, 26, 12, 59, tzinfo=UTC))
        [group] = world.sources.groups("depot")
        before = group.late
        await world.until(datetime(2026, 4, 26, 13, 30, tzinfo=UTC))

        assert (before, group.late) == (False, True)
