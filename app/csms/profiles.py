"""From a plan to a charging profile that one charging station accepts.

Pure. Limits come in as A per phase; W, phases, decimals, pauses, the number of periods and the difference between
clocks are this module's business and nobody else's. A compiled profile never allows more than the plan it came from,
but where a station takes no limit of 0: then `Compiled` says how much more, for whoever has to reserve it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Literal

from app.csms.connector import ChargingProfile, Kind, Passport, Period, Purpose, RateUnit
from app.csms.limits import Electrics, floored, number_phases, preferred_unit, written, written_or_paused
from app.csms.profile_json import profile_from_json, profile_to_json
from app.csms.steps import TOLERANCE, Steps, evaluated

FALLBACK_START = datetime(2020, 1, 1, tzinfo=UTC)  # the same for ever: sending the fallback again changes nothing
FALLBACK_PROFILE_ID = 1
PLAN_STACK_LEVEL = 1
SEND_AHEAD = timedelta(minutes=3)  # two calls that time out, and the larger part of a minute of clock skew
START_AHEAD_S = 60  # a schedule starts this long ago, so that a slow clock has no gap without any limit

Tail = Literal["end", "lowest"]

__all__ = [
    "Compiled",
    "Electrics",
    "cautious_steps",
    "compile_steps",
    "fallback_profile",
    "floored",
    "plan_place",
    "preferred_unit",
    "profile_from_json",
    "profile_to_json",
]


UNKNOWN_VEHICLE = Electrics()


def fallback_profile(
    current_a: float,
    passport: Passport,
    start: datetime = FALLBACK_START,
    *,
    electrics: Electrics = UNKNOWN_VEHICLE,
    profile_id: int = FALLBACK_PROFILE_ID,
    unit: RateUnit | None = None,
) -> ChargingProfile:
    """What every EVSE may draw when nobody tells it otherwise: TxDefault, stack level 0, one period without an end."""
    unit = unit or preferred_unit(passport, is_dc=electrics.is_dc)
    return ChargingProfile(
        profile_id=profile_id,
        stack_level=0,
        purpose=Purpose.TX_DEFAULT,
        unit=unit,
        start=start,
        periods=(Period(0, written(current_a, unit, electrics, passport), number_phases(unit, electrics)),),
    )


def cautious_steps(
    limits_a: Sequence[float],
    *,
    start: datetime,
    slot_minutes: int,
    now: datetime,
    valid_until: datetime,
    skew_s: float,
) -> Steps:
    """At each moment the lowest limit of the plan within skew_s / 2 of it.

    The curve begins in the past, with the current slot's limit: what the plan said before `now` is over. All its
    moments are whole seconds.
    """
    slot = timedelta(minutes=slot_minutes)
    current = max(0, (now - start) // slot)
    end = min(start + slot * len(limits_a), valid_until)
    if end <= now:
        raise ValueError(f"nothing is left of a plan that ends at {end.isoformat()}")
    half = timedelta(seconds=ceil(skew_s / 2) + (1 if start.microsecond else 0))
    first = start.replace(microsecond=0)
    last = min(len(limits_a), ceil((end - start) / slot) + ceil(half / slot))
    planned = limits_a[:last]

    def lowest_near(moment: datetime) -> float:
        """From `moment` to the next knot the same slots lie within `half`."""
        nearest = max(current, (moment - half - first) // slot)
        farthest = max(current, (moment + half - first) // slot)
        return min(planned[nearest : farthest + 1] or planned[-1:])

    boundaries = [first + slot * k for k in range(current + 1, last)]
    knots = [moment for boundary in boundaries for moment in (boundary - half, boundary + half)]
    began = min(first + slot * current, now.replace(microsecond=0)) - timedelta(
        seconds=max(START_AHEAD_S, ceil(skew_s))
    )
    return evaluated(lowest_near, knots, began, _whole_second(end, began))


@dataclass(frozen=True, slots=True)
class Compiled:
    """A profile, and what it amounts to.

    `allowed` is what it lets flow, A per phase, up to `reach`: the profile's end, or the end of the curve where the
    profile has none. `excess_a` is by how much that is above the plan at most: reserve it. `pauses` are the stretches
    in which the plan is 0 and the profile is not: the station has to be paused by `Passport.pause`. `covers` says
    whether the profile holds all of the curve; if not, the next one is to be sent by `send_next_by`.
    """

    profile: ChargingProfile
    allowed: Steps
    excess_a: float
    pauses: tuple[tuple[datetime, datetime], ...]
    covers: bool

    @property
    def reach(self) -> datetime:
        return self.allowed.end

    @property
    def send_next_by(self) -> datetime:
        """Early enough for a time-out and one more try before the profile ends."""
        return max(self.allowed.start, self.reach - SEND_AHEAD)


def compile_steps(
    steps: Steps,
    *,
    passport: Passport,
    purpose: Purpose,
    stack_level: int,
    profile_id: int,
    transaction_id: int | None,
    electrics: Electrics,
    unit: RateUnit | None = None,
    tail: Tail = "end",
    afterwards_a: float | None = None,
) -> Compiled:
    """A curve in A per phase, on whole seconds, as one finite profile for this passport.

    Where it has more steps than the station takes periods, the first ones are kept as they are, and then the profile
    ends (`tail` "end") or its last period holds the lowest of the rest ("lowest"): never more than the curve.
    A station that knows only Relative profiles is told one period: nobody knows when it began to count.

    A TxDefaultProfile at stack level 0 takes the fallback's place, because the station has no other level. It needs
    the fallback itself, `afterwards_a`, which is then its last period and has no end. Raises `ValueError` where the
    protocol forbids the combination.
    """
    _refuse(purpose, stack_level, transaction_id, afterwards_a)
    kind = Kind.ABSOLUTE if Kind.ABSOLUTE in passport.kinds or Kind.RELATIVE not in passport.kinds else Kind.RELATIVE
    unit = unit or preferred_unit(passport, is_dc=electrics.is_dc)
    phases, most = number_phases(unit, electrics), 1 if kind is Kind.RELATIVE else max(1, passport.max_periods)
    limits = tuple(written_or_paused(value_a, unit, electrics, passport) for value_a in steps.values)
    whole = Steps(steps.moments, limits, steps.end).merged()
    is_finite = afterwards_a is None
    last = None if afterwards_a is None else written(afterwards_a, unit, electrics, passport)
    if last is not None and most == 1:  # one limit without an end
        whole = Steps((whole.start,), (min(last, *whole.values),), whole.end)
    curve = _shortened(whole, most if last is None else max(1, most - 1), tail)
    periods = [
        Period(_offset_s(curve.start, moment), limit, phases)
        for moment, limit in zip(curve.moments, curve.values, strict=True)
    ]
    if last is not None and most > 1 and last != curve.values[-1]:
        periods.append(Period(_offset_s(curve.start, curve.end), last, phases))
    profile = ChargingProfile(
        profile_id=profile_id,
        stack_level=stack_level,
        purpose=purpose,
        unit=unit,
        start=curve.start,
        periods=tuple(periods),
        duration_s=_offset_s(curve.start, curve.end) if is_finite and kind is Kind.ABSOLUTE else None,
        valid_from=curve.start,
        valid_to=curve.end if is_finite else None,
        transaction_id=transaction_id,
        kind=kind,
    )
    per_ampere = 1.0 if unit is RateUnit.A else electrics.watts_per_ampere
    allowed = Steps(curve.moments, tuple(limit / per_ampere for limit in curve.values), curve.end)
    return Compiled(profile, allowed, *_beyond(steps, allowed), covers=curve == whole)


def plan_place(passport: Passport) -> tuple[Purpose, int]:
    """Purpose and stack level of a plan for a running transaction.

    A TxProfile above the fallback; at level 0 where the station has a single level, which is no conflict, since the
    fallback is of another purpose. A station that takes no TxProfile gets a TxDefaultProfile, above the fallback if
    it has a level for that, else in its place.
    """
    purpose = Purpose.TX if Purpose.TX in passport.purposes else Purpose.TX_DEFAULT
    return purpose, min(PLAN_STACK_LEVEL, passport.max_stack_level)


def _beyond(plan: Steps, allowed: Steps) -> tuple[float, tuple[tuple[datetime, datetime], ...]]:
    """By how much `allowed` is above the plan at most, and the stretches in which the plan is 0 and it is not."""
    excess_a = 0.0
    pauses: list[tuple[datetime, datetime]] = []
    moments = sorted({*allowed.moments, *(moment for moment in plan.moments if allowed.start < moment < allowed.end)})
    for moment, following in zip(moments, [*moments[1:], allowed.end], strict=True):
        above_a = allowed.at(moment) - plan.at(moment)
        if above_a > TOLERANCE:
            excess_a = max(excess_a, above_a)
            if pauses and pauses[-1][1] == moment:
                pauses[-1] = (pauses[-1][0], following)
            else:
                pauses.append((moment, following))
    return excess_a, tuple(pauses)


def _refuse(purpose: Purpose, stack_level: int, transaction_id: int | None, afterwards_a: float | None) -> None:
    if purpose is Purpose.TX and transaction_id is None:
        raise ValueError("a TxProfile needs the transaction that it is for")
    if purpose is not Purpose.TX and transaction_id is not None:
        raise ValueError(f"a {purpose} has no transaction")
    takes_its_place = purpose is Purpose.TX_DEFAULT and stack_level == 0
    if takes_its_place and afterwards_a is None:
        raise ValueError("stack level 0 of TxDefaultProfile belongs to the fallback: a plan needs 1 or more")
    if afterwards_a is not None and not takes_its_place:
        raise ValueError("only a TxDefaultProfile at stack level 0 goes on as the fallback")


def _offset_s(start: datetime, moment: datetime) -> int:
    return round((moment - start).total_seconds())


def _shortened(steps: Steps, periods: int, tail: Tail) -> Steps:
    if len(steps.moments) <= periods:
        return steps
    if tail == "end":
        return Steps(steps.moments[:periods], steps.values[:periods], steps.moments[periods])
    values = (*steps.values[: periods - 1], min(steps.values[periods - 1 :]))
    return Steps(steps.moments[:periods], values, steps.end).merged()


def _whole_second(end: datetime, began: datetime) -> datetime:
    """`end` without its fraction, yet after the curve's beginning."""
    return max(end.replace(microsecond=0), began + timedelta(seconds=1))
