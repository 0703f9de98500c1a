"""What a plan does with a vehicle's battery: SoC, a taper, and energy that it gives back. Slots are hours."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.problem_json import problem_from_json
from benchmarks.optimizer_solve import Size, site
from optimizer.check import violations
from optimizer.domain import (
    Circuit,
    Connection,
    Problem,
    Scenario,
    Session,
    Taper,
    VehicleToGrid,
    energy_for_soc,
)
from optimizer.errors import InvalidProblemError
from optimizer.optimise import optimise
from optimizer.solve import solve
from tests.optimizer.builders import START, a_problem, a_session, an_evse


def test_losses_lie_between_the_meter_and_the_vehicles_battery() -> None:
    assert energy_for_soc(0.5, 0.8, capacity_kwh=60, efficiency=0.9) == pytest.approx(20)
    assert energy_for_soc(0.9, 0.8, capacity_kwh=60, efficiency=0.9) == 0


def test_a_target_soc_stands_in_for_the_energy() -> None:
    document: dict[str, Any] = {
        "version": 1, "start": "2026-03-02T00:00:00Z", "slot_minutes": 60, "slots": 2, "connection": {}, "circuits": [],
        "evses": [{"id": "e", "circuit": "connection", "max_current_a": 16, "efficiency": 0.9}],
        "sessions": [{"id": "s", "evse": "e", "arrival": "2026-03-02T00:00:00Z", "departure": "2026-03-02T02:00:00Z",
                      "soc": 0.5, "target_soc": 0.8, "capacity_kwh": 30, "vehicle_phases": 3}],
        "base_load_kw": 0, "import_price_per_kwh": [0.1, 0.2], "export_price_per_kwh": 0,
    }  # fmt: skip

    problem = problem_from_json(document)

    assert problem.sessions[0].required_energy_kwh == pytest.approx(10)
    assert solve(problem).sessions["s"].planned_energy_kwh == pytest.approx(10, abs=0.07)


def test_a_need_that_does_not_fit_into_the_vehicle_is_refused() -> None:
    session = a_session(soc=0.9, capacity_kwh=50, required_energy_kwh=5.1)

    with pytest.raises(InvalidProblemError, match=r"5\.1 is more than the 5\.000 kWh"):
        a_problem(sessions=[session])


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"taper": Taper(0.8)}, "taper"),
        ({"taper": Taper(0.8, 0.8), "soc": 0.5, "capacity_kwh": 60}, "taper"),
        ({"v2g": VehicleToGrid(5)}, "v2g"),
        ({"v2g": VehicleToGrid(-5), "soc": 0.5, "capacity_kwh": 60}, "v2g.max_discharge_kw"),
        ({"soc": 1.2}, "soc"),
        ({"capacity_kwh": 0}, "capacity_kwh"),
    ],
)
def test_what_cannot_be_is_refused_by_name(more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidProblemError) as refused:
        a_session(**more)

    assert refused.value.field.endswith(field)


def a_tapering_car(**more: Any) -> Session:
    """40 kWh that hold 32; up to there 10 kW, then less and less."""
    vehicle: dict[str, Any] = {"soc": 0.8, "capacity_kwh": 40, "taper": Taper(0.8, 1.0), "max_power_kw": 10}
    return a_session(**(vehicle | {"required_energy_kwh": 8, "hours": 3} | more))


def test_a_vehicle_that_is_nearly_full_takes_less_and_less() -> None:
    """Slope 10 kW / 8 kWh: p ≤ 1.25 · (8 − what it has at the end), so 10/2.25 in the first hour."""
    evse = an_evse(min_current_a=0)

    schedule = solve(a_problem(prices=[0.1, 0.2, 0.3], evses=[evse], sessions=[a_tapering_car()]))

    assert schedule.power_kw["evse-1"] == pytest.approx([4.444, 1.975, 0.878], abs=0.07)
    assert schedule.sessions["tx-1"].unmet_kwh == pytest.approx(8 - 7.297, abs=0.1)


def test_a_taper_does_not_bind_below_its_state_of_charge() -> None:
    car = a_tapering_car(soc=0.3, required_energy_kwh=9)

    assert solve(a_problem(prices=[0.3, 0.1, 0.2], sessions=[car])).power_kw["evse-1"] == pytest.approx(
        [0, 9, 0], abs=0.07
    )


def test_what_the_taper_takes_below_the_minimum_current_is_not_planned() -> None:
    schedule = solve(a_problem(prices=[0.1, 0.2, 0.3], sessions=[a_tapering_car()]))

    assert schedule.power_kw["evse-1"][0] == pytest.approx(4.444, abs=0.07)  # 6.4 A
    assert schedule.power_kw["evse-1"][1:] == pytest.approx((0, 0))


@pytest.mark.parametrize(("step_a", "slots", "at_most_kwh"), [(0.1, 6, 0.01), (1.0, 8, 0.11)])
def test_a_step_makes_way_where_a_nearly_full_vehicle_would_go_without(
    step_a: float, slots: int, at_most_kwh: float
) -> None:
    """Each slot is at its taper's limit, rounded down: only a step less here makes room for more elsewhere."""
    prices = [0.3, 0.1, 0.2, 0.25, 0.2, 0.1, 0.15, 0.3][:slots]
    car = a_tapering_car(hours=slots, required_energy_kwh=7, max_power_kw=None)
    problem = a_problem(prices=prices, evses=[an_evse(min_current_a=0, current_step_a=step_a)], sessions=[car])

    schedule = solve(problem)

    assert violations(problem, schedule).caused == ()
    assert schedule.unmet_kwh <= at_most_kwh


def test_two_hundred_tapering_vehicles_are_planned() -> None:
    plain = site(Size(200, 32, 15))
    problem = replace(
        plain,
        sessions=tuple(
            replace(one, soc=0.5, capacity_kwh=2.2 * one.required_energy_kwh, taper=Taper(0.8, 1.0))
            for one in plain.sessions
        ),
    )

    schedule = optimise(problem, baselines=False)

    assert schedule.status in ("optimal", "feasible")
    assert schedule.gap is not None  # time enough for the bound as well


def a_giving_car(**more: Any) -> Session:
    """Half of 40 kWh, 10 kW each way, nothing to charge."""
    default: dict[str, Any] = {
        "soc": 0.5,
        "capacity_kwh": 40,
        "v2g": VehicleToGrid(10),
        "required_energy_kwh": 0,
        "max_power_kw": 10,
    }
    return a_session(**(default | more))


def v2g_problem(car: Session, **more: Any) -> Problem:
    default: dict[str, Any] = {"prices": [0.1, 0.5], "export_prices": [0.1, 0.5]}
    return a_problem(**(default | {"evses": [an_evse(min_current_a=0)], "sessions": [car]} | more))


def test_takes_when_it_is_cheap_and_gives_when_it_is_dear() -> None:
    schedule = solve(v2g_problem(a_giving_car(hours=2)))

    assert schedule.power_kw["evse-1"] == pytest.approx([10, -10], abs=0.07)
    assert schedule.cost.ev == pytest.approx(-4, abs=0.05)
    assert schedule.export_kw[1] == pytest.approx(10, abs=0.07)
    assert (schedule.current_a["evse-1"] or ())[1] < 0


@pytest.mark.parametrize(("later_price", "gives_kw"), [(0.1, 4.14), (0.45, 0)])
def test_giving_less_than_the_minimum_is_raised_to_it_where_that_pays_and_dropped_elsewhere(
    later_price: float, gives_kw: float
) -> None:
    """3 kW of base load could be spared; 6 A are 4.14 kW, and export pays nothing."""
    problem = v2g_problem(
        a_giving_car(hours=2), prices=[0.5, later_price], export_prices=0.0, base_load_kw=3, evses=[an_evse()]
    )

    schedule = solve(problem)

    assert violations(problem, schedule).caused == ()
    assert schedule.power_kw["evse-1"][0] == pytest.approx(-gives_kw, abs=1e-6)
    assert schedule.sessions["tx-1"].unmet_kwh <= 0.01


def test_a_vehicle_never_gives_below_its_floor() -> None:
    car = a_giving_car(hours=2, v2g=VehicleToGrid(10, floor_energy_kwh=15))

    schedule = solve(v2g_problem(car, prices=[0.5, 0.6], export_prices=[0.5, 0.4]))

    assert sum(schedule.power_kw["evse-1"]) == pytest.approx(0, abs=0.2)
    assert min(schedule.power_kw["evse-1"]) >= -5.0001


def test_a_vehicle_below_its_floor_gives_nothing() -> None:
    car = a_giving_car(hours=2, v2g=VehicleToGrid(10, floor_energy_kwh=30))

    assert min(solve(v2g_problem(car)).power_kw["evse-1"]) >= 0


def test_giving_has_to_earn_its_losses_and_its_wear() -> None:
    def traded_kwh(wear_price_per_kwh: float) -> float:
        car = a_giving_car(hours=2, v2g=VehicleToGrid(10, wear_price_per_kwh=wear_price_per_kwh))
        evse = an_evse(min_current_a=0, efficiency=0.8)  # 1 kWh given costs 1 / 0.64 taken: 0.156
        return -solve(v2g_problem(car, evses=[evse])).power_kw["evse-1"][1]

    assert traded_kwh(0.34) > 5
    assert traded_kwh(0.35) == 0


def test_what_a_vehicle_gives_does_not_help_a_fuse() -> None:
    giving = a_giving_car(hours=1)
    taking = a_session("tx-2", evse_id="evse-2", hours=1)
    problem = a_problem(
        prices=[0.5],
        connection=Connection(max_import_kw=6),
        evses=[an_evse(min_current_a=0), an_evse("evse-2")],
        sessions=[giving, taking],
    )

    assert solve(problem).power_kw["evse-2"][0] == pytest.approx(6, abs=0.07)


def test_vehicles_export_no_more_than_the_connection_and_their_circuit_allow() -> None:
    car = a_giving_car(hours=2)
    at_connection = v2g_problem(car, connection=Connection(max_export_kw=4))
    on_circuit = v2g_problem(
        car,
        circuits=[Circuit("row", max_power_kw=3)],
        evses=[an_evse(circuit_id="row", min_current_a=0)],
    )

    assert solve(at_connection).power_kw["evse-1"][1] == pytest.approx(-4, abs=0.07)
    assert solve(on_circuit).power_kw["evse-1"][1] == pytest.approx(-3, abs=0.07)


def test_does_not_burn_energy_in_circles_where_import_is_paid() -> None:
    """With a loss, taking and giving at once would burn what is paid to be imported."""
    car = a_giving_car(hours=1, soc=0.9, required_energy_kwh=0, max_energy_kwh=4)
    evse = an_evse(min_current_a=0, efficiency=0.8)

    schedule = solve(v2g_problem(car, prices=[-0.2], export_prices=[-0.3], evses=[evse]))

    assert 0 <= schedule.power_kw["evse-1"][0] <= 4.1
    assert schedule.sessions["tx-1"].planned_energy_kwh <= 4.1


def test_a_vehicle_that_has_given_leaves_with_what_was_promised() -> None:
    car = a_giving_car(hours=3, required_energy_kwh=5, max_energy_kwh=5)

    schedule = solve(v2g_problem(car, prices=[0.5, 0.1, 0.2], export_prices=[0.45, 0.05, 0.1]))

    assert schedule.power_kw["evse-1"][0] < -1
    assert schedule.sessions["tx-1"].unmet_kwh == pytest.approx(0, abs=0.01)


PRICE = st.integers(-10, 50).map(lambda cents: cents / 100)
LOSS = 1 / 0.9**2


@st.composite
def gambles(draw: st.DrawFn) -> Problem:
    """A belief that may give and tapers, in three hours of steps of 8 A: few enough plans to try every one."""
    early, late = (draw(st.sampled_from((2.0, 6.0, 10.0))) for _ in range(2))
    car = a_session(
        scenarios=(
            Scenario(0.3, START + timedelta(hours=1.5), early),
            Scenario(0.7, START + timedelta(hours=3), late),
        ),
        required_energy_kwh=max(early, late),
        soc=0.5,
        capacity_kwh=20,
        probability=draw(st.sampled_from((1.0, 0.5))),
        taper=draw(st.sampled_from((None, Taper(0.6, 1.0)))),
        v2g=draw(st.sampled_from((None, VehicleToGrid(11.04, 4.0, 0.03)))),
    )
    import_price = draw(st.lists(PRICE, min_size=3, max_size=3))
    return a_problem(
        prices=import_price,
        export_prices=[price - 0.05 for price in import_price],
        evses=[an_evse(min_current_a=0, current_step_a=8, efficiency=0.9)],
        sessions=[car],
        unmet_price_per_kwh=draw(st.sampled_from((0.1, 0.4, 1.0))),
        base_load_kw=2,
    )


def every_plan(problem: Problem) -> Iterator[float]:
    """The money of every plan that keeps the vehicle's rules, with the price of what is expected to be missing."""
    car = problem.sessions[0]
    for steps in product(range(-2, 3) if car.v2g else range(3), repeat=3):
        powers = [5.52 * step for step in steps]
        metered = [power_kw if power_kw > 0 else power_kw * LOSS for power_kw in powers]
        levels = list(accumulate(metered))
        held = [10 + level * 0.9 for level in levels]
        if min(held) < 4 or max(held) > 20 or levels[-1] > car.required_energy_kwh:
            continue
        if car.taper and any(p > 11.04 * (20 - kwh) / 8 for p, kwh in zip(powers, held, strict=True) if p > 0):
            continue
        missing = 0.3 * max(car.scenarios[0].required_energy_kwh - metered[0] - metered[1] / 2, 0) + 0.7 * max(
            car.scenarios[1].required_energy_kwh - levels[-1], 0
        )
        net = [2 + power_kw * car.probability for power_kw in powers]
        prices = zip(problem.import_price_per_kwh, problem.export_price_per_kwh, net, strict=True)
        money = sum(kw * (buy if kw > 0 else sell) for buy, sell, kw in prices)
        money += 0.03 * car.probability * sum(max(-power_kw, 0) for power_kw in powers)
        yield money + missing * (problem.unmet_price_per_kwh or 0)


@settings(max_examples=80, deadline=None)
@given(gambles())
def test_no_plan_of_all_that_there_are_undercuts_the_bound(problem: Problem) -> None:
    schedule = solve(problem)

    powers = schedule.power_kw["evse-1"]
    drawn = zip(problem.import_price_per_kwh, powers, strict=True)
    gross = sum(abs(price) * max(kw, 0) * problem.sessions[0].probability for price, kw in drawn)
    assert schedule.gap is not None
    bound = schedule.cost.minimised - schedule.gap * max(gross, 0.01)
    cheapest = min(every_plan(problem))
    assert bound <= cheapest + 1e-6
    assert schedule.cost.minimised >= bound - 1e-6
