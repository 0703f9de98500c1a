"""Processes that solve, and may die: nobody's work is lost with another's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.planning.executor import RebuiltPool, SolverDiedError


def doubled(number: int) -> int:
    return 2 * number


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(60)


def hoard() -> int:
    return len(bytearray(6 << 30))


def fail() -> None:
    raise LookupError("no such bus")


@pytest.fixture(scope="module")
def pool() -> Iterator[RebuiltPool]:
    made = RebuiltPool(2, wall_s=1.0, most_memory_bytes=4 << 30)
    yield made
    made.shutdown()


def test_work_that_kills_its_process_is_tried_twice_and_everyone_elses_is_done(pool: RebuiltPool) -> None:
    before = [pool.submit(doubled, number) for number in range(20)]
    poison: Future[None] = pool.submit(die)
    after = [pool.submit(doubled, number) for number in range(20)]

    assert [one.result(30) for one in before + after] == 2 * [2 * number for number in range(20)]
    with pytest.raises(SolverDiedError, match="twice"):
        poison.result(30)
    assert pool.submit(doubled, 21).result(30) == 42


def test_work_that_hangs_ends_with_its_process(pool: RebuiltPool) -> None:
    hanging = pool.submit(hang)

    with pytest.raises(SolverDiedError):
        hanging.result(30)


def test_work_that_wants_too_much_memory_gets_an_error_and_its_process_lives(pool: RebuiltPool) -> None:
    with pytest.raises(MemoryError):
        pool.submit(hoard).result(30)


def test_what_work_raises_is_its_answer(pool: RebuiltPool) -> None:
    with pytest.raises(LookupError, match="no such bus"):
        pool.submit(fail).result(30)


def test_one_who_submits_does_not_keep_a_pool_that_breaks_from_being_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.12 on a pool tells that it breaks under the very lock that its `submit` takes."""
    rebuilt = RebuiltPool(1)
    pool = rebuilt._pool
    submit = pool.submit

    with ThreadPoolExecutor(1) as manager:

        def submit_after_it_was_told(work: Any) -> Future[int]:
            manager.submit(rebuilt._rebuild, pool).result(10)
            return submit(work)

        monkeypatch.setattr(pool, "submit", submit_after_it_was_told)
        answer = rebuilt.submit(doubled, 4)

    assert answer.result(60) == 8
    assert rebuilt._pool is not pool
    pool.shutdown()
    rebuilt.shutdown()


def test_a_pool_that_is_shut_takes_nothing_more() -> None:
    shut = RebuiltPool(1)
    shut.shutdown()

    with pytest.raises(RuntimeError, match="shutdown"):
        shut.submit(doubled, 1)


def is_running(pid: int) -> bool:
    """A zombie is not: whoever adopted it may be slow to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


SERVICE = """
import os, time
from app.planning.executor import RebuiltPool

if __name__ == "__main__":
    pool = RebuiltPool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_a_service_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    with subprocess.Popen([sys.executable, tmp_path / "service.py"], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        solving = int(service.stdout.readline())

        service.kill()

    deadline = time.monotonic() + 20
    while is_running(solving) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(solving)
