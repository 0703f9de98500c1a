"""The story: gather → solve → check → save → dispatch → verify."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Protocol

import structlog

from app.clock import Clock
from app.csms.connector import Passport
from app.db.records import Decision, Delivery, Json, Plan, PlanKind, Transaction
from app.db.store import Store
from app.decision import Recipe, Told, decision
from app.diary import about
from app.events import Events, PlanMade
from app.executor import SolverDiedError
from app.few_periods import WINDOW, fits, period_limits, told_in_few_periods
from app.gather import MAX_TRANSACTIONS, Gatherer
from app.ledger import Ledger, Turn
from app.problem_json import problem_from_json, problem_to_json, schedule_from_json, schedule_to_json
from app.site import Site, evse_key
from app.solving import DEFAULTS, Keeping, by_rules, log_kept, solve
from app.timed_out import TimedOut
from optimizer.compress import compress
from optimizer.domain import Problem, Schedule

log = structlog.get_logger()

Kind = PlanKind


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
        ledger: Ledger | None = None,
    ) -> None:
        self._store = store
        self._gatherer = gatherer
        self._dispatcher = dispatcher
        self._clock = clock
        self._events = events
        self._executor = executor
        self._solver = solver
        self._timed_out = timed_out
        self._ledger = ledger or Ledger(store, clock)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def plan(
        self, site_id: str, *, kind: Kind = "request", dispatch: bool = True, window: datetime | None = None
    ) -> Plan:
        """Plan the coming hours of a site and, unless told not to or in shadow mode, send the limits.

        Of all who plan the site for the same `window` one does; None is a window of its own. Raises
        `AlreadyPlannedError` for the others, and `OvertakenError` where a newer plan was saved or sent meanwhile.
        """
        async with self._turns[site_id]:
            with self._clock.hold():
                site = await self._store.site(site_id)
                async with self._ledger.turn(site_id, kind, window) as turn:
                    plan = await self._unsent(site, turn)
                    if plan is not None:
                        await self._send_again(site, plan, dispatch=dispatch)
                    else:
                        plan = await self._make(site, kind, turn, dispatch=dispatch)
        log.info(
            "planned",
            site=site_id,
            kind=kind,
            plan=plan.plan_id,
            run=turn.run.run_id,
            status=plan.status,
            reason=plan.reason,
        )
        return plan

    async def _make(self, site: Site, kind: Kind, turn: Turn, *, dispatch: bool) -> Plan:
        gathered = await self._gatherer.gather(site)
        schedule, recipe, told = await self._solved(site, kind, gathered.problem, turn)
        schedule = replace(schedule, warnings=(*gathered.warnings, *schedule.warnings))
        recipe = replace(recipe, warnings=gathered.warnings)
        plan = _record(site, kind, self._clock.now(), gathered.problem, schedule, gathered.provenance | told)
        record = decision(plan.problem, plan.schedule, recipe, time_limit_s=gathered.problem.settings.time_limit_s)
        await turn.save(plan, Decision(plan.plan_id, site.id, plan.created_at, record))
        self._events.publish(PlanMade(site.id, plan.plan_id, plan.created_at))
        if dispatch and site.mode == "optimised" and _may_be_sent(schedule):
            transactions = await self._still_running(site, gathered.transactions)
            with about(site.id, plan.plan_id):
                await self._dispatcher.send(site, plan.plan_id, gathered.problem, schedule, transactions)
        return plan

    async def _solved(self, site: Site, kind: Kind, problem: Problem, turn: Turn) -> tuple[Schedule, Recipe, Json]:
        """Solved and checked, or by rules with the reason; how; and for the plan's provenance how it is told."""
        # Baselines and polish cost time a re-plan lacks.
        recipe = Recipe(self._solver, polish=kind != "replan", baselines=() if kind == "replan" else DEFAULTS)
        died = turn.quarantined
        if died is None:
            keeping = Keeping(self._timed_out, site.id, self._clock.now()) if self._timed_out else None
            try:
                schedule = await solve_in(
                    self._executor,
                    problem,
                    self._solver,
                    baselines=recipe.baselines,
                    keeping=keeping,
                    polish=recipe.polish,
                )
            except SolverDiedError as error:
                log.error("the solver died", site=site.id, error=str(error))
                await turn.died(self._clock.now())
                died = str(error)
            else:
                await turn.went_well()
                schedule, periods, told = await self._in_few_periods(site, problem, schedule)
                return schedule, replace(recipe, told=periods), told
        turn.by_rules(died)
        schedule = await asyncio.to_thread(by_rules, problem, died, baselines=recipe.baselines)
        return schedule, replace(recipe, by_rules=died), {}

    async def _unsent(self, site: Site, turn: Turn) -> Plan | None:
        """The plan that somebody made in this run before the process ended that was to send it, if it is still new."""
        if turn.run.plan_id is None:
            return None
        plan = await self._store.plan(turn.run.plan_id)
        is_new = self._clock.now() - plan.created_at <= timedelta(minutes=site.slot_minutes)
        return plan if is_new else None

    async def _send_again(self, site: Site, plan: Plan, *, dispatch: bool) -> None:
        problem, schedule = problem_from_json(plan.problem), schedule_from_json(plan.schedule)
        if dispatch and site.mode == "optimised" and _may_be_sent(schedule):
            running = await self._store.transactions(site_id=site.id, running=True, limit=MAX_TRANSACTIONS)
            planned = {session.evse_id for session in problem.sessions}
            transactions = {key: row for row in running if (key := evse_key(row.station_id, row.evse_id)) in planned}
            with about(site.id, plan.plan_id):
                await self._dispatcher.send(site, plan.plan_id, problem, schedule, transactions)

    async def _in_few_periods(
        self, site: Site, problem: Problem, schedule: Schedule
    ) -> tuple[Schedule, Told | None, Json]:
        """What its stations can hold of a plan, in how many periods, and for its provenance what that loses."""
        passports = {station.id: self._dispatcher.passport(station.id) for station in site.charging_stations}
        limits = period_limits(problem, passports)
        now = self._clock.now()
        # One level for hours would be the lowest of them: who has no more is told the watched time.
        until = self._dispatcher.watched_until(now) if 1 in limits.values() else now + WINDOW
        if fits(problem, schedule, limits, until):
            return schedule, None, {}
        began = perf_counter()
        work = partial(compress, problem, schedule, limits, until=until, solver=self._solver)
        try:
            compression = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except Exception:  # the plan is there: each profile then holds the first part of it, and the next one follows
            log.exception("not told in few periods", site=site.id)
            return schedule, None, {}
        told_schedule, lost = told_in_few_periods(compression, limits, until)
        return told_schedule, Told(limits, until, perf_counter() - began), lost

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
