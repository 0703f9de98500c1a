"""The batching writer: nothing is lost while the database is away, and memory stays bounded."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter

import pytest

from app.clock import SteppedClock, SystemClock
from app.db.database import Database
from app.db.meter_value_rows import queued_row
from app.db.store import Store
from app.db.writer import BATCH_ROWS, MeterValueWriter
from app.errors import StoreUnavailableError
from tests.app.db.builders import a_meter_value, a_site
from tests.stores import sqlite_url


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process's long transaction."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def impatient(file: Path) -> str:
    """The URL of a database whose lock is waited for 20 ms only."""
    return f"{sqlite_url(file)}?timeout=0.02"


def rows_on_disk(file: Path) -> int:
    """As another process sees it: the store's own reads flush first."""
    with closing(sqlite3.connect(file)) as other:
        count: int = other.execute("SELECT count(*) FROM meter_values").fetchone()[0]
    return count


@pytest.fixture
async def impatient_store(sqlite_file: Path) -> AsyncIterator[Store]:
    async with Store.open(impatient(sqlite_file), SystemClock()) as store:
        yield store


async def test_a_flush_writes_all_that_was_added_before(store: Store) -> None:
    await store.add_meter_values([a_meter_value(minutes) for minutes in range(BATCH_ROWS + 1)])

    await store.flush()

    assert len(await store.meter_values()) == BATCH_ROWS + 1


async def test_what_is_left_is_written_at_the_end(database_url: str) -> None:
    async with Store.open(database_url, SystemClock()) as store:
        await store.add_meter_values([a_meter_value(minutes) for minutes in range(3)])

    async with Store.open(database_url, SystemClock()) as store:
        assert len(await store.meter_values()) == 3


async def test_rows_are_written_without_a_flush(sqlite_file: Path, clock: SteppedClock) -> None:
    async with Store.open(sqlite_url(sqlite_file), clock) as store:
        await store.add_meter_values([a_meter_value()])

        await clock.settle()

        assert rows_on_disk(sqlite_file) == 1


async def test_an_empty_flush_does_not_touch_the_database(impatient_store: Store, sqlite_file: Path) -> None:
    with locked(sqlite_file):
        started = perf_counter()
        await impatient_store.flush()

    assert perf_counter() - started < 0.01


async def test_rows_outlive_a_database_that_does_not_answer(impatient_store: Store, sqlite_file: Path) -> None:
    with locked(sqlite_file):
        await impatient_store.add_meter_values([a_meter_value(0), a_meter_value(1)])
        with pytest.raises(StoreUnavailableError, match="locked"):
            await impatient_store.flush()
        await impatient_store.add_meter_values([a_meter_value(2)])

    assert len(await impatient_store.meter_values()) == 3
    assert impatient_store.dropped_meter_values == 0


async def test_a_full_buffer_drops_the_oldest_and_counts_them(sqlite_file: Path) -> None:
    clock = SystemClock()
    async with (
        Database.open(impatient(sqlite_file), clock) as database,
        MeterValueWriter.running(database, clock, buffer_rows=10) as writer,
    ):
        with locked(sqlite_file):
            for minutes in range(25):
                writer.add([queued_row(writer, a_meter_value(minutes, minutes))])
                await asyncio.sleep(0)
            with pytest.raises(StoreUnavailableError):
                await writer.flush()
        await writer.flush()
        dropped = writer.dropped

    async with Store.open(sqlite_url(sqlite_file), clock) as store:
        kept = [value.value for value in await store.meter_values()]
    assert kept == list(range(15, 25))
    assert dropped == 15


async def test_a_row_that_no_database_takes_does_not_hold_up_the_others(store: Store) -> None:
    good = [a_meter_value(minutes) for minutes in range(5)]

    await store.add_meter_values([*good[:2], a_meter_value(9, transaction_id=10**30), *good[2:]])

    assert await store.meter_values() == good
    assert store.dropped_meter_values == 1


async def test_the_end_comes_even_when_the_database_stays_away(
    sqlite_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(10):
        with locked(sqlite_file):
            async with Store.open(impatient(sqlite_file), SystemClock(), migrate=False) as store:
                await store.add_meter_values([a_meter_value()])

    assert store.dropped_meter_values == 1
    assert "1 meter values are lost" in caplog.text
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.add_meter_values([a_meter_value()])


async def test_simulated_time_stands_still_until_rows_are_written(sqlite_file: Path, clock: SteppedClock) -> None:
    async with Store.open(sqlite_url(sqlite_file), clock) as store:
        await store.save_site(a_site())
        written_after_each_minute = []

        async def station() -> None:
            for minutes in range(5):
                await store.add_meter_values([a_meter_value(minutes)])
                await clock.sleep(60)
                written_after_each_minute.append(rows_on_disk(sqlite_file))

        task = asyncio.create_task(station())
        await clock.run_until(a_meter_value(10).at)
        await task

    assert written_after_each_minute == [1, 2, 3, 4, 5]


async def test_who_sends_waits_for_a_database_that_is_behind_but_not_for_one_that_does_not_answer(
    sqlite_file: Path,
) -> None:
    clock = SystemClock()
    async with (
        Database.open(impatient(sqlite_file), clock) as database,
        MeterValueWriter.running(database, clock, buffer_rows=100) as writer,
    ):
        writer.add([queued_row(writer, a_meter_value(minutes, minutes)) for minutes in range(60)])
        assert writer.is_behind
        await writer.catch_up()
        assert rows_on_disk(sqlite_file) == 60

        with locked(sqlite_file):
            writer.add([queued_row(writer, a_meter_value(minutes, minutes)) for minutes in range(100, 160)])
            async with asyncio.timeout(2):
                await writer.catch_up()
            assert rows_on_disk(sqlite_file) == 60
        await writer.flush()
        assert (rows_on_disk(sqlite_file), writer.dropped) == (120, 0)
