"""gather → solve → check → save → dispatch, on a real store."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.clock import SteppedClock
from app.csms.connector import Passport
from app.db.ledger_records import Decision, Run
from app.db.records import Delivery, Plan, Transaction, Wish
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError
from app.events import Event, Events, PlanMade
from app.gather import FallbackOnly, Gathered, Gatherer, WhatIf
from app.planning.executor import make_executor
from app.planning.ledger import Ledger
from app.planning.planner import Dispatches, Planner, solve_in
from app.planning.simulate import Scenario, Simulator
from app.planning.solving import Keeping
from app.planning.timed_out import TimedOut
from app.problem_json import SessionIn, problem_from_json, schedule_from_json
from app.site import Site
from optimizer.check import violations
from optimizer.domain import Problem, Schedule, Settings
from optimizer.errors import SolverError
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, 5, tzinfo=UTC)
HORIZON = timedelta(hours=12)
DOCUMENT: dict[str, Any] = {
    "id": "depot",
    "name": "Depot",
    "time_zone": "Europe/Berlin",
    "connection": {"max_import_kw": 60},
    "circuits": [{"id": "row", "max_current_a": 32}],
    "charging_stations": [{"id": f"cs{n}", "evses": [{"id": 1, "circuit": "row"}]} for n in (1, 2)],
    "base_load": {"annual_energy_kwh": 60_000},
    "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
}


class Dispatched:
    """A dispatcher that keeps what it was handed."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Problem, Schedule, Mapping[str, Transaction]]] = []
        self.accepts = Passport()

    def passport(self, station_id: str) -> Passport:
        return self.accepts

    def watched_until(self, now: datetime) -> datetime:
        return now + timedelta(hours=1)

    async def send(
        self, site: Site, plan_id: str, problem: Problem, schedule: Schedule, transactions: Mapping[str, Transaction]
    ) -> Sequence[Delivery]:
        self.sent.append((plan_id, problem, schedule, transactions))
        return []


class World:
    def __init__(self, store: Store, executor: ThreadPoolExecutor, solver: str) -> None:
        self.clock, self.events = SteppedClock(NOW), Events()
        self.store, self.dispatcher, self.heard = store, Dispatched(), list[Event]()
        self.events.subscribe(self.heard.append)
        self.executor, self._solver = executor, solver
        self.planner = self.a_planner(store)
        self.simulator = Simulator(store, self.clock, executor, horizon=HORIZON)

    def a_planner(
        self,
        store: Store,
        *,
        dispatcher: Dispatches | None = None,
        executor: Executor | None = None,
        ledger: Ledger | None = None,
    ) -> Planner:
        everything = frozenset({"cs1", "cs2"})
        gatherer = Gatherer(store, self.clock, FallbackOnly(), connected=lambda: everything, horizon=HORIZON)
        return Planner(
            store,
            gatherer,
            dispatcher or self.dispatcher,
            self.clock,
            self.events,
            executor or self.executor,
            self._solver,
            ledger=ledger,
        )


@asynccontextmanager
async def a_world(directory: Path, *, solver: str = "highs", **changes: object) -> AsyncIterator[World]:
    async with a_store(SteppedClock(NOW), directory=directory) as store:
        await store.save_site(Site.model_validate(DOCUMENT | changes))
        await store.start_transaction(
            station_id="cs1", evse_id=1, id_tag="tag", started_at=NOW - timedelta(minutes=5), meter_start_wh=0
        )
        await store.save_wish(Wish("w", "depot", NOW + timedelta(hours=6), 20.0, NOW, "cs1", 1, vehicle_phases=3))
        with ThreadPoolExecutor(1) as executor:
            yield World(store, executor, solver)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


async def test_a_plan_is_made_checked_saved_announced_and_sent(world: World) -> None:
    plan = await world.planner.plan("depot")

    [(plan_id, problem, schedule, transactions)] = world.dispatcher.sent
    assert plan_id == plan.plan_id
    assert list(transactions) == ["cs1/1"]
    assert schedule.unmet_kwh == pytest.approx(0, abs=1e-3)
    assert not violations(problem, schedule).caused
    assert any(isinstance(event, PlanMade) and event.plan_id == plan_id for event in world.heard)


STEPS = [
    {"start": f"{hour:02d}:{minute:02d}", "price_per_kwh": 0.2 + 0.1 * (minute // 15 % 2)}
    for hour in range(24)
    for minute in (0, 15, 30, 45)
]
RESTLESS = {"kind": "time_of_use", "periods": [{"steps": STEPS}]}


def changes(schedule: Schedule, until: int) -> int:
    power_kw = schedule.power_kw["cs1/1"][:until]
    return sum(later != earlier for earlier, later in pairwise(power_kw))


async def test_a_plan_is_told_in_as_many_periods_as_its_stations_hold(tmp_path: Path) -> None:
    async with a_world(tmp_path, tariff=RESTLESS) as world:
        await world.planner.plan("depot")
        world.dispatcher.accepts = Passport(known=True, max_periods=3)

        plan = await world.planner.plan("depot")

        free, told = (schedule for _, _, schedule, _ in world.dispatcher.sent)
        assert changes(free, 16) > 3
        assert changes(told, 16) <= 1
        assert plan.provenance["compression"]["max_periods"] == {"cs1/1": 2}
        assert schedule_from_json(plan.schedule).power_kw == told.power_kw
        assert not violations(world.dispatcher.sent[1][1], told).caused


async def test_stations_of_one_period_are_told_the_watched_hour(tmp_path: Path) -> None:
    async with a_world(tmp_path, tariff=RESTLESS) as world:
        world.dispatcher.accepts = Passport(known=True)

        plan = await world.planner.plan("depot")

        assert changes(world.dispatcher.sent[0][2], 4) == 0
        assert plan.provenance["compression"]["until"] == (NOW + timedelta(hours=1)).isoformat()


async def test_a_plan_that_cannot_be_told_in_few_periods_is_sent_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise SolverError("no plan in so few periods keeps every rule")

    monkeypatch.setattr("app.planning.planner.compress", broken)
    async with a_world(tmp_path, tariff=RESTLESS) as world:
        world.dispatcher.accepts = Passport(known=True)

        plan = await world.planner.plan("depot")

        assert changes(world.dispatcher.sent[0][2], 16) > 3
        assert "compression" not in plan.provenance


async def test_a_saved_plan_can_be_solved_again_from_what_was_saved(world: World) -> None:
    plan = await world.store.plan((await world.planner.plan("depot")).plan_id)

    assert problem_from_json(plan.problem) == world.dispatcher.sent[0][1]
    assert plan.schedule["status"] == plan.status


async def test_without_dispatch_the_plan_is_kept_and_nothing_is_sent(world: World) -> None:
    plan = await world.planner.plan("depot", dispatch=False)

    assert world.dispatcher.sent == []
    assert (await world.store.latest_plan("depot")) == await world.store.plan(plan.plan_id)


async def test_a_site_in_shadow_mode_plans_and_sends_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path, mode="shadow") as world:
        plan = await world.planner.plan("depot")

        assert plan.status in ("optimal", "feasible")
        assert world.dispatcher.sent == []


async def test_a_solver_that_is_missing_leaves_the_fallback_with_its_reason(tmp_path: Path) -> None:
    async with a_world(tmp_path, solver="pulp:NO_SUCH_SOLVER") as world:
        plan = await world.planner.plan("depot")

        [(_, problem, schedule, _)] = world.dispatcher.sent
        assert plan.status == "fallback"
        assert "NO_SUCH_SOLVER" in (plan.reason or "")
        assert sum(schedule.power_kw["cs1/1"]) > 0
        assert not violations(problem, schedule).caused


async def test_an_unknown_site_is_named(world: World) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        await world.planner.plan("nowhere")


async def test_a_simulation_answers_each_scenario_beside_its_baselines_and_leaves_no_trace(world: World) -> None:
    scenarios = [
        Scenario("as it is"),
        Scenario("dearer", site={"tariff": {"kind": "fixed", "price_per_kwh": 0.6}}),
        Scenario("nobody there", what_if=WhatIf(sessions=())),
    ]

    plain, dearer, empty = await world.simulator.run("depot", scenarios)

    assert dearer.schedule.cost.total == pytest.approx(2 * plain.schedule.cost.total)
    assert set(plain.schedule.baselines) == {"uncontrolled", "equal_share"}
    assert empty.schedule.cost.total < plain.schedule.cost.total
    assert world.dispatcher.sent == []
    assert await world.store.plans("depot") == []


async def test_a_change_that_makes_no_site_is_refused_by_its_path(world: World) -> None:
    scenario = Scenario("odd", site={"connection": {"max_import_kw": -5}})

    with pytest.raises(InvalidInputError, match=r"scenarios\[odd\]\.site\.connection\.max_import_kw"):
        await world.simulator.run("depot", [scenario])


async def test_a_transaction_that_ends_while_its_plan_is_made_is_sent_nothing(world: World) -> None:
    [running] = await world.store.transactions(running=True)

    class Saves:
        """The store, in which a car leaves just as the plan is saved."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        async def save_plan_of_run(self, plan: Plan, run: Run, decision: Decision) -> None:
            await world.store.save_plan_of_run(plan, run, decision)
            await world.store.stop_transaction(
                running.transaction_id, stopped_at=NOW, meter_stop_wh=0.0, reason="EVDisconnected"
            )

    planner = world.a_planner(Saves())  # type: ignore[arg-type]  # the store itself, but for one moment

    await planner.plan("depot")

    [(_, problem, _, transactions)] = world.dispatcher.sent
    assert (len(problem.sessions), transactions) == (1, {})


async def test_two_simulations_at_once_do_not_see_each_other(world: World) -> None:
    document = DOCUMENT | {"id": "yard", "name": "Yard", "charging_stations": [{"id": "y1", "evses": [{"id": 1}]}]}
    await world.store.save_site(Site.model_validate(document | {"circuits": []}))
    await world.store.start_transaction(
        station_id="y1", evse_id=1, id_tag="tag", started_at=NOW - timedelta(minutes=5), meter_start_wh=0
    )
    plain = [Scenario("as it is")]

    depot, yard = await asyncio.gather(world.simulator.run("depot", plain), world.simulator.run("yard", plain))

    assert [len(result.gathered.problem.sessions) for result in (*depot, *yard)] == [1, 1]


class Hurried(Gatherer):
    """Gathers problems that no solver can finish in time."""

    async def gather(self, site: Site, what_if: WhatIf | None = None) -> Gathered:
        gathered = await super().gather(site, what_if)
        return replace(gathered, problem=replace(gathered.problem, settings=Settings(time_limit_s=1e-6)))


async def test_a_plan_that_used_up_its_time_limit_is_sent_kept_and_names_the_file(world: World, tmp_path: Path) -> None:
    everything = frozenset({"cs1", "cs2"})
    gatherer = Hurried(world.store, world.clock, FallbackOnly(), connected=lambda: everything, horizon=HORIZON)
    with make_executor("thread") as executor:
        planner = Planner(
            world.store,
            gatherer,
            world.dispatcher,
            world.clock,
            world.events,
            executor,
            timed_out=TimedOut(tmp_path / "timed-out"),
        )

        with capture_logs() as logged:
            plan = await planner.plan("depot")

    [file] = (tmp_path / "timed-out").iterdir()
    [(_, problem, schedule, _)] = world.dispatcher.sent
    assert file.name == "20260427T080500.000000Z-depot.json"
    assert problem_from_json(json.loads(file.read_text())) == problem
    assert str(file) in schedule.warnings[-1]
    assert plan.schedule["warnings"][-1] == schedule.warnings[-1]
    assert [entry["file"] for entry in logged if entry["event"] == "time limit used up"] == [str(file)]
    assert not violations(problem, schedule).caused


async def test_a_solve_in_another_process_keeps_its_problem_too(world: World, tmp_path: Path) -> None:
    await world.planner.plan("depot")
    [(_, problem, _, _)] = world.dispatcher.sent
    hurried = replace(problem, settings=Settings(time_limit_s=1e-6))

    with make_executor("process", workers=1) as executor, capture_logs() as logged:
        schedule = await solve_in(executor, hurried, "highs", keeping=Keeping(TimedOut(tmp_path), "depot", NOW))

    [file] = tmp_path.glob("*.json")
    assert str(file) in schedule.warnings[-1]
    assert [entry["file"] for entry in logged] == [str(file)]


async def test_a_state_of_charge_in_a_simulation_counts_its_evses_efficiency(world: World) -> None:
    lossy = {
        "charging_stations": [
            {"id": "cs1", "evses": [{"id": 1, "circuit": "row", "efficiency": 0.8}]},
            {"id": "cs2", "evses": [{"id": 1, "circuit": "row"}]},
        ]
    }

    def half_a_battery(evse: str) -> SessionIn:
        return SessionIn.model_validate(
            {
                "id": f"car at {evse}",
                "evse": evse,
                "arrival": NOW.isoformat(),
                "departure": (NOW + timedelta(hours=6)).isoformat(),
                "soc": 0.2,
                "target_soc": 0.6,
                "capacity_kwh": 40,
            }
        )

    [result] = await world.simulator.run(
        "depot", [Scenario("lossy", site=lossy, sessions=[half_a_battery("cs1/1"), half_a_battery("cs2/1")])]
    )

    needs = {session.evse_id: session.required_energy_kwh for session in result.gathered.problem.sessions}
    assert needs == {"cs1/1": pytest.approx(20), "cs2/1": pytest.approx(16)}


async def test_a_session_that_contradicts_itself_is_refused_by_its_scenario(world: World) -> None:
    unknown = {"id": "car", "evse": "cs9/1", "arrival": NOW.isoformat(), "required_energy_kwh": 5}
    leaves = unknown | {"departure": (NOW + timedelta(hours=1)).isoformat()}

    for document, field in ((unknown, "departure"), (leaves, "evse")):
        scenario = Scenario("odd", sessions=[SessionIn.model_validate(document)])
        with pytest.raises(InvalidInputError, match=rf"scenarios\[odd\]\.sessions\[car\]\.{field}"):
            await world.simulator.run("depot", [scenario])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"connection": {"max_import_kw": -5}}, r"site\.connection\.max_import_kw: -5: "),
        ({"connection": {"max_import_kw": "sixty"}}, r"site\.connection\.max_import_kw: 'sixty': "),
        ({"connection": {"max_import_kw": float("inf")}}, r"site\.connection\.max_import_kw: 'Infinity': "),
        ({"connection": {"max_amps": 63}}, r"site\.connection\.max_amps: 63: is not a known key"),
        ({"circuits": [{"id": "row", "parent": "attic"}]}, r"site\.circuits\[row\]\.parent: 'attic': "),
        ({"colour": "blue", "slot_minutes": 7}, r"slot_minutes: 7: .*; colour 'blue': is not a known key"),
        ({"mode": "shadow"}, r"site\.mode: 'shadow' cannot be changed in a simulation"),
    ],
)
async def test_each_change_that_makes_no_site_is_refused_by_path_and_value(
    world: World, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        await world.simulator.run("depot", [Scenario("odd", site=change)])


async def test_a_simulation_has_the_baselines_that_were_asked_for(world: World) -> None:
    [result] = await world.simulator.run(
        "depot", [Scenario("as it is")], baselines=["least_laxity_first", "perfect_foresight"]
    )

    assert set(result.schedule.baselines) == {"least_laxity_first", "perfect_foresight"}
