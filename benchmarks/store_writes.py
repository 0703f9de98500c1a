"""Meter values a second into SQLite: through the batching writer, against a commit for each row.

    python benchmarks/store_writes.py [rows]

Both run in one process, on one machine, one after the other, with the durability that each asks for in the service.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from app.clock import SystemClock
from app.db.records import MeterValue
from app.db.store import Store

STATIONS = 50
MEASURANDS = (("Power.Active.Import", "W"), ("Energy.Active.Import.Register", "Wh"), ("Current.Import", "A"))


def meter_values(rows: int) -> list[list[MeterValue]]:
    """As messages: each of one station, three values."""
    start = datetime(2026, 3, 2, tzinfo=UTC)
    return [
        [
            MeterValue(f"cs{message % STATIONS:02}", 1, start + timedelta(seconds=message), measurand, 1.0, unit, 1)
            for measurand, unit in MEASURANDS
        ]
        for message in range(rows // len(MEASURANDS))
    ]


async def through_the_writer(store: Store, messages: list[list[MeterValue]]) -> None:
    for number, message in enumerate(messages):
        await store.add_meter_values(message)
        if number % 500 == 0:
            await asyncio.sleep(0)  # as a gateway would between frames
    await store.flush()


async def a_commit_a_row(store: Store, messages: list[list[MeterValue]]) -> None:
    for message in messages:
        for value in message:
            await store.import_meter_values([value])


async def rows_a_second(
    write: Callable[[Store, list[list[MeterValue]]], Awaitable[None]], messages: list[list[MeterValue]]
) -> float:
    with TemporaryDirectory() as directory:
        async with Store.open(f"sqlite:///{Path(directory) / 'benchmark.db'}", SystemClock()) as store:
            started = perf_counter()
            await write(store, messages)
            seconds = perf_counter() - started
            stored = len(await store.meter_values())
    rows = sum(len(message) for message in messages)
    assert stored == rows, f"{stored} of {rows} rows are there"
    return rows / seconds


async def main(rows: int) -> None:
    batched = await rows_a_second(through_the_writer, meter_values(rows))
    one_by_one = await rows_a_second(a_commit_a_row, meter_values(rows // 25))
    print(f"batching writer   {batched:10,.0f} rows/s")
    print(f"a commit a row    {one_by_one:10,.0f} rows/s")
    print(f"ratio             {batched / one_by_one:10,.0f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000))
