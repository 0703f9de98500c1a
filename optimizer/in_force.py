"""The plan in force, and how far another plan is from it: Σ weight · hours · |power − planned|, linear, without a row.

A power that is planned at 0 or at its most can leave it in one direction only, so its distance is linear already. One
that is planned in between gets a second column for what goes beyond the plan: p = within + beyond, with
0 ≤ within ≤ planned. The distance rises along both, so no optimum goes beyond before it is all within.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from optimizer.arrays import Floats, Ints
from optimizer.program import Matrix, Program, Site, Variables

START_WEIGHT = 2.0  # of a kWh where nothing is planned, against one on top of what is: it is a start
BETWEEN_KW = 1e-6  # nearer to a bound a power is planned at it


@dataclass(frozen=True, slots=True, eq=False)
class PlanInForce:
    """What every charge and every giving column was planned at, kW; NaN where no plan says anything.

    `split` are the charge columns that are planned between their bounds. Vehicles that can give are not among them:
    what is planned in between is free there.
    """

    charge_kw: Floats
    give_kw: Floats
    split: Ints

    @classmethod
    def of(cls, site: Site, v: Variables) -> Self | None:
        """None where no EVSE has a plan, or nobody charges."""
        charge, giving = site.charge, site.vehicles.column[site.vehicles.giving]
        planned = _by_evse(site)
        if planned is None or not charge.columns:
            return None
        net_kw = planned[charge.evse, charge.slot]
        charge_kw = np.minimum(np.maximum(net_kw, 0.0), charge.max_kw)
        charge_kw = np.where(charge_kw < charge.min_kw - BETWEEN_KW, 0.0, charge_kw)  # no charger delivers that
        charge_kw[np.isnan(net_kw)] = np.nan
        between = (charge_kw > BETWEEN_KW) & (charge_kw < charge.max_kw - BETWEEN_KW)
        between[giving] = False
        give_kw = np.minimum(np.maximum(-net_kw[giving], 0.0), v.upper[v.give])
        return cls(charge_kw, give_kw, np.flatnonzero(between))

    def distance(self, site: Site, v: Variables) -> Floats:
        """A price for every column: the kWh by which it leaves the plan, but for a constant; 0 where it is split."""
        cost = np.zeros(v.columns)
        hours = site.grid.hours[site.charge.slot] * site.charge.present
        cost[v.charge] = hours * _sign(self.charge_kw, v.upper[v.charge])
        cost[v.charge[self.split]] = 0.0
        giving = site.vehicles.column[site.vehicles.giving]
        cost[v.give] = hours[giving] * _sign(self.give_kw, v.upper[v.give])
        return cost

    def closest(self, site: Site, v: Variables, program: Program, price_per_kwh: float) -> Program:
        """A program that also pays for the distance from the plan. What goes beyond it stands behind all other columns.

        The entries of a split column stand at its second one, too, and so does its cost.
        """
        first, planned_kw = v.charge[self.split], self.charge_kw[self.split]
        away = price_per_kwh * (site.grid.hours[site.charge.slot] * site.charge.present)[self.split]
        cost = program.cost + price_per_kwh * self.distance(site, v)
        upper = program.upper.copy()
        upper[first] = np.minimum(upper[first], planned_kw)
        cost[first] -= away
        return replace(
            program,
            matrix=_doubled(program.matrix, first),
            cost=np.concatenate([cost, program.cost[first] + away]),
            lower=np.concatenate([program.lower, np.zeros(first.size)]),
            upper=np.concatenate([upper, np.maximum(program.upper[first] - planned_kw, 0.0)]),
        )

    def joined(self, x: Floats, v: Variables) -> Floats:
        """A solution of `closest` as one of the program that it was made from."""
        whole = x[: v.columns].copy()
        whole[v.charge[self.split]] += x[v.columns :]
        return whole

    def net_kw(self, site: Site) -> Floats:
        """What every charge column was planned at, below 0 where a vehicle gives; NaN where no plan says anything."""
        power_kw = self.charge_kw.copy()
        power_kw[site.vehicles.column[site.vehicles.giving]] -= self.give_kw
        return power_kw

    def delivered_kwh(self, site: Site) -> Floats:
        """What the plan brings to each session; NaN where it does not know all of a session's columns."""
        return site.delivered_kwh(self.net_kw(site))


def _by_evse(site: Site) -> Floats | None:
    """(EVSE, slot of the grid) kW, or None where there is no plan at all."""
    evses = site.problem.evses
    if all(evse.planned_kw is None for evse in evses):
        return None
    planned_kw = np.full((len(evses), site.grid.slots), np.nan)
    for number, evse in enumerate(evses):
        if evse.planned_kw is not None:
            planned_kw[number] = evse.planned_kw[site.grid.first :]
    return planned_kw


def _doubled(matrix: Matrix, columns: Ints) -> Matrix:
    """With the entries of `columns` a second time, in as many columns behind all others."""
    second = np.full(matrix.columns, -1)
    second[columns] = matrix.columns + np.arange(columns.size)
    entry = np.flatnonzero(second[matrix.index] >= 0)
    row = np.repeat(np.arange(matrix.rows), np.diff(matrix.start))
    rows = np.concatenate([row, row[entry]])
    order = np.argsort(rows, kind="stable")
    return Matrix(
        start=np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=matrix.rows))]),
        index=np.concatenate([matrix.index, second[matrix.index[entry]]])[order],
        value=np.concatenate([matrix.value, matrix.value[entry]])[order],
        columns=matrix.columns + columns.size,
    )


def _sign(planned_kw: Floats, most_kw: Floats) -> Floats:
    """The price of a kW more: `START_WEIGHT` where nothing is planned, -1 where all is, else 0, and without a plan."""
    sign: Floats = np.where(planned_kw >= most_kw - BETWEEN_KW, -1.0, 0.0)
    sign[planned_kw <= BETWEEN_KW] = START_WEIGHT
    return sign  # NaN compares as false
