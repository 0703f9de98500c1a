"""What fuses and the grid connection carry at worst. Hard: a fuse does not negotiate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from optimizer.check.plan import Draw, Plan, may_still_draw, slack
from optimizer.domain import BASE_LOAD_MARGIN, CONNECTION, PHASES, Evse, Phase, Problem, Series, Violation

DRAWING_RULES = {True: ("connection_import", "connection_current"), False: ("circuit_power", "circuit_current")}
FEEDING_RULES = {
    True: ("connection_export", "connection_feed_current"),
    False: ("circuit_feed_power", "circuit_feed_current"),
}
SHARED_POWER = "shared_power"
NAMES = frozenset(
    {SHARED_POWER, *(name for names in (*DRAWING_RULES.values(), *FEEDING_RULES.values()) for name in names)}
)


def drawing_side(plan: Plan) -> Iterator[Violation]:
    """Neither the connection nor a circuit carries more than it may, in kW and in A on each phase.

    Counted: high base load, what else draws on a circuit, reservations, limits that are not verified, every vehicle
    at its full limit on every phase it may use, batteries that charge. Not counted: PV, and whoever gives.
    """
    problem, connection = plan.problem, plan.problem.connection
    kw_of_one_a = connection.voltage_v / 1000
    nodes: list[tuple[str, float | None, float | None, Series | None]] = [
        (CONNECTION, connection.max_import_kw, connection.max_current_a, None),
        *((one.circuit_id, one.max_power_kw, one.max_current_a, one.power_cap_kw) for one in problem.circuits),
    ]
    for where, rated_kw, max_a, cap_kw in nodes:
        if rated_kw is None and max_a is None and cap_kw is None:
            continue
        idle_a = _idle_current(plan, where)
        idle_kw = [sum(currents) * kw_of_one_a for currents in idle_a]
        moved_kw, moved_a = _moved(plan, where)
        power_rule, current_rule = DRAWING_RULES[where == CONNECTION]
        for slot in range(problem.horizon.slots):
            if plan.hours[slot] == 0:
                continue
            max_kw = rated_kw if cap_kw is None else min(cap_kw[slot], inf if rated_kw is None else rated_kw)
            if max_kw is not None and _exceeds(max_kw, idle_kw[slot], moved_kw[slot]):
                limit = _Limit(power_rule, where, "kW", max_kw, slot)
                yield from limit.beyond(idle=idle_kw[slot], moved=moved_kw[slot])
            if max_a is not None:
                for index, phase in enumerate(PHASES):
                    if _exceeds(max_a, idle_a[slot][index], moved_a[slot][index]):
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
    flowing = [list(always) for _ in range(problem.horizon.slots)]
    first = plan.first
    for evse in plan.evses_below.get(where, ()):
        if may_still_draw(evse) is not None:
            _add(flowing[first], _open_current(evse))
    if where == CONNECTION:
        kw_of_one_a = problem.connection.voltage_v / 1000
        for currents, base_kw in zip(flowing, _high_base_load_kw(problem), strict=True):
            _add(currents, [base_kw * share / kw_of_one_a for share in problem.base_load_phase_share])
    return flowing


def _add(currents: list[float], more: Sequence[float]) -> None:
    for index, amps in enumerate(more):
        currents[index] += amps


def _open_current(evse: Evse) -> list[float]:
    """A on L1, L2, L3 that an EVSE may draw in the first slot whatever the plan says, vehicle or not."""
    open_a = may_still_draw(evse) or 0.0
    return [open_a if phase in evse.phases else 0.0 for phase in PHASES]


def _high_base_load_kw(problem: Problem) -> Iterator[float]:
    """The high quantile, never below the expected value; a margin on that where there is none."""
    for slot, expected_kw in enumerate(problem.base_load_kw):
        if problem.base_load_high_kw is None:
            yield expected_kw * (1 + BASE_LOAD_MARGIN)
        else:
            yield max(expected_kw, problem.base_load_high_kw[slot])


def _low_base_load_kw(problem: Problem, slot: int) -> float:
    if problem.base_load_low_kw is None:
        return problem.base_load_kw[slot] * (1 - BASE_LOAD_MARGIN)
    return min(problem.base_load_kw[slot], problem.base_load_low_kw[slot])


def _high_pv_kw(problem: Problem, slot: int) -> float:
    return problem.pv_kw[slot] if problem.pv_high_kw is None else max(problem.pv_kw[slot], problem.pv_high_kw[slot])


def _moved(plan: Plan, where: str) -> tuple[list[float], list[list[float]]]:
    """kW, and A on L1, L2, L3, per slot that vehicles and charging batteries draw through `where`."""
    problem = plan.problem
    power_kw = [0.0] * problem.horizon.slots
    current_a = [[0.0, 0.0, 0.0] for _ in power_kw]
    for evse in plan.evses_below.get(where, ()):
        for draw in _planned_draws(plan, evse):
            power_kw[draw.slot] += draw.power_kw
            _add(current_a[draw.slot], draw.current_a)
    for battery in problem.batteries:
        if not plan.is_below(battery.circuit_id, where):
            continue
        for slot, signed_kw in enumerate(plan.schedule.batteries[battery.battery_id].power_kw):
            charge_kw = max(0.0, signed_kw)
            power_kw[slot] += charge_kw
            for index in range(3):  # a battery inverter draws evenly
                current_a[slot][index] += charge_kw * 1000 / problem.connection.voltage_v / 3
    return power_kw, current_a


def _planned_draws(plan: Plan, evse: Evse) -> Iterator[Draw]:
    """What an EVSE draws on top of what is counted whatever the plan says: nothing while its limit is open."""
    is_open = may_still_draw(evse) is not None
    for draw in plan.draws[evse.evse_id]:
        if draw.power_kw > 0 and not (is_open and draw.slot == plan.first):
            yield draw


def shared_power(plan: Plan) -> Iterator[Violation]:
    """EVSEs that share a station's supply together carry no more than it has, in A on each phase.

    Counted: what they draw at worst, their limits that are not verified, and what is reserved for them.
    """
    problem = plan.problem
    groups: dict[str, list[Evse]] = {}
    for evse in problem.evses:
        if evse.shared_power is not None:
            groups.setdefault(evse.shared_power.group, []).append(evse)
    for group, members in groups.items():
        most_a = min(evse.shared_power.max_current_a for evse in members if evse.shared_power is not None)
        reserved = [0.0, 0.0, 0.0]
        for reservation in problem.reservations:
            if reservation.evse_id in {evse.evse_id for evse in members}:
                _add(reserved, reservation.current_a)
        idle = [list(reserved) for _ in range(problem.horizon.slots)]
        moved = [[0.0, 0.0, 0.0] for _ in idle]
        for evse in members:
            _add(idle[plan.first], _open_current(evse))
            for draw in _planned_draws(plan, evse):
                _add(moved[draw.slot], draw.current_a)
        for slot in range(plan.first, problem.horizon.slots):
            for index, phase in enumerate(PHASES):
                limit = _Limit(SHARED_POWER, f"shared_power[{group}]", "A", most_a, slot, phase)
                yield from limit.beyond(idle=idle[slot][index], moved=moved[slot][index])


def _exceeds(most: float, idle: float, moved: float) -> bool:
    """Whether there is anything to look at: nearly always there is not."""
    return idle > most or idle + moved > most


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

    Counted: low base load, high PV less what is curtailed, every battery that discharges, every vehicle that gives.
    Charging is no help: a vehicle may leave or be full. PV and batteries feed evenly into three phases, a vehicle into
    those of its EVSE; PV is at the connection.
    """
    problem, connection = plan.problem, plan.problem.connection
    amps_per_kw = 1000 / connection.voltage_v
    ratings = [(CONNECTION, connection.max_export_kw, connection.max_current_a)]
    ratings += [(circuit.circuit_id, circuit.max_power_kw, circuit.max_current_a) for circuit in problem.circuits]
    for where, max_kw, max_a in ratings:
        power_rule, current_rule = FEEDING_RULES[where == CONNECTION]
        given_kw, given_a = _given(plan, where)
        for slot in range(problem.horizon.slots):
            if plan.hours[slot] == 0:
                continue
            idle_kw = base_kw = curtailable_kw = 0.0
            moved_kw, moved_a = given_kw[slot], list(given_a[slot])
            if where == CONNECTION:
                curtailable_kw = problem.pv_kw[slot] if problem.pv_curtailable else 0.0
                idle_kw = _high_pv_kw(problem, slot) - curtailable_kw
                left_kw = curtailable_kw - plan.schedule.curtail_kw[slot]
                moved_kw += left_kw
                _add(moved_a, [left_kw / 3 * amps_per_kw] * 3)
                base_kw = _low_base_load_kw(problem, slot)
            if max_kw is not None and _exceeds(max_kw, idle_kw - base_kw, moved_kw):
                yield from _Limit(power_rule, where, "kW", max_kw, slot).beyond(idle=idle_kw - base_kw, moved=moved_kw)
            if max_a is not None:
                for index, phase in enumerate(PHASES):
                    idle_a = (idle_kw / 3 - base_kw * problem.base_load_phase_share[index]) * amps_per_kw
                    if _exceeds(max_a, idle_a, moved_a[index]):
                        limit = _Limit(current_rule, where, "A", max_a, slot, phase)
                        yield from limit.beyond(idle=idle_a, moved=moved_a[index])


def _given(plan: Plan, where: str) -> tuple[list[float], list[list[float]]]:
    """kW, and A on L1, L2, L3, per slot that batteries and vehicles below `where` feed."""
    problem = plan.problem
    power_kw = [0.0] * problem.horizon.slots
    current_a = [[0.0, 0.0, 0.0] for _ in power_kw]
    for battery in problem.batteries:
        if plan.is_below(battery.circuit_id, where):
            for slot, signed_kw in enumerate(plan.schedule.batteries[battery.battery_id].power_kw):
                feed_kw = max(0.0, -signed_kw)
                power_kw[slot] += feed_kw
                _add(current_a[slot], [feed_kw * 1000 / problem.connection.voltage_v / 3] * 3)
    for evse in plan.evses_below.get(where, ()):
        for draw in plan.draws[evse.evse_id]:
            if draw.power_kw < 0:
                power_kw[draw.slot] -= draw.power_kw
                _add(current_a[draw.slot], [-amps for amps in draw.current_a])
    return power_kw, current_a
