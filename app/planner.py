"""The story: gather → solve → check → save → dispatch → verify."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Literal, Protocol

import structlog

from app.clock import Clock
from app.csms.connector import Passport
from app.db.records import Delivery, Json, Plan, Transaction
from app.db.store import Store
from app.events import Events, PlanMade
from app.few_periods import WINDOW, fits, period_limits, told_in_few_periods
from app.gather import MAX_TRANSACTIONS, Gatherer
from app.problem_json import problem_to_json, schedule_to_json
from app.site import Site
from app.solving import DEFAULTS, Keeping, log_kept, solve
from app.timed_out import TimedOut
from app.tracing import span, traced
from optimizer.compress import compress
from optimizer.domain import Problem, Schedule

log = structlog.get_logger()

Kind = Literal["request", "nightly", "replan"]


class Dispatches(Protocol):
    """What the planner needs of the dispatcher."""

    def passport(self, station_id: str) -> Passport: ...

    def watched_until(self, now: datetime) -> datetime: ...

    async def send(
        self,
        site: Site,
        plan_id: str,
        problem: Problem,
        schedule: Schedule,
        transactions: Mapping[str, Transaction],
    ) -> Sequence[Delivery]: ...


class Planner:
    """Makes one plan of one site at a time, and sees it through to the chargers.

    A problem that uses up its time limit goes to `timed_out`, if there is one.
    Raises `NotFoundError` for an unknown site and `ForecastError` where the inputs do not suffice for any plan.
    """

    def __init__(
        self,
        store: Store,
        gatherer: Gatherer,
        dispatcher: Dispatches,
        clock: Clock,
        events: Events,
        executor: Executor,
        solver: str = "highs",
        timed_out: TimedOut | None = None,
    ) -> None:
        self._store = store
        self._gatherer = gatherer
        self._dispatcher = dispatcher
        self._clock = clock
        self._events = events
        self._executor = executor
        self._solver = solver
        self._timed_out = timed_out
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @traced("plan")
    async def plan(self, site_id: str, *, kind: Kind = "request", dispatch: bool = True) -> Plan:
        """Plan the coming hours of a site and, unless told not to or in shadow mode, send the limits."""
        async with self._turns[site_id]:
            with self._clock.hold():
                site = await self._store.site(site_id)
                gathered = await self._gatherer.gather(site)
                # Solved and checked, or the fallback with its reason; baselines and polish cost time a re-plan lacks.
                schedule = await solve_in(
                    self._executor,
                    gathered.problem,
                    self._solver,
                    baselines=() if kind == "replan" else DEFAULTS,
                    keeping=Keeping(self._timed_out, site_id, self._clock.now()) if self._timed_out else None,
                    polish=kind != "replan",
                )
                schedule, told = await self._in_few_periods(site, gathered.problem, schedule)
                schedule = replace(schedule, warnings=(*gathered.warnings, *schedule.warnings))
                provenance = gathered.provenance | told
                plan = _record(site, kind, self._clock.now(), gathered.problem, schedule, provenance)
                await self._store.save_plan(plan)
                self._events.publish(PlanMade(site_id, plan.plan_id, plan.created_at))
                if dispatch and site.mode == "optimised" and _may_be_sent(schedule):
                    transactions = await self._still_running(site, gathered.transactions)
                    await self._dispatcher.send(site, plan.plan_id, gathered.problem, schedule, transactions)
        log.info("planned", site=site_id, kind=kind, plan=plan.plan_id, status=plan.status, reason=plan.reason)
        return plan

    async def _in_few_periods(self, site: Site, problem: Problem, schedule: Schedule) -> tuple[Schedule, Json]:
        """What its stations can hold of a plan, and for its provenance what that loses."""
        passports = {station.id: self._dispatcher.passport(station.id) for station in site.charging_stations}
        limits = period_limits(problem, passports)
        now = self._clock.now()
        # One level for hours would be the lowest of them: who has no more is told the watched time.
        until = self._dispatcher.watched_until(now) if 1 in limits.values() else now + WINDOW
        if fits(problem, schedule, limits, until):
            return schedule, {}
        work = partial(compress, problem, schedule, limits, until=until, solver=self._solver)
        try:
            compression = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except Exception:  # the plan is there: each profile then holds the first part of it, and the next one follows
            log.exception("not told in few periods", site=site.id)
            return schedule, {}
        return told_in_few_periods(compression, limits, until)

    async def _still_running(self, site: Site, transactions: Mapping[str, Transaction]) -> dict[str, Transaction]:
        """Without those that ended while the plan was made: their stations would decline what is for nobody."""
        running = await self._store.transactions(site_id=site.id, running=True, limit=MAX_TRANSACTIONS)
        numbers = {row.transaction_id for row in running}
        return {key: row for key, row in transactions.items() if row.transaction_id in numbers}


async def solve_in(
    executor: Executor,
    problem: Problem,
    solver: str,
    *,
    baselines: Collection[str] = DEFAULTS,
    keeping: Keeping | None = None,
    polish: bool = True,
) -> Schedule:
    """Solve in an executor; partial of a top-level function, so that an executor of processes can pickle it."""
    work = partial(solve, problem, solver=solver, baselines=baselines, keeping=keeping, polish=polish)
    with span("solve"):
        solved = await asyncio.get_running_loop().run_in_executor(executor, work)
    log_kept(problem, solved)
    return solved.schedule


def _may_be_sent(schedule: Schedule) -> bool:
    """Nothing is sent that the independent checker has not passed; what no EV causes, no EV can mend."""
    return all(violation.unavoidable for violation in schedule.violations)


def _record(
    site: Site, kind: Kind, now: datetime, problem: Problem, schedule: Schedule, provenance: dict[str, object]
) -> Plan:
    return Plan(
        plan_id=uuid.uuid4().hex,
        site_id=site.id,
        kind=kind,
        created_at=now,
        start=problem.horizon.start,
        end=problem.horizon.end,
        status=schedule.status,
        reason=schedule.reason,
        problem=problem_to_json(problem),
        schedule=schedule_to_json(schedule),
        provenance=provenance,
    )
