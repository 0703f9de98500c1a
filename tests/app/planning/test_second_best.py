"""What is planned when no optimum can be had: on a real store, with a solver that fails."""

from collections.abc import AsyncIterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.clock import SteppedClock
from app.db.records import StoredSeries, Wish
from app.db.store import Store
from app.events import Events
from app.gather import FallbackOnly, Gatherer
from app.modes import Modes
from app.planning.planner import Planner
from app.site import Site
from forecasts.errors import ForecastError
from optimizer.check import violations
from tests.app.planning.test_planner import DOCUMENT, HORIZON, NOW, Dispatched
from tests.stores import a_store

BY_SERIES = DOCUMENT | {
    "tariff": {"kind": "series", "surcharge_per_kwh": 0.1},
    "base_load": {"annual_energy_kwh": 60_000, "max_kw": 20},
}


class Dying(Executor):
    """An executor whose processes die while it is told to let them."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self.is_dying = False

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.is_dying:
            raise RuntimeError("a child process died")
        return self._inner.submit(work, *args, **kwargs)


class World:
    def __init__(self, store: Store, clock: SteppedClock, executor: Dying) -> None:
        self.store, self.clock, self.executor, self.dispatcher = store, clock, executor, Dispatched()
        self.modes = Modes(store, clock, Events())
        connected = frozenset({"cs1", "cs2"})
        gatherer = Gatherer(store, clock, FallbackOnly(), connected=lambda: connected, horizon=HORIZON)
        self.planner = Planner(store, gatherer, self.dispatcher, clock, Events(), executor, modes=self.modes)

    async def mode(self) -> tuple[str, str]:
        now = await self.modes.look("depot")
        assert now is not None
        return now.mode, now.reason

    async def arrive(self, station_id: str) -> None:
        now = self.clock.now()
        await self.store.start_transaction(
            station_id=station_id, evse_id=1, id_tag="tag", started_at=now, meter_start_wh=0
        )
        await self.store.save_wish(
            Wish(f"w-{station_id}", "depot", now + timedelta(hours=6), 20.0, now, station_id, 1, vehicle_phases=3)
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = SteppedClock(NOW)
    async with a_store(clock, directory=tmp_path) as store:
        with ThreadPoolExecutor(1) as threads:
            yield World(store, clock, Dying(threads))


def prices() -> StoredSeries:
    values = tuple(0.1 + 0.05 * (hour % 5) for hour in range(48))
    return StoredSeries("depot", "import_price", "test", NOW, NOW.replace(minute=0), 60, "EUR/kWh", values)


async def test_the_plan_in_force_goes_on_where_the_solver_died(world: World) -> None:
    await world.store.save_site(Site.model_validate(DOCUMENT))
    await world.arrive("cs1")
    first = await world.planner.plan("depot")
    world.executor.is_dying = True
    await world.clock.run_until(NOW + timedelta(minutes=1))

    second = await world.planner.plan("depot", kind="replan")
    third = await world.planner.plan("depot", kind="replan")

    mode, reason = await world.mode()
    assert mode == "last_plan"
    assert first.plan_id in reason
    assert "a child process died" in reason
    assert second.status == "fallback"
    planned_kw = [plan.schedule["evses"]["cs1/1"]["power_kw"] for plan in (first, second)]
    assert planned_kw[1] == pytest.approx(planned_kw[0], abs=0.1)
    assert third.provenance["basis"]["plan_id"] == first.plan_id
    assert len(world.dispatcher.sent) == 3


async def test_a_car_that_the_plan_in_force_does_not_know_makes_it_equal_shares(world: World) -> None:
    await world.store.save_site(Site.model_validate(DOCUMENT))
    await world.arrive("cs1")
    await world.planner.plan("depot")
    world.executor.is_dying = True
    await world.arrive("cs2")

    plan = await world.planner.plan("depot", kind="replan")

    assert (await world.mode())[0] == "rule_based"
    [first, second] = [plan.schedule["evses"][f"cs{number}/1"]["current_a"][0] for number in (1, 2)]
    assert first == second > 6
    _, problem, schedule, _ = world.dispatcher.sent[-1]
    assert not violations(problem, schedule).caused


async def test_a_plan_made_by_rules_is_not_carried_on_as_if_it_were_one(world: World) -> None:
    await world.store.save_site(Site.model_validate(DOCUMENT))
    await world.arrive("cs1")
    world.executor.is_dying = True

    modes = []
    for _ in range(2):
        await world.planner.plan("depot", kind="replan")
        modes.append((await world.mode())[0])

    assert modes == ["rule_based", "rule_based"]


async def test_who_recovers_is_optimised_again(world: World) -> None:
    await world.store.save_site(Site.model_validate(DOCUMENT))
    await world.arrive("cs1")
    world.executor.is_dying = True
    await world.planner.plan("depot", kind="replan")
    world.executor.is_dying = False

    await world.planner.plan("depot", kind="replan")

    assert (await world.mode())[0] == "optimised"


async def test_without_any_price_cars_get_an_equal_share_and_nobody_is_told_a_price(world: World) -> None:
    await world.store.save_site(Site.model_validate(BY_SERIES))
    await world.arrive("cs1")

    plan = await world.planner.plan("depot", kind="replan")

    mode, reason = await world.mode()
    assert mode == "rule_based"
    assert "price" in reason
    assert plan.provenance["import_price"]["source"] == "none"
    assert max(plan.schedule["evses"]["cs1/1"]["power_kw"]) > 0
    assert len(world.dispatcher.sent) == 1


async def test_prices_that_vanish_leave_the_last_plan_in_force(world: World) -> None:
    await world.store.save_site(Site.model_validate(BY_SERIES))
    await world.store.add_series(prices())
    await world.arrive("cs1")
    await world.planner.plan("depot", kind="replan")
    await world.store.save_site(Site.model_validate(BY_SERIES | {"tariff": {"kind": "series", "factor": 1.5}}))
    world.executor.is_dying = True

    await world.planner.plan("depot", kind="replan")

    assert (await world.mode())[0] == "last_plan"


async def test_without_a_building_load_either_nothing_is_sent_and_stations_keep_their_fallback(world: World) -> None:
    document = {name: value for name, value in BY_SERIES.items() if name != "base_load"}
    await world.store.save_site(Site.model_validate(document))
    await world.arrive("cs1")

    with pytest.raises(ForecastError):
        await world.planner.plan("depot", kind="replan")

    assert (await world.mode())[0] == "failsafe"
    assert world.dispatcher.sent == []


async def test_who_only_asks_is_told_what_is_missing(world: World) -> None:
    await world.store.save_site(Site.model_validate(BY_SERIES))
    await world.arrive("cs1")

    with pytest.raises(ForecastError):
        await world.planner.plan("depot", dispatch=False)

    assert world.modes.of("depot") is None
