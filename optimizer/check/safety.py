"""What fuses and the grid connection carry at worst. Hard: a fuse does not negotiate."""

from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.check.plan import Plan, slack
from optimizer.domain import CONNECTION, PHASES, Phase, Violation

DRAWING_RULES = {True: ("connection_import", "connection_current"), False: ("circuit_power", "circuit_current")}
FEEDING_RULES = {
    True: ("connection_export", "connection_feed_current"),
    False: ("circuit_feed_power", "circuit_feed_current"),
}
NAMES = frozenset(name for names in (*DRAWING_RULES.values(), *FEEDING_RULES.values()) for name in names)


def drawing_side(plan: Plan) -> Iterator[Violation]:
    """Neither the connection nor a circuit carries more than it may, in kW and in A on each phase.

    Counted: high base load, what else draws on a circuit, reservations, every vehicle at its full limit on every
    phase it may use, batteries that charge. Not counted: PV, and batteries that discharge.
    """
    problem, connection = plan.problem, plan.problem.connection
    kw_of_one_a = connection.voltage_v / 1000
    nodes: list[tuple[str, float | None, float | None]] = [
        (CONNECTION, connection.max_import_kw, connection.max_current_a),
        *((circuit.circuit_id, circuit.max_power_kw, circuit.max_current_a) for circuit in problem.circuits),
    ]
    for where, max_kw, max_a in nodes:
        if max_kw is None and max_a is None:
            continue
        idle_a = _idle_current(plan, where)
        idle_kw = [sum(currents) * kw_of_one_a for currents in idle_a]
        moved_kw, moved_a = _moved(plan, where)
        power_rule, current_rule = DRAWING_RULES[where == CONNECTION]
        for slot in range(problem.horizon.slots):
            if plan.hours[slot] == 0:
                continue
            if max_kw is not None:
                limit = _Limit(power_rule, where, "kW", max_kw, slot)
                yield from limit.beyond(idle=idle_kw[slot], moved=moved_kw[slot])
            if max_a is not None:
                for index, phase in enumerate(PHASES):
                    limit = _Limit(current_rule, where, "A", max_a, slot, phase)
                    yield from limit.beyond(idle=idle_a[slot][index], moved=moved_a[slot][index])


def _idle_current(plan: Plan, where: str) -> list[list[float]]:
    """A per slot on L1, L2, L3 that flow at a circuit, or at the connection, whatever the schedule says."""
    problem = plan.problem
    always = [0.0, 0.0, 0.0]
    for circuit in problem.circuits:
        # At the connection the base load holds it already: the meter sees everything behind it.
        if where != CONNECTION and plan.is_below(circuit.circuit_id, where):
            always = [a + b for a, b in zip(always, circuit.base_load_a, strict=True)]
    for reservation in problem.reservations:
        home = reservation.circuit_id
        if reservation.evse_id is not None:
            home = next(evse.circuit_id for evse in problem.evses if evse.evse_id == reservation.evse_id)
        if plan.is_below(home, where):
            always = [a + b for a, b in zip(always, reservation.current_a, strict=True)]
    if where != CONNECTION:
        return [always] * problem.horizon.slots
    volts = problem.connection.voltage_v
    return [
        [
            a + base_kw * share * 1000 / volts
            for a, share in zip(always, problem.base_load_phase_share, strict=True)
        ]
        for base_kw in problem.safe_base_load_kw
    ]  # fmt: skip


def _moved(plan: Plan, where: str) -> tuple[list[float], list[list[float]]]:
    """kW, and A on L1, L2, L3, per slot that vehicles and charging batteries draw through `where`."""
    problem = plan.problem
    power_kw = [0.0] * problem.horizon.slots
    current_a = [[0.0, 0.0, 0.0] for _ in power_kw]
    for evse in problem.evses:
        if not plan.is_below(evse.circuit_id, where):
            continue
        for draw in plan.draws[evse.evse_id]:
            power_kw[draw.slot] += draw.power_kw
            for index, amps in enumerate(draw.current_a):
                current_a[draw.slot][index] += amps
    for battery in problem.batteries:
        if not plan.is_below(battery.circuit_id, where):
            continue
        for slot, signed_kw in enumerate(plan.schedule.batteries[battery.battery_id].power_kw):
            charge_kw = max(0.0, signed_kw)
            power_kw[slot] += charge_kw
            for index in range(3):  # a battery inverter draws evenly
                current_a[slot][index] += charge_kw * 1000 / problem.connection.voltage_v / 3
    return power_kw, current_a


@dataclass(frozen=True, slots=True)
class _Limit:
    rule: str
    where: str
    unit: str
    most: float
    slot: int
    phase: Phase | None = None

    def beyond(self, *, idle: float, moved: float) -> Iterator[Violation]:
        """What is above the limit without the schedule, and what the schedule adds to it."""
        tolerance = slack(self.most) * (1000 / 230 if self.unit == "A" else 1)
        without = max(0.0, idle - self.most)
        added = max(0.0, idle + moved - self.most) - without
        if without > tolerance:
            yield Violation(self.rule, self.where, without, self.unit, self.slot, self.phase, unavoidable=True)
        if added > tolerance:
            yield Violation(self.rule, self.where, added, self.unit, self.slot, self.phase)


def feeding_side(plan: Plan) -> Iterator[Violation]:
    """What flows towards the grid stays within the same ratings, and within the export limit at the connection.

    Counted: low base load, high PV less what is curtailed, every battery that discharges. Charging is no help: a
    vehicle may leave or be full. PV and batteries feed evenly into three phases; PV is at the connection.
    """
    problem, connection = plan.problem, plan.problem.connection
    amps_per_kw = 1000 / connection.voltage_v
    ratings = [(CONNECTION, connection.max_export_kw, connection.max_current_a)]
    ratings += [(circuit.circuit_id, circuit.max_power_kw, circuit.max_current_a) for circuit in problem.circuits]
    for where, max_kw, max_a in ratings:
        power_rule, current_rule = FEEDING_RULES[where == CONNECTION]
        below = [battery.battery_id for battery in problem.batteries if plan.is_below(battery.circuit_id, where)]
        for slot in range(problem.horizon.slots):
            if plan.hours[slot] == 0:
                continue
            moved_kw = sum(max(0.0, -plan.schedule.batteries[battery_id].power_kw[slot]) for battery_id in below)
            idle_kw = base_kw = 0.0
            if where == CONNECTION:
                curtailable_kw = problem.pv_kw[slot] if problem.pv_curtailable else 0.0
                idle_kw = problem.high_pv_kw[slot] - curtailable_kw
                moved_kw += curtailable_kw - plan.schedule.curtail_kw[slot]
                base_kw = problem.low_base_load_kw[slot]
            if max_kw is not None:
                yield from _Limit(power_rule, where, "kW", max_kw, slot).beyond(idle=idle_kw - base_kw, moved=moved_kw)
            if max_a is not None:
                for phase, share in zip(PHASES, problem.base_load_phase_share, strict=True):
                    idle_a = (idle_kw / 3 - base_kw * share) * amps_per_kw
                    limit = _Limit(current_rule, where, "A", max_a, slot, phase)
                    yield from limit.beyond(idle=idle_a, moved=moved_kw / 3 * amps_per_kw)
