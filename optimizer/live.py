"""A site's money program that stays alive between plans: changes are made in place, and solving goes on from there.

New prices leave the last basis feasible, so the primal simplex goes on; new needs, limits, readings, arrivals and
departures leave it optimal in prices, so the dual simplex does. The answer costs what that of a cold build costs.
"""

from dataclasses import dataclass, replace

import numpy as np

from optimizer.arrays import Floats
from optimizer.constraints import ALL
from optimizer.directions import is_circular
from optimizer.domain import Problem, Series
from optimizer.doors import refuse_nonsense, refuse_unpriced
from optimizer.errors import SolverError
from optimizer.in_place import Basis, InPlaceModel, Labelled
from optimizer.labels import Labels
from optimizer.objectives import money, unmet_price
from optimizer.program import Program, Site, Variables, assemble
from optimizer.service import UNMET_NOISE_KWH, missed

__all__ = ["Basis", "LivePlan", "LiveProgram"]

FREE_UNTIL_ASKED = frozenset(
    {"cost_bound", "shortfall", "floor_shortfall"}
)  # rows for later solves; the first holds every price
MOST_BESIDE_LEVEL = 0.02  # of the mean price: where prices move more than that, slots change places
RULES = tuple(rule for rule in ALL if rule.__name__ not in FREE_UNTIL_ASKED)


@dataclass(frozen=True, slots=True, eq=False)
class LivePlan:
    """A continuous optimum: `x` has one value a column of `variables`.

    `objective` is money plus unmet energy at a price that nothing else can cost. `warm` says whether it came from the
    last basis, `iterations` how far that was.
    """

    site: Site
    variables: Variables
    x: Floats
    objective: float
    warm: bool
    iterations: int

    @property
    def complete(self) -> bool:
        """Whether it is the proven optimum of `solve` before rounding.

        If not, some wish cannot be met or flows go in a circle: `solve` divides the shortfall and finds directions.
        """
        unmet_kwh = self.x[missed(self.site, self.variables)].max(initial=0.0)
        return bool(unmet_kwh <= UNMET_NOISE_KWH) and not is_circular(self.site, self.variables, self.x)

    @property
    def power_kw(self) -> Floats:
        """(EVSE, slot of the horizon) kW; below 0 a vehicle gives."""
        charge, vehicles, problem = self.site.charge, self.site.vehicles, self.site.problem
        net_kw = self.x[self.variables.charge]
        net_kw[vehicles.column[vehicles.giving]] -= self.x[self.variables.give]
        power_kw = np.zeros((len(problem.evses), problem.horizon.slots))
        power_kw[charge.evse, charge.slot + self.site.grid.first] = net_kw
        return power_kw


class LiveProgram:
    """Keeps one site's program in HiGHS; each change solves it and leaves the new `plan`.

    Not for two threads at once. Raise `InvalidProblemError` as `solve` does, and `SolverError` when there is no
    answer in `Settings.time_limit_s`; the next change then starts cold.
    """

    def __init__(self, problem: Problem, *, start_from: Basis | None = None) -> None:
        """`start_from` is the recorded basis of the same problem: its plan is made again, not just one as cheap."""
        self._labels = Labels()
        self._site = Site.of(problem)
        self._variables = Variables.of(self._site)
        self._program = _program(self._site, self._variables)
        self._model: InPlaceModel | None = None  # None: nothing to go on from
        self.plan = self._cold(start_from)

    def reprice(self, import_price_per_kwh: Series, export_price_per_kwh: Series) -> LivePlan:
        """Other prices, one a slot of the horizon, and nothing else."""
        before, first = self._site, self._site.grid.first
        problem = replace(
            before.problem, import_price_per_kwh=import_price_per_kwh, export_price_per_kwh=export_price_per_kwh
        )
        carbon = before.buy_price - np.array(before.problem.import_price_per_kwh)[first:]
        site = replace(
            before,
            problem=problem,
            buy_price=np.array(import_price_per_kwh)[first:] + carbon,
            sell_price=np.array(export_price_per_kwh)[first:],
        )
        return self._next(site, self._variables, replace(self._program, cost=_cost(site, self._variables)))

    def update(self, problem: Problem) -> LivePlan:
        """The same site later, or with other sessions, needs, limits, readings or prices."""
        site = Site.of(problem, self._site)
        variables = Variables.of(site)
        return self._next(site, variables, _program(site, variables))

    @property
    def program(self) -> Program:
        """What the plan solves."""
        return self._program

    def basis(self) -> Basis:
        """Where the plan rests: recorded beside its problem, it makes the same plan again."""
        if self._model is None:
            raise SolverError("there is no plan whose basis could be recorded")
        return self._model.basis()

    def _next(self, site: Site, variables: Variables, program: Program) -> LivePlan:
        same_shape = variables is self._variables
        (refuse_unpriced if same_shape else refuse_nonsense)(program)
        reordered = _reordered(self._site, site)
        self._site, self._variables, self._program = site, variables, program
        model, self._model = self._model, None  # until it has an answer, nothing may go on from it
        if model is None or reordered:
            self.plan = self._cold()
            return self.plan
        try:
            model.become(replace(self._held, program=program) if same_shape else self._labelled())
            x = model.solve(site.problem.settings.time_limit_s)
        except SolverError:  # no faster than cold, or numerical trouble on the way from there to here
            self.plan = self._cold()
            return self.plan
        self.plan = self._answer(model, x)
        return self.plan

    def _cold(self, start_from: Basis | None = None) -> LivePlan:
        refuse_nonsense(self._program)
        model = InPlaceModel()
        model.build(self._labelled(), start_from)
        return self._answer(model, model.solve(self._site.problem.settings.time_limit_s))

    def _answer(self, model: InPlaceModel, x: Floats) -> LivePlan:
        self._model = model
        return LivePlan(self._site, self._variables, x, self._program.value(x), model.warm, model.iterations)

    def _labelled(self) -> Labelled:
        columns = self._labels.columns(self._site, self._variables)
        self._held = Labelled(self._program, columns, self._labels.rows(self._site, self._program))
        return self._held


def _program(site: Site, v: Variables) -> Program:
    return assemble(site, v, RULES, _cost(site, v))


def _cost(site: Site, v: Variables) -> Floats:
    cost = money(site, v)
    cost[missed(site, v)] = unmet_price(site)
    return cost


def _reordered(before: Site, after: Site) -> bool:
    """Whether prices moved so much, apart from becoming dearer alike, that a cold solve is the shorter way.

    Energy moves between slots that change places, vehicle by vehicle: that is a long way for a simplex.
    """
    old, new = before.buy_price, after.buy_price
    same_slots = before.problem.horizon.start == after.problem.horizon.start and old.size == new.size
    if not same_slots or not np.any(old):
        return False
    level = np.sum(old * new) / np.sum(old * old)
    return bool(np.sum(np.abs(new - level * old)) > MOST_BESIDE_LEVEL * np.sum(np.abs(new)))
