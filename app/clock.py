"""The one clock: everything that waits or asks for the time is given one.

`SystemClock` is the wall clock. `SteppedClock` moves only when told to and only when nobody is working: a simulated
day runs in lock-step with its stations, as fast as the machine allows, and always the same way.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

# Loop turns without a hold before time may move: a woken task needs a few to reach its next hold or sleep.
IDLE_TURNS = 8
CLOCKS_DIFFER = timedelta(minutes=1)  # two of them, both right enough: a station's, say, or another service's
JUMP = timedelta(seconds=5)  # at once; what a clock is slewed by between two looks is far less


def _machine_s() -> float:
    """Linux counts the time that a machine was suspended, too; elsewhere that looks like a jump, and is met as one."""
    boot: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class Clock(Protocol):
    """What the service knows of time. `now` is aware UTC."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...

    def hold(self) -> AbstractContextManager[None]:
        """Work whose end simulated time must wait for: a frame in flight, a query, a solve."""
        ...


async def sleep_until(clock: Clock, moment: datetime) -> None:
    """Sleep until `moment` (aware); returns at once when it has passed."""
    await clock.sleep(max(0.0, (moment - clock.now()).total_seconds()))


class SystemClock:
    """The wall clock. It may be set, by hand or by an NTP server: `on_jump` is told by how much, before anybody is
    given the new time. What counts seconds since the machine started, asleep or not, tells that from time that passed.
    """

    on_jump: Callable[[timedelta], None] | None = None
    _since_start: timedelta | None = None  # by the wall, beyond what the machine has counted

    def now(self) -> datetime:
        wall, machine = self._read()
        since_start = wall - datetime.fromtimestamp(machine, UTC)
        by = since_start - (self._since_start or since_start)
        self._since_start = since_start
        if abs(by) > JUMP and self.on_jump is not None:
            self.on_jump(by)
        return wall

    def _read(self) -> tuple[datetime, float]:
        """The wall's time, and seconds since the machine started."""
        return datetime.now(UTC), _machine_s()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def hold(self) -> AbstractContextManager[None]:
        return nullcontext()


class SteppedClock:
    """A clock for simulations: `run_until` jumps from one sleeper's due time to the next.

    Between two jumps it waits until no hold is left and the event loop has been idle for a few turns, so a reply
    that takes the machine 20 ms takes the simulation no time at all.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = count()
        self._holds = 0
        self._released = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), woken))
        await woken

    @contextmanager
    def hold(self) -> Iterator[None]:
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._released.set()

    async def run_until(self, end: datetime) -> None:
        """Let time pass up to `end` (aware): every sleeper due by then is woken, in order, at its own time."""
        while True:
            await self.settle()
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)  # its task was cancelled
            if not self._sleepers or self._sleepers[0][0] > end:
                self._now = max(self._now, end.astimezone(UTC))
                return
            self._now = self._sleepers[0][0]
            while self._sleepers and self._sleepers[0][0] == self._now:
                _, _, woken = heapq.heappop(self._sleepers)
                if not woken.done():
                    woken.set_result(None)

    async def settle(self) -> None:
        """Return once nothing holds the clock and nothing is about to."""
        idle_turns = 0
        while idle_turns < IDLE_TURNS:
            if self._holds:
                self._released.clear()
                await self._released.wait()
                idle_turns = 0
            await asyncio.sleep(0)
            idle_turns += 1
