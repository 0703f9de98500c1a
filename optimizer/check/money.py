"""What the schedule says it costs, added up once more."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from optimizer.check.plan import MONEY, RELATIVE, Plan, metered_kwh, slack
from optimizer.check.session import expected_unmet_kwh
from optimizer.domain import CONNECTION, DemandCharge, Problem, Violation


def peaks(plan: Plan) -> Iterator[Violation]:
    """The peak of each demand charge is the highest mean import of its clock-aligned intervals, or the one so far."""
    for charge in plan.problem.demand_charges:
        peak_kw = _peak_kw(plan, charge)
        off_kw = abs(plan.schedule.peak_kw[charge.charge_id] - peak_kw)
        if off_kw > slack(peak_kw):
            yield Violation("peak", charge.charge_id, off_kw, "kW")


def costs(plan: Plan) -> Iterator[Violation]:
    """Each cause of cost is what its prices and the schedule's series make it.

    What beliefs are expected to miss has a price too, which nobody pays.
    """
    problem, schedule = plan.problem, plan.schedule
    energy = carbon = wear = gross = 0.0
    for slot, hours in enumerate(plan.hours):
        bought = schedule.import_kw[slot] * hours * problem.import_price_per_kwh[slot]
        sold = schedule.export_kw[slot] * hours * problem.export_price_per_kwh[slot]
        energy += bought - sold
        gross += abs(bought) + abs(sold)
        if problem.carbon_kg_per_kwh is not None:
            emitted_kg = schedule.import_kw[slot] * hours * problem.carbon_kg_per_kwh[slot]
            carbon += emitted_kg * problem.carbon_price_per_kg
        for battery in problem.batteries:
            charge_kw = max(0.0, schedule.batteries[battery.battery_id].power_kw[slot])
            wear += charge_kw * hours * battery.wear_price_per_kwh
    unmet = 0.0
    evses = {evse.evse_id: evse for evse in problem.evses}
    for session in problem.sessions:
        evse = evses[session.evse_id]
        if session.v2g is not None:
            given_kwh = sum(max(0.0, -energy_kwh) for energy_kwh in metered_kwh(plan, session).values())
            wear += given_kwh * session.probability * session.v2g.wear_price_per_kwh
        if session.scenarios and problem.unmet_price_per_kwh is not None:
            unmet += expected_unmet_kwh(plan, session, evse) * problem.unmet_price_per_kwh
    demand = 0.0
    for charge in problem.demand_charges:
        free_kw = max(charge.peak_so_far_kw, charge.expected_peak_kw, charge.ratchet_kw)
        demand += charge.price_per_kw * max(0.0, _peak_kw(plan, charge) - free_kw)
    told = schedule.cost
    for name, said, is_really in (
        ("energy", told.energy, energy),
        ("demand", told.demand, demand),
        ("carbon", told.carbon, carbon),
        ("wear", told.wear, wear),
        ("unmet", told.unmet, unmet),
    ):
        if abs(said - is_really) > MONEY + RELATIVE * max(gross, abs(is_really)):
            yield Violation(f"{name}_cost", CONNECTION, abs(said - is_really), problem.currency)


def _peak_kw(plan: Plan, charge: DemandCharge) -> float:
    problem = plan.problem
    interval = timedelta(minutes=charge.interval_minutes)
    energy_kwh: dict[datetime, float] = {}
    counts: set[datetime] = set()
    for slot, hours in enumerate(plan.hours):
        if hours == 0:
            continue
        moment = max(problem.horizon.slot_start(slot), problem.horizon.first_moment)
        end = problem.horizon.slot_start(slot + 1)
        while moment < end:
            opens = interval_start(problem, charge, moment)
            until = min(end, opens + interval)
            imported_kwh = plan.schedule.import_kw[slot] * (until - moment).total_seconds() / 3600
            energy_kwh[opens] = energy_kwh.get(opens, 0.0) + imported_kwh
            if charge.active is None or charge.active[slot]:
                counts.add(opens)
            moment = until
    running = interval_start(problem, charge, problem.horizon.first_moment)
    energy_kwh[running] = energy_kwh.get(running, 0.0) + charge.interval_energy_so_far_kwh
    peak_kw = charge.peak_so_far_kw
    for opens in counts:
        measured = min(opens + interval, problem.horizon.end) - opens  # the last one as far as the horizon shows it
        peak_kw = max(peak_kw, energy_kwh[opens] / (measured.total_seconds() / 3600))
    return peak_kw


def interval_start(problem: Problem, charge: DemandCharge, moment: datetime) -> datetime:
    """Start of the metering interval that holds `moment`, aligned to the local clock of the site."""
    local = moment.astimezone(ZoneInfo(problem.time_zone))
    since_midnight = timedelta(
        hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    return moment.astimezone(UTC) - since_midnight % timedelta(minutes=charge.interval_minutes)
