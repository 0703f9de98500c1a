"""From powers of a linear program to powers of a charger: how little it may cost, and what it may never break."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.optimizer_solve import SIZES, site
from optimizer.check import violations
from optimizer.domain import Circuit, DemandCharge, Scenario, Session, VehicleToGrid
from optimizer.fill import Choices, fill
from optimizer.solve import solve
from tests.optimizer.builders import a_battery, a_problem, a_session, an_evse


@pytest.mark.parametrize(("size", "battery"), [("S", False), ("S", True), ("M", False)])
def test_a_site_is_served_within_half_a_percent_of_the_bound(size: str, battery: bool) -> None:
    problem = site(SIZES[size], battery=battery)

    schedule = solve(problem)

    assert max(result.unmet_kwh for result in schedule.sessions.values()) <= 0.01
    assert schedule.gap is not None
    assert schedule.gap < 0.005


def as_beliefs(session: Session) -> Session:
    """Four ways to leave, three needs."""
    stay, kwh = session.departure - session.arrival, session.required_energy_kwh
    ways = [(0.1, 0.5, 0.8), (0.2, 0.7, 0.9), (0.4, 0.85, 1.0), (0.3, 1.0, 0.9)]
    scenarios = tuple(Scenario(chance, session.arrival + stay * part, kwh * need) for chance, part, need in ways)
    return replace(session, scenarios=scenarios)


def as_givers(session: Session) -> Session:
    capacity_kwh = max(60.0, session.required_energy_kwh * 2.2)
    return replace(session, soc=0.5, capacity_kwh=capacity_kwh, v2g=VehicleToGrid(7, 12, 0.03))


@pytest.mark.parametrize(("turn", "most"), [(as_beliefs, 0.01), (as_givers, 0.01)])
def test_beliefs_and_vehicles_that_give_lose_little_to_rounding(
    turn: Callable[[Session], Session], most: float
) -> None:
    plain = site(SIZES["S"])
    problem = replace(plain, sessions=tuple(map(turn, plain.sessions)), unmet_price_per_kwh=0.6)

    schedule = solve(problem)

    assert violations(problem, schedule).caused == ()
    assert schedule.gap is not None
    assert schedule.gap < most


def test_powers_below_the_minimum_are_lumped_into_as_few_slots_as_hold_them() -> None:
    problem = a_problem(
        prices=[0.10, 0.11, 0.12, 0.30],
        circuits=[Circuit("row", max_current_a=20)],
        evses=[an_evse(name, circuit_id="row", max_current_a=20) for name in "abcd"],
        sessions=[
            a_session(f"tx-{name}", evse_id=name, hours=4, required_energy_kwh=20 * 0.69 * 0.8) for name in "abcd"
        ],
    )

    schedule = solve(problem)

    on = sum(power_kw > 0 for powers in schedule.power_kw.values() for power_kw in powers)
    assert schedule.unmet_kwh <= 4 * 0.01
    assert on <= 8


def test_a_step_that_rounding_takes_is_given_back_below_the_billed_peak() -> None:
    problem = a_problem(
        prices=[0.2, 0.2, 0.1],
        demand_charges=[DemandCharge("month", price_per_kw=10, interval_minutes=60, expected_peak_kw=7)],
        sessions=[a_session(required_energy_kwh=16.66)],
    )

    schedule = solve(problem)

    assert schedule.unmet_kwh <= 0.01
    assert schedule.cost.demand == 0


def test_a_battery_takes_up_what_a_whole_step_adds_to_a_peak() -> None:
    problem = a_problem(
        prices=[0.2, 0.2],
        demand_charges=[DemandCharge("month", price_per_kw=10, interval_minutes=60)],
        batteries=[a_battery()],
        sessions=[a_session(hours=2, required_energy_kwh=11.04 + 0.05)],
    )

    schedule = solve(problem)

    assert schedule.unmet_kwh <= 0.01
    assert schedule.import_kw[0] == pytest.approx(schedule.import_kw[1], abs=1e-6)


def test_whoever_is_served_first_keeps_the_room_that_rounding_takes() -> None:
    problem = a_problem(
        prices=[0.1, 0.1],
        circuits=[Circuit("row", max_current_a=19.5)],
        evses=[an_evse("a", circuit_id="row", current_step_a=1), an_evse("b", circuit_id="row")],
        sessions=[
            a_session("first", evse_id="a", hours=2, required_energy_kwh=25 * 0.69, priority=1),
            a_session("second", evse_id="b", hours=2, required_energy_kwh=22.08, priority=2),
        ],
    )

    schedule = solve(problem)

    assert schedule.sessions["first"].unmet_kwh == pytest.approx(0, abs=1e-3)


def some_choices(prices: list[int], least: list[int], more: list[int]) -> Choices:
    return Choices(
        price=np.array(prices, dtype=float),
        step_kwh=np.ones(len(prices)),
        least=np.array(least),
        most=np.array(least) + np.array(more),
    )


def test_one_slot_is_filled_rather_than_two_minima_that_are_too_much() -> None:
    choices = some_choices([1, 2], [6, 6], [0, 5])

    assert fill(11, choices).tolist() == [0, 11]


def test_of_slots_that_hold_as_little_the_dearest_makes_way() -> None:
    choices = some_choices([0, 1, 1, 1], [6, 6, 6, 6], [0, 0, 1, 1])

    assert choices.value(fill(13, choices), 13) == (0, 7)


def test_a_need_below_every_minimum_gets_nothing() -> None:
    assert fill(5, some_choices([1, 2], [6, 6], [4, 4])).tolist() == [0, 0]


def test_a_slot_without_room_stays_off() -> None:
    choices = Choices(np.array([1.0, 2.0]), np.ones(2), np.array([6, 6]), np.array([3, 10]))

    assert fill(8, choices).tolist() == [0, 8]


@settings(max_examples=200, deadline=None)
@given(
    slots=st.lists(st.tuples(st.integers(0, 9), st.just(6), st.integers(0, 6)), min_size=1, max_size=4),
    need=st.integers(0, 40),
)
def test_no_other_steps_leave_less_missing(slots: list[tuple[int, int, int]], need: int) -> None:
    prices, least, more = (list(column) for column in zip(*slots, strict=True))
    choices = some_choices(prices, least, more)

    steps = fill(need, choices)

    every = product(*([0, *range(low, low + extra + 1)] for low, extra in zip(least, more, strict=True)))
    best = min(choices.value(np.array(one), need) for one in every if sum(one) <= need)
    assert choices.value(steps, need)[0] == best[0]
    assert choices.value(steps, need)[1] <= best[1] * 1.5 + 1e-9
    assert all(step == 0 or low <= step <= low + extra for step, low, extra in zip(steps, least, more, strict=True))
