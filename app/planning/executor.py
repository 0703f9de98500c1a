"""Where solves run: a thread, a pool of processes, or a Dask cluster. The seam is the standard Executor.

Processes keep a solver that dies, hangs or hoards memory from taking the service along. HiGHS releases the GIL, so
where nobody depends on the service a thread serves as well.
"""

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib import import_module
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Lock, Thread
from typing import Any, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

WALL_S = 300.0  # ten times the usual time limit of a solve: who is not back by then hangs
MOST_MEMORY_BYTES = 8 << 30  # of one solving process; the largest site known takes a tenth


class SolverDiedError(BrokenProcessPool):
    """Work that ended the process it ran in, twice: the second time with nobody beside it."""


def make_executor(kind: Literal["thread", "process"], workers: int = 2) -> Executor:
    """`workers` solves at once."""
    if kind == "process":
        pool = RebuiltPool(workers)
        pool.submit(_load_solver)  # for which the first plan need not wait
        return pool
    return ThreadPoolExecutor(workers, thread_name_prefix="solve")


class RebuiltPool(Executor):
    """Processes that may die: the pool is made anew, and what was lost with it is done again, one after the other.

    One death breaks a whole pool, and nobody can tell whose work it was. So all that was lost goes to a process of its
    own, alone: what ends that one too raises `SolverDiedError`, the rest is done. Work that takes longer than `wall_s`
    ends its process. Processes are spawned: a forked one would inherit the event loop's sockets.
    """

    def __init__(self, workers: int, *, wall_s: float = WALL_S, most_memory_bytes: int = MOST_MEMORY_BYTES) -> None:
        self._workers = workers
        self._wall_s = wall_s
        self._most_memory_bytes = most_memory_bytes
        self._lock = Lock()
        self._is_shut = False
        self._pool = self._a_pool(workers)
        self._ward = ThreadPoolExecutor(1, thread_name_prefix="ward")
        self._alone: ProcessPoolExecutor | None = None  # touched by the ward's thread only, until the end

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        work = partial(_within, self._wall_s, partial(fn, *args, **kwargs))
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()
        self._try(work, answer)
        return answer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._is_shut = True
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._ward.shutdown(wait=wait, cancel_futures=cancel_futures)
        if self._alone is not None:
            self._alone.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _try(self, work: Callable[[], T], answer: Future[T]) -> None:
        attempt = None
        while attempt is None:
            with self._lock:
                if self._is_shut:
                    raise RuntimeError("cannot schedule new futures after shutdown")
                pool = self._pool
            # Not under our lock: a pool that breaks keeps its own (from Python 3.12 on) while `_done` wants ours.
            try:
                attempt = pool.submit(work)
            except BrokenProcessPool:  # it died while nobody asked it for anything
                self._rebuild(pool)
        attempt.add_done_callback(partial(self._done, pool, work, answer))

    def _done(self, pool: ProcessPoolExecutor, work: Callable[[], T], answer: Future[T], attempt: Future[T]) -> None:
        if attempt.cancelled():
            answer.set_exception(RuntimeError("the pool was shut down"))
            return
        failure = attempt.exception()
        if failure is None:
            answer.set_result(attempt.result())
        elif not isinstance(failure, BrokenProcessPool):
            answer.set_exception(failure)
        else:
            self._rebuild(pool)
            self._retry(work, answer, failure)

    def _rebuild(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is broken and not self._is_shut:
                self._pool = self._a_pool(self._workers)

    def _retry(self, work: Callable[[], T], answer: Future[T], failure: BaseException) -> None:
        try:
            self._ward.submit(self._work_alone, work, answer)
        except RuntimeError:  # shut down meanwhile
            answer.set_exception(failure)

    def _work_alone(self, work: Callable[[], T], answer: Future[T]) -> None:
        try:
            if self._alone is None:
                self._alone = self._a_pool(1)
            answer.set_result(self._alone.submit(work).result())
        except BrokenProcessPool as failure:
            self._alone = None
            died = SolverDiedError("the process that worked on it died, twice, the second time with nothing else to do")
            died.__cause__ = failure
            answer.set_exception(died)
        except BaseException as failure:  # whatever it raised is its answer
            answer.set_exception(failure)

    def _a_pool(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(self._most_memory_bytes,)
        )


def _begin(most_memory_bytes: int) -> None:
    """A limit that the kernel keeps: whoever needs more gets an error, not the memory of others.

    A service that is killed tells nobody, and its processes wait for work on a pipe that they hold open themselves.
    """
    Thread(target=_end_with, args=(parent_process(),), name="orphan", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a whole terminal: the service ends its processes in order
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = most_memory_bytes if hard == resource.RLIM_INFINITY else min(most_memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, wherever it hangs


def _load_solver() -> None:
    import_module("app.planning.solving")


def _end_with(parent: BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(1)


def _within(wall_s: float, work: Callable[[], Any]) -> Any:
    """Do the work, or die: a solver that hangs in native code hears nothing but a signal."""
    if sys.platform == "win32":
        return work()
    signal.setitimer(signal.ITIMER_REAL, wall_s)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
