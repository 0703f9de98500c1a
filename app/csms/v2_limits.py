"""Limits that somebody else has set at a station, as a curve that a plan can respect. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import inf

from app.csms.connector import Period, RateUnit
from app.csms.frames import Json
from app.csms.lenient import read_count
from app.csms.steps import Steps, evaluated, pointwise
from app.csms.timestamps import read_timestamp
from app.csms.v2_profiles import read_periods, read_unit
from app.csms.v16_profiles import UnreadableScheduleError
from app.db.records import ChargingLimit


def limit_steps(
    limits: Iterable[ChargingLimit],
    evse_id: int,
    start: datetime,
    end: datetime,
    *,
    voltage_v: float = 230.0,
    phases: int = 3,
) -> Steps:
    """A per phase that an EVSE (0: the whole station) is left by `limits` over [start, end): the least of them.

    Infinite where none says how much it leaves. What is generated behind the station limits nothing. `limits` are
    those of one station; the station's own are not the EVSE's, for its EVSEs share them.
    """
    curves = [
        _curve(schedule, limit.at, start, end, voltage_v, phases)
        for limit in limits
        if limit.evse_id == evse_id and not limit.is_local_generation
        for schedule in limit.schedules
    ]
    return pointwise(min, Steps((start,), (inf,), end), *curves)


def is_readable(schedule: Json) -> bool:
    """Whether `limit_steps` can make something of it."""
    try:
        read_unit(schedule)
        read_periods(schedule)
    except UnreadableScheduleError:
        return False
    return True


def _curve(schedule: Json, told_at: datetime, start: datetime, end: datetime, voltage_v: float, phases: int) -> Steps:
    """One schedule; without a start it counts from when it was told."""
    unit, periods = read_unit(schedule), read_periods(schedule)
    base = read_timestamp(schedule.get("startSchedule"))[0] or told_at
    duration_s = read_count(schedule.get("duration"))
    over = None if duration_s is None else base + timedelta(seconds=duration_s)

    def value_at(moment: datetime) -> float:
        if moment < base or (over is not None and moment >= over):
            return inf
        elapsed_s = (moment - base).total_seconds()
        period = next((period for period in reversed(periods) if period.start_s <= elapsed_s), None)
        return inf if period is None else _amperes(period, unit, voltage_v, phases)

    knots = [base + timedelta(seconds=period.start_s) for period in periods]
    return evaluated(value_at, knots + ([] if over is None else [over]), start, end)


def _amperes(period: Period, unit: RateUnit, voltage_v: float, phases: int) -> float:
    """Less than nothing, as some energy managers write it to stop all charging, is nothing."""
    limit = max(0.0, period.limit)
    return limit if unit is RateUnit.A else limit / (voltage_v * (period.number_phases or phases))
