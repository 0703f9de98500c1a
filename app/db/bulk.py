"""Many rows into one table, in one statement: what each database does fastest."""

from collections.abc import Sequence
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
