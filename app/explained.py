"""Reasons of a schedule within a bounded time, whatever the size of its site.

`optimizer.explain` solves a few dozen programs for each wish that was not met: seconds for a site of 50 EVSEs, minutes
for one of 1,000. A large site with unmet wishes is therefore asked EVSE by EVSE, the shortest vehicle first, until the
time is used up; the answer says how many it left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from app.errors import InvalidInputError
from app.problem_json.reasons import ReasonsOut
from optimizer.domain import Problem, Schedule
from optimizer.errors import SolverError
from optimizer.explain import MOST_REPAIRED, UNMET_WISH_KWH, Explanation, explain

MOST_NAMED = 20  # EVSEs in one question
AT_ONCE = 60  # sessions of a site that is explained whole although wishes are unmet: 54 took 4 s on one core
PATIENCE_S = 20.0  # after it no further EVSE is begun


def reasons_of(
    problem: Problem, schedule: Schedule, evse_ids: Sequence[str] = (), *, patience_s: float = PATIENCE_S
) -> ReasonsOut:
    """The reasons for the EVSEs that are named, or for all. Name each in turn to learn all about a large site.

    Raises `SolverError` where the duals cannot be had: a fallback that breaks a rule, or no time left.
    """
    check_evses(problem, evse_ids)
    if not evse_ids and (_met(schedule) or len(problem.sessions) <= AT_ONCE):
        whole = explain(problem, schedule)
        return ReasonsOut.of(problem, whole, not_sought={wish.session_id for wish in whole.unmet[MOST_REPAIRED:]})
    asked = tuple(dict.fromkeys(evse_ids)) or _by_unmet(problem, schedule)
    found, began = [explain(problem, schedule, evse_id=asked[0])], perf_counter()
    for evse_id in asked[1:]:
        if perf_counter() - began > patience_s:
            break
        found.append(explain(problem, schedule, evse_id=evse_id))
    return ReasonsOut.of(problem, _together(found), not_reached=asked[len(found) :])


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


def _met(schedule: Schedule) -> bool:
    return all(result.unmet_kwh <= UNMET_WISH_KWH for result in schedule.sessions.values())


def _by_unmet(problem: Problem, schedule: Schedule) -> tuple[str, ...]:
    """EVSEs with a session, the largest unmet wish first."""
    short = sorted(problem.sessions, key=lambda one: -schedule.sessions[one.session_id].unmet_kwh)
    return tuple(dict.fromkeys(session.evse_id for session in short))


def _together(found: Sequence[Explanation]) -> Explanation:
    return Explanation(
        currency=found[0].currency,
        evses={evse_id: slots for one in found for evse_id, slots in one.evses.items()},
        sessions={session_id: reason for one in found for session_id, reason in one.sessions.items()},
        binding=found[0].binding,
        unmet=tuple(sorted((wish for one in found for wish in one.unmet), key=lambda wish: -wish.unmet_kwh)),
    )
