"""The problem as arrays: who has a column when, what fuses and meters leave, how a program reaches a solver."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from optimizer.constraints import ALL
from optimizer.domain import Circuit, Connection, DemandCharge, Evse, Problem, Reservation
from optimizer.doors import HighsDoor, door
from optimizer.errors import SolverError
from optimizer.intervals import Intervals, intervals_of
from optimizer.members import Members
from optimizer.objectives import money
from optimizer.presence import Charge, Grid, charge_of, needs_of
from optimizer.program import Program, Site, Variables, assemble
from tests.optimizer.builders import START, a_battery, a_problem, a_session, an_evse


def charge_columns(problem: Problem) -> Charge:
    return charge_of(problem, Grid.of(problem.horizon))


def a_program(problem: Problem) -> Program:
    site = Site.of(problem)
    variables = Variables.of(site)
    cost = money(site, variables)
    cost[variables.unmet] = 100.0
    return assemble(site, variables, ALL, cost)


def test_a_session_has_a_column_in_every_slot_of_its_stay_and_nowhere_else() -> None:
    charge = charge_columns(a_problem(prices=0.1, slots=6, sessions=[a_session(after_hours=1.5, hours=2.75)]))

    assert charge.slot.tolist() == [1, 2, 3, 4]
    assert charge.overlap_h == pytest.approx([0.5, 1, 1, 0.25])
    assert charge.present == pytest.approx([0.5, 1, 1, 0.25])


def test_a_stay_from_slot_edge_to_slot_edge_has_whole_slots() -> None:
    charge = charge_columns(a_problem(prices=0.1, slots=6, sessions=[a_session(after_hours=2, hours=2)]))

    assert (charge.slot.tolist(), charge.overlap_h.tolist()) == ([2, 3], [1, 1])


def test_a_stay_that_began_before_and_ends_after_the_horizon_is_cut_to_it() -> None:
    charge = charge_columns(a_problem(prices=0.1, slots=2, sessions=[a_session(after_hours=-5, hours=30)]))

    assert charge.slot.tolist() == [0, 1]


def test_the_running_slot_is_as_long_as_what_is_left_of_it() -> None:
    problem = a_problem(prices=0.1, slots=3, now=START + timedelta(minutes=75), sessions=[a_session(hours=3)])

    grid, charge = Grid.of(problem.horizon), charge_columns(problem)

    assert (grid.first, grid.hours.tolist()) == (1, [0.75, 1])
    assert charge.overlap_h.tolist() == [0.75, 1]
    assert charge.present.tolist() == [1, 1]


def test_two_stays_in_one_slot_share_one_column_with_the_limits_of_both() -> None:
    problem = a_problem(
        prices=0.1,
        slots=1,
        evses=[an_evse()],
        sessions=[
            a_session("one", hours=0.5, vehicle_phases=1, min_current_a=8),
            a_session("three", after_hours=0.5, hours=0.5, vehicle_phases=3, max_power_kw=3),
        ],
    )

    charge = charge_columns(problem)

    assert charge.columns == 1
    assert charge.session.tolist() == [0, 1]
    assert charge.kw_per_a == pytest.approx([0.23])  # energy counts the fewer phases
    assert charge.amps_per_kw[0] == pytest.approx([1 / 0.23] * 3)  # safety counts the more
    assert charge.min_kw == pytest.approx([8 * 0.23])
    assert charge.max_kw == pytest.approx([13.0 * 0.23])


def test_the_largest_current_is_not_lost_to_floating_point() -> None:
    charge = charge_columns(a_problem(prices=0.1, slots=1, evses=[an_evse(max_current_a=32)], sessions=[a_session()]))

    assert (charge.min_steps.tolist(), charge.max_steps.tolist()) == ([60], [320])


def test_a_vehicle_that_cannot_take_the_minimum_current_has_no_column() -> None:
    problem = a_problem(prices=0.1, slots=2, sessions=[a_session(hours=2, max_power_kw=4)])

    assert charge_columns(problem).columns == 0


def test_a_dc_evse_draws_evenly_from_its_phases() -> None:
    evse = Evse("dc", "connection", phases=("L1", "L3"), max_power_kw=46)
    charge = charge_columns(a_problem(prices=0.1, slots=1, evses=[evse], sessions=[a_session(evse_id="dc")]))

    assert charge.amps_per_kw[0] == pytest.approx([1 / 0.46, 0, 1 / 0.46])
    assert charge.min_steps.tolist() == [0]


def test_sessions_are_served_by_priority_and_plugged_in_before_expected() -> None:
    problem = a_problem(
        evses=[an_evse(name) for name in "abc"],
        sessions=[
            a_session("second", evse_id="a", priority=2),
            a_session("expected", evse_id="b", after_hours=1),
            a_session("plugged", evse_id="c"),
        ],
    )

    assert needs_of(problem).service_class.tolist() == [2, 1, 0]


def test_a_circuit_carries_the_base_load_and_reservations_of_all_below() -> None:
    problem = a_problem(
        prices=0.1,
        slots=1,
        connection=Connection(max_current_a=100),
        circuits=[
            Circuit("garage", max_current_a=63, base_load_a=(1, 0, 0)),
            Circuit("row", parent="garage", max_current_a=32, base_load_a=(0, 2, 0)),
        ],
        evses=[an_evse(circuit_id="row")],
        reservations=[Reservation((0, 0, 6), evse_id="evse-1")],
        base_load_kw=6.9,
        base_load_phase_share=(0.5, 0.5, 0),
    )

    draw_a = Site.of(problem).headroom.draw_a[:, :, 0]

    assert draw_a[0] == pytest.approx([100 - 15, 100 - 15, 100 - 6])
    assert draw_a[1] == pytest.approx([62, 61, 57])
    assert draw_a[2] == pytest.approx([32, 30, 26])


def test_members_hang_below_every_node_above_their_owner() -> None:
    holds = np.array([[True, True], [False, True]])

    members = Members.of(holds, owner=np.array([1, 0, 1]), slot=np.array([5, 6, 7]))

    assert members.node.tolist() == [0, 0, 0, 1, 1]
    assert members.member.tolist() == [1, 0, 2, 0, 2]
    assert members.slot.tolist() == [6, 5, 7, 5, 7]
    assert members.below(np.array([False, True])).member.tolist() == [0, 2]


def intervals(*, zone: str, minutes: int, slots: int, slot_minutes: int, start: datetime = START) -> Intervals:
    charge = DemandCharge("month", price_per_kw=1, interval_minutes=minutes)
    problem = a_problem(prices=0.1, slots=slots, slot_minutes=slot_minutes, start=start, time_zone=zone)
    return intervals_of(problem, charge, Grid.of(problem.horizon))


def test_an_hour_begins_at_half_past_in_a_zone_of_five_and_a_half() -> None:
    found = intervals(zone="Asia/Kolkata", minutes=60, slots=8, slot_minutes=15)

    assert found.interval.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    assert found.length_h.tolist() == [1, 1, 0.5]  # the first began before the horizon, the last is not all in it


def test_the_hour_that_a_clock_change_repeats_is_metered_twice() -> None:
    start = datetime(2026, 10, 24, 22, tzinfo=UTC)  # midnight in Berlin; the day has 25 hours

    found = intervals(zone="Europe/Berlin", minutes=60, slots=25, slot_minutes=60, start=start)

    assert found.interval.tolist() == list(range(25))
    assert set(found.length_h.tolist()) == {1}


def test_a_slot_across_an_interval_boundary_counts_on_both_sides() -> None:
    found = intervals(zone="UTC", minutes=15, slots=3, slot_minutes=10)

    pieces = sorted(zip(found.interval.tolist(), found.slot.tolist(), found.hours.tolist(), strict=True))
    assert [(interval, slot) for interval, slot, _ in pieces] == [(0, 0), (0, 1), (1, 1), (1, 2)]
    assert [hours for *_, hours in pieces] == pytest.approx([10 / 60, 5 / 60, 5 / 60, 10 / 60])
    assert found.peak_kw(np.array([3.0, 6.0, 3.0])) == pytest.approx(4)


def test_an_interval_counts_when_any_of_its_slots_does() -> None:
    charge = DemandCharge("evening", price_per_kw=1, interval_minutes=30, active=(False, True, False, False))
    problem = a_problem(prices=0.1, slots=4, slot_minutes=15)

    assert intervals_of(problem, replace(charge), Grid.of(problem.horizon)).slot.tolist() == [0, 1]


def test_rows_that_no_choice_can_break_are_left_out() -> None:
    roomy = a_problem(connection=Connection(max_current_a=100), sessions=[a_session()])
    tight = a_problem(connection=Connection(max_current_a=10), sessions=[a_session()])

    rows = {name: a_program(problem).rows("circuit_current") for name, problem in (("r", roomy), ("t", tight))}

    assert (rows["r"].stop - rows["r"].start, rows["t"].stop - rows["t"].start) == (0, 9)  # three phases, three slots


def test_a_warm_start_finds_what_a_cold_one_finds() -> None:
    program = a_program(a_problem(sessions=[a_session(required_energy_kwh=16)], batteries=[a_battery()]))
    dearer = replace(program, cost=program.cost * np.linspace(1, 2, program.cost.size))
    warm = HighsDoor()
    warm.solve(program, time_limit_s=10)

    assert warm.solve(dearer, time_limit_s=10).objective == pytest.approx(
        HighsDoor().solve(dearer, time_limit_s=10).objective
    )


@pytest.mark.parametrize("name", ["cost", "lower", "upper", "row_lower", "row_upper"])
def test_no_number_is_refused_before_a_solver_sees_it(name: str) -> None:
    program = a_program(a_problem(sessions=[a_session()]))
    values = getattr(program, name).copy()
    values[0] = np.nan

    with pytest.raises(SolverError, match=f"{name} holds a NaN"):
        door("highs").solve(replace(program, **{name: values}), time_limit_s=10)


@pytest.mark.parametrize("solver", ["highs", "pulp:HiGHS"])
def test_a_program_without_a_solution_raises(solver: str) -> None:
    program = a_program(a_problem(sessions=[a_session()]))
    row_lower, row_upper = program.row_lower.copy(), program.row_upper.copy()
    balance = program.rows("power_balance")
    row_lower[balance] = row_upper[balance] = 1e6

    with pytest.raises(SolverError):
        door(solver).solve(replace(program, row_lower=row_lower, row_upper=row_upper), time_limit_s=10)


def test_bounds_that_cross_are_refused() -> None:
    program = a_program(a_problem(sessions=[a_session()]))

    with pytest.raises(SolverError, match="lower bound lies above"):
        door("highs").solve(replace(program, lower=program.upper + 1), time_limit_s=10)
