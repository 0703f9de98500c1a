"""Solve, check, fall back: with stand-ins for the solver where it has to fail."""

from dataclasses import replace
from time import sleep
from typing import Any

import pytest
from hypothesis import given, settings

from optimizer.baseline import equal_share
from optimizer.check import violations
from optimizer.domain import Circuit, Connection, DemandCharge, Problem, Reservation, Schedule, Settings
from optimizer.errors import InvalidProblemError, SolverError
from optimizer.optimise import Solve, optimise
from tests.optimizer.builders import a_battery, a_problem, a_session, an_evse, problems, rich_problems

PROBLEM = a_problem(prices=[0.3, 0.1, 0.4], sessions=[a_session(hours=3, required_energy_kwh=11.04)])


def gives(schedule: Schedule) -> Solve:
    """A solver that always gives `schedule`."""
    return lambda problem, *, solver="highs": schedule


def raises(error: Exception) -> Solve:
    """A solver that always fails."""

    def solve(problem: Problem, *, solver: str = "highs") -> Schedule:
        raise error

    return solve


def a_row_that_is_too_small(**more: Any) -> Problem:
    """Twenty vehicles that all want three times what their fuse carries."""
    numbers = range(20)
    return a_problem(
        prices=[0.1 + 0.01 * slot for slot in range(24)],
        circuits=[Circuit("row", max_current_a=100)],
        evses=[an_evse(f"evse-{number}", circuit_id="row") for number in numbers],
        sessions=[
            a_session(f"tx-{number}", evse_id=f"evse-{number}", hours=20, required_energy_kwh=150) for number in numbers
        ],
        **more,
    )


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


def test_other_baselines_stand_beside_it_on_request() -> None:
    schedule = optimise(PROBLEM, baselines=("earliest_deadline_first", "least_laxity_first"), solve=gives(good()))

    assert schedule.baselines.keys() == {"earliest_deadline_first", "least_laxity_first"}
    assert schedule.baselines["least_laxity_first"].cost.total == pytest.approx(11.04 * 0.3)
    assert schedule.baselines["least_laxity_first"].unmet_kwh == 0
    assert schedule.baselines["least_laxity_first"].violations == ()


def test_a_baseline_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(InvalidProblemError, match="baselines 'first_come' is none of uncontrolled, equal_share"):
        optimise(PROBLEM, baselines=("first_come",))


def test_falls_back_when_the_solver_is_missing() -> None:
    schedule = optimise(PROBLEM, solver="pulp:NO_SUCH_SOLVER")

    assert schedule.status == "fallback"
    assert schedule.reason is not None
    assert "PuLP knows no solver 'NO_SUCH_SOLVER'" in schedule.reason
    assert schedule.unmet_kwh == 0


def test_falls_back_when_the_solver_has_no_time() -> None:
    hurried = a_row_that_is_too_small(settings=Settings(time_limit_s=1e-9))
    kept: list[Problem] = []

    schedule = optimise(hurried, on_timeout=kept.append)

    assert schedule.status in ("optimal", "feasible", "fallback")  # a small program may be done at the first glance
    assert violations(hurried, schedule).caused == ()
    assert kept == [hurried]


def test_a_problem_that_used_up_its_time_is_handed_on() -> None:
    kept: list[Problem] = []
    impatient = replace(PROBLEM, settings=Settings(time_limit_s=0.001))

    def slow(problem: Problem, *, solver: str = "highs") -> Schedule:
        sleep(0.002)
        raise SolverError("HiGHS ended with 'Time limit reached'")

    schedule = optimise(impatient, solve=slow, on_timeout=kept.append)

    assert kept == [impatient]
    assert schedule.status == "fallback"
    assert schedule.reason == "equal share, because the solver gave no answer: HiGHS ended with 'Time limit reached'"


def test_a_problem_that_is_solved_in_time_is_nobodys_business() -> None:
    kept: list[Problem] = []

    optimise(PROBLEM, solve=gives(good()), on_timeout=kept.append)
    optimise(PROBLEM, solve=raises(SolverError("unbounded")), on_timeout=kept.append)

    assert kept == []


def test_a_record_that_fails_does_not_cost_the_plan() -> None:
    def full_disk(problem: Problem) -> None:
        raise OSError(28, "No space left on device")

    schedule = optimise(
        replace(PROBLEM, settings=Settings(time_limit_s=1e-9)), solve=gives(good()), on_timeout=full_disk
    )

    assert schedule.status == "optimal"
    assert schedule.warnings == (
        "the problem that used up its time limit could not be kept: OSError: [Errno 28] No space left on device",
    )


NONSENSE = [
    (replace(PROBLEM, connection=Connection(max_import_kw=1e30)), "connection.max_import_kw", "1e+30"),
    (replace(PROBLEM, connection=Connection(voltage_v=1e-300)), "connection.voltage_v", "1e-300"),
    (replace(PROBLEM, import_price_per_kwh=(0.3, -1e9, 0.4)), "import_price_per_kwh[1]", "-1000000000.0"),
    (replace(PROBLEM, base_load_kw=(0.0, 0.0, 2e6)), "base_load_kw[2]", "2000000.0"),
    (replace(PROBLEM, carbon_kg_per_kwh=(0.0, 1e4, 0.0)), "carbon_kg_per_kwh[1]", "10000.0"),
    (replace(PROBLEM, evses=(an_evse(current_step_a=1e-12),)), "evses[evse-1].current_step_a", "1e-12"),
    (replace(PROBLEM, evses=(an_evse(max_current_a=1e6),)), "evses[evse-1].max_current_a", "1000000.0"),
    (
        replace(PROBLEM, sessions=(a_session(required_energy_kwh=1e300),)),
        "sessions[tx-1].required_energy_kwh",
        "1e+300",
    ),
    (replace(PROBLEM, batteries=(a_battery(capacity_kwh=1e8),)), "batteries[battery-1].capacity_kwh", "100000000.0"),
    (
        replace(PROBLEM, batteries=(a_battery(wear_price_per_kwh=1e7),)),
        "batteries[battery-1].wear_price_per_kwh",
        "10000000.0",
    ),
    (replace(PROBLEM, demand_charges=(DemandCharge("m", 1e7, 60),)), "demand_charges[m].price_per_kw", "10000000.0"),
    (
        replace(PROBLEM, reservations=(Reservation((0.0, 1e6, 0.0), circuit_id="connection"),)),
        "reservations[0].current_a[1]",
        "1000000.0",
    ),
]


@pytest.mark.parametrize(("problem", "field", "value"), NONSENSE, ids=[field for _, field, _ in NONSENSE])
def test_refuses_what_no_site_has_before_anything_is_solved(problem: Problem, field: str, value: str) -> None:
    with pytest.raises(InvalidProblemError) as refused:
        optimise(problem, solve=raises(AssertionError("the solver was asked")))

    assert refused.value.field == field
    assert refused.value.message.startswith(f"{value} is beyond every site")


def test_takes_what_a_very_large_site_has() -> None:
    problem = replace(
        PROBLEM,
        connection=Connection(max_import_kw=1e6, max_current_a=1e5),
        base_load_kw=(9e5,) * 3,
        base_load_high_kw=(9e5,) * 3,
        import_price_per_kwh=(-500.0, 0.0, 4000.0),
    )

    assert optimise(problem).status == "optimal"


@given(problems() | rich_problems())
@settings(deadline=None, max_examples=40)  # shared cores
def test_no_answer_breaks_a_rule_that_the_checker_knows(problem: Problem) -> None:
    schedule = optimise(problem)

    assert schedule.status != "fallback", schedule.reason  # the program and the checker mean the same
    assert violations(problem, schedule).caused == ()
    assert all(violation.unavoidable for violation in schedule.violations)


@given(problems() | rich_problems())
@settings(deadline=None, max_examples=40)  # shared cores
def test_the_fallback_of_any_site_breaks_no_rule(problem: Problem) -> None:
    schedule = optimise(problem, baselines=False, solve=raises(SolverError("gone")))

    assert schedule.status == "fallback"
    assert schedule.reason is not None
    assert schedule.reason.startswith("equal share")
    assert violations(problem, schedule).caused == ()
