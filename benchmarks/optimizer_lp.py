"""The canonical LP: our path against the bare HiGHS call on the same arrays, PuLP, linopy, and our whole answer.

    python benchmarks/optimizer_lp.py [S M L XL XXL] [--repeat 5]

The sites of `canonical`, seeded. Each path ends with the values of all columns in an array:

* bare: `passModel` on the finished arrays, run, extract; presolve as ours
* ours: from `Problem` to values: arrays, assembly, solve, extract
* PuLP + HiGHS, PuLP + CBC: the model from the same arrays as PuLP objects, solve, extract
* linopy: the same arrays as labelled blocks, HiGHS in memory; in an environment of its own (`make bench-peers`)

and `whole`: everything that a plan is but its explanation: service, money, preference, repair, bound, check, and two
baselines. Peers' optima are held to ours by 1e-6. At XXL only bare, ours and linopy; `optimizer_scale` does the rest.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import highspy
import numpy as np

from benchmarks import neighbours
from benchmarks.canonical import SIZES, canonical
from benchmarks.report import Report, arguments, interleaved, shown, timed
from optimizer.constraints import ALL
from optimizer.domain import Problem
from optimizer.doors import PRESOLVE_FROM_NONZEROS, door, model_arguments
from optimizer.errors import SolverError
from optimizer.objectives import money, unmet_price
from optimizer.optimise import optimise
from optimizer.program import Program, Site, Variables, assemble
from optimizer.service import missed

PEERS = ("PuLP+HiGHS", "PuLP+CBC")
TIME_LIMIT_S = 300.0
BUDGET_S = 20.0  # a peer that takes longer in all is measured less often, but at least twice
SAME = 1e-6


def money_program(problem: Problem) -> Program:
    """What every plan solves first: money, with unmet energy at a price that nothing else can cost."""
    arrays = Site.of(problem)
    variables = Variables.of(arrays)
    cost = money(arrays, variables)
    cost[missed(arrays, variables)] = unmet_price(arrays)
    return assemble(arrays, variables, ALL, cost)


def ours(problem: Problem) -> float:
    return door("highs").solve(money_program(problem), time_limit_s=TIME_LIMIT_S).objective


def bare(program: Program) -> float:
    """No check, no name: what cannot be undercut with this solver."""
    highs = silent_highs(threads=1, presolve=presolve(program))
    highs.passModel(*model_arguments(program))
    highs.run()
    return float(program.cost @ np.array(highs.getSolution().col_value))


def silent_highs(**options: Any) -> Any:
    """A new HiGHS with these options."""
    highs = highspy.Highs()  # type: ignore[no-untyped-call]  # its stub lacks calls that exist
    for option, value in {"output_flag": False, **options}.items():
        highs.setOptionValue(option, value)
    return highs


def presolve(program: Program) -> str:
    return "on" if program.matrix.value.size > PRESOLVE_FROM_NONZEROS else "off"


def by_pulp(solver: str, program: Program) -> float:
    return door(f"pulp:{solver}").solve(program, time_limit_s=TIME_LIMIT_S).objective


def by_linopy(program: Program, repeat: int) -> tuple[float, float]:
    """Median ms and objective. Raises `PeerError`."""
    names = [rule for rule, *_ in program.blocks]
    spans = [[(first, end) for rule, _, first, end in program.blocks if rule == name] for name in dict.fromkeys(names)]
    rules = [(min(span)[0], max(span)[1]) for span in spans if min(span)[0] < max(span)[1]]  # one rule, one constraint
    with TemporaryDirectory() as directory:
        path = Path(directory) / "program.npz"
        np.savez(
            path,
            start=program.matrix.start,
            index=program.matrix.index,
            value=program.matrix.value,
            cost=program.cost,
            lower=program.lower,
            upper=program.upper,
            row_lower=program.row_lower,
            row_upper=program.row_upper,
            block_first=np.array([first for first, _ in rules]),
            block_end=np.array([end for _, end in rules]),
            presolve=np.array(presolve(program)),
        )
        said = neighbours.run("linopy", "linopy_lp.py", str(path), str(repeat))
    return said["ms"], said["objective"]


def bounded(repeat: int, once_ms: float) -> int:
    """How often something may run that takes so long."""
    return max(1, min(repeat, int(BUDGET_S * 1000 / once_ms)))


def peer(report: Report, name: str, measure: str, work: Callable[[], tuple[float, float]], optimum: float) -> None:
    """Add what a peer took, or why there is no figure."""
    try:
        took_ms, found = work()
    except (SolverError, neighbours.PeerError) as error:
        report.add(name, measure, None, "ms", str(error))
        return
    assert abs(found - optimum) <= SAME * max(1, abs(optimum)), f"{measure} found {found}, ours is {optimum}"
    report.add(name, measure, took_ms, "ms")


def measure(report: Report, name: str, repeat: int) -> None:
    """All figures of one size."""
    problem = canonical(SIZES[name])
    program = money_program(problem)
    once_ms, optimum = timed(1, lambda: bare(program), warm=False)
    found = ours(problem)
    assert abs(found - optimum) <= SAME * max(1, abs(optimum)), f"{found} is not {optimum}"
    times = bounded(repeat, 2 * once_ms)
    bare_ms, ours_ms = interleaved(times, (lambda: bare(program), lambda: ours(problem)))
    for key, value in (
        ("sessions", len(problem.sessions)),
        ("columns", program.lower.size),
        ("rows", program.matrix.rows),
        ("non-zeros", program.matrix.value.size),
    ):
        report.add(name, key, float(value), "")
    report.add(name, "bare", bare_ms, "ms")
    report.add(name, "ours", ours_ms, "ms")
    if name != "XXL":
        whole_ms, _ = timed(bounded(times, 4 * ours_ms), lambda: optimise(problem))
        report.add(name, "whole", whole_ms, "ms")
        for measured in PEERS:
            solver = measured.removeprefix("PuLP+")
            once = bounded(times, 8 * ours_ms)
            peer(report, name, measured, partial(timed, once, partial(by_pulp, solver, program), warm=False), optimum)
    peer(report, name, "linopy", lambda: by_linopy(program, bounded(times, 3 * ours_ms)), optimum)
    report.ratio(name, "ours / bare", "ours", "bare")
    report.ratio(name, "whole / bare", "whole", "bare")
    for measured in (*PEERS, "linopy"):
        report.ratio(name, f"{measured} / ours", measured, "ours")


def main() -> None:
    """Measure and print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["S", "M", "L", "XL"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--repeat", type=int, default=5)
    options, report = arguments(parser, "optimizer_lp")
    columns = ("bare", "ours", "whole", *PEERS, "linopy")
    ratios = ("ours / bare", "whole / bare", *(f"{one} / ours" for one in (*PEERS, "linopy")))
    print(
        "size sessions columns   rows nonzeros |"
        + " ".join(f"{one:>10}" for one in columns)
        + "  ms | "
        + ", ".join(ratios)
    )
    for name in options.sizes:
        measure(report, name, options.repeat)
        sizes = [int(report.value(name, key) or 0) for key in ("sessions", "columns", "rows", "non-zeros")]
        print(
            f"{name:4} {sizes[0]:8} {sizes[1]:7} {sizes[2]:6} {sizes[3]:8} |"
            + " ".join(f"{shown(report.value(name, one)):>10}" for one in columns)
            + "     | "
            + ", ".join(shown(report.value(name, one), "×") for one in ratios),
            flush=True,
        )
    for figure in report.figures:
        if figure.note:
            print(f"{figure.case} {figure.measure}: {figure.note}")


if __name__ == "__main__":
    main()
