"""An OCPP 1.6 message log becomes stations, transactions, meter values and CDRs. Importing it twice changes nothing.

Columns: message_id, message_type (2 call, 3 result), charge_point_id, action, write_timestamp, body (JSON, keys in
snake_case or camelCase). A message id is no key: a simulator gives all MeterValues of a transaction the same one.
Transactions are known by station and the id that the log's own CSMS gave them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median

from app.cdr import DISAGREES, register_factor
from app.db.records import EvseStatus, Transaction
from app.db.store import Store
from app.imports.imported_site import site_with_stations
from app.imports.log_messages import METER_VALUES, RESULT, Message, messages, moment
from app.imports.log_values import Key, store_meter_values
from app.imports.rows import Progress, Skipped, no_progress
from app.imports.unread import unread
from app.settlement import settle


@dataclass(slots=True)
class Imported:
    """What an import did, for the person who started it."""

    site_id: str
    rows: int = 0
    stations: int = 0
    new_stations: int = 0
    transactions: int = 0
    cdrs: int = 0
    meter_values: int = 0
    suspects: int = 0  # new ones in the quarantine: rows that could not be read as they are
    skipped: Skipped = field(default_factory=Skipped)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Found:
    """What the first pass remembers: everything but the meter values, which are many."""

    rows: int = 0
    connectors: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    last_seen_at: dict[str, datetime] = field(default_factory=dict)
    boots: dict[str, Message] = field(default_factory=dict)
    statuses: dict[tuple[str, int], EvseStatus] = field(default_factory=dict)
    starts: dict[Key, list[Message]] = field(default_factory=lambda: defaultdict(list))  # (station, message id)
    answers: dict[Key, list[Message]] = field(default_factory=lambda: defaultdict(list))  # (station, message id)
    stops: dict[Key, Message] = field(default_factory=dict)  # (station, transaction id)
    metered: set[Key] = field(default_factory=set)  # (station, transaction id) that meter values name


async def import_ocpp_log(
    store: Store, path: Path, *, site_id: str | None = None, progress: Callable[[str], Progress] | None = None
) -> Imported:
    """Import a log under the named site; stations that nobody knows are created there, in a new site if need be.

    `progress` is asked for a counter by the name of each phase. Raises `InvalidInputError` for an unreadable file.
    """
    counter = progress or (lambda _: no_progress)
    skipped = Skipped()
    reading = messages(path, skipped, counter("reading"), values=False)
    found = await asyncio.to_thread(_look_through, reading, skipped)  # the service's loop goes on meanwhile
    connectors = {station_id: found.connectors[station_id] for station_id in found.last_seen_at}
    site, new_stations = await site_with_stations(store, site_id or "imported", connectors)
    result = Imported(site.id, found.rows, len(found.last_seen_at), new_stations, skipped=skipped)
    await _store_stations(store, found)
    transactions = await _store_transactions(store, found, skipped)
    result.transactions = len(transactions)
    known = transactions | await _known_before(store, found.metered - set(transactions))
    result.meter_values = await store_meter_values(store, path, known, skipped, counter("storing meter values"))
    result.suspects = await store.add_suspects(unread(site.id, path.name, skipped))
    settling = counter("settling")
    cdrs = await settle(store, sorted({row.transaction_id for row in known.values()}), progress=settling)
    result.cdrs = len(cdrs)
    wrong = [cdr for cdr in cdrs if DISAGREES in cdr.flags]
    factors = [factor for cdr in wrong if (factor := register_factor(cdr)) is not None]
    if factors:
        result.warnings.append(
            f"the energy register disagrees with the integrated power by a factor of {median(factors):.3g} "
            f"in {len(wrong)} of {len(cdrs)} transactions; the CDRs report the register and are flagged {DISAGREES}"
        )
    return result


def _look_through(messages: Iterable[Message], skipped: Skipped) -> _Found:
    found = _Found()
    for message in messages:
        found.rows += 1
        try:
            _remember(found, message)
        except (TypeError, ValueError, OverflowError) as error:
            skipped.add(message.where, message.body, str(error))
    return found


def _remember(found: _Found, message: Message) -> None:
    station_id, key = message.station_id, (message.station_id, message.message_id)
    if message.message_type == RESULT:
        if message.action == "StartTransaction" and "transactionId" in message.body:
            _add_once(found.answers[key], message)
        return
    if message.action == METER_VALUES and "transactionId" in message.body:
        found.metered.add((station_id, str(message.body["transactionId"])))
    found.last_seen_at[station_id] = max(message.written_at, found.last_seen_at.get(station_id, message.written_at))
    connector_id = message.body.get("connectorId")
    if isinstance(connector_id, int) and connector_id > 0:
        found.connectors[station_id].add(connector_id)
    match message.action:
        case "BootNotification":
            known_boot = found.boots.get(station_id)
            if known_boot is None or known_boot.written_at <= message.written_at:
                found.boots[station_id] = message
        case "StatusNotification":
            status = _status(message)
            known = found.statuses.get((station_id, status.evse_id))
            if known is None or known.at <= status.at:
                found.statuses[station_id, status.evse_id] = status
        case "StartTransaction":
            _add_once(found.starts[key], message)
        case "StopTransaction":
            name = (station_id, str(message.body.get("transactionId")))
            if name not in found.stops or message.written_at < found.stops[name].written_at:
                found.stops[name] = message
        case _:
            pass


def _add_once(known: list[Message], message: Message) -> None:
    """A row that stands in the log twice is one."""
    if all(row.written_at != message.written_at or row.body != message.body for row in known):
        known.append(message)


def _named_starts(found: _Found, skipped: Skipped) -> Iterator[tuple[Message, str]]:
    """Each start with the transaction id in its answer. A message id may come again: the order of time tells apart."""
    for key, starts in found.starts.items():
        in_order = sorted(found.answers.get(key, ()), key=lambda answer: answer.written_at)
        for start in sorted(starts, key=lambda start: start.written_at):
            if in_order:
                yield start, str(in_order.pop(0).body["transactionId"])
            else:
                skipped.add(f"StartTransaction {start.message_id}", start.body, "has no answer with a transaction id")


async def _store_stations(store: Store, found: _Found) -> None:
    for station_id, seen_at in found.last_seen_at.items():
        columns: dict[str, object] = {"last_seen_at": seen_at}
        boot = found.boots.get(station_id)
        if boot is not None:
            columns |= {
                "booted_at": boot.written_at,
                "vendor": boot.body.get("chargePointVendor"),
                "model": boot.body.get("chargePointModel"),
                "serial": boot.body.get("chargePointSerialNumber"),
                "firmware": boot.body.get("firmwareVersion"),
            }
        known = (await store.station(station_id)).last_seen_at
        if known is None or known < seen_at:
            await store.update_station(station_id, **columns)
    for status in found.statuses.values():
        await store.set_evse_status(status)


async def _known_before(store: Store, names: Iterable[Key]) -> dict[Key, Transaction]:
    """Of these (station, the log's transaction id) those that an earlier log has brought."""
    found = {}
    for station_id, ocpp_id in sorted(names):
        row = await store.transaction_named(station_id, ocpp_id)
        if row is not None:
            found[station_id, ocpp_id] = row
    return found


async def _store_transactions(store: Store, found: _Found, skipped: Skipped) -> dict[Key, Transaction]:
    """(station, the log's transaction id) -> our transaction, of all that started or stopped in the log."""
    transactions: dict[Key, Transaction] = {}
    for start, ocpp_id in _named_starts(found, skipped):
        try:
            transactions[start.station_id, ocpp_id], _ = await store.start_transaction(
                station_id=start.station_id,
                evse_id=int(start.body["connectorId"]),
                id_tag=str(start.body["idTag"]),
                started_at=moment(start.body["timestamp"]),
                meter_start_wh=float(start.body["meterStart"]),
                ocpp_transaction_id=ocpp_id,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            skipped.add(f"transaction {ocpp_id} of {start.station_id}", start.body, repr(error))
    earlier = await _known_before(store, set(found.stops) - set(transactions))
    for (station_id, ocpp_id), stop in found.stops.items():
        transaction = transactions.get((station_id, ocpp_id)) or earlier.get((station_id, ocpp_id))
        try:
            if transaction is None:
                raise ValueError(f"transaction {ocpp_id} did not start in this log or an earlier one")
            transactions[station_id, ocpp_id], _ = await store.stop_transaction(
                transaction.transaction_id,
                stopped_at=moment(stop.body["timestamp"]),
                meter_stop_wh=float(stop.body["meterStop"]),
                reason=stop.body.get("reason"),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            skipped.add(stop.where, stop.body, str(error))
    return transactions


def _status(message: Message) -> EvseStatus:
    reported = message.body.get("timestamp")
    return EvseStatus(
        station_id=message.station_id,
        evse_id=int(message.body.get("connectorId", 0)),
        status=str(message.body.get("status", "Unknown")),
        error_code=str(message.body.get("errorCode", "NoError")),
        at=moment(reported) if reported else message.written_at,
    )
