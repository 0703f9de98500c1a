"""An OCPP 1.6 message log becomes stations, transactions, meter values and CDRs. Importing it twice changes nothing.

Columns: message_id, message_type (2 call, 3 result), charge_point_id, action, write_timestamp, body (JSON, keys in
snake_case or camelCase). A message id is no key: a simulator gives all MeterValues of a transaction the same one.
Transactions are known by station and the id that the log's own CSMS gave them.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.cdr import DISAGREES, register_factor, settle
from app.csms.meter_values import parse
from app.db.records import EvseStatus, MeterValue, Transaction
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError
from app.imports.rows import Progress, Skipped, no_progress, read_rows
from app.site import Site, StationId

BATCH = 20_000
CALL, RESULT = 2, 3
Key = tuple[str, str]
STATION_ID: TypeAdapter[str] = TypeAdapter(StationId)


@dataclass(frozen=True, slots=True)
class Message:
    """One row of the log; `body` with camelCase keys and without nulls, as it went over the wire."""

    message_id: str
    message_type: int
    station_id: str
    action: str
    written_at: datetime
    body: dict[str, Any]


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


async def import_ocpp_log(
    store: Store, path: Path, *, site_id: str | None = None, progress: Callable[[str], Progress] | None = None
) -> Imported:
    """Import a log under the named site; stations that nobody knows are created there, in a new site if need be.

    `progress` is asked for a counter by the name of each phase. Raises `InvalidInputError` for an unreadable file.
    """
    counter = progress or (lambda _: no_progress)
    skipped = Skipped()
    found = _look_through(_messages(path, skipped, counter("reading")), skipped)
    site, new_stations = await _site_with_stations(store, site_id or "imported", found)
    result = Imported(site.id, found.rows, len(found.last_seen_at), new_stations, skipped=skipped)
    await _store_stations(store, found)
    earlier = await _left_running(store, found)
    transactions = await _store_transactions(store, found, earlier, skipped)
    result.transactions = len(transactions)
    again = _messages(path, Skipped(), counter("storing meter values"))  # its unreadable rows are counted already
    result.meter_values = await _store_meter_values(store, again, earlier | transactions, skipped)
    cdrs = await settle(store, sorted({row.transaction_id for row in transactions.values()}))
    result.cdrs = len(cdrs)
    wrong = [cdr for cdr in cdrs if DISAGREES in cdr.flags]
    factors = [factor for cdr in wrong if (factor := register_factor(cdr)) is not None]
    if factors:
        result.warnings.append(
            f"the energy register disagrees with the integrated power by a factor of {median(factors):.3g} "
            f"in {len(wrong)} of {len(cdrs)} transactions; the CDRs report the register and are flagged {DISAGREES}"
        )
    return result


def _messages(path: Path, skipped: Skipped, progress: Progress) -> Iterator[Message]:
    for place, row in read_rows(path, skipped, progress):
        try:
            yield _message(row)
        except KeyError as error:
            skipped.add(place, row, f"no {error} column")
        except ValidationError:
            skipped.add(place, row, f"{row['charge_point_id']!r} is no charging station's id")
        except RecursionError:
            skipped.add(place, row, "the body is nested too deep")
        except (TypeError, ValueError, OverflowError) as error:
            skipped.add(place, row, str(error))


def _message(row: dict[str, Any]) -> Message:
    body = row["body"]
    parsed = json.loads(body) if isinstance(body, str) else body
    if not isinstance(parsed, dict):
        raise TypeError("the body is no JSON object")
    return Message(
        message_id=str(row["message_id"]),
        message_type=int(row["message_type"]),
        station_id=STATION_ID.validate_python(row["charge_point_id"]),
        action=str(row["action"]),
        written_at=_moment(row["write_timestamp"]),
        body=_on_the_wire(parsed),
    )


def _look_through(messages: Iterable[Message], skipped: Skipped) -> _Found:
    found = _Found()
    for message in messages:
        found.rows += 1
        try:
            _remember(found, message)
        except (TypeError, ValueError, OverflowError) as error:
            skipped.add(f"{message.action} of {message.station_id} at {message.written_at}", message.body, str(error))
    return found


def _remember(found: _Found, message: Message) -> None:
    station_id, key = message.station_id, (message.station_id, message.message_id)
    if message.message_type == RESULT:
        if message.action == "StartTransaction" and "transactionId" in message.body:
            found.answers[key].append(message)
        return
    found.last_seen_at[station_id] = max(message.written_at, found.last_seen_at.get(station_id, message.written_at))
    connector_id = message.body.get("connectorId")
    if isinstance(connector_id, int) and connector_id > 0:
        found.connectors[station_id].add(connector_id)
    match message.action:
        case "BootNotification":
            found.boots[station_id] = message
        case "StatusNotification":
            status = _status(message)
            known = found.statuses.get((station_id, status.evse_id))
            if known is None or known.at <= status.at:
                found.statuses[station_id, status.evse_id] = status
        case "StartTransaction":
            found.starts[key].append(message)
        case "StopTransaction":
            found.stops.setdefault((station_id, str(message.body.get("transactionId"))), message)
        case _:
            pass


def _named_starts(found: _Found, skipped: Skipped) -> Iterator[tuple[Message, str]]:
    """Each start with the transaction id in its answer. A message id may come again: the order of time tells apart."""
    for key, starts in found.starts.items():
        in_order = sorted(found.answers.get(key, ()), key=lambda answer: answer.written_at)
        for start in sorted(starts, key=lambda start: start.written_at):
            if in_order:
                yield start, str(in_order.pop(0).body["transactionId"])
            else:
                skipped.add(f"StartTransaction {start.message_id}", start.body, "has no answer with a transaction id")


async def _site_with_stations(store: Store, site_id: str, found: _Found) -> tuple[Site, int]:
    """The site whose document knows every station of the log that no other site has, and how many are new to it."""
    try:
        site = await store.site(site_id)
    except NotFoundError:
        # Prices unknown and nothing sent: its operator completes it. An invented tariff would be a lie.
        site = _new_site(site_id)
    known = {station.station_id for station in await store.stations()}
    new = [
        {
            "id": station_id,
            "evses": [{"id": number} for number in sorted(found.connectors[station_id] or {1})],
            "isolated": True,  # what is only known from a log is not taken for a load on this site's fuses
        }
        for station_id in sorted(found.last_seen_at)
        if station_id not in known
    ]
    if new or not known:
        document = site.model_dump(mode="json")
        document["charging_stations"] += new
        site = Site.model_validate_json(json.dumps(document))
        await store.save_site(site)
    return site, len(new)


def _new_site(site_id: str) -> Site:
    try:
        return Site.model_validate(
            {
                "id": site_id,
                "name": site_id,
                "time_zone": "UTC",
                "mode": "shadow",
                "connection": {},
                "tariff": {"kind": "series"},
            }
        )
    except ValidationError as error:
        raise InvalidInputError("site", f"{site_id!r} cannot be a site's id: {error.errors()[0]['msg']}") from error


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


async def _left_running(store: Store, found: _Found) -> dict[Key, Transaction]:
    """(station, the log's transaction id) -> a transaction whose stop an earlier log did not hold."""
    return {
        (station_id, row.ocpp_transaction_id): row
        for station_id in found.last_seen_at
        for row in await store.transactions(station_id=station_id, running=True)
        if row.ocpp_transaction_id is not None
    }


async def _store_transactions(
    store: Store, found: _Found, earlier: Mapping[Key, Transaction], skipped: Skipped
) -> dict[Key, Transaction]:
    """(station, the log's transaction id) -> our transaction, of all that started or stopped in the log."""
    transactions: dict[Key, Transaction] = {}
    for start, ocpp_id in _named_starts(found, skipped):
        try:
            transactions[start.station_id, ocpp_id], _ = await store.start_transaction(
                station_id=start.station_id,
                evse_id=int(start.body["connectorId"]),
                id_tag=str(start.body["idTag"]),
                started_at=_moment(start.body["timestamp"]),
                meter_start_wh=float(start.body["meterStart"]),
                ocpp_transaction_id=ocpp_id,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            skipped.add(f"transaction {ocpp_id} of {start.station_id}", start.body, repr(error))
    for (station_id, ocpp_id), stop in found.stops.items():
        transaction = transactions.get((station_id, ocpp_id)) or earlier.get((station_id, ocpp_id))
        try:
            if transaction is None:
                raise ValueError(f"transaction {ocpp_id} did not start in this log or an earlier one")
            transactions[station_id, ocpp_id], _ = await store.stop_transaction(
                transaction.transaction_id,
                stopped_at=_moment(stop.body["timestamp"]),
                meter_stop_wh=float(stop.body["meterStop"]),
                reason=stop.body.get("reason"),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            skipped.add(f"StopTransaction of {station_id}", stop.body, str(error))
    return transactions


async def _store_meter_values(
    store: Store, messages: Iterable[Message], transactions: dict[Key, Transaction], skipped: Skipped
) -> int:
    batch: list[MeterValue] = []
    stored = 0
    for message in messages:
        if message.message_type != CALL or not {"meterValue", "transactionData"} & set(message.body):
            continue
        transaction = transactions.get((message.station_id, str(message.body.get("transactionId"))))
        parsed = parse(
            message.body,
            station_id=message.station_id,
            received_at=message.written_at,
            evse_id=transaction.evse_id if transaction else None,
        )
        for violation in parsed.violations:
            skipped.add(f"{message.action} of {message.station_id} at {message.written_at}", message.body, violation)
        ours = transaction.transaction_id if transaction else None
        batch += [replace(value, transaction_id=ours) for value in parsed.values]
        if len(batch) >= BATCH:
            stored += await store.import_meter_values(batch)
            batch = []
    return stored + await store.import_meter_values(batch)


def _status(message: Message) -> EvseStatus:
    reported = message.body.get("timestamp")
    return EvseStatus(
        station_id=message.station_id,
        evse_id=int(message.body.get("connectorId", 0)),
        status=str(message.body.get("status", "Unknown")),
        error_code=str(message.body.get("errorCode", "NoError")),
        at=_moment(reported) if reported else message.written_at,
    )


def _moment(value: object) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError(f"{value} has no time zone")
    return moment.astimezone(UTC)


def _on_the_wire(value: Any) -> Any:
    """snake_case keys become camelCase, nulls go: a log writes absent fields as null, the wire never has them."""
    if isinstance(value, dict):
        return {_camel(key): _on_the_wire(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_on_the_wire(inner) for inner in value]
    return value


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
