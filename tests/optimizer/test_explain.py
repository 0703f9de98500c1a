"""Why a plan is as it is: prices that can be worked out by hand, and laws that hold for every site."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given

from optimizer.domain import (
    CONNECTION,
    Circuit,
    Connection,
    DemandCharge,
    Problem,
    Schedule,
    Session,
    Taper,
    VehicleToGrid,
)
from optimizer.explain import Explanation, Repair, explain
from optimizer.explain.prices import prices_of, site_binding
from optimizer.explain.shadow import shadow_of
from optimizer.program import Site, Variables
from optimizer.solve import solve
from tests.optimizer.builders import a_battery, a_problem, a_session, an_evse, problems
from tests.optimizer.test_laws import law

ONE_PHASE_KW = 3.68  # 16 A at 230 V
LITTLE_KWH = 0.001
LAST = 99


def explained(problem: Problem) -> Explanation:
    return explain(problem, solve(problem))


def one_phase_row(*, needs_kwh: tuple[float, float], prices: tuple[float, ...], rated_a: float = 16) -> Problem:
    """Two EVSEs on L1 below one fuse."""
    return a_problem(
        prices=prices,
        circuits=[Circuit("row-a", max_current_a=rated_a)],
        evses=[an_evse(f"evse-{n}", circuit_id="row-a", phases=("L1",)) for n in (1, 2)],
        sessions=[
            a_session(f"tx-{n}", evse_id=f"evse-{n}", hours=len(prices), required_energy_kwh=need, vehicle_phases=1)
            for n, need in enumerate(needs_kwh, start=1)
        ],
    )


def test_the_price_of_the_next_kwh_is_that_of_the_dearest_slot_in_use() -> None:
    problem = a_problem(prices=[0.30, 0.10, 0.40], sessions=[a_session(required_energy_kwh=16)])

    reasons = explained(problem)

    assert reasons.sessions["tx-1"].marginal_price_per_kwh == pytest.approx(0.30)
    assert [slot.price_per_kwh for slot in reasons.evses["evse-1"]] == pytest.approx([0.30, 0.10, 0.40])
    assert [slot.worth_per_kwh for slot in reasons.evses["evse-1"]] == pytest.approx([0.30, 0.30, 0.30])
    assert reasons.binding == ()


def test_the_next_best_slot_is_the_cheapest_that_is_not_used() -> None:
    problem = a_problem(prices=[0.30, 0.10, 0.40, 0.35], sessions=[a_session(required_energy_kwh=16, hours=4)])

    next_best = explained(problem).sessions["tx-1"].next_best

    assert next_best is not None
    assert next_best.slot == 3
    assert next_best.headroom_kw == pytest.approx(11.04)
    assert next_best.more_per_kwh == pytest.approx(0.05)


def test_a_full_circuit_is_not_the_next_best_slot() -> None:
    problem = one_phase_row(needs_kwh=(ONE_PHASE_KW, ONE_PHASE_KW), prices=(0.10, 0.40, 0.50))
    schedule = solve(problem)
    waiting = "tx-1" if schedule.power_kw["evse-1"][0] == 0 else "tx-2"

    next_best = explain(problem, schedule).sessions[waiting].next_best

    assert next_best is not None
    assert next_best.slot == 2


def test_a_fuse_costs_the_difference_to_the_slot_that_it_drives_to() -> None:
    reasons = explained(one_phase_row(needs_kwh=(ONE_PHASE_KW, ONE_PHASE_KW), prices=(0.10, 0.40, 0.50)))

    (binding,) = reasons.binding
    assert (binding.rule, binding.where, binding.phase, binding.slot) == ("circuit_current", "row-a", "L1", 0)
    assert str(binding) == "circuit_current at row-a L1 slot 0"
    assert reasons.evses["evse-1"][0].price_per_kwh == pytest.approx(0.40)
    # The second slot is full as well: the fuse there may cost up to the step to the third, and that adds to the first.
    assert binding.shadow_price_per_kwh == pytest.approx(0.30, abs=1e-6)


def test_a_demand_charge_spreads_its_price_over_the_hours_that_make_the_peak() -> None:
    problem = a_problem(
        prices=0.20,
        slots=3,
        sessions=[a_session(required_energy_kwh=12)],
        demand_charges=[DemandCharge("month", 6.0, interval_minutes=60)],
    )

    reasons = explained(problem)

    assert reasons.sessions["tx-1"].marginal_price_per_kwh == pytest.approx(0.20 + 6.0 / 3)
    assert {one.rule for one in reasons.binding} == {"demand_peak"}
    assert sum(one.shadow_price_per_kwh for one in reasons.binding) == pytest.approx(6.0)
    assert "2.0000 for demand_peak at month included" in reasons.evses["evse-1"][1].why


def test_an_import_limit_is_part_of_the_price_of_energy() -> None:
    problem = a_problem(
        prices=[0.10, 0.30],
        connection=Connection(max_import_kw=10),
        sessions=[a_session(required_energy_kwh=12, hours=2)],
    )

    reasons = explained(problem)

    first, second = reasons.evses["evse-1"]
    assert [first.price_per_kwh, second.price_per_kwh] == pytest.approx([0.30, 0.30])
    assert {(one.where, one.slot) for one in reasons.binding} == {(CONNECTION, 0)}
    assert sum(one.shadow_price_per_kwh for one in reasons.binding) == pytest.approx(0.20)


def test_a_half_hour_costs_what_an_hour_costs() -> None:
    problem = a_problem(prices=[0.10, 0.40], slot_minutes=30, sessions=[a_session(required_energy_kwh=8, hours=1)])

    reasons = explained(problem)

    assert [slot.price_per_kwh for slot in reasons.evses["evse-1"]] == pytest.approx([0.10, 0.40])
    assert reasons.sessions["tx-1"].marginal_price_per_kwh == pytest.approx(0.40)


def test_pv_that_would_be_exported_costs_what_export_pays() -> None:
    problem = a_problem(
        prices=0.30, export_prices=0.08, slots=2, pv_kw=[20, 0], sessions=[a_session(hours=2, required_energy_kwh=5)]
    )

    reasons = explained(problem)

    assert [slot.price_per_kwh for slot in reasons.evses["evse-1"]] == pytest.approx([0.08, 0.30])


@pytest.mark.parametrize(
    ("slot", "says"),
    [
        (0, "charges 4.968 kW: a kWh costs 0.3000 EUR, the price of its last kWh"),
        (1, "charges 11.040 kW, all that EVSE and vehicle take: a kWh costs 0.1000 EUR, 0.2000 less"),
        (2, "does not charge: a kWh costs 0.4000 EUR, 0.1000 more than its last kWh at 0.3000"),
    ],
)
def test_says_in_words_why_it_charges_or_does_not(slot: int, says: str) -> None:
    problem = a_problem(prices=[0.30, 0.10, 0.40], sessions=[a_session(required_energy_kwh=16)])

    assert explained(problem).evses["evse-1"][slot].why.startswith(says)


def test_says_who_is_held_back_by_which_fuse() -> None:
    problem = one_phase_row(needs_kwh=(ONE_PHASE_KW, ONE_PHASE_KW), prices=(0.10, 0.40), rated_a=24)

    texts = [explained(problem).evses[evse_id][0].why for evse_id in ("evse-1", "evse-2")]

    assert any("held back by circuit_current at row-a L1" in text for text in texts)


def test_slots_count_from_the_start_of_the_horizon_also_when_some_are_over() -> None:
    start = a_problem().horizon.start
    problem = a_problem(
        prices=[0.30, 0.10, 0.40], now=start + timedelta(hours=1), sessions=[a_session(required_energy_kwh=16)]
    )

    reasons = explained(problem).evses["evse-1"]

    assert [slot.slot for slot in reasons] == [1, 2]
    assert [slot.price_per_kwh for slot in reasons] == pytest.approx([0.10, 0.40])


def test_tells_of_one_evse_alone() -> None:
    problem = one_phase_row(needs_kwh=(1, 2), prices=(0.1, 0.2))

    reasons = explain(problem, solve(problem), evse_id="evse-2")

    assert set(reasons.evses) == {"evse-2"}
    assert set(reasons.sessions) == {"tx-2"}
    with pytest.raises(KeyError, match="nowhere"):
        explain(problem, solve(problem), evse_id="nowhere")


def test_an_explanation_is_json() -> None:
    problem = a_problem(
        prices=[0.3, 0.1], batteries=[a_battery()], sessions=[a_session(hours=2, required_energy_kwh=30)]
    )

    told = json.loads(json.dumps(explained(problem).as_dict()))

    assert told["evses"]["evse-1"][0]["slot"] == 0
    assert told["unmet"][0]["repairs"][0]["kind"]


def repairs_of(problem: Problem) -> dict[str, Repair]:
    (unmet,) = explained(problem).unmet
    assert unmet.cheapest == min(unmet.repairs, key=lambda repair: repair.share)
    return {repair.kind: repair for repair in unmet.repairs}


def test_half_an_hour_later_is_what_half_an_hour_of_energy_takes() -> None:
    problem = a_problem(prices=0.2, slots=4, sessions=[a_session(hours=1, required_energy_kwh=16.56)])

    repairs = repairs_of(problem)

    assert set(repairs) == {"leave_later", "take_less"}  # no circuit stands in its way
    assert (repairs["leave_later"].amount, repairs["leave_later"].share) == (30, 0.5)
    assert repairs["leave_later"].money == pytest.approx(5.52 * 0.2, abs=1e-4)
    assert repairs["take_less"].amount == pytest.approx(5.52)
    assert str(repairs["leave_later"]) == "leave 30 minutes later"


def test_cannot_leave_later_than_the_next_vehicle_comes() -> None:
    problem = a_problem(
        prices=0.2,
        slots=4,
        sessions=[
            a_session(hours=1, required_energy_kwh=16.56),
            a_session("next", after_hours=1.25, hours=2, required_energy_kwh=5),
        ],
    )

    assert set(repairs_of(problem)) == {"take_less"}


def test_names_the_circuit_that_needs_more_power_and_how_much() -> None:
    problem = a_problem(
        prices=0.2,
        slots=1,
        connection=Connection(max_import_kw=50),
        circuits=[Circuit("hall", max_power_kw=40), Circuit("row-a", parent="hall", max_power_kw=6)],
        evses=[an_evse(circuit_id="row-a")],
        sessions=[a_session(hours=1, required_energy_kwh=10)],
    )

    more = repairs_of(problem)["more_power"]

    assert (more.where, more.unit) == ("row-a", "kW")
    assert more.amount == pytest.approx(4.0)
    assert more.share == pytest.approx(4 / 6)
    assert str(more) == "4 kW more at row-a"


def test_a_fuse_in_ampere_is_raised_on_all_three_phases() -> None:
    problem = a_problem(
        prices=0.2,
        slots=1,
        circuits=[Circuit("row-a", max_current_a=10)],
        evses=[an_evse(circuit_id="row-a")],
        sessions=[a_session(hours=1, required_energy_kwh=10.35)],  # 15 A
    )

    assert repairs_of(problem)["more_power"].amount == pytest.approx(3.5)  # 5 A × 3 × 230 V, rounded up to 0.1


def test_an_overloaded_connection_needs_its_overload_as_well() -> None:
    problem = a_problem(
        prices=0.2,
        slots=1,
        base_load_kw=30,
        connection=Connection(max_import_kw=20),
        sessions=[a_session(hours=1, required_energy_kwh=5)],
    )

    assert repairs_of(problem)["more_power"].amount == pytest.approx(15)


@law(40)
@given(problems())
def test_complementary_slackness_a_price_only_where_a_limit_holds(problem: Problem) -> None:
    site = Site.of(problem)
    v = Variables.of(site)

    shadow = shadow_of(site, v, solve(problem), time_limit_s=10)

    program, duals = shadow.program, shadow.duals
    activity = program.matrix.dot(shadow.x)
    slack = np.minimum(activity - program.row_lower, program.row_upper - activity)
    assert slack[np.abs(duals.rows) > 1e-6] == pytest.approx(0, abs=1e-5)
    from_bound = np.minimum(shadow.x - program.lower, program.upper - shadow.x)
    assert from_bound[np.abs(duals.columns) > 1e-6] == pytest.approx(0, abs=1e-5)
    assert (duals.rows[np.isinf(program.row_lower)] <= 1e-7).all()  # rows of ≤: room is never worth less than nothing
    assert all(one.shadow_price_per_kwh > 0 for one in site_binding(site, v, shadow))


@law(40)
@given(problems())
def test_the_cheapest_plan_charges_where_the_price_is_below_the_worth(problem: Problem) -> None:
    site = Site.of(problem)
    v = Variables.of(site)

    shadow = shadow_of(site, v, solve(problem), time_limit_s=10)
    prices = prices_of(site, v, shadow)

    power_kw, gain = shadow.x[v.charge], prices.worth - prices.total
    kwh_per_kw = site.charge.present * site.grid.hours[site.charge.slot]
    assert power_kw[gain * kwh_per_kw < -1e-6] == pytest.approx(0, abs=1e-5)
    full = gain * kwh_per_kw > 1e-6
    assert power_kw[full] == pytest.approx(site.charge.max_kw[full], abs=1e-5)


def repaired(problem: Problem, session: Session, repair: Repair) -> Problem:
    """The change of a repair, written down once more: the test does not take the code's word for it."""
    if repair.kind == "more_power":
        more_a = repair.amount * 1000 / problem.connection.voltage_v / 3
        if repair.where == CONNECTION:
            wire = problem.connection
            power_kw = None if wire.max_import_kw is None else wire.max_import_kw + repair.amount
            current_a = None if wire.max_current_a is None else wire.max_current_a + more_a
            return replace(problem, connection=replace(wire, max_import_kw=power_kw, max_current_a=current_a))
        circuits = []
        for one in problem.circuits:
            power_kw = None if one.max_power_kw is None else one.max_power_kw + repair.amount
            current_a = None if one.max_current_a is None else one.max_current_a + more_a
            stronger = replace(one, max_power_kw=power_kw, max_current_a=current_a)
            circuits.append(stronger if one.circuit_id == repair.where else one)
        return replace(problem, circuits=tuple(circuits))
    changed = (
        replace(session, departure=session.departure + timedelta(minutes=repair.amount))
        if repair.kind == "leave_later"
        else replace(session, required_energy_kwh=session.required_energy_kwh - repair.amount)
    )
    return replace(problem, sessions=tuple(changed if one == session else one for one in problem.sessions))


def others_content(problem: Problem, schedule: Schedule, session: Session) -> Problem:
    """Everybody else asks for what the plan gives them: the room that is left belongs to one wish.

    Who gets nothing still wishes for something, last of all: who wants nothing would block a slot that two stays share.
    """

    def content(one: Session) -> Session:
        planned_kwh = schedule.sessions[one.session_id].planned_energy_kwh
        if planned_kwh > 0:
            return replace(one, required_energy_kwh=planned_kwh)
        return replace(one, required_energy_kwh=min(one.required_energy_kwh, LITTLE_KWH), priority=LAST)

    sessions = tuple(one if one == session else content(one) for one in problem.sessions)
    return replace(problem, sessions=sessions)


@law(25)
@given(problems(max_slots=8, max_evses=3))
def test_every_repair_meets_its_wish_when_it_is_solved_again(problem: Problem) -> None:
    smooth = tuple(replace(evse, min_current_a=0.0, current_step_a=0.001) for evse in problem.evses)
    sessions = tuple(replace(one, min_current_a=None) for one in problem.sessions)
    problem = replace(problem, evses=smooth, sessions=sessions)
    schedule = solve(problem)

    for wish in explain(problem, schedule).unmet:
        session = next(one for one in problem.sessions if one.session_id == wish.session_id)
        for repair in wish.repairs:
            again = solve(repaired(others_content(problem, schedule, session), session, repair))

            assert again.sessions[wish.session_id].unmet_kwh < 0.02, repair


def test_a_stay_of_seconds_in_a_slot_that_two_share_has_reasons_too() -> None:
    def a_stay(name: str, begin_s: int, end_s: int, kwh: float, max_power_kw: float | None = None) -> Session:
        start = a_problem().horizon.start
        return replace(
            a_session(name, required_energy_kwh=kwh, vehicle_phases=2, max_power_kw=max_power_kw),
            arrival=start + timedelta(seconds=begin_s),
            departure=start + timedelta(seconds=end_s),
        )

    problem = a_problem(
        prices=[0.143, 0.0, 0.0, 0.0, 0.226],
        slot_minutes=5,
        evses=[an_evse(max_current_a=10, min_current_a=0.0, current_step_a=0.001)],
        sessions=[a_stay("tx-1", 0, 7, 0.1), a_stay("tx-2", 288, 1201, 1.0, max_power_kw=3.7)],
    )

    reasons = explained(problem)

    assert [wish.session_id for wish in reasons.unmet] == ["tx-1", "tx-2"]


def test_a_floor_makes_the_early_slots_worth_more() -> None:
    early = a_session(
        hours=3,
        required_energy_kwh=11.04,
        floor_energy_kwh=5.0,
        floor_by=a_problem().horizon.start + timedelta(hours=1),
    )
    problem = a_problem(prices=[0.30, 0.10, 0.40], sessions=[early])

    reasons = explained(problem)

    assert [slot.worth_per_kwh for slot in reasons.evses["evse-1"]] == pytest.approx([0.30, 0.10, 0.10])
    assert reasons.sessions["tx-1"].marginal_price_per_kwh == pytest.approx(0.30)


def test_says_what_a_vehicle_gives_for() -> None:
    lender = a_session(
        hours=2,
        required_energy_kwh=2,
        soc=0.5,
        capacity_kwh=60,
        v2g=VehicleToGrid(max_discharge_kw=5, floor_energy_kwh=5),
    )
    problem = a_problem(prices=[0.60, 0.10], base_load_kw=8, sessions=[lender])

    first, second = explained(problem).evses["evse-1"]

    assert first.power_kw == pytest.approx(-5, abs=0.1)
    assert first.why.startswith("gives 4.968 kW: a kWh costs 0.6000 EUR, its last kWh 0.1000")
    assert second.power_kw > 0


def test_a_taper_is_named_where_it_holds_a_vehicle_back() -> None:
    nearly_full = a_session(
        hours=4, required_energy_kwh=7.5, soc=0.8, capacity_kwh=50, taper=Taper(from_soc=0.85, zero_at_soc=1.0)
    )
    problem = a_problem(prices=[0.40, 0.10, 0.40, 0.40], evses=[an_evse(min_current_a=0.0)], sessions=[nearly_full])

    reasons = explained(problem)

    assert {one.rule for slot in reasons.evses["evse-1"] for one in slot.binding} == {"taper"}
    assert any(one.where == "tx-1" for one in reasons.binding)
