"""Charge detail records: what a completed transaction delivered, how long it took, and how long the car only parked.

The energy is the station's register, because that is what is billed; it is compared with the integral of the power
that the same station reported, and flagged when the two disagree.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from app.db.records import Cdr, MeterValue, Transaction
from app.plausibility import Finding, Metered, examine, metered, total_power_w

__all__ = ["LOST", "cdr_of", "record", "register_factor", "total_power_w"]

PARKING_BELOW_W = 50.0
TOLERATED_SHARE = 0.1  # by which register and integral may differ: a sample is held until the next one
COMPARED_ABOVE_KWH = 0.2  # below it the difference is one sample's worth

DISAGREES = "energy_register_disagrees"
NO_METER_VALUES = "no_meter_values"
NEGATIVE_ENERGY = "negative_energy"
STOP_BEFORE_START = "stop_before_start"
STOP_LOST = "stop_lost"  # nobody said when it ended: its last register stands in
LOST = "StopLost"  # the stop reason of such a transaction; OCPP's own list has none for it


def cdr_of(transaction: Transaction, values: Iterable[MeterValue]) -> Cdr:
    """The record of a completed transaction without its money; `values` are its meter values in any order.

    Power is held from each reading to the next one and to the stop. Parking time is the time between start and stop
    in which the power so held is under 50 W; before the first reading nothing is held, so nothing is counted.
    Raises `ValueError` for a running transaction.
    """
    return record(transaction, metered(values), max_power_kw=None)[0]


def record(transaction: Transaction, meter: Metered, *, max_power_kw: float | None) -> tuple[Cdr, list[Finding]]:
    """The same, with every finding of the plausibility layer; their reasons are among the record's flags."""
    if transaction.stopped_at is None or transaction.meter_stop_wh is None:
        raise ValueError(f"transaction {transaction.transaction_id} is still running")
    start, stop = transaction.started_at, transaction.stopped_at
    held_kwh, parking, charging = _held(meter.power_w, start, stop)
    energy_kwh = (transaction.meter_stop_wh - transaction.meter_start_wh) / 1000
    integrated_kwh = held_kwh if meter.power_w else None
    if integrated_kwh is None and meter.interval_wh:
        integrated_kwh = sum(wh for _, wh in meter.interval_wh) / 1000
    findings = [*meter.findings, *examine(transaction, meter, energy_kwh, integrated_kwh, max_power_kw)]
    reasons = dict.fromkeys(finding.reason for finding in findings)
    cdr = Cdr(
        transaction_id=transaction.transaction_id,
        site_id=transaction.site_id,
        station_id=transaction.station_id,
        evse_id=transaction.evse_id,
        id_tag=transaction.id_tag,
        start=start,
        stop=stop,
        energy_kwh=energy_kwh,
        total_time_h=max(timedelta(0), stop - start) / timedelta(hours=1),
        parking_time_h=parking / timedelta(hours=1),
        integrated_energy_kwh=integrated_kwh,
        peak_power_kw=max(power for _, power in meter.power_w) / 1000 if meter.power_w else None,
        flags=(*_flags(transaction, energy_kwh, integrated_kwh, stop), *reasons),
        charging_time_h=charging / timedelta(hours=1) if meter.power_w else None,
    )
    return cdr, findings


def register_factor(cdr: Cdr) -> float | None:
    """How many times the register reads what the integral says; None where the two cannot be compared."""
    if not cdr.integrated_energy_kwh or cdr.integrated_energy_kwh < COMPARED_ABOVE_KWH / 12:
        return None
    return cdr.energy_kwh / cdr.integrated_energy_kwh


def _held(
    power_w: Sequence[tuple[datetime, float]], start: datetime, stop: datetime
) -> tuple[float, timedelta, timedelta]:
    """Energy in kWh, and time below and from the parking power on; a sample is held until the next one or the stop."""
    energy_kwh, parking, charging = 0.0, timedelta(0), timedelta(0)
    for position, (at, power) in enumerate(power_w):
        until = power_w[position + 1][0] if position + 1 < len(power_w) else stop
        held = max(timedelta(0), min(until, stop) - max(at, start))
        energy_kwh += power / 1000 * (held / timedelta(hours=1))
        if power < PARKING_BELOW_W:
            parking += held
        else:
            charging += held
    return energy_kwh, parking, charging


def _flags(transaction: Transaction, energy_kwh: float, integrated_kwh: float | None, stop: datetime) -> Iterable[str]:
    if transaction.stop_reason == LOST:
        yield STOP_LOST
    if energy_kwh < 0:
        yield NEGATIVE_ENERGY
    if stop < transaction.started_at:
        yield STOP_BEFORE_START
    if integrated_kwh is None:
        yield NO_METER_VALUES
    elif max(energy_kwh, integrated_kwh) > COMPARED_ABOVE_KWH and (
        abs(energy_kwh - integrated_kwh) > TOLERATED_SHARE * max(energy_kwh, integrated_kwh)
    ):
        yield DISAGREES
