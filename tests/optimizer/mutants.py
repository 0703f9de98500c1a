"""Good schedules with one value changed so that a rule is broken by construction, whatever the checker thinks of it.

Each operator is one way to go wrong. Either one value of the answer is moved off what follows from the others, or one
value of the problem is drawn so tight that the answer cannot keep it. What an operator knows about an answer is read
off single values (this EVSE draws here, this battery charges there), never computed as the checker does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from math import inf, nan
from random import Random
from typing import Any

from optimizer.domain import Evse, InForce, Problem, Reservation, Schedule, Session, SharedPower

OFF = 0.02  # kW, kWh, currency: small, yet above every rounding; a step of 0.1 A on one phase is 0.023 kW
LEAST_KW = 0.5  # of what an operator calls drawing


@dataclass(frozen=True)
class Mutant:
    """`kind` is the operator that made it."""

    kind: str
    problem: Problem
    schedule: Schedule


@dataclass(frozen=True)
class Good:
    """A schedule that keeps every rule, and what can be read off it."""

    problem: Problem
    schedule: Schedule
    random: Random

    def changed(self, **schedule: Any) -> tuple[Problem, Schedule]:
        return self.problem, replace(self.schedule, **schedule)

    def tightened(self, **problem: Any) -> tuple[Problem, Schedule]:
        return replace(self.problem, **problem), self.schedule

    def one_off(self, series: tuple[float, ...], by: float) -> tuple[float, ...]:
        """One value that is still to come moved by so much."""
        slot = self.random.choice(self.live)
        return (*series[:slot], series[slot] + by, *series[slot + 1 :])

    @property
    def live(self) -> list[int]:
        horizon = self.problem.horizon
        return [slot for slot in range(horizon.slots) if horizon.slot_start(slot + 1) > horizon.first_moment]

    def sign(self) -> float:
        return self.random.choice((-1.0, 1.0))

    def drawing(self) -> tuple[Evse, Session, int] | None:
        """An EVSE, its one session in a slot after the first, in which it draws. Its limit in force is not open."""
        found = []
        horizon = self.problem.horizon
        for evse in self.problem.evses:
            stays = [session for session in self.problem.sessions if session.evse_id == evse.evse_id]
            for slot in self.live[1:]:
                opens, closes = horizon.slot_start(slot), horizon.slot_start(slot + 1)
                there = [stay for stay in stays if stay.arrival < closes and stay.departure > opens]
                if len(there) == 1 and self.schedule.power_kw[evse.evse_id][slot] > LEAST_KW:
                    overlap = min(closes, there[0].departure) - max(opens, there[0].arrival)
                    if overlap > (closes - opens) / 4:
                        found.append((evse, there[0], slot))
        return self.random.choice(found) if found else None

    def with_evse(self, evse: Evse, **changed: Any) -> tuple[Problem, Schedule]:
        return self.tightened(evses=tuple(replace(o, **changed) if o is evse else o for o in self.problem.evses))

    def with_session(self, one: Session, **changed: Any) -> tuple[Problem, Schedule]:
        return self.tightened(sessions=tuple(replace(o, **changed) if o is one else o for o in self.problem.sessions))


Operator = Callable[[Good], tuple[Problem, Schedule] | None]


def import_off(good: Good) -> tuple[Problem, Schedule]:
    return good.changed(import_kw=good.one_off(good.schedule.import_kw, good.sign() * OFF))


def export_off(good: Good) -> tuple[Problem, Schedule]:
    return good.changed(export_kw=good.one_off(good.schedule.export_kw, good.sign() * OFF))


def curtailment_off(good: Good) -> tuple[Problem, Schedule]:
    return good.changed(curtail_kw=good.one_off(good.schedule.curtail_kw, good.sign() * OFF))


def import_is_no_number(good: Good) -> tuple[Problem, Schedule]:
    return good.changed(import_kw=good.one_off(good.schedule.import_kw, good.random.choice((nan, inf))))


def power_off(good: Good) -> tuple[Problem, Schedule] | None:
    """Power that its current does not make, or that the meter does not see."""
    if (found := good.drawing()) is None:
        return None
    evse, _, slot = found
    series = list(good.schedule.power_kw[evse.evse_id])
    series[slot] += good.sign() * max(OFF, 0.1 * series[slot])
    return good.changed(power_kw={**good.schedule.power_kw, evse.evse_id: tuple(series)})


def current_off(good: Good) -> tuple[Problem, Schedule] | None:
    """One step more or less than the power says."""
    if (found := good.drawing()) is None or found[0].is_dc:
        return None
    evse, _, slot = found
    series = list(good.schedule.current_a[evse.evse_id] or ())
    series[slot] += good.sign() * evse.current_step_a
    return good.changed(current_a={**good.schedule.current_a, evse.evse_id: tuple(series)})


def between_two_steps(good: Good) -> tuple[Problem, Schedule] | None:
    if (found := good.drawing()) is None or found[0].is_dc:
        return None
    evse, _, slot = found
    series = list(good.schedule.current_a[evse.evse_id] or ())
    series[slot] += evse.current_step_a / 2
    return good.changed(current_a={**good.schedule.current_a, evse.evse_id: tuple(series)})


def power_for_nobody(good: Good) -> tuple[Problem, Schedule] | None:
    """An empty EVSE is told to charge; its slot is chosen where no stay touches it."""
    horizon = good.problem.horizon
    empty = [
        (evse.evse_id, slot)
        for evse in good.problem.evses
        for slot in range(horizon.slots)
        if not any(
            stay.evse_id == evse.evse_id
            and stay.arrival < horizon.slot_start(slot + 1)
            and stay.departure > horizon.slot_start(slot)
            for stay in good.problem.sessions
        )
    ]
    if not empty:
        return None
    evse_id, slot = good.random.choice(empty)
    series = list(good.schedule.power_kw[evse_id])
    series[slot] = 4.14
    return good.changed(power_kw={**good.schedule.power_kw, evse_id: tuple(series)})


def power_from_nobody(good: Good) -> tuple[Problem, Schedule]:
    """Nobody here may give."""
    evse_id = good.random.choice(good.problem.evses).evse_id
    series = good.one_off(tuple(-1.0 for _ in good.schedule.import_kw), 0.0)
    return good.changed(power_kw={**good.schedule.power_kw, evse_id: series})


def result_off(good: Good) -> tuple[Problem, Schedule] | None:
    """One number of one session's result."""
    if not good.schedule.sessions:
        return None
    session_id, result = good.random.choice(sorted(good.schedule.sessions.items()))
    name = good.random.choice(("planned_energy_kwh", "unmet_kwh", "floor_unmet_kwh", "expected_unmet_kwh"))
    wrong = replace(result, **{name: getattr(result, name) + OFF})
    return good.changed(sessions={**good.schedule.sessions, session_id: wrong})


def peak_off(good: Good) -> tuple[Problem, Schedule] | None:
    if not good.schedule.peak_kw:
        return None
    return good.changed(peak_kw={key: peak_kw + good.sign() * OFF for key, peak_kw in good.schedule.peak_kw.items()})


def cost_off(good: Good) -> tuple[Problem, Schedule]:
    name = good.random.choice(("energy", "demand", "carbon", "wear", "unmet"))
    cost = good.schedule.cost
    return good.changed(cost=replace(cost, **{name: getattr(cost, name) + good.sign() * OFF}))


def battery_off(good: Good) -> tuple[Problem, Schedule] | None:
    """One power or one energy of a battery; the other one is left as it was."""
    if not good.schedule.batteries:
        return None
    battery_id, result = good.random.choice(sorted(good.schedule.batteries.items()))
    name = good.random.choice([field.name for field in fields(result)])
    wrong = replace(result, **{name: good.one_off(getattr(result, name), good.sign() * OFF)})
    return good.changed(batteries={**good.schedule.batteries, battery_id: wrong})


def a_part_is_missing(good: Good) -> tuple[Problem, Schedule]:
    name = good.random.choice([one for one in ("power_kw", "sessions", "batteries", "peak_kw") if _part(good, one)])
    part = dict(_part(good, name))
    del part[good.random.choice(sorted(part))]
    return good.changed(**{name: part})


def _part(good: Good, name: str) -> dict[str, Any]:
    return dict(getattr(good.schedule, name))


def a_shorter_fuse(good: Good) -> tuple[Problem, Schedule] | None:
    """A limit at half of what one EVSE alone draws there: on its circuit, above it, or at the connection."""
    if (found := good.drawing()) is None:
        return None
    evse, _, slot = found
    half_kw = good.schedule.power_kw[evse.evse_id][slot] / 2
    above = good.problem.ancestors(evse.circuit_id)
    where = good.random.choice(("connection", *above))
    by_current = good.random.random() < 0.5
    # Half the power over three phases is at most half of the current on each of those in use.
    limit: dict[str, Any] = (
        {"max_current_a": half_kw * 1000 / good.problem.connection.voltage_v / 3}
        if by_current
        else {"max_power_kw": half_kw}
    )
    if where == "connection":
        limit = limit if by_current else {"max_import_kw": half_kw}
        return good.tightened(connection=replace(good.problem.connection, **limit))
    circuits = (replace(one, **limit) if one.circuit_id == where else one for one in good.problem.circuits)
    return good.tightened(circuits=tuple(circuits))


def a_reservation_that_fills_the_fuse(good: Good) -> tuple[Problem, Schedule] | None:
    """All that a rated place of a drawing EVSE has is spoken for."""
    if (found := good.drawing()) is None:
        return None
    evse, _, _ = found
    ratings = {one.circuit_id: one.max_current_a for one in good.problem.circuits}
    ratings["connection"] = good.problem.connection.max_current_a
    rated = [(where, ratings[where]) for where in ("connection", *good.problem.ancestors(evse.circuit_id))]
    full = [(where, rating) for where, rating in rated if rating is not None]
    if not full:
        return None
    where, rating = good.random.choice(full)
    spoken_for = Reservation((rating, rating, rating), circuit_id=where)
    return good.tightened(reservations=(*good.problem.reservations, spoken_for))


def a_smaller_evse(good: Good) -> tuple[Problem, Schedule] | None:
    if (found := good.drawing()) is None:
        return None
    evse, _, slot = found
    current_a = good.schedule.current_a[evse.evse_id]
    if current_a is not None and good.random.random() < 0.5:
        return good.with_evse(evse, max_current_a=current_a[slot] - 0.05)
    return good.with_evse(evse, max_power_kw=good.schedule.power_kw[evse.evse_id][slot] - OFF)


def a_higher_minimum(good: Good) -> tuple[Problem, Schedule] | None:
    if (found := good.drawing()) is None or found[0].is_dc:
        return None
    evse, session, slot = found
    above_a = (good.schedule.current_a[evse.evse_id] or ())[slot] + 0.05
    if good.random.random() < 0.5:
        return good.with_evse(evse, min_current_a=above_a)
    return good.with_session(session, min_current_a=above_a)


def a_weaker_vehicle(good: Good) -> tuple[Problem, Schedule] | None:
    if (found := good.drawing()) is None:
        return None
    evse, session, slot = found
    return good.with_session(session, max_power_kw=good.schedule.power_kw[evse.evse_id][slot] - OFF)


def a_smaller_need(good: Good) -> tuple[Problem, Schedule] | None:
    """Half of what is planned is all that may be taken."""
    if (found := good.drawing()) is None:
        return None
    evse, session, _ = found
    result = good.schedule.sessions[session.session_id]
    planned_kwh = result.planned_energy_kwh
    step_kwh = 3 * evse.current_step_a * good.problem.connection.voltage_v / 1000 * good.problem.horizon.slot_hours
    has_more = session.scenarios or session.floor_energy_kwh or result.unmet_kwh
    if has_more or planned_kwh < 2 * step_kwh + 0.1:
        return None
    return good.with_session(session, required_energy_kwh=planned_kwh / 2 - 0.01, max_energy_kwh=None)


def an_earlier_departure(good: Good) -> tuple[Problem, Schedule] | None:
    """It is gone, or not there yet, in a slot in which it was to charge."""
    if (found := good.drawing()) is None:
        return None
    _, session, slot = found
    opens = good.problem.horizon.slot_start(slot)
    if session.scenarios or session.floor_by is not None or session.arrival >= opens:
        return None
    return good.with_session(session, departure=opens)


def a_later_arrival(good: Good) -> tuple[Problem, Schedule] | None:
    if (found := good.drawing()) is None:
        return None
    _, session, slot = found
    closes = good.problem.horizon.slot_start(slot + 1)
    later = closes + timedelta(seconds=1)
    if session.scenarios or session.floor_by is not None or session.departure <= later:
        return None
    return good.with_session(session, arrival=closes)


def other_phases(good: Good) -> tuple[Problem, Schedule] | None:
    """A vehicle that is known to use fewer or more phases takes another power from the same current."""
    if (found := good.drawing()) is None or found[0].is_dc or len(found[0].phases) < 2:
        return None
    evse, session, _ = found
    counted = min(session.vehicle_phases or 1, len(evse.phases))
    return good.with_session(session, vehicle_phases=2 if counted == 1 else 1)


def a_probability(good: Good) -> tuple[Problem, Schedule] | None:
    """A vehicle that is certain to come, or was, means another mean power."""
    if (found := good.drawing()) is None:
        return None
    _, session, _ = found
    return good.with_session(session, probability=0.7 if session.probability == 1 else 1.0)


def an_open_limit(good: Good) -> tuple[Problem, Schedule] | None:
    """What is drawn in the first slot is more than the limit that turns out not to be verified."""
    first = good.live[0]
    drawing = [
        evse
        for evse in good.problem.evses
        if not evse.is_dc and (good.schedule.current_a[evse.evse_id] or ())[first] > 1
    ]
    if not drawing:
        return None
    evse = good.random.choice(drawing)
    limit_a = (good.schedule.current_a[evse.evse_id] or ())[first] - 0.5
    return good.with_evse(evse, in_force=InForce(limit_a, verified=False))


def a_supply_that_is_shared(good: Good) -> tuple[Problem, Schedule] | None:
    """With a group of its own that has half of what it draws."""
    if (found := good.drawing()) is None or found[0].is_dc:
        return None
    evse, _, slot = found
    half_a = (good.schedule.current_a[evse.evse_id] or ())[slot] / 2
    return good.with_evse(evse, shared_power=SharedPower("alone", half_a))


def another_price(good: Good) -> tuple[Problem, Schedule] | None:
    """A price that differs by 1 in a slot with a flow of at least half a kW."""
    for name, flows in (("import", good.schedule.import_kw), ("export", good.schedule.export_kw)):
        slots = [slot for slot in good.live[1:] if flows[slot] > LEAST_KW]
        if slots and good.random.random() < 0.7:
            slot = good.random.choice(slots)
            prices = list(getattr(good.problem, f"{name}_price_per_kwh"))
            prices[slot] += 1
            return good.tightened(**{f"{name}_price_per_kwh": tuple(prices)})
    return None


def another_base_load(good: Good) -> tuple[Problem, Schedule]:
    return good.tightened(base_load_kw=good.one_off(good.problem.base_load_kw, OFF))


def another_sun(good: Good) -> tuple[Problem, Schedule]:
    return good.tightened(pv_kw=good.one_off(good.problem.pv_kw, OFF))


def an_export_limit(good: Good) -> tuple[Problem, Schedule] | None:
    """Half of what is exported, where all PV could have been curtailed."""
    most_kw = max(good.schedule.export_kw[slot] for slot in good.live)
    if most_kw < LEAST_KW or not good.problem.pv_curtailable:
        return None
    return good.tightened(connection=replace(good.problem.connection, max_export_kw=most_kw / 2))


def sun_that_must_not_be_curtailed(good: Good) -> tuple[Problem, Schedule] | None:
    if max(good.schedule.curtail_kw) < LEAST_KW:
        return None
    return good.tightened(pv_curtailable=False)


def a_weaker_battery(good: Good) -> tuple[Problem, Schedule] | None:
    """A battery whose limits, or whose losses, are others where it moves at least half a kW."""
    batteries = list(good.problem.batteries)
    for index, battery in enumerate(batteries):
        powers = [good.schedule.batteries[battery.battery_id].power_kw[slot] for slot in good.live[1:]]
        if powers and max(powers) > LEAST_KW:
            name = good.random.choice(("max_charge_kw", "charge_efficiency"))
            limit = max(powers) - OFF if name == "max_charge_kw" else 0.5
        elif powers and min(powers) < -LEAST_KW:
            name = good.random.choice(("max_discharge_kw", "discharge_efficiency"))
            limit = -min(powers) - OFF if name == "max_discharge_kw" else 0.5
        else:
            continue
        changed: dict[str, Any] = {name: limit}
        batteries[index] = replace(battery, **changed)
        return good.tightened(batteries=tuple(batteries))
    return None


OPERATORS: tuple[Operator, ...] = (
    import_off,
    export_off,
    curtailment_off,
    import_is_no_number,
    power_off,
    current_off,
    between_two_steps,
    power_for_nobody,
    power_from_nobody,
    result_off,
    peak_off,
    cost_off,
    battery_off,
    a_part_is_missing,
    a_shorter_fuse,
    a_reservation_that_fills_the_fuse,
    a_smaller_evse,
    a_higher_minimum,
    a_weaker_vehicle,
    a_smaller_need,
    an_earlier_departure,
    a_later_arrival,
    other_phases,
    a_probability,
    an_open_limit,
    a_supply_that_is_shared,
    another_price,
    another_base_load,
    another_sun,
    an_export_limit,
    sun_that_must_not_be_curtailed,
    a_weaker_battery,
)


def mutants(problem: Problem, schedule: Schedule, random: Random) -> Iterator[Mutant]:
    """One mutant of every kind that this schedule allows."""
    good = Good(problem, schedule, random)
    for operator in OPERATORS:
        if (made := operator(good)) is not None:
            yield Mutant(operator.__name__, *made)
