"""The stepped clock: time moves only when everybody has finished."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.clock import SteppedClock, SystemClock, sleep_until

START = datetime(2026, 4, 26, 6, 0, tzinfo=UTC)


async def test_sleepers_wake_in_order_and_at_their_own_time() -> None:
    clock = SteppedClock(START)
    woken: list[tuple[str, datetime]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper("late", 3600))
        tasks.create_task(sleeper("early", 60))
        await clock.run_until(START + timedelta(hours=2))

    assert woken == [("early", START + timedelta(seconds=60)), ("late", START + timedelta(hours=1))]
    assert clock.now() == START + timedelta(hours=2)


async def test_time_stands_still_while_somebody_holds_it() -> None:
    clock = SteppedClock(START)
    seen: list[datetime] = []

    async def worker() -> None:
        await clock.sleep(10)
        with clock.hold():
            await asyncio.sleep(0.05)  # real work: a frame over a socket, a query, a solve
            seen.append(clock.now())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker())
        await clock.run_until(START + timedelta(hours=1))

    assert seen == [START + timedelta(seconds=10)]


async def test_work_started_by_a_woken_task_is_done_before_time_moves_on() -> None:
    clock = SteppedClock(START)
    seen: list[datetime] = []

    async def child() -> None:
        with clock.hold():
            await asyncio.sleep(0.01)
            seen.append(clock.now())

    async def parent() -> None:
        await clock.sleep(5)
        await asyncio.gather(child(), child())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(parent())
        await clock.run_until(START + timedelta(seconds=5))

    assert seen == [START + timedelta(seconds=5)] * 2


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = SteppedClock(START)
    sleeper = asyncio.create_task(clock.sleep(10))
    await asyncio.sleep(0)

    sleeper.cancel()
    await clock.run_until(START + timedelta(minutes=1))

    assert clock.now() == START + timedelta(minutes=1)


async def test_sleep_until_a_moment_that_has_passed_returns_at_once() -> None:
    clock = SystemClock()

    await asyncio.wait_for(sleep_until(clock, clock.now() - timedelta(hours=1)), timeout=1)


class SetClock(SystemClock):
    """Its wall time and its machine's are what a test says."""

    def __init__(self) -> None:
        self.wall, self.machine_s = START, 1000.0

    def _read(self) -> tuple[datetime, float]:
        return self.wall, self.machine_s


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_says_by_how_much_and_once(hours: int) -> None:
    clock, jumps = SetClock(), list[timedelta]()
    clock.on_jump = jumps.append
    clock.now()

    clock.wall += timedelta(hours=hours, seconds=30)
    clock.machine_s += 30
    seen = [clock.now(), clock.now()]

    assert jumps == [timedelta(hours=hours)]
    assert seen == [clock.wall] * 2


def test_time_that_passes_and_a_clock_that_is_slewed_are_no_jump() -> None:
    clock, jumps = SetClock(), list[timedelta]()
    clock.on_jump = jumps.append

    for _ in range(100):
        clock.now()
        clock.wall += timedelta(seconds=3600.5)
        clock.machine_s += 3600

    assert jumps == []
