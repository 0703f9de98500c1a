"""The last wish: a smooth connection. Of all that batteries can do for the same money, what makes import vary least.

Vehicles are not moved for it: who charges when is decided by then, and whole steps are whole steps. So what is left is
a small program over the batteries and the connection, a few columns a slot at any size of site.
"""

from dataclasses import replace

import numpy as np

from optimizer.answer import Flows, cost_of, flows
from optimizer.arrays import Flags, Floats
from optimizer.directions import is_circular
from optimizer.doors import Door
from optimizer.errors import SolverError
from optimizer.preference import cost_noise
from optimizer.program import Matrix, Program, Site, Variables

ROW_NOISE = 1e-7  # what is held may miss a row by this, and must not make the rest infeasible
NO_COST = 1e-6  # of the money: what holding all others within `ROW_NOISE` may come to
SMOOTHER_KW = 1e-3  # less is not worth another plan


def smoothed(
    site: Site, v: Variables, program: Program, x: Floats, power_kw: Floats, door: Door, *, time_limit_s: float
) -> Floats:
    """`x` with the batteries on their smoothest way beside vehicles that draw `power_kw` (charge column).

    `program` is the money program; `x` its solution, from which batteries are read. It costs nothing: where a smoother
    way is dearer by more than the solver's noise, or none is found in time, `x` itself comes back.
    """
    if not site.batteries:
        return x
    seen = flows(site, v, x, power_kw)
    now = _as_seen(site, v, x, seen, power_kw)
    free = np.zeros(v.columns, dtype=np.bool_)
    for block in (v.imported, v.exported, v.store, v.draw, v.stored):
        free[block] = True
    try:
        found = door.solve(_with_ramps(v, _at_no_more_cost(program, now), now, free), time_limit_s=time_limit_s).x
    except SolverError:  # out of time: smoothness is no reason to lose the plan
        return x
    other = now.copy()
    other[free] = found[: int(free.sum())]
    after = flows(site, v, other, power_kw)
    cost, cost_after = cost_of(site, seen, power_kw).minimised, cost_of(site, after, power_kw).minimised
    smoother = ramps_kw(after) < ramps_kw(seen) - SMOOTHER_KW
    if not smoother or cost_after > cost + NO_COST * (1.0 + abs(cost)) or is_circular(site, v, other):
        return x
    return other


def ramps_kw(seen: Flows) -> float:
    """Σ |what the connection carries in a slot − in the slot before|."""
    return float(np.abs(np.diff(seen.imported_kw - seen.exported_kw)).sum())


def _as_seen(site: Site, v: Variables, x: Floats, seen: Flows, power_kw: Floats) -> Floats:
    """The columns as the plan has them now, after rounding."""
    now = x.copy()
    now[v.charge] = np.maximum(power_kw, 0.0)
    now[v.give] = np.maximum(-power_kw[site.vehicles.column[site.vehicles.giving]], 0.0)
    now[v.imported], now[v.exported], now[v.curtail] = seen.imported_kw, seen.exported_kw, seen.curtail_kw
    now[v.store], now[v.draw] = np.maximum(seen.battery_kw, 0.0), np.maximum(-seen.battery_kw, 0.0)
    now[v.peak] = [
        max(charge.free_peak_kw, intervals.peak_kw(seen.imported_kw))
        for charge, intervals in zip(site.problem.demand_charges, site.intervals, strict=True)
    ]
    return now


def _at_no_more_cost(program: Program, now: Floats) -> Program:
    row_upper, spent = program.row_upper.copy(), float(program.cost @ now)
    row_upper[program.rows("cost_bound")] = spent + cost_noise(spent)
    return replace(program, row_upper=row_upper)


def _with_ramps(v: Variables, program: Program, now: Floats, free: Flags) -> Program:
    r"""The program of the free columns alone, everything else held, and a ramp r between neighbouring slots.

    .. math:: \min \sum_t r_t, \quad r_t \ge \pm ((i_{t+1} - e_{t+1}) - (i_t - e_t))

    Unit: kW.
    """
    whole = program.matrix
    row = np.repeat(np.arange(whole.rows), np.diff(whole.start))
    entry = free[whole.index]
    stays = np.bincount(row[entry], minlength=whole.rows) > 0
    number, place = np.cumsum(stays) - 1, np.cumsum(free) - 1
    held = whole.dot(np.where(free, 0.0, now))
    columns, ramps = int(free.sum()), v.imported.size - 1
    imported, exported, slot = place[v.imported], place[v.exported], np.arange(ramps)
    rows, index, value = [number[row[entry]]], [place[whole.index[entry]]], [whole.value[entry]]
    for side, sign in enumerate((1.0, -1.0)):
        first = int(stays.sum()) + side * ramps
        rows.append(np.tile(first + slot, 5))
        index.append(np.concatenate([imported[1:], imported[:-1], exported[1:], exported[:-1], columns + slot]))
        value.append(np.repeat([sign, -sign, -sign, sign, -1.0], ramps))
    every_row = np.concatenate(rows)
    order = np.argsort(every_row, kind="stable")
    count = int(stays.sum()) + 2 * ramps
    return Program(
        matrix=Matrix(
            start=np.concatenate([[0], np.cumsum(np.bincount(every_row, minlength=count))]),
            index=np.concatenate(index)[order],
            value=np.concatenate(value)[order],
            columns=columns + ramps,
        ),
        cost=np.concatenate([np.zeros(columns), np.ones(ramps)]),
        lower=np.concatenate([program.lower[free], np.zeros(ramps)]),
        upper=np.concatenate([program.upper[free], np.full(ramps, np.inf)]),
        row_lower=np.concatenate([(program.row_lower - held)[stays] - ROW_NOISE, np.full(2 * ramps, -np.inf)]),
        row_upper=np.concatenate([(program.row_upper - held)[stays] + ROW_NOISE, np.zeros(2 * ramps)]),
        blocks=(),
    )
