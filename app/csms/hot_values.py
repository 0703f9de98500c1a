"""Meter values that are as they should be, read into typed structs: nine tenths of all that stations send.

Pure, and strict on purpose: whatever has a slip in it is None here and goes to `meter_values`, which forgives and
records. Of what this reads, both make the same rows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter, itemgetter
from typing import Annotated, ClassVar, NamedTuple

import msgspec

from app.csms.lenient import MAX_INTEGER, MAX_MAGNITUDE
from app.csms.live_values import Live
from app.csms.meter_values import CURRENT, ENERGY, PHASES, POWER, quantity_of
from app.csms.timestamps import FIRST_PLAUSIBLE_YEAR, MAX_SKEW
from app.db.records import Quantity

MAX_QUANTITIES = 4_096  # different combinations of measurand, unit, phase and context; a station uses a dozen
_SHORTEST_TIME = len("2026-01-01T00:00Z")

Value = Annotated[float, msgspec.Meta(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE)]  # NaN is outside, too
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class Sampled16(msgspec.Struct, gc=False):
    """1.6: `value` is a text there; decoders of it are not `strict`."""

    value: Value
    measurand: str | None = None
    unit: str | None = None
    phase: str | None = None
    context: str | None = None


class UnitOfMeasure(msgspec.Struct, gc=False, frozen=True):
    unit: str | None = None
    multiplier: Annotated[int, msgspec.Meta(ge=-9, le=9)] = 0


class Sampled2x(msgspec.Struct, gc=False):
    """2.0.1 and 2.1: the unit has a power of ten."""

    value: Value
    measurand: str | None = None
    unitOfMeasure: UnitOfMeasure | None = None  # noqa: N815  # OCPP's name
    phase: str | None = None
    context: str | None = None


class Group16(msgspec.Struct):
    timestamp: str
    sampledValue: list[Sampled16]  # noqa: N815

    spelled: ClassVar = attrgetter("measurand", "unit", "phase", "context")


class Group2x(msgspec.Struct):
    timestamp: str
    sampledValue: list[Sampled2x]  # noqa: N815

    spelled: ClassVar = attrgetter("measurand", "unitOfMeasure", "phase", "context")


class Sample(NamedTuple):
    """What was measured at one time, each value in its quantity's unit; and what of it is live.

    `live` is power, current and energy, each by phase; "" is the total.
    """

    at: datetime
    values: list[tuple[Quantity, float]]
    live: tuple[dict[str, float], dict[str, float], dict[str, float]]


def samples_of(groups: Sequence[Group16] | Sequence[Group2x], received_at: datetime) -> list[Sample] | None:
    """The values of `groups`; None when one of them needs forgiving, or stands there twice."""
    samples: list[Sample] = []
    times = set()
    for group in groups:
        at = plausible_time(group.timestamp, received_at)
        sample = None if at is None or at in times else _sample(group, at)
        if sample is None:
            return None
        times.add(at)
        samples.append(sample)
    return samples


def live_of(samples: Sequence[Sample]) -> Live | None:
    """What the newest of `samples` says of power, current and energy; None when there is no value at all."""
    with_values = [sample for sample in samples if sample.values]
    if not with_values:
        return None
    newest = with_values[0] if len(with_values) == 1 else max(with_values, key=_at)
    power, current, _ = newest.live
    power_w = power.get("")
    if power_w is None and power:
        phases = [power[phase] for phase in PHASES if phase in power]
        power_w = sum(phases) if phases else None
    currents_a = {phase: current[phase] for phase in PHASES if phase in current}
    return Live(newest.at, power_w, currents_a, total_energy_wh(newest))


def total_energy_wh(sample: Sample) -> float | None:
    """The energy register: the total, else the sum where all phases are there."""
    energy = sample.live[_LIVE[ENERGY]]
    if "" in energy:
        return energy[""]
    return sum(energy[phase] for phase in PHASES) if all(phase in energy for phase in PHASES) else None


class _Known(NamedTuple):
    """What the words of a sampled value mean. `number` is one for each measurand, phase and context."""

    quantity: Quantity
    factor: float
    number: int
    live: int | None  # its place in `Sample.live`


_KNOWN: dict[object, _Known] = {}
_NUMBERS: dict[tuple[str, str, str], int] = {}
_LIVE = {POWER: 0, CURRENT: 1, ENERGY: 2}
_at = itemgetter(0)


def _sample(group: Group16 | Group2x, at: datetime) -> Sample | None:
    sample = Sample(at, [], ({}, {}, {}))
    spelled, values, numbers = group.spelled, sample.values, set()
    for sampled in group.sampledValue:
        words = spelled(sampled)
        known = _KNOWN.get(words) or _learn(words)
        if known is None:
            return None
        quantity, factor, number, live = known
        value = sampled.value * factor
        values.append((quantity, value))
        numbers.add(number)
        if live is not None:
            sample.live[live][quantity.phase] = value  # of one phase in several contexts the last, as in `meter_values`
    return sample if len(numbers) == len(values) else None


def _learn(words: tuple[str | None, UnitOfMeasure | str | None, str | None, str | None]) -> _Known | None:
    measurand, unit, phase, context = words
    power_of_ten = 1.0
    if isinstance(unit, UnitOfMeasure):
        power_of_ten, unit = 10.0**unit.multiplier, unit.unit
    found = quantity_of(measurand, unit, phase, context)
    if found is None:
        return None
    quantity, factor = found
    number = _NUMBERS.setdefault((quantity.measurand, quantity.phase, quantity.context), len(_NUMBERS))
    known = _Known(quantity, factor * power_of_ten, number, _LIVE.get(quantity.measurand))
    if len(_KNOWN) < MAX_QUANTITIES:
        _KNOWN[words] = known
    return known


def plausible_time(text: str, received_at: datetime) -> datetime | None:
    """The time that `text` says, UTC; None where it says none, or one that cannot be right."""
    if len(text) < _SHORTEST_TIME:
        return None
    try:
        reported = datetime.fromisoformat(text)
    except ValueError:
        return None
    if reported.tzinfo is None:
        return None
    try:
        at = reported if reported.tzinfo is UTC else reported.astimezone(UTC)
    except OverflowError:
        return None
    return at if at.year >= FIRST_PLAUSIBLE_YEAR and at <= received_at + MAX_SKEW else None  # as `is_plausible`
