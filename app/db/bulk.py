"""Many rows into one table, in one statement: what each database does fastest."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from sqlalchemy import ARRAY, Table, bindparam, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


async def upsert(
    connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]], *, replace: tuple[str, ...] = ()
) -> int:
    """Insert rows by primary key; one that is there stays, or takes the new values of the columns in `replace`.

    Returns how many rows were new or changed. Within `rows` no primary key may repeat. Every row names every column.
    """
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        insert: Any = sqlite.insert(table)
        parameters: Any = rows
    else:  # arrays: one statement and one round trip, however many rows; executemany would not say how many changed
        columns = list(table.columns)
        unnested = func.unnest(*[bindparam(column.name, type_=ARRAY(column.type)) for column in columns])
        rows_as_table = unnested.table_valued(*[column.name for column in columns]).render_derived()
        insert = postgresql.insert(table).from_select([column.name for column in columns], select(rows_as_table))
        parameters = {column.name: [row[column.name] for row in rows] for column in columns}
    if replace:
        insert = insert.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: insert.excluded[name] for name in replace},
            where=or_(*[table.c[name].is_distinct_from(insert.excluded[name]) for name in replace]),
        )
    else:
        insert = insert.on_conflict_do_nothing()
    return max(0, (await connection.execute(insert, parameters)).rowcount)


# Many rows a statement, and written out: the driver's thread asks for Python's lock once for each statement, not for
# each row, which a busy event loop would make it wait for; and SQLAlchemy would look at every value once more.
STATEMENT_ROWS = 500
_TEXT_OF_TIME = len("2026-01-31 12:00:00.000000")


def sqlite_moment(at: datetime) -> str:
    """`at` (aware) as SQLite's rows hold it: the text of the UTC time."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(" ", "microseconds")[:_TEXT_OF_TIME]  # without the +00:00


async def upsert_plain(
    connection: AsyncConnection, table: Table, rows: Sequence[tuple[Any, ...]], *, replace: tuple[str, ...] = ()
) -> int:
    """As `upsert`, of rows that hold every column in its order, and their values as the database does; times as
    `sqlite_moment` gives them. Three times as fast on SQLite; on PostgreSQL times are times, and it is `upsert`.
    """
    columns = [column.name for column in table.columns]
    if connection.dialect.name != "sqlite":
        return await upsert(connection, table, [dict(zip(columns, row, strict=True)) for row in rows], replace=replace)
    into = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES "  # noqa: S608  # our own names
    one = f"({', '.join('?' * len(columns))})"
    on_conflict = " ON CONFLICT DO NOTHING"
    if replace:
        key = ", ".join(column.name for column in table.primary_key.columns)
        new = ", ".join(f"{name} = excluded.{name}" for name in replace)
        changed = " OR ".join(f"{table.name}.{name} IS NOT excluded.{name}" for name in replace)
        on_conflict = f" ON CONFLICT ({key}) DO UPDATE SET {new} WHERE {changed}"
    changes = 0
    for start in range(0, len(rows), STATEMENT_ROWS):
        some = rows[start : start + STATEMENT_ROWS]
        statement = f"{into}{', '.join([one] * len(some))}{on_conflict}"
        changes += max(0, (await connection.exec_driver_sql(statement, tuple(chain.from_iterable(some)))).rowcount)
    return changes
