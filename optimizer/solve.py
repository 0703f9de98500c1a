"""Problem in, Schedule out: service first, then money, then preference, then powers that a charger can deliver.

The money program is solved once with a price on unmet energy that nothing else can cost. Where it leaves nothing
unmet, that one solve proves service and money together; only else is the shortfall divided class by class. Pure and
deterministic: the same problem gives the same bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from optimizer.answer import (
    battery_results,
    cost_of,
    evse_series,
    flows,
    over_horizon,
    peaks,
    session_results,
    warnings,
)
from optimizer.arrays import Flags, Floats, Ints
from optimizer.constraints import ALL
from optimizer.directions import Cheapest, is_circular, straighten
from optimizer.dive import LARGE
from optimizer.domain import Cost, Problem, Schedule, SessionResult, Status
from optimizer.doors import Door, HighsDoor, Solution, door
from optimizer.errors import SolverError
from optimizer.in_force import PlanInForce
from optimizer.objectives import constant_money, gross_ev_money, head_start, money, unmet_price
from optimizer.polish import is_small
from optimizer.preference import Preferred, budget, cost_noise, prefer
from optimizer.program import Program, Site, Variables, assemble
from optimizer.repair import repair
from optimizer.service import UNMET_NOISE_KWH, divide, missed, no_shortfall
from optimizer.smooth import smoothed

OPTIMAL_GAP = 1e-4  # of the gross EV money: up to here a plan counts as proven optimal
DIRECTION_GAP = 5e-5  # of it: directions of flows need not be searched for less
DIVIDING = 0.5  # of the time that is left may go into dividing what is not enough; the rest is for the plan itself
AS_CHEAP = 2e-5  # of it: a fiftieth of what preference may cost. On a large site a plan as near is not looked for again
LEAST_GROSS = 0.01  # currency: the scale of a gap where vehicles cost nothing
LEAST_S = 0.01  # what a solver is given when time is over: it says so itself
UNMET_GAP_KWH = 0.01  # more than this beyond what is unavoidable, and a plan is not optimal
UNDIVIDED = (
    "time ran out while what is not enough for everybody was divided: what is left unmet is the least in all, "
    "not by priority and share"
)


class TimeLimit:
    """What is left of a time limit. It decides when to give up, never what to answer."""

    def __init__(self, time_limit_s: float) -> None:
        self._end = perf_counter() + time_limit_s

    @property
    def left_s(self) -> float:
        return max(self._end - perf_counter(), LEAST_S)

    @property
    def half_s(self) -> float:
        """For a step that a plan can do without: those after it need time as well."""
        return max(self.left_s / 2, LEAST_S)

    @property
    def is_over(self) -> bool:
        return self.left_s <= LEAST_S


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """Whole steps, the columns that they were rounded from, what it costs, whether it keeps to a plan in force."""

    steps: Ints
    x: Floats
    cost: Cost
    keeps: bool

    def priced(self, site: Site, v: Variables, cheapest: Cheapest) -> float:
        """The money, and a price that nothing else can cost on what is missing beyond the unavoidable."""
        missing_kwh = site.needs.owed_kwh - cheapest.x[v.unmet] - site.delivered_kwh(self.steps * site.charge.step_kw)
        worth_a_step = missing_kwh[missing_kwh > UNMET_GAP_KWH]
        return self.cost.minimised + unmet_price(site) * float(worth_a_step.sum())


def solve(problem: Problem, *, solver: str = "highs", polish: bool = True) -> Schedule:
    """The cheapest schedule among those that serve best, within every hard rule, on the chargers' grid.

    `solver` is ``"highs"`` or ``"pulp:NAME"``. Without `polish` a small site's steps are not searched for, which takes
    seconds and is worth some tenths of a percent. Raise `InvalidProblemError` when two sessions are at one EVSE at
    once, `SolverError` when the solver is missing or gives no usable answer in `Settings.time_limit_s`.
    """
    started = perf_counter()
    limit = TimeLimit(problem.settings.time_limit_s)
    chosen = door(solver)
    site = Site.of(problem)
    variables = Variables.of(site)
    program = assemble(site, variables, ALL, money(site, variables))
    in_force = PlanInForce.of(site, variables)
    aside = door(solver)  # for programs of another shape: the money program stays warm
    built = perf_counter()

    cheapest = least_money(site, variables, program, chosen, limit, start=head_start(site, variables))
    preferred = prefer(site, variables, cheapest, in_force, aside if in_force else chosen, time_limit_s=limit.half_s)
    solved = perf_counter()

    def run(decided: Program) -> Floats:
        return chosen.solve(decided, time_limit_s=limit.half_s).x

    def run_part(part: Program) -> Floats:
        return aside.solve(part, time_limit_s=limit.half_s).x

    def settle(decided: Program) -> Floats:
        return _straight(site, variables, decided, chosen, limit).x

    def search(mixed: Program, absolute_gap: float, nodes: int) -> Floats:
        return HighsDoor().search(mixed, time_limit_s=limit.half_s, absolute_gap=absolute_gap, nodes=nodes).x

    def rounded(wished: Preferred) -> Rounded:
        if wished.x is cheapest.preferred:
            chosen.back()
        steps, x = repair(
            site,
            variables,
            cheapest.program,
            wished.x,
            wish=wished.wish,
            run=run,
            run_part=run_part,
            settle=settle,
            search=search if polish and solver == "highs" else None,
            is_over=lambda: limit.is_over,
        )
        seen = flows(site, variables, x, steps * site.charge.step_kw)
        return Rounded(steps, x, cost_of(site, seen, steps * site.charge.step_kw), wished.keeps)

    answer = rounded(preferred)
    if preferred.keeps:
        allowed = budget(site, variables, cheapest.x)
        if answer.priced(site, variables, cheapest) > cheapest.bound + constant_money(site) + allowed:
            fresh = rounded(prefer(site, variables, cheapest, None, chosen, time_limit_s=limit.left_s))
            if answer.priced(site, variables, cheapest) > fresh.priced(site, variables, cheapest) + allowed:
                answer = fresh
    steps, power_kw = answer.steps, answer.steps * site.charge.step_kw
    x = smoothed(site, variables, cheapest.program, answer.x, power_kw, aside, time_limit_s=limit.left_s)
    seen = flows(site, variables, x, power_kw)
    cost = cost_of(site, seen, power_kw)
    sessions = session_results(site, steps)
    more_unmet = _more_unmet(site, variables, sessions, cheapest.x)
    bound: float | None = cheapest.bound
    steps_may_miss = is_small(
        site
    )  # polished: its steps may miss needs by a few Wh: the bound is taken at the same unmet energy
    if more_unmet.any() or (steps_may_miss and _unmet_kwh(sessions).sum() > cheapest.x[variables.unmet].sum() + 1e-3):
        scarce = float(cheapest.x[variables.unmet].sum()) > UNMET_GAP_KWH
        cold = door(solver) if scarce or site.vehicles.tapering.size else chosen  # then cold is faster than warm
        begin = head_start(site, variables) if scarce else None
        bound = _bound_at(site, variables, cheapest.program, sessions, cold, limit, start=begin)
    gross = max(gross_ev_money(site, power_kw), LEAST_GROSS)
    gap = None if bound is None else max(cost.minimised - bound - constant_money(site), 0.0) / gross
    status, reason = _verdict(gap, more_unmet, kept=answer.keeps)
    power, current = evse_series(site, steps)
    imported, exported, curtailed = over_horizon(problem, site, seen)
    without = _money_without_vehicles(problem, solver, limit)
    ended = perf_counter()
    return Schedule(
        status=status,
        power_kw=power,
        current_a=current,
        sessions=sessions,
        batteries=battery_results(site, seen),
        import_kw=imported,
        export_kw=exported,
        curtail_kw=curtailed,
        peak_kw=peaks(site, seen),
        cost=replace(cost, ev=None if without is None else cost.total - without),
        gap=gap,
        reason=reason,
        currency=problem.currency,
        warnings=(*warnings(site), *(() if cheapest.divided else (UNDIVIDED,))),
        price_of_fairness_kwh=cheapest.fairness_kwh,
        timing_ms={
            "build": (built - started) * 1000,
            "solve": (solved - built) * 1000,
            "repair": (ended - solved) * 1000,
        },
    )


def least_money(
    site: Site,
    v: Variables,
    program: Program,
    chosen: Door,
    limit: TimeLimit,
    *,
    start: Floats | None = None,
    search_directions: bool = True,
) -> Cheapest:
    """Serve best, then as cheaply as can be; circular flows are straightened where they pay.

    `start` is a price on top with which solving begins and does not end. Without `search_directions` circles are
    straightened by the net flow alone, and nothing is proven about that.
    """
    cost = program.cost.copy()
    wishes = missed(site, v)
    cost[wishes] = unmet_price(site)
    bounded = no_shortfall(site, program, v)
    try:
        solution, preferred = _started(site, v, replace(bounded, cost=cost), start, chosen, limit)
    except SolverError:  # not everybody can be served, which a solver sees at once; or it has its own troubles
        shortfall = divide(site, v, chosen, time_limit_s=limit.left_s * DIVIDING)
        bounded = shortfall.bound(program, v)
        found = _straight(site, v, bounded, chosen, limit, start=start, search=search_directions)
        return replace(found, fairness_kwh=shortfall.fairness_kwh, divided=shortfall.proven)
    if not is_circular(site, v, solution.x):
        bound = float(program.cost @ solution.x) if solution.proven else solution.bound
        return Cheapest(bounded, solution.x, bound, preferred=preferred)
    return _straight(site, v, bounded, chosen, limit, start=start, search=search_directions)


def _started(
    site: Site, v: Variables, program: Program, start: Floats | None, chosen: Door, limit: TimeLimit
) -> tuple[Solution, Floats | None]:
    """The optimum of a program, and where solving began if that is about as cheap; the door has marked the place.

    Of plans that cost no more than where solving began, none is preferred to it.
    """
    if start is None:
        return chosen.solve(program, time_limit_s=limit.left_s), None
    begun = chosen.solve(replace(program, cost=program.cost + start), time_limit_s=limit.left_s).x
    chosen.mark()
    try:
        solution = chosen.solve(program, time_limit_s=limit.half_s, feasible_start=True)
    except SolverError:  # no time to prove that nothing is cheaper: what there is, is a plan
        spent = program.value(begun)
        return Solution(begun, spent, spent - _most_of(site, v, start), proven=False), begun
    allowed = cost_noise(solution.objective)
    if site.charge.columns >= LARGE:
        allowed += AS_CHEAP * gross_ev_money(site, begun[v.charge])
    return solution, begun if float(program.cost @ begun) <= solution.objective + allowed else None


def _most_of(site: Site, v: Variables, start: Floats) -> float:
    """The most that a start can weigh: every session takes all of its energy where that weighs most."""
    charge, vehicles = site.charge, site.vehicles
    dearest = np.zeros(site.sessions)
    np.maximum.at(dearest, charge.session, start[v.charge][charge.column] / charge.overlap_h)
    if vehicles.giving.size:  # takes again what it gave
        return float((start[v.charge] * charge.max_kw).sum())
    return float((dearest * site.needs.required_kwh).sum())


def _straight(
    site: Site,
    v: Variables,
    program: Program,
    chosen: Door,
    limit: TimeLimit,
    *,
    start: Floats | None = None,
    search: bool = True,
) -> Cheapest:
    """Solve a program, and fix the directions of flows where it counts on a circle."""
    solution, preferred = _started(site, v, program, start, chosen, limit)
    if not is_circular(site, v, solution.x):
        return Cheapest(program, solution.x, solution.bound, preferred=preferred)
    gross = max(gross_ev_money(site, solution.x[v.charge]), LEAST_GROSS)
    tolerance = DIRECTION_GAP * gross if search else np.inf
    return straighten(site, v, program, solution, chosen, time_limit_s=limit.left_s, tolerance=tolerance)


def _more_unmet(site: Site, v: Variables, sessions: Mapping[str, SessionResult], x: Floats) -> Flags:
    """Which sessions miss more, of their need or of their floor, than the program `x` found unavoidable."""
    more: Flags = _unmet_kwh(sessions) > x[v.unmet] + UNMET_GAP_KWH
    floors = site.milestones.floors
    more[site.milestones.session[floors]] |= _floor_unmet_kwh(site, sessions) > x[v.behind[floors]] + UNMET_GAP_KWH
    return more


def _unmet_kwh(sessions: Mapping[str, SessionResult]) -> Floats:
    return np.array([result.unmet_kwh for result in sessions.values()], dtype=float)


def _floor_unmet_kwh(site: Site, sessions: Mapping[str, SessionResult]) -> Floats:
    """One entry a floor."""
    by_session = np.array([result.floor_unmet_kwh for result in sessions.values()], dtype=float)
    return by_session[site.milestones.session[site.milestones.floors]]


def _bound_at(
    site: Site,
    v: Variables,
    program: Program,
    sessions: Mapping[str, SessionResult],
    chosen: Door,
    limit: TimeLimit,
    *,
    start: Floats | None = None,
) -> float | None:
    """What no plan with the same unmet energy can undercut; None when time is over."""
    unmet_kwh = _unmet_kwh(sessions)
    lower, upper, row_upper = program.lower.copy(), program.upper.copy(), program.row_upper.copy()
    lower[v.unmet] = np.maximum(unmet_kwh - UNMET_NOISE_KWH, 0.0)
    upper[v.unmet] = unmet_kwh
    upper[v.behind[site.milestones.floors]] = _floor_unmet_kwh(site, sessions)
    row_upper[program.rows("shortfall")] = np.inf
    row_upper[program.rows("floor_shortfall")] = np.inf
    same = replace(program, lower=lower, upper=upper, row_upper=row_upper)
    try:
        return _straight(site, v, same, chosen, limit, start=start).bound
    except SolverError:  # a plan without its gap is still a plan
        return None


def _verdict(gap: float | None, more_unmet: Flags, *, kept: bool) -> tuple[Status, str | None]:
    if more_unmet.any():
        return "feasible", f"the minimum current leaves energy unmet in {int(more_unmet.sum())} sessions"
    if gap is None:
        return "feasible", "the time limit left no time for the bound"
    if gap > OPTIMAL_GAP:
        causes = "minimum current, current steps" + (", the plan in force" if kept else "")
        return "feasible", f"{gap:.2%} of the vehicles' energy money above the bound: {causes}"
    return "optimal", None


def _money_without_vehicles(problem: Problem, solver: str, limit: TimeLimit) -> float | None:
    """What the site would pay without any vehicle: batteries and curtailment do the best they can."""
    site = Site.of(replace(problem, sessions=()))
    variables = Variables.of(site)
    x = np.zeros(variables.columns)
    if site.batteries or problem.pv_curtailable:
        program = assemble(site, variables, ALL, money(site, variables))
        try:
            x = least_money(site, variables, program, door(solver), limit, search_directions=False).x
        except SolverError:  # out of time: the plan stands, what it costs on top is not known
            return None
    return cost_of(site, flows(site, variables, x, np.zeros(0)), np.zeros(0)).total
