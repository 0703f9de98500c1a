"""One database and its two kinds of transaction: `read` and `write`.

SQLite takes one writer at a time. A transaction that reads first and writes later fails at once when another one
wrote in between, whatever the busy time-out; so writers say so at the start (`BEGIN IMMEDIATE`), and those of this
process queue in a lock, in order, before they meet those of other processes at the database's.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self, cast

from sqlalchemy import URL, Connection, Table, event, exc, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.clock import Clock
from app.db.sqlite_driver import OneTripConnection, WakingPool, connect
from app.db.types import to_json
from app.errors import AppError, ConflictError, InvalidInputError, StoreUnavailableError

BUSY_TIMEOUT_S = 5.0  # how long a writer waits for another process, e.g. an import; `?timeout=` in the URL overrules it
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS = 5  # SQLite: one thread each; PostgreSQL: one server process each
DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}


class Database:
    """Connections to one database. `clock` is held for as long as a transaction runs: simulated time waits for it."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._clock = clock
        self._engine = engine
        self._readers = engine
        self._writers = engine.execution_options(smartcharge_begin="durable")
        self._lazy_writers = engine.execution_options(smartcharge_begin="lazy")
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.cannot_write: str | None = None  # why the last attempt to write failed; None: it did not
        self._turn: AbstractAsyncContextManager[Any] = asyncio.Lock() if self.is_sqlite else nullcontext()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, clock: Clock) -> AsyncIterator[Self]:
        """Raises `InvalidInputError` for a URL that is none. Nothing is connected yet."""
        with store_errors():
            engine = _engine(_url(url))
        try:
            yield cls(engine, clock)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """For statements that read: each sees one state of the database."""
        with self._clock.hold(), store_errors():
            async with self._readers.begin() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, *, durable: bool = True) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes, committed on return, else rolled back.

        `durable`: it survives a power cut as soon as this returns. Otherwise only the end of the process, which is
        enough for what stations repeat or what is lost without harm: samples, states, signs of life.
        """
        try:
            with self._clock.hold(), store_errors():
                async with self._turn, (self._writers if durable else self._lazy_writers).begin() as connection:
                    yield connection
        except StoreUnavailableError as error:
            self.cannot_write = str(error)
            raise
        self.cannot_write = None

    def insert(self, table: Table) -> sqlite.Insert:
        """An INSERT with this database's ON CONFLICT, which both spell the same way."""
        return sqlite.insert(table) if self.is_sqlite else cast(sqlite.Insert, postgresql.insert(table))


@contextmanager
def store_errors() -> Iterator[None]:
    """Drivers' errors become the store's; the application's own pass."""
    try:
        yield
    except AppError:
        raise
    except exc.IntegrityError as error:
        raise ConflictError(f"the database refused it: {error.orig}") from error
    except (exc.DataError, OverflowError) as error:
        raise InvalidInputError("value", f"the database cannot hold it: {error}") from error
    except exc.DBAPIError as error:
        if _is_about_a_value(error):
            raise InvalidInputError("value", f"the database cannot hold it: {error.orig}") from error
        raise StoreUnavailableError(f"the database does not answer: {error.orig}") from error
    except exc.StatementError as error:  # a column type's own refusal arrives wrapped
        if isinstance(error.orig, AppError):
            raise error.orig from error
        raise
    except (exc.TimeoutError, sqlite3.Error, OSError) as error:
        raise StoreUnavailableError(f"the database does not answer: {error!r}") from error


def _is_about_a_value(error: exc.DBAPIError) -> bool:
    """asyncpg has no DataError that SQLAlchemy knows: its own check is a ValueError, the server's a state 22xxx."""
    is_refused_by_driver = isinstance(getattr(error.orig, "__cause__", None), ValueError)
    return is_refused_by_driver or str(getattr(error.orig, "sqlstate", "")).startswith("22")


def _url(text: str) -> URL:
    try:
        url = make_url(text)
    except exc.ArgumentError as error:
        raise InvalidInputError("database_url", str(error)) from error
    name = url.drivername.partition("+")[0]
    if name not in DRIVERS:
        raise InvalidInputError("database_url", f"{url.drivername!r} is neither sqlite nor postgresql")
    return url.set(drivername=DRIVERS[name])


def _engine(url: URL) -> AsyncEngine:
    if url.drivername != DRIVERS["sqlite"]:
        engine = create_async_engine(
            url,
            json_serializer=to_json,
            pool_size=CONNECTIONS,
            max_overflow=CONNECTIONS,
            pool_timeout=CONNECT_TIMEOUT_S,
            pool_pre_ping=True,  # the server may have been restarted since
            connect_args={"timeout": CONNECT_TIMEOUT_S},
        )
        event.listen(engine.sync_engine, "begin", _begin_on_postgresql)
        return engine
    in_memory = not url.database or url.database == ":memory:"
    if not in_memory:
        Path(url.database or "").expanduser().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_async_engine(
        url,
        json_serializer=to_json,
        poolclass=WakingPool,
        pool_size=1 if in_memory else CONNECTIONS,  # each connection to :memory: would be a database of its own
        max_overflow=0,
        pool_timeout=60.0,
        pool_reset_on_return=None,  # `_reset_sqlite` does, where there is anything to: it costs a trip to the thread
        connect_args={
            "async_creator_fn": connect,
            "isolation_level": None,  # the driver begins nothing by itself: `_begin_on_sqlite` does
            **({} if "timeout" in url.query else {"timeout": BUSY_TIMEOUT_S}),
        },
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_on_sqlite)
    event.listen(engine.sync_engine, "reset", _reset_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # readers never wait for the writer
    cursor.execute("PRAGMA foreign_keys = ON")
    # Rows of many stations land all over three trees: with 2 MB of cache and a checkpoint every 4 MB, SQLite's
    # defaults, reading and copying pages cost a third of all CPU time at full load.
    cursor.execute("PRAGMA cache_size = -16384")  # KiB, and only as far as it is used
    cursor.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: 16 MB
    cursor.close()


def _reset_sqlite(connection: Any, _record: Any, _state: Any) -> None:
    """A transaction that was cut off half-way must not be the next one's."""
    if connection.driver_connection.in_transaction:
        connection.rollback()


def _begin_on_sqlite(connection: Connection) -> None:
    driver = cast(OneTripConnection, connection.connection.driver_connection)
    how = connection.get_execution_options().get("smartcharge_begin")
    if how in ("durable", "lazy"):  # a statement alone needs no BEGIN to see one state, and no COMMIT
        driver.begin(how)


def _begin_on_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("smartcharge_begin") == "lazy":
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
