"""What a meter said of one transaction, and what of it is not believed. Pure.

Nothing is dropped or corrected here: what is odd becomes a finding with a reason. Two kinds of samples are left out of
integrals and peaks, because one of them would spoil a month: more power than the EVSE can carry, and negative import.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import pairwise

from app.db.records import MeterValue, Suspect, Transaction

POWER, CURRENT, VOLTAGE = "Power.Active.Import", "Current.Import", "Voltage"
REGISTER, INTERVAL = "Energy.Active.Import.Register", "Energy.Active.Import.Interval"
PHASES = ("L1", "L2", "L3")
Samples = list[tuple[datetime, float]]

TOLERATED_EXCESS = 1.1  # a meter's error, voltage above nominal
NOISE_W = 50.0
NOISE_WH = 10.0
STUCK_FOR = timedelta(minutes=30)
STUCK_ABOVE_W = 1_000.0
PHASES_AGREE_WITHIN = 0.1
A_UNIT = 1_000.0
UNIT_WITHIN = 0.2  # how far from a factor of 1,000 two readings of one energy may be and still be that slip

UNREADABLE = "unreadable"
ASSUMED = "assumed"
POWER_ABOVE_LIMIT = "power_above_limit"
NEGATIVE_POWER = "negative_power"
PHASES_DISAGREE = "total_disagrees_with_phases"
POWER_FROM_CURRENT = "power_from_current"
REGISTER_RESET = "register_reset"
METER_STUCK = "meter_stuck"
REGISTERS_MIXED = "registers_mixed"
REGISTER_IN_KWH = "register_looks_like_kwh"
POWER_IN_KW = "power_looks_like_kw"
ENERGY_ABOVE_LIMIT = "energy_above_limit"
ABOVE_CONNECTION = "above_connection"

REASONS = {
    UNREADABLE: "the row or value could not be read; it is not stored elsewhere",
    ASSUMED: "read with a guess that is named: a time without a zone, a context that nobody knows",
    POWER_ABOVE_LIMIT: "more than the EVSE can carry; stored, and left out of energy and peak",
    ABOVE_CONNECTION: "more than twice what the connection, or all PV, can carry; not stored as a reading",
    NEGATIVE_POWER: "negative import; stored, and left out of energy and peak",
    PHASES_DISAGREE: "the total power is not the sum of the phases; the total is used",
    POWER_FROM_CURRENT: "no power was sent; it was taken from the current of each phase and the voltage",
    REGISTER_RESET: "the energy register fell",
    METER_STUCK: "the register stood still while the power said that energy flowed, or a meter repeated one value",
    REGISTERS_MIXED: "registers of the samples and of start and stop do not count the same: lifetime and session",
    REGISTER_IN_KWH: "the register is about a thousandth of the integrated power: kWh labelled Wh",
    POWER_IN_KW: "the integrated power is about a thousandth of the register: kW labelled W",
    ENERGY_ABOVE_LIMIT: "more energy than the EVSE can carry in the time",
}


@dataclass(frozen=True, slots=True)
class Finding:
    reason: str
    detail: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Metered:
    """Believed samples in order of time, and what was odd. Power in W, registers and intervals in Wh."""

    power_w: Samples
    register_wh: Samples
    interval_wh: Samples
    findings: list[Finding] = field(default_factory=list)


def metered(values: Iterable[MeterValue], *, max_power_kw: float | None = None, voltage_v: float = 230.0) -> Metered:
    """What `values`, in any order, say of power and energy. `max_power_kw`: what the EVSE can carry; None: unknown."""
    values = list(values)
    findings: list[Finding] = []
    power_w = _power_w(values, voltage_v, findings)
    return Metered(
        power_w=_believed(power_w, max_power_kw, findings),
        register_wh=_totals(values, REGISTER, all_phases=True),
        interval_wh=_totals(values, INTERVAL, all_phases=True),
        findings=findings,
    )


def examine(
    transaction: Transaction,
    meter: Metered,
    energy_kwh: float,
    integrated_kwh: float | None,
    max_power_kw: float | None,
) -> list[Finding]:
    """What is odd about a completed transaction's registers. `integrated_kwh` is by its power, None without any."""
    findings = list(_resets(meter.register_wh))
    findings += _stuck(meter)
    if not any(finding.reason == REGISTER_RESET for finding in findings):
        findings += _mixed(transaction, meter.register_wh)
    if integrated_kwh is not None and energy_kwh > 0 and integrated_kwh > 0:
        factor = energy_kwh / integrated_kwh
        if _is_about(factor, 1 / A_UNIT) and integrated_kwh > 1.0:
            findings.append(Finding(REGISTER_IN_KWH, f"{energy_kwh:g} kWh against {integrated_kwh:g} kWh by its power"))
        elif _is_about(factor, A_UNIT) and energy_kwh > 1.0:
            findings.append(Finding(POWER_IN_KW, f"{integrated_kwh:g} kWh by its power against {energy_kwh:g} kWh"))
    if max_power_kw is not None and transaction.stopped_at is not None:
        hours = max(timedelta(0), transaction.stopped_at - transaction.started_at) / timedelta(hours=1)
        most_kwh = max_power_kw * hours * TOLERATED_EXCESS + 0.2
        if energy_kwh > most_kwh:
            said = f"{energy_kwh:g} kWh in {hours:.2f} h at {max_power_kw:g} kW at most"
            findings.append(Finding(ENERGY_ABOVE_LIMIT, said))
    return findings


def suspect(
    site_id: str,
    reason: str,
    detail: str,
    *,
    at: datetime | None = None,
    source: str = "",
    transaction: Transaction | None = None,
    meter_id: str | None = None,
) -> Suspect:
    """The record of a finding; the same one again has the same id."""
    whose = "" if transaction is None else str(transaction.transaction_id)
    told = "\x1f".join([site_id, reason, detail, at.isoformat() if at else "", source, whose, meter_id or ""])
    return Suspect(
        suspect_id=blake2b(told.encode("utf-8", "replace"), digest_size=16).hexdigest(),
        site_id=site_id,
        reason=reason,
        detail="".join(letter if letter.isprintable() else "�" for letter in detail),  # PostgreSQL takes no NUL
        at=at,
        station_id=transaction.station_id if transaction else None,
        evse_id=transaction.evse_id if transaction else None,
        transaction_id=transaction.transaction_id if transaction else None,
        meter_id=meter_id,
        source="".join(filter(str.isprintable, source)),
    )


def suspects_of(transaction: Transaction, findings: Iterable[Finding]) -> list[Suspect]:
    """The findings about one transaction, for the quarantine."""
    return [
        suspect(transaction.site_id, finding.reason, finding.detail, at=finding.at, transaction=transaction)
        for finding in findings
    ]


def reason_of(violation: str) -> str:
    """Whether a message's reader could not read something, or read it with a guess."""
    return ASSUMED if "taken as" in violation or "is used" in violation else UNREADABLE


def total_power_w(values: Iterable[MeterValue]) -> Samples:
    """Active import power in order of time: the total where it was sent, else the sum of the phases, never both."""
    return _totals(values, POWER)


def _totals(values: Iterable[MeterValue], measurand: str, *, all_phases: bool = False) -> Samples:
    """With `all_phases` the sum of the phases counts only where all three are there."""
    totals: dict[datetime, float] = {}
    phases: dict[datetime, dict[str, float]] = {}
    for value in values:
        if value.measurand != measurand:
            continue
        if value.phase == "":  # of several contexts at one moment the larger, whatever their order
            totals[value.at] = max(value.value, totals.get(value.at, value.value))
        elif value.phase in PHASES:
            of_phase = phases.setdefault(value.at, {})
            of_phase[value.phase] = max(value.value, of_phase.get(value.phase, value.value))
    least = len(PHASES) if all_phases else 1
    summed = {
        at: sum(by_phase[phase] for phase in PHASES if phase in by_phase)
        for at, by_phase in phases.items()
        if len(by_phase) >= least
    }
    return sorted((summed | totals).items())


def _power_w(values: Sequence[MeterValue], voltage_v: float, findings: list[Finding]) -> Samples:
    power_w = total_power_w(values)
    if power_w:
        _compare_phases(values, findings)
        return power_w
    voltages = {(value.at, value.phase): value.value for value in values if value.measurand == VOLTAGE}
    by_moment: dict[datetime, float] = {}
    for value in sorted(values, key=lambda value: (value.at, value.phase, value.context)):
        if value.measurand == CURRENT and value.phase in PHASES:
            of_phase_w = value.value * (voltages.get((value.at, value.phase)) or voltage_v)
            by_moment[value.at] = by_moment.get(value.at, 0.0) + of_phase_w
    if by_moment:
        findings.append(Finding(POWER_FROM_CURRENT, f"{len(by_moment)} samples of current and none of power"))
    return sorted(by_moment.items())


def _compare_phases(values: Sequence[MeterValue], findings: list[Finding]) -> None:
    powers = [value for value in values if value.measurand == POWER]
    totals = dict(_totals([value for value in powers if value.phase == ""], POWER))
    by_phase = _totals([value for value in powers if value.phase != ""], POWER)
    apart = [
        (at, totals[at], summed)
        for at, summed in by_phase
        if at in totals and abs(totals[at] - summed) > max(NOISE_W, PHASES_AGREE_WITHIN * max(abs(totals[at]), summed))
    ]
    if apart:
        at, total, summed = apart[0]
        said = f"{len(apart)} samples; the first says {total:g} W in total and {summed:g} W by its phases"
        findings.append(Finding(PHASES_DISAGREE, said, at))


def _believed(power_w: Samples, max_power_kw: float | None, findings: list[Finding]) -> Samples:
    most_w = float("inf") if max_power_kw is None else max_power_kw * 1_000 * TOLERATED_EXCESS + NOISE_W
    kept = []
    for at, watt in power_w:
        if watt > most_w:
            findings.append(Finding(POWER_ABOVE_LIMIT, f"{watt:g} W where {max_power_kw:g} kW is the most", at))
        elif watt < -NOISE_W:
            findings.append(Finding(NEGATIVE_POWER, f"{watt:g} W of import", at))
        else:
            kept.append((at, max(0.0, watt)))
    return kept


def _resets(register_wh: Samples) -> Iterable[Finding]:
    for (_, before), (at, after) in pairwise(register_wh):
        if after < before - NOISE_WH:
            yield Finding(REGISTER_RESET, f"from {before:g} to {after:g} Wh", at)


def _stuck(meter: Metered) -> list[Finding]:
    """The first and longest stretches in which the register stands while power flows: one finding each."""
    findings: list[Finding] = []
    since: datetime | None = None
    for (start, before), (end, after) in pairwise(meter.register_wh):
        flowing = [watt for at, watt in meter.power_w if start <= at < end]
        stands = abs(after - before) < 1.0 and bool(flowing) and min(flowing) > STUCK_ABOVE_W
        since = (since or start) if stands else None
        if since is not None and end - since >= STUCK_FOR and not (findings and findings[-1].at == since):
            findings.append(Finding(METER_STUCK, f"the register stands at {after:g} Wh while power flows", since))
    return findings


def _mixed(transaction: Transaction, register_wh: Samples) -> list[Finding]:
    start_wh, stop_wh = transaction.meter_start_wh, transaction.meter_stop_wh
    if stop_wh is None or not register_wh:
        return []
    low, high = min(wh for _, wh in register_wh), max(wh for _, wh in register_wh)
    tolerated = max(1_000.0, 0.1 * abs(stop_wh - start_wh))
    if low >= min(start_wh, stop_wh) - tolerated and high <= max(start_wh, stop_wh) + tolerated:
        return []
    said = f"samples from {low:g} to {high:g} Wh, start and stop from {start_wh:g} to {stop_wh:g} Wh"
    return [Finding(REGISTERS_MIXED, said)]


def _is_about(factor: float, of: float) -> bool:
    return of / (1 + UNIT_WITHIN) <= factor <= of * (1 + UNIT_WITHIN)
