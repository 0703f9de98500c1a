"""One solve as the service wants it: baselines by name, perfect foresight beside them, time-outs kept.

Top-level functions and plain values only, so that an executor of processes can take them along.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import structlog

from app.planning.timed_out import TimedOut
from optimizer.baseline import summary
from optimizer.domain import Problem, Schedule
from optimizer.errors import InvalidProblemError, SolverError
from optimizer.foresight import perfect_foresight
from optimizer.optimise import DEFAULT_BASELINES, optimise
from optimizer.solve import solve as solve_program

log = structlog.get_logger()

BaselineName = Literal[
    "uncontrolled", "equal_share", "earliest_deadline_first", "least_laxity_first", "perfect_foresight"
]
BASELINE_NAMES: tuple[BaselineName, ...] = get_args(BaselineName)
DEFAULTS: tuple[BaselineName, ...] = tuple(name for name in BASELINE_NAMES if name in DEFAULT_BASELINES)
AT_LEISURE_S = 60.0  # for a problem that is solved again
FORESIGHT = "perfect_foresight"
BASELINES_DESCRIPTION = (
    "What the answer is compared with. `uncontrolled`: full power on arrival, whatever the fuses say. `equal_share`: "
    "inside every limit, the same current for all. `earliest_deadline_first`, `least_laxity_first`: inside every "
    "limit, who leaves first, or has least time to spare, goes first. In these batteries do nothing. "
    "`perfect_foresight`: the best plan, had it been certain that load and PV come as expected; it solves once more."
)


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a problem goes that uses up its time limit, and what its file is called."""

    timed_out: TimedOut
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Solved:
    """The answer; whether its problem used up its time limit, and the file that holds it then."""

    schedule: Schedule
    used_up: bool = False
    kept: Path | None = None


def solve(
    problem: Problem,
    *,
    solver: str = "highs",
    baselines: Collection[str] = DEFAULTS,
    keeping: Keeping | None = None,
    polish: bool = True,
) -> Solved:
    """`optimise` with the baselines that are named; a time-out's warning says which file holds the problem.

    Without `polish` the answer comes sooner: for a plan that is made anew within the hour anyway.

    Raises `InvalidProblemError` for a baseline that nobody knows, or that this problem cannot have.
    """
    check_baselines(problem, baselines)
    used_up, kept = False, None

    def keep(hard: Problem) -> None:
        nonlocal used_up, kept
        used_up = True
        if keeping is not None:
            kept = keeping.timed_out.keep(hard, name=keeping.name, at=keeping.at)

    schedule = optimise(
        problem,
        solver=solver,
        baselines=[name for name in baselines if name != FORESIGHT],
        solve=partial(solve_program, polish=polish),
        on_timeout=keep,
    )
    if FORESIGHT in baselines:
        schedule = _beside_foresight(problem, schedule, solver)
    if kept is not None:
        schedule = with_warning(schedule, timed_out_text(problem, kept))
    return Solved(schedule, used_up, kept)


def by_rules(problem: Problem, reason: str, *, baselines: Collection[str] = DEFAULTS) -> Schedule:
    """Without any solver: an equal share of what the fuses leave, and in the answer the reason why."""

    def refuse(problem: Problem, *, solver: str = "highs") -> Schedule:
        del problem, solver
        raise SolverError(reason)

    return optimise(problem, baselines=[name for name in baselines if name != FORESIGHT], solve=refuse)


def log_kept(problem: Problem, solved: Solved) -> None:
    """Name the file of a problem that used up its time limit, in the process that keeps the log."""
    if solved.kept is not None:
        log.warning("time limit used up", limit_s=problem.settings.time_limit_s, file=str(solved.kept))


def timed_out_text(problem: Problem, file: Path) -> str:
    """What a warning says, with a command that takes more time."""
    limit_s = problem.settings.time_limit_s
    again = f"smartcharge plan {file} --time-limit {max(10 * limit_s, AT_LEISURE_S):g}"
    return f"the time limit of {limit_s:g} s was used up: {again} solves the problem again"


def with_warning(schedule: Schedule, text: str) -> Schedule:
    return replace(schedule, warnings=(*schedule.warnings, text))


def check_baselines(problem: Problem, baselines: Collection[str]) -> None:
    """Raise `InvalidProblemError` for the first that cannot be had."""
    for name in baselines:
        if name not in BASELINE_NAMES:
            raise InvalidProblemError("baselines", f"{name!r} is none of {', '.join(BASELINE_NAMES)}")
    unsure = next((one for one in problem.sessions if one.scenarios or one.probability < 1), None)
    if FORESIGHT in baselines and unsure is not None:
        raise InvalidProblemError(
            "baselines", f"{FORESIGHT!r} has to know who comes: sessions[{unsure.session_id}] is a belief"
        )


def certain(problem: Problem) -> Problem:
    """The same problem without doubt: base load and PV come exactly as expected, so that nothing is kept free."""
    return replace(
        problem,
        base_load_high_kw=problem.base_load_kw,
        base_load_low_kw=problem.base_load_kw,
        pv_low_kw=problem.pv_kw,
        pv_high_kw=problem.pv_kw,
    )


def _beside_foresight(problem: Problem, schedule: Schedule, solver: str) -> Schedule:
    best = perfect_foresight(certain(problem), solver=solver)
    if best.status == "fallback":
        return with_warning(schedule, f"no baseline {FORESIGHT}: {best.reason}")
    return replace(schedule, baselines={**schedule.baselines, FORESIGHT: summary(problem, best)})
