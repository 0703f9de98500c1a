"""Each site is planned for the coming day at its own local hour; one site's error never stops another's.

The run of a night is opened in the ledger ahead of its hour. So whoever is there finds what is due: several services
share it out among themselves, and one that comes back after the hour makes good for it, once.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from app.clock import Clock, sleep_until
from app.db.ledger_records import Run
from app.db.records import Plan
from app.db.store import Store
from app.errors import AlreadyPlannedError, AppError
from app.planning.planner import Kind
from app.site import Site
from forecasts.errors import ForecastError
from optimizer.errors import OptimizerError

log = structlog.get_logger()

LOOK_AGAIN = timedelta(minutes=15)  # how soon a new site or a changed hour is noticed

GRACE = timedelta(seconds=20)  # for the service that the site's stations are connected to: only that one can send
AT_ONCE = 4  # two are solved, one is gathered, one is saved


class PlansNights(Protocol):
    async def plan(self, site_id: str, *, kind: Kind, window: datetime | None = None) -> Plan: ...


@dataclass(frozen=True, slots=True)
class NightlyResult:
    """What became of one site; `error` None when it has its plan."""

    site_id: str
    plan_id: str | None
    status: str | None
    error: str | None


def next_run(site: Site, after: datetime) -> datetime:
    """The first moment after `after` (aware) at which the site's local clock shows its hour, in UTC.

    An hour that a DST change skips runs as much later as the change skips; one that comes twice runs the first time.
    """
    day = after.astimezone(site.zone).date()
    while True:
        due = datetime.combine(day, site.nightly_at, site.zone).astimezone(UTC)
        if due > after:
            return due
        day += timedelta(days=1)


async def run_nightly(store: Store, planner: PlansNights, site_ids: tuple[str, ...] = ()) -> list[NightlyResult]:
    """Plan the named sites, or all, now; every one gets its turn whatever happened before. Results by site."""
    due = [site.id for site in await store.sites() if not site_ids or site.id in site_ids]
    return await _in_turn(planner, [(site_id, None) for site_id in due], await _suspects(store))


class Nightly:
    """The clock of the night. `run` works until it is cancelled.

    `connected` names the stations that this service can send to; None where nobody else is about.
    """

    def __init__(
        self,
        store: Store,
        planner: PlansNights,
        clock: Clock,
        *,
        connected: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self._store = store
        self._planner = planner
        self._clock = clock
        self._connected = connected

    async def run(self) -> None:
        while True:
            wake = self._clock.now() + LOOK_AGAIN
            try:
                wake = min(wake, await self._work_off())
                wake = min(wake, await self._open())
            except AppError as error:
                log.error("the nightly run waits for the store", error=str(error))
            except Exception:  # the nights must go on whatever one evening met
                log.exception("the nightly run failed")
            await sleep_until(self._clock, wake)

    async def _open(self) -> datetime:
        """Have the next run of every site in the ledger; when the first is due."""
        now = self._clock.now()
        due = {site.id: next_run(site, now) for site in await self._store.sites()}
        await self._store.open_runs("nightly", due, now)
        return min(due.values(), default=now + LOOK_AGAIN)

    async def _work_off(self) -> datetime:
        """Plan what is due, and nobody else is at; when to look for the rest: what others have claimed, or may yet."""
        now = self._clock.now()
        runs = await self._coalesced(await self._store.unended_runs("nightly", now), now)
        later = [run.lease_until for run in runs if run.lease_until is not None and run.lease_until > now]
        free = [run for run in runs if run.lease_until is None or run.lease_until <= now]
        first_for_others = await self._others_first([run.site_id for run in free])
        mine = []
        for run in free:
            if run.site_id in first_for_others and now < run.window + GRACE:
                later.append(run.window + GRACE)
            else:
                mine.append(run)
        if mine:
            await _in_turn(self._planner, [(run.site_id, run.window) for run in mine], await _suspects(self._store))
        again = await self._store.unended_runs("nightly", self._clock.now()) if mine else []
        later += [run.lease_until for run in again if run.lease_until is not None]
        return min(later, default=now + LOOK_AGAIN)

    async def _coalesced(self, runs: Sequence[Run], now: datetime) -> list[Run]:
        """Of several nights that were missed the last is made good for, and not each."""
        newest = {run.site_id: run for run in sorted(runs, key=lambda run: run.window)}
        older = [run for run in runs if run is not newest[run.site_id]]
        if older:
            missed = "nobody planned it in its hour, and a later one makes good for it"
            await self._store.miss_runs([run.run_id for run in older], missed, now)
        return list(newest.values())

    async def _others_first(self, site_ids: Collection[str]) -> set[str]:
        """Sites whose stations are connected, and all of them elsewhere."""
        if self._connected is None or not site_ids:
            return set()
        here, elsewhere = set[str](), set[str]()
        connected = self._connected()
        for station in await self._store.stations():
            if station.connected or station.station_id in connected:
                (here if station.station_id in connected else elsewhere).add(station.site_id)
        return (elsewhere - here) & set(site_ids)


async def _suspects(store: Store) -> set[str]:
    return {poisoned.site_id for poisoned in await store.poisoned_sites()}


async def _in_turn(
    planner: PlansNights, due: Iterable[tuple[str, datetime | None]], suspects: Collection[str]
) -> list[NightlyResult]:
    """A few at a time; sites whose planning has ended a process last and alone, so that none is blamed for another."""
    due = list(due)
    gate = asyncio.Semaphore(AT_ONCE)
    results: dict[str, NightlyResult] = {}

    async def one(site_id: str, window: datetime | None) -> None:
        async with gate:
            result = await _plan(planner, site_id, window)
            if result is not None:
                results[site_id] = result

    async with asyncio.TaskGroup() as tasks:
        for site_id, window in due:
            if site_id not in suspects:
                tasks.create_task(one(site_id, window))
    for site_id, window in due:
        if site_id in suspects:
            await one(site_id, window)
    return [results[site_id] for site_id, _ in due if site_id in results]


async def _plan(planner: PlansNights, site_id: str, window: datetime | None) -> NightlyResult | None:
    """None: somebody else has planned it, or does."""
    try:
        plan = await planner.plan(site_id, kind="nightly", window=window)
    except AlreadyPlannedError as error:
        log.info("no nightly plan needed", site=site_id, reason=str(error))
        return None
    except (AppError, ForecastError, OptimizerError) as error:
        log.error("no nightly plan", site=site_id, error=str(error))
        return NightlyResult(site_id, None, None, str(error))
    except Exception as error:  # a bug met at one site must not leave the others without their plan
        log.exception("nightly planning failed", site=site_id)
        return NightlyResult(site_id, None, None, f"{type(error).__name__}: {error}")
    return NightlyResult(site_id, plan.plan_id, plan.status, plan.reason)
