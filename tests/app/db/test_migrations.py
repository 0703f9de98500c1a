"""The schema's history leads to the tables, on both databases, and never backwards."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from app.clock import SystemClock
from app.db.database import Database
from app.db.migrations import HEAD, alembic_config
from app.db.store import Store
from app.db.tables import metadata
from app.errors import StoreUnavailableError
from tests.app.db.builders import a_site


async def _set_revision(url: str, revision: str) -> None:
    async with Database.open(url, SystemClock()) as database, database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})


async def _tables(url: str) -> set[str]:
    async with Database.open(url, SystemClock()) as database, database.read() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_an_empty_database_gets_every_table(empty_database_url: str) -> None:
    async with Store.open(empty_database_url, SystemClock()) as store:
        await store.save_site(a_site())

    assert await _tables(empty_database_url) == {*metadata.tables, "alembic_version"}
    async with Store.open(empty_database_url, SystemClock(), migrate=False) as store:
        assert await store.sites() == [a_site()]


async def test_revisions_and_tables_agree(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with Database.open(database_url, SystemClock()) as database, database.read() as connection:
        assert await connection.run_sync(differences) == []


def test_on_sqlite_they_agree_to_the_letter(sqlite_file: Path, tmp_path: Path) -> None:
    """Autogenerate is blind to WITHOUT ROWID, AUTOINCREMENT and the condition of a partial index.

    Compared word by word, sorted: the order of constraints means nothing.
    """

    def statements(file: Path) -> list[list[str]]:
        engine = create_engine(f"sqlite:///{file}")
        with engine.begin() as connection:
            if file != sqlite_file:
                metadata.create_all(connection)
            made = connection.execute(
                text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '%alembic%'")
            )
            found = sorted(sorted(re.findall(r"\w+|[^\w\s]", statement)) for statement in made.scalars())
        engine.dispose()
        return found

    assert statements(sqlite_file) == statements(tmp_path / "created.db")


def test_head_is_the_last_revision() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())

    assert scripts.get_heads() == [HEAD]


async def test_a_newer_database_is_refused_and_left_alone(database_url: str) -> None:
    await _set_revision(database_url, "9999")
    try:
        for migrate in (True, False):
            with pytest.raises(StoreUnavailableError, match="9999"):
                async with Store.open(database_url, SystemClock(), migrate=migrate):
                    pytest.fail("it was opened")

        assert await _tables(database_url) == {*metadata.tables, "alembic_version"}
    finally:
        await _set_revision(database_url, HEAD)  # PostgreSQL's is the next test's too


async def test_an_empty_database_is_refused_when_it_may_not_be_migrated(empty_database_url: str) -> None:
    with pytest.raises(StoreUnavailableError, match="smartcharge migrate"):
        async with Store.open(empty_database_url, SystemClock(), migrate=False):
            pytest.fail("it was opened")

    assert await _tables(empty_database_url) == set()


async def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    async with Database.open(empty_database_url, SystemClock()) as database, database.write() as connection:
        await connection.execute(text("CREATE TABLE wishes (in_the_way INTEGER)"))

    with pytest.raises(StoreUnavailableError, match="wishes"):
        async with Store.open(empty_database_url, SystemClock()):
            pytest.fail("it was opened")

    assert await _tables(empty_database_url) == {"wishes"}


async def test_two_services_may_start_at_once(empty_database_url: str) -> None:
    async def start(site_id: str) -> None:
        async with Store.open(empty_database_url, SystemClock()) as store:
            await store.save_site(a_site(site_id, stations=(site_id,)))

    await asyncio.gather(start("depot"), start("yard"))

    async with Store.open(empty_database_url, SystemClock()) as store:
        assert [site.id for site in await store.sites()] == ["depot", "yard"]


def test_a_start_without_migrations_does_not_pay_for_alembic(sqlite_file: Path) -> None:
    script = """
import asyncio, sys
from app.clock import SystemClock
from app.db.store import Store

async def start():
    async with Store.open(sys.argv[1], SystemClock()) as store:
        await store.ping()

asyncio.run(start())
print("alembic" in sys.modules)
"""

    answered = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{sqlite_file}"], capture_output=True, text=True, check=True
    )

    assert answered.stdout.strip() == "False"


def test_meters_of_before_keep_their_highest_reading(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    config = alembic_config()
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(
            text("INSERT INTO readings VALUES ('depot', 'main', '2026-01-01', 3), ('depot', 'main', '2026-01-02', 7)")
        )
        command.upgrade(config, "0004")

        peaks = connection.execute(text("SELECT * FROM meter_peaks")).all()

    engine.dispose()
    assert peaks == [("depot", "main", 7.0)]
