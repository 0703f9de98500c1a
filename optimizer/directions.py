"""Flows in a circle: import against export where export pays more, storing against drawing where burning energy pays.

A linear program takes both directions at once where that pays. Mostly it does not, and the program without binaries
proves the optimum. Where it does, the direction of the net flow is fixed; if that costs more than the tolerance, a
mixed-integer program finds the directions.
"""

from dataclasses import dataclass, replace

import numpy as np

from optimizer.arrays import Flags, Floats
from optimizer.constraints import DIRECTED
from optimizer.doors import Door, Solution
from optimizer.errors import SolverError
from optimizer.objectives import money
from optimizer.program import Program, Site, Variables, assemble

FLOW_NOISE_KW = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Cheapest:
    """A program in which no flow goes in a circle, its cheapest solution, and what no solution can undercut.

    `fairness_kwh` is what is unmet in total beyond the least, because nobody was to go without alone. `preferred` is a
    solution as cheap as `x` that no other one as cheap is preferred to; None where that is not proven. Not `divided`:
    there was no time to divide what is not enough for everybody as priorities and shares want it.
    """

    program: Program
    x: Floats
    bound: float
    fairness_kwh: float = 0.0
    preferred: Floats | None = None
    divided: bool = True


def net_battery_kw(site: Site, v: Variables, x: Floats) -> Floats:
    """Battery power (battery, slot) that stores the same energy in one direction only; positive is charging."""
    store_kw, draw_kw = x[v.store], x[v.draw]
    gain = np.array([battery.charge_efficiency for battery in site.batteries])[:, None]
    loss = np.array([battery.discharge_efficiency for battery in site.batteries])[:, None]
    stored_kw = store_kw * gain - draw_kw / loss
    net_kw: Floats = np.where(stored_kw >= 0, stored_kw / gain, stored_kw * loss)
    return net_kw


def net_vehicle_kw(site: Site, v: Variables, x: Floats) -> Floats:
    """Power of every charge column, giving below 0."""
    net_kw: Floats = x[v.charge].copy()
    net_kw[site.vehicles.column[site.vehicles.giving]] -= x[v.give]
    return net_kw


def is_circular(site: Site, v: Variables, x: Floats) -> bool:
    """Whether the plan counts on both directions at once. Import against export is harmless where it costs money."""
    circles = (_circular_grid(site, v, x), np.minimum(x[v.store], x[v.draw]) > FLOW_NOISE_KW, _both_ways(site, v, x))
    return any(bool(one.any()) for one in circles)


def straighten(
    site: Site, v: Variables, program: Program, solution: Solution, door: Door, *, time_limit_s: float, tolerance: float
) -> Cheapest:
    """Fix directions so that at most `tolerance` of money is lost against the bound, or as little as time allows."""
    fixed = _try(door, _fix(site, v, program, solution.x), time_limit_s)
    if fixed is not None and fixed[1].objective <= solution.objective + tolerance:
        return Cheapest(fixed[0], fixed[1].x, solution.bound)
    try:
        mixed = _mixed_integer(site, v, program, solution.x, door, time_limit_s=time_limit_s / 2, tolerance=tolerance)
    except SolverError:
        if fixed is None:
            raise
        return Cheapest(fixed[0], fixed[1].x, solution.bound)
    found = _try(door, _fix(site, v, program, mixed.x), time_limit_s)
    best = min((one for one in (fixed, found) if one is not None), key=lambda one: one[1].objective, default=None)
    if best is None:
        raise SolverError("the directions that the mixed-integer program found do not hold in the linear one")
    return Cheapest(best[0], best[1].x, max(mixed.bound, solution.bound))


def _both_ways(site: Site, v: Variables, x: Floats) -> Flags:
    """Which vehicles take and give at once."""
    taken_kw: Floats = x[v.charge[site.vehicles.column[site.vehicles.giving]]]
    return np.minimum(taken_kw, x[v.give]) > FLOW_NOISE_KW


def _circular_grid(site: Site, v: Variables, x: Floats) -> Flags:
    pays: Flags = site.sell_price > site.buy_price
    return pays & (np.minimum(x[v.imported], x[v.exported]) > FLOW_NOISE_KW)


def _fix(site: Site, v: Variables, program: Program, x: Floats) -> Program:
    """The same program, each slot in the direction of the net flow of `x`; where circles cost money both stay open."""
    upper = program.upper.copy()
    battery_kw = net_battery_kw(site, v, x)
    storing = battery_kw >= 0
    upper[v.store] = np.where(storing, upper[v.store], 0.0)
    upper[v.draw] = np.where(storing, 0.0, upper[v.draw])
    burnt_kw = (x[v.store] - x[v.draw] - battery_kw).sum(axis=0)
    vehicles = site.vehicles
    taking = v.charge[vehicles.column[vehicles.giving]]
    takes = x[taking] >= x[v.give] * vehicles.loss[vehicles.giving]
    upper[v.give] = np.where(takes, 0.0, upper[v.give])
    upper[taking] = np.where(takes, upper[taking], program.lower[taking])
    importing = x[v.imported] - x[v.exported] - burnt_kw >= 0
    pays = site.sell_price > site.buy_price
    upper[v.imported] = np.where(pays & ~importing, 0.0, upper[v.imported])
    upper[v.exported] = np.where(pays & importing, 0.0, upper[v.exported])
    return replace(program, upper=upper)


def _try(door: Door, program: Program, time_limit_s: float) -> tuple[Program, Solution] | None:
    try:
        return program, door.solve(program, time_limit_s=time_limit_s)
    except SolverError:  # no plan in these directions: others have to be found
        return None


def _mixed_integer(
    site: Site, v: Variables, program: Program, x: Floats, door: Door, *, time_limit_s: float, tolerance: float
) -> Solution:
    """Directions as binaries, in the slots where a circle pays. Its first columns are those of the linear program."""
    directed = Variables.of(site, directions=True)
    mixed = assemble(site, directed, DIRECTED, money(site, directed))
    columns, rows = program.lower.size, program.matrix.rows
    lower, upper = mixed.lower.copy(), mixed.upper.copy()
    row_lower, row_upper = mixed.row_lower.copy(), mixed.row_upper.copy()
    upper[:columns] = program.upper
    lower[:columns] = program.lower
    row_lower[:rows] = program.row_lower
    row_upper[:rows] = program.row_upper
    integer = np.zeros(upper.size, dtype=np.bool_)
    integer[directed.importing] = site.sell_price > site.buy_price
    smaller_kw: Floats = np.minimum(x[v.store], x[v.draw])
    integer[directed.taking] = _both_ways(site, v, x).any()
    integer[directed.storing] = (smaller_kw > FLOW_NOISE_KW).any(axis=1, keepdims=True)
    mixed = replace(mixed, lower=lower, upper=upper, row_lower=row_lower, row_upper=row_upper, integer=integer)
    return door.solve(mixed, time_limit_s=time_limit_s, absolute_gap=tolerance)
