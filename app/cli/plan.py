"""`smartcharge plan`: one problem file in, one schedule out, with the comparison and, on request, the reasons."""

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from app.clock import SystemClock
from app.errors import InvalidInputError
from app.planning.explained import check_evses, reasons_or_warning
from app.planning.plan_words import comparison, reasons_in_words, summary
from app.planning.solving import DEFAULTS, Keeping, check_baselines, solve, timed_out_text, with_warning
from app.planning.timed_out import OF_REQUESTS, TimedOut
from app.problem_file import STANDARD_INPUT, name_of, read_problem
from app.problem_json import ScheduleOut
from app.problem_json.reasons import AnswerOut, ReasonsOut
from optimizer.domain import Problem, Schedule
from optimizer.errors import InvalidProblemError


def plan_file(
    file: Path,
    *,
    output: Path | None,
    solver: str,
    explain: bool,
    evse_ids: Sequence[str],
    baselines: Collection[str],
    time_limit_s: float | None,
    as_json: bool,
    data_dir: Path,
) -> bool:
    """Solve, print and say whether it is a plan that the checker passes. Errors name the file."""
    problem = read_problem(file)
    if time_limit_s is not None:
        problem = replace(problem, settings=replace(problem.settings, time_limit_s=time_limit_s))
    explain = explain or bool(evse_ids)
    check_evses(problem, evse_ids)
    check_baselines(problem, baselines or DEFAULTS)
    schedule = _solved(problem, file, solver, baselines or DEFAULTS, data_dir)
    schedule, reasons = reasons_or_warning(problem, schedule, evse_ids) if explain else (schedule, None)
    out, said = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    if output is not None:
        output.write_text(_document(schedule, reasons) + "\n", "utf-8")
        said.print(f"Schedule written to {output}.", highlight=False, markup=False)
    if as_json or (output is None and not explain):
        sys.stdout.write(_document(schedule, reasons) + "\n")
    elif reasons is not None:
        for part in reasons_in_words(problem, reasons):
            out.print(part, highlight=False, markup=False)
    said.print(comparison(schedule), highlight=False)
    for warning in schedule.warnings:
        said.print(f"Warning: {warning}", highlight=False, markup=False)
    said.print(summary(schedule), highlight=False, markup=False)
    return schedule.status != "fallback" and all(violation.unavoidable for violation in schedule.violations)


def _solved(problem: Problem, file: Path, solver: str, baselines: Collection[str], data_dir: Path) -> Schedule:
    """A problem from standard input is kept when it uses up its time limit; a file is there already."""
    is_file = file != STANDARD_INPUT
    keeping = None if is_file else Keeping(TimedOut(data_dir / OF_REQUESTS), "plan", SystemClock().now())
    try:
        solved = solve(problem, solver=solver, baselines=baselines, keeping=keeping)
    except InvalidProblemError as refused:  # what only arrays show, e.g. two stays at one EVSE
        raise InvalidInputError(name_of(file), str(refused)) from refused
    if is_file and solved.used_up:
        return with_warning(solved.schedule, timed_out_text(problem, file))
    return solved.schedule


def _document(schedule: Schedule, reasons: ReasonsOut | None) -> str:
    written = ScheduleOut.of(schedule)
    answer = written if reasons is None else AnswerOut.answer(written, reasons)
    return json.dumps(answer.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
