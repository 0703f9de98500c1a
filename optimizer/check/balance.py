"""Does what the meter is said to see follow from what the site does?"""

from collections.abc import Iterator

from optimizer.check.plan import KW, Plan, metered_kwh, slack
from optimizer.domain import CONNECTION, Violation


def power_balance(plan: Plan) -> Iterator[Violation]:
    """Import less export is base load, vehicles and batteries less PV, as means over what is left of each slot.

    A vehicle that comes with a probability counts with it, as in every mean.
    """
    problem, schedule = plan.problem, plan.schedule
    vehicles_kwh = [0.0] * problem.horizon.slots
    for session in problem.sessions:
        for slot, taken_kwh in metered_kwh(plan, session).items():
            vehicles_kwh[slot] += taken_kwh * session.probability
    for slot, hours in enumerate(plan.hours):
        if hours == 0:
            continue
        battery_kw = sum(result.power_kw[slot] for result in schedule.batteries.values())
        drawn_kw = problem.base_load_kw[slot] + vehicles_kwh[slot] / hours + battery_kw
        made_kw = problem.pv_kw[slot] - schedule.curtail_kw[slot]
        off_kw = abs(drawn_kw - made_kw - schedule.import_kw[slot] + schedule.export_kw[slot])
        if off_kw > slack(max(abs(drawn_kw), made_kw)):
            yield Violation("power_balance", CONNECTION, off_kw, "kW", slot)


def curtailment(plan: Plan) -> Iterator[Violation]:
    """Only PV that may be curtailed is, and never more of it than there is."""
    for slot, curtail_kw in enumerate(plan.schedule.curtail_kw):
        most_kw = plan.problem.pv_kw[slot] if plan.problem.pv_curtailable else 0.0
        excess_kw = max(-curtail_kw, curtail_kw - most_kw)
        if excess_kw > slack(most_kw):
            yield Violation("curtailment", CONNECTION, excess_kw, "kW", slot)


def one_direction(plan: Plan) -> Iterator[Violation]:
    """A meter imports or exports; neither is negative."""
    for slot, (import_kw, export_kw) in enumerate(zip(plan.schedule.import_kw, plan.schedule.export_kw, strict=True)):
        for rule, power_kw in (("negative_import", import_kw), ("negative_export", export_kw)):
            if power_kw < -KW:
                yield Violation(rule, CONNECTION, -power_kw, "kW", slot)
        if min(import_kw, export_kw) > KW:
            yield Violation("import_and_export", CONNECTION, min(import_kw, export_kw), "kW", slot)
