"""Solve, check, fall back: with stand-ins for the solver where it has to fail."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from optimizer.baseline import equal_share
from optimizer.check import violations
from optimizer.domain import Connection, Problem, Schedule
from optimizer.errors import InvalidProblemError, SolverError
from optimizer.optimise import Solve, optimise
from tests.optimizer.builders import a_problem, a_session, an_evse, problems

PROBLEM = a_problem(prices=[0.3, 0.1, 0.4], sessions=[a_session(hours=3, required_energy_kwh=11.04)])


def gives(schedule: Schedule) -> Solve:
    """A solver that always gives `schedule`."""
    return lambda problem, *, solver="highs": schedule


def raises(error: Exception) -> Solve:
    """A solver that always fails."""

    def solve(problem: Problem, *, solver: str = "highs") -> Schedule:
        raise error

    return solve


def good() -> Schedule:
    return replace(equal_share(PROBLEM), status="optimal", reason=None, gap=0.0, timing_ms={"build": 1.0, "solve": 2.0})


def test_charges_in_the_cheapest_slot_and_says_what_it_saves() -> None:
    schedule = optimise(PROBLEM)

    assert schedule.status == "optimal"
    assert schedule.power_kw["evse-1"] == pytest.approx((0, 11.04, 0))
    assert schedule.violations == ()
    assert schedule.baselines.keys() == {"uncontrolled", "equal_share"}
    assert schedule.baselines["uncontrolled"].cost.total == pytest.approx(11.04 * 0.3)
    assert schedule.timing_ms.keys() >= {"build", "solve", "repair", "check"}


def test_hands_the_solver_on() -> None:
    asked = []

    def solve(problem: Problem, *, solver: str = "highs") -> Schedule:
        asked.append(solver)
        return good()

    optimise(PROBLEM, solver="pulp:CBC", solve=solve)

    assert asked == ["pulp:CBC"]


def test_keeps_the_answer_that_breaks_nothing() -> None:
    schedule = optimise(PROBLEM, solve=gives(good()))

    assert schedule.status == "optimal"
    assert schedule.reason is None
    assert schedule.timing_ms["build"] == 1.0
    assert schedule.timing_ms["check"] > 0


def test_leaves_the_baselines_out_on_request() -> None:
    assert optimise(PROBLEM, baselines=False, solve=gives(good())).baselines == {}


def test_falls_back_to_equal_share_when_the_solver_gives_up() -> None:
    schedule = optimise(PROBLEM, solve=raises(SolverError("time limit of 30 s")))

    assert schedule.status == "fallback"
    assert schedule.reason == "equal share, because the solver gave no answer: time limit of 30 s"
    assert schedule.power_kw == equal_share(PROBLEM).power_kw
    assert schedule.unmet_kwh == 0
    assert schedule.baselines.keys() == {"uncontrolled", "equal_share"}


def test_falls_back_when_something_breaks_that_nobody_thought_of() -> None:
    schedule = optimise(PROBLEM, solve=raises(OverflowError("cannot convert float infinity to integer")))

    assert schedule.status == "fallback"
    assert schedule.reason is not None
    assert "OverflowError: cannot convert float infinity" in schedule.reason


def test_falls_back_when_the_answer_breaks_a_rule_and_names_it() -> None:
    too_much = replace(good(), power_kw={"evse-1": (22.08, 0.0, 0.0)}, current_a={"evse-1": (32.0, 0.0, 0.0)})

    schedule = optimise(PROBLEM, solve=gives(too_much))

    assert schedule.status == "fallback"
    assert schedule.reason is not None
    assert "evse_current at evse-1 slot 0: 16.000 A too much" in schedule.reason
    assert violations(PROBLEM, schedule).caused == ()


def test_a_contradiction_in_the_problem_is_no_reason_to_fall_back() -> None:
    double = a_problem(sessions=[a_session("tx-1"), a_session("tx-2", after_hours=1)], prices=[0.1] * 3)

    with pytest.raises(InvalidProblemError, match=r"sessions\[tx-2\].arrival"):
        optimise(double)


def test_what_is_broken_without_vehicles_does_not_lead_to_a_fallback() -> None:
    problem = a_problem(
        prices=[0.3, 0.1],
        connection=Connection(max_import_kw=12),
        base_load_kw=[0, 14],
        sessions=[a_session(hours=2, required_energy_kwh=5.52)],
    )

    schedule = optimise(problem)

    assert schedule.status == "optimal"
    assert schedule.power_kw["evse-1"] == pytest.approx((5.52, 0))  # not in the cheap slot: nothing is left there
    assert [(v.rule, v.slot, v.unavoidable) for v in schedule.violations] == [("connection_import", 1, True)]
    assert schedule.violations[0].excess == pytest.approx(2)


def test_a_site_without_any_session_has_an_answer() -> None:
    schedule = optimise(a_problem(prices=[0.3], evses=[an_evse()], base_load_kw=4))

    assert schedule.power_kw == {"evse-1": (0,)}
    assert schedule.cost.total == pytest.approx(1.2)
    assert schedule.cost.ev == pytest.approx(0)


@given(problems())
@settings(deadline=None, max_examples=40)  # shared cores
def test_no_answer_breaks_a_rule_that_the_checker_knows(problem: Problem) -> None:
    schedule = optimise(problem)

    assert violations(problem, schedule).caused == ()
    assert all(violation.unavoidable for violation in schedule.violations)


@given(problems())
@settings(deadline=None, max_examples=40)  # shared cores
def test_the_fallback_of_any_site_breaks_no_rule(problem: Problem) -> None:
    schedule = optimise(problem, baselines=False, solve=raises(SolverError("gone")))

    assert schedule.status == "fallback"
    assert schedule.reason is not None
    assert schedule.reason.startswith("equal share")
    assert violations(problem, schedule).caused == ()
