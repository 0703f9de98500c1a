"""What the simple policies do, and that equal share breaks no rule on any site."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.baseline import (
    as_planned,
    earliest_deadline_first,
    equal_share,
    least_laxity_first,
    nothing_charges,
    summary,
    uncontrolled,
)
from optimizer.check import violations
from optimizer.domain import Circuit, Connection, DemandCharge, Evse, Problem, Schedule, Taper
from optimizer.errors import InvalidProblemError
from optimizer.foresight import hindsight, perfect_foresight
from optimizer.presence import seconds
from optimizer.program import Site
from optimizer.share import slots_of
from tests.optimizer.builders import START, a_battery, a_problem, a_session, an_evse, problems, rich_problems

DRAWING = {"connection_import", "connection_current", "circuit_power", "circuit_current", "shared_power"}


@st.composite
def full_sites(draw: st.DrawFn) -> Problem:
    """Sites with everything, and vehicles that taper."""
    problem = draw(problems() | rich_problems())
    efficiency = {evse.evse_id: evse.efficiency for evse in problem.evses}
    sessions = []
    for session in problem.sessions:
        room_kwh = session.required_energy_kwh * efficiency[session.evse_id]
        taper = Taper(draw(st.sampled_from((0.2, 0.6))), draw(st.sampled_from((0.9, 1.0))))
        vehicle = replace(session, soc=0.4, capacity_kwh=room_kwh / 0.6 + 1, taper=taper)
        sessions.append(vehicle if draw(st.booleans()) else session)
    return replace(problem, sessions=tuple(sessions))


def one_stay_a_slot(problem: Problem) -> Problem:
    """Without the stays that begin in a slot in which another one at their EVSE ends: both have one power there."""
    charge = Site.of(problem).charge
    arrival_s = np.array([seconds(session.arrival, problem.horizon) for session in problem.sessions])
    order = np.lexsort((arrival_s[charge.session], charge.column))
    again = np.diff(charge.column[order]) == 0
    later = set(charge.session[order[1:][again]].tolist())
    return replace(problem, sessions=tuple(one for number, one in enumerate(problem.sessions) if number not in later))


def a_row_of(vehicles: int, *, max_current_a: float, required_energy_kwh: float = 22.08, **more: object) -> Problem:
    """`vehicles` three-phase vehicles of 16 A behind one fuse, all there for the whole horizon of four hours."""
    numbers = range(1, vehicles + 1)
    return a_problem(
        prices=[0.3] * 4,
        circuits=[Circuit("row", max_current_a=max_current_a)],
        evses=[an_evse(f"evse-{number}", circuit_id="row") for number in numbers],
        sessions=[
            a_session(f"tx-{number}", evse_id=f"evse-{number}", hours=4, required_energy_kwh=required_energy_kwh)
            for number in numbers
        ],
        **more,  # type: ignore[arg-type]  # names of a_problem
    )


def test_uncontrolled_charges_at_full_power_until_the_vehicle_is_full() -> None:
    problem = a_problem(
        prices=[0.1, 0.2, 0.3], sessions=[a_session(after_hours=0.5, hours=2, required_energy_kwh=11.04)]
    )

    schedule = uncontrolled(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx(
        (11.04, 5.52, 0)
    )  # half an hour, then the mean of what is missing
    assert schedule.import_kw == pytest.approx((5.52, 5.52, 0))
    assert schedule.cost.total == pytest.approx(5.52 * 0.1 + 5.52 * 0.2)
    assert schedule.cost.ev == pytest.approx(schedule.cost.total)
    assert schedule.unmet_kwh == 0
    assert schedule.violations == ()


def test_uncontrolled_ignores_a_fuse_and_says_what_it_breaks() -> None:
    schedule = uncontrolled(a_row_of(3, max_current_a=32))

    assert schedule.current_a["evse-3"] == pytest.approx((16, 16, 0, 0))
    assert [(v.rule, v.where, v.slot, v.phase) for v in schedule.violations] == [
        ("circuit_current", "row", slot, phase) for slot in (0, 1) for phase in ("L1", "L2", "L3")
    ]
    assert [v.excess for v in schedule.violations] == pytest.approx([16] * 6)


def test_equal_share_gives_everybody_the_same_current() -> None:
    problem = a_row_of(3, max_current_a=32, required_energy_kwh=100)

    schedule = equal_share(problem)

    for evse_id in ("evse-1", "evse-2", "evse-3"):
        assert schedule.current_a[evse_id] == pytest.approx((10.6, 10.6, 10.6, 10.6))
    assert violations(problem, schedule).all == ()


def test_what_one_vehicle_cannot_take_goes_to_the_others() -> None:
    problem = a_row_of(3, max_current_a=36, required_energy_kwh=100)
    slow = replace(problem.sessions[0], max_power_kw=5.52)  # 8 A

    schedule = equal_share(replace(problem, sessions=(slow, *problem.sessions[1:])))

    assert [schedule.current_a[f"evse-{number}"][0] for number in (1, 2, 3)] == pytest.approx([8, 14, 14])  # type: ignore[index]  # AC


def test_a_full_phase_stops_only_those_who_load_it() -> None:
    problem = a_problem(
        prices=[0.3],
        circuits=[Circuit("row", max_current_a=20)],
        evses=[
            an_evse("evse-1", circuit_id="row"),
            an_evse("evse-2", circuit_id="row"),
            an_evse("evse-3", circuit_id="row", phases=("L2", "L3", "L1")),
        ],
        sessions=[
            a_session(f"tx-{n}", evse_id=f"evse-{n}", hours=1, required_energy_kwh=9, vehicle_phases=1)
            for n in (1, 2, 3)
        ],
    )

    schedule = equal_share(problem)

    assert {evse_id: amps and amps[0] for evse_id, amps in schedule.current_a.items()} == pytest.approx(
        {"evse-1": 10, "evse-2": 10, "evse-3": 16}
    )


def test_who_had_less_goes_first_where_the_minimum_does_not_fit_for_all() -> None:
    problem = a_row_of(3, max_current_a=12, required_energy_kwh=100)

    schedule = equal_share(problem)

    turns = [[evse_id for evse_id, power_kw in schedule.power_kw.items() if power_kw[slot] > 0] for slot in range(3)]
    assert turns == [["evse-1", "evse-2"], ["evse-1", "evse-3"], ["evse-2", "evse-3"]]
    assert violations(problem, schedule).all == ()


def test_leaves_enough_for_the_minimum_current_of_the_last_slot() -> None:
    problem = a_problem(prices=[0.3, 0.3], sessions=[a_session(hours=2, required_energy_kwh=12.0)])

    schedule = equal_share(problem)

    assert schedule.current_a["evse-1"] == pytest.approx((11.3, 6.1))  # not 16 A and then less than 6 A
    assert schedule.unmet_kwh == 0


def test_knows_the_reserve_of_the_base_load_and_curtails_what_may_not_be_exported() -> None:
    problem = a_problem(
        prices=[0.3, 0.3],
        connection=Connection(max_import_kw=20, max_export_kw=3),
        base_load_kw=[10, 2],
        base_load_high_kw=[14, 2],
        pv_kw=[0, 9],
        pv_curtailable=True,
        sessions=[a_session(hours=1, required_energy_kwh=11)],
    )

    schedule = equal_share(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx((8.6 * 0.69, 0))  # 20 less 14 kW is 8.69 A
    assert schedule.curtail_kw == pytest.approx((0, 4))
    assert schedule.export_kw == pytest.approx((0, 3))
    assert violations(problem, schedule).all == ()


def test_a_base_load_above_the_fuse_stops_charging_and_is_named_as_unavoidable() -> None:
    problem = a_problem(
        prices=[0.3, 0.3],
        connection=Connection(max_import_kw=10),
        base_load_kw=[12, 2],
        sessions=[a_session(hours=2)],
    )

    schedule = equal_share(problem)

    assert schedule.power_kw["evse-1"][0] == 0
    assert schedule.power_kw["evse-1"][1] > 7
    assert [(v.rule, v.slot, v.unavoidable) for v in schedule.violations] == [("connection_import", 0, True)]
    assert any("overloaded without any vehicle" in warning for warning in schedule.warnings)


def test_batteries_do_nothing() -> None:
    problem = a_problem(prices=[0.1, 0.9], base_load_kw=3, batteries=[a_battery()])

    battery = equal_share(problem).batteries["battery-1"]

    assert battery.power_kw == pytest.approx((0, 0))
    assert battery.energy_kwh == pytest.approx((5, 5))


@pytest.mark.parametrize("policy", [uncontrolled, equal_share, earliest_deadline_first], ids=lambda one: one.__name__)
def test_a_nearly_full_vehicle_takes_less(policy: Callable[[Problem], Schedule]) -> None:
    tapering = a_session(
        evse_id="dc", hours=2, required_energy_kwh=20, max_power_kw=20, soc=0.5, capacity_kwh=40, taper=Taper(0.6, 1.0)
    )
    problem = a_problem(prices=[0.3] * 2, evses=[Evse("dc", "connection", max_power_kw=50)], sessions=[tapering])

    schedule = policy(problem)

    # p = 20 · (0.5 - p / 40) / 0.4 gives 11.111 kW; then p = 20 · (0.2222 - p / 40) / 0.4 gives 4.938 kW.
    assert schedule.power_kw["dc"] == pytest.approx((11.111, 4.938), abs=1e-3)
    assert violations(problem, schedule).all == ()


def test_a_vehicle_is_filled_up_to_its_need_even_if_it_may_take_more() -> None:
    problem = a_problem(prices=[0.3] * 3, sessions=[a_session(required_energy_kwh=11.04, max_energy_kwh=30)])

    assert uncontrolled(problem).power_kw["evse-1"] == pytest.approx((11.04, 0, 0))
    assert equal_share(problem).power_kw["evse-1"] == pytest.approx((11.04, 0, 0))


def test_nothing_happens_before_now() -> None:
    problem = a_problem(prices=[0.1] * 3, now=START + timedelta(minutes=90), base_load_kw=1, sessions=[a_session()])

    schedule = uncontrolled(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx((0, 11.04, 5.52))
    assert schedule.import_kw == pytest.approx((1, 12.04, 6.52))
    assert schedule.cost.energy == pytest.approx((12.04 * 0.5 + 6.52) * 0.1)


def two_in_a_row(*, hours: tuple[float, float], required_energy_kwh: tuple[float, float]) -> Problem:
    """Two vehicles of 16 A behind a fuse of 16 A; they leave after so many hours."""
    return a_problem(
        prices=[0.3] * 4,
        circuits=[Circuit("row", max_current_a=16)],
        evses=[an_evse("evse-1", circuit_id="row"), an_evse("evse-2", circuit_id="row")],
        sessions=[
            a_session("tx-1", evse_id="evse-1", hours=hours[0], required_energy_kwh=required_energy_kwh[0]),
            a_session("tx-2", evse_id="evse-2", hours=hours[1], required_energy_kwh=required_energy_kwh[1]),
        ],
    )


def test_earliest_deadline_first_serves_who_leaves_first() -> None:
    problem = two_in_a_row(hours=(4, 2), required_energy_kwh=(22.08, 11.04))

    schedule = earliest_deadline_first(problem)

    assert schedule.current_a["evse-1"] == pytest.approx((0, 16, 16, 0))
    assert schedule.current_a["evse-2"] == pytest.approx((16, 0, 0, 0))
    assert schedule.unmet_kwh == pytest.approx(0)


def test_least_laxity_first_serves_who_can_wait_least() -> None:
    problem = two_in_a_row(hours=(4, 3), required_energy_kwh=(33.12, 11.04))  # laxity 1 h and 2 h

    schedule = least_laxity_first(problem)

    # At two o'clock the laxities are 1 h and 0 h.
    assert schedule.current_a["evse-1"] == pytest.approx((16, 16, 0, 16))
    assert schedule.current_a["evse-2"] == pytest.approx((0, 0, 16, 0))
    assert schedule.unmet_kwh == pytest.approx(0)


def test_what_is_left_behind_the_first_goes_to_the_next_if_it_is_no_less_than_the_minimum() -> None:
    problem = two_in_a_row(hours=(1, 2), required_energy_kwh=(6.9, 11.04))

    schedule = earliest_deadline_first(problem)

    assert schedule.current_a["evse-1"] == pytest.approx((10, 0, 0, 0))
    assert schedule.current_a["evse-2"] == pytest.approx((6, 10, 0, 0))


def test_turns_know_the_phases() -> None:
    problem = a_problem(
        prices=[0.3],
        circuits=[Circuit("row", max_current_a=16)],
        evses=[
            an_evse("evse-1", circuit_id="row"),
            an_evse("evse-2", circuit_id="row"),
            an_evse("evse-3", circuit_id="row", phases=("L2", "L3", "L1")),
        ],
        sessions=[
            a_session(f"tx-{n}", evse_id=f"evse-{n}", hours=1, required_energy_kwh=3.68, vehicle_phases=1)
            for n in (1, 2, 3)
        ],
    )

    schedule = earliest_deadline_first(problem)

    assert {evse_id: amps and amps[0] for evse_id, amps in schedule.current_a.items()} == pytest.approx(
        {"evse-1": 16, "evse-2": 0, "evse-3": 16}
    )


def test_perfect_foresight_plans_what_really_happened() -> None:
    expected = a_problem(
        prices=[0.10, 0.20, 0.40],
        connection=Connection(max_import_kw=15),
        base_load_kw=3,
        base_load_high_kw=9,
        sessions=[a_session(hours=3, required_energy_kwh=11.04)],
    )
    really_stayed = a_session(hours=2, required_energy_kwh=16.56)

    happened = hindsight(expected, base_load_kw=(3.96, 0, 0), pv_kw=(0, 0, 4), sessions=[really_stayed])
    schedule = perfect_foresight(happened)

    assert schedule.power_kw["evse-1"] == pytest.approx((11.04, 5.52, 0))  # 15 less 3.96 kW, to the hair
    assert schedule.cost.total == pytest.approx(15 * 0.10 + 5.52 * 0.20)
    assert schedule.unmet_kwh == 0
    assert schedule.baselines == {}


def test_a_replay_begins_where_nothing_was_chosen_yet() -> None:
    problem = a_problem(prices=[0.1] * 2, now=START + timedelta(minutes=30))

    with pytest.raises(InvalidProblemError, match=r"now 2026-03-02T00:30:00\+00:00 is not the start"):
        hindsight(problem, base_load_kw=(0, 0), pv_kw=(0, 0), sessions=[])


def test_summary_says_what_the_policy_costs() -> None:
    problem = a_row_of(
        2,
        max_current_a=16,
        required_energy_kwh=44,
        demand_charges=[DemandCharge("month", 3.0, interval_minutes=60, peak_so_far_kw=2)],
    )

    free, shared = (summary(problem, policy(problem)) for policy in (uncontrolled, equal_share))

    assert free.peak_kw == pytest.approx(22.08)
    assert shared.peak_kw == pytest.approx(11.04)
    assert free.cost.demand == pytest.approx(3 * (22.08 - 2))
    assert free.violations
    assert not shared.violations
    assert free.unmet_kwh == pytest.approx(0)
    assert shared.unmet_kwh == pytest.approx(2 * 44 - 4 * 11.04)


def test_summary_refuses_the_schedule_of_another_horizon() -> None:
    schedule = uncontrolled(a_problem(prices=[0.1]))

    with pytest.raises(InvalidProblemError, match="has 1 slots, not 2"):
        summary(a_problem(prices=[0.1, 0.2]), schedule)


def test_a_dc_vehicle_has_neither_steps_of_current_nor_a_minimum() -> None:
    problem = a_problem(
        prices=[0.3],
        connection=Connection(max_import_kw=2.0),
        evses=[Evse("dc", "connection", max_power_kw=50)],
        sessions=[a_session(evse_id="dc", hours=1, required_energy_kwh=20)],
    )

    schedule = equal_share(problem)

    assert schedule.power_kw["dc"] == pytest.approx((2.0,))
    assert schedule.current_a["dc"] is None


@given(full_sites())
@settings(deadline=None)  # shared cores
def test_equal_share_breaks_no_rule_on_any_site(problem: Problem) -> None:
    assert violations(problem, equal_share(problem)).caused == ()


@pytest.mark.parametrize("policy", [earliest_deadline_first, least_laxity_first], ids=lambda policy: policy.__name__)
@given(problem=full_sites())
@settings(deadline=None, max_examples=60)  # shared cores
def test_turns_break_no_rule_on_any_site(policy: Callable[[Problem], Schedule], problem: Problem) -> None:
    schedule = policy(problem)

    assert violations(problem, schedule).caused == ()


@pytest.mark.parametrize(
    "policy", [equal_share, earliest_deadline_first, least_laxity_first], ids=lambda one: one.__name__
)
@given(problem=full_sites())
@settings(deadline=None, max_examples=60)  # shared cores
def test_nobody_leaves_less_unmet_than_full_power_on_arrival(
    policy: Callable[[Problem], Schedule], problem: Problem
) -> None:
    problem = one_stay_a_slot(problem)

    assert uncontrolled(problem).unmet_kwh <= policy(problem).unmet_kwh + 1e-6


@given(problems())
@settings(deadline=None, max_examples=30)  # shared cores
def test_nobody_serves_better_or_cheaper_than_perfect_foresight(problem: Problem) -> None:
    problem = replace(problem, horizon=replace(problem.horizon, now=None), batteries=())
    happened = hindsight(problem, base_load_kw=problem.base_load_kw, pv_kw=problem.pv_kw, sessions=problem.sessions)

    best = perfect_foresight(happened)

    for policy in (equal_share, earliest_deadline_first, least_laxity_first):
        other = policy(happened)
        if best.unmet_kwh == other.unmet_kwh == 0 and best.gap is not None:
            charged_kwh = sum(result.planned_energy_kwh for result in best.sessions.values())
            most_gross = max(map(abs, problem.import_price_per_kwh)) * charged_kwh
            assert best.cost.total <= other.cost.total + best.gap * max(most_gross, 0.01) + 0.011


@given(full_sites())
@settings(deadline=None, max_examples=50)  # shared cores
def test_without_charging_every_violation_is_unavoidable(problem: Problem) -> None:
    assert violations(problem, nothing_charges(problem)).caused == ()


def test_full_power_of_a_first_car_may_cost_the_next_one_in_the_slot_that_both_share() -> None:
    """One EVSE has one power a slot. Who is nearly full when the next one comes holds its power down for both."""
    first = a_session("first", hours=1.5, required_energy_kwh=12.0)
    second = a_session("second", after_hours=1.5, hours=0.5, required_energy_kwh=5.52)
    waits = a_session("other", evse_id="evse-2", hours=1, required_energy_kwh=11.04)
    row = [Circuit("row", max_current_a=16)]
    evses = [an_evse(circuit_id="row"), an_evse("evse-2", circuit_id="row")]
    problem = a_problem(prices=[0.3, 0.3], circuits=row, evses=evses, sessions=[first, second, waits])

    free, shared = uncontrolled(problem), equal_share(problem)

    assert free.sessions["second"].unmet_kwh > shared.sessions["second"].unmet_kwh + 1
    assert one_stay_a_slot(problem).sessions == (first, waits)


@given(full_sites())
@settings(deadline=None)  # shared cores
def test_program_and_checker_agree_on_what_is_overloaded(problem: Problem) -> None:
    schedule = uncontrolled(problem)
    seen = {v.slot for v in schedule.violations if not v.unavoidable and v.rule in DRAWING}
    site = Site.of(problem)

    for slot in slots_of(site):
        number = site.grid.first + int(site.charge.slot[slot.column[0]])
        power_kw = [
            schedule.power_kw[problem.evses[site.charge.evse[column]].evse_id][number] for column in slot.column
        ]
        excess = float((slot.load @ power_kw - slot.room).max(initial=0.0))

        assert excess < 0.01 or number in seen
        assert excess > 0 or number not in seen


def test_the_plan_in_force_goes_on_until_everybody_has_enough() -> None:
    evses = [an_evse("evse-1", planned_kw=(4.14, 0.0, 11.04)), an_evse("evse-2", planned_kw=(11.04, 11.04, 11.04))]
    sessions = [a_session("tx-1", required_energy_kwh=15.18), a_session("tx-2", evse_id="evse-2")]
    problem = a_problem(evses=evses, sessions=sessions)

    schedule = as_planned(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([4.14, 0, 11.04])
    assert schedule.power_kw["evse-2"] == pytest.approx([11.04, 0, 0])
    assert not violations(problem, schedule).all


def test_the_plan_in_force_says_what_a_limit_that_came_since_forbids() -> None:
    problem = a_problem(
        circuits=[Circuit("row", max_current_a=10)],
        evses=[an_evse(circuit_id="row", planned_kw=(11.04, 0.0, 0.0))],
        sessions=[a_session()],
    )

    assert [violation.rule for violation in violations(problem, as_planned(problem)).caused]


def test_who_came_after_the_plan_in_force_is_named() -> None:
    with pytest.raises(InvalidProblemError, match=r"evses\[evse-1\].planned_kw"):
        as_planned(a_problem(sessions=[a_session()]))
