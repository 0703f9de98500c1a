"""The writer of meter values: many stations hand in a few rows each, one task writes them by the hundred.

Whatever queued up while one batch was written is the next batch; only a busy writer waits a moment for more. A
database that does not answer costs nothing until the buffer is full; then the oldest rows go, and are counted. One
that does answer, but is behind, is waited for by whoever sends: nothing is lost to haste.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Self

from app.clock import Clock
from app.crash_points import crash_point
from app.db import tables
from app.db.bulk import sqlite_moment, upsert_plain
from app.db.database import Database
from app.errors import StoreUnavailableError

# The columns of `tables.meter_values` in their order, no None but in the last; times as `MeterValueWriter.moment`
# gives them.
Row = tuple[Any, ...]

BATCH_ROWS = 4_000  # beyond it a larger transaction is hardly faster, and others wait longer for their turn
BUFFER_ROWS = 100_000  # about 60 MB: 50 stations that send five values every ten seconds fill it in 67 minutes
BEHIND_ROWS = 20_000  # with more waiting, who hands in rows should wait for the database: a fifth of a second
BUSY_ROWS = 500  # after a batch of so many the next one is gathered for GATHER_S: it costs half as much a row then,
GATHER_S = 0.05  # for all rows of a station's page are written at once
RETRY_PAUSE_S = 0.5  # real time, whatever the clock: it is the database that needs it
CLOSING_ATTEMPTS = 3

log = logging.getLogger(__name__)


class MeterValueWriter:
    """`async with MeterValueWriter.running(database, clock)`: at the end what is left is written.

    `dropped` counts rows that were lost: the oldest of a full buffer, and any that the database will never take.
    Simulated time stands still while rows wait to be written.
    """

    def __init__(self, database: Database, clock: Clock, *, buffer_rows: int = BUFFER_ROWS) -> None:
        self._database = database
        self._clock = clock
        self._buffer_rows = buffer_rows
        self._behind_rows = min(BEHIND_ROWS, buffer_rows // 2)
        self._waiting: deque[Row] = deque()
        self._batch: list[Row] = []  # in flight
        self._arrived = asyncio.Event()
        self._closing = False
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []  # (how many rows must be settled, who waits)
        self._added = 0
        self._settled = 0  # written or dropped
        self._wanted = asyncio.Event()  # somebody flushes or closes: no gathering
        self._failing = False
        self._progress = asyncio.Event()  # set, and replaced, after each attempt
        self._waiting_since: float | None = None  # by the loop's clock: rows wait, and none was written
        self.dropped = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, database: Database, clock: Clock, *, buffer_rows: int = BUFFER_ROWS) -> AsyncIterator[Self]:
        writer = cls(database, clock, buffer_rows=buffer_rows)
        task = asyncio.create_task(writer._run(), name="meter value writer")
        try:
            yield writer
        finally:
            writer._closing = True
            writer._arrived.set()
            writer._wanted.set()
            await task

    def moment(self, at: datetime) -> datetime | str:
        """`at` (aware) as the rows of this database hold it: SQLite keeps the text of the UTC time."""
        return sqlite_moment(at) if self._database.is_sqlite else at

    def add(self, rows: Sequence[Row]) -> None:
        """Queue rows, each with every column of `tables.meter_values`. Returns at once."""
        if self._closing:
            raise StoreUnavailableError("the store is closed")
        if rows and self._waiting_since is None:
            self._waiting_since = asyncio.get_running_loop().time()
        self._waiting.extend(rows)
        self._added += len(rows)
        self._drop_oldest()
        self._arrived.set()

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to write did not succeed: what comes in meanwhile is in memory alone."""
        return self._failing

    @property
    def waiting(self) -> int:
        """Rows that are not in the database yet."""
        return len(self._waiting) + len(self._batch)

    @property
    def lag_s(self) -> float:
        """For how long rows have been waiting without any of them being written; real seconds."""
        since = self._waiting_since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    @property
    def is_behind(self) -> bool:
        """Whether a database that does answer has more waiting than it should. One that does not is waited for by
        nobody: live values matter more than samples."""
        return not self._failing and not self._closing and len(self._waiting) > self._behind_rows

    async def catch_up(self) -> None:
        """Return once the database is not behind, or not there."""
        while self.is_behind:
            await self._progress.wait()

    async def written(self) -> None:
        """Return once all that was added so far is written, or the database does not answer.

        Others may be gathered with it meanwhile: `flush` is for who is in a hurry.
        """
        added = self._added
        while self._settled < added and not self._failing:
            await self._progress.wait()

    async def flush(self) -> None:
        """Return once all that was added is written; raise `StoreUnavailableError` when an attempt to do so fails.

        After a failure the rows stay queued, and are tried again.
        """
        if self._settled == self._added:
            return
        settled = asyncio.get_running_loop().create_future()
        self._flushes.append((self._added, settled))
        self._arrived.set()
        self._wanted.set()
        with self._clock.hold():
            await settled

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            await self._arrived.wait()
            self._arrived.clear()
            with self._clock.hold():
                await self._drain()

    async def _drain(self) -> None:
        failures = 0
        while self._waiting:
            self._batch = [self._waiting.popleft() for _ in range(min(BATCH_ROWS, len(self._waiting)))]
            try:
                refused = await self._write(self._batch)
            except StoreUnavailableError as error:
                failures += 1
                self._put_back(error)
                self._note_progress(failing=True)
                if self._closing and failures >= CLOSING_ATTEMPTS:
                    self._give_up()
                    return
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                failures = 0
                is_busy = len(self._batch) >= BUSY_ROWS
                self._settle(len(self._batch), dropped=refused)
                self._batch = []
                self._waiting_since = asyncio.get_running_loop().time() if self._waiting else None
                self._note_progress(failing=False)
                if is_busy and len(self._waiting) < BATCH_ROWS:
                    await self._gather()

    async def _gather(self) -> None:
        """Let rows come together, unless somebody waits for them."""
        self._wanted.clear()
        if not self._flushes and not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._wanted.wait()

    async def _write(self, rows: list[Row]) -> int:
        """Write `rows` in one transaction. A row that the database refuses must not hold up the others: it is found
        by halving and left out. Returns how many were."""
        try:
            async with self._database.write(durable=False) as connection:
                await upsert_plain(connection, tables.meter_values, rows)
                crash_point("meter_values.before_commit")
        except StoreUnavailableError:
            raise
        except Exception as error:
            if len(rows) == 1:
                log.warning("meter value dropped, the database refuses it: %s: %r", error, rows[0])
                return 1
            half = len(rows) // 2
            return await self._write(rows[:half]) + await self._write(rows[half:])
        crash_point("meter_values.after_commit")
        return 0

    def _note_progress(self, *, failing: bool) -> None:
        self._failing = failing
        self._progress.set()
        self._progress = asyncio.Event()

    def _put_back(self, error: StoreUnavailableError) -> None:
        self._waiting.extendleft(reversed(self._batch))
        self._batch = []
        self._drop_oldest()
        log.warning("%d meter values wait for the database: %s", len(self._waiting), error)
        for _, flushed in self._flushes:
            if not flushed.done():
                flushed.set_exception(StoreUnavailableError(str(error)))
        self._flushes = []

    def _drop_oldest(self) -> None:
        surplus = len(self._waiting) - self._buffer_rows
        if surplus > 0:
            for _ in range(surplus):
                self._waiting.popleft()
            self._settle(surplus, dropped=surplus)

    def _give_up(self) -> None:
        log.error("%d meter values are lost: the database did not take them before the end", len(self._waiting))
        self._settle(len(self._waiting), dropped=len(self._waiting))
        self._waiting.clear()

    def _settle(self, rows: int, *, dropped: int) -> None:
        self._settled += rows
        self.dropped += dropped
        while self._flushes and self._flushes[0][0] <= self._settled:
            _, flushed = self._flushes.pop(0)
            if not flushed.done():
                flushed.set_result(None)
