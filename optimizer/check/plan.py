"""A schedule as the checker reads it: who is there, and what each EVSE draws at worst.

Tolerances: `KW` + `RELATIVE` of the value for power and energy, the same at 230 V for currents, `MONEY` for cost.
They are what rounding to steps and a solver's own feasibility tolerance may leave, far below one current step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from optimizer.domain import CONNECTION, PHASES, Evse, Phase, Problem, Schedule, Session

KW = 1e-4  # kW, kWh; a step of 0.1 A at one phase is 0.023 kW
RELATIVE = 1e-6
MONEY = 1e-4  # currency
BLINK_H = 1e-6  # 4 ms: who is there for less is not there
STEP = 1e-3  # share of a current step


@dataclass(frozen=True, slots=True)
class Draw:
    """What one EVSE takes in one slot at worst: kW, and A on L1, L2, L3. A vehicle that gives has negative ones."""

    slot: int
    power_kw: float
    current_a: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule with what this checker worked out from it."""

    problem: Problem
    schedule: Schedule
    starts: Sequence[datetime]  # of each slot, and the end of the last
    hours: Sequence[float]  # per slot, what is left of it after `now`
    present: dict[str, dict[int, list[tuple[Session, float]]]]  # EVSE -> slot -> (session, hours present)
    draws: dict[str, list[Draw]]  # EVSE -> slots in which it draws
    above: dict[str, frozenset[str]]  # circuit -> itself and all circuits above it
    evses_below: dict[str, list[Evse]]  # circuit or connection -> who loads it
    metered: dict[str, dict[int, float]]  # session -> slot -> kWh that the EVSE's meter sees

    @classmethod
    def read(cls, problem: Problem, schedule: Schedule) -> "Plan":
        present: dict[str, dict[int, list[tuple[Session, float]]]] = {evse.evse_id: {} for evse in problem.evses}
        for session in problem.sessions:
            for slot, hours in _presence(problem, session):
                present[session.evse_id].setdefault(slot, []).append((session, hours))
        above = _above(problem)
        starts = [problem.horizon.slot_start(slot) for slot in range(problem.horizon.slots + 1)]
        return cls(
            problem=problem,
            schedule=schedule,
            starts=starts,
            hours=[_hours_left(problem, opens, closes) for opens, closes in pairwise(starts)],
            present=present,
            draws={
                evse.evse_id: list(_draws(problem, schedule, evse, present[evse.evse_id])) for evse in problem.evses
            },
            above=above,
            evses_below=_evses_below(problem, above),
            metered=_metered(schedule, present),
        )

    @property
    def first(self) -> int:
        """The slot that holds `now`."""
        return next(slot for slot, hours in enumerate(self.hours) if hours > 0)

    def is_below(self, circuit_id: str | None, above: str) -> bool:
        """Whether what hangs on `circuit_id` also loads the circuit or connection `above`."""
        return above == CONNECTION or above in self.above.get(circuit_id or CONNECTION, ())


def _above(problem: Problem) -> dict[str, frozenset[str]]:
    parents = {circuit.circuit_id: circuit.parent for circuit in problem.circuits}
    found: dict[str, frozenset[str]] = {}
    for circuit_id in parents:
        path, at = set(), circuit_id
        while at in parents:
            path.add(at)
            at = parents[at] or CONNECTION
        found[circuit_id] = frozenset(path)
    return found


def _evses_below(problem: Problem, above: Mapping[str, frozenset[str]]) -> dict[str, list[Evse]]:
    below: dict[str, list[Evse]] = {}
    for evse in problem.evses:
        for where in (CONNECTION, *above.get(evse.circuit_id, ())):
            below.setdefault(where, []).append(evse)
    return below


def _metered(
    schedule: Schedule, present: Mapping[str, Mapping[int, Sequence[tuple[Session, float]]]]
) -> dict[str, dict[int, float]]:
    """Per session and slot: power × the time the vehicle is there, below 0 if it gives."""
    energy_kwh: dict[str, dict[int, float]] = {}
    for evse_id, slots in present.items():
        power_kw = schedule.power_kw[evse_id]
        for slot, there in slots.items():
            for session, hours in there:
                energy_kwh.setdefault(session.session_id, {})[slot] = power_kw[slot] * hours
    return energy_kwh


def _hours_left(problem: Problem, opens: datetime, closes: datetime) -> float:
    return max(0.0, (closes - max(opens, problem.horizon.first_moment)).total_seconds() / 3600)


def _presence(problem: Problem, session: Session) -> Iterator[tuple[int, float]]:
    """The slots in which the vehicle is there after `now`, each with the hours it is there."""
    horizon = problem.horizon
    comes, goes = max(session.arrival, horizon.first_moment), min(session.departure, horizon.end)
    if goes <= comes:
        return
    comes_h, goes_h = ((moment - horizon.start).total_seconds() / 3600 for moment in (comes, goes))
    first = (comes - horizon.start) // timedelta(minutes=horizon.slot_minutes)
    slot_h = horizon.slot_minutes / 60
    for slot in range(first, horizon.slots):
        opens_h, closes_h = slot * horizon.slot_minutes / 60, (slot + 1) * horizon.slot_minutes / 60
        if opens_h >= goes_h:
            return
        whole = comes_h <= opens_h and closes_h <= goes_h
        hours = slot_h if whole else min(goes_h, closes_h) - max(comes_h, opens_h)
        if hours > BLINK_H:
            yield slot, hours


def _draws(
    problem: Problem, schedule: Schedule, evse: Evse, present: dict[int, list[tuple[Session, float]]]
) -> Iterator[Draw]:
    voltage_v = problem.connection.voltage_v
    currents_a = schedule.current_a[evse.evse_id]
    powers_kw = schedule.power_kw[evse.evse_id]
    if not any(powers_kw) and not any(currents_a or ()):
        return
    for slot, power_kw in enumerate(powers_kw):
        if power_kw == 0 and (currents_a is None or currents_a[slot] == 0):
            continue
        if currents_a is None:
            per_phase_a = power_kw * 1000 / voltage_v / len(evse.phases)
            loaded, worst_kw = evse.phases, power_kw
        else:
            # Of two vehicles that share the slot one after the other, the one with more phases counts.
            used = [_wired_and_used(evse, session) for session, _ in present.get(slot, [])]
            loaded = max(used, key=len, default=evse.phases)
            per_phase_a = currents_a[slot]
            worst_kw = per_phase_a * voltage_v * len(loaded) / 1000
        on = [per_phase_a if phase in loaded else 0.0 for phase in PHASES]
        yield Draw(slot, worst_kw, (on[0], on[1], on[2]))


def _wired_and_used(evse: Evse, session: Session) -> tuple[Phase, ...]:
    """The site's phases that the vehicle may load. Unknown: every wired one."""
    return evse.phases if session.vehicle_phases is None else evse.phases[: session.vehicle_phases]


def kw_of_one_ampere(problem: Problem, evse: Evse, session: Session) -> float:
    """What counts as energy. Unknown phases: one."""
    phases = 1 if session.vehicle_phases is None else len(evse.phases[: session.vehicle_phases])
    return phases * problem.connection.voltage_v / 1000


def slack(value: float) -> float:
    """By how much a power, an energy or a current of this size may be off."""
    return KW + RELATIVE * abs(value)


def takes_kw(session: Session) -> float:
    """What the vehicle takes at most."""
    return float("inf") if session.max_power_kw is None else session.max_power_kw


def gives_kw(session: Session) -> float:
    """What the vehicle gives at most."""
    return 0.0 if session.v2g is None else session.v2g.max_discharge_kw


def may_still_draw(evse: Evse) -> float | None:
    """A per phase that the EVSE may draw whatever it is told now; None where its limit is verified or unknown."""
    return None if evse.in_force is None or evse.in_force.verified else evse.in_force.limit_a


def full_power_kw(problem: Problem, session: Session, evse: Evse) -> float:
    """What the vehicle can draw at its EVSE at most."""
    full_kw = takes_kw(session)
    if evse.max_power_kw is not None:
        full_kw = min(full_kw, evse.max_power_kw)
    if evse.max_current_a is not None:
        full_kw = min(full_kw, evse.max_current_a * kw_of_one_ampere(problem, evse, session))
    return full_kw


def metered_kwh(plan: Plan, session: Session) -> Mapping[int, float]:
    """Per slot, the energy that the EVSE's meter sees: power × the time the vehicle is there, below 0 if it gives."""
    return plan.metered.get(session.session_id, {})


def delivered_kwh(plan: Plan, session: Session, evse: Evse, before: datetime | None = None) -> float:
    """What counts for a need by a moment, the departure by default: charged less what it takes to charge it again.

    A kWh that is given costs the vehicle 1/η, and bringing that back takes 1/η² at the meter.
    """
    total_kwh = 0.0
    for slot, energy_kwh in metered_kwh(plan, session).items():
        counted_kwh = energy_kwh if energy_kwh >= 0 else energy_kwh / evse.efficiency**2
        total_kwh += counted_kwh * (1.0 if before is None else _share_before(plan, session, slot, before))
    return total_kwh


def _share_before(plan: Plan, session: Session, slot: int, before: datetime) -> float:
    """The share of the vehicle's time in a slot that lies before a moment."""
    opens, closes = plan.starts[slot], plan.starts[slot + 1]
    if closes <= before:
        return 1.0
    if before <= opens:
        return 0.0
    comes = max(session.arrival, plan.problem.horizon.first_moment, opens)
    goes = min(session.departure, closes)
    return max(0.0, min(1.0, (before - comes) / (goes - comes)))
