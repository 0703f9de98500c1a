"""The third wish: of all plans that cost about the same, the one that people and chargers like best.

Where a plan is in force, the closest to it comes first, and may cost the preference budget; of plans as close the
cheapest, then the earliest. Without one the earliest of the cheapest: a continuous program would spend a budget on
slivers of power in dearer slots, below every minimum. Vehicles are done before rounding; `smooth` follows after it.
"""

from dataclasses import dataclass, replace

import numpy as np

from optimizer.arrays import Floats
from optimizer.directions import Cheapest, is_circular
from optimizer.doors import Door
from optimizer.errors import SolverError
from optimizer.in_force import PlanInForce
from optimizer.objectives import gross_ev_money, head_start, preference, unmet_price
from optimizer.program import Program, Site, Variables
from optimizer.service import missed

COST_NOISE = 1e-9  # of the money: what a solver may miss a bound on it by
LEAST_BUDGET = 0.01  # currency: what preferences may cost where vehicles cost next to nothing


@dataclass(frozen=True, slots=True, eq=False)
class Preferred:
    """The preferred solution, and the money program for whoever moves powers on: what is kept stays within its plan."""

    program: Program
    x: Floats


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
    """Of the plans that serve as well, at no more than the budget, the preferred one. `v` and `cheapest` fit together.

    Out of time, or where preference would let a flow go in a circle, the cheapest one stands.
    """
    if not site.charge.columns:
        return Preferred(cheapest.program, cheapest.x)
    try:
        if in_force is not None:
            return _closest(site, v, cheapest, in_force, door, time_limit_s=time_limit_s)
        return Preferred(cheapest.program, _earliest(site, v, cheapest, door, time_limit_s=time_limit_s))
    except SolverError:  # out of time: a preference is no reason to lose the plan
        return Preferred(cheapest.program, cheapest.x)


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
    """A kWh away from the plan has a price that nothing else can cost: one solve proves closeness before money."""
    program = _no_worse(site, v, cheapest, allowed=budget(site, v, cheapest.x))
    energy = program.rows("energy_by_departure")
    row_upper = program.row_upper.copy()
    row_upper[energy] = np.maximum(row_upper[energy], _rounded_up_kwh(site, in_force))
    program = replace(program, row_upper=row_upper)
    cost = cheapest.program.cost + head_start(site, v)
    cost = in_force.priced(cost, v) + unmet_price(site) * in_force.distance(site, v)
    parted = in_force.parted(replace(program, cost=cost), v)
    x = in_force.joined(door.solve(parted, time_limit_s=time_limit_s, feasible_start=True).x, v)
    if is_circular(site, v, x):
        return Preferred(cheapest.program, cheapest.x)
    upper = cheapest.program.upper.copy()
    kept = in_force.is_kept(x, v)
    upper[v.charge[kept]] = np.maximum(in_force.charge_kw[kept], cheapest.program.lower[v.charge[kept]])
    return Preferred(replace(cheapest.program, upper=upper, row_upper=_energy(cheapest.program, row_upper)), x)


def _no_worse(site: Site, v: Variables, cheapest: Cheapest, *, allowed: float) -> Program:
    """The program of plans that serve everybody as well as `cheapest`, and cost at most `allowed` more."""
    program, x = cheapest.program, cheapest.x
    spent = float(program.cost @ x)
    upper, row_upper = program.upper.copy(), program.row_upper.copy()
    wishes = missed(site, v)
    upper[wishes] = np.maximum(x[wishes], 0.0)
    row_upper[program.rows("cost_bound")] = spent + allowed + cost_noise(spent)
    return replace(program, upper=upper, row_upper=row_upper)


def _energy(program: Program, row_upper: Floats) -> Floats:
    """The program's own upper sides, but those of energies as they were widened."""
    own, energy = program.row_upper.copy(), program.rows("energy_by_departure")
    own[energy] = row_upper[energy]
    return own


def _rounded_up_kwh(site: Site, in_force: PlanInForce) -> Floats:
    """What each session may take so that a plan in whole steps, at most one above the need, still fits; else 0."""
    charge = site.charge
    step_kwh = np.zeros(site.sessions)
    np.maximum.at(step_kwh, charge.session, charge.step_kw[charge.column] * charge.overlap_h)
    planned_kwh = in_force.delivered_kwh(site)
    fits = planned_kwh <= site.needs.required_kwh + step_kwh  # never true of NaN
    return np.where(fits & ~site.needs.is_belief, planned_kwh, 0.0)
