"""What a plan does, one example a sentence. Slots are hours and the EVSE gives 11.04 kW unless a test says else."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.problem_json import problem_from_json
from optimizer.domain import (
    Circuit,
    Connection,
    DemandCharge,
    Evse,
    Phase,
    Reservation,
    Settings,
)
from optimizer.errors import InvalidProblemError, SolverError
from optimizer.solve import solve
from tests.optimizer.builders import START, a_battery, a_problem, a_session, an_evse

EXAMPLE = Path(__file__).parents[3] / "shared" / "example_problem.json"


def test_charges_in_the_cheapest_slot() -> None:
    problem = a_problem(prices=[0.30, 0.10, 0.40], sessions=[a_session(required_energy_kwh=11.04)])

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04, 0])
    assert schedule.current_a["evse-1"] == pytest.approx([0, 16, 0])
    assert schedule.cost.total == pytest.approx(1.104)
    assert schedule.cost.ev == pytest.approx(1.104)
    assert (schedule.status, schedule.unmet_kwh) == ("optimal", 0)


def test_charges_early_when_all_prices_are_equal() -> None:
    problem = a_problem(prices=0.30, slots=6, sessions=[a_session(required_energy_kwh=22.08, hours=6)])

    assert solve(problem).power_kw["evse-1"] == pytest.approx([11.04, 11.04, 0, 0, 0, 0])


def test_an_evse_without_a_session_has_zeros() -> None:
    problem = a_problem(sessions=[a_session()], evses=[an_evse("evse-1"), an_evse("evse-2")])

    assert solve(problem).power_kw["evse-2"] == (0.0, 0.0, 0.0)


def test_a_problem_without_sessions_has_an_answer() -> None:
    schedule = solve(a_problem(prices=[0.2, 0.4], base_load_kw=10))

    assert schedule.import_kw == (10.0, 10.0)
    assert schedule.cost.total == pytest.approx(6)
    assert (schedule.cost.ev, schedule.status) == (0, "optimal")


@pytest.mark.parametrize(("phases", "power_kw"), [(("L2", "L3", "L1"), 7.36), (("L1", "L2", "L3"), 2.76)])
def test_a_two_phase_vehicle_loads_the_phases_that_its_evse_is_rotated_to(
    phases: tuple[Phase, ...], power_kw: float
) -> None:
    problem = a_problem(
        prices=[0.1],
        circuits=[Circuit("row", max_current_a=16, base_load_a=(10, 0, 0))],
        evses=[an_evse(circuit_id="row", phases=phases)],
        sessions=[a_session(hours=1, vehicle_phases=2)],
    )

    assert solve(problem).power_kw["evse-1"] == pytest.approx([power_kw])


def test_a_single_phase_vehicle_loads_its_phase_alone() -> None:
    problem = a_problem(
        prices=[0.1],
        circuits=[Circuit("row", max_current_a=16, base_load_a=(0, 16, 16))],
        evses=[an_evse(circuit_id="row")],
        sessions=[a_session(hours=1, vehicle_phases=1)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([3.68])
    assert schedule.current_a["evse-1"] == pytest.approx([16])


def test_an_unknown_vehicle_counts_on_every_wired_phase_for_safety_and_on_one_for_energy() -> None:
    problem = a_problem(
        prices=[0.1],
        circuits=[Circuit("row", max_current_a=16, base_load_a=(0, 0, 8))],
        evses=[an_evse(circuit_id="row")],
        sessions=[a_session(hours=1, vehicle_phases=None)],
    )

    schedule = solve(problem)

    assert schedule.current_a["evse-1"] == pytest.approx([8])
    assert schedule.power_kw["evse-1"] == pytest.approx([8 * 0.23])


def test_a_dc_evse_has_powers_and_no_currents() -> None:
    evse = Evse("dc", "connection", max_power_kw=50)
    problem = a_problem(
        prices=[0.3, 0.1], evses=[evse], sessions=[a_session(evse_id="dc", hours=2, required_energy_kwh=51.5)]
    )

    schedule = solve(problem)

    assert schedule.power_kw["dc"] == pytest.approx([1.5, 50])
    assert schedule.current_a["dc"] is None


def test_takes_pv_before_the_grid() -> None:
    problem = a_problem(
        prices=[0.30, 0.31, 0.30],
        export_prices=0.05,
        pv_kw=[0, 11.04, 0],
        sessions=[a_session(required_energy_kwh=11.04)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04, 0])
    assert schedule.export_kw == pytest.approx([0, 0, 0])
    assert schedule.cost.ev == pytest.approx(0.05 * 11.04)


def test_a_negative_price_does_not_fill_a_vehicle_beyond_its_need() -> None:
    problem = a_problem(prices=[-0.2, -0.1, 0.1], sessions=[a_session(required_energy_kwh=5.52)])

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([5.52, 0, 0])
    assert schedule.cost.total == pytest.approx(-0.2 * 5.52)


def test_a_battery_does_not_burn_energy_in_a_circle_where_that_would_pay() -> None:
    battery = a_battery(charge_efficiency=0.9, discharge_efficiency=0.9, energy_kwh=10)
    problem = a_problem(prices=[-0.2, -0.2], batteries=[battery])

    schedule = solve(problem)

    energy_kwh = 10.0
    for power_kw, seen_kwh in zip(
        schedule.batteries["battery-1"].power_kw, schedule.batteries["battery-1"].energy_kwh, strict=True
    ):
        energy_kwh += power_kw * 0.9 if power_kw > 0 else power_kw / 0.9
        assert seen_kwh == pytest.approx(energy_kwh)
    assert schedule.gap == pytest.approx(0, abs=1e-4)


def test_does_not_import_and_export_at_once_where_export_pays_more() -> None:
    problem = a_problem(
        prices=[0.1, 0.1],
        export_prices=[0.3, 0.05],
        pv_kw=[8, 0],
        connection=Connection(max_import_kw=30, max_export_kw=30),
        sessions=[a_session(hours=2, required_energy_kwh=11.04)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04])
    assert schedule.export_kw == pytest.approx([8, 0])
    assert schedule.import_kw == pytest.approx([0, 11.04])


def test_curtails_pv_whose_export_costs_money() -> None:
    problem = a_problem(prices=[0.3], export_prices=[-0.1], pv_kw=[20], pv_curtailable=True, base_load_kw=5)

    schedule = solve(problem)

    assert schedule.curtail_kw == pytest.approx([15])
    assert schedule.cost.total == 0


def test_curtails_what_may_not_be_exported() -> None:
    problem = a_problem(
        prices=[0.3],
        export_prices=[0.1],
        pv_kw=[20],
        pv_curtailable=True,
        base_load_kw=5,
        connection=Connection(max_export_kw=10),
    )

    schedule = solve(problem)

    assert schedule.export_kw == pytest.approx([10])
    assert schedule.curtail_kw == pytest.approx([5])


def test_a_demand_charge_flattens_charging() -> None:
    problem = a_problem(
        prices=[0.30, 0.29, 0.30, 0.28],
        demand_charges=[DemandCharge("month", price_per_kw=5, interval_minutes=60)],
        sessions=[a_session(hours=4, required_energy_kwh=22.08)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([5.52] * 4)
    assert schedule.peak_kw == {"month": pytest.approx(5.52)}
    assert schedule.cost.demand == pytest.approx(5 * 5.52)


def test_only_what_exceeds_the_known_peak_costs() -> None:
    charge = DemandCharge("month", price_per_kw=5, interval_minutes=60, peak_so_far_kw=3, expected_peak_kw=9.66)
    problem = a_problem(
        prices=[0.3, 0.1], demand_charges=[charge], sessions=[a_session(hours=2, required_energy_kwh=15.18)]
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([5.52, 9.66])
    assert schedule.cost.demand == 0


def test_a_demand_charge_applies_in_its_active_slots_alone() -> None:
    charge = DemandCharge("evening", price_per_kw=50, interval_minutes=60, active=(False, True))
    problem = a_problem(
        prices=[0.3, 0.1], demand_charges=[charge], sessions=[a_session(hours=2, required_energy_kwh=11.04)]
    )

    assert solve(problem).power_kw["evse-1"] == pytest.approx([11.04, 0])


def test_the_running_interval_counts_what_it_has_already_imported() -> None:
    charge = DemandCharge(
        "month", price_per_kw=5, interval_minutes=60, interval_energy_so_far_kwh=4, expected_peak_kw=8
    )
    problem = a_problem(
        prices=[0.1, 0.3],
        now=START + timedelta(minutes=30),
        demand_charges=[charge],
        sessions=[a_session(hours=2, required_energy_kwh=10.0 * 0.69)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"][0] * 0.5 <= 8 - 4 + 1e-9
    assert schedule.cost.demand == pytest.approx(0)


def test_a_battery_buys_cheap_and_covers_the_dear_hour() -> None:
    problem = a_problem(prices=[0.1, 0.3], base_load_kw=5, batteries=[a_battery(wear_price_per_kwh=0.15)])

    schedule = solve(problem)

    assert schedule.batteries["battery-1"].power_kw == pytest.approx([5, -5])
    assert schedule.batteries["battery-1"].energy_kwh == pytest.approx([10, 5])
    assert schedule.cost.wear == pytest.approx(0.75)
    assert schedule.cost.total == pytest.approx(10 * 0.1 + 0.75)


def test_a_battery_rests_where_wear_costs_more_than_the_prices_differ() -> None:
    problem = a_problem(prices=[0.1, 0.3], base_load_kw=5, batteries=[a_battery(wear_price_per_kwh=0.25)])

    assert solve(problem).batteries["battery-1"].power_kw == pytest.approx([0, 0])


def test_a_battery_that_is_not_controllable_rests() -> None:
    problem = a_problem(prices=[0.1, 0.3], base_load_kw=5, batteries=[a_battery(controllable=False)])

    schedule = solve(problem)

    assert schedule.batteries["battery-1"].power_kw == (0.0, 0.0)
    assert schedule.import_kw == pytest.approx([5, 5])


def test_a_battery_goal_out_of_reach_is_named_and_approached() -> None:
    battery = a_battery(capacity_kwh=20, final_energy_kwh=20, energy_kwh=5)
    problem = a_problem(prices=[0.1, 0.3], batteries=[battery])

    schedule = solve(problem)

    assert schedule.batteries["battery-1"].energy_kwh[-1] == pytest.approx(15)
    assert any("battery-1 cannot hold 20.00 kWh" in warning for warning in schedule.warnings)


def test_carbon_has_its_price() -> None:
    problem = a_problem(
        prices=[0.2, 0.2],
        carbon_kg_per_kwh=[0.5, 0.1],
        carbon_price_per_kg=0.1,
        sessions=[a_session(hours=2, required_energy_kwh=11.04)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04])
    assert schedule.cost.carbon == pytest.approx(11.04 * 0.01)


def test_what_is_not_enough_is_shared_so_that_the_smallest_share_is_largest() -> None:
    problem = a_problem(
        prices=[0.1],
        circuits=[Circuit("row", max_current_a=16)],
        evses=[an_evse("a", circuit_id="row"), an_evse("b", circuit_id="row")],
        sessions=[
            a_session("tx-a", evse_id="a", hours=1, required_energy_kwh=11.04),
            a_session("tx-b", evse_id="b", hours=1, required_energy_kwh=8.28),
        ],
    )

    schedule = solve(problem)

    share = 11.04 / (11.04 + 8.28)
    assert schedule.sessions["tx-a"].planned_energy_kwh == pytest.approx(share * 11.04, abs=0.07)
    assert schedule.sessions["tx-b"].planned_energy_kwh == pytest.approx(share * 8.28, abs=0.07)
    assert schedule.unmet_kwh == pytest.approx(8.28, abs=0.07)


def test_a_higher_priority_is_served_before_a_lower_one_gets_anything() -> None:
    problem = a_problem(
        prices=[0.1],
        circuits=[Circuit("row", max_current_a=22)],
        evses=[an_evse("a", circuit_id="row"), an_evse("b", circuit_id="row")],
        sessions=[
            a_session("later", evse_id="a", hours=1, priority=2),
            a_session("first", evse_id="b", hours=1, priority=1),
        ],
    )

    schedule = solve(problem)

    assert schedule.sessions["first"].unmet_kwh == 0
    assert schedule.sessions["later"].planned_energy_kwh == pytest.approx(6 * 0.69)


def test_who_is_plugged_in_goes_before_who_is_expected() -> None:
    problem = a_problem(
        prices=[0.1, 0.1],
        circuits=[Circuit("row", max_current_a=16)],
        evses=[an_evse("a", circuit_id="row"), an_evse("b", circuit_id="row")],
        sessions=[
            a_session("expected", evse_id="a", after_hours=0.5, hours=1.5, required_energy_kwh=16.56),
            a_session("plugged", evse_id="b", hours=2, required_energy_kwh=22.08),
        ],
    )

    schedule = solve(problem)

    assert schedule.sessions["plugged"].unmet_kwh == pytest.approx(0, abs=0.01)
    assert schedule.sessions["expected"].planned_energy_kwh == 0


def test_base_load_above_the_fuse_stops_charging_there_and_nowhere_else() -> None:
    problem = a_problem(
        prices=[0.3, 0.1, 0.2],
        base_load_kw=[0, 12, 0],
        connection=Connection(max_import_kw=11.04),
        sessions=[a_session(required_energy_kwh=22.08)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([11.04, 0, 11.04])
    assert schedule.import_kw == pytest.approx([11.04, 12, 11.04])
    assert any("connection is overloaded without any vehicle" in warning for warning in schedule.warnings)


def test_safety_counts_the_high_base_load_and_no_pv() -> None:
    problem = a_problem(
        prices=[0.1],
        base_load_kw=2,
        base_load_high_kw=4,
        pv_kw=30,
        connection=Connection(max_import_kw=4 + 6.9),
        sessions=[a_session(hours=1)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([6.9])
    assert schedule.export_kw == pytest.approx([30 - 2 - 6.9])


def test_a_missing_high_base_load_is_replaced_and_named() -> None:
    problem = a_problem(
        prices=[0.1],
        base_load_kw=10,
        base_load_high_kw=None,
        connection=Connection(max_import_kw=12 + 6.9),
        sessions=[a_session(hours=1)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([6.9])
    assert any("base_load_high_kw is missing" in warning for warning in schedule.warnings)


def test_a_reservation_is_never_planned_away() -> None:
    problem = a_problem(
        prices=[0.1],
        circuits=[Circuit("garage", max_current_a=26), Circuit("row", parent="garage")],
        evses=[an_evse(circuit_id="row"), an_evse("offline", circuit_id="row")],
        reservations=[Reservation((0, 0, 16), evse_id="offline")],
        sessions=[a_session(hours=1)],
    )

    assert solve(problem).current_a["evse-1"] == pytest.approx([10])


def test_the_minimum_current_is_kept() -> None:
    problem = a_problem(
        prices=[0.10, 0.11, 0.30],
        base_load_kw=[4, 4, 0],
        connection=Connection(max_import_kw=9),
        sessions=[a_session(required_energy_kwh=12)],
    )

    schedule = solve(problem)

    assert all(current_a == 0 or current_a >= 6 for current_a in schedule.current_a["evse-1"] or ())
    assert schedule.unmet_kwh == pytest.approx(0, abs=0.01)


def test_a_need_below_the_minimum_current_is_left_and_named() -> None:
    problem = a_problem(prices=[0.1, 0.2], sessions=[a_session(hours=2, required_energy_kwh=1)])

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == (0.0, 0.0)
    assert schedule.sessions["tx-1"].unmet_kwh == pytest.approx(1)
    assert "minimum current" in (schedule.sessions["tx-1"].note or "")


@pytest.mark.parametrize("step_a", [0.1, 0.5, 1.0])
def test_currents_are_on_the_grid_of_the_charger(step_a: float) -> None:
    problem = a_problem(
        prices=[0.3, 0.2, 0.1],
        evses=[an_evse(current_step_a=step_a)],
        sessions=[a_session(required_energy_kwh=17.77)],
    )

    schedule = solve(problem)

    for current_a in schedule.current_a["evse-1"] or ():
        assert current_a / step_a == pytest.approx(round(current_a / step_a), abs=1e-6)
    assert 17.76 <= schedule.sessions["tx-1"].planned_energy_kwh < 17.77 + step_a * 0.69


def test_a_slot_counts_as_long_as_the_vehicle_is_there() -> None:
    problem = a_problem(
        prices=[0.1, 0.1],
        sessions=[a_session(after_hours=0.75, hours=0.5, required_energy_kwh=5.52)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([11.04, 11.04])
    assert schedule.import_kw == pytest.approx([11.04 / 4, 11.04 / 4])
    assert schedule.sessions["tx-1"].planned_energy_kwh == pytest.approx(5.52)


def test_nothing_is_planned_before_now_and_the_running_slot_counts_what_is_left_of_it() -> None:
    problem = a_problem(
        prices=[0.01, 0.1, 0.3],
        base_load_kw=2,
        now=START + timedelta(minutes=90),
        sessions=[a_session(required_energy_kwh=5.52)],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([0, 11.04, 0])
    assert schedule.import_kw == pytest.approx([2, 13.04, 2])
    assert schedule.cost.total == pytest.approx(13.04 * 0.1 / 2 + 2 * 0.3)


def test_a_session_that_leaves_later_owes_only_what_it_cannot_get_after_the_end() -> None:
    problem = a_problem(prices=[0.1, 0.3], sessions=[a_session(hours=3, required_energy_kwh=22.08)])

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([11.04, 0])
    assert schedule.unmet_kwh == 0


def test_two_sessions_at_one_evse_at_once_are_refused_by_name() -> None:
    problem = a_problem(
        sessions=[a_session("tx-1", hours=2), a_session("tx-2", after_hours=1, hours=2)],
        evses=[an_evse()],
    )

    with pytest.raises(InvalidProblemError, match=r"tx-2.*'tx-1'"):
        solve(problem)


def test_two_sessions_that_share_a_slot_share_its_limit() -> None:
    problem = a_problem(
        prices=[0.1],
        sessions=[
            a_session("tx-1", hours=0.5, required_energy_kwh=3.45),
            a_session("tx-2", after_hours=0.5, hours=0.5, required_energy_kwh=3.45),
        ],
        evses=[an_evse()],
    )

    schedule = solve(problem)

    assert schedule.power_kw["evse-1"] == pytest.approx([6.9])
    assert schedule.unmet_kwh == pytest.approx(0)


def test_the_same_problem_gives_the_same_bits() -> None:
    problem = a_problem(
        prices=[0.3, 0.1, 0.1, 0.2],
        circuits=[Circuit("row", max_current_a=20)],
        evses=[an_evse("a", circuit_id="row"), an_evse("b", circuit_id="row")],
        sessions=[a_session("tx-a", evse_id="a", hours=4), a_session("tx-b", evse_id="b", hours=3)],
        batteries=[a_battery()],
    )

    first, second = (replace(solve(problem), timing_ms={}) for _ in range(2))

    assert first == second


def test_a_preference_for_early_costs_nothing_that_matters() -> None:
    problem = a_problem(prices=[0.2001, 0.2, 0.2], settings=Settings(preference_budget=0.001), sessions=[a_session()])

    schedule = solve(problem)

    assert schedule.cost.total <= 0.2 * 11.04 * (1 + 1e-4)


def test_an_unknown_solver_is_named() -> None:
    with pytest.raises(SolverError, match="simplex-by-hand"):
        solve(a_problem(), solver="simplex-by-hand")
    with pytest.raises(SolverError, match="PuLP knows no solver 'nope'"):
        solve(a_problem(), solver="pulp:nope")


def test_the_door_of_pulp_gives_a_plan_of_the_same_cost() -> None:
    problem = a_problem(
        prices=[0.30, 0.10, 0.40, -0.1],
        export_prices=0.0,
        pv_kw=[0, 3, 0, 0],
        sessions=[a_session(hours=4, required_energy_kwh=24.84)],
        batteries=[a_battery(charge_efficiency=0.9)],
    )

    through_pulp, straight = solve(problem, solver="pulp:HiGHS"), solve(problem)

    assert through_pulp.cost.total == pytest.approx(straight.cost.total, abs=1e-6)


# One EVSE of whole amperes over three hours: few enough currents to try them all.
CURRENTS_A = (0, 6, 7, 8, 9, 10)


@settings(max_examples=25, deadline=None)
@given(
    prices=st.lists(st.integers(-10, 50).map(lambda cents: cents / 100), min_size=3, max_size=3),
    base_load_kw=st.lists(st.sampled_from([0.0, 2.0, 4.5]), min_size=3, max_size=3),
    amperes=st.integers(6, 30),
)
def test_no_choice_of_currents_is_better(prices: list[float], base_load_kw: list[float], amperes: int) -> None:
    problem = a_problem(
        prices=prices,
        base_load_kw=base_load_kw,
        connection=Connection(max_import_kw=9),
        evses=[an_evse(max_current_a=10, current_step_a=1)],
        sessions=[a_session(required_energy_kwh=amperes * 0.69)],
    )

    schedule = solve(problem)

    def worth(currents_a: tuple[int, ...]) -> tuple[float, float]:
        unmet_kwh = amperes * 0.69 - sum(currents_a) * 0.69
        return round(unmet_kwh, 6), sum(
            price * (load_kw + current_a * 0.69)
            for price, load_kw, current_a in zip(prices, base_load_kw, currents_a, strict=True)
        )

    least_unmet_kwh, least_cost = min(
        worth(currents_a)
        for currents_a in product(CURRENTS_A, repeat=3)
        if sum(currents_a) <= amperes
        and all(load + current_a * 0.69 <= 9 for load, current_a in zip(base_load_kw, currents_a, strict=True))
    )
    assert schedule.unmet_kwh == pytest.approx(least_unmet_kwh, abs=1e-6)
    assert schedule.cost.total == pytest.approx(least_cost, abs=1e-6)


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the example problem lies beside the repository, and is not there")
def test_the_example_problem_is_fully_served() -> None:
    problem = problem_from_json(json.loads(EXAMPLE.read_text()))

    schedule = solve(problem)

    assert {name: result.unmet_kwh for name, result in schedule.sessions.items()} == pytest.approx(
        {f"tx-{number}": 0 for number in range(1, 11)}, abs=0.01
    )
    assert schedule.gap is not None
    assert schedule.gap < 0.0025
