"""Meter values of OCPP 1.6, read as stations send them: with defaults left out, kilo-units, commas and slips.

Pure. What cannot be read is quoted in a violation and skipped; nothing raises, and nothing is guessed into a value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.csms.lenient import quote, read_count, read_number
from app.csms.timestamps import message_time, recorded_times
from app.db.records import MeterValue, Quantity

ENERGY = "Energy.Active.Import.Register"
POWER = "Power.Active.Import"
CURRENT = "Current.Import"
PHASES = ("L1", "L2", "L3")

# Unit as sent, lower case: (unit as stored, factor).
_UNITS = {
    "wh": ("Wh", 1.0),
    "kwh": ("Wh", 1e3),
    "mwh": ("Wh", 1e6),
    "varh": ("varh", 1.0),
    "kvarh": ("varh", 1e3),
    "w": ("W", 1.0),
    "kw": ("W", 1e3),
    "var": ("var", 1.0),
    "kvar": ("var", 1e3),
    "va": ("VA", 1.0),
    "kva": ("VA", 1e3),
    "a": ("A", 1.0),
    "ma": ("A", 1e-3),
    "v": ("V", 1.0),
    "percent": ("%", 1.0),
    "%": ("%", 1.0),
    "celsius": ("Celsius", 1.0),
    "celcius": ("Celsius", 1.0),  # the spelling of 1.6's own schema
    "c": ("Celsius", 1.0),
    "hz": ("Hz", 1.0),
}

# Measurand: the units it may have as stored, its default first. Fahrenheit and Kelvin are left out: nobody asked.
_MEASURANDS = {
    "Current.Export": ("A",),
    CURRENT: ("A",),
    "Current.Offered": ("A",),
    "Energy.Active.Export.Register": ("Wh",),
    ENERGY: ("Wh",),
    "Energy.Reactive.Export.Register": ("varh", "Wh"),
    "Energy.Reactive.Import.Register": ("varh", "Wh"),
    "Energy.Active.Export.Interval": ("Wh",),
    "Energy.Active.Import.Interval": ("Wh",),
    "Energy.Reactive.Export.Interval": ("varh", "Wh"),
    "Energy.Reactive.Import.Interval": ("varh", "Wh"),
    "Frequency": ("Hz",),
    "Power.Active.Export": ("W",),
    POWER: ("W",),
    "Power.Factor": ("", "%"),
    "Power.Offered": ("W",),
    "Power.Reactive.Export": ("var", "W"),
    "Power.Reactive.Import": ("var", "W"),
    "RPM": ("",),
    "SoC": ("%",),
    "Temperature": ("Celsius",),
    "Voltage": ("V",),
}
_MEASURAND_BY_LOWER = {name.lower(): name for name in _MEASURANDS}

_CONTEXTS = (
    "Interruption.Begin",
    "Interruption.End",
    "Other",
    "Sample.Clock",
    "Sample.Periodic",
    "Transaction.Begin",
    "Transaction.End",
    "Trigger",
)
_CONTEXT_BY_LOWER = {name.lower(): name for name in _CONTEXTS}

# Line to neutral is the phase itself; line to line stays what it is.
_PHASE = {"": "", "N": "N", "L1-L2": "L1-L2", "L2-L3": "L2-L3", "L3-L1": "L3-L1"}
_PHASE |= {spelling: phase for phase in PHASES for spelling in (phase, f"{phase}-N")}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Values in W, Wh, A, V or %, in the order sent, and what was wrong with the rest."""

    values: list[MeterValue]
    violations: list[str]


def parse(
    payload: dict[str, Any],
    *,
    station_id: str,
    received_at: datetime,
    evse_id: int | None = None,
    transaction_id: int | None = None,
) -> Parsed:
    """The values of a MeterValues or StopTransaction request (camelCase, as decoded JSON).

    `evse_id` and `transaction_id` overrule the payload's: a StopTransaction names no connector, and only the store
    knows whose a transaction is. `received_at` (aware UTC) stands in for timestamps that cannot be right.
    """
    violations: list[str] = []
    evse = evse_id if evse_id is not None else read_count(payload.get("connectorId"))
    if evse is None:
        return Parsed([], [f"connectorId {quote(payload.get('connectorId'))} is no connector"])
    if transaction_id is None:
        transaction_id = read_count(payload.get("transactionId")) or None  # 0 and -1 are "none" in the field

    groups = list(_objects(payload.get("meterValue", payload.get("transactionData")), "meterValue", violations))
    times = []
    for group in groups:
        time, wrong = message_time(group.get("timestamp"), received_at)
        times.append(time)
        violations += wrong

    rows: dict[tuple[datetime, str, str, str], MeterValue] = {}
    for at, group in zip(recorded_times(times), groups, strict=True):
        for sampled in _objects(group.get("sampledValue"), "sampledValue", violations):
            reading = _read_sampled(sampled, violations)
            if reading is None:
                continue
            measurand, value, unit, phase, context = reading
            key = (at, measurand, phase, context)
            if key in rows and sampled.get("location") == "Inlet":  # the station's supply never overrules the outlet
                continue
            rows[key] = MeterValue(
                station_id=station_id,
                evse_id=evse,
                at=at,
                measurand=measurand,
                value=value,
                unit=unit,
                transaction_id=transaction_id,
                phase=phase,
                context=context,
                received_at=received_at,
            )
    return Parsed(list(rows.values()), violations)


def quantity_of(
    measurand: str | None, unit: str | None, phase: str | None, context: str | None
) -> tuple[Quantity, float] | None:
    """What these words name, None absent, and the factor to the stored unit; None for a slip that `parse` records."""
    violations: list[str] = []
    words = {"measurand": measurand, "unit": unit, "phase": phase, "context": context}
    reading = _read_sampled({"value": 1.0} | words, violations)
    if reading is None or violations:
        return None
    read_measurand, factor, read_unit, read_phase, read_context = reading
    return Quantity(read_measurand, read_phase, read_context, read_unit), factor


def live_power_w(values: Sequence[MeterValue]) -> float | None:
    """Power drawn at the newest time that carries one: the total where it was sent, else the sum of the phases."""
    newest = _newest(values, POWER)
    if "" in newest:
        return newest[""]
    phases = [newest[phase] for phase in PHASES if phase in newest]
    return sum(phases) if phases else None


def live_current_a(values: Sequence[MeterValue]) -> dict[str, float]:
    """Current of each phase at the newest time that carries one; phases that were not sent are absent."""
    newest = _newest(values, CURRENT)
    return {phase: newest[phase] for phase in PHASES if phase in newest}


def live_energy_wh(values: Sequence[MeterValue]) -> float | None:
    """The energy register at the newest time that carries one: the total, else the sum when all phases are there."""
    newest = _newest(values, ENERGY)
    if "" in newest:
        return newest[""]
    return sum(newest[phase] for phase in PHASES) if all(phase in newest for phase in PHASES) else None


def _newest(values: Sequence[MeterValue], measurand: str) -> dict[str, float]:
    matching = [value for value in values if value.measurand == measurand]
    newest_at = max((value.at for value in matching), default=None)
    return {value.phase: value.value for value in matching if value.at == newest_at}


def _objects(value: Any, name: str, violations: list[str]) -> Iterator[dict[str, Any]]:
    """The objects of a list; a lone object is a list of one."""
    if value is None:
        return
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item
        else:
            violations.append(f"{name} {quote(item)} is no object")


def _read_sampled(sampled: dict[str, Any], violations: list[str]) -> tuple[str, float, str, str, str] | None:
    """(measurand, value, unit, phase, context) of one sampledValue; None, with a violation, when it is unusable."""
    measurand = _MEASURAND_BY_LOWER.get(_word(sampled, "measurand", ENERGY).lower())
    if measurand is None:
        violations.append(f"measurand {quote(sampled.get('measurand'))} is unknown")
        return None
    number = read_number(sampled.get("value"))
    if number is None:
        violations.append(f"{measurand} value {quote(sampled.get('value'))} is no number")
        return None
    allowed = _MEASURANDS[measurand]
    sent_unit = _word(sampled, "unit", "")
    unit, factor = _UNITS.get(sent_unit.lower(), ("", 0.0)) if sent_unit else (allowed[0], 1.0)
    if factor == 0.0 or unit not in allowed:
        violations.append(f"{measurand} unit {quote(sampled.get('unit'))} is none of its units")
        return None
    phase = _PHASE.get(_word(sampled, "phase", "").upper())
    if phase is None:
        violations.append(f"{measurand} phase {quote(sampled.get('phase'))} is unknown")
        return None
    sent_context = _word(sampled, "context", "Sample.Periodic")
    context = _CONTEXT_BY_LOWER.get(sent_context.lower())
    if context is None:
        violations.append(f"context {quote(sampled.get('context'))} is unknown; taken as Other")
        context = "Other"
    return measurand, number * factor, unit, phase, context


def _word(sampled: dict[str, Any], key: str, default: str) -> str:
    """The text under `key`; `default` when it is missing or blank; a text that matches nothing when it is no text."""
    value = sampled.get(key)
    if value is None:
        return default
    return (value.strip() or default) if isinstance(value, str) else "\0"
