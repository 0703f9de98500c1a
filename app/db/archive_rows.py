"""Whole tables of one site, out in chunks and in again: for an archive that another database can take."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, Select, Table, and_, func, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import tables
from app.db.bulk import upsert
from app.db.rows import Rows
from app.db.types import JsonTuple

CHUNK = 5_000
TRANSACTIONS = tables.transactions
Row = dict[str, Any]

# In the order in which they may be read back: what others refer to comes first.
ARCHIVED: Mapping[str, Table] = {
    table.name: table
    for table in (
        tables.tariffs,
        TRANSACTIONS,
        tables.transaction_events,
        tables.cdrs,
        tables.meter_values,
        tables.readings,
        tables.series,
        tables.wishes,
        tables.quarantine,
    )
}


class ArchiveRows(Rows):
    async def archived(self, table: Table, site_id: str) -> AsyncIterator[list[Row]]:
        """Every row of a site, in the order of the key, in chunks; meter values and events are of its stations."""
        if "site_id" in table.c:
            wanted = table.c.site_id == site_id
        else:
            stations = tables.charging_stations
            of_site = select(stations.c.station_id).where(stations.c.site_id == site_id)
            wanted = table.c.station_id.in_(of_site)
        every: Select[Any] = select(table).where(wanted).order_by(*table.primary_key.columns)
        async with self._database.read() as connection:
            rows = await connection.stream(every)
            async for chunk in rows.mappings().partitions(CHUNK):
                yield [dict(row) for row in chunk]

    async def restore(self, table: Table, rows: Sequence[Row]) -> int:
        """Add rows that are not there yet, by their keys; returns how many were new."""
        if not rows:
            return 0
        async with self._database.write() as connection:
            if table is tables.series:  # numbered by each database itself; known by what it is
                return await _restore_series(connection, rows)
            if any(isinstance(column.type, JSON | JsonTuple) for column in table.columns):
                # PostgreSQL would take a list of lists for one array of two dimensions.
                add = self._database.insert(table).on_conflict_do_nothing()
                return sum([(await connection.execute(add, row)).rowcount for row in rows])
            return await upsert(connection, table, rows)

    async def restore_transactions(self, rows: Sequence[Row]) -> dict[int, int]:
        """The number of each in this database: of one that is here its own, else the old one if it is free."""
        numbers: dict[int, int] = {}
        async with self._database.write() as connection:
            for row in rows:
                numbers[row["transaction_id"]] = await _restore_transaction(connection, row)
            if not self._database.is_sqlite:  # explicit numbers do not move PostgreSQL's sequence
                await connection.execute(
                    text(
                        "SELECT setval(pg_get_serial_sequence('transactions', 'transaction_id'),"
                        " GREATEST((SELECT MAX(transaction_id) FROM transactions), 1))"
                    )
                )
        return numbers


async def _restore_transaction(connection: AsyncConnection, row: Row) -> int:
    number = TRANSACTIONS.c.transaction_id
    same_start = and_(
        *[
            TRANSACTIONS.c[name] == row[name]
            for name in ("station_id", "evse_id", "id_tag", "started_at", "meter_start_wh")
        ]
    )
    named = row["ocpp_transaction_id"]
    same_name = and_(TRANSACTIONS.c.station_id == row["station_id"], TRANSACTIONS.c.ocpp_transaction_id == named)
    same = same_start if named is None else or_(same_start, same_name)
    known: int | None = (await connection.execute(select(number).where(same).limit(1))).scalar_one_or_none()
    if known is not None:
        return known
    is_taken = await connection.scalar(select(func.count()).where(number == row["transaction_id"]))
    values = {name: value for name, value in row.items() if not (is_taken and name == "transaction_id")}
    new: int = (await connection.execute(insert(TRANSACTIONS).values(values).returning(number))).scalar_one()
    return new


async def _restore_series(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    series, new = tables.series, 0
    for row in rows:
        key = [series.c[name] == row[name] for name in ("site_id", "kind", "source", "issued_at", "start")]
        if await connection.scalar(select(func.count()).where(*key)) == 0:
            await connection.execute(insert(series).values({k: v for k, v in row.items() if k != "series_id"}))
            new += 1
    return new
