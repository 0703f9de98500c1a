"""Rows and records: the columns of a table that make a record, and a record as the values of a row."""

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, Row, Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from app.db.database import Database

Record = TypeVar("Record", bound="DataclassInstance")


class Rows:
    """What the subjects of the store share: the database. `Store` is made of them."""

    _database: "Database"


def columns_of(table: Table, record: type["DataclassInstance"]) -> list[ColumnElement[Any]]:
    """The columns that a record is made of, in the order of its fields."""
    return [table.c[field.name] for field in fields(record)]


def record_of(record: type[Record], row: Row[Any]) -> Record:
    """`row` has the columns of `columns_of`, in their order."""
    make: Callable[..., Record] = record
    return make(*row)


def values_of(record: "DataclassInstance") -> dict[str, Any]:
    """Field by field, not copied in depth as `dataclasses.asdict` would: a plan's JSON is large."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
