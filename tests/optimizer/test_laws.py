"""What holds for every plan of every site: each hard rule by a check of a few lines, without arrays.

Tolerances are a millionth of a kW or A: the noise of floating point and of a solver, far below any charger's step.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings

from optimizer.constraints import ALL
from optimizer.domain import CONNECTION, PHASES, Evse, Problem, Schedule, Session
from optimizer.doors import door
from optimizer.objectives import money, unmet_price
from optimizer.presence import full_power_kw
from optimizer.program import Site, Variables, assemble
from optimizer.solve import solve
from tests.optimizer.builders import problems, rich_problems

NOISE = 1e-5


def law(examples: int = 60) -> settings:
    return settings(max_examples=examples, deadline=None)


def span(problem: Problem, slot: int) -> tuple[datetime, datetime]:
    """The part of a slot that is still to come."""
    start = problem.horizon.slot_start(slot)
    end = start + timedelta(minutes=problem.horizon.slot_minutes)
    return max(start, problem.horizon.first_moment), end


def hours_there(problem: Problem, session: Session, slot: int) -> float:
    start, end = span(problem, slot)
    return max((min(end, session.departure) - max(start, session.arrival)) / timedelta(hours=1), 0.0)


def there(problem: Problem, evse: Evse, slot: int) -> list[Session]:
    return [one for one in problem.sessions if one.evse_id == evse.evse_id and hours_there(problem, one, slot) > 0]


def live_slots(problem: Problem) -> Iterator[int]:
    return (slot for slot in range(problem.horizon.slots) if span(problem, slot)[0] < span(problem, slot)[1])


def evse_amps(problem: Problem, schedule: Schedule, evse: Evse, slot: int) -> list[float]:
    """Current on L1, L2, L3 that safety counts: on every wired phase, unless everybody there is known to use fewer."""
    volt = problem.connection.voltage_v
    if evse.is_dc:
        per_phase = schedule.power_kw[evse.evse_id][slot] * 1000 / volt / len(evse.phases)
        return [per_phase if phase in evse.phases else 0.0 for phase in PHASES]
    current_a = (schedule.current_a[evse.evse_id] or ())[slot]
    used = max((one.vehicle_phases or 3 for one in there(problem, evse, slot)), default=0)
    return [current_a if phase in evse.phases[:used] else 0.0 for phase in PHASES]


def limits(problem: Problem) -> dict[str, tuple[float | None, float | None]]:
    """Power and current limit of every place."""
    places = {CONNECTION: (problem.connection.max_import_kw, problem.connection.max_current_a)}
    return places | {one.circuit_id: (one.max_power_kw, one.max_current_a) for one in problem.circuits}


def places_above(problem: Problem, circuit_id: str | None) -> set[str]:
    return {CONNECTION, *problem.ancestors(circuit_id)}


def fixed_amps(problem: Problem, place: str, slot: int) -> list[float]:
    """Base load and reservations at a place, per phase, with the high base load."""
    volt = problem.connection.voltage_v
    amps = [0.0, 0.0, 0.0]
    if place == CONNECTION:
        kw = problem.safe_base_load_kw[slot]
        amps = [kw * share * 1000 / volt for share in problem.base_load_phase_share]
    for circuit in problem.circuits:
        if place != CONNECTION and place in problem.ancestors(circuit.circuit_id):
            amps = [a + b for a, b in zip(amps, circuit.base_load_a, strict=True)]
    for one in problem.reservations:
        at = one.circuit_id or problem.evse(str(one.evse_id)).circuit_id
        if place in places_above(problem, at):
            amps = [a + b for a, b in zip(amps, one.current_a, strict=True)]
    return amps


@law()
@given(problems())
def test_no_fuse_carries_more_than_its_rating_and_no_vehicle_adds_to_an_overload(problem: Problem) -> None:
    schedule = solve(problem)

    volt = problem.connection.voltage_v
    for place, (limit_kw, limit_a) in limits(problem).items():
        for slot in live_slots(problem):
            fixed = fixed_amps(problem, place, slot)
            drawn = [0.0, 0.0, 0.0]
            for evse in problem.evses:
                if place in places_above(problem, evse.circuit_id):
                    drawn = [a + b for a, b in zip(drawn, evse_amps(problem, schedule, evse, slot), strict=True)]
            for battery in problem.batteries:
                if place in places_above(problem, battery.circuit_id):
                    kw = max(schedule.batteries[battery.battery_id].power_kw[slot], 0.0)
                    drawn = [a + kw * 1000 / volt / 3 for a in drawn]
            for fixed_a, drawn_a in zip(fixed, drawn, strict=True):
                assert limit_a is None or drawn_a <= max(limit_a - fixed_a, 0.0) + NOISE
            kw_fixed, kw_drawn = sum(fixed) * volt / 1000, sum(drawn) * volt / 1000
            assert limit_kw is None or kw_drawn <= max(limit_kw - kw_fixed, 0.0) + NOISE


@law()
@given(problems())
def test_every_current_is_zero_or_on_the_grid_between_minimum_and_maximum(problem: Problem) -> None:
    schedule = solve(problem)

    for evse in problem.evses:
        for slot, power_kw in enumerate(schedule.power_kw[evse.evse_id]):
            sessions = there(problem, evse, slot)
            if not sessions:
                assert power_kw == 0
                continue
            most_kw = min((one.max_power_kw for one in sessions if one.max_power_kw is not None), default=1e9)
            assert 0 <= power_kw <= min(most_kw, evse.max_power_kw or 1e9) + NOISE
            currents = schedule.current_a[evse.evse_id]
            if currents is None or currents[slot] == 0:
                continue
            least_a = max([evse.min_current_a, *(one.min_current_a or 0 for one in sessions)])
            assert least_a - NOISE <= currents[slot] <= (evse.max_current_a or 0) + NOISE
            steps = currents[slot] / evse.current_step_a
            assert steps == pytest.approx(round(steps), abs=1e-4)


@law()
@given(problems())
def test_nobody_gets_more_than_a_step_beyond_the_need_and_what_is_missing_is_reported(problem: Problem) -> None:
    schedule = solve(problem)

    for session in problem.sessions:
        powers = schedule.power_kw[session.evse_id]
        hours = [hours_there(problem, session, slot) for slot in range(problem.horizon.slots)]
        got_kwh = sum(power_kw * there_h for power_kw, there_h in zip(powers, hours, strict=True))
        result = schedule.sessions[session.session_id]
        evse = problem.evse(session.evse_id)
        step_kwh = evse.current_step_a * 3 * problem.connection.voltage_v / 1000 * max(hours)
        assert result.planned_energy_kwh == pytest.approx(got_kwh, abs=NOISE)
        assert got_kwh <= session.required_energy_kwh + step_kwh + NOISE
        assert result.unmet_kwh <= max(session.required_energy_kwh - got_kwh, 0.0) + NOISE
        if session.departure <= problem.horizon.end:
            assert result.unmet_kwh == pytest.approx(max(session.required_energy_kwh - got_kwh, 0.0), abs=NOISE)


@law()
@given(problems())
def test_what_flows_in_flows_out(problem: Problem) -> None:
    schedule = solve(problem)

    for slot in range(problem.horizon.slots):
        start, end = span(problem, slot)
        left_h = (end - start) / timedelta(hours=1)
        drawn_kw = sum(
            schedule.power_kw[one.evse_id][slot] * hours_there(problem, one, slot) / left_h
            for one in problem.sessions
            if left_h > 0
        )
        battery_kw = sum(one.power_kw[slot] for one in schedule.batteries.values())
        net_kw = schedule.import_kw[slot] - schedule.export_kw[slot]
        load_kw = problem.base_load_kw[slot] - problem.pv_kw[slot] + schedule.curtail_kw[slot]
        assert net_kw == pytest.approx(load_kw + drawn_kw + battery_kw, abs=NOISE)
        assert min(schedule.import_kw[slot], schedule.export_kw[slot]) == 0
        assert 0 <= schedule.curtail_kw[slot] <= (problem.pv_kw[slot] if problem.pv_curtailable else 0) + NOISE


@law()
@given(problems())
def test_no_export_beyond_the_limit_that_curtailing_and_resting_would_avoid(problem: Problem) -> None:
    schedule = solve(problem)

    limit_kw = problem.connection.max_export_kw
    for slot in live_slots(problem):
        fed_kw = sum(max(-one.power_kw[slot], 0.0) for one in schedule.batteries.values())
        seen_kw = problem.high_pv_kw[slot] - schedule.curtail_kw[slot] - problem.low_base_load_kw[slot] + fed_kw
        could_kw = problem.high_pv_kw[slot] - problem.low_base_load_kw[slot]
        could_kw -= problem.pv_kw[slot] if problem.pv_curtailable else 0
        assert limit_kw is None or seen_kw <= max(limit_kw, could_kw) + NOISE


@law()
@given(problems())
def test_batteries_keep_their_capacity_their_powers_and_what_they_hold(problem: Problem) -> None:
    schedule = solve(problem)

    for battery in problem.batteries:
        result, energy_kwh = schedule.batteries[battery.battery_id], battery.energy_kwh
        for slot, power_kw in enumerate(result.power_kw):
            start, end = span(problem, slot)
            hours = max((end - start) / timedelta(hours=1), 0.0)
            assert -battery.max_discharge_kw - NOISE <= power_kw <= battery.max_charge_kw + NOISE
            gain = battery.charge_efficiency if power_kw > 0 else 1 / battery.discharge_efficiency
            energy_kwh += power_kw * gain * hours
            assert result.energy_kwh[slot] == pytest.approx(energy_kwh, abs=NOISE)
            floor_kwh = min(battery.min_energy_kwh, battery.energy_kwh)
            assert floor_kwh - NOISE <= energy_kwh <= battery.capacity_kwh + NOISE
            assert battery.controllable or power_kw == 0


@law(40)
@given(problems())
def test_the_cost_is_that_of_the_flows_and_never_below_the_bound(problem: Problem) -> None:
    schedule = solve(problem)

    energy = carbon = 0.0
    for slot in live_slots(problem):
        start, end = span(problem, slot)
        hours = (end - start) / timedelta(hours=1)
        energy += hours * schedule.import_kw[slot] * problem.import_price_per_kwh[slot]
        energy -= hours * schedule.export_kw[slot] * problem.export_price_per_kwh[slot]
    assert schedule.cost.energy == pytest.approx(energy, abs=NOISE)
    assert schedule.cost.carbon == carbon
    assert schedule.gap is not None
    assert schedule.gap >= 0
    assert schedule.status == ("optimal" if schedule.reason is None else "feasible")


@law(30)
@given(problems(max_slots=8) | rich_problems(max_slots=8))
def test_both_doors_find_the_same_optimum_of_the_same_program(problem: Problem) -> None:
    site = Site.of(problem)
    variables = Variables.of(site)
    program = assemble(site, variables, ALL, money(site, variables))
    cost = program.cost.copy()
    cost[variables.unmet] = unmet_price(site)
    program = replace(program, cost=cost)

    straight = door("highs").solve(program, time_limit_s=30)
    through_pulp = door("pulp:HiGHS").solve(program, time_limit_s=30)

    assert through_pulp.objective == pytest.approx(straight.objective, rel=1e-6, abs=1e-6)
    for solution in (straight, through_pulp):
        sums = program.matrix.dot(solution.x)
        assert np.all(sums >= program.row_lower - NOISE)
        assert np.all(sums <= program.row_upper + NOISE)


@law(20)
@given(problems() | rich_problems())
def test_the_same_problem_gives_the_same_bits(problem: Problem) -> None:
    assert replace(solve(problem), timing_ms={}) == replace(solve(problem), timing_ms={})


@law(40)
@given(rich_problems())
def test_stations_share_their_supply_and_an_open_limit_is_never_exceeded(problem: Problem) -> None:
    schedule = solve(problem)

    first = next(live_slots(problem))
    for slot in live_slots(problem):
        drawn_a: list[float] = [0.0, 0.0, 0.0]
        spoken_for_a, limit_a = [0.0, 0.0, 0.0], None
        for evse in problem.evses:
            amps = evse_amps(problem, schedule, evse, slot)
            is_open = evse.in_force is not None and not evse.in_force.verified and slot == first
            if is_open and evse.in_force is not None:
                assert max(amps) <= evse.in_force.limit_a + NOISE
            if evse.shared_power is None:
                continue
            limit_a = evse.shared_power.max_current_a
            fixed = [one.current_a for one in problem.reservations if one.evse_id == evse.evse_id]
            if is_open and evse.in_force is not None:
                limit = evse.in_force.limit_a
                fixed.append(
                    (limit * ("L1" in evse.phases), limit * ("L2" in evse.phases), limit * ("L3" in evse.phases))
                )
            else:
                drawn_a = [a + b for a, b in zip(drawn_a, amps, strict=True)]
            for one in fixed:
                spoken_for_a = [a + b for a, b in zip(spoken_for_a, one, strict=True)]
        for drawn, spoken_for in zip(drawn_a, spoken_for_a, strict=True):
            assert limit_a is None or drawn <= max(limit_a - spoken_for, 0.0) + NOISE


def got_before(problem: Problem, schedule: Schedule, session: Session, moment: datetime) -> float:
    """kWh at the meter that the limits deliver before a moment of the stay, less what giving takes."""
    early = replace(session, departure=moment, scenarios=(), floor_energy_kwh=0, floor_by=None)
    loss = 1 / problem.evse(session.evse_id).efficiency ** 2
    powers = schedule.power_kw[session.evse_id]
    return sum(
        power_kw * (loss if power_kw < 0 else 1) * hours_there(problem, early, slot)
        for slot, power_kw in enumerate(powers)
    )


@law(60)
@given(rich_problems())
def test_a_vehicle_takes_and_gives_what_its_battery_can(problem: Problem) -> None:
    schedule = solve(problem)

    for session in problem.sessions:
        powers = schedule.power_kw[session.evse_id]
        if session.v2g is None:
            assert all(power_kw >= 0 for slot, power_kw in enumerate(powers) if hours_there(problem, session, slot) > 0)
        if session.soc is None or session.capacity_kwh is None:
            continue
        evse = problem.evse(session.evse_id)
        held_kwh = session.soc * session.capacity_kwh
        for slot, power_kw in enumerate(powers):
            hours = hours_there(problem, session, slot)
            if hours <= 1e-6:
                continue
            held_kwh += power_kw * hours * (evse.efficiency if power_kw > 0 else 1 / evse.efficiency)
            assert held_kwh <= session.capacity_kwh + 0.2  # a step of one slot
            if power_kw < 0 and session.v2g is not None:
                assert power_kw >= -session.v2g.max_discharge_kw - NOISE
                assert held_kwh >= session.v2g.floor_energy_kwh - NOISE
            if session.taper is not None and session.max_power_kw is not None and power_kw > 0:
                span_soc = session.taper.zero_at_soc - session.taper.from_soc
                taken = (session.taper.zero_at_soc - held_kwh / session.capacity_kwh) / span_soc
                full_kw = min(session.max_power_kw, full_power_kw(problem)[problem.sessions.index(session)])
                assert power_kw <= full_kw * taken + NOISE


@law(40)
@given(rich_problems())
def test_what_a_floor_or_a_belief_misses_is_what_its_moments_lack(problem: Problem) -> None:
    schedule = solve(problem)

    price, expected_kwh = problem.unmet_price_per_kwh or 0.0, 0.0
    for session in problem.sessions:
        result = schedule.sessions[session.session_id]
        inside = [one for one in session.scenarios if one.departure <= problem.horizon.end]
        lacks = [
            one.probability * max(one.required_energy_kwh - got_before(problem, schedule, session, one.departure), 0.0)
            for one in inside
        ]
        expected_kwh += result.expected_unmet_kwh
        assert result.expected_unmet_kwh >= sum(lacks) - NOISE
        if len(inside) == len(session.scenarios):
            assert result.expected_unmet_kwh == pytest.approx(sum(lacks), abs=NOISE)
        if session.scenarios:
            assert (result.unmet_kwh, result.met_share) == (0, None)
        if session.floor_by is not None and session.floor_by <= problem.horizon.end:
            lacking = session.floor_energy_kwh - got_before(problem, schedule, session, session.floor_by)
            assert result.floor_unmet_kwh == pytest.approx(max(lacking, 0.0), abs=NOISE)
    assert schedule.cost.unmet == pytest.approx(price * expected_kwh, abs=1e-4)


@law(40)
@given(rich_problems())
def test_the_meter_sees_an_expected_vehicle_by_its_probability(problem: Problem) -> None:
    schedule = solve(problem)

    for slot in live_slots(problem):
        start, end = span(problem, slot)
        drawn_kw = sum(
            schedule.power_kw[one.evse_id][slot] * hours_there(problem, one, slot) * one.probability
            for one in problem.sessions
        ) / ((end - start) / timedelta(hours=1))
        battery_kw = sum(one.power_kw[slot] for one in schedule.batteries.values())
        load_kw = problem.base_load_kw[slot] - problem.pv_kw[slot] + schedule.curtail_kw[slot]
        net_kw = schedule.import_kw[slot] - schedule.export_kw[slot]
        assert net_kw == pytest.approx(load_kw + drawn_kw + battery_kw, abs=NOISE)


@law(40)
@given(rich_problems())
def test_nobody_gets_more_than_a_step_beyond_what_it_may_take(problem: Problem) -> None:
    schedule = solve(problem)

    for session in problem.sessions:
        evse = problem.evse(session.evse_id)
        longest_h = max(hours_there(problem, session, slot) for slot in range(problem.horizon.slots))
        step_kwh = evse.current_step_a * 3 * problem.connection.voltage_v / 1000 * longest_h
        most_kwh = session.max_energy_kwh or session.required_energy_kwh
        assert schedule.sessions[session.session_id].planned_energy_kwh <= most_kwh + step_kwh + NOISE
        assert schedule.gap is not None
