"""Where solves run: a thread, or a pool of processes. The seam for more machines is the standard Executor.

HiGHS releases the GIL, so a thread serves an interactive service; processes serve a night run of many sites.
"""

from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Literal


def make_executor(kind: Literal["thread", "process"], workers: int = 2) -> Executor:
    """`workers` solves at once. Processes are spawned: a forked one would inherit the event loop's sockets."""
    if kind == "process":
        return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    return ThreadPoolExecutor(workers, thread_name_prefix="solve")
