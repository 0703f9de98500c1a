"""What a plan was made from and by: enough to make it again, bit by bit, and to see whether anything was changed.

The problem itself is in the plan. The decision adds how it was solved, which model and solver did it, and whether a
wall clock may have had a say: everything else that decides is in the arrays, so the same inputs give the same bits.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, Self

import optimizer
from app.planning.few_periods import told_in_few_periods
from app.planning.second_best import carried_on
from app.planning.solving import by_rules, solve
from app.problem_json import schedule_to_json
from optimizer.compress import compress
from optimizer.domain import Problem, Schedule

Json = dict[str, Any]
Cut = Literal["no", "perhaps", "yes"]

MAY_BE_CUT = 0.49  # of the time limit: no step of a solve is given less than half of what is left of it
CUT = 0.99
UNTIMED = ("timing_ms",)  # of a schedule's JSON: what is measured of a clock, and decides nothing
KEPT = "the time limit of "  # how the warning begins that names a file


@dataclass(frozen=True, slots=True)
class Told:
    """In how many periods stations hold their plans, up to when."""

    max_periods: Mapping[str, int]
    until: datetime
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a problem became a schedule. `by_rules`: it was not solved, for this reason.

    `goes_on`: the plan in force did, for this reason, for it is better than what rules make. `warnings` are those of
    its inputs.
    """

    solver: str = "highs"
    polish: bool = True
    baselines: tuple[str, ...] = ()
    by_rules: str | None = None
    goes_on: str | None = None
    told: Told | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> Json:
        document = asdict(self) | {"baselines": list(self.baselines), "warnings": list(self.warnings)}
        if self.told is not None:
            document["told"] = {
                "max_periods": dict(self.told.max_periods),
                "until": self.told.until.isoformat(),
                "took_s": self.told.took_s,
            }
        return document

    @classmethod
    def of_json(cls, document: Json) -> Self:
        told = document["told"]
        return cls(
            solver=document["solver"],
            polish=document["polish"],
            baselines=tuple(document["baselines"]),
            by_rules=document["by_rules"],
            goes_on=document["goes_on"],
            told=None
            if told is None
            else Told(told["max_periods"], datetime.fromisoformat(told["until"]), told["took_s"]),
            warnings=tuple(document["warnings"]),
        )


def decision(problem: Json, schedule: Json, recipe: Recipe, *, time_limit_s: float, basis: str = "cold") -> Json:
    """The record of a plan, from its problem and schedule as JSON. `basis` is what the solver began with."""
    steps_s = (float(schedule["timing_ms"].get("total", 0.0)) / 1000, recipe.told.took_s if recipe.told else 0.0)
    return {
        "format": 1,
        "problem_sha256": digest(problem),
        "schedule_sha256": digest(decided(schedule)),
        "recipe": recipe.to_json(),
        "made_by": made_by(),
        "basis": basis,
        "time": {"limit_s": time_limit_s, "took_s": sum(steps_s), "cut": was_cut(max(steps_s), time_limit_s)},
    }


def was_cut(took_s: float, time_limit_s: float) -> Cut:
    """Whether the wall clock decided: "perhaps" where it was so late that one step may have been ended by it."""
    if took_s >= CUT * time_limit_s:
        return "yes"
    return "perhaps" if took_s >= MAY_BE_CUT * time_limit_s else "no"


def remake(problem: Problem, recipe: Recipe) -> Schedule:
    """The schedule again, in this process. Raises as `solve` and `compress`; nothing is kept or sent."""
    if recipe.by_rules is not None:
        schedule = by_rules(problem, recipe.by_rules, baselines=recipe.baselines)
    else:
        schedule = solve(problem, solver=recipe.solver, baselines=recipe.baselines, polish=recipe.polish).schedule
    if recipe.goes_on is not None:
        schedule = carried_on(problem, schedule, recipe.goes_on)
    if recipe.told is not None:
        told = recipe.told
        compression = compress(problem, schedule, told.max_periods, until=told.until, solver=recipe.solver)
        schedule, _ = told_in_few_periods(compression, told.max_periods, told.until)
    return schedule


def decided(schedule: Json) -> Json:
    """What of a schedule's JSON was decided: without what was measured of the clock, and without names of files."""
    kept = {name: value for name, value in schedule.items() if name not in UNTIMED}
    return kept | {"warnings": [text for text in schedule["warnings"] if not text.startswith(KEPT)]}


def decided_of(schedule: Schedule, recipe: Recipe) -> Json:
    """The same of a schedule that was made again."""
    document = schedule_to_json(schedule)
    return decided(document | {"warnings": [*recipe.warnings, *document["warnings"]]})


def digest(document: Json) -> str:
    """SHA-256 of the JSON, whatever the order of its keys; floats as they are, to the last bit."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def made_by() -> Json:
    """The program, its model, the solvers and the machine. The model is named by what its source says."""
    return {
        "smartcharge": _version("smartcharge"),
        "model": _model(),
        "highspy": _version("highspy"),
        "pulp": _version("pulp"),
        "numpy": _version("numpy"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _model() -> str:
    folder = Path(str(optimizer.__file__)).parent
    text = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        text.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return text.hexdigest()[:16]
