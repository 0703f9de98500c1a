"""Who goes without when not everybody can be served: proven class by class, before money is looked at.

Lexicographic: a class that is served first never gives way to a later one. Inside a class floors come first, then the
smallest met share of need is made as large as it can be, then the least total is left unmet. Solved only when
something cannot be met.
"""

from dataclasses import dataclass, replace
from math import inf
from time import perf_counter

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.constraints import SERVICE
from optimizer.doors import Door
from optimizer.errors import SolverError
from optimizer.objectives import money, unmet_price
from optimizer.program import Program, Site, Variables, assemble

UNMET_NOISE_KWH = (
    1e-5  # a wish that is met up to this is met: solvers hold rows to 1e-7, and presolve of integers to less
)

FAIRNESS_NOISE_KWH = 1e-3  # the bound on each session's share has a slack of its own
FIRST = 100.0  # times as dear is what is asked for as what comes after it, while the way is looked for


@dataclass(frozen=True, slots=True, eq=False)
class Shortfall:
    """What must be left unmet: at most `by_session_kwh` each, and `by_class_kwh` together; floors by class alone.

    `fairness_kwh` is what is unmet in total beyond the least, because nobody was to go without alone. Not `proven`:
    time ran out, and what the classes that were left go without is the least of them all together.
    """

    by_session_kwh: Floats
    by_class_kwh: Floats
    floors_by_class_kwh: Floats
    fairness_kwh: float
    proven: bool = True

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


class Division:
    """The classes, first class first: what each has to go without, given what those before it keep.

    A linear program whose cost is unmet energy alone has next to no prices to find its way by, and takes minutes where
    the money program takes a second. So each question is put twice: with money below a price on unmet energy that
    nothing else should cost, from scratch, and then as it is meant, from there. The second solve is the proof; mostly
    there is nothing left to do for it.
    """

    def __init__(self, site: Site, v: Variables, door: Door, *, time_limit_s: float) -> None:
        self._site, self._v, self._door = site, v, door
        self._until = perf_counter() + time_limit_s
        self._program = assemble(site, v, SERVICE, money(site, v))
        self._price = unmet_price(site)
        classes, floors = site.needs.classes, site.milestones.floors
        self._floors = floors
        self._floor_class = site.needs.service_class[site.milestones.session[floors]]
        self._by_session = site.needs.owed_kwh.copy()
        self._by_class = np.full(classes, inf)
        self._floors_by_class = np.full(classes, inf)
        self._fairness_kwh = 0.0
        self._x: Floats | None = None  # the last plan within all that is proven

    def shortfall(self) -> Shortfall:
        """What is proven class by class; where time runs out, the rest as the last plan has it."""
        proven = True
        for number in range(self._by_class.size):
            try:
                self._divide(number)
            except SolverError:
                if self._x is None:
                    raise
                self._keep(number, self._x)
                proven = False
                break
        return Shortfall(
            by_session_kwh=np.minimum(self._by_session, self._site.needs.owed_kwh),
            by_class_kwh=self._by_class,
            floors_by_class_kwh=self._floors_by_class,
            fairness_kwh=self._fairness_kwh if self._fairness_kwh > FAIRNESS_NOISE_KWH else 0.0,
            proven=proven,
        )

    def _divide(self, number: int) -> None:
        v, owed_kwh = self._v, self._site.needs.owed_kwh
        members = self._site.needs.service_class == number
        floors = v.behind[self._floors[self._floor_class == number]]
        if floors.size:
            floor_kwh = 0.0 if self._is_met(floors) else self._least(number, floors)
            self._floors_by_class[number] = max(floor_kwh, 0.0) + UNMET_NOISE_KWH
        needs = v.unmet[members]
        total_kwh = 0.0 if self._is_met(needs) else self._least(number, needs)
        if total_kwh > UNMET_NOISE_KWH and needs.size > 1:
            share = self._largest_share(members)
            self._by_session[members] = np.maximum(1 - share, 0.0) * owed_kwh[members] + UNMET_NOISE_KWH
            least_kwh, total_kwh = total_kwh, self._least(number, needs)
            self._fairness_kwh += max(total_kwh - least_kwh, 0.0)
        if total_kwh <= UNMET_NOISE_KWH:
            self._by_session[members] = np.minimum(owed_kwh[members], UNMET_NOISE_KWH)
        self._by_class[number] = max(total_kwh, 0.0) + UNMET_NOISE_KWH

    def _is_met(self, columns: Ints) -> bool:
        """Whether the last plan misses nothing there: then there is nothing to divide."""
        return self._x is not None and float(self._x[columns].sum()) <= UNMET_NOISE_KWH

    def _least(self, number: int, columns: Ints) -> float:
        """The least sum of some columns of a class."""
        meant = np.zeros(self._v.columns)
        meant[columns] = 1.0
        after = self._site.needs.service_class > number
        guide = self._program.cost.copy()
        guide[self._v.unmet[after]] = self._price
        guide[self._v.behind[self._floors]] = self._price
        guide[self._v.unmet[self._site.needs.service_class == number]] = self._price
        guide[columns] = FIRST * self._price if after.any() or columns.size < self._v.unmet.size else self._price
        return self._proven(self._within(), guide, meant, keep=True)

    def _largest_share(self, members: Flags) -> float:
        """Of its need, what everybody of a class can have at once."""
        row_upper = self._within().row_upper.copy()
        row_upper[self._program.rows("fair_share")] = np.where(members, self._site.needs.owed_kwh, inf)
        owed_kwh = float(self._site.needs.owed_kwh[members].sum())  # in kWh, as solvers' tolerances are absolute
        meant = np.zeros(self._v.columns)
        meant[self._v.share] = -owed_kwh
        guide = self._program.cost.copy()
        guide[self._v.share] = -owed_kwh * self._price
        return -self._proven(replace(self._within(), row_upper=row_upper), guide, meant) / owed_kwh

    def _proven(self, program: Program, guide: Floats, meant: Floats, *, keep: bool = False) -> float:
        """The least of what is meant; `keep` the plan that shows it."""
        program = replace(program, cost=guide, matrix=replace(program.matrix))  # a matrix of its own: solved cold
        guess = self._door.solve(program, time_limit_s=self._left_s).x
        if keep:
            self._x = guess
        solution = self._door.solve(replace(program, cost=meant), time_limit_s=self._left_s, feasible_start=True)
        if keep and solution.objective < float(meant @ guess) - UNMET_NOISE_KWH:
            self._x = solution.x
        return solution.objective

    def _within(self) -> Program:
        """The program within all that is proven so far."""
        upper, row_upper = self._program.upper.copy(), self._program.row_upper.copy()
        upper[self._v.unmet] = np.minimum(self._by_session, self._site.needs.owed_kwh)
        row_upper[self._program.rows("shortfall")] = self._by_class
        floors = self._program.rows("floor_shortfall")
        row_upper[floors] = self._floors_by_class[: floors.stop - floors.start]
        return replace(self._program, upper=upper, row_upper=row_upper)

    def _keep(self, number: int, x: Floats) -> None:
        """This class and those after it go without what they do in a plan."""
        needs, classes = self._site.needs, np.arange(self._by_class.size)
        unmet_kwh = x[self._v.unmet] + UNMET_NOISE_KWH
        floors_kwh = x[self._v.behind[self._floors]] + UNMET_NOISE_KWH
        self._by_session = np.where(needs.service_class >= number, unmet_kwh, self._by_session)
        by_class = sum_by(needs.service_class, unmet_kwh, classes.size)
        self._by_class = np.where(classes >= number, by_class, self._by_class)
        floors_by_class = sum_by(self._floor_class, floors_kwh, classes.size)
        self._floors_by_class = np.where(classes >= number, floors_by_class, self._floors_by_class)

    @property
    def _left_s(self) -> float:
        return max(self._until - perf_counter(), 0.01)


def divide(site: Site, variables: Variables, door: Door, *, time_limit_s: float) -> Shortfall:
    """Prove the least shortfall of each class, first class first, given what the classes before it keep.

    In time for one solve only, it is the least total, at a price on each kWh; `Shortfall.proven` says so. Raise
    `SolverError` where there is not even time for that.
    """
    return Division(site, variables, door, time_limit_s=time_limit_s).shortfall()
