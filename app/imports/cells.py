"""Values of a table's columns as cells of a CSV file or of a Parquet file, and back again without loss.

CSV: nothing is an empty cell. A text that is empty, or that a spreadsheet would run, or that begins with a quote, is
written as a JSON string; so every text comes back, and none is dangerous to open.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer

from app.db.types import Finite, JsonTuple, PackedFloats, PackedJson, UtcDateTime, ZeroForNone

Kind = Literal["text", "integer", "number", "moment", "yes_or_no", "document"]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a cell that starts so
_QUOTED = (*FORMULA_STARTS, '"', "'")


def kind_of(column: Column[Any]) -> Kind:
    """What a column of `app.db.tables` holds."""
    match column.type:
        case UtcDateTime():
            return "moment"
        case Finite():
            return "number"
        case ZeroForNone() | Integer() | BigInteger():
            return "integer"
        case Boolean():
            return "yes_or_no"
        case JsonTuple() | PackedFloats() | PackedJson() | JSON():
            return "document"
        case _:
            return "text"


def to_cell(kind: Kind, value: Any) -> str:
    """A CSV cell."""
    return "" if value is None else _WRITTEN[kind](value)


def from_cell(kind: Kind, cell: str) -> Any:
    """Raises `ValueError` for a cell that is none of its kind."""
    if cell == "":
        return None
    return _READ[kind](cell)


def to_parquet(kind: Kind, value: Any) -> Any:
    return json.dumps(value, separators=(",", ":")) if kind == "document" and value is not None else value


def from_parquet(kind: Kind, value: Any) -> Any:
    if kind == "document" and value is not None:
        return json.loads(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _said(value: str) -> str:
    return json.dumps(value) if value == "" or value.startswith(_QUOTED) else value


def _text(cell: str) -> str:
    if not cell.startswith('"'):
        return cell
    said = json.loads(cell)
    if not isinstance(said, str):
        raise ValueError(f"{cell[:40]} is no text")
    return said


def _moment(cell: str) -> datetime:
    at = datetime.fromisoformat(cell)
    if at.tzinfo is None:
        raise ValueError(f"{cell} has no time zone")
    return at.astimezone(UTC)


def _yes_or_no(cell: str) -> bool:
    if cell not in ("true", "false"):
        raise ValueError(f"{cell[:40]!r} is neither true nor false")
    return cell == "true"


_WRITTEN: dict[Kind, Callable[[Any], str]] = {
    "text": _said,
    "integer": str,
    "number": lambda value: repr(float(value)),
    "moment": lambda value: str(value.astimezone(UTC).isoformat()),
    "yes_or_no": lambda value: "true" if value else "false",
    "document": lambda value: json.dumps(value, separators=(",", ":")),
}
_READ: dict[Kind, Callable[[str], Any]] = {
    "text": _text,
    "integer": int,
    "number": float,
    "moment": _moment,
    "yes_or_no": _yes_or_no,
    "document": json.loads,
}
