"""The whole answer: solve, check, and fall back to something safe where that fails. Never empty-handed."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Protocol

from optimizer.baseline import (
    earliest_deadline_first,
    equal_share,
    least_laxity_first,
    nothing_charges,
    summary,
    uncontrolled,
)
from optimizer.check import violations
from optimizer.domain import Problem, Schedule, Violation
from optimizer.errors import InvalidProblemError, SolverError
from optimizer.ranges import refuse_beyond_any_site
from optimizer.solve import solve as solve_program

NAMED = 3  # broken rules that a reason spells out
USED_UP = 0.99  # of the time limit: solvers stop a little before it, and the rest is too short for another try

BASELINES: Mapping[str, Callable[[Problem], Schedule]] = {
    "uncontrolled": uncontrolled,
    "equal_share": equal_share,
    "earliest_deadline_first": earliest_deadline_first,
    "least_laxity_first": least_laxity_first,
}
DEFAULT_BASELINES = ("uncontrolled", "equal_share")


class Solve(Protocol):
    """`optimizer.solve.solve`, or something that stands in for it."""

    def __call__(self, problem: Problem, *, solver: str = "highs") -> Schedule: ...


def optimise(
    problem: Problem,
    *,
    solver: str = "highs",
    baselines: bool | Collection[str] = True,
    solve: Solve = solve_program,
    on_timeout: Callable[[Problem], None] | None = None,
) -> Schedule:
    """The best schedule that the independent checker accepts, with its baselines, violations and timing.

    Where the solver gives up, or gives something that breaks a rule, the answer is equal share with the status
    ``fallback`` and the reason; where even that breaks one, nobody charges. Violations that are left are unavoidable:
    they are there without any vehicle. `baselines` names some of `BASELINES`; True is `DEFAULT_BASELINES`.
    `on_timeout` gets a problem that used up its time limit, with or without an answer, so that it can be kept and
    solved again at leisure. Raises `InvalidProblemError` for a problem that contradicts itself or is beyond any site.
    """
    refuse_beyond_any_site(problem)
    compared = _chosen(baselines)
    began = perf_counter()
    schedule = _solved(problem, solver, solve)
    if on_timeout is not None and perf_counter() - began >= USED_UP * problem.settings.time_limit_s:
        schedule = _handed_on(problem, schedule, on_timeout)
    return replace(
        schedule,
        baselines={name: summary(problem, BASELINES[name](problem)) for name in compared},
        timing_ms={**schedule.timing_ms, "total": (perf_counter() - began) * 1000},
    )


def _chosen(baselines: bool | Collection[str]) -> Collection[str]:
    if isinstance(baselines, bool):
        return DEFAULT_BASELINES if baselines else ()
    for name in baselines:
        if name not in BASELINES:
            raise InvalidProblemError("baselines", f"{name!r} is none of {', '.join(BASELINES)}")
    return baselines


def _handed_on(problem: Problem, schedule: Schedule, on_timeout: Callable[[Problem], None]) -> Schedule:
    """Whatever becomes of the record, the plan stands."""
    try:
        on_timeout(problem)
    except Exception as failure:  # a full disk is no reason to leave vehicles without a plan
        lost = f"the problem that used up its time limit could not be kept: {type(failure).__name__}: {failure}"
        return replace(schedule, warnings=(*schedule.warnings, lost))
    return schedule


def _solved(problem: Problem, solver: str, solve: Solve) -> Schedule:
    try:
        schedule = solve(problem, solver=solver)
    except InvalidProblemError:
        raise  # nothing can be planned, not even equally
    except SolverError as failure:
        return _fallback(problem, f"the solver gave no answer: {failure}", {})
    except Exception as bug:  # whatever it was: vehicles still want to charge, and the reason is in the answer
        return _fallback(problem, f"the solver failed with {type(bug).__name__}: {bug}", {})
    began = perf_counter()
    found = violations(problem, schedule)
    timing_ms = {**schedule.timing_ms, "check": (perf_counter() - began) * 1000}
    if found.caused:
        return _fallback(problem, f"the solver's answer breaks {_named(found.caused)}", timing_ms)
    return replace(schedule, violations=found.unavoidable, timing_ms=timing_ms)


def _fallback(problem: Problem, reason: str, timing_ms: Mapping[str, float]) -> Schedule:
    began = perf_counter()
    schedule, policy = equal_share(problem), "equal share"
    found = violations(problem, schedule)
    if found.caused:
        reason = f"{reason}; equal share breaks {_named(found.caused)}"
        schedule, policy = nothing_charges(problem), "nobody charges"
        found = violations(problem, schedule)
    return replace(
        schedule,
        status="fallback",
        gap=None,
        reason=f"{policy}, because {reason}",
        violations=found.all,
        timing_ms={**timing_ms, "fallback": (perf_counter() - began) * 1000},
    )


def _named(broken: tuple[Violation, ...]) -> str:
    more = len(broken) - NAMED
    return "; ".join(map(str, broken[:NAMED])) + (f" and {more} more" if more > 0 else "")
