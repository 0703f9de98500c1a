"""From a plan to a charging profile that one charging station accepts, and to JSON and back.

Pure. Limits come in as A per phase; W, phases, one decimal, the number of periods and the difference between clocks
are this module's business and nobody else's. A compiled profile never allows more than the plan it came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Any, Literal

from app.csms.connector import ChargingProfile, Passport, Period, Purpose, RateUnit
from app.csms.steps import Steps, evaluated

FALLBACK_START = datetime(2020, 1, 1, tzinfo=UTC)  # the same for ever: sending the fallback again changes nothing
FALLBACK_PROFILE_ID = 1
START_AHEAD_S = 60  # a schedule starts this long ago, so that a slow clock has no gap without any limit

Tail = Literal["end", "lowest"]


@dataclass(frozen=True, slots=True)
class Electrics:
    """How amperes become watts at one EVSE. `phases` None: not known.

    W is the sum of all phases, and a one-phase vehicle puts all of it on one. So an unknown number counts one:
    whatever the vehicle uses, no phase carries more than was planned. DC draws evenly from its wired phases.
    """

    voltage_v: float = 230.0  # line to neutral
    phases: int | None = None
    is_dc: bool = False

    @property
    def watts_per_ampere(self) -> float:
        return self.voltage_v * (self.phases or 1)


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
        periods=(Period(0, _limit(current_a, unit, electrics), _number_phases(unit, electrics)),),
    )


def compile_profile(
    limits_a: Sequence[float],
    *,
    start: datetime,
    slot_minutes: int,
    now: datetime,
    valid_until: datetime,
    passport: Passport,
    purpose: Purpose,
    stack_level: int,
    profile_id: int,
    transaction_id: int | None,
    voltage_v: float = 230.0,
    phases: int | None = None,
    is_dc: bool = False,
    skew_s: float = 60.0,
) -> ChargingProfile:
    """The plan's limits from `now` on as one finite profile: `limits_a[i]` A per phase in the slot i from `start`.

    It ends with `valid_until`, the plan, or where the station's periods run out, whichever comes first. A lowering
    comes skew_s / 2 ahead of its slot and a raise as much behind: with clocks that differ by no more than `skew_s`
    no two stations ever hold the high sides of one boundary at once. Raises `ValueError` where 1.6 forbids the
    combination, or nothing of the plan is left.
    """
    steps = cautious_steps(
        limits_a, start=start, slot_minutes=slot_minutes, now=now, valid_until=valid_until, skew_s=skew_s
    )
    return profile_of_steps(
        steps,
        passport=passport,
        purpose=purpose,
        stack_level=stack_level,
        profile_id=profile_id,
        transaction_id=transaction_id,
        electrics=Electrics(voltage_v, phases, is_dc),
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


def profile_of_steps(
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
) -> ChargingProfile:
    """A curve in A per phase, on whole seconds, as one finite profile.

    Where it has more steps than the station takes periods, the first ones are kept as they are, and then the profile
    ends (`tail` "end") or its last period holds the lowest of the rest ("lowest"): never more than the curve.
    """
    if purpose is Purpose.TX and transaction_id is None:
        raise ValueError("a TxProfile needs the transaction that it is for")
    if purpose is not Purpose.TX and transaction_id is not None:
        raise ValueError(f"a {purpose} has no transaction")
    if purpose is Purpose.TX_DEFAULT and stack_level < 1:
        raise ValueError("stack level 0 of TxDefaultProfile belongs to the fallback: a plan needs 1 or more")
    unit = unit or preferred_unit(passport, is_dc=electrics.is_dc)
    limits = tuple(_limit(value_a, unit, electrics) for value_a in steps.values)
    curve = _shortened(Steps(steps.moments, limits, steps.end).merged(), max(1, passport.max_periods), tail)
    return ChargingProfile(
        profile_id=profile_id,
        stack_level=stack_level,
        purpose=purpose,
        unit=unit,
        start=curve.start,
        periods=tuple(
            Period(round((moment - curve.start).total_seconds()), limit, _number_phases(unit, electrics))
            for moment, limit in zip(curve.moments, curve.values, strict=True)
        ),
        duration_s=round((curve.end - curve.start).total_seconds()),
        valid_from=curve.start,
        valid_to=curve.end,
        transaction_id=transaction_id,
    )


def preferred_unit(passport: Passport, *, is_dc: bool = False) -> RateUnit:
    """A where the station takes it, because it means the same whatever the vehicle; W for DC."""
    wished = RateUnit.W if is_dc else RateUnit.A
    return wished if wished in passport.units or not passport.units else next(iter(passport.units))


def floored(limit: float) -> float:
    """One decimal, never more than `limit`: 1.6 refuses a second one."""
    return floor(limit * 10 + 1e-6) / 10  # 16.1 is 16.1 and not 16.0, whatever its nearest float


def profile_to_json(profile: ChargingProfile) -> dict[str, Any]:
    """As the store keeps it; absent where the profile says nothing."""
    optional = {
        "duration_s": profile.duration_s,
        "valid_from": profile.valid_from and profile.valid_from.isoformat(),
        "valid_to": profile.valid_to and profile.valid_to.isoformat(),
        "transaction_id": profile.transaction_id,
    }
    return {
        "profile_id": profile.profile_id,
        "stack_level": profile.stack_level,
        "purpose": profile.purpose.value,
        "unit": profile.unit.value,
        "start": profile.start.isoformat(),
        "periods": [
            {"start_s": period.start_s, "limit": period.limit}
            | ({} if period.number_phases is None else {"number_phases": period.number_phases})
            for period in profile.periods
        ],
    } | {key: value for key, value in optional.items() if value is not None}


def profile_from_json(document: dict[str, Any]) -> ChargingProfile:
    """The inverse of `profile_to_json`. Raises `KeyError` and `ValueError` on anything else."""
    valid_from, valid_to = document.get("valid_from"), document.get("valid_to")
    return ChargingProfile(
        profile_id=int(document["profile_id"]),
        stack_level=int(document["stack_level"]),
        purpose=Purpose(document["purpose"]),
        unit=RateUnit(document["unit"]),
        start=datetime.fromisoformat(document["start"]),
        periods=tuple(
            Period(int(period["start_s"]), float(period["limit"]), period.get("number_phases"))
            for period in document["periods"]
        ),
        duration_s=document.get("duration_s"),
        valid_from=None if valid_from is None else datetime.fromisoformat(valid_from),
        valid_to=None if valid_to is None else datetime.fromisoformat(valid_to),
        transaction_id=document.get("transaction_id"),
    )


def _limit(limit_a: float, unit: RateUnit, electrics: Electrics) -> float:
    return floored(limit_a if unit is RateUnit.A else limit_a * electrics.watts_per_ampere)


def _number_phases(unit: RateUnit, electrics: Electrics) -> int | None:
    """Said only where it is known and turns W into A: A is per phase whatever their number."""
    return None if unit is RateUnit.A or electrics.is_dc else electrics.phases


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
