"""Charge detail records: what a completed transaction delivered, how long it took, and how long the car only parked.

The energy is the station's register, because that is what is billed; it is compared with the integral of the power
that the same station reported, and flagged when the two disagree.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from app.db.records import Cdr, MeterValue, Transaction
from app.db.store import Store

MAX_RUNNING = 100_000
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
    """The record of a completed transaction; `values` are its meter values in any order.

    Power is held from each reading to the next one and to the stop. Parking time is the time between start and stop
    in which the power so held is under 50 W; before the first reading nothing is held, so nothing is counted.
    Raises `ValueError` for a running transaction.
    """
    if transaction.stopped_at is None or transaction.meter_stop_wh is None:
        raise ValueError(f"transaction {transaction.transaction_id} is still running")
    start, stop = transaction.started_at, transaction.stopped_at
    power_w = total_power_w(values)
    integrated_kwh, parking = _held(power_w, start, stop)
    energy_kwh = (transaction.meter_stop_wh - transaction.meter_start_wh) / 1000
    return Cdr(
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
        integrated_energy_kwh=integrated_kwh if power_w else None,
        peak_power_kw=max(power for _, power in power_w) / 1000 if power_w else None,
        flags=tuple(_flags(transaction, energy_kwh, integrated_kwh if power_w else None, stop)),
    )


def total_power_w(values: Iterable[MeterValue]) -> list[tuple[datetime, float]]:
    """Active import power in order of time: the total where it was sent, else the sum of the phases, never both."""
    totals: dict[datetime, float] = {}
    phases: dict[datetime, dict[str, float]] = {}
    for value in values:
        if value.measurand != "Power.Active.Import":
            continue
        if value.phase == "":
            totals[value.at] = value.value
        elif value.phase in ("L1", "L2", "L3"):
            phases.setdefault(value.at, {})[value.phase] = value.value
    summed = {at: sum(by_phase.values()) for at, by_phase in phases.items()}
    return sorted((summed | totals).items())


def register_factor(cdr: Cdr) -> float | None:
    """How many times the register reads what the integral says; None where the two cannot be compared."""
    if not cdr.integrated_energy_kwh or cdr.integrated_energy_kwh < COMPARED_ABOVE_KWH / 12:
        return None
    return cdr.energy_kwh / cdr.integrated_energy_kwh


async def settle(store: Store, transaction_ids: Sequence[int] | None = None) -> list[Cdr]:
    """Make and store the CDRs of these completed transactions, or of all that have none yet."""
    if transaction_ids is None:
        transactions = await store.transactions_without_cdr()
    else:
        transactions = [await store.transaction(transaction_id) for transaction_id in transaction_ids]
    cdrs = []
    for transaction in transactions:
        if not transaction.is_running:
            cdr = cdr_of(transaction, await store.meter_values(transaction_id=transaction.transaction_id))
            await store.save_cdr(cdr)
            cdrs.append(cdr)
    return cdrs


async def end_superseded(store: Store, station_id: str | None = None) -> list[Transaction]:
    """End every running transaction whose EVSE has started a newer one: its stop was lost, and will not come.

    A station tells of starts and stops in order, so the newer start says that the older stop is not on its way. It
    ends when it was last heard of, with the register of then: energy that nobody measured is billed to nobody.
    """
    by_evse: dict[tuple[str, int], list[Transaction]] = {}
    for transaction in await store.transactions(station_id=station_id, running=True, limit=MAX_RUNNING):
        by_evse.setdefault((transaction.station_id, transaction.evse_id), []).append(transaction)
    ended = []
    for running in by_evse.values():
        newest_first = sorted(running, key=lambda row: (row.started_at, row.transaction_id), reverse=True)
        for successor, lost in pairwise(newest_first):
            registers = await store.latest_energy_wh([lost.transaction_id])
            at, register_wh = registers.get(lost.transaction_id, (lost.started_at, lost.meter_start_wh))
            stopped_at = max(lost.started_at, min(at, successor.started_at))
            stopped, _ = await store.stop_transaction(
                lost.transaction_id, stopped_at=stopped_at, meter_stop_wh=register_wh, reason=LOST
            )
            ended.append(stopped)
    return ended


def _held(power_w: Sequence[tuple[datetime, float]], start: datetime, stop: datetime) -> tuple[float, timedelta]:
    """Energy in kWh and time below the parking power, each sample held until the next one or the stop."""
    energy_kwh, parking = 0.0, timedelta(0)
    for position, (at, power) in enumerate(power_w):
        until = power_w[position + 1][0] if position + 1 < len(power_w) else stop
        held = max(timedelta(0), min(until, stop) - max(at, start))
        energy_kwh += power / 1000 * (held / timedelta(hours=1))
        if power < PARKING_BELOW_W:
            parking += held
    return energy_kwh, parking


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
