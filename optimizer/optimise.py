"""The whole answer: solve, check, and fall back to something safe where that fails. Never empty-handed."""

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Protocol

from optimizer.baseline import equal_share, nothing_charges, summary, uncontrolled
from optimizer.check import violations
from optimizer.domain import Baseline, Problem, Schedule, Violation
from optimizer.errors import InvalidProblemError, SolverError
from optimizer.solve import solve as solve_program

NAMED = 3  # broken rules that a reason spells out


class Solve(Protocol):
    """`optimizer.solve.solve`, or something that stands in for it."""

    def __call__(self, problem: Problem, *, solver: str = "highs") -> Schedule: ...


def optimise(
    problem: Problem, *, solver: str = "highs", baselines: bool = True, solve: Solve = solve_program
) -> Schedule:
    """The best schedule that the independent checker accepts, with its baselines, violations and timing.

    Where the solver gives up, or gives something that breaks a rule, the answer is equal share with the status
    ``fallback`` and the reason; where even that breaks one, nobody charges. Violations that are left are unavoidable:
    they are there without any vehicle. Raises `InvalidProblemError` for a problem that contradicts itself.
    """
    began = perf_counter()
    schedule = _solved(problem, solver, solve)
    return replace(
        schedule,
        baselines=_baselines(problem) if baselines else {},
        timing_ms={**schedule.timing_ms, "total": (perf_counter() - began) * 1000},
    )


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


def _baselines(problem: Problem) -> Mapping[str, Baseline]:
    policies = {"uncontrolled": uncontrolled, "equal_share": equal_share}
    return {name: summary(problem, policy(problem)) for name, policy in policies.items()}


def _named(broken: tuple[Violation, ...]) -> str:
    more = len(broken) - NAMED
    return "; ".join(map(str, broken[:NAMED])) + (f" and {more} more" if more > 0 else "")
