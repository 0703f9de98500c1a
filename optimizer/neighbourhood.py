"""A small part of a program around what has to change: all other columns keep the values that they have."""

from dataclasses import dataclass

import numpy as np

from optimizer.arrays import Flags, Floats, Ints
from optimizer.program import Matrix, Program, Site, Variables
from optimizer.room import POWER_NOISE_KW, Room

ROW_NOISE = 1e-7  # what a solver may miss a row by: the columns that are held must not make the others infeasible


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """The columns of a program that are free, and the rows in which one of them stands."""

    x: Floats
    free: Flags
    matrix: Matrix
    entries: Flags  # of the whole matrix: those of free columns
    rows: Flags
    held: Floats  # what the held columns bring to each row of the whole matrix

    @classmethod
    def around(cls, program: Program, x: Floats, free: Flags) -> "Neighbourhood":
        whole = program.matrix
        row = np.repeat(np.arange(whole.rows), np.diff(whole.start))
        entries = free[whole.index]
        count = np.bincount(row[entries], minlength=whole.rows)
        rows = count > 0
        number = np.cumsum(free) - 1
        matrix = Matrix(
            start=np.concatenate([[0], np.cumsum(count[rows])]),
            index=number[whole.index[entries]],
            value=whole.value[entries],
            columns=int(free.sum()),
        )
        return cls(x, free, matrix, entries, rows, whole.dot(np.where(free, 0.0, x)))

    def part(self, program: Program) -> Program:
        """What `program`, on the same matrix as at first, says about the free columns."""
        return Program(
            matrix=self.matrix,
            cost=program.cost[self.free],
            lower=program.lower[self.free],
            upper=program.upper[self.free],
            row_lower=(program.row_lower - self.held)[self.rows] - ROW_NOISE,
            row_upper=(program.row_upper - self.held)[self.rows] + ROW_NOISE,
            blocks=(),
        )

    def whole(self, part_x: Floats) -> Floats:
        """The values of all columns."""
        x = self.x.copy()
        x[self.free] = part_x
        return x


def free_columns(site: Site, v: Variables, moving: Flags) -> Flags:
    """The columns of the program that may move with the EVSEs that are `moving`; flows at the connection always may."""
    charge, vehicles = site.charge, site.vehicles
    free = np.ones(v.columns, dtype=np.bool_)
    free[v.charge] = moving[charge.evse]
    members = np.zeros(site.sessions, dtype=np.bool_)
    members[charge.session] = moving[charge.evse[charge.column]]
    free[v.unmet] = members
    free[v.behind] = members[site.milestones.session]
    free[v.level] = members[vehicles.session]
    free[v.give] = members[vehicles.session[vehicles.giving]]
    return free


def moving_evses(site: Site, power_kw: Floats, store_kw: Floats, below: Flags) -> Flags:
    """The EVSEs of the columns `below`, and those that draw through a full fuse above one of them in its slot."""
    charge = site.charge
    room = Room(site)
    room.take_batteries(site, store_kw)
    room.take_all(site, power_kw)
    full = room.full()
    paths = room.paths
    contested = np.zeros_like(full)
    for node in paths.T:
        contested[node[charge.evse[below]], charge.slot[below]] = True
    contested &= full
    drawing: Ints = np.flatnonzero(power_kw > POWER_NOISE_KW)
    moving = np.zeros(len(site.problem.evses), dtype=np.bool_)
    moving[charge.evse[below]] = True
    for node in paths.T:
        rivals = contested[node[charge.evse[drawing]], charge.slot[drawing]]
        moving[charge.evse[drawing[rivals]]] = True
    return moving
