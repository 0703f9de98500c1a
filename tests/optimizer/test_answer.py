"""What an answer says of itself: its gap, slots that are over, and a division that ran out of time."""

from datetime import timedelta

import pytest

from optimizer import solve as module
from optimizer.check import violations
from optimizer.doors import Door
from optimizer.program import Site, Variables
from optimizer.service import Shortfall, divide
from optimizer.solve import UNDIVIDED, solve
from tests.optimizer.builders import START, a_problem, a_session, an_evse
from tests.optimizer.test_service import DoorThatCloses, an_hour_of_11_kw


def test_the_gap_is_what_whole_steps_cost_in_shares_of_the_vehicles_money() -> None:
    problem = a_problem(
        prices=[0.1],
        evses=[an_evse(current_step_a=1.0, max_current_a=32)],
        sessions=[a_session(hours=1, required_energy_kwh=5, vehicle_phases=1)],
        base_load_kw=7,
    )

    schedule = solve(problem)

    assert schedule.current_a["evse-1"] == (22.0,)  # 5.06 kWh, where 5 would do
    assert schedule.gap == pytest.approx(0.06 / 5.06)  # not of the site's money, base load included
    assert schedule.status == "feasible"


def test_a_slot_that_is_over_shows_what_was_expected_without_vehicles() -> None:
    problem = a_problem(
        prices=[0.1, 0.1, 0.1],
        now=START + timedelta(hours=2),
        base_load_kw=[3, 1, 0],
        pv_kw=[0, 5, 0],
        sessions=[a_session(hours=3, required_energy_kwh=11.04)],
    )

    schedule = solve(problem)

    assert schedule.import_kw == pytest.approx((3, 0, 11.04))
    assert schedule.export_kw == pytest.approx((0, 4, 0))
    assert schedule.cost.total == pytest.approx(1.104)  # what is over costs nothing any more


def test_who_is_there_for_less_than_4_ms_is_not_there() -> None:
    blink = timedelta(milliseconds=3)
    problem = a_problem(
        prices=[0.3, 0.1],
        sessions=[a_session("tx-1", hours=1 + blink / timedelta(hours=1), required_energy_kwh=11.04)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx((11.04, 0))
    assert violations(problem, schedule).caused == ()


def test_a_plan_whose_division_ran_out_of_time_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scarce = an_hour_of_11_kw((20, 1), (10, 1), (6, 2), (3, 2))
    patient = solve(scarce)

    def in_time_for_one_solve(site: Site, v: Variables, door: Door, *, time_limit_s: float) -> Shortfall:
        return divide(site, v, DoorThatCloses(1), time_limit_s=time_limit_s)

    monkeypatch.setattr(module, "divide", in_time_for_one_solve)
    hurried = solve(scarce)

    assert UNDIVIDED not in patient.warnings
    assert UNDIVIDED in hurried.warnings
    assert violations(scarce, hurried).caused == ()
    assert hurried.unmet_kwh == pytest.approx(patient.unmet_kwh, abs=0.05)
