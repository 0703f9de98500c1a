"""Meter values that are as they should be, read into typed structs: nine tenths of all that stations send.

Pure, and strict on purpose: whatever has a slip in it is None here and goes to `meter_values`, which forgives and
records. Of what this reads, both make the same rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from app.csms.lenient import MAX_INTEGER, MAX_MAGNITUDE
from app.csms.live_values import Live
from app.csms.meter_values import CURRENT, ENERGY, PHASES, POWER, quantity_of
from app.csms.timestamps import MessageTime
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


class UnitOfMeasure(msgspec.Struct, gc=False):
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


class Group2x(msgspec.Struct):
    timestamp: str
    sampledValue: list[Sampled2x]  # noqa: N815


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured at one time, each value in its quantity's unit."""

    at: datetime
    values: list[tuple[Quantity, float]]


def samples_of(groups: Iterable[Group16 | Group2x], received_at: datetime) -> list[Sample] | None:
    """The values of `groups`; None when one of them needs forgiving, or stands there twice."""
    samples = []
    times = set()
    for group in groups:
        at = _plausible(group.timestamp, received_at)
        values = [read for sampled in group.sampledValue if (read := _read(sampled)) is not None]
        if at is None or at in times or len(values) < len(group.sampledValue):
            return None
        if len({quantity[:3] for quantity, _ in values}) < len(values):
            return None
        times.add(at)
        samples.append(Sample(at, values))
    return samples


def live_of(samples: Sequence[Sample]) -> Live | None:
    """What the newest of `samples` says of power, current and energy; None when there is no value at all."""
    with_values = [sample for sample in samples if sample.values]
    if not with_values:
        return None
    newest = max(with_values, key=lambda sample: sample.at) if len(with_values) > 1 else with_values[0]
    by_measurand: dict[str, dict[str, float]] = {POWER: {}, CURRENT: {}, ENERGY: {}}
    for quantity, value in newest.values:
        by_phase = by_measurand.get(quantity.measurand)
        if by_phase is not None:
            by_phase[quantity.phase] = value  # of one phase in several contexts the last, as in `meter_values`
    power, current, energy = by_measurand[POWER], by_measurand[CURRENT], by_measurand[ENERGY]
    return Live(
        newest.at,
        power_w=power.get("", sum(power[phase] for phase in PHASES if phase in power) if _has_phase(power) else None),
        current_a={phase: current[phase] for phase in PHASES if phase in current},
        energy_wh=energy.get("", sum(energy[phase] for phase in PHASES) if _has_phases(energy) else None),
    )


def _has_phase(by_phase: dict[str, float]) -> bool:
    return any(phase in by_phase for phase in PHASES)


def _has_phases(by_phase: dict[str, float]) -> bool:
    return all(phase in by_phase for phase in PHASES)


_QUANTITIES: dict[tuple[str | None, str | None, str | None, str | None], tuple[Quantity, float]] = {}


def _read(sampled: Sampled16 | Sampled2x) -> tuple[Quantity, float] | None:
    value = sampled.value
    if isinstance(sampled, Sampled16):
        unit = sampled.unit
    elif (measured := sampled.unitOfMeasure) is not None:
        unit = measured.unit
        value *= 10.0**measured.multiplier
    else:
        unit = None
    spelled = (sampled.measurand, unit, sampled.phase, sampled.context)
    found = _QUANTITIES.get(spelled)
    if found is None:
        found = quantity_of(*spelled)
        if found is None:
            return None
        if len(_QUANTITIES) < MAX_QUANTITIES:
            _QUANTITIES[spelled] = found
    quantity, factor = found
    return quantity, value * factor


def _plausible(text: str, received_at: datetime) -> datetime | None:
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
    return at if MessageTime(at, received_at).is_plausible else None
