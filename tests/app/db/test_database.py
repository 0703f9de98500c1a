"""What the database promises: durable on return, one writer at a time, clear words when it is away."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from app.clock import SteppedClock, SystemClock
from app.db.database import Database
from app.db.store import Store
from app.errors import ConflictError, InvalidInputError, StoreUnavailableError
from tests.app.db.builders import NOON, a_meter_value, a_site, a_start, at
from tests.stores import sqlite_url

START_AND_DIE = """
import asyncio, os, signal, sys
from app.clock import SystemClock
from app.db.store import Store
from tests.app.db.builders import a_start

async def main():
    async with Store.open(sys.argv[1], SystemClock()) as store:
        transaction, _ = await store.start_transaction(**a_start())
        print(transaction.transaction_id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""

START_MANY = """
import asyncio, sys
from app.clock import SystemClock
from app.db.store import Store
from tests.app.db.builders import a_meter_value, a_start, at

async def main():
    async with Store.open(sys.argv[1], SystemClock()) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(int(sys.argv[2])):
            await store.start_transaction(**a_start(id_tag="other process", started_at=at(number)))
            await store.import_meter_values([a_meter_value(number, station_id="cs02")])

asyncio.run(main())
"""


async def test_a_started_transaction_survives_kill_9_right_after_it_returned(database_url: str) -> None:
    async with Store.open(database_url, SystemClock()) as store:
        await store.save_site(a_site())

    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", START_AND_DIE, database_url], capture_output=True, text=True, check=False
    )

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    async with Store.open(database_url, SystemClock()) as store:
        transaction = await store.transaction(int(killed.stdout))
    assert transaction.is_running
    assert transaction.started_at == NOON


async def test_two_processes_may_write_at_once(database_url: str) -> None:
    async with Store.open(database_url, SystemClock()) as store:
        await store.save_site(a_site())
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", START_MANY, database_url, "40",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert other.stdin is not None
        assert other.stdout is not None
        await other.stdout.readline()
        other.stdin.write(b"go\n")

        for number in range(40):
            await store.start_transaction(**a_start(id_tag="this process", started_at=at(number)))
            await store.add_meter_values([a_meter_value(number)])
        _, errors = await other.communicate()

        assert other.returncode == 0, errors.decode()
        assert len(await store.transactions()) == 80
        assert len(await store.meter_values()) == 80


async def test_a_cancelled_call_leaves_the_store_in_order(database_url: str) -> None:
    async with Store.open(database_url, SystemClock()) as store:
        await store.save_site(a_site())
        for number in range(60):
            call = asyncio.create_task(store.start_transaction(**a_start(started_at=at(number))))
            for _ in range(number % 30):
                await asyncio.sleep(0)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call

        transaction, is_new = await store.start_transaction(**a_start(started_at=at(100)))

        assert is_new
        assert await store.transaction(transaction.transaction_id) == transaction


async def test_sqlite_syncs_what_must_last_and_not_what_is_repeated(sqlite_file: Path) -> None:
    async with Database.open(sqlite_url(sqlite_file), SystemClock()) as database:

        async def pragma(name: str, *, durable: bool) -> object:
            async with database.write(durable=durable) as connection:
                return (await connection.execute(text(f"PRAGMA {name}"))).scalar()

        assert await pragma("synchronous", durable=True) == 2  # FULL
        assert await pragma("synchronous", durable=False) == 1  # NORMAL
        assert await pragma("synchronous", durable=True) == 2
        assert await pragma("journal_mode", durable=True) == "wal"
        assert await pragma("foreign_keys", durable=True) == 1
        assert await pragma("busy_timeout", durable=True) == 5000


async def test_postgresql_waits_for_the_disk_only_where_it_must_last(postgres_url: str) -> None:
    async with Database.open(postgres_url, SystemClock()) as database:

        async def synchronous_commit(*, durable: bool) -> object:
            async with database.write(durable=durable) as connection:
                return (await connection.execute(text("SHOW synchronous_commit"))).scalar()

        asked_for = await synchronous_commit(durable=True)
        assert await synchronous_commit(durable=False) == "off"
        assert await synchronous_commit(durable=True) == asked_for


async def test_a_reader_does_not_wait_for_a_writer(database_url: str) -> None:
    async with (
        Database.open(database_url, SystemClock()) as database,
        asyncio.timeout(5),
        database.write() as writer,
    ):
        await writer.execute(text("INSERT INTO sites (site_id, document) VALUES ('a', '{}')"))

        async with database.read() as reader:
            assert (await reader.execute(text("SELECT count(*) FROM sites"))).scalar() == 0


async def test_what_breaks_a_key_is_a_conflict_and_is_rolled_back(database_url: str) -> None:
    async with Database.open(database_url, SystemClock()) as database:

        async def insert_twice() -> None:
            async with database.write() as connection:
                for _ in range(2):
                    await connection.execute(text("INSERT INTO sites (site_id, document) VALUES ('a', '{}')"))

        with pytest.raises(ConflictError):
            await insert_twice()

        async with database.read() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM sites"))).scalar() == 0


async def test_a_lock_that_another_process_keeps_is_an_error_not_a_wait_for_ever(sqlite_file: Path) -> None:
    async with (
        Database.open(sqlite_url(sqlite_file), SystemClock()) as other,
        Store.open(f"{sqlite_url(sqlite_file)}?timeout=0.05", SystemClock(), migrate=False) as store,
    ):
        async with other.write() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
            with pytest.raises(StoreUnavailableError, match="locked"):
                await store.save_site(a_site())
            assert await store.sites() == []  # readers go on

        await store.save_site(a_site())


async def test_a_database_that_comes_back_is_used_again(postgres_url: str, postgres_server: str) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]

    async def let_nobody_in(refuse: bool) -> None:
        async with Database.open(postgres_server, SystemClock()) as server, server.write() as connection:
            await connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {not refuse}'))
        async with Database.open(postgres_server, SystemClock()) as server, server.write() as connection:
            if refuse:
                kill = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
                await connection.execute(kill, {"name": name})

    async with Store.open(postgres_url, SystemClock()) as store:
        await let_nobody_in(True)
        try:
            with pytest.raises(StoreUnavailableError):
                await store.ping()
            await store.add_meter_values([a_meter_value()])
            with pytest.raises(StoreUnavailableError):
                await store.flush()
        finally:
            await let_nobody_in(False)

        await store.ping()
        assert len(await store.meter_values()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@127.0.0.1:1/none",
        "postgresql://nobody@/none?host=/nonexistent",
        "sqlite:////proc/nonexistent/smartcharge.db",
    ],
)
async def test_a_database_that_is_not_there_is_unavailable(url: str) -> None:
    with pytest.raises(StoreUnavailableError):
        async with Store.open(url, SystemClock()):
            pytest.fail("it was opened")


async def test_a_database_that_the_server_does_not_know_is_unavailable(postgres_server: str) -> None:
    with pytest.raises(StoreUnavailableError, match="no_such_database"):
        async with Store.open(postgres_server.replace("/postgres?", "/no_such_database?"), SystemClock()):
            pytest.fail("it was opened")


async def test_a_file_that_is_no_database_is_unavailable_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.db"
    file.write_bytes(b"these are my notes, not a database" * 200)

    with pytest.raises(StoreUnavailableError, match="not a database"):
        async with Store.open(sqlite_url(file), SystemClock()):
            pytest.fail("it was opened")

    assert file.read_bytes().startswith(b"these are my notes")


@pytest.mark.parametrize("url", ["", "smartcharge.db", "mysql://localhost/x", "sqlite"])
async def test_a_url_that_names_neither_database_is_wrong_input(url: str) -> None:
    with pytest.raises(InvalidInputError, match="database_url"):
        async with Store.open(url, SystemClock()):
            pytest.fail("it was opened")


async def test_makes_the_directory_that_the_file_lies_in(tmp_path: Path) -> None:
    file = tmp_path / "new" / "smartcharge.db"

    async with Store.open(f"sqlite:///{file}", SystemClock()) as store:
        await store.ping()

    assert file.exists()
    assert file.parent.stat().st_mode & 0o077 == 0  # password hashes lie here


async def test_memory_is_a_database_too() -> None:
    async with Store.open("sqlite:///:memory:", SystemClock()) as store:
        await store.save_site(a_site())
        await store.add_meter_values([a_meter_value()])

        assert len(await asyncio.gather(*[store.meter_values() for _ in range(5)])) == 5


async def test_simulated_time_stands_still_during_a_query(database_url: str, clock: SteppedClock) -> None:
    async with Store.open(database_url, clock) as store:
        woken_at = []

        async def asks() -> None:
            for _ in range(20):
                await store.ping()
            woken_at.append(clock.now())

        async def sleeps() -> None:
            await clock.sleep(600)
            woken_at.append(clock.now())

        tasks = [asyncio.create_task(asks()), asyncio.create_task(sleeps())]
        await clock.run_until(NOON + timedelta(hours=1))
        await asyncio.gather(*tasks)

    assert woken_at == [NOON, NOON + timedelta(minutes=10)]


async def test_who_waits_for_a_connection_is_not_forgotten_when_those_before_cannot_open_one(tmp_path: Path) -> None:
    away = tmp_path / "away" / "smartcharge.db"
    async with Database.open(f"sqlite:///{away}", SystemClock()) as database:
        away.parent.rmdir()

        async def ask() -> None:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))

        async with asyncio.timeout(30):  # the pool's own time-out is a minute
            answers = await asyncio.gather(*(ask() for _ in range(12)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [StoreUnavailableError] * 12


async def test_who_waits_for_a_connection_is_not_forgotten_when_those_before_give_up(sqlite_file: Path) -> None:
    before = set(threading.enumerate())
    async with Database.open(sqlite_url(sqlite_file), SystemClock()) as database:

        async def ask() -> None:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))

        asking = [asyncio.create_task(ask()) for _ in range(12)]
        await asyncio.sleep(0)
        for impatient in asking[:5]:
            impatient.cancel()

        async with asyncio.timeout(30):
            answers = await asyncio.gather(*asking, return_exceptions=True)

    assert answers[5:] == [None] * 7

    def still_answering() -> bool:
        return any("_connection_worker" in thread.name for thread in set(threading.enumerate()) - before)

    async with asyncio.timeout(30):  # those who were cancelled have threads that still answer this loop
        while still_answering():  # noqa: ASYNC110 -- a thread tells nobody of its end
            await asyncio.sleep(0.01)
