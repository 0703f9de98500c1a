"""A linear program inside HiGHS that is turned into the next one in place, so that its last basis stays of use.

What is new is added, what is gone is parked: columns at 0, rows without sides. Every number of the next program is
compared with the one that HiGHS holds, so the model solved is the next program exactly.
"""

from dataclasses import dataclass
from math import inf
from typing import Any

import highspy
import numpy as np

from optimizer.arrays import Flags, Floats, Ints
from optimizer.doors import DUAL_SIMPLEX, PRIMAL_SIMPLEX, THREADS, model_arguments
from optimizer.errors import SolverError
from optimizer.program import Matrix, Program

MOST_PARKED = 0.3  # of what HiGHS holds: above, the model is passed anew with the basis that it has
MOST_COEFFICIENTS = 5_000  # a call each, 1 µs: above, a new model is faster
MOST_UNPERTURBED = 0.02  # of the rows that have other sides: below, costs are not perturbed
MOST_PRICED = 0.25  # of the costs: above, with bounds that changed as well, nothing of the last optimum is left
WARM_BUDGET = {DUAL_SIMPLEX: 0.5, PRIMAL_SIMPLEX: 0.2}  # of a cold solve's iterations: above, a warm one is given up
LEAST_BUDGET = 100
NO_LIMIT = 2_147_483_647
PAIR = 1 << 32  # more than there are columns


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A program whose columns and rows have labels that outlive it."""

    program: Program
    columns: Ints
    rows: Ints


@dataclass(frozen=True, slots=True)
class Basis:
    """Which columns and rows of a program rest where: HiGHS' status numbers, in the program's order.

    Recorded after a solve, it makes the plan again: a fresh build of the same problem that starts from it is at the
    optimum already.
    """

    columns: bytes
    rows: bytes


class InPlaceModel:
    """One HiGHS instance and the program that it holds. Not for two threads at once."""

    def __init__(self) -> None:
        self._highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # its stub lacks calls that exist
        for name, value in (("output_flag", False), ("threads", THREADS), ("random_seed", 0), ("presolve", "off")):
            _ok(self._highs.setOptionValue(name, value), name)
        self._cold_iterations = 0  # of the last cold solve
        self._shifted = 0.0  # part of the rows that the last change gave other sides

    def build(self, held: Labelled, start: Basis | None = None) -> None:
        """Pass the whole model; raise `SolverError` when `start` belongs to a program of another shape."""
        program, matrix = held.program, held.program.matrix
        _ok(self._highs.passModel(*model_arguments(program)), "passModel")
        self._held = held
        self._column_at = np.arange(matrix.columns, dtype=np.int64)  # where the program's columns are in HiGHS
        self._row_at = np.arange(matrix.rows, dtype=np.int64)
        self._cost, self._lower, self._upper = program.cost.copy(), program.lower.copy(), program.upper.copy()
        self._row_lower, self._row_upper = program.row_lower.copy(), program.row_upper.copy()
        self._strategy, self._warm = DUAL_SIMPLEX, start is not None
        if start is not None:
            self._set(start)

    def become(self, next_: Labelled) -> None:
        """Turn into the next program in place, or anew where too much is different; from the last basis if that helps.

        After other prices the last basis is still feasible, after other bounds it is still optimal in prices. After
        both it is neither, and a cold solve is faster.
        """
        held = self._held
        same = _equal(next_.columns, held.columns) and _equal(next_.rows, held.rows)
        if not (self._change_entries(next_.program.matrix) if same else self._restructure(next_)):
            self.build(next_, self._basis_for(next_))
            return
        priced = np.mean(self._cost[self._column_at] != next_.program.cost) / max(np.mean(self._cost != 0), 1e-9)
        bounds = self._change_bounds(next_.program)
        if priced > MOST_PRICED and (bounds or not same):
            self.build(next_)
            return
        self._held, self._warm = next_, True
        self._change_costs(next_.program.cost)
        self._strategy = DUAL_SIMPLEX if bounds or not same or not priced else PRIMAL_SIMPLEX

    def solve(self, time_limit_s: float) -> Floats:
        """The optimum, one value a column of the program.

        Raise `SolverError` when there is none, and after a warm start that turns out no faster than a cold one.
        """
        highs = self._highs
        budget = max(int(WARM_BUDGET[self._strategy] * self._cold_iterations), LEAST_BUDGET)
        limit = budget if self._warm and self._cold_iterations else NO_LIMIT
        _ok(highs.setOptionValue("simplex_iteration_limit", limit), "simplex_iteration_limit")
        # Perturbed costs hinder a short way (88 iterations became 62 without) and save a long one (2,635 became 1,650).
        perturbed = 0.0 if self._warm and self._shifted <= MOST_UNPERTURBED else 1.0
        name = "dual_simplex_cost_perturbation_multiplier"
        _ok(highs.setOptionValue(name, perturbed), name)
        _ok(highs.setOptionValue("simplex_strategy", self._strategy), "simplex_strategy")
        _ok(highs.setOptionValue("time_limit", highs.getRunTime() + time_limit_s), "time_limit")  # its clock runs on
        _ok(highs.run(), "run", warn=True)
        status = highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"HiGHS ended with {highs.modelStatusToString(status)!r}")
        x: Floats = np.array(highs.getSolution().col_value, dtype=float)[self._column_at]
        if not np.isfinite(x).all():
            raise SolverError("HiGHS returned values that are no numbers")
        if not self._warm:
            self._cold_iterations = self.iterations
        return x

    @property
    def warm(self) -> bool:
        """Whether the last solve went on from a basis."""
        return self._warm

    @property
    def iterations(self) -> int:
        """Simplex iterations of the last solve."""
        return int(self._highs.getInfo().simplex_iteration_count)

    def basis(self) -> Basis:
        """Where the last solution rests."""
        basis = self._highs.getBasis()
        if not basis.valid:
            raise SolverError("there is no basis: nothing has been solved")
        columns = np.array([int(status) for status in basis.col_status], dtype=np.uint8)
        rows = np.array([int(status) for status in basis.row_status], dtype=np.uint8)
        return Basis(columns[self._column_at].tobytes(), rows[self._row_at].tobytes())

    def _set(self, start: Basis) -> None:
        matrix = self._held.program.matrix
        if len(start.columns) != matrix.columns or len(start.rows) != matrix.rows:
            raise SolverError("the basis was recorded for another program")
        basis = highspy.HighsBasis()
        basis.col_status = [highspy.HighsBasisStatus(status) for status in start.columns]
        basis.row_status = [highspy.HighsBasisStatus(status) for status in start.rows]
        basis.valid = basis.alien = True  # alien: HiGHS mends a basis that has lost columns or rows
        _ok(self._highs.setBasis(basis), "setBasis")

    def _basis_for(self, next_: Labelled) -> Basis | None:
        """The last basis in the order of the next program: new columns rest at 0, new rows are slack."""
        if not self._highs.getBasis().valid:
            return None
        last = self.basis()
        column, row = _places(self._held.columns, next_.columns), _places(self._held.rows, next_.rows)
        rests, slack = int(highspy.HighsBasisStatus.kLower), int(highspy.HighsBasisStatus.kBasic)
        of_columns = np.frombuffer(last.columns + bytes([rests]), dtype=np.uint8)  # place -1 is the one added
        of_rows = np.frombuffer(last.rows + bytes([slack]), dtype=np.uint8)
        return Basis(of_columns[column].tobytes(), of_rows[row].tobytes())

    def _change_bounds(self, program: Program) -> bool:
        at, highs = self._column_at, self._highs
        moved = (self._lower[at] != program.lower) | (self._upper[at] != program.upper)
        if moved.any():
            self._lower[at], self._upper[at] = program.lower, program.upper
            index, low, high = at[moved].astype(np.int32), program.lower[moved], program.upper[moved]
            _ok(highs.changeColsBounds(index.size, index, low, high), "changeColsBounds")
        above = self._row_at
        shifted = (self._row_lower[above] != program.row_lower) | (self._row_upper[above] != program.row_upper)
        self._shifted = float(np.mean(shifted))
        if shifted.any():
            self._row_lower[above], self._row_upper[above] = program.row_lower, program.row_upper
            index, low, high = above[shifted].astype(np.int32), program.row_lower[shifted], program.row_upper[shifted]
            _ok(highs.changeRowsBounds(index.size, index, low, high), "changeRowsBounds")
        return bool(moved.any() or shifted.any())

    def _change_costs(self, cost: Floats) -> None:
        priced = self._cost[self._column_at] != cost
        if priced.any():
            self._cost[self._column_at] = cost
            index = self._column_at[priced].astype(np.int32)
            _ok(self._highs.changeColsCost(index.size, index, cost[priced]), "changeColsCost")

    def _change_entries(self, matrix: Matrix) -> bool:
        """The coefficients of columns and rows that stay; False when they are too many for a call each."""
        last = self._held.program.matrix
        if last is matrix:
            return True
        if _equal(last.start, matrix.start) and _equal(last.index, matrix.index):
            changed = np.flatnonzero(last.value != matrix.value)
            row = np.searchsorted(matrix.start, changed, side="right") - 1
            pair = self._row_at[row] * PAIR + self._column_at[matrix.index[changed]]
            return self._set_entries(pair, matrix.value[changed])
        before, after = (_pairs(one, self._row_at, self._column_at) for one in (last, matrix))
        return self._set_entries(*_difference(before, last.value, after, matrix.value))

    def _set_entries(self, pair: Ints, value: Floats) -> bool:
        if pair.size > MOST_COEFFICIENTS:
            return False
        for row, column, number in zip((pair // PAIR).tolist(), (pair % PAIR).tolist(), value.tolist(), strict=True):
            _ok(self._highs.changeCoeff(row, column, number), "changeCoeff")
        return True

    def _restructure(self, next_: Labelled) -> bool:
        """Park what is gone, add what is new, mend what stays; False when a new model is the shorter way."""
        last, matrix = self._held.program.matrix, next_.program.matrix
        column_place, row_place = _places(self._held.columns, next_.columns), _places(self._held.rows, next_.rows)
        new_column, new_row = column_place < 0, row_place < 0
        held_columns, held_rows = self._cost.size, self._row_lower.size
        if (
            matrix.columns < (1 - MOST_PARKED) * (held_columns + new_column.sum())
            or matrix.rows < (1 - MOST_PARKED) * (held_rows + new_row.sum())
            or new_column.mean() + new_row.mean() > MOST_PARKED
        ):
            return False
        column_at = np.where(new_column, held_columns + np.cumsum(new_column) - 1, self._column_at[column_place])
        row_at = np.where(new_row, held_rows + np.cumsum(new_row) - 1, self._row_at[row_place])

        column_stays, row_stays = _marks(column_place, last.columns), _marks(row_place, last.rows)
        row, last_row = _rows(matrix), _rows(last)
        stays = ~new_row[row] & ~new_column[matrix.index]
        alive = column_stays[last.index]
        stayed = alive & row_stays[last_row]
        before = self._row_at[last_row[stayed]] * PAIR + self._column_at[last.index[stayed]]
        after = row_at[row[stays]] * PAIR + column_at[matrix.index[stays]]
        if not self._set_entries(*_difference(before, last.value[stayed], after, matrix.value[stays])):
            return False
        empty = np.bincount(last_row[alive], minlength=last.rows) == 0
        self._park(self._column_at[~column_stays], self._row_at[~row_stays], self._row_at[~row_stays & empty])
        self._add_rows(next_.program, new_row, row, column_at, ~new_column)
        self._add_columns(next_.program, new_column, row, row_at)
        self._column_at, self._row_at = column_at, row_at
        return True

    def _park(self, columns: Ints, rows: Ints, empty_rows: Ints) -> None:
        """A row whose columns are all at 0 is kept at 0: freed, its price would have to be driven out first."""
        nothing = np.zeros(columns.size)
        if columns.size:
            self._lower[columns] = self._upper[columns] = 0.0
            index = columns.astype(np.int32)
            _ok(self._highs.changeColsBounds(index.size, index, nothing, nothing), "changeColsBounds")
        if rows.size:
            self._row_lower[rows], self._row_upper[rows] = -inf, inf
            self._row_lower[empty_rows] = self._row_upper[empty_rows] = 0.0
            index, low, high = rows.astype(np.int32), self._row_lower[rows], self._row_upper[rows]
            _ok(self._highs.changeRowsBounds(index.size, index, low, high), "changeRowsBounds")

    def _add_rows(self, program: Program, new: Flags, row: Ints, column_at: Ints, known: Flags) -> None:
        """New rows with the entries of columns that are there already; `new` and `known` are flags."""
        if not new.any():
            return
        entries = np.flatnonzero(new[row] & known[program.matrix.index])
        low, high = program.row_lower[new], program.row_upper[new]
        start = np.searchsorted(row[entries], np.flatnonzero(new)).astype(np.int32)
        index, value = column_at[program.matrix.index[entries]], program.matrix.value[entries]
        _ok(self._highs.addRows(low.size, low, high, index.size, start, *_never_empty(index, value)), "addRows")
        self._row_lower = np.concatenate([self._row_lower, low])
        self._row_upper = np.concatenate([self._row_upper, high])

    def _add_columns(self, program: Program, new: Flags, row: Ints, row_at: Ints) -> None:
        """New columns with all of their entries."""
        if not new.any():
            return
        entries = np.flatnonzero(new[program.matrix.index])
        entries = entries[np.argsort(program.matrix.index[entries], kind="stable")]
        cost, low, high = program.cost[new], program.lower[new], program.upper[new]
        start = np.searchsorted(program.matrix.index[entries], np.flatnonzero(new)).astype(np.int32)
        index, value = row_at[row[entries]], program.matrix.value[entries]
        status = self._highs.addCols(cost.size, cost, low, high, index.size, start, *_never_empty(index, value))
        _ok(status, "addCols")
        self._cost = np.concatenate([self._cost, cost])
        self._lower, self._upper = np.concatenate([self._lower, low]), np.concatenate([self._upper, high])


def _equal(one: Ints, other: Ints) -> bool:
    return one is other or np.array_equal(one, other)


def _places(known: Ints, wanted: Ints) -> Ints:
    """Where each wanted label is among the known ones, -1 where it is not."""
    order = np.argsort(known, kind="stable")
    at = np.minimum(np.searchsorted(known, wanted, sorter=order), known.size - 1)
    found = order[at]
    places: Ints = np.where(known[found] == wanted, found, -1)
    return places


def _marks(places: Ints, size: int) -> Flags:
    """Which of `size` things some place names."""
    marked = np.zeros(size, dtype=np.bool_)
    marked[places[places >= 0]] = True
    return marked


def _rows(matrix: Matrix) -> Ints:
    """The row of each non-zero."""
    return np.repeat(np.arange(matrix.rows), np.diff(matrix.start))


def _pairs(matrix: Matrix, row_at: Ints, column_at: Ints) -> Ints:
    """One number for row and column of each non-zero, where they are in HiGHS."""
    pairs: Ints = np.repeat(row_at, np.diff(matrix.start)) * PAIR + column_at[matrix.index]
    return pairs


def _difference(before: Ints, old: Floats, after: Ints, new: Floats) -> tuple[Ints, Floats]:
    """Which entries to set, and to what: those that changed or are new, and 0 for those that are gone."""
    if np.array_equal(before, after):
        changed = old != new
        return after[changed], new[changed]
    order = np.argsort(before, kind="stable")
    before, old = before[order], old[order]
    if not before.size:
        return after, new
    at = np.minimum(np.searchsorted(before, after), before.size - 1)
    changed = (before[at] != after) | (old[at] != new)
    gone = before[~np.isin(before, after)]
    return np.concatenate([after[changed], gone]), np.concatenate([new[changed], np.zeros(gone.size)])


def _never_empty(index: Ints, value: Floats) -> tuple[Ints, Floats]:
    """HiGHS reads the address of an empty array's first entry."""
    if index.size:
        return index.astype(np.int32), value
    return np.zeros(1, dtype=np.int32), np.zeros(1)


def _ok(status: Any, call: str, *, warn: bool = False) -> None:
    if status != highspy.HighsStatus.kOk and not (warn and status == highspy.HighsStatus.kWarning):
        raise SolverError(f"HiGHS refused {call}: {status.name}")
