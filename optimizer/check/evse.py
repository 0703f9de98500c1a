"""What an EVSE may be told: its own limits, its step, and a vehicle that is there to take it."""

from collections.abc import Iterator
from math import inf

from optimizer.check.plan import KW, STEP, Plan, gives_kw, kw_of_one_ampere, may_still_draw, slack, takes_kw
from optimizer.domain import Evse, Violation


def limits(plan: Plan) -> Iterator[Violation]:
    """Power is never above the EVSE's current and power, and flows from a vehicle only where one there may give.

    While a limit is not verified, the first slot asks for no more than that limit.
    """
    for evse in plan.problem.evses:
        powers_kw, currents_a = plan.schedule.power_kw[evse.evse_id], plan.schedule.current_a[evse.evse_id]
        most_kw = inf if evse.max_power_kw is None else evse.max_power_kw
        most_a = inf if evse.max_current_a is None else evse.max_current_a
        for slot, power_kw in enumerate(powers_kw):
            if power_kw == 0:
                continue
            if power_kw < 0:
                there = [session for session, _ in plan.present[evse.evse_id].get(slot, [])]
                gives = min(map(gives_kw, there), default=0.0)
                if power_kw < -gives - slack(gives):
                    rule = "negative_power" if gives == 0 else "discharge_power"
                    yield Violation(rule, evse.evse_id, -power_kw - gives, "kW", slot)
            if abs(power_kw) > most_kw and abs(power_kw) > most_kw + slack(most_kw):
                yield Violation("evse_power", evse.evse_id, abs(power_kw) - most_kw, "kW", slot)
        for slot, current_a in enumerate(currents_a or ()):
            if current_a == 0:
                continue
            if current_a < 0 <= powers_kw[slot]:
                yield Violation("negative_current", evse.evse_id, -current_a, "A", slot)
            if abs(current_a) > most_a and abs(current_a) > most_a + slack(most_a):
                yield Violation("evse_current", evse.evse_id, abs(current_a) - most_a, "A", slot)
            off_steps = abs(current_a / evse.current_step_a - round(current_a / evse.current_step_a))
            if off_steps > STEP:
                yield Violation("current_step", evse.evse_id, off_steps * evse.current_step_a, "A", slot)
        yield from _open_limit(plan, evse)


def _open_limit(plan: Plan, evse: Evse) -> Iterator[Violation]:
    open_a = may_still_draw(evse)
    if open_a is None:
        return
    currents_a = plan.schedule.current_a[evse.evse_id]
    if currents_a is not None:
        asked_a = currents_a[plan.first]
    else:
        asked_a = plan.schedule.power_kw[evse.evse_id][plan.first] * 1000
        asked_a /= plan.problem.connection.voltage_v * len(evse.phases)
    if asked_a > open_a + slack(open_a):
        yield Violation("in_force", evse.evse_id, asked_a - open_a, "A", plan.first)


def only_for_a_vehicle_that_is_there(plan: Plan) -> Iterator[Violation]:
    """Power flows only while a vehicle is there, 0 or at least the minimum current, and no more than it takes.

    A slot in which it is present for a part carries the full limit. Where two follow one another in a slot, the limit
    has to suit both, and counts the phases of the one that uses fewer. Minimum current is a matter of AC.
    """
    for evse in plan.problem.evses:
        currents_a = plan.schedule.current_a[evse.evse_id]
        for slot, power_kw in enumerate(plan.schedule.power_kw[evse.evse_id]):
            current_a = 0.0 if currents_a is None else currents_a[slot]
            if power_kw == 0 and current_a == 0:
                continue
            there = [session for session, _ in plan.present[evse.evse_id].get(slot, [])]
            if not there:
                yield Violation("outside_presence", evse.evse_id, max(abs(power_kw), abs(current_a)), "kW", slot)
                continue
            most_kw = min(takes_kw(session) for session in there)
            if power_kw > most_kw + slack(power_kw):
                yield Violation("vehicle_power", evse.evse_id, power_kw - most_kw, "kW", slot)
            if currents_a is None:
                continue
            least_a = max(evse.min_current_a, *(session.min_current_a or 0.0 for session in there))
            if power_kw >= 0 and current_a < least_a - KW:
                yield Violation("minimum_current", evse.evse_id, least_a - current_a, "A", slot)
            kw_per_a = min(kw_of_one_ampere(plan.problem, evse, session) for session in there)
            mismatch_kw = abs(power_kw - current_a * kw_per_a)
            if mismatch_kw > slack(power_kw):
                yield Violation("power_of_current", evse.evse_id, mismatch_kw, "kW", slot)
