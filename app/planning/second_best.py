"""What is planned when no optimum can be had: the plan in force goes on, or everybody gets an equal share.

Pure. Both go through the independent checker before anybody sees them; what it does not pass is not chosen.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from app.db.records import Json, Plan
from optimizer.baseline import as_planned
from optimizer.check import violations
from optimizer.domain import Problem, Schedule
from optimizer.errors import InvalidProblemError, SolverError

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


def goes_on(problem: Problem, fallback: Schedule, last: Plan | None, now: datetime) -> Json:
    """For the plan's provenance: whether the plan in force goes on, or `fallback`, which goes by rules, is better."""
    known = in_force(last)
    if known is None or now >= known.until or _carried_on(problem, fallback) is None:
        return {"basis": {"basis": "rule_based", "reason": fallback.reason}}
    reason = f"the plan {known.plan_id} goes on, because there is no better one: {fallback.reason}"
    said = {"basis": "last_plan", "plan_id": known.plan_id, "until": known.until.isoformat(), "reason": reason}
    return {"basis": said}


def carried_on(problem: Problem, fallback: Schedule, reason: str) -> Schedule:
    """The plan in force, which the problem knows, for this reason. Raises `SolverError` where it cannot go on."""
    carried = _carried_on(problem, fallback)
    if carried is None:
        raise SolverError("the plan in force cannot go on")
    return replace(carried, reason=reason)


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
