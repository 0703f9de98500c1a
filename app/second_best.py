"""What is planned when no optimum can be had: the plan in force goes on, or everybody gets an equal share.

Pure. Both go through the independent checker before anybody sees them; what it does not pass is not chosen.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from app.db.records import Json, Plan
from optimizer.baseline import as_planned
from optimizer.check import violations
from optimizer.domain import Problem, Schedule
from optimizer.errors import InvalidProblemError, SolverError
from optimizer.optimise import optimise

Basis = Literal["optimised", "last_plan", "rule_based"]
WORSE_KWH = 1.0  # the plan in force goes on as long as it leaves no more than this unmet beside an equal share


@dataclass(frozen=True, slots=True)
class InForce:
    """The last plan that was not made by rules: which, and until when it says anything."""

    plan_id: str
    until: datetime


def in_force(last: Plan | None) -> InForce | None:
    """What of the newest plan may go on; None where that was made by rules, or there is none."""
    if last is None:
        return None
    said = last.provenance.get("basis", {})
    basis: Basis = said.get("basis", "rule_based" if last.status == "fallback" else "optimised")
    if basis == "optimised":
        return InForce(last.plan_id, last.end)
    if basis == "last_plan":
        return InForce(said["plan_id"], datetime.fromisoformat(said["until"]))
    return None


def by_rules(problem: Problem, why: str, baselines: Collection[str] = ()) -> Schedule:
    """An equal share of what the fuses have left, or nobody charges: checked. `why` there is no better plan."""

    return optimise(problem, baselines=list(baselines), solve=_Refusal(why))


@dataclass(frozen=True, slots=True)
class _Refusal:
    """In the solver's place where there is nothing to solve."""

    why: str

    def __call__(self, problem: Problem, *, solver: str = "highs") -> Schedule:
        raise SolverError(f"{self.why} ({solver} was not asked for {len(problem.sessions)} sessions)")


def second_best(problem: Problem, fallback: Schedule, last: Plan | None, now: datetime) -> tuple[Schedule, Json]:
    """The better of the plan in force and `fallback`, which goes by rules; and for the provenance which it is."""
    carried, known = None, in_force(last)
    if known is not None and now < known.until:
        carried = _carried_on(problem, fallback)
    if carried is None or known is None:
        return fallback, {"basis": {"basis": "rule_based", "reason": fallback.reason}}
    reason = f"the plan {known.plan_id} goes on, because there is no better one: {fallback.reason}"
    said = {"basis": "last_plan", "plan_id": known.plan_id, "until": known.until.isoformat(), "reason": reason}
    return replace(carried, reason=reason), {"basis": said}


def _carried_on(problem: Problem, fallback: Schedule) -> Schedule | None:
    """None where somebody came whom it does not know, where it would break a rule by now, or serves worse."""
    try:
        carried = as_planned(problem)
    except InvalidProblemError:
        return None
    found = violations(problem, carried)
    if found.caused or carried.unmet_kwh > fallback.unmet_kwh + WORSE_KWH:
        return None
    return replace(carried, violations=found.all, baselines=fallback.baselines, timing_ms=fallback.timing_ms)
