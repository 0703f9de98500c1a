"""The night run: every site at its own local hour, and nobody's error is another's."""

import asyncio
from datetime import UTC, datetime, timedelta

from app.clock import SteppedClock
from app.db.records import Plan
from app.errors import ConflictError, StoreUnavailableError
from app.nightly import Nightly, next_run, run_nightly
from app.planner import Kind
from app.site import Site


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


class Sites:
    """A store that knows only its sites."""

    def __init__(self, *sites: Site, failures: int = 0) -> None:
        self._sites = list(sites)
        self._failures = failures

    async def sites(self) -> list[Site]:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailableError("the disk is full")
        return self._sites


class Recorder:
    """A planner that notes who was planned when, and fails for one site in one of two ways."""

    def __init__(self, clock: SteppedClock, broken: dict[str, Exception] | None = None) -> None:
        self._clock = clock
        self._broken = broken or {}
        self.planned: list[tuple[str, datetime]] = []

    async def plan(self, site_id: str, *, kind: Kind = "request", dispatch: bool = True) -> Plan:
        assert (kind, dispatch) == ("nightly", True)
        if site_id in self._broken:
            raise self._broken[site_id]
        now = self._clock.now()
        self.planned.append((site_id, now))
        return Plan("p", site_id, kind, now, now, now, "optimal", None, {}, {})


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
    clock = SteppedClock(datetime(2026, 7, 1, 12, 0, tzinfo=UTC))
    planner = Recorder(clock)
    nightly = Nightly(Sites(a_site("a"), a_site("b", "America/New_York")), planner, clock)  # type: ignore[arg-type]  # a fake at the seam
    task = asyncio.create_task(nightly.run())

    await clock.run_until(datetime(2026, 7, 3, 12, 0, tzinfo=UTC))
    task.cancel()

    assert planner.planned == [
        ("a", datetime(2026, 7, 1, 20, 0, tzinfo=UTC)),
        ("b", datetime(2026, 7, 2, 2, 0, tzinfo=UTC)),
        ("a", datetime(2026, 7, 2, 20, 0, tzinfo=UTC)),
        ("b", datetime(2026, 7, 3, 2, 0, tzinfo=UTC)),
    ]


async def test_one_sites_error_never_stops_another() -> None:
    clock = SteppedClock(datetime(2026, 7, 1, 12, 0, tzinfo=UTC))
    planner = Recorder(clock, {"a": ConflictError("no prices"), "b": ZeroDivisionError("a bug")})
    store = Sites(a_site("a"), a_site("b"), a_site("c"))

    results = await run_nightly(store, planner)  # type: ignore[arg-type]  # a fake at the seam

    assert [(result.site_id, result.error) for result in results] == [
        ("a", "no prices"),
        ("b", "ZeroDivisionError: a bug"),
        ("c", None),
    ]


async def test_a_database_that_does_not_answer_for_a_while_does_not_end_the_nights() -> None:
    clock = SteppedClock(datetime(2026, 7, 1, 12, 0, tzinfo=UTC))
    planner = Recorder(clock)
    nightly = Nightly(Sites(a_site("a"), failures=3), planner, clock)  # type: ignore[arg-type]  # a fake at the seam
    task = asyncio.create_task(nightly.run())

    await clock.run_until(datetime(2026, 7, 1, 21, 0, tzinfo=UTC))
    task.cancel()

    assert planner.planned == [("a", datetime(2026, 7, 1, 20, 0, tzinfo=UTC))]


async def test_a_machine_that_slept_for_days_plans_each_site_once() -> None:
    class Asleep(SteppedClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + timedelta(days=3).total_seconds())

    clock = Asleep(datetime(2026, 7, 1, 12, 0, tzinfo=UTC))
    planner = Recorder(clock)
    nightly = Nightly(Sites(a_site("a")), planner, clock)  # type: ignore[arg-type]  # a fake at the seam
    task = asyncio.create_task(nightly.run())

    await clock.run_until(datetime(2026, 7, 4, 13, 0, tzinfo=UTC))
    task.cancel()

    assert len(planner.planned) == 1
