"""Reasons of a schedule within a bounded time, whatever the size of its site.

`optimizer.explain` solves a few dozen programs for each wish that was not met: 4 s in all for a site of 54 EVSEs, 2 s a
wish for one of 200, a minute a wish for one of 1,000. A large site is therefore explained without remedies first, and
remedies are sought EVSE by EVSE, the shortest vehicle first, until the time is used up. The answer says for which.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from time import perf_counter

from app.errors import InvalidInputError
from app.problem_json.reasons import ReasonsOut
from optimizer.domain import Problem, Schedule, Session
from optimizer.errors import SolverError
from optimizer.explain import MOST_REPAIRED, UNMET_WISH_KWH, Explanation, UnmetWish, explain

MOST_NAMED = 20  # EVSEs in one question
AT_ONCE = 60  # sessions of a site that is explained whole, remedies and all
UNASKED = 300  # sessions of a site beyond which remedies are sought only for EVSEs that are named
WISH_KWH = 0.9 * UNMET_WISH_KWH  # who gets nothing still wishes for something, or there were no reason to give
PATIENCE_S = 20.0  # after it no further EVSE is begun


def reasons_of(
    problem: Problem, schedule: Schedule, evse_ids: Sequence[str] = (), *, patience_s: float = PATIENCE_S
) -> ReasonsOut:
    """The reasons for the EVSEs that are named, or for all; remedies as far as time allows.

    Raises `SolverError` where the duals cannot be had: a fallback that breaks a rule, or no time left.
    """
    check_evses(problem, evse_ids)
    if not evse_ids and len(problem.sessions) <= AT_ONCE:
        whole = explain(problem, schedule)
        return ReasonsOut.of(problem, whole, not_sought={wish.session_id for wish in whole.unmet[MOST_REPAIRED:]})
    began = perf_counter()
    whole = explain(*_content(problem, schedule))
    asked = dict.fromkeys(evse_ids or (evse.evse_id for evse in problem.evses))
    short = [one for one in _short(problem, schedule) if one.evse_id in asked]
    evses_short = list(dict.fromkeys(one.evse_id for one in short))
    if not evse_ids and len(problem.sessions) > UNASKED:
        evses_short = []
    found = _remedies(problem, schedule, evses_short, until=began + patience_s)
    unmet = tuple(
        found.get(one.session_id) or UnmetWish(one.session_id, schedule.sessions[one.session_id].unmet_kwh, ())
        for one in short
    )
    named = Explanation(
        currency=whole.currency,
        evses={evse_id: slots for evse_id, slots in whole.evses.items() if evse_id in asked},
        sessions={name: reason for name, reason in whole.sessions.items() if reason.evse_id in asked},
        binding=whole.binding,
        unmet=unmet,
    )
    return ReasonsOut.of(problem, named, not_sought={one.session_id for one in short} - found.keys())


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


def _remedies(problem: Problem, schedule: Schedule, evse_ids: Sequence[str], *, until: float) -> dict[str, UnmetWish]:
    """By session id, of these EVSEs in turn as long as `perf_counter` is before `until`; the first in any case."""
    found: dict[str, UnmetWish] = {}
    for number, evse_id in enumerate(evse_ids):
        if number and perf_counter() > until:
            break
        with suppress(SolverError):  # no time for its remedies: the reasons stand without them
            found |= {wish.session_id: wish for wish in explain(problem, schedule, evse_id=evse_id).unmet}
    return found


def _short(problem: Problem, schedule: Schedule) -> list[Session]:
    """Who goes short, the largest unmet wish first."""
    unmet_kwh = {session_id: result.unmet_kwh for session_id, result in schedule.sessions.items()}
    short = [session for session in problem.sessions if unmet_kwh[session.session_id] > UNMET_WISH_KWH]
    return sorted(short, key=lambda one: -unmet_kwh[one.session_id])


def _content(problem: Problem, schedule: Schedule) -> tuple[Problem, Schedule]:
    """The same plan for sessions that wish for no more than they get: the same prices, and no wish to look into."""
    results = dict(schedule.sessions)
    sessions = []
    for session in problem.sessions:
        result = results[session.session_id]
        if result.unmet_kwh <= 0 or session.scenarios:
            sessions.append(session)
            continue
        required_kwh = min(session.required_energy_kwh, max(session.required_energy_kwh - result.unmet_kwh, WISH_KWH))
        less_kwh, most_kwh = session.required_energy_kwh - required_kwh, session.max_energy_kwh
        sessions.append(
            replace(
                session,
                required_energy_kwh=required_kwh,
                floor_energy_kwh=min(max(session.floor_energy_kwh - result.floor_unmet_kwh, 0.0), required_kwh),
                max_energy_kwh=None if most_kwh is None else max(most_kwh - less_kwh, required_kwh),
            )
        )
        results[session.session_id] = replace(
            result, unmet_kwh=max(result.unmet_kwh - less_kwh, 0.0), floor_unmet_kwh=0.0
        )
    return replace(problem, sessions=tuple(sessions)), replace(schedule, sessions=results)
