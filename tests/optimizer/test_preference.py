"""The third wish: earlier, close to the plan in force, smooth at the connection, and never for more than its budget."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optimizer.check import violations
from optimizer.constraints import ALL
from optimizer.domain import Circuit, DemandCharge, Problem, Schedule, Settings
from optimizer.doors import HighsDoor
from optimizer.errors import InvalidProblemError
from optimizer.in_force import PlanInForce
from optimizer.objectives import head_start, money, preference
from optimizer.optimise import optimise
from optimizer.preference import Preferred, budget, cost_noise, prefer
from optimizer.program import Program, Site, Variables, assemble
from optimizer.service import missed
from optimizer.solve import TimeLimit, least_money, solve
from tests.optimizer.builders import START, a_battery, a_problem, a_session, an_evse, problems, rich_problems


def in_force(problem: Problem, schedule: Schedule) -> Problem:
    """The same problem with `schedule` as the plan in force."""
    evses = tuple(replace(evse, planned_kw=schedule.power_kw[evse.evse_id]) for evse in problem.evses)
    return replace(problem, evses=evses)


def changed(before: Schedule, after: Schedule) -> int:
    """EVSE-slots whose limit is another one."""
    return sum(
        abs(one - other) > 1e-6
        for evse_id, power_kw in before.power_kw.items()
        for one, other in zip(power_kw, after.power_kw[evse_id], strict=True)
    )


def blocks(schedule: Schedule) -> int:
    """How often power comes on."""
    return sum(
        now > 0 and before <= 0
        for power_kw in schedule.power_kw.values()
        for before, now in zip((0.0, *power_kw), power_kw, strict=False)
    )


def a_garage(seed: int = 1, *, sessions: int = 12, slots: int = 48) -> Problem:
    """Vehicles of one and of three phases behind two fuses that bind, quarter hours at prices with noise."""
    random = np.random.default_rng(seed)
    prices = 0.25 + 0.08 * np.sin(np.arange(slots) / 7) + random.normal(0, 0.004, slots)
    circuits = [Circuit(f"row-{number}", max_current_a=50) for number in range(2)]
    evses = [an_evse(f"evse-{one}", circuit_id=f"row-{one % 2}", max_current_a=32) for one in range(sessions)]
    stays = [
        a_session(
            f"tx-{one}",
            evse_id=f"evse-{one}",
            after_hours=float(random.uniform(0, 3)),
            hours=float(random.uniform(5, 8)),
            required_energy_kwh=round(float(random.uniform(4, 16)), 2),
            vehicle_phases=1 + 2 * (one % 2),
            max_power_kw=7.36 if one % 2 == 0 else 11.0,
        )
        for one in range(sessions)
    ]
    return a_problem(
        prices=prices.tolist(), export_prices=0.05, slot_minutes=15, circuits=circuits, evses=evses, sessions=stays
    )


def preferred(problem: Problem) -> tuple[Site, Variables, Program, np.ndarray, Preferred]:
    """The continuous answers of the second and of the third wish."""
    site = Site.of(problem)
    v = Variables.of(site)
    door, limit = HighsDoor(), TimeLimit(30)
    program = assemble(site, v, ALL, money(site, v))
    cheapest = least_money(site, v, program, door, limit, start=head_start(site, v))
    plan = PlanInForce.of(site, v)
    wished = prefer(site, v, cheapest, plan, HighsDoor() if plan else door, time_limit_s=30)
    return site, v, cheapest.program, cheapest.x, wished


@st.composite
def planned_problems(draw: st.DrawFn, *, rich: bool = False) -> Problem:
    """Small sites in which some EVSEs have a plan in force, deliverable or not."""
    problem = draw(rich_problems() if rich else problems())
    power_kw = st.sampled_from((0.0, 0.0, 2.0, 4.14, 7.36, 11.04, 22.0))
    slots = problem.horizon.slots
    series = st.none() | st.lists(power_kw, min_size=slots, max_size=slots).map(tuple)
    return replace(problem, evses=tuple(replace(evse, planned_kw=draw(series)) for evse in problem.evses))


@given(problems() | planned_problems() | planned_problems(rich=True))
def test_preference_costs_no_more_than_its_budget_and_leaves_nobody_with_less(problem: Problem) -> None:
    site, v, program, x, wished = preferred(problem)
    allowed = budget(site, v, x) if wished.keeps else 0.0
    spent = float(program.cost @ x)

    assert float(program.cost @ wished.x) <= spent + allowed + 10 * cost_noise(spent)
    assert (wished.x[missed(site, v)] <= x[missed(site, v)] + 1e-6).all()


@given(problems())
def test_beginning_with_preference_does_not_move_the_cheapest_cost(problem: Problem) -> None:
    site = Site.of(problem)
    v = Variables.of(site)
    program = assemble(site, v, ALL, money(site, v))

    begun = least_money(site, v, program, HighsDoor(), TimeLimit(30), start=head_start(site, v))
    plain = least_money(site, v, program, HighsDoor(), TimeLimit(30))

    gross = 1.0 + abs(plain.bound)
    assert begun.bound == pytest.approx(plain.bound, abs=1e-4 * gross)  # directions may be searched to a tolerance
    assert begun.x[v.unmet].sum() == pytest.approx(plain.x[v.unmet].sum(), abs=1e-3)


@given(problems())
def test_what_is_taken_for_preferred_without_a_second_solve_is(problem: Problem) -> None:
    site = Site.of(problem)
    v = Variables.of(site)
    program = assemble(site, v, ALL, money(site, v))
    limit = TimeLimit(30)

    cheapest = least_money(site, v, program, HighsDoor(), limit, start=head_start(site, v))
    assume(cheapest.preferred is not None)
    assert cheapest.preferred is not None
    proven = prefer(site, v, replace(cheapest, preferred=None), None, HighsDoor(), time_limit_s=30).x

    waited = preference(site, v)
    assert float(waited @ cheapest.preferred) <= float(waited @ proven) * (1 + 1e-3) + 1e-3


def test_of_two_behind_one_fuse_each_charges_in_one_block() -> None:
    circuit = Circuit("garage", max_current_a=16)
    evses = [an_evse(f"evse-{one}", circuit_id="garage") for one in range(4)]
    sessions = [
        a_session(f"tx-{one}", evse_id=f"evse-{one}", hours=6 - one / 4, required_energy_kwh=8.28) for one in range(4)
    ]
    problem = a_problem(prices=0.2, slots=24, slot_minutes=15, circuits=[circuit], evses=evses, sessions=sessions)

    schedule = solve(problem)

    assert blocks(schedule) == 4
    first = [next(slot for slot, kw in enumerate(schedule.power_kw[f"evse-{one}"]) if kw > 0) for one in range(4)]
    assert first == [9, 6, 3, 0]  # who leaves first goes first


@pytest.mark.parametrize("seed", range(3))
def test_planning_again_with_the_same_inputs_changes_next_to_nothing(seed: int) -> None:
    problem = a_garage(seed)
    before = solve(problem)

    again = optimise(in_force(problem, before), baselines=False)

    assert again.status != "fallback"
    assert changed(before, again) <= 2  # a step that rounding gives back may find another place
    assert again.unmet_kwh <= before.unmet_kwh + 0.01


@pytest.mark.parametrize("seed", range(3))
def test_a_little_noise_on_prices_leaves_most_limits_as_they_are(seed: int) -> None:
    problem = a_garage(seed)
    before = solve(problem)
    noise = 1 + np.random.default_rng(seed).normal(0, 0.002, problem.horizon.slots)
    prices = tuple((np.array(problem.import_price_per_kwh) * noise).tolist())
    noisy = replace(problem, import_price_per_kwh=prices)

    anew, kept = solve(noisy), solve(in_force(noisy, before))

    charging = sum(power_kw > 0 for series in before.power_kw.values() for power_kw in series)
    assert changed(before, kept) <= 0.05 * charging
    assert changed(before, kept) <= changed(before, anew)
    gross = sum(result.planned_energy_kwh for result in kept.sessions.values()) * max(prices)
    assert kept.cost.minimised <= anew.cost.minimised + max(0.001 * gross, 0.01) + 0.003 * gross  # and rounding


def test_a_plan_in_force_that_has_become_dear_is_given_up() -> None:
    problem = a_garage()
    before = solve(problem)
    other = replace(problem, import_price_per_kwh=tuple(reversed(problem.import_price_per_kwh)))

    anew, kept = solve(other), solve(in_force(other, before))

    assert kept.cost.minimised <= anew.cost.minimised * 1.005
    assert kept.unmet_kwh <= anew.unmet_kwh + 0.05


def test_without_a_budget_the_plan_in_force_decides_among_equal_prices_alone() -> None:
    session = a_session(hours=4)
    evse = replace(an_evse(), planned_kw=(0.0, 0.0, 11.04, 0.0))
    prices = [0.2, 0.2, 0.2, 0.2]
    settings = Settings(preference_budget=0)

    same = solve(a_problem(prices=prices, evses=[evse], sessions=[session], settings=settings))
    cheaper = solve(a_problem(prices=[0.1999, *prices[1:]], evses=[evse], sessions=[session], settings=settings))

    assert same.power_kw["evse-1"] == pytest.approx([0, 0, 11.04, 0])
    assert cheaper.power_kw["evse-1"] == pytest.approx([11.04, 0, 0, 0])


def test_a_power_between_its_bounds_is_kept_as_well() -> None:
    evse = replace(an_evse(), planned_kw=(0.0, 5.52, 5.52, 0.0))

    schedule = solve(a_problem(prices=0.2, slots=4, evses=[evse], sessions=[a_session(hours=4)]))

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 5.52, 5.52, 0])


def test_more_need_goes_on_top_of_the_plan_in_force() -> None:
    evse = replace(an_evse(), planned_kw=(0.0, 11.04, 5.52, 0.0))

    schedule = solve(
        a_problem(prices=0.2, slots=4, evses=[evse], sessions=[a_session(hours=4, required_energy_kwh=18.63)])
    )

    assert schedule.power_kw["evse-1"][1] == pytest.approx(11.04)
    assert schedule.power_kw["evse-1"][2] >= 5.52
    assert sum(schedule.power_kw["evse-1"]) == pytest.approx(18.63, abs=0.07)


def test_a_plan_in_force_that_no_charger_can_follow_does_no_harm() -> None:
    evse = replace(an_evse(), planned_kw=(1.0, 500.0, -3.0, 0.0))
    problem = a_problem(prices=0.2, slots=4, evses=[evse], sessions=[a_session(hours=4)])

    schedule = optimise(problem)

    assert schedule.status == "optimal"
    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04, 0, 0])


def test_a_plan_in_force_that_breaks_a_fuse_is_not_kept() -> None:
    circuit = Circuit("garage", max_current_a=16)
    evses = [replace(an_evse(f"evse-{one}", circuit_id="garage"), planned_kw=(11.04, 0.0, 0.0)) for one in range(2)]
    sessions = [a_session(f"tx-{one}", evse_id=f"evse-{one}") for one in range(2)]
    problem = a_problem(prices=0.2, slots=3, circuits=[circuit], evses=evses, sessions=sessions)

    schedule = solve(problem)

    assert violations(problem, schedule).caused == ()
    assert schedule.unmet_kwh == pytest.approx(0, abs=1e-6)


def test_the_slots_before_now_of_a_plan_in_force_do_not_count() -> None:
    evse = replace(an_evse(), planned_kw=(11.04, 0.0, 0.0, 11.04))
    problem = a_problem(
        prices=0.2,
        slots=4,
        now=START + timedelta(hours=1),
        evses=[evse],
        sessions=[a_session(hours=4)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 0, 0, 11.04])


def test_a_battery_spreads_what_it_takes_at_one_price() -> None:
    problem = a_problem(
        prices=[0.2] * 4 + [0.5] * 2,
        base_load_kw=[2, 2, 2, 2, 6, 6],
        batteries=[a_battery(energy_kwh=2, capacity_kwh=10, final_energy_kwh=2)],
    )

    schedule = optimise(problem)

    ramps_kw = float(np.abs(np.diff(schedule.import_kw)).sum())
    assert schedule.status == "optimal"
    assert schedule.cost.total == pytest.approx(0.2 * 16 + 0.5 * 4 - 0, abs=1e-6)
    assert schedule.import_kw[:4] == pytest.approx([4, 4, 4, 4], abs=1e-3)
    assert ramps_kw == pytest.approx(2, abs=1e-2)


def test_smoothness_costs_nothing() -> None:
    problem = a_problem(
        prices=[0.2, 0.21, 0.2, 0.22, 0.5, 0.5],
        base_load_kw=[1, 3, 2, 4, 6, 6],
        batteries=[a_battery(energy_kwh=2, capacity_kwh=10, final_energy_kwh=2, wear_price_per_kwh=0.01)],
        sessions=[a_session(hours=4)],
        demand_charges=[DemandCharge("month", 1.0, interval_minutes=60, expected_peak_kw=20)],
    )

    schedule = optimise(problem)

    assert schedule.status == "optimal"
    assert schedule.gap == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("planned_kw", "field", "says"),
    [((1.0, 2.0), "evses[evse-1].planned_kw", "has 2 values"), ((1.0, float("nan"), 0.0), "planned_kw[1]", "nan")],
)
def test_a_plan_in_force_is_checked_on_the_way_in(planned_kw: tuple[float, ...], field: str, says: str) -> None:
    with pytest.raises(InvalidProblemError) as refused:
        a_problem(slots=3, prices=0.2, evses=[replace(an_evse(), planned_kw=planned_kw)])

    assert field in refused.value.field
    assert says in str(refused.value)


def test_a_plan_in_force_beyond_any_site_is_refused_by_name() -> None:
    problem = a_problem(slots=2, prices=0.2, evses=[replace(an_evse(), planned_kw=(0.0, 1e9))])

    with pytest.raises(InvalidProblemError) as refused:
        optimise(problem)

    assert refused.value.field == "evses[evse-1].planned_kw[1]"
