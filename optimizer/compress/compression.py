"""A plan in few periods: the cuts first, stretch by stretch, then all levels together.

A charging station holds so many periods and no more. Where the plan of an EVSE has more changes, this chooses when its
limit changes, and then solves the site's program once more with one limit a segment: promised energy first, then
money, against every rule, per phase. The duals of that program say what a slot was worth to the others, so the cuts are
chosen anew with them, a few times, and the best is kept. What it loses against the plan is said.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import numpy as np

from optimizer.answer import battery_results, cost_of, evse_series, flows, over_horizon, peaks, session_results
from optimizer.arrays import Floats, Ints, sum_by
from optimizer.check import violations
from optimizer.compress.cuts import cuts_below
from optimizer.compress.levels import Frame, LevelRounding, decide_minima, settle_batteries
from optimizer.compress.search import search_cuts
from optimizer.compress.segments import SegmentDoor, Segments
from optimizer.compress.stretches import Stretch, stretches_of
from optimizer.constraints import ALL
from optimizer.directions import is_circular, net_vehicle_kw
from optimizer.domain import Problem, Schedule
from optimizer.doors import Door, door
from optimizer.errors import SolverError
from optimizer.objectives import money, unmet_price
from optimizer.program import Program, Site, Variables, assemble
from optimizer.solve import TimeLimit, least_money
from optimizer.vehicles import Levels

LOSS_NOISE = 1e-6  # kWh, currency
GRAIN_KWH = 0.25  # of a session: a step of 0.1 A on three phases for some hours
WORTH_SAYING = 1e-3  # kWh, currency: a plan that loses more is not the optimum any more

Method = Literal["unchanged", "optimised", "merged"]


@dataclass(frozen=True, slots=True)
class Compression:
    """A schedule that every station can hold, and what that costs against the plan it was made from.

    `loss_kwh` is what promises and floors miss beyond the plan. `loss_money` is what the site pays beyond it, unmet
    beliefs at their price: below 0 where energy that is not delivered is not bought either. `periods` says, by EVSE,
    in how many periods its longest stretch can now be told. `method` "merged": the solver gave nothing that holds, so
    each segment is at the lowest power that the plan has in it.
    """

    schedule: Schedule
    loss_kwh: float
    loss_money: float
    periods: Mapping[str, int]
    method: Method


def compress(
    problem: Problem,
    schedule: Schedule,
    max_periods: Mapping[str, int],
    *,
    until: datetime | None = None,
    solver: str = "highs",
) -> Compression:
    """The schedule with at most so many periods for each unbroken stretch at an EVSE; others keep all their slots.

    `max_periods` by EVSE id, one that is missing has no limit. With `until` the limit counts up to that moment only:
    what comes later is told by the next profile. Every rule is kept, and the independent checker has passed the
    answer. Raise `InvalidProblemError` for an EVSE that does not exist or a number below 1, `SolverError` when not
    even the plan's own lowest powers pass the checker, which a plan that passes it does not do.
    """
    site = Site.of(problem)
    stretches = stretches_of(site, max_periods, until)
    plan = steps_of(site, schedule)
    if all(stretch.runs(plan) <= stretch.budget for stretch in stretches):
        return Compression(schedule, 0.0, 0.0, _periods(problem, stretches, plan), "unchanged")
    v = Variables.of(site)
    found: list[tuple[Schedule, Ints, Method]] = []
    if schedule.status != "fallback":  # else the solver has failed before
        with suppress(SolverError):  # out of time: the merged plan is there
            found += [(*one, "optimised") for one in _optimised(site, v, schedule, plan, stretches, solver)]
    merged = _merged(site, plan, stretches)
    found.append((schedule_of(site, v, schedule, still(site, v, schedule, plan), merged), merged, "merged"))
    passed = [one for one in found if not violations(problem, one[0]).caused]
    if not passed:
        raise SolverError("no plan in so few periods keeps every rule")
    best, steps, method = min(passed, key=lambda one: _regret(site, one[0]))
    loss_kwh = _missing_kwh(best) - _missing_kwh(schedule)
    loss_money = best.cost.minimised - schedule.cost.minimised
    if max(loss_kwh, loss_money) > WORTH_SAYING and best.status == "optimal":
        told = f"told in few periods it loses {loss_kwh:.2f} kWh and {loss_money:.2f} {schedule.currency}"
        best = replace(best, status="feasible", reason=told)
    return Compression(best, _quiet(loss_kwh), _quiet(loss_money), _periods(problem, stretches, steps), method)


def periods_of(problem: Problem, schedule: Schedule, until: datetime | None = None) -> Mapping[str, int]:
    """In how many periods the longest stretch of each EVSE can be told; EVSEs without a vehicle are left out."""
    site = Site.of(problem)
    stretches = stretches_of(site, {evse.evse_id: site.grid.slots + 1 for evse in problem.evses}, until)
    return _periods(problem, stretches, steps_of(site, schedule))


def _optimised(
    site: Site, v: Variables, schedule: Schedule, plan: Ints, stretches: Sequence[Stretch], solver: str
) -> Iterator[tuple[Schedule, Ints]]:
    limit = TimeLimit(site.problem.settings.time_limit_s)
    program = assemble(site, v, ALL, money(site, v))
    chosen = door(solver)
    for cuts in search_cuts(site, v, program, schedule, plan * site.charge.step_kw, stretches, limit):
        segments = Segments.of(site.charge.columns, stretches, cuts.begins)
        bounded = cuts.bound(site, v)
        decided = replace(program, lower=bounded.lower, upper=bounded.upper)
        with suppress(SolverError):  # another way may have a solution
            x, steps = _levels(Frame(site, bounded, segments), decided, chosen, limit)
            yield schedule_of(site, v, schedule, x, steps), steps


def _levels(frame: Frame, program: Program, door: Door, limit: TimeLimit) -> tuple[Floats, Ints]:
    """The columns of the program with the cuts fixed, and whole steps for every charge column."""
    site, v = frame.site, frame.v
    chosen = SegmentDoor.of(site, v, frame.segments, door)
    cheapest = least_money(site, v, program, chosen, limit)
    promised_kwh = site.needs.owed_kwh - cheapest.x[v.unmet]

    def run(decided: Program) -> Floats:
        return chosen.solve(decided, time_limit_s=limit.left_s).x

    def settle(decided: Program) -> Floats:
        settled = run(decided)
        if is_circular(site, v, settled):
            raise SolverError("batteries would store and draw at once")
        return settled

    x = decide_minima(frame, cheapest.program, cheapest.x, run)
    target_kwh = np.maximum(promised_kwh, site.delivered_kwh(net_vehicle_kw(site, v, x)))
    steps = LevelRounding(frame, x, target_kwh).steps()
    return settle_batteries(frame, cheapest.program, x, steps, settle), steps


def _merged(site: Site, plan: Ints, stretches: Sequence[Stretch]) -> Ints:
    """The plan with every segment at its lowest power: never above the plan, so inside every rule."""
    charge = site.charge
    steps = np.maximum(plan, 0)
    for stretch in stretches:
        is_open, own = stretch.is_open, np.maximum(stretch.column, 0)
        begins = cuts_below(stretch.of_columns(plan * charge.step_kw), stretch.of_columns(_hours(site)), stretch.budget)
        level = np.minimum.reduceat(np.where(is_open, steps[own], 0), begins)
        least = np.maximum.reduceat(np.where(is_open, charge.min_steps[own], 0), begins)
        length = np.diff(begins, append=stretch.slots)
        steps[stretch.column[is_open]] = np.repeat(np.where(level < least, 0, level), length)[is_open]
    levels = Levels(site.vehicles, charge)
    changed = levels.keep_within(steps, site.needs.required_kwh) != steps
    sessions = np.unique(charge.session[changed[charge.column]])  # they gave: without that it is too much for them
    steps[charge.column[np.isin(charge.session, sessions)]] = 0
    return steps


def still(site: Site, v: Variables, schedule: Schedule, plan: Ints) -> Floats:
    """The plan's flows as columns of the program, as far as `flows` looks at them."""
    first = site.grid.first
    x = np.zeros(v.columns)
    power_kw = plan * site.charge.step_kw
    x[v.charge] = np.maximum(power_kw, 0.0)
    x[v.give] = np.maximum(-power_kw[site.vehicles.column[site.vehicles.giving]], 0.0)
    x[v.curtail] = schedule.curtail_kw[first:]
    for index, battery in enumerate(site.batteries):
        battery_kw = np.array(schedule.batteries[battery.battery_id].power_kw[first:])
        x[v.store[index]], x[v.draw[index]] = np.maximum(battery_kw, 0.0), np.maximum(-battery_kw, 0.0)
    return x


def schedule_of(site: Site, v: Variables, schedule: Schedule, x: Floats, steps: Ints) -> Schedule:
    """The schedule with other powers; what does not depend on them stays."""
    power_kw = steps * site.charge.step_kw
    seen = flows(site, v, x, power_kw)
    cost = cost_of(site, seen, power_kw)
    before = schedule.cost
    power, current = evse_series(site, steps)
    imported, exported, curtailed = over_horizon(site.problem, site, seen)
    sessions = {
        session_id: replace(result, note=result.note or schedule.sessions[session_id].note)
        for session_id, result in session_results(site, steps).items()
    }
    return replace(
        schedule,
        power_kw=power,
        current_a=current,
        sessions=sessions,
        batteries=battery_results(site, seen),
        import_kw=imported,
        export_kw=exported,
        curtail_kw=curtailed,
        peak_kw=peaks(site, seen),
        cost=replace(cost, ev=None if before.ev is None else before.ev + cost.total - before.total),
        gap=None,
    )


def steps_of(site: Site, schedule: Schedule) -> Ints:
    """The plan's power in steps, of every charge column."""
    charge, ids = site.charge, [evse.evse_id for evse in site.problem.evses]
    power_kw = np.array([schedule.power_kw[evse_id] for evse_id in ids]).reshape(len(ids), -1)
    planned_kw = power_kw[charge.evse, charge.slot + site.grid.first]
    return np.round(planned_kw / charge.step_kw).astype(np.int64)


def _periods(problem: Problem, stretches: Sequence[Stretch], steps: Ints) -> Mapping[str, int]:
    periods: dict[str, int] = {}
    for stretch in stretches:
        evse_id = problem.evses[stretch.evse].evse_id
        periods[evse_id] = max(periods.get(evse_id, 0), stretch.runs(steps))
    return periods


def _hours(site: Site) -> Floats:
    """kWh that a kW in each charge column delivers."""
    return sum_by(site.charge.column, site.charge.overlap_h, site.charge.columns)


def _missing_kwh(schedule: Schedule) -> float:
    """What promises and floors miss."""
    return sum(result.unmet_kwh + result.floor_unmet_kwh for result in schedule.sessions.values())


def _regret(site: Site, schedule: Schedule) -> float:
    """Promised energy first, then money; what the grain of a level takes from a session is not worth a higher peak."""
    missing_kwh = [max(one.unmet_kwh + one.floor_unmet_kwh - GRAIN_KWH, 0.0) for one in schedule.sessions.values()]
    return unmet_price(site) * sum(missing_kwh) + schedule.cost.minimised


def _quiet(loss: float) -> float:
    return 0.0 if abs(loss) < LOSS_NOISE else loss
