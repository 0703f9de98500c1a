"""Completed transactions from a table, one a row, as SteVe exports its own: they become transactions and CDRs.

Importing a file twice changes nothing, nor does a message log of the same transactions: both know one by its station
and the number that the other CSMS gave it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from app.db.store import Store
from app.errors import InvalidInputError
from app.imports.imported_site import site_with_stations
from app.imports.moments import moment_of, zone_named
from app.imports.rows import Progress, Row, Skipped, no_progress, read_rows
from app.imports.unread import unread
from app.settlement import settle

# What is read, and by which names: SteVe's table and CSV export, then its API.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "transaction_pk": ("id", "transactionId"),
    "charge_box_id": ("chargeBoxId",),
    "connector_id": ("connectorId",),
    "id_tag": ("ocppIdTag", "idTag"),
    "start_timestamp": ("startTimestamp",),
    "start_value": ("startValue",),
    "stop_timestamp": ("stopTimestamp",),
    "stop_value": ("stopValue",),
    "stop_reason": ("stopReason",),
}
OPTIONAL = frozenset({"stop_reason"})
MAX_WH = 1e12
_NOTHING = frozenset({"", "null", "{null}"})  # how an empty cell is written


@dataclass(slots=True)
class ImportedTransactions:
    """What an import did. `running` have no stop yet and are left to a later file; `known` were there already."""

    site_id: str
    rows: int = 0
    stations: int = 0
    new_stations: int = 0
    transactions: int = 0
    known: int = 0
    running: int = 0
    cdrs: int = 0
    suspects: int = 0
    skipped: Skipped = field(default_factory=Skipped)


@dataclass(frozen=True, slots=True)
class _Completed:
    name: str
    station_id: str
    connector_id: int
    id_tag: str
    started_at: datetime
    start_wh: float
    stopped_at: datetime
    stop_wh: float
    reason: str | None


async def import_transactions(
    store: Store,
    path: Path,
    *,
    site_id: str | None = None,
    columns: Mapping[str, str] | None = None,
    time_zone: str | None = None,
    progress: Progress = no_progress,
) -> ImportedTransactions:
    """Store the completed transactions of a file; stations that nobody knows are created as an imported log's are.

    `columns` names the file's column for one of `COLUMNS`, where it is another. Registers are Wh. Times without an
    offset are local in `time_zone`, and refused where it is None. Raises `InvalidInputError`.
    """
    result = ImportedTransactions(site_id or "imported")
    zone, names = zone_named(time_zone), dict(columns or {})
    if wrong := set(names) - set(COLUMNS):
        raise InvalidInputError("column", f"{min(wrong)!r} is none of {', '.join(COLUMNS)}")
    completed: list[_Completed] = []
    for place, row in read_rows(path, result.skipped, progress):
        if result.rows == 0:
            names |= _found_columns(row, names)
        result.rows += 1
        try:
            read = _read(row, names, zone)
        except InvalidInputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            result.skipped.add(place, row, str(error))
            continue
        if read is None:
            result.running += 1
        else:
            completed.append(read)
    connectors: defaultdict[str, set[int]] = defaultdict(set)
    for one in completed:
        connectors[one.station_id].add(one.connector_id)
    result.stations = len(connectors)
    site, result.new_stations = await site_with_stations(store, result.site_id, connectors)
    numbers = [number for one in completed if (number := await _store(store, one, result)) is not None]
    result.suspects = await store.add_suspects(unread(site.id, path.name, result.skipped))
    result.cdrs = len(await settle(store, sorted(set(numbers))))
    return result


async def _store(store: Store, one: _Completed, result: ImportedTransactions) -> int | None:
    transaction, is_new = await store.start_transaction(
        station_id=one.station_id,
        evse_id=one.connector_id,
        id_tag=one.id_tag,
        started_at=one.started_at,
        meter_start_wh=one.start_wh,
        ocpp_transaction_id=one.name,
    )
    _, has_stopped = await store.stop_transaction(
        transaction.transaction_id, stopped_at=one.stopped_at, meter_stop_wh=one.stop_wh, reason=one.reason
    )
    result.transactions += is_new
    result.known += not is_new
    return transaction.transaction_id if is_new or has_stopped else None


def _found_columns(row: Row, named: Mapping[str, str]) -> dict[str, str]:
    """Raises `InvalidInputError` where a file lacks a column that is needed."""
    found = {}
    for column, others in COLUMNS.items():
        wanted = (named[column],) if column in named else (column, *others)
        there = next((name for name in wanted if name in row), None)
        if there is not None:
            found[column] = there
        elif column not in OPTIONAL or column in named:
            raise InvalidInputError("column", f"{wanted[0]!r} is none of the file's columns {sorted(map(str, row))}")
    return found


def _read(row: Row, names: Mapping[str, str], zone: ZoneInfo | None) -> _Completed | None:
    """None for a transaction that runs. Raises `ValueError` for what cannot be read."""

    def cell(column: str) -> str | None:
        raw: Any = row.get(names[column]) if column in names else None
        text = "" if raw is None else str(raw).strip()
        return None if text.lower() in _NOTHING else text

    def needed(column: str) -> str:
        text = cell(column)
        if text is None:
            raise ValueError(f"has no {names[column]}")
        return text

    if cell("stop_timestamp") is None:
        return None
    started_at, stopped_at = (moment_of(needed(name), zone) for name in ("start_timestamp", "stop_timestamp"))
    if stopped_at < started_at:
        raise ValueError(f"ends at {stopped_at.isoformat()}, before it begins")
    connector_id = int(needed("connector_id"))
    if connector_id < 1:
        raise ValueError(f"connector {connector_id} is none")
    return _Completed(
        name=needed("transaction_pk"),
        station_id=needed("charge_box_id"),
        connector_id=connector_id,
        id_tag=cell("id_tag") or "",
        started_at=started_at,
        start_wh=_wh(needed("start_value")),
        stopped_at=stopped_at,
        stop_wh=_wh(needed("stop_value")),
        reason=cell("stop_reason"),
    )


def _wh(text: str) -> float:
    value = float(text.replace(",", "."))
    if not isfinite(value) or abs(value) > MAX_WH:
        raise ValueError(f"{text[:40]} is no register in Wh")
    return value
