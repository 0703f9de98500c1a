"""A plan is made again from the ledger, bit by bit; what was said for it and what came of it is there too."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from app.clock import SteppedClock
from app.csms.connector import ChargingProfile, Passport, Period, Purpose, RateUnit
from app.db.ledger_records import Exchange
from app.db.records import MeterValue
from app.db.store import Store
from app.diary import Diary, Recorded, about
from app.errors import NotFoundError, ProfileRejectedError, StoreUnavailableError
from app.planning.decision import Recipe, decided, decision, digest, remake, was_cut
from app.planning.outcome import Outcomes, planned_kwh
from app.planning.replay import replay
from app.planning.solving import solve
from app.problem_json import problem_from_json, problem_to_json, schedule_to_json
from app.retention import keep_no_longer
from optimizer.domain import Problem, Settings
from tests.app.planning.test_planner import NOW, RESTLESS, World, a_world
from tests.fakes_connector import FakeConnector
from tests.optimizer.builders import a_problem, a_session, problems
from tests.stores import a_store


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


@pytest.mark.parametrize("kind", ["request", "nightly", "replan"])
async def test_a_plan_made_again_is_the_same_bit_by_bit(world: World, kind: Any) -> None:
    plan = await world.planner.plan("depot", kind=kind)

    stored, record = await world.store.plan(plan.plan_id), await world.store.decision(plan.plan_id)
    again = replay(stored, record)

    assert again.is_same, again.differences
    assert again.verdict == "the same, bit by bit"
    assert (record.record["time"]["cut"], record.record["basis"]) == ("no", "cold")
    assert record.record["made_by"]["highspy"]


async def test_a_plan_that_is_told_in_few_periods_is_made_again_as_it_was_told(tmp_path: Path) -> None:
    async with a_world(tmp_path, tariff=RESTLESS) as world:
        world.dispatcher.accepts = Passport(known=True, max_periods=3)

        plan = await world.planner.plan("depot")

        record = await world.store.decision(plan.plan_id)
        assert record.record["recipe"]["told"]["max_periods"] == {"cs1/1": 2}
        assert replay(await world.store.plan(plan.plan_id), record).is_same


async def test_a_plan_by_rules_is_made_again_by_rules(world: World) -> None:
    await world.store.add_deaths("depot", 2, NOW)

    plan = await world.planner.plan("depot")

    record = await world.store.decision(plan.plan_id)
    assert plan.status == "fallback"
    assert "has ended 2 processes" in record.record["recipe"]["by_rules"]
    assert replay(await world.store.plan(plan.plan_id), record).is_same


async def test_a_record_that_was_altered_is_found_out(world: World) -> None:
    plan = await world.store.plan((await world.planner.plan("depot")).plan_id)
    record = await world.store.decision(plan.plan_id)
    dearer = plan.problem | {"import_price_per_kwh": [0.31] * len(plan.problem["import_price_per_kwh"])}

    again = replay(replace(plan, problem=dearer), record)

    assert again.verdict.startswith("the record was altered: the problem is not")
    assert not again.is_same


async def test_another_answer_is_told_value_by_value_with_what_may_explain_it(world: World) -> None:
    plan = await world.store.plan((await world.planner.plan("depot")).plan_id)
    record = await world.store.decision(plan.plan_id)
    other = {**plan.schedule, "import_kw": [1.0, *plan.schedule["import_kw"][1:]]}
    old = {**record.record, "schedule_sha256": digest(decided(other)), "time": {**record.record["time"], "cut": "yes"}}
    old["made_by"] = {**old["made_by"], "highspy": "1.0"}

    again = replay(replace(plan, schedule=other), replace(record, record=old))

    assert len(again.differences) == 1
    assert again.differences[0].startswith("import_kw[0]: 1.0 became ")
    assert again.verdict.startswith("1 values differ: the plan was cut off by its wall-clock limit; made by another hi")


def test_whether_a_clock_decided_is_recorded() -> None:
    assert [was_cut(took_s, 30.0) for took_s in (1.0, 14.0, 15.0, 29.0, 29.9, 40.0)] == [
        "no",
        "no",
        "perhaps",
        "perhaps",
        "yes",
        "yes",
    ]


def test_a_plan_that_its_time_limit_cut_off_says_so() -> None:
    problem = replace(_a_small_problem(), settings=Settings(time_limit_s=1e-3))
    schedule = schedule_to_json(solve(problem, baselines=()).schedule)

    record = decision(problem_to_json(problem), schedule, Recipe(), time_limit_s=1e-3)

    assert record["time"]["cut"] == "yes"


@given(problems())
@hypothesis_settings(max_examples=15, deadline=None)
def test_the_same_problem_gives_the_same_bits_from_its_json(problem: Problem) -> None:
    recipe = Recipe(baselines=("uncontrolled",))

    first = remake(problem, recipe)
    second = remake(problem_from_json(problem_to_json(problem)), Recipe.of_json(recipe.to_json()))

    assert digest(decided(schedule_to_json(first))) == digest(decided(schedule_to_json(second)))


PROFILE = ChargingProfile(101, 1, Purpose.TX_DEFAULT, RateUnit.A, NOW, (Period(0, 16.0), Period(3600, 8.0)), 7200)


async def test_what_is_said_to_stations_for_a_plan_is_kept_with_their_replies() -> None:
    clock = SteppedClock(NOW)
    async with a_store(clock) as store:
        connector, diary = FakeConnector(clock), Diary(store, clock)
        connector.add("cs1")
        recorded = Recorded(connector, diary, clock)

        await recorded.set_charging_profile("cs1", 1, PROFILE)
        with about("depot", "plan-1"):
            await asyncio.create_task(recorded.set_charging_profile("cs1", 1, PROFILE))
            await recorded.composite_schedule("cs1", 1, 3600)
        await diary.settle()

        said = await store.exchanges("plan-1")
        assert [(one.station_id, one.evse_id, one.action) for one in said] == [
            ("cs1", 1, "SetChargingProfile"),
            ("cs1", 1, "GetCompositeSchedule"),
        ]
        assert [period["limit"] for period in said[0].request["periods"]] == [16.0, 8.0]
        assert said[0].reply == {"status": "Accepted"}
        assert said[1].reply["schedule"]["periods"][0]["limit"] == 16.0


async def test_what_a_station_declines_is_kept_too_and_still_raised() -> None:
    clock = SteppedClock(NOW)
    async with a_store(clock) as store:
        connector, diary = FakeConnector(clock), Diary(store, clock)
        connector.add("cs1").switches(1).reject = lambda profile: True

        with about("depot", "plan-1"), pytest.raises(ProfileRejectedError):
            await Recorded(connector, diary, clock).set_charging_profile("cs1", 1, PROFILE)
        await diary.settle()

        [said] = await store.exchanges("plan-1")
        assert said.reply["error"] == "ProfileRejectedError"


async def test_a_store_that_does_not_answer_costs_the_record_and_nothing_else() -> None:
    class Down(Store):
        def __init__(self) -> None:
            pass

        async def add_exchanges(self, exchanges: object) -> None:
            raise StoreUnavailableError("gone")

    clock = SteppedClock(NOW)
    connector, diary = FakeConnector(clock), Diary(Down(), clock)
    connector.add("cs1")

    with about("depot", "plan-1"):
        await Recorded(connector, diary, clock).set_charging_profile("cs1", 1, PROFILE)
    await diary.settle()

    assert len(connector.stations["cs1"].sent) == 1


async def test_what_was_drawn_under_a_plan_is_written_when_the_next_one_takes_its_place(world: World) -> None:
    first = await world.planner.plan("depot")
    later = NOW + timedelta(minutes=30)
    for minute in range(31):
        value = MeterValue("cs1", 1, NOW + timedelta(minutes=minute), "Power.Active.Import", 6000.0, "W", 1)
        await world.store.add_meter_values([value])
    await world.store.flush()
    await world.clock.run_until(later)
    outcomes = Outcomes(world.store, world.clock, world.events)
    task = asyncio.create_task(outcomes.run())
    await asyncio.sleep(0)

    await world.planner.plan("depot")
    await outcomes.settle()
    task.cancel()

    record = await world.store.decision(first.plan_id)
    assert record.outcome is not None
    assert (record.outcome["start"], record.outcome["end"]) == (NOW.isoformat(), later.isoformat())
    assert record.outcome["evses"]["cs1/1"]["drawn_kwh"] == pytest.approx(3.0)
    assert record.outcome["evses"]["cs1/1"]["planned_kwh"] >= 0


def test_planned_energy_counts_the_parts_of_slots_that_are_in_the_span() -> None:
    def span(start: float, end: float) -> float:
        minutes = (NOW + timedelta(minutes=one) for one in (start, end))
        return planned_kwh((4.0, 8.0, 0.0), NOW, 15, *minutes)

    assert span(0, 45) == pytest.approx(3.0)
    assert span(5, 20) == pytest.approx(4 * 10 / 60 + 8 * 5 / 60)
    assert span(50, 60) == 0


async def test_what_is_known_of_a_plan_goes_with_it(world: World) -> None:
    plan = await world.planner.plan("depot")
    await world.planner.plan("depot")
    exchange = Exchange(plan.plan_id, "depot", "cs1", 1, NOW, "SetChargingProfile", {}, {})
    await world.store.add_exchanges([exchange])

    dropped = await keep_no_longer(world.store, plans_before=NOW + timedelta(days=5))

    assert {name: dropped[name] for name in ("plans", "decisions", "exchanges", "runs")} == {
        "plans": 1,
        "decisions": 1,
        "exchanges": 1,
        "runs": 2,
    }
    with pytest.raises(NotFoundError, match=plan.plan_id):
        await world.store.decision(plan.plan_id)


def _a_small_problem() -> Problem:
    return a_problem(prices=[0.30, 0.10, 0.40], sessions=[a_session(required_energy_kwh=5, hours=3)])
