"""Start from a schedule that was worked out by hand, break one rule by one value, and see it named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import Any

import pytest

from optimizer.check import SAFETY, violations
from optimizer.domain import (
    BatteryResult,
    Circuit,
    Connection,
    Cost,
    DemandCharge,
    Evse,
    Problem,
    Reservation,
    Schedule,
    SessionResult,
    Violation,
)
from tests.optimizer.broken import Broken, assert_named, named
from tests.optimizer.builders import START, a_battery, a_problem, a_session, an_evse

PROBLEM = a_problem(
    prices=[0.30, 0.10, 0.40, 0.20],
    export_prices=0.05,
    connection=Connection(max_import_kw=40, max_export_kw=20, max_current_a=60),
    circuits=[Circuit("row", max_power_kw=22, max_current_a=32)],
    evses=[
        an_evse("a", circuit_id="row"),
        an_evse("b", circuit_id="row", phases=("L2", "L3", "L1")),
        Evse("dc", "connection", max_power_kw=20),
    ],
    sessions=[
        a_session("tx-a", evse_id="a", hours=2.5, required_energy_kwh=20.01, max_power_kw=11.04),
        a_session("tx-b", evse_id="b", after_hours=1, hours=3, required_energy_kwh=6, vehicle_phases=1),
        a_session("tx-dc", evse_id="dc", after_hours=3, hours=1, required_energy_kwh=5),
    ],
    base_load_kw=2,
    pv_kw=[0, 0, 10, 4],
    pv_curtailable=True,
    batteries=[a_battery("bat", final_energy_kwh=4, wear_price_per_kwh=0.02)],
    demand_charges=[DemandCharge("month", 2.0, interval_minutes=60, peak_so_far_kw=5, expected_peak_kw=6)],
    carbon_kg_per_kwh=0.5,
    carbon_price_per_kg=0.1,
)
GOOD = Schedule(
    status="optimal",
    power_kw={"a": (6.9, 11.04, 4.14, 0.0), "b": (0.0, 1.84, 1.84, 1.84), "dc": (0.0, 0.0, 0.0, 5.0)},
    current_a={"a": (10.0, 16.0, 6.0, 0.0), "b": (0.0, 8.0, 8.0, 8.0), "dc": None},
    sessions={
        "tx-a": SessionResult(6.9 + 11.04 + 4.14 / 2, 0.0),
        "tx-b": SessionResult(3 * 1.84, 6 - 3 * 1.84),
        "tx-dc": SessionResult(5.0, 0.0),
    },
    batteries={"bat": BatteryResult(power_kw=(2.0, 0.0, -3.0, 0.0), energy_kwh=(7.0, 7.0, 4.0, 4.0))},
    import_kw=(2 + 6.9 + 2, 2 + 11.04 + 1.84, 0.0, 2 + 1.84 + 5 - 4 + 1),
    export_kw=(0.0, 0.0, 10 + 3 - 2 - 2.07 - 1.84, 0.0),
    curtail_kw=(0.0, 0.0, 0.0, 1.0),
    peak_kw={"month": 14.88},
    cost=Cost(
        energy=10.9 * 0.30 + 14.88 * 0.10 - 7.09 * 0.05 + 5.84 * 0.20,
        demand=2.0 * (14.88 - 6),
        carbon=(10.9 + 14.88 + 5.84) * 0.5 * 0.1,
        wear=2 * 0.02,
    ),
)


def at(series: tuple[float, ...], slot: int, value: float) -> tuple[float, ...]:
    return (*series[:slot], value, *series[slot + 1 :])


def powered(evse_id: str, slot: int, power_kw: float, current_a: float | None = None) -> Schedule:
    """GOOD with another limit at one EVSE and slot; energy and balance are left as they were."""
    amps = GOOD.current_a[evse_id]
    return replace(
        GOOD,
        power_kw={**GOOD.power_kw, evse_id: at(GOOD.power_kw[evse_id], slot, power_kw)},
        current_a={**GOOD.current_a, evse_id: amps and at(amps, slot, current_a if current_a is not None else 0.0)},
    )


def battery(power_kw: tuple[float, ...], energy_kwh: tuple[float, ...]) -> Schedule:
    return replace(GOOD, batteries={"bat": BatteryResult(power_kw, energy_kwh)})


def session(session_id: str, planned_energy_kwh: float, unmet_kwh: float) -> Schedule:
    return replace(GOOD, sessions={**GOOD.sessions, session_id: SessionResult(planned_energy_kwh, unmet_kwh)})


def with_connection(**limits: Any) -> Problem:
    return replace(PROBLEM, connection=replace(PROBLEM.connection, **limits))


def with_battery(**changed: Any) -> Problem:
    return replace(PROBLEM, batteries=(replace(PROBLEM.batteries[0], **changed),))


def with_session(index: int, **changed: Any) -> Problem:
    sessions = list(PROBLEM.sessions)
    sessions[index] = replace(sessions[index], **changed)
    return replace(PROBLEM, sessions=tuple(sessions))


def with_row(**limits: Any) -> Problem:
    return replace(PROBLEM, circuits=(replace(PROBLEM.circuits[0], **limits),))


def test_the_schedule_that_was_worked_out_by_hand_breaks_nothing() -> None:
    found = violations(PROBLEM, GOOD)

    assert found.all == ()
    assert not found


BROKEN = [
    Broken("power is not a number", ("finite_power_kw", "a", 1, None), powered("a", 1, nan, 16)),
    Broken("current is infinite", ("finite_current_a", "a", 1, None), powered("a", 1, 11.04, inf)),
    Broken(
        "import is not a number",
        ("finite_import_kw", "connection", 2, None),
        replace(GOOD, import_kw=at(GOOD.import_kw, 2, nan)),
    ),
    Broken(
        "a series is too short",
        ("length_of_export_kw", "connection", None, None),
        replace(GOOD, export_kw=GOOD.export_kw[:3]),
    ),
    Broken(
        "an EVSE is missing",
        ("missing_power_kw", "b", None, None),
        replace(GOOD, power_kw={k: v for k, v in GOOD.power_kw.items() if k != "b"}),
    ),
    Broken(
        "an AC EVSE without a current",
        ("missing_current_a", "b", None, None),
        replace(GOOD, current_a={**GOOD.current_a, "b": None}),
    ),
    Broken(
        "a DC EVSE with a current",
        ("current_of_dc", "dc", None, None),
        replace(GOOD, current_a={**GOOD.current_a, "dc": (0.0,) * 4}),
    ),
    Broken(
        "an EVSE that nobody knows",
        ("unknown_evse", "x", None, None),
        replace(GOOD, power_kw={**GOOD.power_kw, "x": (0.0,) * 4}),
    ),
    Broken(
        "a session is missing",
        ("missing_energy", "tx-b", None, None),
        replace(GOOD, sessions={k: v for k, v in GOOD.sessions.items() if k != "tx-b"}),
    ),
    Broken("a battery is missing", ("missing_battery_power_kw", "bat", None, None), replace(GOOD, batteries={})),
    Broken("a peak is missing", ("missing_peak_kw", "month", None, None), replace(GOOD, peak_kw={})),
    Broken("a cost is not a number", ("finite_cost", "connection", None, None), replace(GOOD, cost=Cost(energy=nan))),
    Broken("power from a vehicle", ("negative_power", "a", 1, None), powered("a", 1, -1.0, 0.0), excess=1.0),
    Broken("current from a vehicle", ("negative_current", "a", 1, None), powered("a", 1, 0.0, -6.0), excess=6.0),
    Broken("more than the EVSE's current", ("evse_current", "a", 1, None), powered("a", 1, 11.73, 17.0), excess=1.0),
    Broken("more than the EVSE's power", ("evse_power", "dc", 3, None), powered("dc", 3, 21.0), excess=1.0),
    Broken("between two steps", ("current_step", "a", 1, None), powered("a", 1, 10.3845, 15.05), excess=0.05),
    Broken("below the minimum current", ("minimum_current", "b", 2, None), powered("b", 2, 1.15, 5.0), excess=1.0),
    Broken(
        "below the vehicle's own minimum current",
        ("minimum_current", "b", 1, None),
        problem=with_session(1, min_current_a=9.0),
        excess=1.0,
    ),
    Broken("before the arrival", ("outside_presence", "b", 0, None), powered("b", 0, 1.84, 8.0)),
    Broken("after the departure", ("outside_presence", "a", 3, None), powered("a", 3, 4.14, 6.0)),
    Broken(
        "more than the vehicle takes",
        ("vehicle_power", "a", 1, None),
        problem=with_session(0, max_power_kw=11.0),
        excess=0.04,
    ),
    Broken("power and current disagree", ("power_of_current", "a", 1, None), powered("a", 1, 11.04, 15.0), excess=0.69),
    Broken(
        "the connection draws too much power",
        ("connection_import", "connection", 1, None),
        problem=with_connection(max_import_kw=14.87),
        excess=0.01,
    ),
    Broken(
        "the connection draws too much power although PV and battery would help",
        ("connection_import", "connection", 2, None),
        powered("a", 2, 11.04, 16),
        with_connection(max_import_kw=14.875),
        excess=0.005,
    ),
    Broken(
        "one phase of the connection carries too much",
        ("connection_current", "connection", 1, "L2"),
        problem=with_connection(max_current_a=26.8),
        excess=16 + 8 + 2000 / 3 / 230 - 26.8,
    ),
    Broken(
        "a circuit carries too much power",
        ("circuit_power", "row", 1, None),
        problem=with_row(max_power_kw=12.8),
        excess=0.08,
    ),
    Broken(
        "the phase of a one-phase vehicle behind a rotation carries too much",
        ("circuit_current", "row", 1, "L2"),
        problem=with_row(max_current_a=23.5),
        excess=0.5,
    ),
    Broken(
        "what else draws on a circuit counts",
        ("circuit_current", "row", 1, "L3"),
        problem=with_row(max_current_a=24, base_load_a=(0.0, 0.0, 9.0)),
        excess=1.0,
    ),
    Broken(
        "a reservation of a circuit counts",
        ("circuit_current", "row", 1, "L1"),
        problem=replace(PROBLEM, reservations=(Reservation((17.0, 0.0, 0.0), circuit_id="row"),)),
        excess=1.0,
    ),
    Broken(
        "a reservation of an EVSE counts",
        ("circuit_current", "row", 1, "L2"),
        problem=replace(PROBLEM, reservations=(Reservation((0.0, 9.0, 0.0), evse_id="b"),)),
        excess=1.0,
    ),
    Broken(
        "a cap that changes with time",
        ("circuit_power", "row", 1, None),
        problem=with_row(power_cap_kw=(50.0, 12.8, 50.0, 50.0)),
    ),
    Broken(
        "a circuit feeds too much",
        ("circuit_feed_power", "row", 2, None),
        problem=replace(
            with_row(max_power_kw=13.0),
            batteries=(replace(PROBLEM.batteries[0], circuit_id="row", max_discharge_kw=14),),
        ),
        schedule=battery((2.0, 0.0, -13.5, 0.0), (7.0, 7.0, -6.5, -6.5)),
        excess=0.5,
    ),
    Broken(
        "a phase of a circuit feeds too much",
        ("circuit_feed_current", "row", 2, "L3"),
        problem=replace(
            with_row(max_current_a=24.0, max_power_kw=None),
            batteries=(replace(PROBLEM.batteries[0], circuit_id="row", max_discharge_kw=18),),
        ),
        schedule=battery((2.0, 0.0, -17.25, 0.0), (7.0, 7.0, -10.25, -10.25)),
        excess=1.0,
    ),
    Broken(
        "the connection exports too much",
        ("connection_export", "connection", 2, None),
        problem=with_connection(max_export_kw=10.5),
        excess=0.5,
    ),
    Broken(
        "the connection exports too much when PV is high",
        ("connection_export", "connection", 2, None),
        problem=replace(PROBLEM, pv_high_kw=(0.0, 0.0, 21.0, 4.0)),
        excess=2.0,
    ),
    Broken(
        "a phase of the connection feeds too much",
        ("connection_feed_current", "connection", 2, "L1"),
        problem=replace(with_connection(max_current_a=30.0, max_export_kw=None), pv_high_kw=(0.0, 0.0, 26.0, 4.0)),
        excess=(26 / 3 - 2 / 3 + 1) * 1000 / 230 - 30,
    ),
    Broken(
        "a planned energy that no power delivers",
        ("planned_energy", "tx-b", None, None),
        session("tx-b", 6.0, 0.0),
        excess=6 - 5.52,
    ),
    Broken(
        "an unmet need that is kept quiet",
        ("unmet_energy", "tx-b", None, None),
        session("tx-b", 5.52, 0.0),
        excess=0.48,
    ),
    Broken(
        "more than the vehicle needs",
        ("more_than_required", "tx-dc", None, None),
        problem=with_session(2, required_energy_kwh=4.9),
        excess=0.1,
    ),
    Broken(
        "the battery charges too fast",
        ("battery_power", "bat", 1, None),
        battery((2.0, 5.5, -3.0, 0.0), (7.0, 12.5, 9.5, 9.5)),
        excess=0.5,
    ),
    Broken(
        "the battery discharges too fast",
        ("battery_power", "bat", 2, None),
        battery((2.0, 0.0, -5.5, 0.0), (7.0, 7.0, 1.5, 1.5)),
        excess=0.5,
    ),
    Broken(
        "a battery that is not controllable moves",
        ("battery_power", "bat", 0, None),
        problem=with_battery(controllable=False),
        excess=2.0,
    ),
    Broken(
        "energy out of nowhere",
        ("battery_energy", "bat", 2, None),
        battery((2.0, 0.0, -3.0, 0.0), (7.0, 7.0, 4.5, 4.0)),
        excess=0.5,
    ),
    Broken(
        "losses are forgotten",
        ("battery_energy", "bat", 0, None),
        problem=with_battery(charge_efficiency=0.9),
        excess=0.2,
    ),
    Broken(
        "the battery is more than full",
        ("battery_full", "bat", 1, None),
        battery((2.0, 4.0, -3.0, 0.0), (7.0, 11.0, 8.0, 8.0)),
        excess=1.0,
    ),
    Broken(
        "the battery is below its minimum",
        ("battery_empty", "bat", 2, None),
        problem=with_battery(min_energy_kwh=4.5),
        excess=0.5,
    ),
    Broken(
        "the battery ends with too little",
        ("battery_final", "bat", None, None),
        problem=with_battery(final_energy_kwh=4.5),
        excess=0.5,
    ),
    Broken(
        "import that nobody uses",
        ("power_balance", "connection", 0, None),
        replace(GOOD, import_kw=at(GOOD.import_kw, 0, 11.0)),
        excess=0.1,
    ),
    Broken(
        "more is curtailed than there is",
        ("curtailment", "connection", 3, None),
        replace(GOOD, curtail_kw=at(GOOD.curtail_kw, 3, 4.5)),
        excess=0.5,
    ),
    Broken(
        "PV is curtailed that must not be",
        ("curtailment", "connection", 3, None),
        problem=replace(PROBLEM, pv_curtailable=False),
        excess=1.0,
    ),
    Broken(
        "negative curtailment",
        ("curtailment", "connection", 1, None),
        replace(GOOD, curtail_kw=at(GOOD.curtail_kw, 1, -0.5)),
        excess=0.5,
    ),
    Broken(
        "import and export at once",
        ("import_and_export", "connection", 0, None),
        replace(GOOD, import_kw=at(GOOD.import_kw, 0, 11.9), export_kw=at(GOOD.export_kw, 0, 1.0)),
        excess=1.0,
    ),
    Broken(
        "negative import",
        ("negative_import", "connection", 2, None),
        replace(GOOD, import_kw=at(GOOD.import_kw, 2, -1.0)),
        excess=1.0,
    ),
    Broken(
        "negative export",
        ("negative_export", "connection", 0, None),
        replace(GOOD, export_kw=at(GOOD.export_kw, 0, -1.0)),
        excess=1.0,
    ),
    Broken(
        "a peak that is too low", ("peak", "month", None, None), replace(GOOD, peak_kw={"month": 14.0}), excess=0.88
    ),
    Broken(
        "energy that costs something else",
        ("energy_cost", "connection", None, None),
        replace(GOOD, cost=replace(GOOD.cost, energy=5.0)),
    ),
    Broken(
        "a demand charge that is forgotten",
        ("demand_cost", "connection", None, None),
        replace(GOOD, cost=replace(GOOD.cost, demand=0.0)),
        excess=17.76,
    ),
    Broken(
        "carbon that is forgotten",
        ("carbon_cost", "connection", None, None),
        replace(GOOD, cost=replace(GOOD.cost, carbon=0.0)),
    ),
    Broken(
        "wear that is forgotten",
        ("wear_cost", "connection", None, None),
        replace(GOOD, cost=replace(GOOD.cost, wear=0.0)),
        excess=0.04,
    ),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.story)
def test_names_the_rule_the_place_and_the_slot(broken: Broken) -> None:
    found = violations(broken.problem or PROBLEM, broken.schedule or GOOD)

    assert_named(broken, found)


LIMITS_TO_THE_HAIR = [
    with_connection(max_import_kw=14.88),
    with_connection(max_current_a=16 + 8 + 2000 / 3 / 230),
    with_connection(max_export_kw=11.0),
    with_row(max_power_kw=12.88),
    with_row(max_current_a=24.0),
]


@pytest.mark.parametrize("problem", LIMITS_TO_THE_HAIR, ids=["import", "current", "export", "circuit kW", "circuit A"])
def test_a_limit_that_is_just_reached_is_kept(problem: Problem) -> None:
    assert violations(problem, GOOD).all == ()


def test_every_limit_of_fuses_and_connection_is_broken_by_some_case() -> None:
    broken = {case.expected[0] for case in BROKEN}

    assert broken >= SAFETY - {"shared_power"}  # that one is about vehicles


def test_an_unknown_vehicle_loads_every_wired_phase_and_is_counted_with_one() -> None:
    problem = a_problem(
        prices=[0.1],
        connection=Connection(max_import_kw=11.0, max_current_a=15.9),
        sessions=[a_session(hours=1, required_energy_kwh=3.68, vehicle_phases=None)],
    )
    schedule = a_schedule(problem, {"evse-1": [16.0]}, power_kw={"evse-1": [3.68]}, import_kw=[3.68])

    found = violations(problem, schedule)

    assert named(found.caused) == {
        ("connection_import", "connection", 0, None),
        *(("connection_current", "connection", 0, phase) for phase in ("L1", "L2", "L3")),
    }


def test_a_violation_that_is_there_without_vehicles_is_unavoidable_and_what_exceeds_it_is_caused() -> None:
    problem = a_problem(
        prices=[0.1],
        connection=Connection(max_import_kw=10.0),
        base_load_kw=12.0,
        sessions=[a_session(hours=1, required_energy_kwh=4.14)],
    )

    idle = violations(problem, a_schedule(problem, {"evse-1": [0.0]}, power_kw={"evse-1": [0.0]}, import_kw=[12.0]))
    busy = violations(problem, a_schedule(problem, {"evse-1": [6.0]}, power_kw={"evse-1": [4.14]}, import_kw=[16.14]))

    assert idle.caused == ()
    assert [(v.rule, v.slot, v.excess) for v in idle.unavoidable] == [("connection_import", 0, 2.0)]
    assert [(v.rule, v.slot, v.excess) for v in busy.unavoidable] == [("connection_import", 0, 2.0)]
    assert [(v.rule, v.slot) for v in busy.caused] == [("connection_import", 0)]
    assert busy.caused[0].excess == pytest.approx(4.14)


def test_a_battery_that_starts_below_its_floor_is_no_fault_of_the_schedule_until_it_sinks_further() -> None:
    problem = replace(
        PROBLEM,
        batteries=(a_battery("bat", energy_kwh=3, min_energy_kwh=4, final_energy_kwh=6, wear_price_per_kwh=0.02),),
    )

    resting = violations(problem, battery((0.0,) * 4, (3.0,) * 4))
    sinking = violations(problem, battery((0.0, 0.0, -1.0, 0.0), (3.0, 3.0, 2.0, 2.0)))

    def of_battery(found: tuple[Violation, ...]) -> list[tuple[str, int | None, float]]:
        return [(v.rule, v.slot, v.excess) for v in found if v.where == "bat"]

    unavoidable = [*(("battery_empty", slot, 1.0) for slot in range(4)), ("battery_final", None, 3.0)]
    assert of_battery(resting.unavoidable) == of_battery(sinking.unavoidable) == unavoidable
    assert of_battery(resting.caused) == []
    assert of_battery(sinking.caused) == [
        ("battery_empty", 2, 1.0),
        ("battery_empty", 3, 1.0),
        ("battery_final", None, 1.0),
    ]


def test_nothing_may_flow_in_slots_that_are_over() -> None:
    problem = replace(PROBLEM, horizon=replace(PROBLEM.horizon, now=START + timedelta(hours=1)))

    found = violations(problem, GOOD)

    assert {("outside_presence", "a", 0, None), ("battery_power", "bat", 0, None)} <= named(found.caused)


def test_the_slot_that_holds_now_counts_what_is_left_of_it() -> None:
    problem = a_problem(
        prices=[0.1], now=START + timedelta(minutes=45), sessions=[a_session(required_energy_kwh=1.035)]
    )
    schedule = a_schedule(
        problem, {"evse-1": [6.0]}, power_kw={"evse-1": [4.14]}, import_kw=[4.14], energy_kwh=1.035, cost=0.1035
    )

    assert violations(problem, schedule).all == ()


@pytest.mark.parametrize(
    ("zone", "expected_kw"),
    [("UTC", 9.0), ("Asia/Kolkata", 6.0)],  # Kolkata's clock is at half past when the horizon starts
    ids=["on the hour", "at half past"],
)
def test_demand_intervals_follow_the_local_clock(zone: str, expected_kw: float) -> None:
    problem = a_problem(
        prices=[0.0] * 4,
        slot_minutes=30,
        base_load_kw=[9, 9, 3, 3],
        demand_charges=[DemandCharge("hourly", 1.0, interval_minutes=60)],
        time_zone=zone,
    )
    schedule = a_schedule(problem, {}, import_kw=[9, 9, 3, 3], peak_kw={"hourly": expected_kw}, demand=expected_kw)

    # At half past: [9 alone, half an interval: 4.5], [9 and 3: 6], [3, as far as the horizon shows it: 3].
    assert violations(problem, schedule).all == ()


def test_the_hour_that_a_clock_change_repeats_is_two_intervals() -> None:
    start = datetime(2026, 10, 25, 0, tzinfo=UTC)  # 02:00 in Berlin, and an hour later again
    problem = a_problem(
        prices=[0.0] * 4,
        slot_minutes=30,
        start=start,
        base_load_kw=[8, 0, 8, 0],
        demand_charges=[DemandCharge("hourly", 1.0, interval_minutes=60)],
        time_zone="Europe/Berlin",
    )
    schedule = a_schedule(problem, {}, import_kw=[8, 0, 8, 0], peak_kw={"hourly": 4.0}, demand=4.0)

    assert violations(problem, schedule).all == ()


def test_a_running_interval_brings_along_what_it_has_imported() -> None:
    problem = a_problem(
        prices=[0.0] * 2,
        slot_minutes=30,
        start=START + timedelta(minutes=30),
        base_load_kw=[2, 2],
        demand_charges=[DemandCharge("hourly", 1.0, interval_minutes=60, interval_energy_so_far_kwh=7)],
    )
    schedule = a_schedule(problem, {}, import_kw=[2, 2], peak_kw={"hourly": 8.0}, demand=8.0)

    assert violations(problem, schedule).all == ()


def test_a_demand_charge_counts_only_where_it_is_active() -> None:
    problem = a_problem(
        prices=[0.0] * 2,
        base_load_kw=[9, 3],
        demand_charges=[DemandCharge("peak hours", 1.0, interval_minutes=60, active=(False, True))],
    )
    schedule = a_schedule(problem, {}, import_kw=[9, 3], peak_kw={"peak hours": 3.0}, demand=3.0)

    assert violations(problem, schedule).all == ()


def test_a_session_that_stays_longer_owes_only_what_full_power_cannot_bring_afterwards() -> None:
    problem = a_problem(prices=[0.1], sessions=[a_session(hours=2, required_energy_kwh=15.04)])
    lazy = a_schedule(problem, {"evse-1": [6.0]}, power_kw={"evse-1": [4.14]}, import_kw=[4.14], energy_kwh=4.14)

    found = violations(problem, replace(lazy, cost=Cost(energy=0.414)))
    honest = replace(lazy, cost=Cost(energy=0.414), sessions={"tx-1": SessionResult(4.14, 0.1)})

    assert found.all == ()  # 15.04 - 11.04 in the hour after: 4.00 are owed, 4.14 planned
    assert named(violations(problem, honest).caused) == {("unmet_energy", "tx-1", None, None)}


def test_reads_as_a_sentence() -> None:
    found = violations(with_row(max_current_a=23.5), GOOD)

    assert [str(violation) for violation in found.caused if violation.slot == 1] == [
        "circuit_current at row L2 slot 1: 0.500 A too much"
    ]


def a_schedule(
    problem: Problem,
    current_a: dict[str, list[float]],
    *,
    import_kw: list[float],
    power_kw: dict[str, list[float]] | None = None,
    energy_kwh: float | None = None,
    cost: float | None = None,
    peak_kw: dict[str, float] | None = None,
    demand: float = 0.0,
) -> Schedule:
    """A schedule of one AC EVSE at most, without batteries and export; `cost` defaults to import at its price."""
    slots = problem.horizon.slots
    nothing = (0.0,) * slots
    powers = power_kw or {}
    planned = energy_kwh if energy_kwh is not None else sum(map(sum, powers.values())) * problem.horizon.slot_hours
    energy = sum(map(float.__mul__, map(float, import_kw), problem.import_price_per_kwh)) * problem.horizon.slot_hours
    return Schedule(
        status="optimal",
        power_kw={evse.evse_id: tuple(powers.get(evse.evse_id, nothing)) for evse in problem.evses},
        current_a={evse.evse_id: tuple(current_a.get(evse.evse_id, nothing)) for evse in problem.evses},
        sessions={
            session.session_id: SessionResult(
                planned,
                max(0.0, session.required_energy_kwh - planned) if session.departure <= problem.horizon.end else 0.0,
            )
            for session in problem.sessions
        },
        batteries={},
        import_kw=tuple(map(float, import_kw)),
        export_kw=nothing,
        curtail_kw=nothing,
        peak_kw=peak_kw or {},
        cost=Cost(energy=energy if cost is None else cost, demand=demand),
    )
