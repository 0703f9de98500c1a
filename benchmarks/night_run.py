"""The night run: sites of ten EVSEs, from the store to the saved plan and back, on two processes.

    python benchmarks/night_run.py [250 500 1000] [--workers 2] [--dask] [--profile]

Everything is real: the ledger, the store (SQLite), the gathering of each site's inputs, solving with baselines and
polish in a pool of processes, the check, the saved plan with its decision. Only the stations are missing, so nothing is
sent. Times are the wall's, and what the processors spent: of the process that gathers and saves, and of all together.
With ``--dask`` the largest night is planned again by two Dask workers, one of which is killed half-way, and its plans
are compared with the pool's bit by bit; that needs the extra `dask`.
"""

import argparse
import asyncio
import cProfile
import logging
import os
import pstats
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, TypeVar

import structlog

from app.clock import Clock, SteppedClock
from app.csms.connector import Passport
from app.db.records import Delivery
from app.db.store import Store
from app.events import Events
from app.gather import FallbackOnly, Gatherer
from app.planning.decision import decided, digest
from app.planning.executor import RebuiltPool
from app.planning.nightly import run_nightly
from app.planning.planner import Planner
from benchmarks.night_sites import fill, site_id_of, stations
from benchmarks.report import Report, arguments, peak_memory_mb

T = TypeVar("T")
NOW = datetime(2026, 3, 2, 21, tzinfo=UTC)
HORIZON = timedelta(hours=36)  # as the service plans
SIZES = (250, 500, 1000)


class Nobody:
    """In the dispatcher's place: no station is there to be told."""

    def passport(self, *_: object) -> Passport:
        return Passport()

    def watched_until(self, now: datetime) -> datetime:
        return now

    async def send(self, *_: object) -> Sequence[Delivery]:
        return ()


@dataclass(frozen=True)
class Night:
    """What one took. `gathering_s` is CPU of the process that gathers and saves, `cpu_s` of all."""

    wall_s: float
    gathering_s: float
    cpu_s: float
    plans: Mapping[str, str]  # by site, the digest of what was decided


async def a_night(url: str, sites: int, executor: Executor) -> Night:
    """Plan all of them, and read back what was decided."""
    clock: Clock = SteppedClock(NOW)
    connected = stations(sites)
    async with Store.open(url, clock) as store:
        gatherer = Gatherer(store, clock, FallbackOnly(), connected=lambda: connected, horizon=HORIZON)
        planner = Planner(store, gatherer, Nobody(), clock, Events(), executor)
        began, cpu_s = perf_counter(), cpu()
        results = await run_nightly(store, planner)
        wall_s, gathering_s = perf_counter() - began, cpu() - cpu_s
        failed = [result for result in results if result.plan_id is None]
        assert not failed, failed[:3]
        assert len(results) == sites
        plans = {}
        for number in range(sites):
            plan = await store.latest_plan(site_id_of(number))
            assert plan is not None
            assert plan.status != "fallback", plan.reason
            plans[plan.site_id] = digest(decided(plan.schedule))
    return Night(wall_s, gathering_s, 0.0, plans)


def cpu(who: int = resource.RUSAGE_SELF) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def in_a_pool(directory: Path, sites: int, workers: int) -> Night:
    url = f"sqlite+aiosqlite:///{directory / f'{sites}.db'}"
    asyncio.run(fill(url, sites, NOW))
    before_s = cpu(resource.RUSAGE_CHILDREN)
    with RebuiltPool(workers) as pool:
        night = asyncio.run(a_night(url, sites, pool))
    solving_s = cpu(resource.RUSAGE_CHILDREN) - before_s
    return Night(night.wall_s, night.gathering_s, night.gathering_s + solving_s, night.plans)


class KillsOne(Executor):
    """Kills one of the cluster's workers when half of the work has been handed out."""

    def __init__(self, executor: Executor, after: int, kill: Callable[[], None]) -> None:
        self._executor = executor
        self._after = after
        self._kill = kill
        self._handed_out = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future = self._executor.submit(fn, *args, **kwargs)
        self._handed_out += 1
        if self._handed_out == self._after:
            self._kill()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait, cancel_futures=cancel_futures)


def on_dask(directory: Path, sites: int, workers: int) -> Night:
    """A scheduler and workers of this machine, each a process; one is killed half-way."""
    from distributed import LocalCluster

    from app.planning.dask_executor import DaskAddress, DaskExecutor

    url = f"sqlite+aiosqlite:///{directory / f'{sites}-dask.db'}"
    asyncio.run(fill(url, sites, NOW))
    before_s = cpu(resource.RUSAGE_CHILDREN)
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        DaskExecutor(DaskAddress(cluster.scheduler_address)) as executor,
    ):
        victim = next(iter(cluster.workers.values())).pid
        killing = KillsOne(executor, sites // 2, lambda: os.kill(victim, signal.SIGKILL))
        night = asyncio.run(a_night(url, sites, killing))
    solving_s = cpu(resource.RUSAGE_CHILDREN) - before_s
    return Night(night.wall_s, night.gathering_s, night.gathering_s + solving_s, night.plans)


def main() -> None:
    """Plan each night, and compare the time a site between the smallest and the largest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dask", action="store_true", help="the largest night on Dask too, one worker killed")
    parser.add_argument("--profile", action="store_true", help="of the process that gathers and saves")
    options, report = arguments(parser, "night_run")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print("sites   wall s    CPU s   of it gathering and saving   ms a site: wall, CPU")
    with TemporaryDirectory(prefix="smartcharge-night-") as folder:
        for sites in options.sizes:
            profile = cProfile.Profile()
            if options.profile:
                profile.enable()
            night = in_a_pool(Path(folder), sites, options.workers)
            if options.profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(45)
            tell(report, f"{sites} sites", sites, night)
        if options.dask:
            by_dask = on_dask(Path(folder), sites, options.workers)
            same = sum(by_dask.plans[name] == plan for name, plan in night.plans.items())
            tell(report, f"{sites} sites on Dask", sites, by_dask)
            report.add(f"{sites} sites on Dask", "plans that are the same", 100 * same / sites, "%")
            print(f"on Dask, one of {options.workers} workers killed half-way: {same} of {sites} plans are the same")
    smallest, largest = min(options.sizes), max(options.sizes)
    if smallest < largest:
        a_site_ms = [report.value(f"{sites} sites", "CPU a site") or 0.0 for sites in (smallest, largest)]
        report.add("fewest to most", "growth of CPU a site", a_site_ms[1] / a_site_ms[0], "×")
        print(f"CPU a site, {largest} against {smallest} sites: {a_site_ms[1] / a_site_ms[0]:.2f} ×")


def tell(report: Report, case: str, sites: int, night: Night) -> None:
    report.add(case, "seconds", night.wall_s, "s")
    report.add(case, "CPU", night.cpu_s, "s")
    report.add(case, "CPU of gathering and saving", night.gathering_s, "s")
    report.add(case, "CPU a site", 1000 * night.cpu_s / sites, "ms")
    report.add(case, "memory of gathering and saving", peak_memory_mb(), "MB")
    print(
        f"{sites:5} {night.wall_s:8.1f} {night.cpu_s:8.1f} {night.gathering_s:14.1f} "
        f"{1000 * night.wall_s / sites:24.0f} {1000 * night.cpu_s / sites:6.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
