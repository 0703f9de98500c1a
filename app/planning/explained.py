"""Reasons of a schedule within a bounded time, whatever the size of its site.

A remedy takes a dozen solves: they are sought for those who go shortest, until the time is used up, and on a very large
site only where EVSEs are named. The answer says for which.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.errors import InvalidInputError
from app.problem_json.reasons import ReasonsOut
from optimizer.domain import Problem, Schedule
from optimizer.errors import SolverError
from optimizer.explain import explain

MOST_NAMED = 20  # EVSEs in one question
AT_ONCE = 60  # sessions of a site on which remedies are sought for the ten largest wishes
UNASKED = 300  # sessions of a site beyond which remedies are sought only for EVSEs that are named
PATIENCE_S = 20.0  # after it no further remedy is begun


def reasons_of(
    problem: Problem, schedule: Schedule, evse_ids: Sequence[str] = (), *, patience_s: float = PATIENCE_S
) -> ReasonsOut:
    """The reasons for the EVSEs that are named, or for all; remedies as far as time allows.

    Raises `SolverError` where the duals cannot be had: a fallback that breaks a rule, or no time left.
    """
    check_evses(problem, evse_ids)
    asked = set(evse_ids) or {evse.evse_id for evse in problem.evses}
    sought: list[str] | None = [one.session_id for one in problem.sessions if one.evse_id in asked]
    if not evse_ids and len(problem.sessions) <= AT_ONCE:
        sought = None
    elif not evse_ids and len(problem.sessions) > UNASKED:
        sought = []
    whole = explain(problem, schedule, sought=sought, patience_s=patience_s)
    named = replace(
        whole,
        evses={evse_id: slots for evse_id, slots in whole.evses.items() if evse_id in asked},
        sessions={name: reason for name, reason in whole.sessions.items() if reason.evse_id in asked},
        unmet=tuple(wish for wish in whole.unmet if whole.sessions[wish.session_id].evse_id in asked),
    )
    return ReasonsOut.of(problem, named, not_sought={wish.session_id for wish in named.unmet} - set(whole.sought))


def reasons_or_warning(
    problem: Problem, schedule: Schedule, evse_ids: Sequence[str] = ()
) -> tuple[Schedule, ReasonsOut | None]:
    """A schedule without reasons is still a schedule: then its warnings say why there are none."""
    try:
        return schedule, reasons_of(problem, schedule, evse_ids)
    except SolverError as failure:
        return replace(schedule, warnings=(*schedule.warnings, f"no reasons: {failure}")), None


def check_evses(problem: Problem, evse_ids: Sequence[str]) -> None:
    """Raise `InvalidInputError` for an EVSE that the problem does not have, and for too many."""
    known = {evse.evse_id for evse in problem.evses}
    for evse_id in evse_ids:
        if evse_id not in known:
            raise InvalidInputError("evse", f"{evse_id!r} is no EVSE of the problem")
    if len(evse_ids) > MOST_NAMED:
        raise InvalidInputError("evse", f"{len(evse_ids)} are named, more than {MOST_NAMED}")
