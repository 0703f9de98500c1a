"""The doors to the solvers: HiGHS straight from the arrays, and PuLP for every solver that PuLP knows.

Both take a `Program` and give a proven `Solution`, or raise `SolverError`. Nothing here knows what a column means.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Protocol

import highspy
import numpy as np

from optimizer.arrays import Floats
from optimizer.errors import SolverError
from optimizer.program import Program

PRESOLVE_FROM_NONZEROS = 500_000  # below, presolve costs more than it saves (benchmarks/optimizer_solve.py)
THREADS = 1  # HiGHS fails when one process asks for two different numbers
ANY_NODES = 2**31 - 1  # what HiGHS calls no limit
DUAL_SIMPLEX, PRIMAL_SIMPLEX = 1, 4  # HiGHS' names for its strategies


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Values of the columns. `bound` is what no solution can undercut; `proven` says that `objective` reaches it."""

    x: Floats
    objective: float
    bound: float
    proven: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Duals:
    """What the last unit of each limit is worth: ``cost - rows @ matrix = columns`` at the optimum.

    A row that holds at its upper side has a dual of at most 0, at its lower side of at least 0; so do columns.
    """

    rows: Floats
    columns: Floats


class Door(Protocol):
    """Solves programs one after the other. Cold or warm is its own business; the same sequence gives the same bits."""

    def solve(
        self, program: Program, *, time_limit_s: float, absolute_gap: float = 0.0, feasible_start: bool = False
    ) -> Solution:
        """The optimum; with `integer` columns the best found in time. Raise `SolverError` when there is none.

        `feasible_start` says that the last solution keeps the bounds of this program: a hint, not a promise.
        """

    def mark(self) -> None:
        """Remember where the last solve ended."""

    def back(self) -> None:
        """Let the next solve start from where `mark` was called, if it is on the same matrix."""


def model_arguments(program: Program) -> tuple[Any, ...]:
    """The program as `passModel` takes it: rows in compressed form, 32-bit indices."""
    matrix = program.matrix
    integer = np.zeros(matrix.columns, dtype=np.int32)  # HiGHS reads past the end of an empty array
    if program.integer is not None:
        integer[program.integer] = 1
    return (
        matrix.columns,
        matrix.rows,
        matrix.value.size,
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMinimize),
        0.0,
        program.cost,
        program.lower,
        program.upper,
        program.row_lower,
        program.row_upper,
        matrix.start.astype(np.int32),
        matrix.index.astype(np.int32),
        matrix.value,
        integer,
    )


class HighsDoor:
    """HiGHS in this process. It keeps the last model: a program on the same matrix starts from the last basis."""

    def __init__(self) -> None:
        self._highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # its stub lacks calls that exist
        for name, value in (("output_flag", False), ("threads", THREADS), ("random_seed", 0)):
            self._check(self._highs.setOptionValue(name, value), name)
        self._last: Program | None = None
        self._marked: tuple[Program, Any] | None = None

    def mark(self) -> None:
        self._marked = None if self._last is None else (self._last, self._highs.getBasis())

    def back(self) -> None:
        """Solve what was marked again, in no step at all: that brings back more than a basis alone does."""
        if self._marked is None or self._last is None or self._last.matrix is not self._marked[0].matrix:
            return
        program, basis = self._marked
        self._change(self._last, program)
        self._check(self._highs.setBasis(basis), "setBasis")
        self._check(self._highs.run(), "run", warn=True)
        self._last = program

    def search(self, program: Program, *, time_limit_s: float, absolute_gap: float, nodes: int) -> Solution:
        """The best whole numbers found within a gap, in so many nodes: the same bits on every machine.

        Raise `SolverError` when nothing was found, or when time ran out before the nodes did.
        """
        refuse_nonsense(program)
        self._last = None
        self._pass(program)
        self._option("mip_max_nodes", nodes)
        solution = self._run(program, time_limit_s, absolute_gap)
        self._option("mip_max_nodes", ANY_NODES)
        if solution is None or self._highs.getModelStatus() == highspy.HighsModelStatus.kTimeLimit:
            raise SolverError("HiGHS searched too long, or in vain")
        return solution

    def solve(
        self, program: Program, *, time_limit_s: float, absolute_gap: float = 0.0, feasible_start: bool = False
    ) -> Solution:
        refuse_nonsense(program)
        last, self._last = self._last, None
        if last is not None and last.matrix is program.matrix and program.integer is None:
            self._change(last, program)
            self._option("simplex_strategy", PRIMAL_SIMPLEX if feasible_start else DUAL_SIMPLEX)
            if (solution := self._run(program, time_limit_s, absolute_gap)) is not None:
                return solution
        self._pass(program)  # the first time, or when a warm start has ended in numerical trouble
        if (solution := self._run(program, time_limit_s, absolute_gap)) is not None:
            return solution
        raise SolverError(f"HiGHS ended with {self._highs.modelStatusToString(self._highs.getModelStatus())!r}")

    def duals(self) -> Duals:
        """Of the last program that was solved, a linear one. Raise `SolverError` when there is none."""
        solution = self._highs.getSolution()
        if self._last is None or not solution.dual_valid:
            raise SolverError("no linear program has been solved: there are no duals")
        return Duals(rows=np.array(solution.row_dual, dtype=float), columns=np.array(solution.col_dual, dtype=float))

    def _run(self, program: Program, time_limit_s: float, absolute_gap: float) -> Solution | None:
        highs = self._highs
        self._option("time_limit", highs.getRunTime() + time_limit_s)  # its clock runs on from solve to solve
        self._option("mip_rel_gap", 0.0)
        self._option("mip_abs_gap", absolute_gap)
        self._check(highs.run(), "run", warn=True)
        solution = self._solution(program)
        if solution is not None and program.integer is None:
            self._last = program
        return solution

    def _pass(self, program: Program) -> None:
        matrix = program.matrix
        presolve = program.integer is not None or matrix.value.size > PRESOLVE_FROM_NONZEROS
        self._option("presolve", "on" if presolve else "off")
        self._option("simplex_strategy", DUAL_SIMPLEX)
        self._check(self._highs.passModel(*model_arguments(program)), "passModel")

    def _change(self, last: Program, program: Program) -> None:
        """Hand over the numbers that differ."""
        highs, matrix = self._highs, program.matrix
        rows, columns = np.arange(matrix.rows, dtype=np.int32), np.arange(matrix.columns, dtype=np.int32)
        moved = (last.lower != program.lower) | (last.upper != program.upper)
        shifted = (last.row_lower != program.row_lower) | (last.row_upper != program.row_upper)
        priced = last.cost != program.cost
        if moved.any():
            index = columns[moved]
            status = highs.changeColsBounds(index.size, index, program.lower[moved], program.upper[moved])
            self._check(status, "changeColsBounds")
        if shifted.any():
            index = rows[shifted]
            status = highs.changeRowsBounds(index.size, index, program.row_lower[shifted], program.row_upper[shifted])
            self._check(status, "changeRowsBounds")
        if priced.any():
            self._check(
                highs.changeColsCost(int(priced.sum()), columns[priced], program.cost[priced]), "changeColsCost"
            )

    def _solution(self, program: Program) -> Solution | None:
        highs = self._highs
        status = highs.getModelStatus()
        info = highs.getInfo()
        x = np.array(highs.getSolution().col_value, dtype=float)
        optimal = status == highspy.HighsModelStatus.kOptimal
        incumbent = (
            program.integer is not None
            and status in (highspy.HighsModelStatus.kTimeLimit, highspy.HighsModelStatus.kSolutionLimit)
            and info.primal_solution_status == highspy.kSolutionStatusFeasible
        )
        objective = float(info.objective_function_value)
        if not (optimal or incumbent) or x.size != program.matrix.columns or not np.isfinite(x).all():
            return None
        bound = objective if program.integer is None else float(info.mip_dual_bound)
        return Solution(x=x, objective=objective, bound=bound if isfinite(bound) else -inf, proven=optimal)

    def _option(self, name: str, value: Any) -> None:
        self._check(self._highs.setOptionValue(name, value), name)

    @staticmethod
    def _check(status: Any, call: str, *, warn: bool = False) -> None:
        """HiGHS reports errors as a value; a warning is tolerated only where a time-out is one."""
        if status == highspy.HighsStatus.kOk or (warn and status == highspy.HighsStatus.kWarning):
            return
        raise SolverError(f"HiGHS refused {call}: {status.name}")


class PulpDoor:
    """Any solver that PuLP knows, by its PuLP name. Every solve is cold, and a model of Python objects."""

    def __init__(self, name: str) -> None:
        self._name = name

    def mark(self) -> None:
        """Every solve is cold."""

    def back(self) -> None:
        """Every solve is cold."""

    def solve(
        self, program: Program, *, time_limit_s: float, absolute_gap: float = 0.0, feasible_start: bool = False
    ) -> Solution:
        del feasible_start  # there is no basis to start from
        import pulp  # only this door needs it, and it costs 0.1 s of start-up

        refuse_nonsense(program)
        solver = self._solver(pulp, time_limit_s, absolute_gap)
        problem, variables = self._model(pulp, program)
        try:
            problem.solve(solver)
        except pulp.PulpError as error:
            raise SolverError(f"PuLP's {self._name} failed: {error}") from error
        if problem.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
            raise SolverError(f"PuLP's {self._name} ended with {pulp.LpSolution[problem.sol_status]!r}")
        proven = problem.sol_status == pulp.LpSolutionOptimal
        if program.integer is None and not proven:
            raise SolverError(f"PuLP's {self._name} did not finish in {time_limit_s} s")
        x = np.array([variable.value() or 0.0 for variable in variables], dtype=float)
        if not np.isfinite(x).all():
            raise SolverError(f"PuLP's {self._name} returned values that are no numbers")
        objective = program.value(x)
        return Solution(x=x, objective=objective, bound=objective - absolute_gap if proven else -inf, proven=proven)

    def _solver(self, pulp: Any, time_limit_s: float, absolute_gap: float) -> Any:
        name = {"CBC": "COIN_CMD"}.get(self._name, self._name)
        if name not in pulp.listSolvers():
            raise SolverError(f"PuLP knows no solver {self._name!r}; it knows {', '.join(pulp.listSolvers())}")
        more = {"gapAbs": absolute_gap, "threads": THREADS} if name in ("COIN_CMD", "HiGHS") else {}
        solver = pulp.getSolver(name, msg=False, timeLimit=time_limit_s, **more)
        bundled = getattr(pulp.apis.coin_api, "pulp_cbc_path", None)  # until PuLP 4
        if name == "COIN_CMD" and not solver.available() and bundled:
            solver = pulp.COIN_CMD(msg=False, timeLimit=time_limit_s, path=bundled, **more)
        if not solver.available():
            raise SolverError(f"PuLP's solver {self._name!r} is not installed")
        return solver

    def _model(self, pulp: Any, program: Program) -> tuple[Any, list[Any]]:
        """PuLP takes infinite bounds as None only."""
        problem = pulp.LpProblem("smartcharge", pulp.LpMinimize)
        integer = program.integer if program.integer is not None else np.zeros(program.lower.size, dtype=np.bool_)
        variables = [
            problem.add_variable(f"x{number}", _finite(low), _finite(high), "Integer" if whole else "Continuous")
            for number, (low, high, whole) in enumerate(zip(program.lower, program.upper, integer, strict=True))
        ]
        problem += pulp.LpAffineExpression(
            [(variables[column], float(program.cost[column])) for column in np.flatnonzero(program.cost)]
        )
        matrix = program.matrix
        for row in range(matrix.rows):
            entries = slice(matrix.start[row], matrix.start[row + 1])
            low, high = program.row_lower[row], program.row_upper[row]
            if low == -inf and high == inf:
                continue
            terms = list(zip(matrix.index[entries], matrix.value[entries], strict=True))
            expression = pulp.LpAffineExpression([(variables[column], float(value)) for column, value in terms])
            if low == high:
                problem += (expression == float(low), f"r{row}")
                continue
            if high < inf:
                problem += (expression <= float(high), f"r{row}")
            if low > -inf:
                problem += (expression >= float(low), f"r{row}_low")
        return problem, variables


def door(solver: str) -> Door:
    """``"highs"``, or ``"pulp:NAME"`` for any solver that PuLP lists, such as ``"pulp:HiGHS"`` or ``"pulp:CBC"``."""
    if solver == "highs":
        return HighsDoor()
    if solver.startswith("pulp:"):
        return PulpDoor(solver.removeprefix("pulp:"))
    raise SolverError(f"{solver!r} is no solver: use 'highs', or 'pulp:NAME' with a name that PuLP knows")


def refuse_nonsense(program: Program) -> None:
    """Raise `SolverError` for what solvers accept silently: no numbers, or a lower bound above its upper one."""
    refuse_unpriced(program)
    for name in ("lower", "upper", "row_lower", "row_upper"):
        if np.isnan(getattr(program, name)).any():
            raise SolverError(f"{name} holds a NaN")
    if not np.isfinite(program.matrix.value).all():
        raise SolverError("a coefficient is not finite")
    if (program.lower > program.upper).any() or (program.row_lower > program.row_upper).any():
        raise SolverError("a lower bound lies above its upper bound")


def refuse_unpriced(program: Program) -> None:
    """Raise `SolverError` for a cost that is no finite number: all that can be wrong after a change of prices."""
    if np.isnan(program.cost).any():
        raise SolverError("cost holds a NaN")
    if not np.isfinite(program.cost).all():
        raise SolverError("a cost is not finite")


def _finite(bound: float) -> float | None:
    return float(bound) if isfinite(bound) else None
