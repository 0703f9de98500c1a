"""aiosqlite with one trip to the connection's thread for each statement, instead of four.

A trip costs a tenth of a millisecond of processor time, whatever is done on the other side: two threads are woken, and
Python's lock changes hands twice. aiosqlite makes one for the cursor, one for the statement, one for its rows and one
to close it; the beginning of a transaction is another statement or two. Here all of that is one trip.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal, Self

import aiosqlite
from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.pool.base import _ConnectionRecord

ROWS_AT_ONCE = 1_000  # with the statement itself; the rest waits in the thread until somebody asks for it

Begin = Literal["lazy", "durable"]
SYNCHRONOUS: dict[Begin, str] = {"lazy": "NORMAL", "durable": "FULL"}


def connect(database: str, **options: Any) -> "OneTripConnection":
    """As `aiosqlite.connect`: to be awaited, and given to SQLAlchemy in its place."""
    connection = OneTripConnection(partial(sqlite3.connect, database, **options), ROWS_AT_ONCE)
    connection._thread.daemon = True  # as SQLAlchemy does with aiosqlite's own
    return connection


class WakingPool(AsyncAdaptedQueuePool):
    """Who cannot connect, or is cancelled over it, leaves the place to the next who waits.

    SQLAlchemy's own pool wakes nobody then: with no other connection out, all who wait do so for the whole time-out.
    """

    def _create_connection(self) -> _ConnectionRecord:
        """Connected by who takes it, and handed back like any other if that fails."""
        return _ConnectionRecord(self, connect=False)


class OneTripConnection(aiosqlite.Connection):
    """One connection, and the thread that it lives in."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._begin: Begin | None = None
        self._is_open = False  # a transaction, begun by a statement
        self._synchronous: str | None = None

    def cursor(self) -> "OneTripCursor":  # type: ignore[override]  # SQLAlchemy enters it, and awaits nothing before
        return OneTripCursor(self)

    def begin(self, how: Begin) -> None:
        """Begin a transaction that writes, in the trip of its first statement.

        `durable` is synced at the commit: what was acknowledged survives a power cut. `lazy` survives the end of the
        process.
        """
        self._begin = how

    @property
    def in_transaction(self) -> bool:
        return self._is_open

    async def commit(self) -> None:
        await self._end(super().commit)

    async def rollback(self) -> None:
        await self._end(super().rollback)

    async def _end(self, end: Callable[[], Awaitable[None]]) -> None:
        """Where no statement was executed nothing has begun; where a COMMIT was refused nothing has ended."""
        self._begin = None
        if self._is_open:
            await end()
            self._is_open = False

    def stop(self) -> "asyncio.Future[Any] | None":
        """A thread that was told to end already answers nobody: who waited for it would wait for ever."""
        return super().stop() if self._running else None

    async def trip(self, work: Any, *arguments: Any) -> None:
        """Do `work` in the thread, in a transaction if one is to begin."""
        begin, self._begin = self._begin, None
        if begin is None:
            await self._execute(work, *arguments)  # type: ignore[no-untyped-call]  # aiosqlite's
        else:
            self._is_open = True
            await self._execute(self._first, begin, work, *arguments)  # type: ignore[no-untyped-call]  # aiosqlite's

    def _first(self, begin: Begin, work: Any, *arguments: Any) -> None:
        """In the thread."""
        synchronous = SYNCHRONOUS[begin]
        if synchronous != self._synchronous:
            self._conn.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        self._conn.execute("BEGIN IMMEDIATE")
        work(*arguments)


class OneTripCursor:
    """What SQLAlchemy asks of an asynchronous cursor."""

    __slots__ = ("_connection", "_open", "_rows", "arraysize", "description", "lastrowid", "rowcount")

    def __init__(self, connection: OneTripConnection) -> None:
        self._connection = connection
        self._open: sqlite3.Cursor | None = None  # while it has rows that are not here
        self._rows: list[Any] = []
        self.arraysize = 1
        self.description: Any = None
        self.lastrowid: int | None = None
        self.rowcount = -1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Self:
        await self._connection.trip(self._execute, sql, parameters)
        return self

    async def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Self:
        await self._connection.trip(self._executemany, sql, parameters)
        return self

    async def fetchone(self) -> Any:
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        size = size or self.arraysize
        if not self._rows and self._open is not None:
            await self._connection.trip(self._fetch, max(size, ROWS_AT_ONCE))
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    async def fetchall(self) -> list[Any]:
        if self._open is not None:
            await self._connection.trip(self._fetch, None)
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        if self._open is not None:
            await self._connection.trip(self._close)

    # --- in the thread

    def _execute(self, sql: str, parameters: Sequence[Any]) -> None:
        self._open = self._connection._conn.execute(sql, parameters)
        self.description = self._open.description
        if self.description is not None:
            self._fetch(ROWS_AT_ONCE)
        else:
            self._close()

    def _executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        self._open = self._connection._conn.executemany(sql, parameters)
        self._close()

    def _fetch(self, most: int | None) -> None:
        if self._open is not None:
            rows = self._open.fetchall() if most is None else self._open.fetchmany(most)
            self._rows += rows
            if most is None or len(rows) < most:
                self._close()

    def _close(self) -> None:
        """Only now does SQLite know how many rows a statement changed that returns some."""
        if self._open is not None:
            self.rowcount, self.lastrowid = self._open.rowcount, self._open.lastrowid
            self._open.close()
            self._open = None
