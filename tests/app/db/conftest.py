"""Every test that asks for `store` or `database_url` runs twice: on SQLite and on a real PostgreSQL."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Executable, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.clock import SteppedClock, SystemClock
from app.db.store import Store
from app.db.tables import metadata
from tests.app.db.postgres import PostgresMissingError, a_postgres_server
from tests.stores import a_store, sqlite_url


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """One server for each worker; its start takes about two seconds."""
    try:
        with a_postgres_server() as url:
            yield url
    except PostgresMissingError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no PostgreSQL to test with: {error}")
        pytest.skip(f"no PostgreSQL to test with: {error}")


@pytest.fixture(scope="session")
def migrated_database(postgres_server: str) -> Iterator[str]:
    """One database for each worker, emptied before each test: a new one each time would take ten times as long."""
    name = f"smartcharge_test_{uuid4().hex}"
    url = _database(postgres_server, name)

    async def migrate() -> None:
        await _execute(postgres_server, f'CREATE DATABASE "{name}"')
        async with Store.open(url, SystemClock()):
            pass

    _run(migrate())
    yield url
    _run(_execute(postgres_server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "empty.db")
        return
    server: str = request.getfixturevalue("postgres_server")
    name = f"smartcharge_empty_{uuid4().hex}"
    await _execute(server, f'CREATE DATABASE "{name}"')
    yield _database(server, name)
    await _execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def postgres_url(migrated_database: str) -> str:
    """A migrated database without any row."""
    await _execute(migrated_database, *[table.delete() for table in reversed(metadata.sorted_tables)])
    return migrated_database


@pytest.fixture
async def sqlite_file(tmp_path: Path) -> Path:
    """A fresh, migrated database."""
    async with a_store(directory=tmp_path):
        pass
    return tmp_path / "smartcharge.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database of either kind."""
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("sqlite_file"))
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def store(database_url: str, clock: SteppedClock) -> AsyncIterator[Store]:
    async with Store.open(database_url, clock) as opened:
        yield opened


async def _execute(url: str, *statements: str | Executable) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement) if isinstance(statement, str) else statement)
    await engine.dispose()


def _database(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _run(coroutine: object) -> None:
    """In a thread of its own: a session's fixture may be set up while the loop of a test runs."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()  # type: ignore[arg-type]  # asyncio.run is overloaded by version
