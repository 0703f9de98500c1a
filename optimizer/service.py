"""Who goes without when not everybody can be served: proven class by class, before money is looked at.

Lexicographic: a class that is served first never gives way to a later one. Inside a class the smallest met share of
need is made as large as it can be, then the least total is left unmet. Solved only when something cannot be met.
"""

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from optimizer.arrays import Floats
from optimizer.constraints import SERVICE
from optimizer.doors import Door
from optimizer.program import Site, Variables, assemble

UNMET_NOISE_KWH = (
    1e-5  # a wish that is met up to this is met: solvers hold rows to 1e-7, and presolve of integers to less
)


@dataclass(frozen=True, slots=True, eq=False)
class Shortfall:
    """What must be left unmet: at most `by_session_kwh` each, and `by_class_kwh` together."""

    by_session_kwh: Floats
    by_class_kwh: Floats


def divide(site: Site, variables: Variables, door: Door, *, time_limit_s: float) -> Shortfall:
    """Prove the least shortfall of each class, first class first, given what the classes before it keep."""
    owed_kwh, service_class = site.needs.owed_kwh, site.needs.service_class
    program = assemble(site, variables, SERVICE, np.zeros(variables.columns))
    fair, together = program.rows("fair_share"), program.rows("shortfall")
    by_session = owed_kwh.copy()
    by_class = np.full(site.needs.classes, inf)

    def least(cost: Floats, share: Floats | None = None) -> float:
        upper, row_upper = program.upper.copy(), program.row_upper.copy()
        upper[variables.unmet] = by_session
        row_upper[together] = by_class
        if share is not None:
            row_upper[fair] = share
        solved = replace(program, cost=cost, upper=upper, row_upper=row_upper)
        return door.solve(solved, time_limit_s=time_limit_s).objective

    for number in range(site.needs.classes):
        members = service_class == number
        shortfall_cost = np.zeros(variables.columns)
        shortfall_cost[variables.unmet[members]] = 1.0
        total_kwh = least(shortfall_cost)
        if total_kwh > UNMET_NOISE_KWH and members.sum() > 1:
            share_cost = np.zeros(variables.columns)
            share_cost[variables.share] = -1.0
            share = -least(share_cost, np.where(members, owed_kwh, inf))
            by_session[members] = np.maximum(1 - share, 0.0) * owed_kwh[members] + UNMET_NOISE_KWH
            total_kwh = least(shortfall_cost)
        if total_kwh <= UNMET_NOISE_KWH:
            by_session[members] = np.minimum(owed_kwh[members], UNMET_NOISE_KWH)
        by_class[number] = max(total_kwh, 0.0) + UNMET_NOISE_KWH
    return Shortfall(by_session_kwh=np.minimum(by_session, owed_kwh), by_class_kwh=by_class)
