"""Simple policies: what a plan is compared with, and what is sent when no plan could be made.

`uncontrolled` is a site without any control: every vehicle draws all it can from its arrival on. It breaks fuses
where there are too many, and says so. The others divide what every circuit can carry slot by slot, know nothing of
prices or priorities, and keep every rule: `equal_share` among all, `earliest_deadline_first` and
`least_laxity_first` in turns. In all of them, batteries do nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np

from optimizer.acceptance import Acceptance, acceptance_of
from optimizer.answer import Flows, battery_results, cost_of, evse_series, over_horizon, peaks, session_results
from optimizer.check import SAFETY, violations
from optimizer.domain import Baseline, Problem, Schedule
from optimizer.errors import InvalidProblemError
from optimizer.presence import Floats, Ints, seconds
from optimizer.program import Site
from optimizer.share import STEP_NOISE, Slot, slots_of

Divide = Callable[[Slot, Ints, Floats], Ints]  # slot, steps wanted, kWh left of each need → steps


def uncontrolled(problem: Problem) -> Schedule:
    """Every vehicle takes all that it and its EVSE can, from arrival until it has what it needs.

    Limits of circuits and of the connection are ignored; what that breaks is in the schedule's violations. In the
    slot in which a vehicle becomes full its power is the mean over its stay in the slot, on no grid of steps.
    Raises `InvalidProblemError` when two sessions are at one EVSE at once.
    """
    site = Site.of(problem)
    steps = np.zeros(site.charge.columns)
    need_kwh = _need_kwh(site)
    left_kwh, accepts = need_kwh.copy(), acceptance_of(problem)
    for slot in slots_of(site):
        accepted_kw = _accepted_kw(slot, accepts, need_kwh - left_kwh)
        power_kw = np.minimum(slot.wanted_kw(left_kwh), accepted_kw)
        steps[slot.column] = power_kw / slot.step_kw
        left_kwh -= slot.delivered_kwh(power_kw, site.sessions)
    nothing_kw = np.zeros(site.grid.slots)
    schedule = _settled(site, steps, curtail_kw=nothing_kw, reason="no control: full power on arrival")
    broken = violations(problem, schedule).all
    return replace(schedule, violations=tuple(violation for violation in broken if violation.rule in SAFETY))


def equal_share(problem: Problem) -> Schedule:
    """Every vehicle that still needs energy gets the same current, as far as all circuits and phases can carry it.

    The common current rises until a circuit, a phase or the vehicle itself stops it; the others share what is left.
    Where the minimum current does not fit for all, those with the smallest part of their need met go first, so that
    everybody has a turn. Keeps every rule that `check` knows, whatever the prices.
    Raises `InvalidProblemError` when two sessions are at one EVSE at once.
    """
    site = Site.of(problem)
    need_kwh = _need_kwh(site)
    need_kwh[need_kwh <= 0] = 1.0

    def equally(slot: Slot, wanted: Ints, left_kwh: Floats) -> Ints:
        met_share = slot.least((1 - left_kwh / need_kwh)[slot.session])
        return slot.equal_steps(wanted, np.argsort(met_share, kind="stable"))

    return _slot_by_slot(site, equally, "equal share: nothing is optimised")


def earliest_deadline_first(problem: Problem) -> Schedule:
    """In every slot, who leaves first takes all it can, then the next, as far as all circuits and phases can carry it.

    Keeps every rule that `check` knows. Raises `InvalidProblemError` when two sessions are at one EVSE at once.
    """
    site = Site.of(problem)
    departure_h = _departure_h(site)

    def by_deadline(slot: Slot, wanted: Ints, left_kwh: Floats) -> Ints:
        return _in_turn(slot, wanted, left_kwh, departure_h[slot.session])

    return _slot_by_slot(site, by_deadline, "earliest deadline first: nothing is optimised")


def least_laxity_first(problem: Problem) -> Schedule:
    """In every slot, who can wait least takes all it can, then the next, as far as circuits and phases can carry it.

    Laxity is the time until the departure less the time that the rest of the need takes at full power. Keeps every
    rule that `check` knows. Raises `InvalidProblemError` when two sessions are at one EVSE at once.
    """
    site = Site.of(problem)
    departure_h = _departure_h(site)

    def by_laxity(slot: Slot, wanted: Ints, left_kwh: Floats) -> Ints:
        begins_h = site.grid.start_s[slot.number] / 3600
        charging_h = left_kwh[slot.session] / (slot.max_steps * slot.step_kw)[slot.at]
        return _in_turn(slot, wanted, left_kwh, departure_h[slot.session] - begins_h - charging_h)

    return _slot_by_slot(site, by_laxity, "least laxity first: nothing is optimised")


def as_planned(problem: Problem) -> Schedule:
    """Every vehicle goes on with what the plan in force gives it (`Evse.planned_kw`), and stops when it has enough.

    Knows nothing of limits that changed since it was made: what that breaks is in the schedule's violations.
    Raises `InvalidProblemError` for a vehicle that no plan in force knows.
    """
    for session in problem.sessions:
        if problem.evse(session.evse_id).planned_kw is None:
            raise InvalidProblemError(f"evses[{session.evse_id}].planned_kw", "is missing: nothing is planned for it")
    site = Site.of(problem)
    planned_kw = np.array([evse.planned_kw or (0.0,) * problem.horizon.slots for evse in problem.evses])
    charge = site.charge
    column_kw = planned_kw.reshape(len(problem.evses), -1)[charge.evse, charge.slot + site.grid.first]

    def as_before(slot: Slot, wanted: Ints, _: Floats) -> Ints:
        planned = np.floor(column_kw[slot.column] / slot.step_kw + STEP_NOISE).astype(np.int64)
        planned = np.where(planned >= np.maximum(slot.min_steps, 1), planned, 0)
        return np.minimum(wanted, planned)

    return _slot_by_slot(site, as_before, "the plan in force goes on: nothing is optimised", is_planned=True)


def nothing_charges(problem: Problem) -> Schedule:
    """Every EVSE at 0: what is left when even equal share is refused. Whatever it breaks is there without vehicles."""
    site = Site.of(problem)
    schedule = _settled(site, np.zeros(site.charge.columns), curtail_kw=_curtailed(site), reason="nobody charges")
    return replace(schedule, violations=violations(problem, schedule).all)


def summary(problem: Problem, schedule: Schedule) -> Baseline:
    """What a policy would have cost and broken. `peak_kw` is the highest mean import of a slot.

    Raises `InvalidProblemError` when `schedule` is none of `problem`.
    """
    if len(schedule.import_kw) != problem.horizon.slots:
        raise InvalidProblemError("schedule", f"has {len(schedule.import_kw)} slots, not {problem.horizon.slots}")
    return Baseline(
        cost=schedule.cost,
        unmet_kwh=schedule.unmet_kwh,
        peak_kw=max(schedule.import_kw),
        violations=schedule.violations,
        power_kw=schedule.power_kw,
    )


def _slot_by_slot(site: Site, divide: Divide, reason: str, *, is_planned: bool = False) -> Schedule:
    """Let `divide` share out every slot in the order of time, knowing what was delivered before.

    Where `is_planned`, nothing is kept for later slots: that was thought of when the plan was made.
    """
    steps = np.zeros(site.charge.columns)
    need_kwh = _need_kwh(site)
    left_kwh, accepts = need_kwh.copy(), acceptance_of(site.problem)
    later_kwh = _least_of_the_next_slot(site)
    for slot in slots_of(site):
        wanted = _wanted_steps(slot, left_kwh, _accepted_kw(slot, accepts, need_kwh - left_kwh))
        shared = divide(slot, wanted, left_kwh)
        steps[slot.column] = shared if is_planned else _leave_enough(slot, shared, left_kwh, later_kwh[slot.column])
        left_kwh -= slot.delivered_kwh(steps[slot.column] * slot.step_kw, site.sessions)
    schedule = _settled(site, steps, curtail_kw=_curtailed(site), reason=reason)
    return replace(schedule, violations=violations(site.problem, schedule).all)


def _in_turn(slot: Slot, wanted: Ints, left_kwh: Floats, urgency: Floats) -> Ints:
    """The smallest `urgency` (of each stay) first; who has all it needs is not urgent."""
    hungry = left_kwh[slot.session] > STEP_NOISE
    return slot.steps_in_turn(wanted, np.argsort(slot.least(np.where(hungry, urgency, np.inf)), kind="stable"))


def _departure_h(site: Site) -> Floats:
    """Hours from the start of the horizon to each departure."""
    horizon = site.problem.horizon
    return np.array([seconds(session.departure, horizon) / 3600 for session in site.problem.sessions])


def _need_kwh(site: Site) -> Floats:
    """A simple policy fills the need, of a belief the largest, and stops there even where more would pay."""
    return np.array([session.required_energy_kwh for session in site.problem.sessions], dtype=float)


def _accepted_kw(slot: Slot, accepts: Acceptance, delivered_kwh: Floats) -> Floats:
    """The power of each column that all it serves accept."""
    return slot.least(accepts.most_kw(slot.session, delivered_kwh, slot.hours))


def _wanted_steps(slot: Slot, left_kwh: Floats, accepted_kw: Floats) -> Ints:
    """Enough for the rest of the need, one step too much at most; 0 where the minimum would bring more than that."""
    steps = np.ceil(slot.wanted_kw(left_kwh) / slot.step_kw - STEP_NOISE)
    accepted = np.floor(accepted_kw / slot.step_kw + STEP_NOISE)
    most = np.minimum(np.minimum(steps, accepted), slot.max_steps).astype(np.int64)
    return np.where(most >= np.maximum(slot.min_steps, 1), most, 0)


def _leave_enough(slot: Slot, steps: Ints, left_kwh: Floats, later_kwh: Floats) -> Ints:
    """Take less where what remains would be too little for the minimum current of the slot after."""
    rest_kwh = left_kwh - slot.delivered_kwh(steps * slot.step_kw, left_kwh.size)
    least_kwh = np.zeros(left_kwh.size)
    least_kwh[slot.session] = later_kwh[slot.at]
    awkward = (rest_kwh > STEP_NOISE) & (rest_kwh < least_kwh)
    room_kw = slot.wanted_kw(np.where(awkward, left_kwh - least_kwh, np.inf))
    fewer = np.minimum(steps, np.floor(room_kw / slot.step_kw + STEP_NOISE).astype(np.int64))
    return np.where(fewer >= np.maximum(slot.min_steps, 1), fewer, steps)


def _least_of_the_next_slot(site: Site) -> Floats:
    """For each column, the energy of the minimum current in the EVSE's column of the slot after; 0 without one."""
    charge = site.charge
    least_kwh = charge.min_kw * charge.present * site.grid.hours[charge.slot]
    follows = (np.diff(charge.evse) == 0) & (np.diff(charge.slot) == 1)  # columns are in the order of EVSE and slot
    later_kwh = np.zeros(charge.columns)
    later_kwh[:-1] = np.where(follows, least_kwh[1:], 0.0)
    return later_kwh


def _curtailed(site: Site) -> Floats:
    """No more than the export limit asks for."""
    if not site.problem.pv_curtailable:
        return np.zeros(site.grid.slots)
    curtail_kw: Floats = np.maximum(-site.headroom.feed_kw[0], 0.0)
    return curtail_kw


def _settled(site: Site, steps: Floats, *, curtail_kw: Floats, reason: str) -> Schedule:
    """What follows from the steps of each column, whole or not, when batteries do nothing."""
    problem = site.problem
    seen = _seen(site, steps, curtail_kw)
    column_kw, nothing = steps * site.charge.step_kw, np.zeros_like(steps)
    cost, idle = cost_of(site, seen, column_kw), cost_of(site, _seen(site, nothing, curtail_kw), nothing)
    counted = cast("Ints", steps)  # only multiplied there: fractions of a step are fine
    power_kw, current_a = evse_series(site, counted)
    import_kw, export_kw, curtailed_kw = over_horizon(problem, site, seen)
    return Schedule(
        status="fallback",
        reason=reason,
        power_kw=power_kw,
        current_a=current_a,
        sessions=session_results(site, counted),
        batteries=battery_results(site, seen),
        import_kw=import_kw,
        export_kw=export_kw,
        curtail_kw=curtailed_kw,
        peak_kw=peaks(site, seen),
        cost=replace(cost, ev=cost.total - idle.total),
        currency=problem.currency,
        warnings=site.headroom.warnings,
    )


def _seen(site: Site, steps: Floats, curtail_kw: Floats) -> Flows:
    """What flows at the connection."""
    charge = site.charge
    vehicles_kw = np.bincount(charge.slot, steps * charge.step_kw * charge.present, minlength=site.grid.slots)
    net_kw = site.base_load_kw + vehicles_kw + curtail_kw - site.pv_kw
    return Flows(
        imported_kw=np.maximum(net_kw, 0.0),
        exported_kw=np.maximum(-net_kw, 0.0),
        curtail_kw=curtail_kw,
        battery_kw=np.zeros((len(site.batteries), site.grid.slots)),
    )
