"""What a vehicle is promised: the energy that the limits deliver, and no more than it needs."""

from collections.abc import Iterator

from optimizer.check.plan import Plan, energy_kwh, kw_of_one_ampere, slack, takes_kw
from optimizer.domain import Evse, Session, Violation

DC_STEP_KW = 0.001  # a DC limit is sent in whole watts


def energy_agrees(plan: Plan) -> Iterator[Violation]:
    """The planned energy is power × time present, and what is unmet is the rest of what is owed."""
    evses = {evse.evse_id: evse for evse in plan.problem.evses}
    for session in plan.problem.sessions:
        evse = evses[session.evse_id]
        result = plan.schedule.sessions[session.session_id]
        planned_kwh = result.planned_energy_kwh
        off_kwh = abs(sum(energy_kwh(plan, session, evse).values()) - planned_kwh)
        if off_kwh > slack(planned_kwh):
            yield Violation("planned_energy", session.session_id, off_kwh, "kWh")
        unmet_kwh = max(0.0, owed_kwh(plan, session, evse) - planned_kwh)
        if abs(result.unmet_kwh - unmet_kwh) > slack(session.required_energy_kwh):
            yield Violation("unmet_energy", session.session_id, abs(result.unmet_kwh - unmet_kwh), "kWh")


def not_more_than_required(plan: Plan) -> Iterator[Violation]:
    """No vehicle is given more than it needs, but for one step of its EVSE in one slot."""
    evses = {evse.evse_id: evse for evse in plan.problem.evses}
    for session in plan.problem.sessions:
        evse = evses[session.evse_id]
        step_kw = DC_STEP_KW
        if not evse.is_dc:
            step_kw = evse.current_step_a * kw_of_one_ampere(plan.problem, evse, session)
        step_kwh = step_kw * plan.problem.horizon.slot_hours
        surplus_kwh = plan.schedule.sessions[session.session_id].planned_energy_kwh - session.required_energy_kwh
        if surplus_kwh > step_kwh + slack(session.required_energy_kwh):
            yield Violation("more_than_required", session.session_id, surplus_kwh, "kWh")


def owed_kwh(plan: Plan, session: Session, evse: Evse) -> float:
    """What is due by the end of the horizon: the need, less what full power can still bring after it."""
    after_h = (session.departure - max(plan.problem.horizon.end, session.arrival)).total_seconds() / 3600
    if after_h <= 0:
        return session.required_energy_kwh
    full_kw = takes_kw(session)
    if evse.max_power_kw is not None:
        full_kw = min(full_kw, evse.max_power_kw)
    if evse.max_current_a is not None:
        full_kw = min(full_kw, evse.max_current_a * kw_of_one_ampere(plan.problem, evse, session))
    return max(0.0, session.required_energy_kwh - full_kw * after_h)
