"""Plans and their runs: nobody plans or sends twice, and a site that ends processes is charged by rules."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import Executor, Future
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.clock import SteppedClock
from app.db.ledger_records import Decision, Run
from app.db.records import Plan
from app.dispatch import Dispatcher
from app.errors import AlreadyPlannedError, InvalidInputError, OvertakenError
from app.gather import FallbackOnly, Gatherer
from app.planning.executor import RebuiltPool
from app.planning.ledger import MOST_DEATHS, QUARANTINE, Ledger
from app.planning.planner import Planner
from app.problem_json import schedule_from_json
from tests.app.dispatch.world import a_world as a_dispatcher_world
from tests.app.planning.test_planner import HORIZON, NOW, World, a_world
from tests.stores import a_store


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


async def only_run(world: World) -> Run:
    [run] = await world.store.runs("depot")
    return run


async def test_a_plan_belongs_to_a_run_that_is_done(world: World) -> None:
    plan = await world.planner.plan("depot", kind="nightly", window=NOW)

    run = await only_run(world)
    assert (run.kind, run.window, run.state, run.plan_id) == ("nightly", NOW, "done", plan.plan_id)
    assert (run.attempts, run.fence, run.lease_until) == (1, 1, None)


async def test_a_window_is_planned_once(world: World) -> None:
    await world.planner.plan("depot", kind="nightly", window=NOW)

    with pytest.raises(AlreadyPlannedError, match=r"planned already for 2026-04-27 08:05 UTC \(nightly\)"):
        await world.planner.plan("depot", kind="nightly", window=NOW)

    assert len(world.dispatcher.sent) == 1


async def test_plans_without_a_window_are_each_their_own_even_at_one_instant(world: World) -> None:
    for _ in range(3):
        await world.planner.plan("depot")

    assert len({run.window for run in await world.store.runs("depot", states=("done",))}) == 3


async def test_a_run_that_fails_says_why(world: World) -> None:
    class Broken(Gatherer):
        async def gather(self, *_: Any) -> Any:
            raise InvalidInputError("tariff", "no prices")

    broken = Broken(world.store, world.clock, FallbackOnly(), connected=lambda: (), horizon=HORIZON)
    planner = Planner(world.store, broken, world.dispatcher, world.clock, world.events, world.executor)

    with pytest.raises(InvalidInputError):
        await planner.plan("depot")

    run = await only_run(world)
    assert (run.state, run.reason) == ("failed", "tariff: no prices")


async def test_a_plan_that_another_process_took_over_is_neither_saved_nor_sent(world: World) -> None:
    class Slow:
        """A store on which a save takes longer than the lease."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        async def save_plan_of_run(self, plan: Plan, run: Run, decision: Decision) -> None:
            later = world.clock.now() + timedelta(hours=1)
            assert await world.store.claim_run(
                run.site_id, run.kind, run.window, owner="another", now=later, lease_until=later + timedelta(hours=1)
            )
            await world.store.save_plan_of_run(plan, run, decision)

    with pytest.raises(OvertakenError):
        await world.a_planner(Slow()).plan("depot", kind="nightly", window=NOW)  # type: ignore[arg-type]  # the store itself, but for one moment

    assert world.dispatcher.sent == []
    assert await world.store.plans("depot") == []
    assert (await only_run(world)).owner == "another"


async def test_a_plan_whose_sender_died_is_sent_as_it_is_and_not_made_again(world: World) -> None:
    class Dies(BaseException):
        pass

    class DiesSending:
        passport = world.dispatcher.passport
        watched_until = world.dispatcher.watched_until

        async def send(self, *_: object) -> Any:
            raise Dies

    lease = timedelta(minutes=2)
    dying = world.a_planner(world.store, dispatcher=DiesSending(), ledger=Ledger(world.store, world.clock, lease=lease))
    with pytest.raises(Dies):
        await dying.plan("depot", kind="nightly", window=NOW)
    assert (await only_run(world)).state == "planned"
    await world.clock.run_until(NOW + timedelta(minutes=3))

    plan = await world.planner.plan("depot", kind="nightly", window=NOW)

    assert [made.plan_id for made in await world.store.plans("depot")] == [plan.plan_id]
    [(sent, _, schedule, transactions)] = world.dispatcher.sent
    assert (sent, list(transactions)) == (plan.plan_id, ["cs1/1"])
    assert schedule == schedule_from_json(plan.schedule)
    assert (await only_run(world)).state == "done"


async def test_a_plan_that_has_grown_old_unsent_is_made_again(world: World) -> None:
    run = await world.store.claim_run("depot", "nightly", NOW, owner="x", now=NOW, lease_until=NOW)
    assert run is not None
    first = await world.planner.plan("depot", dispatch=False)
    await world.store.save_plan_of_run(Plan(**{**_fields(first), "plan_id": "old"}), run.run)
    await world.clock.run_until(NOW + timedelta(hours=1))

    plan = await world.planner.plan("depot", kind="nightly", window=NOW)

    assert plan.plan_id not in {"old", first.plan_id}
    assert len(world.dispatcher.sent) == 1


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Poisoned(Executor):
    """A pool in which whatever is asked ends the process."""

    def __init__(self) -> None:
        self._pool = RebuiltPool(1)
        self.asked = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked += 1
        return self._pool.submit(die)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown()


async def test_a_site_whose_problem_kills_its_solver_is_charged_by_rules_and_left_alone_for_a_while(
    world: World,
) -> None:
    with Poisoned() as executor:
        planner = world.a_planner(world.store, executor=executor)

        first = await planner.plan("depot")
        second = await planner.plan("depot")

        assert executor.asked == 1
        for plan in (first, second):
            assert plan.status == "fallback"
            assert sum(schedule_from_json(plan.schedule).power_kw["cs1/1"]) > 0
        assert len(world.dispatcher.sent) == 2
        assert str(first.reason).startswith("equal share, because")
        assert "twice" in str(first.reason)
        assert "has ended 2 processes: not solved before 2026-04-27 14:05 UTC" in str(second.reason)
        assert {run.state for run in await world.store.runs("depot")} == {"quarantined"}


async def test_after_the_quarantine_one_good_plan_forgives(world: World) -> None:
    await world.store.add_deaths("depot", MOST_DEATHS, NOW)
    await world.clock.run_until(NOW + QUARANTINE)

    plan = await world.planner.plan("depot")

    assert plan.status != "fallback"
    assert await world.store.poisoned_sites() == []


async def test_a_site_with_which_the_whole_service_died_twice_is_not_tried_again(world: World) -> None:
    for minute in (0, 5):
        now = NOW + timedelta(minutes=minute)
        assert await world.store.claim_run("depot", "replan", now, owner=f"killed-{minute}", now=now, lease_until=now)
    await world.clock.run_until(NOW + timedelta(minutes=10))

    plan = await world.planner.plan("depot", kind="replan")

    assert plan.status == "fallback"


async def test_a_lease_is_renewed_while_the_work_lasts() -> None:
    clock = SteppedClock(NOW)
    async with a_store(clock) as store, Ledger(store, clock).turn("depot", "nightly", NOW):
        await clock.run_until(NOW + timedelta(minutes=30))

        with pytest.raises(AlreadyPlannedError):
            async with Ledger(store, clock).turn("depot", "nightly", NOW):
                pytest.fail("it was taken over")


async def test_a_run_that_is_cancelled_is_lost_and_no_death(world: World) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with Ledger(world.store, world.clock).turn("depot", "replan"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await only_run(world)).state == "lost"
    assert await world.store.poisoned_sites() == []


async def test_the_dispatcher_drops_a_plan_of_which_a_newer_one_was_sent() -> None:
    world = a_dispatcher_world(2)
    assert isinstance(world.dispatcher, Dispatcher)
    world.store.overtaken.add("plan-1")

    with pytest.raises(OvertakenError, match="plan-1 is dropped"):
        await world.send({1: 16, 2: 16})

    assert world.store.history == []
    assert all(not station.sent for station in world.connector.stations.values())


def _fields(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


async def test_a_plan_that_is_overtaken_between_its_waves_raises_no_limit_any_more() -> None:
    world = a_dispatcher_world(2)
    await world.send({1: 16, 2: 16})
    world.connector.on_message = lambda: world.store.overtaken.add("plan-2")

    deliveries = await world.send({1: 6, 2: 24})

    assert world.station(1).limit_a(1, world.clock.now()) == 6
    assert world.station(2).limit_a(1, world.clock.now()) == 16
    assert (deliveries[2].state, deliveries[2].detail) == ("withheld", "a newer plan was sent meanwhile")
