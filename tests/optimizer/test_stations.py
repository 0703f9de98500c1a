"""What a plan does with what a station says of itself: a shared supply, two limits, a limit that is not verified."""

import pytest

from optimizer.domain import Circuit, Connection, DemandCharge, Evse, InForce, Reservation, SharedPower
from optimizer.errors import InvalidProblemError
from optimizer.solve import solve
from tests.optimizer.builders import a_problem, a_session, an_evse

TWO_CARS = (a_session("a", hours=1), a_session("b", evse_id="evse-2", hours=1))


def a_station(max_current_a: float) -> list[Evse]:
    return [an_evse(name, shared_power=SharedPower("station", max_current_a)) for name in ("evse-1", "evse-2")]


def test_two_connectors_of_one_station_share_its_supply() -> None:
    schedule = solve(a_problem(prices=[0.1], evses=a_station(20), sessions=TWO_CARS))

    currents = [(schedule.current_a[name] or ())[0] for name in ("evse-1", "evse-2")]
    assert sum(currents) == pytest.approx(20)
    assert min(currents) == pytest.approx(10)


def test_what_one_connector_may_draw_unplanned_is_missing_to_the_other() -> None:
    reserved = Reservation((12, 12, 12), evse_id="evse-1")

    schedule = solve(a_problem(prices=[0.1], evses=a_station(20), sessions=TWO_CARS[1:], reservations=[reserved]))

    assert schedule.current_a["evse-2"] == pytest.approx([8])


def test_one_group_has_one_limit() -> None:
    evses = [an_evse("evse-1", shared_power=SharedPower("s", 20)), an_evse("evse-2", shared_power=SharedPower("s", 32))]

    with pytest.raises(InvalidProblemError, match=r"evse-2.*32.*20"):
        a_problem(evses=evses)


@pytest.mark.parametrize(("max_power_kw", "power_kw"), [(5.0, 4.968), (22.0, 11.04)])
def test_the_smaller_of_current_and_power_limits_an_ac_evse(max_power_kw: float, power_kw: float) -> None:
    problem = a_problem(prices=[0.1], evses=[an_evse(max_power_kw=max_power_kw)], sessions=[a_session(hours=1)])

    assert solve(problem).power_kw["evse-1"] == pytest.approx([power_kw])


def test_a_limit_that_is_not_verified_is_counted_whole_in_the_first_slot() -> None:
    problem = a_problem(
        prices=[0.1, 0.2],
        circuits=[Circuit("row", max_current_a=26)],
        evses=[
            an_evse("evse-1", circuit_id="row", in_force=InForce(16, verified=False)),
            an_evse("evse-2", circuit_id="row"),
        ],
        sessions=[a_session("b", evse_id="evse-2", hours=2, required_energy_kwh=14)],
    )

    schedule = solve(problem)

    assert (schedule.current_a["evse-2"] or ())[0] == pytest.approx(10)
    assert (schedule.current_a["evse-2"] or ())[1] > 10


def test_an_evse_that_is_not_verified_is_not_raised_above_what_is_in_force() -> None:
    problem = a_problem(
        prices=[0.1, 0.2],
        evses=[an_evse("evse-1", in_force=InForce(8, verified=False))],
        sessions=[a_session(hours=2)],
        connection=Connection(max_current_a=16),
    )

    assert solve(problem).current_a["evse-1"] == pytest.approx([8, 8], abs=0.1)


def test_a_verified_limit_binds_nobody() -> None:
    problem = a_problem(
        prices=[0.1, 0.2], evses=[an_evse("evse-1", in_force=InForce(0, verified=True))], sessions=[a_session(hours=2)]
    )

    assert solve(problem).current_a["evse-1"] == pytest.approx([16, 0])


def test_what_a_ratchet_bills_anyway_is_free() -> None:
    charge = DemandCharge("month", price_per_kw=10, interval_minutes=60, ratchet_kw=11.04)

    schedule = solve(a_problem(prices=[0.1, 0.2], sessions=[a_session(hours=2)], demand_charges=[charge]))

    assert schedule.power_kw["evse-1"] == pytest.approx([11.04, 0])
    assert schedule.cost.demand == 0
