"""Who goes without when not everybody can be served: proven class by class, before money is looked at.

Lexicographic: a class that is served first never gives way to a later one. Inside a class floors come first, then the
smallest met share of need is made as large as it can be, then the least total is left unmet. Solved only when
something cannot be met.
"""

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from optimizer.arrays import Floats, Ints
from optimizer.constraints import SERVICE
from optimizer.doors import Door
from optimizer.program import Program, Site, Variables, assemble

UNMET_NOISE_KWH = (
    1e-5  # a wish that is met up to this is met: solvers hold rows to 1e-7, and presolve of integers to less
)

FAIRNESS_NOISE_KWH = 1e-3  # the bound on each session's share has a slack of its own


@dataclass(frozen=True, slots=True, eq=False)
class Shortfall:
    """What must be left unmet: at most `by_session_kwh` each, and `by_class_kwh` together; floors by class alone.

    `fairness_kwh` is what is unmet in total beyond the least, because nobody was to go without alone.
    """

    by_session_kwh: Floats
    by_class_kwh: Floats
    floors_by_class_kwh: Floats
    fairness_kwh: float

    def bound(self, program: Program, v: Variables) -> Program:
        """The program that leaves no more unmet than this; what beliefs miss stays free."""
        upper, row_upper = program.upper.copy(), program.row_upper.copy()
        upper[v.unmet] = self.by_session_kwh
        row_upper[program.rows("shortfall")] = self.by_class_kwh
        floors = program.rows("floor_shortfall")  # no row where nobody has a floor
        row_upper[floors] = self.floors_by_class_kwh[: floors.stop - floors.start]
        return replace(program, upper=upper, row_upper=row_upper)


def missed(site: Site, v: Variables) -> Ints:
    """The columns of every wish that may fail: needs and floors."""
    return np.concatenate([v.unmet, v.behind[site.milestones.floors]])


def no_shortfall(site: Site, program: Program, v: Variables) -> Program:
    """The program that leaves nothing unmet."""
    upper, columns = program.upper.copy(), missed(site, v)
    upper[columns] = np.minimum(upper[columns], UNMET_NOISE_KWH)
    return replace(program, upper=upper)


def divide(site: Site, variables: Variables, door: Door, *, time_limit_s: float) -> Shortfall:
    """Prove the least shortfall of each class, first class first, given what the classes before it keep."""
    owed_kwh, service_class = site.needs.owed_kwh, site.needs.service_class
    program = assemble(site, variables, SERVICE, np.zeros(variables.columns))
    fair, together = program.rows("fair_share"), program.rows("shortfall")
    by_session = owed_kwh.copy()
    by_class = np.full(site.needs.classes, inf)
    floors_by_class = np.full(site.needs.classes, inf)
    floors = site.milestones.floors
    floor_class = service_class[site.milestones.session[floors]]
    floor_rows = program.rows("floor_shortfall")
    fairness_kwh = 0.0

    def least(cost: Floats, share: Floats | None = None) -> float:
        upper, row_upper = program.upper.copy(), program.row_upper.copy()
        upper[variables.unmet] = by_session
        row_upper[together] = by_class
        if floors.size:
            row_upper[floor_rows] = floors_by_class
        if share is not None:
            row_upper[fair] = share
        solved = replace(program, cost=cost, upper=upper, row_upper=row_upper)
        return door.solve(solved, time_limit_s=time_limit_s).objective

    for number in range(site.needs.classes):
        if (floor_class == number).any():
            floor_cost = np.zeros(variables.columns)
            floor_cost[variables.behind[floors[floor_class == number]]] = 1.0
            floors_by_class[number] = max(least(floor_cost), 0.0) + UNMET_NOISE_KWH
        members = service_class == number
        shortfall_cost = np.zeros(variables.columns)
        shortfall_cost[variables.unmet[members]] = 1.0
        total_kwh = least(shortfall_cost)
        if total_kwh > UNMET_NOISE_KWH and members.sum() > 1:
            share_cost = np.zeros(variables.columns)
            share_cost[variables.share] = -1.0
            share = -least(share_cost, np.where(members, owed_kwh, inf))
            by_session[members] = np.maximum(1 - share, 0.0) * owed_kwh[members] + UNMET_NOISE_KWH
            least_kwh, total_kwh = total_kwh, least(shortfall_cost)
            fairness_kwh += max(total_kwh - least_kwh, 0.0)
        if total_kwh <= UNMET_NOISE_KWH:
            by_session[members] = np.minimum(owed_kwh[members], UNMET_NOISE_KWH)
        by_class[number] = max(total_kwh, 0.0) + UNMET_NOISE_KWH
    return Shortfall(
        by_session_kwh=np.minimum(by_session, owed_kwh),
        by_class_kwh=by_class,
        floors_by_class_kwh=floors_by_class,
        fairness_kwh=fairness_kwh if fairness_kwh > FAIRNESS_NOISE_KWH else 0.0,
    )
