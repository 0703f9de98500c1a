"""What a vehicle is promised, or believed to want: the energy that the limits deliver, and no more than it may take."""

from collections.abc import Iterator
from datetime import datetime

from optimizer.check.plan import Plan, delivered_kwh, full_power_kw, kw_of_one_ampere, metered_kwh, slack
from optimizer.domain import Evse, Session, Violation

DC_STEP_KW = 0.001  # a DC limit is sent in whole watts
SHARE = 1e-4  # of a need


def energy_agrees(plan: Plan) -> Iterator[Violation]:
    """The planned energy is power × time present, and what is unmet is the rest of what is owed.

    A belief owes nothing: what it misses is in `expected_unmet`.
    """
    for session, evse in _stays(plan):
        result = plan.schedule.sessions[session.session_id]
        planned_kwh = result.planned_energy_kwh
        off_kwh = abs(delivered_kwh(plan, session, evse) - planned_kwh)
        if off_kwh > slack(planned_kwh):
            yield Violation("planned_energy", session.session_id, off_kwh, "kWh")
        owed = (
            0.0 if session.scenarios else owed_kwh(plan, session, evse, session.departure, session.required_energy_kwh)
        )
        unmet_kwh = 0.0 if session.scenarios else max(0.0, owed - planned_kwh)
        if abs(result.unmet_kwh - unmet_kwh) > slack(session.required_energy_kwh):
            yield Violation("unmet_energy", session.session_id, abs(result.unmet_kwh - unmet_kwh), "kWh")
        if result.met_share is not None:
            share = 1.0 if owed <= 0 else 1 - unmet_kwh / owed
            if abs(result.met_share - share) > SHARE + slack(owed) / max(owed, slack(0)):
                yield Violation("met_share", session.session_id, abs(result.met_share - share), "of the need")


def floor_agrees(plan: Plan) -> Iterator[Violation]:
    """What the floor misses at its moment is said. The floor itself is a wish, the first of all."""
    for session, evse in _stays(plan):
        missing_kwh = 0.0
        if session.floor_by is not None:
            owed = owed_kwh(plan, session, evse, session.floor_by, session.floor_energy_kwh)
            missing_kwh = max(0.0, owed - delivered_kwh(plan, session, evse, session.floor_by))
        off_kwh = abs(plan.schedule.sessions[session.session_id].floor_unmet_kwh - missing_kwh)
        if off_kwh > slack(session.floor_energy_kwh):
            yield Violation("floor_unmet", session.session_id, off_kwh, "kWh")


def belief_agrees(plan: Plan) -> Iterator[Violation]:
    """What is expected to be missing is the mean over the scenarios of what each misses at its departure."""
    for session, evse in _stays(plan):
        off_kwh = abs(
            plan.schedule.sessions[session.session_id].expected_unmet_kwh - expected_unmet_kwh(plan, session, evse)
        )
        if off_kwh > slack(session.required_energy_kwh):
            yield Violation("expected_unmet", session.session_id, off_kwh, "kWh")


def not_more_than_required(plan: Plan) -> Iterator[Violation]:
    """No vehicle is given more than it needs, or may take where that pays, but for one step of its EVSE in one slot.

    Never more than its battery holds, as far as its state of charge is known.
    """
    for session, evse in _stays(plan):
        step_kwh = _step_kwh(plan, session, evse)
        most_kwh = session.required_energy_kwh
        if session.max_energy_kwh is not None:
            most_kwh = session.max_energy_kwh
        if session.soc is not None and session.capacity_kwh is not None:
            most_kwh = min(most_kwh, (1 - session.soc) * session.capacity_kwh / evse.efficiency)
        surplus_kwh = plan.schedule.sessions[session.session_id].planned_energy_kwh - most_kwh
        if surplus_kwh > step_kwh + slack(most_kwh):
            yield Violation("more_than_required", session.session_id, surplus_kwh, "kWh")


def vehicle_battery(plan: Plan) -> Iterator[Violation]:
    """What is known of a vehicle's battery holds at each slot's end.

    It is never fuller than full, but for one step of its EVSE in one slot; it takes ever less while it tapers; and one
    that gives keeps its floor: below it already, it gives nothing.
    """
    for session, evse in _stays(plan):
        if session.soc is None or session.capacity_kwh is None:
            continue
        tolerance_kwh = slack(session.capacity_kwh)
        held_kwh = session.soc * session.capacity_kwh
        for slot, energy_kwh in sorted(metered_kwh(plan, session).items()):
            gain = evse.efficiency if energy_kwh >= 0 else 1 / evse.efficiency
            held_kwh += energy_kwh * gain
            power_kw = plan.schedule.power_kw[evse.evse_id][slot]
            beyond_kwh = held_kwh - session.capacity_kwh
            if power_kw > 0 and beyond_kwh > _step_kwh(plan, session, evse) + tolerance_kwh:
                yield Violation("vehicle_full", session.session_id, beyond_kwh, "kWh", slot)
            if power_kw < 0 and session.v2g is not None:
                short_kwh = session.v2g.floor_energy_kwh - held_kwh
                if short_kwh > tolerance_kwh:
                    yield Violation("vehicle_floor", session.session_id, short_kwh, "kWh", slot)
            if power_kw > 0 and session.taper is not None:
                begins, ends = session.taper.from_soc, session.taper.zero_at_soc
                left = max(0.0, ends - held_kwh / session.capacity_kwh) / (ends - begins)
                full_kw = session.max_power_kw  # the taper is the vehicle's own; unknown: it begins at the EVSE's limit
                if full_kw is None:
                    full_kw = full_power_kw(plan.problem, session, evse)
                most_kw = full_kw * min(1.0, left)
                if power_kw > most_kw + slack(power_kw):
                    yield Violation("taper", session.session_id, power_kw - most_kw, "kW", slot)


def owed_kwh(plan: Plan, session: Session, evse: Evse, moment: datetime, energy_kwh: float) -> float:
    """What is due by the end of the horizon of an energy by a moment: less what full power can still bring after it."""
    after_h = (moment - max(plan.problem.horizon.end, session.arrival)).total_seconds() / 3600
    if after_h <= 0:
        return energy_kwh
    return max(0.0, energy_kwh - full_power_kw(plan.problem, session, evse) * after_h)


def expected_unmet_kwh(plan: Plan, session: Session, evse: Evse) -> float:
    """The mean over the scenarios of what each misses at its departure; 0 for a promise."""
    expected_kwh = 0.0
    for scenario in session.scenarios:
        owed = owed_kwh(plan, session, evse, scenario.departure, scenario.required_energy_kwh)
        missing_kwh = max(0.0, owed - delivered_kwh(plan, session, evse, scenario.departure))
        expected_kwh += scenario.probability * missing_kwh
    return expected_kwh


def _step_kwh(plan: Plan, session: Session, evse: Evse) -> float:
    """The energy of one step of the EVSE in one whole slot."""
    step_kw = DC_STEP_KW if evse.is_dc else evse.current_step_a * kw_of_one_ampere(plan.problem, evse, session)
    return step_kw * plan.problem.horizon.slot_hours


def _stays(plan: Plan) -> Iterator[tuple[Session, Evse]]:
    evses = {evse.evse_id: evse for evse in plan.problem.evses}
    return ((session, evses[session.evse_id]) for session in plan.problem.sessions)
