"""The night run: every site at its own local hour, and nobody's error is another's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.clock import SteppedClock
from app.db.records import Plan
from app.db.store import Store
from app.errors import ConflictError, StoreUnavailableError
from app.planning.ledger import Ledger
from app.planning.nightly import GRACE, Nightly, next_run, run_nightly
from app.planning.planner import Kind
from app.site import Site
from tests.stores import a_store

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def a_site(site_id: str, time_zone: str = "Europe/Berlin", nightly_at: str = "22:00") -> Site:
    return Site.model_validate(
        {
            "id": site_id,
            "name": site_id,
            "time_zone": time_zone,
            "connection": {},
            "nightly_at": nightly_at,
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        }
    )


class Recorder:
    """A planner that claims each run, notes who was planned when, and fails for one site in one of two ways."""

    def __init__(self, store: Store, clock: SteppedClock, broken: dict[str, Exception] | None = None) -> None:
        self._clock = clock
        self._ledger = Ledger(store, clock)
        self._broken = broken or {}
        self.planned: list[tuple[str, datetime]] = []
        self.at_once = self.most_at_once = 0
        self.work_s = 0.0  # of real time

    async def plan(self, site_id: str, *, kind: Kind, window: datetime | None = None) -> Plan:
        assert kind == "nightly"
        with self._clock.hold():
            return await self._plan(site_id, kind, window)

    async def _plan(self, site_id: str, kind: Kind, window: datetime | None) -> Plan:
        async with self._ledger.turn(site_id, kind, window):
            if site_id in self._broken:
                raise self._broken[site_id]
            now = self._clock.now()
            self.planned.append((site_id, now))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(self.work_s)
            self.at_once -= 1
        return Plan("p", site_id, kind, now, now, now, "optimal", None, {}, {})


@asynccontextmanager
async def a_night(
    *sites: Site,
    start: datetime = NOON,
    broken: dict[str, Exception] | None = None,
    directory: Path | None = None,
    clock: SteppedClock | None = None,
    connected: Callable[[], Collection[str]] | None = None,
) -> AsyncIterator[tuple[SteppedClock, Recorder, Store]]:
    """A night run that works until the block ends; in `directory` its ledger outlives it."""
    clock = clock or SteppedClock(start)
    async with a_store(clock, directory=directory) as store:
        for site in sites:
            await store.save_site(site)
        planner = Recorder(store, clock, broken)
        task = asyncio.create_task(Nightly(store, planner, clock, connected=connected).run())
        try:
            yield clock, planner, store
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def test_the_hour_is_the_sites_own() -> None:
    noon = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)

    assert next_run(a_site("a", "Europe/Berlin"), noon) == datetime(2026, 7, 1, 20, 0, tzinfo=UTC)
    assert next_run(a_site("b", "America/Los_Angeles"), noon) == datetime(2026, 7, 2, 5, 0, tzinfo=UTC)


def test_an_hour_that_dst_skips_or_repeats_runs_exactly_once() -> None:
    site = a_site("a", nightly_at="02:30")
    spring, autumn = datetime(2026, 3, 28, 12, 0, tzinfo=UTC), datetime(2026, 10, 24, 12, 0, tzinfo=UTC)

    for before in (spring, autumn):
        first = next_run(site, before)
        second = next_run(site, first)

        assert timedelta(hours=22) < second - first < timedelta(hours=26)
    assert next_run(site, autumn) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


async def test_each_site_is_planned_once_a_day_at_its_hour() -> None:
    async with a_night(a_site("a"), a_site("b", "America/New_York")) as (clock, planner, store):
        await clock.run_until(datetime(2026, 7, 3, 12, 0, tzinfo=UTC))

        assert planner.planned == [
            ("a", datetime(2026, 7, 1, 20, 0, tzinfo=UTC)),
            ("b", datetime(2026, 7, 2, 2, 0, tzinfo=UTC)),
            ("a", datetime(2026, 7, 2, 20, 0, tzinfo=UTC)),
            ("b", datetime(2026, 7, 3, 2, 0, tzinfo=UTC)),
        ]
        assert {run.state for run in await store.runs()} == {"done", "open"}


async def test_one_sites_error_never_stops_another() -> None:
    clock = SteppedClock(NOON)
    async with a_store(clock) as store:
        for name in "abc":
            await store.save_site(a_site(name))
        planner = Recorder(store, clock, {"a": ConflictError("no prices"), "b": ZeroDivisionError("a bug")})

        results = await run_nightly(store, planner)

        assert [(result.site_id, result.error) for result in results] == [
            ("a", "no prices"),
            ("b", "ZeroDivisionError: a bug"),
            ("c", None),
        ]
        assert {run.site_id: (run.state, run.reason) for run in await store.runs()} == {
            "a": ("failed", "no prices"),
            "b": ("failed", "ZeroDivisionError: a bug"),
            "c": ("done", None),
        }


async def test_a_database_that_does_not_answer_for_a_while_does_not_end_the_nights() -> None:
    class Failing(Store):
        failures = 3

        async def sites(self) -> list[Site]:
            if self.failures:
                self.failures -= 1
                raise StoreUnavailableError("the disk is full")
            return await super().sites()

    async with a_night(a_site("a")) as (clock, planner, store):
        store.__class__ = Failing

        await clock.run_until(datetime(2026, 7, 1, 21, 0, tzinfo=UTC))

        assert planner.planned == [("a", datetime(2026, 7, 1, 20, 0, tzinfo=UTC))]


async def test_an_hour_that_nobody_saw_is_made_good_for_once(tmp_path: Path) -> None:
    async with a_night(a_site("a"), directory=tmp_path) as (clock, planner, _):
        await clock.run_until(NOON + timedelta(hours=1))
    assert planner.planned == []
    back = datetime(2026, 7, 4, 9, 0, tzinfo=UTC)

    async with a_night(directory=tmp_path, start=back) as (clock, planner, _):
        await clock.run_until(back + timedelta(hours=12))

        assert planner.planned == [("a", back), ("a", datetime(2026, 7, 4, 20, 0, tzinfo=UTC))]


async def test_of_several_nights_that_were_missed_only_the_last_is_planned(tmp_path: Path) -> None:
    async with a_store(directory=tmp_path) as store:
        for day in (28, 29, 30):
            night = datetime(2026, 6, day, 20, tzinfo=UTC)
            assert await store.claim_run("a", "nightly", night, owner="x", now=night, lease_until=night)

    async with a_night(a_site("a"), directory=tmp_path) as (clock, planner, store):
        await clock.run_until(NOON + timedelta(hours=1))

        assert planner.planned == [("a", NOON)]
        states = [run.state for run in await store.runs() if run.window < NOON]
        assert states == ["done", "missed", "missed"]


async def test_a_run_whose_owner_died_is_continued_when_its_lease_ends(tmp_path: Path) -> None:
    hour = datetime(2026, 7, 1, 20, 0, tzinfo=UTC)
    async with a_night(a_site("a"), a_site("b"), start=hour - timedelta(hours=1)) as (clock, planner, store):
        await clock.run_until(hour - timedelta(minutes=5))
        claim = await store.claim_run(
            "a", "nightly", hour, owner="killed", now=hour, lease_until=hour + timedelta(minutes=2)
        )
        assert claim is not None

        await clock.run_until(hour + timedelta(minutes=10))

        assert planner.planned == [("b", hour), ("a", hour + timedelta(minutes=2))]
        [continued] = await store.runs("a", states=("done",))
        assert (continued.attempts, continued.fence) == (2, 2)


async def test_a_service_that_ends_leaves_its_night_to_others(tmp_path: Path) -> None:
    hour = datetime(2026, 7, 1, 20, 0, tzinfo=UTC)

    class Stuck(Recorder):
        async def plan(self, site_id: str, *, kind: Kind, window: datetime | None = None) -> Plan:
            async with self._ledger.turn(site_id, kind, window):
                await asyncio.Event().wait()
            raise AssertionError("it was cancelled")

    clock = SteppedClock(hour - timedelta(minutes=1))
    async with a_store(clock, directory=tmp_path) as store:
        await store.save_site(a_site("a"))
        task = asyncio.create_task(Nightly(store, Stuck(store, clock), clock).run())
        await clock.run_until(hour + timedelta(seconds=5))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

        assert [(run.state, run.owner) for run in await store.unended_runs("nightly", clock.now())] == [("open", None)]
    async with a_night(directory=tmp_path, start=clock.now()) as (clock, planner, _):
        await clock.run_until(hour + timedelta(minutes=1))

        assert [site_id for site_id, _ in planner.planned] == ["a"]


async def test_several_sites_are_planned_at_once_but_suspects_alone_and_last() -> None:
    clock = SteppedClock(NOON)
    async with a_store(clock) as store:
        for name in "abcdefgh":
            await store.save_site(a_site(name))
        await store.add_deaths("a", 1, NOON)
        await store.add_deaths("c", 1, NOON)
        planner = Recorder(store, clock)
        planner.work_s = 0.05

        results = await run_nightly(store, planner)

        assert [site_id for site_id, _ in planner.planned][-2:] == ["a", "c"]
        assert 1 < planner.most_at_once <= 4
        assert [result.site_id for result in results] == list("abcdefgh")


async def test_the_service_that_a_sites_stations_are_connected_to_plans_it(tmp_path: Path) -> None:
    hour = datetime(2026, 7, 1, 20, 0, tzinfo=UTC)
    station = {"charging_stations": [{"id": "cs1", "evses": [{"id": 1}]}]}
    site = Site.model_validate(a_site("a").model_dump(mode="json") | station)
    clock = SteppedClock(hour - timedelta(minutes=1))

    async with a_night(site, clock=clock, connected=lambda: ()) as (_, elsewhere, store):
        await store.update_station("cs1", connected=True)
        here = Recorder(store, clock)
        task = asyncio.create_task(Nightly(store, here, clock, connected=lambda: ("cs1",)).run())
        await clock.run_until(hour + timedelta(hours=1))
        task.cancel()

        assert (here.planned, elsewhere.planned) == ([("a", hour)], [])


async def test_a_site_whose_service_does_not_answer_is_planned_by_another_after_a_moment() -> None:
    hour = datetime(2026, 7, 1, 20, 0, tzinfo=UTC)
    station = {"charging_stations": [{"id": "cs1", "evses": [{"id": 1}]}]}
    site = Site.model_validate(a_site("a").model_dump(mode="json") | station)

    async with a_night(site, start=hour - timedelta(minutes=1), connected=lambda: ()) as (clock, planner, store):
        await store.update_station("cs1", connected=True)  # by a service that is no more
        await clock.run_until(hour + timedelta(hours=1))

        assert planner.planned == [("a", hour + GRACE)]
