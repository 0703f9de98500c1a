"""The plan in force, as the next problem wants it: what each vehicle that is still there was promised, slot by slot."""

from collections.abc import Sequence
from datetime import timedelta

from app.db.records import Plan
from optimizer.domain import Horizon, Series, Session


def planned_kw(plan: Plan | None, horizon: Horizon, sessions: Sequence[Session]) -> dict[str, Series]:
    """Of each EVSE, kW in every slot of `horizon`: only where one who was planned there is still, or still expected.

    Nothing was planned after the end of the plan: 0. A plan that is over says nothing, nor one without its problem.
    """
    if plan is None or plan.end <= horizon.first_moment or not (plan.problem and "evses" in plan.schedule):
        return {}
    slot = timedelta(minutes=int(plan.problem["slot_minutes"]))
    places = [(horizon.slot_start(number) - plan.start) // slot for number in range(horizon.slots)]
    was_planned = {(session["id"], session["evse"]) for session in plan.problem["sessions"]}
    planned: dict[str, Series] = {}
    for session in sessions:
        answer = plan.schedule["evses"].get(session.evse_id)
        if answer is None or (session.session_id, session.evse_id) not in was_planned:
            continue
        power_kw = [float(value) for value in answer["power_kw"]]
        planned[session.evse_id] = tuple(power_kw[place] if 0 <= place < len(power_kw) else 0.0 for place in places)
    return planned
