"""The third wish: of all plans that cost about the same, the one that people and chargers like best.

Where a plan is in force, the closest to it comes first, and may cost the preference budget; of plans as close the
cheapest, then the earliest. Without one the earliest of the cheapest: a continuous program would spend a budget on
slivers of power in dearer slots, below every minimum. Vehicles are done before rounding; `smooth` follows after it.
"""

from dataclasses import dataclass, replace

import numpy as np

from optimizer.answer import cost_of, flows
from optimizer.arrays import Floats
from optimizer.directions import Cheapest, is_circular
from optimizer.doors import Door
from optimizer.errors import SolverError
from optimizer.in_force import PlanInForce
from optimizer.objectives import constant_money, gross_ev_money, head_start, mean_price, preference, unmet_price
from optimizer.program import Program, Site, Variables
from optimizer.service import missed

COST_NOISE = 1e-9  # of the money: what a solver may miss a bound on it by
ROUNDED_KWH = 1e-2  # what whole steps may lack of a need: less is not worth a new plan
ROUNDING_SHARE = 0.01  # of the gross EV money: more than this no rounding costs
MOVING = 0.05  # of the mean price: what a kWh that leaves the plan in force weighs while minima are decided
LEAST_BUDGET = 0.01  # currency: what preferences may cost where vehicles cost next to nothing


@dataclass(frozen=True, slots=True, eq=False)
class Preferred:
    """The preferred solution, and the price beside its money that each column has while powers are moved on from it."""

    x: Floats
    wish: Floats
    keeps: bool = False  # whether a plan in force is kept as far as the budget goes


def budget(site: Site, v: Variables, x: Floats) -> float:
    """The money that preferences may cost: a share of the gross EV money, or one cent."""
    share = site.problem.settings.preference_budget
    return max(share * gross_ev_money(site, x[v.charge]), LEAST_BUDGET) if share > 0 else 0.0


def cost_noise(cost: float) -> float:
    """What two solutions of the same cost may differ by."""
    return COST_NOISE * (1.0 + abs(cost))


def prefer(
    site: Site, v: Variables, cheapest: Cheapest, in_force: PlanInForce | None, door: Door, *, time_limit_s: float
) -> Preferred:
    """Of the plans that serve as well, at no more than the budget, the preferred one.

    `door` is warm from the cheapest plan; with a plan in force it is a door of its own. Out of time, or where
    preference would let a flow go in a circle, the cheapest one stands.
    """
    start = head_start(site, v)
    if not site.charge.columns:
        return Preferred(cheapest.x, start)
    try:
        if in_force is not None:
            return _closest(site, v, cheapest, in_force, door, time_limit_s=time_limit_s)
        return Preferred(_earliest(site, v, cheapest, door, time_limit_s=time_limit_s), start)
    except SolverError:  # out of time: a preference is no reason to lose the plan
        return Preferred(cheapest.x, start)


def _earliest(site: Site, v: Variables, cheapest: Cheapest, door: Door, *, time_limit_s: float) -> Floats:
    """The second solve runs only where the start of the first did not prove its answer."""
    x = cheapest.preferred
    if x is None:
        program = _no_worse(site, v, cheapest, allowed=0.0)
        program = replace(program, cost=preference(site, v))
        x = door.solve(program, time_limit_s=time_limit_s, feasible_start=True).x
    return cheapest.x if is_circular(site, v, x) else x


def _closest(
    site: Site, v: Variables, cheapest: Cheapest, in_force: PlanInForce, door: Door, *, time_limit_s: float
) -> Preferred:
    """A kWh away from the plan has a price that nothing else can cost: one solve proves closeness before money.

    It starts cold, by a door of its own: the way there from the cheapest plan is a hundred times as long.
    """
    start = head_start(site, v)
    allowed = max(budget(site, v, cheapest.x), _rounding_money(site, v, cheapest, in_force))
    program = _as_rounded(site, _no_worse(site, v, cheapest, allowed=allowed), in_force)
    program = replace(program, cost=cheapest.program.cost + start)
    closest = in_force.closest(site, v, program, unmet_price(site))
    x = in_force.joined(door.solve(closest, time_limit_s=time_limit_s).x, v)
    if is_circular(site, v, x):
        return Preferred(cheapest.x, start)
    return Preferred(x, start + MOVING * mean_price(site) * in_force.distance(site, v), keeps=True)


def _rounding_money(site: Site, v: Variables, cheapest: Cheapest, in_force: PlanInForce) -> float:
    """What the plan in force as it is costs above the cheapest, if that may be due to whole steps and minima; else 0.

    A new plan will be rounded as well, and may end as dear: who rounds compares the two.
    """
    power_kw = in_force.net_kw(site)
    if np.isnan(power_kw).any():
        return 0.0
    paid = cost_of(site, flows(site, v, cheapest.x, power_kw), power_kw).minimised - constant_money(site)
    above = paid + COST_NOISE * (1.0 + abs(paid)) - float(cheapest.program.cost @ cheapest.x)
    return above if above <= ROUNDING_SHARE * gross_ev_money(site, power_kw) else 0.0


def _no_worse(site: Site, v: Variables, cheapest: Cheapest, *, allowed: float) -> Program:
    """The program of plans that serve everybody as well as `cheapest`, and cost at most `allowed` more."""
    program, x = cheapest.program, cheapest.x
    spent = float(program.cost @ x)
    upper, row_upper = program.upper.copy(), program.row_upper.copy()
    wishes = missed(site, v)
    upper[wishes] = np.maximum(x[wishes], 0.0)
    row_upper[program.rows("cost_bound")] = spent + allowed + cost_noise(spent)
    return replace(program, upper=upper, row_upper=row_upper)


def _as_rounded(site: Site, program: Program, in_force: PlanInForce) -> Program:
    """With room for what rounding left of the plan in force: up to a step above a need, or next to nothing below it."""
    charge = site.charge
    step_kwh = np.zeros(site.sessions)
    np.maximum.at(step_kwh, charge.session, charge.step_kw[charge.column] * charge.overlap_h)
    planned_kwh = in_force.delivered_kwh(site)  # NaN compares as false
    rows = program.rows("energy_by_departure")
    lower, upper = program.row_lower.copy(), program.row_upper.copy()
    least_kwh, most_kwh = lower[rows], upper[rows]
    above = (planned_kwh > most_kwh) & (planned_kwh <= most_kwh + step_kwh)
    below = (planned_kwh < least_kwh) & (planned_kwh >= least_kwh - ROUNDED_KWH)
    upper[rows] = np.where(above, planned_kwh, most_kwh)
    lower[rows] = np.where(below, planned_kwh, least_kwh)
    return replace(program, row_lower=lower, row_upper=upper)
