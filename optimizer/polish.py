"""A small site, exactly: who is on in which slot, then how many steps, as two mixed-integer programs.

Whole steps never add up to the power that the linear program counts with, so a billed peak rises by a part of a step;
on a site of ten EVSEs that is half a percent of the vehicles' money. Both searches are bounded by nodes, not by time:
the same problem gives the same plan on every machine, or none where time runs out.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optimizer.arrays import Flags, Floats, Ints
from optimizer.objectives import gross_ev_money
from optimizer.program import Matrix, Program, Site, Variables
from optimizer.room import POWER_NOISE_KW, Room

SMALL = 1_000  # charge columns: a dozen EVSEs over a day of quarter hours
NEAR = 1e-3  # of the vehicles' money: a search that is as near to the best possible ends
NODES = 1, 100  # of the search for who is on, and of the one for steps: more find next to nothing more
SHORT_KWH = 8e-3  # what a need may lack: less than what is worth a new plan, half of a three-phase step of 0.1 A
STEP_NOISE_KWH = 1e-4  # so much less than a step is less than a step to every solver

Search = Callable[[Program, float, int], Floats]  # of a program, within an absolute gap, in so many nodes


def is_small(site: Site) -> bool:
    """Whether a search is affordable: few columns, and no vehicle whose energy has to be followed slot by slot."""
    return 0 < site.charge.columns <= SMALL and not site.vehicles.session.size


def polished(site: Site, v: Variables, program: Program, x: Floats, *, settled: bool, search: Search) -> Ints | None:
    """The steps of every charge column, from `x`, a solution of `program`, the money program that forgives.

    With `settled`, no power of `x` lies between 0 and its minimum and who is on stays so; else that is searched for
    first. None where the search finds nothing that every fuse carries.
    """
    stepped = _in_steps(site, v, program)
    near = NEAR * gross_ev_money(site, x[v.charge])
    on: Flags = x[v.charge] > POWER_NOISE_KW
    if not settled:
        switched = _with_switches(site, v, stepped)
        found = search(switched, near, NODES[0])
        on = (site.charge.min_steps == 0) | (found[v.charge] > site.charge.min_steps / 2)
    steps = np.rint(search(_decided(site, v, stepped, on), near, NODES[1])[v.charge]).astype(np.int64)
    return steps if _fits(site, x, v, steps) else None


def _in_steps(site: Site, v: Variables, program: Program) -> Program:
    """Charge columns count steps; a need may be exceeded by less than a step, or missed by next to nothing."""
    charge, matrix = site.charge, program.matrix
    unit = np.ones(matrix.columns)
    unit[v.charge] = charge.step_kw
    step_kwh = np.zeros(site.sessions)
    np.maximum.at(step_kwh, charge.session, charge.step_kw[charge.column] * charge.overlap_h)
    row_lower, row_upper = program.row_lower.copy(), program.row_upper.copy()
    needs, is_promise = program.rows("energy_by_departure"), site.needs.owed_kwh >= site.needs.required_kwh
    row_lower[needs] -= np.minimum(SHORT_KWH, site.needs.owed_kwh)
    row_upper[needs] += np.where(is_promise, np.maximum(step_kwh - STEP_NOISE_KWH, 0.0), 0.0)
    return replace(
        program,
        matrix=Matrix(matrix.start, matrix.index, matrix.value * unit[matrix.index], matrix.columns),
        cost=program.cost * unit,
        lower=program.lower / unit,
        upper=program.upper / unit,
        row_lower=row_lower,
        row_upper=row_upper,
    )


def _with_switches(site: Site, v: Variables, program: Program) -> Program:
    r"""The program with one switch for each charge column that has a minimum; steps need not be whole.

    .. math:: \underline{n}\, y \le n \le \overline{n}\, y, \quad y \in \{0, 1\}
    """
    charge, whole = site.charge, program.matrix
    columns = np.flatnonzero(charge.min_steps > 0)
    switch, count = whole.columns + np.arange(columns.size), columns.size
    limit = np.concatenate([charge.max_steps[columns], charge.min_steps[columns]]).astype(float)
    nothing, anything = np.zeros(count), np.full(count, np.inf)
    integer = np.zeros(whole.columns + count, dtype=np.bool_)
    integer[switch] = True
    index = np.column_stack([np.tile(v.charge[columns], 2), np.tile(switch, 2)])
    value = np.column_stack([np.ones(2 * count), -limit])
    return replace(
        program,
        matrix=Matrix(
            start=np.concatenate([whole.start, whole.start[-1] + 2 * np.arange(1, 2 * count + 1)]),
            index=np.concatenate([whole.index, index.ravel()]),
            value=np.concatenate([whole.value, value.ravel()]),
            columns=whole.columns + count,
        ),
        cost=np.concatenate([program.cost, nothing]),
        lower=np.concatenate([program.lower, nothing]),
        upper=np.concatenate([program.upper, np.ones(count)]),
        row_lower=np.concatenate([program.row_lower, -anything, nothing]),
        row_upper=np.concatenate([program.row_upper, nothing, anything]),
        integer=integer,
    )


def _decided(site: Site, v: Variables, program: Program, on: Flags) -> Program:
    """Whole steps, where those that are on stay on."""
    charge = site.charge
    lower, upper = program.lower.copy(), program.upper.copy()
    lower[v.charge] = np.where(on, charge.min_steps, 0)
    upper[v.charge] = np.where(on, charge.max_steps, 0)
    integer = np.zeros(program.lower.size, dtype=np.bool_)
    integer[v.charge] = True
    return replace(program, lower=lower, upper=upper, integer=integer)


def _fits(site: Site, x: Floats, v: Variables, steps: Ints) -> bool:
    room = Room(site)
    room.take_batteries(site, x[v.store])
    room.take_all(site, steps * site.charge.step_kw)
    return not room.overloaded().size
