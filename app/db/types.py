"""Column types that keep the records' promises on SQLite and PostgreSQL alike."""

import json
import zlib
from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from math import isfinite
from sys import byteorder
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Double, LargeBinary
from sqlalchemy.types import JSON, TypeDecorator

from app.errors import InvalidInputError


def to_json(value: Any) -> str:
    """JSON as the standard has it: NaN and infinities raise, for PostgreSQL would refuse them and SQLite would not."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidInputError("json", str(error)) from error


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out; a naive datetime is an error, not a guess. SQLite keeps the text of the UTC time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise InvalidInputError("datetime", f"{value.isoformat()} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """Straight from SQLite's text: there may be thousands of rows, and this is called for each."""
        return _of_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _of_text(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text + "+00:00")


class Finite(TypeDecorator[float]):
    """A float that is a number: SQLite would turn NaN into NULL, PostgreSQL would keep it."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, _dialect: Dialect) -> float | None:
        if value is None:
            return None
        if not isfinite(value):
            raise InvalidInputError("value", f"{value} is not finite")
        return float(value)


class JsonTuple(TypeDecorator[tuple[str, ...]]):
    """A short tuple of strings, as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, _dialect: Dialect) -> list[str]:
        return list(value or ())

    def process_result_value(self, value: list[str] | None, _dialect: Dialect) -> tuple[str, ...]:
        return tuple(value or ())


class PackedJson(TypeDecorator[dict[str, Any]]):
    """A large document, deflated: a plan of 54 EVSEs shrinks from hundreds of kB to tens, and one is made every
    few minutes. Level 1: nearly as small as level 6 for such JSON, at a third of the time."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, _dialect: Dialect) -> bytes | None:
        return None if value is None else zlib.compress(to_json(value).encode(), level=1)

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> dict[str, Any] | None:
        return None if value is None else json.loads(zlib.decompress(value))


class PackedFloats(TypeDecorator[tuple[float, ...]]):
    """A series' values as one blob of little-endian float64: exact, 8 bytes a value, read whole or not at all.

    Rows of a table would cost ten times the space for what nobody queries one by one: a series is one issue of a
    signal, written once. Gaps are not values: NaN and infinities are errors.
    """

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: tuple[float, ...] | None, _dialect: Dialect) -> bytes | None:
        if value is None:
            return None
        for position, number in enumerate(value):
            if not isfinite(number):
                raise InvalidInputError(f"values[{position}]", f"{number} is not finite")
        packed = array("d", value)
        if byteorder == "big":
            packed.byteswap()
        return packed.tobytes()

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> tuple[float, ...] | None:
        if value is None:
            return None
        packed = array("d")
        packed.frombytes(value)
        if byteorder == "big":
            packed.byteswap()
        return tuple(packed)


class ZeroForNone(TypeDecorator[int]):
    """None is stored as 0, so that a unique key holds on both databases: to them one NULL differs from the next."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: Dialect) -> int:
        return value or 0

    def process_result_value(self, value: int | None, _dialect: Dialect) -> int | None:
        return value or None
