"""What peak a month will need, from the weeks before: how they would best have been charged had all been known.

With a demand charge the first cars of a month would else pay for the whole month's peak, or starve. A week is planned
in one go at the share of the charge that its workdays have of a month's; the mean of the weeks is what foresight
would need. Who does not know what comes needs more: by the square-root rule of staffing (Halfin and Whitt 1981) the
reserve grows with the root of the load, counted in cars, so that a small site holds a larger share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import sqrt

from optimizer.domain import Connection, DemandCharge, Evse, Horizon, Problem, Series, Session
from optimizer.live import LiveProgram

RESERVE = 0.5  # standard units of the square-root rule


@dataclass(frozen=True, slots=True)
class Stay:
    """A session that is over. `max_kw` is what vehicle and EVSE could take together."""

    arrival: datetime
    departure: datetime
    energy_kwh: float
    max_kw: float


@dataclass(frozen=True, slots=True)
class WeekPeak:
    """The best peak of a week, and how many of its workdays are known: so much it weighs."""

    peak_kw: float
    workdays: int


def expected_peak_kw(weeks: Sequence[WeekPeak], car_kw: float) -> float | None:
    """The mean of the weeks by their workdays, and a reserve; None before the first workday.

    `car_kw` is what one car usually draws at the most.
    """
    workdays = sum(week.workdays for week in weeks)
    if workdays == 0:
        return None
    return with_reserve(sum(week.peak_kw * week.workdays for week in weeks) / workdays, car_kw)


def week_price_per_kw(price_per_kw: float, workdays: int, workdays_of_month: int) -> float:
    """What a week has to pay of a demand charge: its share, and more the fewer days it speaks for.

    A kW that only saves on a few known days may not on the others; one that everybody needs to be served does.
    """
    days = max(1, workdays)
    return price_per_kw * days / max(days, workdays_of_month) * (1 + 1 / sqrt(days))


def with_reserve(peak_kw: float, car_kw: float) -> float:
    """What to expect where `peak_kw` would do with foresight."""
    return peak_kw + RESERVE * sqrt(max(peak_kw, 0.0) * car_kw)


def least_peak_kw(problem: Problem) -> float:
    """The peak of the cheapest plan for those who are there, if the month began now: what a first day goes by."""
    charges = tuple(
        replace(charge, peak_so_far_kw=0.0, expected_peak_kw=0.0, ratchet_kw=0.0) for charge in problem.demand_charges
    )
    plan = LiveProgram(replace(problem, demand_charges=charges)).plan
    return float(plan.power_kw.sum(axis=0).max(initial=0.0))


def best_peak_kw(
    stays: Sequence[Stay],
    *,
    start: datetime,
    slot_minutes: int,
    import_price_per_kwh: Series,
    price_per_kw: float,
    base_load_kw: Series | None = None,
) -> float:
    """The highest power of the cheapest plan for `stays` that are known beforehand, base load included.

    The series have one value a slot from `start` (aware UTC) on, at most a week of them. `price_per_kw` is what these
    days have to pay of the demand charge. A stay counts from its arrival's next whole slot; what does not fit into it
    at full power is left out.
    """
    slots = len(import_price_per_kwh)
    slot = timedelta(minutes=slot_minutes)
    end = start + slots * slot
    zeros = (0.0,) * slots
    evses, sessions = [], []
    for number, stay in enumerate(stays):
        arrival, departure = max(stay.arrival, start), min(stay.departure, end)
        if departure - arrival < slot or stay.max_kw <= 0:
            continue
        room_kwh = stay.max_kw * ((departure - arrival) / timedelta(hours=1))
        evses.append(Evse(f"{number}", "connection", max_power_kw=stay.max_kw, min_current_a=0.0))
        sessions.append(Session(f"{number}", f"{number}", arrival, departure, min(stay.energy_kwh, room_kwh)))
    if not sessions:
        return max(base_load_kw or (0.0,))
    problem = Problem(
        horizon=Horizon(start, slot_minutes, slots),
        connection=Connection(),
        circuits=(),
        evses=tuple(evses),
        sessions=tuple(sessions),
        base_load_kw=base_load_kw or zeros,
        base_load_high_kw=base_load_kw or zeros,
        import_price_per_kwh=import_price_per_kwh,
        export_price_per_kwh=zeros,
        pv_kw=zeros,
        demand_charges=(DemandCharge("month", price_per_kw, max(15, slot_minutes)),),
    )
    plan = LiveProgram(problem).plan
    drawn_kw = plan.power_kw.sum(axis=0) + (base_load_kw or 0.0)
    return float(drawn_kw.max())
