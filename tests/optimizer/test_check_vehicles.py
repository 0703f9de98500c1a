"""What vehicles bring along: a belief, a floor, a taper, one that gives, one that may come; a supply that two share.

Start from a schedule that was worked out by hand, break one rule by one value, and see it named.
"""

from dataclasses import replace
from datetime import timedelta
from math import nan
from typing import Any

import pytest

from optimizer.check import violations
from optimizer.domain import (
    Circuit,
    Connection,
    Cost,
    DemandCharge,
    Evse,
    InForce,
    Problem,
    Reservation,
    Scenario,
    Schedule,
    SessionResult,
    SharedPower,
    Taper,
    VehicleToGrid,
)
from tests.optimizer.broken import Broken, assert_named
from tests.optimizer.builders import START, a_problem, a_session, an_evse

# Worked out by hand.
#
# "believed" (16 A on L1, may leave at 02:00 or at 03:00) gets 3.68 + 1.84 kWh: by 02:00 it misses 7 - 5.52 = 1.48 of
# its 7 kWh, by 03:00 it has all of 5; half of 1.48 is expected to be missing. Its floor of 6 by 01:30 misses
# 6 - 3.68 - 0.92 = 1.4.
# "tapers" (DC, 0.5 of 40 kWh, η 0.8, full power 20 kW until 0.6, none at 1.0): 10 kWh bring it to 0.7, where it takes
# 20 · 0.3 / 0.4 = 15 kW; 6 more to 0.82, where it takes 9 kW.
# "gives" (DC, half of 20 kWh, η 0.8): 4 kWh out at the meter are 5 of its battery, and 6.25 to charge again.
# "expected" (16 A, three phases, comes with 0.5): 11.04 kW count 5.52 in the mean, and 16 A at the fuse.
PROBLEM = a_problem(
    prices=[0.20, 0.40, 0.10],
    connection=Connection(max_import_kw=80, max_export_kw=10, max_current_a=120),
    circuits=[Circuit("row", max_power_kw=30, max_current_a=50), Circuit("yard", max_power_kw=20, max_current_a=30)],
    evses=[
        an_evse("a1", circuit_id="row", shared_power=SharedPower("a", 32), in_force=InForce(16, verified=False)),
        an_evse("a2", circuit_id="row", shared_power=SharedPower("a", 32)),
        Evse("dc1", "connection", max_power_kw=50, efficiency=0.8),
        Evse("dc2", "yard", max_power_kw=10, efficiency=0.8, in_force=InForce(20, verified=False)),
    ],
    sessions=[
        a_session(
            "believed",
            evse_id="a1",
            required_energy_kwh=7,
            vehicle_phases=1,
            scenarios=(
                Scenario(0.5, START + timedelta(hours=2), 7),
                Scenario(0.5, START + timedelta(hours=3), 5),
            ),
            floor_energy_kwh=6,
            floor_by=START + timedelta(hours=1.5),
        ),
        a_session("expected", evse_id="a2", after_hours=2, hours=1, required_energy_kwh=11.04, probability=0.5),
        a_session(
            "tapers",
            evse_id="dc1",
            required_energy_kwh=10,
            max_energy_kwh=20,
            max_power_kw=20,
            soc=0.5,
            capacity_kwh=40,
            taper=Taper(0.6, 1.0),
        ),
        a_session(
            "gives",
            evse_id="dc2",
            required_energy_kwh=0,
            soc=0.5,
            capacity_kwh=20,
            v2g=VehicleToGrid(max_discharge_kw=5, floor_energy_kwh=4, wear_price_per_kwh=0.1),
        ),
    ],
    unmet_price_per_kwh=2.0,
    demand_charges=[DemandCharge("month", 1.0, interval_minutes=60, peak_so_far_kw=2, ratchet_kw=12)],
)
GOOD = Schedule(
    status="optimal",
    power_kw={"a1": (3.68, 1.84, 0.0), "a2": (0.0, 0.0, 11.04), "dc1": (10.0, 6.0, 0.0), "dc2": (0.0, -4.0, 6.25)},
    current_a={"a1": (16.0, 8.0, 0.0), "a2": (0.0, 0.0, 16.0), "dc1": None, "dc2": None},
    sessions={
        "believed": SessionResult(5.52, 0.0, floor_unmet_kwh=1.4, expected_unmet_kwh=0.74),
        "expected": SessionResult(11.04, 0.0, met_share=1.0),
        "tapers": SessionResult(16.0, 0.0, met_share=1.0),
        "gives": SessionResult(0.0, 0.0),
    },
    batteries={},
    import_kw=(13.68, 3.84, 11.77),
    export_kw=(0.0, 0.0, 0.0),
    curtail_kw=(0.0, 0.0, 0.0),
    peak_kw={"month": 13.68},
    cost=Cost(
        energy=13.68 * 0.20 + 3.84 * 0.40 + 11.77 * 0.10,
        demand=13.68 - 12,
        wear=4 * 0.1,
        unmet=0.74 * 2,
    ),
)


def powered(evse_id: str, *power_kw: float, amps: tuple[float, ...] | None = None) -> Schedule:
    """GOOD with other powers at one EVSE; what follows from them is left as it was."""
    return replace(
        GOOD,
        power_kw={**GOOD.power_kw, evse_id: power_kw},
        current_a={**GOOD.current_a, evse_id: amps},
    )


def result_of(session_id: str, **changed: Any) -> Schedule:
    result = replace(GOOD.sessions[session_id], **changed)
    return replace(GOOD, sessions={**GOOD.sessions, session_id: result})


def with_session(session_id: str, **changed: Any) -> Problem:
    return replace(
        PROBLEM,
        sessions=tuple(replace(one, **changed) if one.session_id == session_id else one for one in PROBLEM.sessions),
    )


def with_evse(evse_id: str, **changed: Any) -> Problem:
    return replace(
        PROBLEM, evses=tuple(replace(one, **changed) if one.evse_id == evse_id else one for one in PROBLEM.evses)
    )


def with_circuit(circuit_id: str, **changed: Any) -> Problem:
    return replace(
        PROBLEM,
        circuits=tuple(replace(one, **changed) if one.circuit_id == circuit_id else one for one in PROBLEM.circuits),
    )


BROKEN = [
    Broken(
        "a floor whose shortfall is kept quiet",
        ("floor_unmet", "believed", None, None),
        result_of("believed", floor_unmet_kwh=0.0),
        PROBLEM,
        excess=1.4,
    ),
    Broken(
        "a floor by another moment",
        ("floor_unmet", "believed", None, None),
        GOOD,
        with_session("believed", floor_by=START + timedelta(hours=2)),
        excess=1.4 - 0.48,
    ),
    Broken(
        "a floor that nobody asked for is said to be missed",
        ("floor_unmet", "expected", None, None),
        result_of("expected", floor_unmet_kwh=0.5),
        PROBLEM,
        excess=0.5,
    ),
    Broken(
        "what a belief is expected to miss is kept quiet",
        ("expected_unmet", "believed", None, None),
        result_of("believed", expected_unmet_kwh=0.0),
        PROBLEM,
        excess=0.74,
    ),
    Broken(
        "scenarios with other weights",
        ("expected_unmet", "believed", None, None),
        GOOD,
        with_session(
            "believed",
            scenarios=(
                Scenario(0.25, START + timedelta(hours=2), 7),
                Scenario(0.75, START + timedelta(hours=3), 5),
            ),
        ),
        excess=0.37,
    ),
    Broken(
        "a belief owes nothing",
        ("unmet_energy", "believed", None, None),
        result_of("believed", unmet_kwh=1.48),
        PROBLEM,
        excess=1.48,
    ),
    Broken(
        "a share of a need that is not met",
        ("met_share", "expected", None, None),
        result_of("expected", met_share=0.5),
        PROBLEM,
        excess=0.5,
    ),
    Broken(
        "a share that is no number",
        ("finite_energy", "expected", None, None),
        result_of("expected", met_share=nan),
        PROBLEM,
    ),
    Broken(
        "the price of what beliefs miss is forgotten",
        ("unmet_cost", "connection", None, None),
        replace(GOOD, cost=replace(GOOD.cost, unmet=0.0)),
        PROBLEM,
        excess=1.48,
    ),
    Broken(
        "the wear of a vehicle that gives is forgotten",
        ("wear_cost", "connection", None, None),
        replace(GOOD, cost=replace(GOOD.cost, wear=0.0)),
        PROBLEM,
        excess=0.4,
    ),
    Broken(
        "the ratchet is forgotten",
        ("demand_cost", "connection", None, None),
        GOOD,
        replace(PROBLEM, demand_charges=(replace(PROBLEM.demand_charges[0], ratchet_kw=0.0),)),
        excess=10.0,
    ),
    Broken(
        "a vehicle that may come is counted as if it came",
        ("power_balance", "connection", 2, None),
        GOOD,
        with_session("expected", probability=1.0),
        excess=5.52,
    ),
    Broken(
        "more than may be taken where that pays",
        ("more_than_required", "tapers", None, None),
        GOOD,
        with_session("tapers", max_energy_kwh=15.5),
        excess=0.5,
    ),
    Broken(
        "more than fits into the vehicle",
        ("more_than_required", "tapers", None, None),
        GOOD,
        with_session("tapers", capacity_kwh=25.0),
        excess=16 - 0.5 * 25 / 0.8,
    ),
    Broken(
        "a vehicle that is overfull before it gives",
        ("vehicle_full", "gives", 0, None),
        powered("dc2", 10.0, -4.0, 0.0),
        with_session("gives", soc=0.7),
        excess=0.7 * 20 + 8 - 20,
    ),
    Broken(
        "full power to a vehicle that tapers",
        ("taper", "tapers", 1, None),
        powered("dc1", 10.0, 9.6, 0.0),
        PROBLEM,
        excess=9.6 - 20 * (1 - (0.5 + 19.6 * 0.8 / 40)) / 0.4,
    ),
    Broken(
        "a taper that begins earlier",
        ("taper", "tapers", 1, None),
        GOOD,
        with_session("tapers", taper=Taper(0.2, 0.86)),
        excess=6 - 20 * 0.04 / 0.66,
    ),
    Broken(
        "a taper of a vehicle whose power only the EVSE limits",
        ("taper", "tapers", 0, None),
        GOOD,
        replace(
            with_session("tapers", max_power_kw=None, taper=Taper(0.5, 0.72)),
            evses=tuple(replace(one, max_power_kw=40) if one.evse_id == "dc1" else one for one in PROBLEM.evses),
        ),
        excess=10 - 40 * 0.02 / 0.22,
    ),
    Broken(
        "more than the vehicle gives",
        ("discharge_power", "dc2", 1, None),
        powered("dc2", 0.0, -5.5, 6.25),
        PROBLEM,
        excess=0.5,
    ),
    Broken(
        "a vehicle that may not give",
        ("negative_power", "dc2", 1, None),
        GOOD,
        with_session("gives", v2g=None),
        excess=4.0,
    ),
    Broken(
        "a vehicle that is not there gives",
        ("outside_presence", "dc2", 1, None),
        GOOD,
        with_session("gives", departure=START + timedelta(hours=1)),
    ),
    Broken(
        "a vehicle gives more than the EVSE carries",
        ("evse_power", "dc2", 1, None),
        GOOD,
        with_evse("dc2", max_power_kw=3.5),
        excess=0.5,
    ),
    Broken(
        "a vehicle gives from below its floor",
        ("vehicle_floor", "gives", 1, None),
        GOOD,
        with_session("gives", v2g=VehicleToGrid(5, floor_energy_kwh=5.5, wear_price_per_kwh=0.1)),
        excess=0.5,
    ),
    Broken(
        "losses of giving are forgotten",
        ("planned_energy", "gives", None, None),
        powered("dc2", 0.0, -4.0, 5.0),
        PROBLEM,
        excess=1.25,
    ),
    Broken(
        "a vehicle that gives is no room for others",
        ("connection_import", "connection", 1, None),
        powered("dc1", 10.0, 80.0, 0.0),
        PROBLEM,
        excess=1.84,
    ),
    Broken(
        "what a vehicle gives is too much for the export limit",
        ("connection_export", "connection", 1, None),
        GOOD,
        replace(PROBLEM, connection=replace(PROBLEM.connection, max_export_kw=3.0)),
        excess=1.0,
    ),
    Broken(
        "what a vehicle gives is too much for its circuit",
        ("circuit_feed_power", "yard", 1, None),
        powered("dc2", 0.0, -20.5, 6.25),
        PROBLEM,
        excess=0.5,
    ),
    Broken(
        "a phase of its circuit feeds too much",
        ("circuit_feed_current", "yard", 1, "L2"),
        powered("dc2", 0.0, -21.39, 6.25),
        PROBLEM,
        excess=1.0,
    ),
    Broken(
        "two share a supply that carries one",
        ("shared_power", "shared_power[a]", 2, "L1"),
        powered("a1", 3.68, 1.84, 3.91, amps=(16.0, 8.0, 17.0)),
        PROBLEM,
        excess=1.0,
    ),
    Broken(
        "what is reserved for one of them counts",
        ("shared_power", "shared_power[a]", 2, "L3"),
        GOOD,
        replace(PROBLEM, reservations=(Reservation((0.0, 0.0, 17.0), evse_id="a1"),)),
        excess=1.0,
    ),
    Broken(
        "an open limit of one counts for both",
        ("shared_power", "shared_power[a]", 0, "L2"),
        powered("a2", 11.73, 0.0, 11.04, amps=(17.0, 0.0, 16.0)),
        PROBLEM,
        excess=1.0,
    ),
    Broken(
        "more than a limit that is open",
        ("in_force", "a1", 0, None),
        GOOD,
        with_evse("a1", in_force=InForce(15, verified=False)),
        excess=1.0,
    ),
    Broken(
        "more power than a limit that is open",
        ("in_force", "dc2", 0, None),
        powered("dc2", 14.49, -4.0, 6.25),
        PROBLEM,
        excess=1.0,
    ),
    Broken(
        "an open limit counts on every wired phase",
        ("circuit_current", "row", 0, "L3"),
        powered("a2", 24.15, 0.0, 11.04, amps=(35.0, 0.0, 16.0)),
        PROBLEM,
        excess=1.0,
    ),
    Broken(
        "an open limit without a vehicle counts",
        ("circuit_power", "row", 0, None),
        powered("a2", 19.32, 0.0, 11.04, amps=(28.0, 0.0, 16.0)),
        with_session("believed", arrival=START + timedelta(hours=1)),
        excess=0.36,
    ),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.story)
def test_names_the_rule_the_place_and_the_slot(broken: Broken) -> None:
    found = violations(broken.problem or PROBLEM, broken.schedule or GOOD)

    assert_named(broken, found)


def test_a_supply_that_is_shared_is_broken_by_some_case() -> None:
    assert "shared_power" in {case.expected[0] for case in BROKEN}


def test_the_schedule_that_was_worked_out_by_hand_breaks_nothing() -> None:
    assert violations(PROBLEM, GOOD).all == ()


def test_a_limit_that_is_open_beyond_a_fuse_is_unavoidable() -> None:
    found = violations(with_circuit("row", max_current_a=15), GOOD)

    assert {(v.rule, v.slot, v.excess) for v in found.unavoidable} == {("circuit_current", 0, 1.0)}
    assert {v.slot for v in found.caused} == {2}  # where the plan itself asks for 16 A


def test_a_verified_limit_reserves_nothing() -> None:
    problem = with_circuit("row", max_power_kw=11.04)
    problem = replace(problem, evses=tuple(replace(one, in_force=InForce(32, verified=True)) for one in problem.evses))

    assert violations(problem, GOOD).all == ()


def test_a_belief_that_ends_after_the_horizon_misses_only_what_full_power_cannot_bring_then() -> None:
    problem = with_session(
        "believed",
        departure=START + timedelta(hours=4),
        scenarios=(
            Scenario(0.5, START + timedelta(hours=2), 7),
            Scenario(0.5, START + timedelta(hours=4), 7),  # 3.68 of them in the hour after the end
        ),
    )

    assert violations(problem, GOOD).all == ()
