"""SQLite's thread: one trip for a statement, and transactions as before."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.db.sqlite_driver import ROWS_AT_ONCE, OneTripConnection, connect


class Counted(OneTripConnection):
    """Counts its trips to the thread."""

    trips = 0

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        self.trips += 1
        return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]  # aiosqlite's


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Counted]:
    made = connect(str(tmp_path / "one.db"), isolation_level=None)
    made.__class__ = Counted
    opened = await made
    assert isinstance(opened, Counted)
    try:
        await opened.cursor().execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        opened.trips = 0
        yield opened
    finally:
        await opened.close()


async def numbers(connection: OneTripConnection) -> list[int]:
    cursor = connection.cursor()
    await cursor.execute("SELECT number FROM numbers ORDER BY number")
    found = [number for (number,) in await cursor.fetchall()]
    await cursor.close()
    return found


async def insert(connection: OneTripConnection, *values: int) -> None:
    cursor = connection.cursor()
    await cursor.executemany("INSERT INTO numbers VALUES (?)", [(value,) for value in values])
    await cursor.close()


async def test_a_statement_its_rows_and_its_end_are_one_trip(connection: Counted) -> None:
    await insert(connection, 1, 2)
    before = connection.trips

    assert await numbers(connection) == [1, 2]

    assert connection.trips - before == 1


async def test_a_transaction_begins_in_the_trip_of_its_first_statement(connection: Counted) -> None:
    connection.begin("durable")
    assert not connection.in_transaction

    await insert(connection, 1)

    assert (connection.trips, connection.in_transaction) == (1, True)
    await connection.commit()
    assert (connection.trips, connection.in_transaction) == (2, False)
    assert await numbers(connection) == [1]


async def test_what_is_rolled_back_was_never_there(connection: Counted) -> None:
    connection.begin("lazy")
    await insert(connection, 1)

    await connection.rollback()

    assert await numbers(connection) == []


async def test_a_transaction_without_a_statement_costs_nothing_and_does_not_begin_later(connection: Counted) -> None:
    connection.begin("durable")
    await connection.commit()

    assert await numbers(connection) == []
    assert (connection.trips, connection.in_transaction) == (1, False)


async def test_a_transaction_is_synced_as_it_was_asked_for(connection: Counted) -> None:
    async def synchronous() -> int:
        cursor = connection.cursor()
        await cursor.execute("PRAGMA synchronous")
        [(level,)] = await cursor.fetchall()
        assert isinstance(level, int)
        return level

    seen = []
    for how in ("durable", "lazy", "lazy", "durable"):
        connection.begin(how)
        await numbers(connection)
        seen.append(await synchronous())
        await connection.commit()

    assert seen == [2, 1, 1, 2]


async def test_many_rows_are_fetched_by_and_by(connection: Counted) -> None:
    await insert(connection, *range(3 * ROWS_AT_ONCE))
    cursor = connection.cursor()

    await cursor.execute("SELECT number FROM numbers ORDER BY number")

    first = await cursor.fetchmany(10)
    assert [number for (number,) in first] == list(range(10))
    assert await cursor.fetchone() == (10,)
    rest = await cursor.fetchall()
    assert [number for (number,) in rest] == list(range(11, 3 * ROWS_AT_ONCE))
    assert await cursor.fetchmany(5) == []


async def test_a_statement_that_returns_what_it_changed_says_how_many(connection: Counted) -> None:
    cursor = connection.cursor()

    await cursor.execute("INSERT INTO numbers VALUES (1), (2), (3) RETURNING number")

    assert cursor.rowcount == 3
    assert len(await cursor.fetchall()) == 3


async def test_an_error_leaves_the_connection_as_it_was(connection: Counted) -> None:
    connection.begin("durable")
    await insert(connection, 1)

    with pytest.raises(Exception, match="UNIQUE"):
        await insert(connection, 1)

    await connection.rollback()
    assert await asyncio.wait_for(numbers(connection), 30) == []


async def test_a_commit_that_is_refused_leaves_no_transaction_open(connection: Counted) -> None:
    cursor = connection.cursor()
    await cursor.execute("PRAGMA foreign_keys = ON")
    await cursor.execute("CREATE TABLE odd (number REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)")
    connection.begin("durable")
    await cursor.execute("INSERT INTO odd VALUES (7)")

    with pytest.raises(sqlite3.IntegrityError):
        await connection.commit()

    assert connection.in_transaction
    await connection.rollback()
    await cursor.execute("SELECT * FROM odd")
    assert (await cursor.fetchall(), connection.in_transaction) == ([], False)


async def test_one_who_closes_does_not_wait_for_a_thread_that_was_told_to_end_meanwhile(tmp_path: Path) -> None:
    opened = await connect(str(tmp_path / "one.db"), isolation_level=None)
    closing = asyncio.create_task(opened.close())
    await asyncio.sleep(0)

    stopped = opened.stop()

    await asyncio.wait_for(closing, 30)
    if stopped is not None:
        await stopped  # its thread would answer a loop that is closed
