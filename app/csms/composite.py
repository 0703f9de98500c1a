"""What one EVSE does with the charging profiles it holds, and whether its own report says the same.

Pure. The rules are those of OCPP 1.6, 3.13, and of 2.x, K01: within a purpose the highest stack level that holds at
the moment wins, a TxProfile takes the place of the TxDefaultProfile even if it is higher, the station's maximum and
what the site's own energy management asks for cap both.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf

from app.csms.connector import ChargingProfile, CompositeSchedule, Kind, Period, Purpose, RateUnit, Recurrency
from app.csms.steps import TOLERANCE, Steps, evaluated

BELOW_A = 1.0  # many stations keep whole amperes, rounded down: no reason to distrust one
EDGE_S = 5.0  # at the edge of a period clocks, latency and rounding differ
LONGEST_REPORT_S = 14 * 86_400  # some stations report a duration of 272,000 years
RULING = (Purpose.TX, Purpose.TX_DEFAULT, Purpose.STATION_MAX, Purpose.EXTERNAL)
RECURRENCE = {Recurrency.DAILY: timedelta(days=1), Recurrency.WEEKLY: timedelta(days=7)}


def limit_at(profile: ChargingProfile, moment: datetime) -> float | None:
    """The profile's limit at `moment`, in its own unit; None while it does not hold."""
    period = _period_at(profile, moment)
    return None if period is None else period.limit


def end_of(profile: ChargingProfile) -> datetime | None:
    """The first moment from which the profile never holds again; None: it always may."""
    ends = [profile.valid_to] if profile.valid_to is not None else []
    if profile.duration_s is not None and profile.kind is not Kind.RECURRING:
        ends.append(profile.start + timedelta(seconds=profile.duration_s))
    return min(ends, default=None)


def composite_at(
    profiles: Sequence[ChargingProfile],
    moment: datetime,
    *,
    voltage_v: float = 230.0,
    phases: int = 1,
    transaction_id: int | None = None,
    charges_with_priority: bool = False,
) -> float | None:
    """A per phase that an EVSE with these profiles allows at `moment`; None: nothing limits it.

    `phases` turns W into A where a period does not say how many it means. With a `transaction_id`, a TxProfile for
    another transaction does not count. In 2.1 a PriorityCharging profile takes the place of the TxProfile while the
    driver `charges_with_priority`, and what LocalGeneration offers comes on top of the caps.
    """

    def top(purpose: Purpose) -> float | None:
        holding = [
            (profile.stack_level, position)
            for position, profile in enumerate(profiles)
            if profile.purpose is purpose
            and _period_at(profile, moment) is not None
            and (transaction_id is None or profile.transaction_id in (None, transaction_id))
        ]
        if not holding:
            return None
        return current_at(profiles[max(holding)[1]], moment, voltage_v=voltage_v, phases=phases)

    own = top(Purpose.PRIORITY) if charges_with_priority else None
    for purpose in (Purpose.TX, Purpose.TX_DEFAULT):
        own = top(purpose) if own is None else own
    caps = [cap for cap in (top(Purpose.STATION_MAX), top(Purpose.EXTERNAL)) if cap is not None]
    cap = min(caps) + (top(Purpose.LOCAL_GENERATION) or 0.0) if caps else None
    return min((limit for limit in (cap, own) if limit is not None), default=None)


def composite(
    profiles: Sequence[ChargingProfile],
    start: datetime,
    end: datetime,
    *,
    voltage_v: float = 230.0,
    phases: int = 1,
    transaction_id: int | None = None,
    otherwise_a: float = inf,
    charges_with_priority: bool = False,
) -> Steps:
    """`composite_at` over [start, end), `otherwise_a` where nothing limits."""

    alone = len(profiles) == 1 and profiles[0].purpose in RULING and transaction_id is None  # by far the usual case
    if alone and profiles[0].recurrency is None and _is_in_order(profiles[0].periods):
        return _once(profiles[0], start, end, voltage_v, phases, otherwise_a)

    def value_at(moment: datetime) -> float:
        if alone:
            limit_a = current_at(profiles[0], moment, voltage_v=voltage_v, phases=phases)
        else:
            limit_a = composite_at(
                profiles,
                moment,
                voltage_v=voltage_v,
                phases=phases,
                transaction_id=transaction_id,
                charges_with_priority=charges_with_priority,
            )
        return otherwise_a if limit_a is None else limit_a

    return evaluated(value_at, [knot for profile in profiles for knot in _knots(profile, start, end)], start, end)


def _is_in_order(periods: Sequence[Period]) -> bool:
    return all(one.start_s < following.start_s for one, following in pairwise(periods))


def _once(
    profile: ChargingProfile, start: datetime, end: datetime, voltage_v: float, phases: int, otherwise_a: float
) -> Steps:
    """A profile that does not recur, in one pass over its periods: `composite` is asked for such thousands of times."""
    over = end_of(profile)
    begins = max(profile.start, profile.valid_from or profile.start)
    values = {start: otherwise_a}
    for period in profile.periods:
        moment = max(profile.start + timedelta(seconds=period.start_s), begins, start)  # a later one overrules
        if moment >= end or (over is not None and moment >= over):
            break
        values[moment] = _amperes(period, profile.unit, voltage_v, phases)
    if over is not None and start < over < end:
        values[over] = otherwise_a
    return Steps(tuple(values), tuple(values.values()), end).merged()


def current_at(profile: ChargingProfile, moment: datetime, *, voltage_v: float, phases: int) -> float | None:
    """The profile's limit at `moment` in A per phase; None while it does not hold."""
    period = _period_at(profile, moment)
    return None if period is None else _amperes(period, profile.unit, voltage_v, phases)


def disagreement(
    expected: ChargingProfile,
    reported: CompositeSchedule,
    *,
    now: datetime,
    tolerance_a: float = 0.1,
    voltage_v: float = 230.0,
    phases: int = 3,
) -> str | None:
    """Where a station's report contradicts the profile it was sent, in words; None when it agrees.

    Compared is the time that both speak of, from `now` on. Either unit, a report that starts elsewhere, is cut short
    or has fractional seconds is as good; so are `EDGE_S` seconds at the edge of a period and up to `BELOW_A` less
    than asked. A negative limit stands for none.
    """
    if not reported.periods:
        return "it reports no periods"
    reported_end = reported.start + timedelta(seconds=min(float(reported.duration_s), LONGEST_REPORT_S))
    start = max(reported.start, expected.start, now)
    end = min(reported_end, end_of(expected) or reported_end)
    if end <= start:
        return f"it reports {reported.start.isoformat()} to {reported_end.isoformat()}, which is not what it was sent"
    if expected.unit is reported.unit:  # no phases to guess: compare the figures themselves
        ampere = 1.0 if expected.unit is RateUnit.A else voltage_v * phases
        expected, reported = replace(expected, unit=RateUnit.A), replace(reported, unit=RateUnit.A)
        asked = composite([expected], start, end)
        return _difference(asked, report_steps(reported, start, end), tolerance_a * ampere, BELOW_A * ampere)
    verdicts = [  # by as many phases as the station may have counted
        _difference(
            composite([expected], start, end, voltage_v=voltage_v, phases=count),
            report_steps(reported, start, end, voltage_v=voltage_v, phases=count),
            tolerance_a,
            BELOW_A,
        )
        for count in range(phases, 0, -1)
    ]
    return None if None in verdicts else verdicts[0]


def report_steps(
    reported: CompositeSchedule, start: datetime, end: datetime, *, voltage_v: float = 230.0, phases: int = 3
) -> Steps:
    """A station's report in A per phase over [start, end); infinite where it names no limit."""
    periods = sorted(
        (period for period in reported.periods if period.start_s < LONGEST_REPORT_S), key=lambda period: period.start_s
    )

    def value_at(moment: datetime) -> float:
        elapsed_s = (moment - reported.start).total_seconds()
        period = next((period for period in reversed(periods) if period.start_s <= elapsed_s), None)
        if period is None or period.limit < 0:
            return inf
        return _amperes(period, reported.unit, voltage_v, phases)

    knots = [reported.start + timedelta(seconds=period.start_s) for period in periods]
    return evaluated(value_at, knots, start, end)


def _difference(asked: Steps, told: Steps, above: float, below: float) -> str | None:
    """The first stretch longer than `EDGE_S` on which `told` is out of reach of `asked`."""
    moments = sorted({*asked.moments, *told.moments})
    since: datetime | None = None
    for moment, following in zip(moments, [*moments[1:], asked.end], strict=True):
        if -below - TOLERANCE <= told.at(moment) - asked.at(moment) <= above + TOLERANCE:
            since = None
            continue
        since = since or moment
        if (following - since).total_seconds() > EDGE_S:
            return f"it reports {told.at(moment):g} instead of {asked.at(moment):g} at {moment:%H:%M:%S} UTC"
    return None


def _period_at(profile: ChargingProfile, moment: datetime) -> Period | None:
    """The period that rules at `moment`; None before the profile's start and validity, and behind their ends.

    A Recurring profile begins anew every day or week, in UTC: what lies beyond the recurrence is never reached, and
    between the end of its duration and the next beginning it does not hold.
    """
    end = end_of(profile)
    begun = profile.start <= moment and (profile.valid_from is None or profile.valid_from <= moment)
    if not begun or (end is not None and moment >= end):
        return None
    elapsed = moment - profile.start
    if profile.recurrency is not None:
        elapsed %= RECURRENCE[profile.recurrency]
        if profile.duration_s is not None and elapsed >= timedelta(seconds=profile.duration_s):
            return None
    elapsed_s = elapsed.total_seconds()
    return next((period for period in reversed(profile.periods) if period.start_s <= elapsed_s), None)


def _knots(profile: ChargingProfile, start: datetime, end: datetime) -> list[datetime]:
    """The moments at which the profile's limit may change, all of those within [start, end)."""
    edges = [moment for moment in (profile.start, profile.valid_from, end_of(profile)) if moment is not None]
    offsets = [timedelta(seconds=period.start_s) for period in profile.periods]
    if profile.recurrency is None:
        return edges + [profile.start + offset for offset in offsets]
    every = RECURRENCE[profile.recurrency]
    if profile.duration_s is not None:
        offsets.append(timedelta(seconds=profile.duration_s))
    first, last = max(0, (start - profile.start) // every), (end - profile.start) // every
    begins = [profile.start + every * turn for turn in range(first, last + 1)]
    return edges + begins + [begin + offset for begin in begins for offset in offsets if offset < every]


def _amperes(period: Period, unit: RateUnit, voltage_v: float, phases: int) -> float:
    return period.limit if unit is RateUnit.A else period.limit / (voltage_v * (period.number_phases or phases))
