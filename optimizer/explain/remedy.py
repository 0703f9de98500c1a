"""What would help a vehicle that goes short: leave later, take less, or more power at one circuit.

Each is the smallest of its kind, found by putting it into the problem and solving. Everybody else may go short of what
the plan leaves them short of, but of no more: the answer is about this wish, not about who else would like the room.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

import numpy as np

from optimizer.constraints import ALL
from optimizer.domain import CONNECTION, Problem, Schedule, Session
from optimizer.doors import HighsDoor
from optimizer.errors import SolverError
from optimizer.explain.reasons import Repair
from optimizer.objectives import head_start, money
from optimizer.presence import full_power_kw
from optimizer.program import Site, Variables, assemble
from optimizer.service import UNMET_NOISE_KWH

ENERGY_STEP_KWH = 0.01  # the grid on which a change is proposed: what a person would type
POWER_STEP_KW = 0.1
SHORTEST_STAY_H = 0.1
MOST_STEPS = 1 << 14  # 1.6 MW more at a circuit: beyond, it is another site


@dataclass(frozen=True, slots=True)
class Plan:
    """What a repair has to beat: the plan's problem, who goes short of what, and its least money."""

    problem: Problem
    unmet_kwh: Mapping[str, float]
    floor_unmet_kwh: Mapping[str, float]
    money: float
    time_limit_s: float

    @classmethod
    def of(cls, problem: Problem, schedule: Schedule) -> "Plan":
        """Raise `SolverError` when the schedule breaks a rule of the problem."""
        unmet_kwh = {session_id: result.unmet_kwh for session_id, result in schedule.sessions.items()}
        floors_kwh = {session_id: result.floor_unmet_kwh for session_id, result in schedule.sessions.items()}
        limit_s = problem.settings.time_limit_s
        return cls(problem, unmet_kwh, floors_kwh, _least_money(problem, unmet_kwh, floors_kwh, limit_s), limit_s)


def repairs(plan: Plan, session: Session) -> tuple[Repair, ...]:
    """At most one of each kind, the smallest share of what it changes first; none where a kind cannot help."""
    found = (leave_later(plan, session), take_less(plan, session), more_power(plan, session))
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.share))


def leave_later(plan: Plan, session: Session) -> Repair | None:
    """The fewest whole minutes, before the next vehicle comes and before the horizon ends."""
    end = _free_until(plan.problem, session)
    most = int((end - session.departure) / timedelta(minutes=1))

    def later(minutes: int) -> Problem:
        return _with(plan.problem, replace(session, departure=session.departure + timedelta(minutes=minutes)))

    power_kw = max(full_power_kw(plan.problem)[plan.problem.sessions.index(session)], POWER_STEP_KW)
    guess = ceil(plan.unmet_kwh[session.session_id] / power_kw * 60)
    minutes = _fewest(lambda count: money_when_met(plan, later(count), session) is not None, most, guess)
    if minutes is None:
        return None
    stay_min = (session.departure - session.arrival) / timedelta(minutes=1)
    return _proven(plan, later(minutes), session, Repair("leave_later", minutes, "min", minutes / stay_min, 0.0))


def take_less(plan: Plan, session: Session) -> Repair | None:
    """What the plan leaves unmet, rounded up."""
    steps = ceil(plan.unmet_kwh[session.session_id] / ENERGY_STEP_KWH - UNMET_NOISE_KWH)
    less_kwh = min(round(steps * ENERGY_STEP_KWH, 6), session.required_energy_kwh)
    changed = replace(session, required_energy_kwh=session.required_energy_kwh - less_kwh)
    share = less_kwh / session.required_energy_kwh
    return _proven(plan, _with(plan.problem, changed), session, Repair("take_less", less_kwh, "kWh", share, 0.0))


def more_power(plan: Plan, session: Session) -> Repair | None:
    """The least share more at a single circuit above the vehicle, its power and its current limit together."""
    circuit_id = plan.problem.evse(session.evse_id).circuit_id
    found = [
        repair
        for where in (*plan.problem.ancestors(circuit_id), CONNECTION)
        if (repair := _more_power_at(plan, session, where)) is not None
    ]
    return min(found, key=lambda one: one.share, default=None)


def money_when_met(plan: Plan, changed: Problem, session: Session) -> float | None:
    """The least money of a changed problem in which the wish is met and nobody goes shorter; None when there is none.

    A solver that gives no answer in time proves nothing: None as well.
    """
    allowed_kwh = {**plan.unmet_kwh, session.session_id: 0.0}
    try:
        return _least_money(changed, allowed_kwh, plan.floor_unmet_kwh, plan.time_limit_s)
    except SolverError:
        return None


def raised(problem: Problem, where: str, more_kw: float) -> Problem:
    """The problem with `more_kw` at a circuit or the connection, spread over three phases where amperes limit it."""
    more_a = more_kw / (3 * problem.connection.voltage_v / 1000)

    def plus(limit: float | None, more: float) -> float | None:
        return None if limit is None else limit + more

    if where == CONNECTION:
        connection = problem.connection
        import_kw, current_a = plus(connection.max_import_kw, more_kw), plus(connection.max_current_a, more_a)
        return replace(problem, connection=replace(connection, max_import_kw=import_kw, max_current_a=current_a))
    circuits = tuple(
        replace(
            circuit,
            max_power_kw=plus(circuit.max_power_kw, more_kw),
            max_current_a=plus(circuit.max_current_a, more_a),
            power_cap_kw=None
            if circuit.power_cap_kw is None
            else tuple(cap_kw + more_kw for cap_kw in circuit.power_cap_kw),
        )
        if circuit.circuit_id == where
        else circuit
        for circuit in problem.circuits
    )
    return replace(problem, circuits=circuits)


def _least_money(
    problem: Problem, unmet_kwh: Mapping[str, float], floors_kwh: Mapping[str, float], time_limit_s: float
) -> float:
    """Of plans that leave nobody short of more than `unmet_kwh`, nor below a floor by more than `floors_kwh`."""
    site = Site.of(problem)
    v = Variables.of(site)
    program = assemble(site, v, ALL, money(site, v))
    allowed_kwh = np.array([unmet_kwh[session.session_id] for session in problem.sessions])
    upper = program.upper.copy()
    upper[v.unmet] = np.minimum(site.needs.owed_kwh, allowed_kwh + UNMET_NOISE_KWH)
    floors = site.milestones.floors
    floor_kwh = np.array([floors_kwh[session.session_id] for session in problem.sessions])
    upper[v.behind[floors]] = floor_kwh[site.milestones.session[floors]] + UNMET_NOISE_KWH
    program, door = replace(program, upper=upper), HighsDoor()
    door.solve(replace(program, cost=program.cost + head_start(site, v)), time_limit_s=time_limit_s)  # the quicker way
    return door.solve(program, time_limit_s=time_limit_s, feasible_start=True).objective


def _more_power_at(plan: Plan, session: Session, where: str) -> Repair | None:
    limit_kw = _limit_kw(plan.problem, where)
    if limit_kw is None:
        return None
    stay_h = (session.departure - max(session.arrival, plan.problem.horizon.first_moment)) / timedelta(hours=1)
    guess = ceil(plan.unmet_kwh[session.session_id] / max(stay_h, SHORTEST_STAY_H) / POWER_STEP_KW)
    steps = _fewest(
        lambda count: money_when_met(plan, raised(plan.problem, where, count * POWER_STEP_KW), session) is not None,
        MOST_STEPS,
        guess,
    )
    if steps is None:
        return None
    more_kw = round(steps * POWER_STEP_KW, 6)
    share = more_kw / max(limit_kw, POWER_STEP_KW)
    return _proven(
        plan, raised(plan.problem, where, more_kw), session, Repair("more_power", more_kw, "kW", share, 0.0, where)
    )


def _limit_kw(problem: Problem, where: str) -> float | None:
    """The tighter of the power and the current limit; None where there is none."""
    if where == CONNECTION:
        power_kw, current_a = problem.connection.max_import_kw, problem.connection.max_current_a
    else:
        circuit = next(circuit for circuit in problem.circuits if circuit.circuit_id == where)
        power_kw, current_a = circuit.max_power_kw, circuit.max_current_a
        lowest_kw = None if circuit.power_cap_kw is None else min(circuit.power_cap_kw)
        power_kw = min((limit for limit in (power_kw, lowest_kw) if limit is not None), default=None)
    of_current_kw = None if current_a is None else current_a * 3 * problem.connection.voltage_v / 1000
    return min((limit for limit in (power_kw, of_current_kw) if limit is not None), default=None)


def _proven(plan: Plan, changed: Problem, session: Session, repair: Repair) -> Repair | None:
    """The repair with its money, if the changed problem has a plan that meets the wish."""
    cost = money_when_met(plan, changed, session)
    return None if cost is None else replace(repair, money=cost - plan.money)


def _with(problem: Problem, changed: Session) -> Problem:
    sessions = tuple(changed if one.session_id == changed.session_id else one for one in problem.sessions)
    return replace(problem, sessions=sessions)


def _free_until(problem: Problem, session: Session) -> datetime:
    after = (s.arrival for s in problem.sessions if s.evse_id == session.evse_id and s.arrival >= session.departure)
    return min((*after, problem.horizon.end))


def _fewest(helps: Callable[[int], bool], most: int, guess: int) -> int | None:
    """The smallest count in 1 … `most` that helps, where more never helps less; None when even `most` does not.

    From a guess upwards by doubling, then halving: that a count does not help is seen sooner than that it does.
    """
    if most < 1:
        return None
    low, high = 0, min(max(guess, 1), most)
    while not helps(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if helps(middle) else (middle, high)
    return high
