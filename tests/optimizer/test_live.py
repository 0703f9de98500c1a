"""A live program after any change costs what a fresh one costs; and a recorded basis makes the same plan again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.constraints import ALL
from optimizer.domain import Circuit, Connection, DemandCharge, Problem
from optimizer.errors import InvalidProblemError, SolverError
from optimizer.labels import Labels
from optimizer.live import LivePlan, LiveProgram
from optimizer.objectives import money
from optimizer.program import Site, Variables, assemble
from tests.optimizer.builders import START, a_battery, a_problem, a_session, an_evse, problems
from tests.optimizer.test_laws import law


def a_car_park(vehicles: int = 12, slots: int = 24) -> Problem:
    """Two rows of fuses that bind, a demand charge and a battery."""
    return a_problem(
        prices=[0.20 + 0.01 * (7 * slot % 11) for slot in range(slots)],
        export_prices=0.05,
        connection=Connection(max_import_kw=60),
        circuits=[Circuit("row-a", max_current_a=40), Circuit("row-b", max_current_a=40)],
        evses=[an_evse(f"evse-{n}", circuit_id="row-a" if n % 2 else "row-b") for n in range(vehicles)],
        sessions=[
            a_session(
                f"tx-{n}", evse_id=f"evse-{n}", after_hours=n % 5, hours=8 + n % 7, required_energy_kwh=10 + 2 * (n % 6)
            )
            for n in range(vehicles)
        ],
        base_load_kw=[10 + slot % 6 for slot in range(slots)],
        batteries=[a_battery()],
        demand_charges=[DemandCharge("month", 2.0, interval_minutes=60, expected_peak_kw=25)],
    )


def cold(problem: Problem) -> LivePlan:
    return LiveProgram(problem).plan


def assert_as_cold(plan: LivePlan, problem: Problem) -> None:
    assert plan.objective == pytest.approx(cold(problem).objective, abs=1e-6, rel=1e-9)


def test_other_prices_go_on_from_the_last_basis() -> None:
    live = LiveProgram(a_car_park())
    prices = tuple(price * 1.05 for price in live.plan.site.problem.import_price_per_kwh)

    plan = live.reprice(prices, live.plan.site.problem.export_price_per_kwh)

    assert plan.warm
    assert_as_cold(plan, replace(a_car_park(), import_price_per_kwh=prices))


def test_carbon_keeps_its_price_when_energy_gets_another() -> None:
    problem = replace(a_car_park(), carbon_kg_per_kwh=tuple(0.02 * slot for slot in range(24)), carbon_price_per_kg=0.3)
    live = LiveProgram(problem)

    plan = live.reprice((0.3,) * 24, (0.0,) * 24)

    assert_as_cold(plan, replace(problem, import_price_per_kwh=(0.3,) * 24, export_price_per_kwh=(0.0,) * 24))


def another_need(problem: Problem) -> Problem:
    first, *others = problem.sessions
    return replace(problem, sessions=(replace(first, required_energy_kwh=first.required_energy_kwh + 3), *others))


def a_departure(problem: Problem) -> Problem:
    return replace(problem, sessions=problem.sessions[:3] + problem.sessions[4:])


def an_arrival(problem: Problem) -> Problem:
    newcomer = a_session("new", evse_id="evse-new", after_hours=2, hours=6, required_energy_kwh=20)
    evse = an_evse("evse-new", circuit_id="row-a")
    return replace(problem, evses=(*problem.evses, evse), sessions=(newcomer, *problem.sessions))


def a_weaker_fuse(problem: Problem) -> Problem:
    return replace(problem, circuits=(replace(problem.circuits[0], max_current_a=34), problem.circuits[1]))


def a_higher_reading(problem: Problem) -> Problem:
    load = tuple(value + 2 for value in problem.base_load_kw)
    return replace(problem, base_load_kw=load, base_load_high_kw=load, base_load_low_kw=load)


def ten_minutes_later(problem: Problem) -> Problem:
    return replace(problem, horizon=replace(problem.horizon, now=START + timedelta(minutes=10)))


@pytest.mark.parametrize(
    "change", [another_need, a_departure, an_arrival, a_weaker_fuse, a_higher_reading, ten_minutes_later]
)
def test_a_change_is_made_in_place_and_costs_what_a_cold_build_costs(change: Callable[[Problem], Problem]) -> None:
    live = LiveProgram(a_car_park())

    plan = live.update(change(a_car_park()))

    assert plan.warm
    assert plan.iterations < 100
    assert_as_cold(plan, change(a_car_park()))


def test_the_next_hour_drops_a_slot_and_adds_one() -> None:
    problem = a_car_park()
    live = LiveProgram(problem)
    later = replace(a_car_park(), horizon=replace(problem.horizon, start=START + timedelta(hours=1)))

    plan = live.update(later)

    assert_as_cold(plan, later)


def test_who_leaves_and_comes_back_is_served() -> None:
    live = LiveProgram(a_car_park())
    live.update(a_departure(a_car_park()))

    plan = live.update(a_car_park())

    assert_as_cold(plan, a_car_park())


def test_another_site_altogether_is_built_anew() -> None:
    live = LiveProgram(a_car_park())
    other = a_problem(prices=[0.3, 0.1], sessions=[a_session(required_energy_kwh=9, hours=2)])

    plan = live.update(other)

    assert_as_cold(plan, other)
    assert plan.power_kw == pytest.approx(np.array([[0.0, 9.0]]))


def test_prices_that_change_places_are_solved_cold_at_once() -> None:
    live = LiveProgram(a_car_park())
    prices = live.plan.site.problem.import_price_per_kwh

    plan = live.reprice(prices[::-1], live.plan.site.problem.export_price_per_kwh)

    assert not plan.warm
    assert_as_cold(plan, replace(a_car_park(), import_price_per_kwh=prices[::-1]))


def test_what_did_not_change_is_taken_from_the_last_site() -> None:
    before = Site.of(a_car_park())
    needier, weaker = (Site.of(change(a_car_park()), before) for change in (another_need, a_weaker_fuse))

    assert needier.charge is before.charge
    assert needier.charging is before.charging
    assert needier.headroom is before.headroom
    assert weaker.charge is before.charge
    assert weaker.headroom is not before.headroom


def a_later_departure(problem: Problem) -> Problem:
    first, *others = problem.sessions
    return replace(problem, sessions=(replace(first, departure=first.departure + timedelta(hours=1)), *others))


def nobody_wants_the_first(problem: Problem) -> Problem:
    first, *others = problem.sessions
    return replace(problem, sessions=(replace(first, required_energy_kwh=0.0), *others))


@pytest.mark.parametrize("change", [a_departure, an_arrival, a_later_departure, nobody_wants_the_first])
def test_other_stays_have_other_columns(change: Callable[[Problem], Problem]) -> None:
    before = Site.of(a_car_park())
    problem = change(a_car_park())

    columns, fresh = Site.of(problem, before).charge, Site.of(problem).charge

    assert columns.columns != before.charge.columns
    assert np.array_equal(columns.evse * 1000 + columns.slot, fresh.evse * 1000 + fresh.slot)


def test_says_when_a_wish_is_left_for_solve() -> None:
    live = LiveProgram(a_problem(prices=0.2, slots=2, sessions=[a_session(hours=2, required_energy_kwh=20)]))
    assert live.plan.complete

    plan = live.update(a_problem(prices=0.2, slots=2, sessions=[a_session(hours=2, required_energy_kwh=30)]))

    assert not plan.complete


def test_a_recorded_basis_makes_the_same_plan_again() -> None:
    live = LiveProgram(a_car_park())
    for change in (another_need, a_departure, a_weaker_fuse):
        plan = live.update(change(live.plan.site.problem))

    again = LiveProgram(plan.site.problem, start_from=live.basis()).plan

    assert again.iterations == 0
    assert again.x == pytest.approx(plan.x, abs=1e-9)


def test_a_basis_of_another_program_is_refused() -> None:
    basis = LiveProgram(a_car_park()).basis()

    with pytest.raises(SolverError, match="recorded for another program"):
        LiveProgram(a_car_park(vehicles=11), start_from=basis)


def test_an_impossible_problem_leaves_the_last_plan_as_it_is() -> None:
    live = LiveProgram(a_car_park())
    before = live.plan
    twice = replace(a_car_park().sessions[0], session_id="intruder")

    with pytest.raises(InvalidProblemError, match="intruder"):
        live.update(replace(a_car_park(), sessions=(*a_car_park().sessions, twice)))

    assert live.plan is before
    assert_as_cold(live.update(another_need(a_car_park())), another_need(a_car_park()))


@law(60)
@given(problems())
def test_every_column_and_row_has_a_label_of_its_own(problem: Problem) -> None:
    live = LiveProgram(problem)
    plan, labels = live.plan, Labels()

    columns, rows = labels.columns(plan.site, plan.variables), labels.rows(plan.site, live.program)

    assert np.unique(columns).size == columns.size
    assert np.unique(rows).size == rows.size


@st.composite
def histories(draw: st.DrawFn) -> list[Problem]:
    """A site, and what becomes of it: prices, needs, fuses, readings, the clock, arrivals and departures."""
    problem = draw(problems(max_slots=10))
    everybody = problem.sessions
    history = [problem]
    for _ in range(draw(st.integers(2, 5))):
        match draw(st.sampled_from(("prices", "needs", "limits", "load", "now", "sessions"))):
            case "prices":
                factor = draw(st.integers(-2, 12)) / 10
                prices = tuple(round(price * factor + 0.01, 6) for price in problem.import_price_per_kwh)
                problem = replace(problem, import_price_per_kwh=prices)
            case "needs":
                factor = draw(st.integers(0, 15)) / 10
                sessions = (replace(s, required_energy_kwh=s.required_energy_kwh * factor) for s in problem.sessions)
                problem = replace(problem, sessions=tuple(sessions))
            case "limits":
                current_a = draw(st.none() | st.integers(4, 80))
                circuits = tuple(replace(circuit, max_current_a=current_a) for circuit in problem.circuits)
                wire = replace(problem.connection, max_import_kw=draw(st.none() | st.integers(0, 60)))
                problem = replace(problem, circuits=circuits, connection=wire)
            case "load":
                load = tuple(value * draw(st.sampled_from((0.5, 1.2))) for value in problem.base_load_kw)
                problem = replace(problem, base_load_kw=load, base_load_high_kw=None, base_load_low_kw=None)
            case "now":
                span_s = int((problem.horizon.end - problem.horizon.first_moment).total_seconds())
                now = problem.horizon.first_moment + timedelta(seconds=draw(st.integers(0, span_s - 1)))
                problem = replace(problem, horizon=replace(problem.horizon, now=now))
            case "sessions":
                there = draw(st.lists(st.booleans(), min_size=len(everybody), max_size=len(everybody)))
                kept = (session for session, stays in zip(everybody, there, strict=True) if stays)
                problem = replace(problem, sessions=tuple(kept))
        history.append(problem)
    return history


@law(60)
@given(histories())
def test_a_program_is_the_same_whatever_site_was_there_before(history: list[Problem]) -> None:
    site: Site | None = None

    for problem in history:
        site = Site.of(problem, site)
        variables, fresh = Variables.of(site), Site.of(problem)
        lent = assemble(site, variables, ALL, money(site, variables))
        built = assemble(fresh, Variables.of(fresh), ALL, money(fresh, Variables.of(fresh)))

        for name in ("cost", "lower", "upper", "row_lower", "row_upper"):
            assert np.array_equal(getattr(lent, name), getattr(built, name))
        for name in ("start", "index", "value"):
            assert np.array_equal(getattr(lent.matrix, name), getattr(built.matrix, name))


@law(60)
@given(histories())
def test_after_any_history_it_costs_what_a_cold_build_costs(history: list[Problem]) -> None:
    live = LiveProgram(history[0])

    for before, after in pairwise(history):
        only_prices = replace(before, import_price_per_kwh=after.import_price_per_kwh) == after
        plan = (
            live.reprice(after.import_price_per_kwh, after.export_price_per_kwh) if only_prices else live.update(after)
        )

        assert_as_cold(plan, after)
