"""What a plan does with a belief, a floor, and a vehicle that may not come. Slots are hours, 11.04 kW each."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.check import violations
from optimizer.domain import Circuit, Problem, Scenario, Session, VehicleToGrid
from optimizer.errors import InvalidProblemError
from optimizer.solve import solve
from tests.optimizer.builders import START, a_problem, a_session, an_evse, problems

FULL_HOUR_KWH = 11.04


def a_scenario(probability: float, hours: float, required_energy_kwh: float = FULL_HOUR_KWH) -> Scenario:
    return Scenario(probability, START + timedelta(hours=hours), required_energy_kwh)


def a_belief(*scenarios: Scenario, **more: Any) -> Session:
    return a_session(
        scenarios=scenarios,
        departure=max(one.departure for one in scenarios),
        required_energy_kwh=max(one.required_energy_kwh for one in scenarios),
        **more,
    )


def a_gamble(unmet_price_per_kwh: float) -> Problem:
    """It is cheaper later, but with 40 % the vehicle is gone by then."""
    belief = a_belief(a_scenario(0.4, hours=1), a_scenario(0.6, hours=2))
    return a_problem(prices=[0.30, 0.10], sessions=[belief], unmet_price_per_kwh=unmet_price_per_kwh)


def test_charges_early_where_missing_the_vehicle_is_expected_to_cost_more_than_the_dear_hour() -> None:
    schedule = solve(a_gamble(unmet_price_per_kwh=0.51))

    assert schedule.power_kw["evse-1"] == pytest.approx([11.04, 0])
    assert schedule.sessions["tx-1"].expected_unmet_kwh == 0
    assert schedule.cost.unmet == 0


def test_waits_for_the_cheap_hour_where_the_risk_is_worth_it_and_says_what_is_expected_to_be_missing() -> None:
    schedule = solve(a_gamble(unmet_price_per_kwh=0.49))

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04])
    assert schedule.sessions["tx-1"].expected_unmet_kwh == pytest.approx(0.4 * 11.04)
    assert schedule.cost.unmet == pytest.approx(0.4 * 11.04 * 0.49)
    assert schedule.cost.total == pytest.approx(1.104)
    assert schedule.status == "optimal"


def test_a_belief_is_no_promise() -> None:
    schedule = solve(a_gamble(unmet_price_per_kwh=0))

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 0])
    assert schedule.sessions["tx-1"].unmet_kwh == 0
    assert schedule.sessions["tx-1"].met_share is None


def test_a_belief_that_gave_energy_back_is_still_owed_nothing() -> None:
    gone = Scenario(1.0, START + timedelta(hours=2), 0.0)
    van = a_session(
        hours=2,
        required_energy_kwh=0.0,
        scenarios=(gone,),
        soc=0.5,
        capacity_kwh=20.0,
        v2g=VehicleToGrid(max_discharge_kw=11.04, floor_energy_kwh=0.0, wear_price_per_kwh=0.02),
    )
    problem = a_problem(prices=[0.5, 0.5], base_load_kw=8.0, sessions=[van], unmet_price_per_kwh=0.1)

    schedule = solve(problem)

    assert schedule.sessions["tx-1"].planned_energy_kwh < 0
    assert schedule.sessions["tx-1"].unmet_kwh == 0
    assert not violations(problem, schedule).caused


def test_takes_no_more_than_what_pays_in_the_mean_of_the_scenarios() -> None:
    belief = a_belief(a_scenario(0.5, 1, required_energy_kwh=5.52), a_scenario(0.5, 1, required_energy_kwh=11.04))

    timid = solve(a_problem(prices=[0.30], sessions=[belief], unmet_price_per_kwh=0.59))
    bold = solve(a_problem(prices=[0.30], sessions=[belief], unmet_price_per_kwh=0.61))

    assert timid.sessions["tx-1"].planned_energy_kwh == pytest.approx(5.52)
    assert bold.sessions["tx-1"].planned_energy_kwh == pytest.approx(11.04)


def test_a_promise_is_kept_before_any_belief_at_any_price() -> None:
    belief = a_belief(a_scenario(1, hours=1), priority=1)
    promise = a_session("tx-2", evse_id="evse-2", hours=1, priority=2)
    scarce = a_problem(
        prices=[0.30],
        circuits=[Circuit("row", max_power_kw=11.04)],
        evses=[an_evse("evse-1", circuit_id="row"), an_evse("evse-2", circuit_id="row")],
        sessions=[belief, promise],
        unmet_price_per_kwh=1000,
    )

    schedule = solve(scarce)

    assert schedule.sessions["tx-2"].unmet_kwh == 0
    assert schedule.sessions["tx-1"].expected_unmet_kwh == pytest.approx(11.04)


def test_a_scenario_beyond_the_horizon_owes_only_what_cannot_be_had_afterwards() -> None:
    belief = a_belief(a_scenario(1, hours=3, required_energy_kwh=2 * FULL_HOUR_KWH))

    schedule = solve(a_problem(prices=[0.30, 0.30], sessions=[belief], unmet_price_per_kwh=1))

    assert schedule.sessions["tx-1"].planned_energy_kwh == pytest.approx(11.04)
    assert schedule.sessions["tx-1"].expected_unmet_kwh == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scenarios": (a_scenario(0.4, 1), a_scenario(0.5, 2))}, "scenarios"),
        ({"scenarios": (a_scenario(0.5, 1), a_scenario(0.5, 1))}, "scenarios"),
        ({"scenarios": (a_scenario(0.5, -1), a_scenario(0.5, 2))}, "scenarios[0].departure"),
        ({"floor_energy_kwh": 5}, "floor_by"),
        ({"floor_energy_kwh": 12, "floor_by": START + timedelta(hours=1)}, "floor_energy_kwh"),
        ({"floor_energy_kwh": 5, "floor_by": START + timedelta(hours=9)}, "floor_by"),
        ({"probability": 0}, "probability"),
        ({"max_energy_kwh": 11}, "max_energy_kwh"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidProblemError, match="tx-1") as refused:
        a_session(hours=2, **change)

    assert refused.value.field.endswith(field)


def test_a_belief_needs_a_price_for_what_it_misses() -> None:
    with pytest.raises(InvalidProblemError, match="unmet_price_per_kwh"):
        a_problem(prices=[0.1, 0.1], sessions=[a_belief(a_scenario(1, 2))])


def test_a_floor_is_there_by_its_time_although_it_is_dear_then() -> None:
    session = a_session(floor_energy_kwh=5.52, floor_by=START + timedelta(hours=1))

    schedule = solve(a_problem(prices=[0.30, 0.10, 0.40], sessions=[session]))

    assert schedule.power_kw["evse-1"] == pytest.approx([5.52, 5.52, 0])
    assert schedule.sessions["tx-1"].floor_unmet_kwh == 0


def test_a_floor_counts_only_what_comes_before_its_moment_within_a_slot() -> None:
    session = a_session(floor_energy_kwh=4, floor_by=START + timedelta(minutes=30), required_energy_kwh=8)

    schedule = solve(a_problem(prices=[0.30, 0.10, 0.40], sessions=[session]))

    assert schedule.power_kw["evse-1"][0] == pytest.approx(8, abs=0.07)
    assert schedule.sessions["tx-1"].floor_unmet_kwh < 0.01


def test_a_floor_a_second_away_is_not_bought_with_more_than_the_vehicle_needs() -> None:
    """1.4 s of a slot of half an hour: the steps that bring the floor there bring far more by the slot's end."""
    now = START + timedelta(minutes=12, seconds=11)
    session = a_session(
        hours=2.034, required_energy_kwh=3.3, floor_energy_kwh=0.33, floor_by=now + timedelta(seconds=1.4)
    )
    problem = a_problem(
        prices=[0.0] * 4,
        slot_minutes=30,
        now=now,
        evses=[an_evse(max_current_a=10)],
        sessions=[session],
    )

    schedule = solve(problem)

    assert violations(problem, schedule).caused == ()
    assert schedule.unmet_kwh <= 0.01


@st.composite
def sites_with_floors(draw: st.DrawFn) -> Problem:
    """Floors of any share of the need, at any moment of the stay, or seconds from now."""
    problem = draw(problems(max_slots=8, max_evses=2))
    now = problem.horizon.now or problem.horizon.start
    sessions = []
    for session in problem.sessions:
        share = draw(st.sampled_from((None, 0.1, 0.3, 0.6, 0.9, 1.0)))
        soon = min(max(now, session.arrival) + timedelta(seconds=draw(st.integers(1, 9))), session.departure)
        by = soon if share is None else session.arrival + (session.departure - session.arrival) * share
        owed_kwh = session.required_energy_kwh * draw(st.sampled_from((0.1, 0.5, 0.9, 1.0)))
        floor = {"floor_energy_kwh": owed_kwh, "floor_by": by} if owed_kwh > 0 else {}
        sessions.append(replace(session, **floor))  # type: ignore[arg-type]  # names of a session
    return replace(problem, sessions=tuple(sessions))


@given(sites_with_floors())
@settings(deadline=None, max_examples=60)  # shared cores
def test_no_floor_makes_a_plan_that_breaks_a_rule(problem: Problem) -> None:
    assert violations(problem, solve(problem)).caused == ()


def two_at_one_fuse(first: Session, second: Session) -> Problem:
    """Room for one of them at a time."""
    return a_problem(
        prices=[0.30, 0.30],
        circuits=[Circuit("row", max_current_a=16)],
        evses=[an_evse("evse-1", circuit_id="row"), an_evse("evse-2", circuit_id="row")],
        sessions=[first, second],
    )


def test_floors_come_before_the_rest_of_a_need_in_the_same_class() -> None:
    floor = a_session(
        "a", hours=2, required_energy_kwh=22.08, floor_energy_kwh=22.08, floor_by=START + timedelta(hours=2)
    )
    plain = a_session("b", evse_id="evse-2", hours=2, required_energy_kwh=22.08)

    schedule = solve(two_at_one_fuse(floor, plain))

    assert schedule.sessions["a"].unmet_kwh == pytest.approx(0, abs=0.01)
    assert schedule.sessions["b"].met_share == pytest.approx(0, abs=0.001)


def test_a_floor_of_a_later_priority_comes_after_the_needs_of_the_first() -> None:
    floor = a_session(
        "a", hours=2, required_energy_kwh=11.04, floor_energy_kwh=11.04, floor_by=START + timedelta(hours=2), priority=2
    )
    first = a_session("b", evse_id="evse-2", hours=2, required_energy_kwh=22.08)

    schedule = solve(two_at_one_fuse(floor, first))

    assert schedule.sessions["b"].unmet_kwh == pytest.approx(0, abs=0.01)
    assert schedule.sessions["a"].floor_unmet_kwh == pytest.approx(11.04, abs=0.01)


def test_a_floor_that_is_out_of_reach_is_reported_and_the_rest_is_planned() -> None:
    session = a_session(hours=3, required_energy_kwh=22.08, floor_energy_kwh=16.04, floor_by=START + timedelta(hours=1))

    schedule = solve(a_problem(prices=[0.40, 0.30, 0.10], sessions=[session]))

    assert schedule.power_kw["evse-1"] == pytest.approx([11.04, 0, 11.04])
    assert schedule.sessions["tx-1"].floor_unmet_kwh == pytest.approx(5)
    assert schedule.sessions["tx-1"].unmet_kwh == 0


def test_takes_more_than_it_needs_up_to_its_maximum_where_it_is_paid_for_it() -> None:
    session = a_session(required_energy_kwh=5.52, max_energy_kwh=16.56)

    schedule = solve(a_problem(prices=[0.10, -0.10, 0.20], sessions=[session]))

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04, 0])
    assert schedule.sessions["tx-1"].unmet_kwh == 0


def test_an_expected_vehicle_weighs_by_its_probability_in_money_and_fully_under_the_fuse() -> None:
    expected = a_session(after_hours=1, hours=1, probability=0.5)
    there = a_session("tx-2", evse_id="evse-2", hours=2, required_energy_kwh=11.04)

    schedule = solve(two_at_one_fuse(there, expected))

    assert schedule.power_kw["evse-2"] == pytest.approx([11.04, 0])  # the second hour is spoken for
    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04])
    assert schedule.import_kw == pytest.approx((11.04, 5.52))
    assert schedule.cost.total == pytest.approx((11.04 + 5.52) * 0.30)


def test_says_what_fairness_costs() -> None:
    """One phase starves two vehicles' energy for the same amperes: giving all to the other would deliver more."""
    single = a_session("one", hours=2, required_energy_kwh=22.08, vehicle_phases=1)
    three = a_session("three", evse_id="evse-2", hours=2, required_energy_kwh=22.08)

    schedule = solve(two_at_one_fuse(single, three))

    shares = [schedule.sessions[name].met_share or 0 for name in ("one", "three")]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)
    assert schedule.price_of_fairness_kwh == pytest.approx(11.04, rel=0.02)
