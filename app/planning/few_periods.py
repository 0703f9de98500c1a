"""A plan for stations that hold few periods: for which EVSEs it must be told in fewer, and what that costs.

The work itself is `optimizer.compress`; this is what the planner says to it, and what it says of the answer.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

from app.csms.connector import Kind, Passport
from app.db.records import Json
from app.site import split_evse_key
from optimizer.compress import Compression
from optimizer.domain import Problem, Schedule

WINDOW = timedelta(hours=4)  # what is behind it is told by a later profile: one is sent at every change of the plan
WORTH_A_WARNING_KWH = 0.1
WORTH_A_WARNING_SHARE = 0.001  # of the money


def period_limits(problem: Problem, passports: Mapping[str, Passport]) -> dict[str, int]:
    """By EVSE with a session, at stations whose passport is known: in how many periods its plan can be told.

    One less than the station takes, where it takes three or more: what holds behind the watched time begins with one.
    """
    limits = {}
    for evse_id in sorted({session.evse_id for session in problem.sessions}):
        passport = passports.get(split_evse_key(evse_id)[0])
        if passport is not None and passport.known:
            periods = 1 if _is_relative(passport) else passport.max_periods
            limits[evse_id] = periods - 1 if periods > 2 else periods
    return limits


def fits(problem: Problem, schedule: Schedule, limits: Mapping[str, int], until: datetime) -> bool:
    """Whether every plan up to `until` is told already in as many periods."""
    slots = ceil((until - problem.horizon.start) / timedelta(minutes=problem.horizon.slot_minutes))
    return all(_periods(schedule.power_kw[evse_id][:slots]) <= periods for evse_id, periods in limits.items())


def told_in_few_periods(compression: Compression, limits: Mapping[str, int], until: datetime) -> tuple[Schedule, Json]:
    """The schedule, with a warning where that loses much; and for the plan's provenance what was lost by what."""
    if compression.method == "unchanged":
        return compression.schedule, {}
    schedule = compression.schedule
    lost: Json = {
        "method": compression.method,
        "until": until.isoformat(),
        "max_periods": dict(limits),
        "periods": dict(compression.periods),
        "loss_kwh": round(compression.loss_kwh, 3),
        "loss_money": round(compression.loss_money, 4),
    }
    much_money = WORTH_A_WARNING_SHARE * abs(schedule.cost.total)
    if compression.loss_kwh > WORTH_A_WARNING_KWH or compression.loss_money > much_money:
        warning = (
            f"charging stations that hold few periods cost {max(0.0, compression.loss_kwh):.2f} kWh and "
            f"{max(0.0, compression.loss_money):.2f} {schedule.currency} against the plan without that limit"
        )
        schedule = replace(schedule, warnings=(*schedule.warnings, warning))
    return schedule, {"compression": lost}


def _periods(power_kw: tuple[float, ...]) -> int:
    return 1 + sum(later != earlier for earlier, later in pairwise(power_kw))


def _is_relative(passport: Passport) -> bool:
    return Kind.RELATIVE in passport.kinds and Kind.ABSOLUTE not in passport.kinds
