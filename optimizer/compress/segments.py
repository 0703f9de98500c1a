"""Segments: charge columns that carry one limit, and the program in which each of them is a single column.

With the cuts fixed, a linear program over slots becomes one over segments: the columns of a segment are one column
with the sum of their coefficients. Every rule stays as it is, slot by slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.compress.stretches import Stretch
from optimizer.doors import Door, Solution
from optimizer.program import Matrix, Program, Site, Variables


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Which segment each charge column belongs to; columns of no stretch are segments of their own.

    All columns of a segment carry the same number of steps, that is the same current. `is_shut` marks segments that
    hold a slot in which nothing may be drawn: their limit is 0.
    """

    of_column: Ints
    is_shut: Flags

    @classmethod
    def of(cls, columns: int, stretches: Sequence[Stretch], cuts: Sequence[Ints]) -> "Segments":
        """`cuts` holds, for each stretch, the places where a segment begins, the first of them 0."""
        label = np.arange(columns)
        shut_columns = np.zeros(columns, dtype=np.bool_)
        for stretch, begins in zip(stretches, cuts, strict=True):
            piece = np.zeros(stretch.slots, dtype=np.int64)
            piece[begins] = 1
            piece = np.cumsum(piece) - 1
            is_open = stretch.is_open
            shut = np.zeros(int(piece[-1]) + 1, dtype=np.bool_)
            shut[piece[~is_open]] = True
            leader = np.full(shut.size, columns, dtype=np.int64)
            np.minimum.at(leader, piece[is_open], stretch.column[is_open])
            label[stretch.column[is_open]] = leader[piece[is_open]]
            shut_columns[stretch.column[is_open]] = shut[piece[is_open]]
        leaders, of_column = np.unique(label, return_inverse=True)
        return cls(of_column=of_column, is_shut=shut_columns[leaders])

    @property
    def count(self) -> int:
        return self.is_shut.size

    def highest(self, values: Ints) -> Ints:
        """The highest of a segment's values (one a charge column)."""
        highest = np.full(self.count, np.iinfo(np.int64).min)
        np.maximum.at(highest, self.of_column, values)
        return highest

    def lowest(self, values: Ints) -> Ints:
        """The lowest of a segment's values (one a charge column)."""
        return -self.highest(-values)

    def members(self) -> list[Ints]:
        """The charge columns of each segment."""
        order = np.argsort(self.of_column, kind="stable")
        first = np.searchsorted(self.of_column[order], np.arange(self.count + 1))
        return [order[first[one] : first[one + 1]] for one in range(self.count)]


@dataclass(slots=True, eq=False)
class SegmentDoor:
    """A door that solves programs over slots with one limit a segment, and answers in slots again."""

    door: Door
    target: Ints  # of each column of the program: its column in the smaller one
    scale: Floats  # and how much of it one unit there is
    is_shut: Flags  # of each column
    matrices: dict[int, tuple[Matrix, Matrix]] = field(default_factory=dict)  # by identity, with what keeps it alive

    @classmethod
    def of(cls, site: Site, v: Variables, segments: Segments, door: Door) -> "SegmentDoor":
        charge, giving = site.charge, site.vehicles.column[site.vehicles.giving]
        leader = np.full(segments.count, charge.columns)
        np.minimum.at(leader, segments.of_column, np.arange(charge.columns))
        label, scale = np.arange(v.columns), np.ones(v.columns)
        step_kw = charge.step_kw
        label[v.charge] = v.charge[leader[segments.of_column]] if charge.columns else label[v.charge]
        scale[v.charge] = step_kw / step_kw[leader[segments.of_column]] if charge.columns else 1.0
        shut = np.zeros(v.columns, dtype=np.bool_)
        shut[v.charge] = segments.is_shut[segments.of_column]
        if giving.size:
            gives = np.full(segments.count, -1)
            gives[segments.of_column[giving][::-1]] = np.arange(giving.size)[::-1]  # the first of each segment
            first = gives[segments.of_column[giving]]
            label[v.give], scale[v.give] = v.give[first], step_kw[giving] / step_kw[giving[first]]
            may_all = np.bincount(segments.of_column[giving], minlength=segments.count) == np.bincount(
                segments.of_column, minlength=segments.count
            )
            shut[v.give] = (segments.is_shut | ~may_all)[segments.of_column[giving]]
        _, target = np.unique(label, return_inverse=True)
        return cls(door, target, scale, shut)

    def mark(self) -> None:
        self.door.mark()

    def back(self) -> None:
        self.door.back()

    def solve(
        self, program: Program, *, time_limit_s: float, absolute_gap: float = 0.0, feasible_start: bool = False
    ) -> Solution:
        """As every `Door`; the values are those of the slots."""
        own = self._for(program.matrix.columns)
        smaller = own.smaller(program, self._matrix(program.matrix, own))
        solution = self.door.solve(
            smaller, time_limit_s=time_limit_s, absolute_gap=absolute_gap, feasible_start=feasible_start
        )
        return replace(solution, x=own.scale * solution.x[own.target])

    def smaller(self, program: Program, matrix: Matrix) -> Program:
        """The program over segments: the tightest bounds of its columns, the sum of their costs."""
        columns = matrix.columns
        lower, upper = np.full(columns, -np.inf), np.full(columns, np.inf)
        np.maximum.at(lower, self.target, program.lower / self.scale)
        np.minimum.at(upper, self.target, np.where(self.is_shut, 0.0, program.upper) / self.scale)
        integer = None
        if program.integer is not None:
            integer = np.zeros(columns, dtype=np.bool_)
            integer[self.target] = program.integer
        cost = sum_by(self.target, program.cost * self.scale, columns)
        return replace(program, matrix=matrix, cost=cost, lower=lower, upper=upper, integer=integer)

    def _for(self, columns: int) -> "SegmentDoor":
        """The same for a program with more columns behind those that are known, as one with directions has."""
        more = columns - self.target.size
        if more == 0:
            return self
        first = int(self.target.max(initial=-1)) + 1
        return SegmentDoor(
            self.door,
            np.concatenate([self.target, np.arange(first, first + more)]),
            np.concatenate([self.scale, np.ones(more)]),
            np.concatenate([self.is_shut, np.zeros(more, dtype=np.bool_)]),
        )

    def _matrix(self, matrix: Matrix, own: "SegmentDoor") -> Matrix:
        """The same object for the same matrix, so that a door can start warm."""
        if id(matrix) not in self.matrices:
            self.matrices[id(matrix)] = (matrix, _merged(matrix, own.target, own.scale))
        return self.matrices[id(matrix)][1]


def _merged(matrix: Matrix, target: Ints, scale: Floats) -> Matrix:
    columns = int(target.max(initial=-1)) + 1
    row = np.repeat(np.arange(matrix.rows), np.diff(matrix.start))
    pair, entry = np.unique(row * columns + target[matrix.index], return_inverse=True)
    value = sum_by(entry, matrix.value * scale[matrix.index], pair.size)
    start = np.searchsorted(pair, np.arange(matrix.rows + 1) * columns)
    return Matrix(start=start, index=pair % columns, value=value, columns=columns)
