"""Rows of an OCPP message log as messages: bodies with camelCase keys and without nulls, as they went over the wire.

MeterValues are nine tenths of the text of a log. They are read once, when they are stored; before that only the two
numbers in them are looked for that say whose they are.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.imports.rows import Progress, Skipped, read_rows
from app.site import StationId

CALL, RESULT = 2, 3
METER_VALUES = "MeterValues"
_STATION_ID: TypeAdapter[str] = TypeAdapter(StationId)
_KEYS = (
    ('"connector_id"', '"connectorId"'),
    ('"transaction_id"', '"transactionId"'),
    ('"meter_value"', '"meterValue"'),
    ('"sampled_value"', '"sampledValue"'),
)
_CONNECTOR = re.compile(r'(?<!\\)"connector_?[iI]d"\s*:\s*"?(\d{1,9})')
_TRANSACTION = re.compile(r'(?<!\\)"transaction_?[iI]d"\s*:\s*"?([^",}\s]{1,64})')


@dataclass(frozen=True, slots=True)
class Message:
    """One row of the log. `raw` is the text of the body of MeterValues, which `body` then says nothing of."""

    place: str
    message_id: str
    message_type: int
    station_id: str
    action: str
    written_at: datetime
    body: dict[str, Any]
    raw: str | None = None

    @property
    def where(self) -> str:
        return f"{self.action} of {self.station_id} at {self.written_at}"


def messages(path: Path, skipped: Skipped, progress: Progress, *, values: bool) -> Iterator[Message]:
    """The readable rows: with `values` only the calls that may carry meter values, else all, MeterValues unread."""
    for place, row in read_rows(path, skipped, progress):
        if values and row.get("action") not in (METER_VALUES, "StopTransaction"):
            continue
        try:
            yield _message(place, row)
        except KeyError as error:
            skipped.add(place, row, f"no {error} column")
        except ValidationError:
            skipped.add(place, row, f"{row['charge_point_id']!r} is no charging station's id")
        except RecursionError:
            skipped.add(place, row, "the body is nested too deep")
        except (TypeError, ValueError, OverflowError) as error:
            skipped.add(place, row, str(error))


def wire_text(raw: str) -> str:
    """The text of the body of MeterValues with those keys in camelCase that the fast reader looks for."""
    if "_" in raw:
        for snake, camel in _KEYS:
            raw = raw.replace(snake, camel)
    return raw


def wire_body(raw: str) -> dict[str, Any]:
    """Raises `TypeError` and `ValueError` for what is no JSON object."""
    parsed = json.loads(raw)
    if not isinstance(parsed, dict):
        raise TypeError("the body is no JSON object")
    on_the_wire: dict[str, Any] = _on_the_wire(parsed)
    return on_the_wire


def moment(value: object) -> datetime:
    """Raises `ValueError` for a time without an offset."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        raise ValueError(f"{value} has no time zone")
    return at if at.tzinfo is UTC else at.astimezone(UTC)


def _message(place: str, row: dict[str, Any]) -> Message:
    body, kind, action = row["body"], int(row["message_type"]), str(row["action"])
    raw = None
    if isinstance(body, str) and kind == CALL and action == METER_VALUES:
        raw, parsed = body, _whose(body)
    elif isinstance(body, str):
        parsed = {} if body == "{}" else wire_body(body)
    elif isinstance(body, dict):
        parsed = _on_the_wire(body)
    else:
        raise TypeError("the body is no JSON object")
    return Message(
        place=place,
        message_id=str(row["message_id"]),
        message_type=kind,
        station_id=_station_id(row["charge_point_id"]),
        action=action,
        written_at=moment(row["write_timestamp"]),
        body=parsed,
        raw=raw,
    )


def _whose(raw: str) -> dict[str, Any]:
    connector, transaction = _CONNECTOR.search(raw), _TRANSACTION.search(raw)
    found: dict[str, Any] = {}
    if connector:
        found["connectorId"] = int(connector[1])
    if transaction:
        found["transactionId"] = transaction[1]
    return found


def _station_id(value: object) -> str:
    return _known_station_id(value) if isinstance(value, str) else _STATION_ID.validate_python(value)


@cache
def _known_station_id(value: str) -> str:
    return _STATION_ID.validate_python(value)


@cache
def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _on_the_wire(value: Any) -> Any:
    """A log writes absent fields as null, the wire never has them."""
    if isinstance(value, dict):
        return {_camel(key): _on_the_wire(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_on_the_wire(inner) for inner in value]
    return value
