"""The linear program alone: our path against the bare HiGHS call on the same arrays, and against PuLP.

    python benchmarks/optimizer_peers.py [S M L XL] [--repeat 5]

The sites of `optimizer_solve`, seeded. Every path ends with the values of all columns in an array:

* ours: from `Problem` to values: arrays, assembly, solve, extract
* HiGHS: `passModel` on the same, finished arrays, run, extract; presolve as ours
* PuLP + HiGHS, PuLP + CBC: the model from the same arrays as PuLP objects, solve, extract

Each peer's optimum is held to ours by 1e-6. Prints medians in milliseconds, and ratios to the bare HiGHS call.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import highspy
import numpy as np
from optimizer_solve import SIZES, site

from optimizer.constraints import ALL
from optimizer.domain import Problem
from optimizer.doors import PRESOLVE_FROM_NONZEROS, door
from optimizer.errors import SolverError
from optimizer.objectives import money, unmet_price
from optimizer.program import Program, Site, Variables, assemble
from optimizer.service import missed

PULP_REPEATS = 5  # seconds each at XL
TIME_LIMIT_S = 300.0


def money_program(problem: Problem) -> Program:
    """What every plan solves first: money, with unmet energy at a price that nothing else can cost."""
    arrays = Site.of(problem)
    variables = Variables.of(arrays)
    cost = money(arrays, variables)
    cost[missed(arrays, variables)] = unmet_price(arrays)
    return assemble(arrays, variables, ALL, cost)


def ours(problem: Problem) -> float:
    return door("highs").solve(money_program(problem), time_limit_s=TIME_LIMIT_S).objective


def solved(program: Program) -> float:
    """Our door without the assembly."""
    return door("highs").solve(program, time_limit_s=TIME_LIMIT_S).objective


def bare(program: Program) -> float:
    """No check, no name: what cannot be undercut with this solver."""
    matrix, highs = program.matrix, highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("presolve", "on" if matrix.value.size > PRESOLVE_FROM_NONZEROS else "off")
    highs.passModel(
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
        np.zeros(matrix.columns, dtype=np.int32),
    )
    highs.run()
    x = np.array(highs.getSolution().col_value)
    return float(program.cost @ x)


def by_pulp(solver: str, program: Program) -> float:
    return door(f"pulp:{solver}").solve(program, time_limit_s=TIME_LIMIT_S).objective


def timed(repeat: int, work: Callable[..., float], *given: object) -> tuple[float, float]:
    """Median in ms, and the objective. One run before, so that imports and caches are warm."""
    value = work(*given)
    took_ms = []
    for _ in range(repeat):
        started = perf_counter()
        value = work(*given)
        took_ms.append((perf_counter() - started) * 1000)
    return median(took_ms), value


def main() -> None:
    """Measure and print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["S", "M", "L", "XL"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    print(
        "size columns   rows nonzeros |  HiGHS    ours  (solve)   PuLP+HiGHS   PuLP+CBC  ms |"
        " against HiGHS: ours, PuLP+HiGHS, PuLP+CBC | CBC/ours"
    )
    for name in options.sizes:
        problem = site(SIZES[name])
        program = money_program(problem)
        bare_ms, optimum = timed(options.repeat, bare, program)
        ours_ms, found = timed(options.repeat, ours, problem)
        solve_ms, _ = timed(options.repeat, solved, program)
        assert abs(found - optimum) <= 1e-6 * max(1, abs(optimum))
        peers = {}
        for solver in ("HiGHS", "CBC"):
            try:
                peers[solver], value = timed(PULP_REPEATS, by_pulp, solver, program)
                assert abs(value - optimum) <= 1e-6 * max(1, abs(optimum)), solver
            except SolverError as error:
                print(f"PuLP+{solver}: {error}")
                peers[solver] = float("nan")
        ratios = " ".join(f"{one / bare_ms:5.2f}x" for one in (ours_ms, *peers.values()))
        print(
            f"{name:4} {program.lower.size:7} {program.matrix.rows:6} {program.matrix.value.size:8} | {bare_ms:6.1f}"
            f" {ours_ms:7.1f} {solve_ms:8.1f} {peers['HiGHS']:12.1f} {peers['CBC']:10.1f}     | {ratios}"
            f" | {peers['CBC'] / ours_ms:5.2f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
