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
from app.db.ledger_records import Decision
from app.db.records import Delivery, Json, Plan, PlanKind, Transaction
from app.db.store import Store
from app.diary import about
from app.errors import OvertakenError
from app.events import Events, PlanMade
from app.gather import MAX_TRANSACTIONS, Gathered, Gatherer
from app.planning.decision import Recipe, Told, decision
from app.planning.executor import SolverDiedError
from app.planning.few_periods import WINDOW, fits, period_limits, told_in_few_periods
from app.planning.ledger import Ledger, Turn
from app.planning.second_best import carried_on, goes_on
from app.planning.solving import DEFAULTS, Keeping, by_rules, log_kept, solve
from app.planning.timed_out import TimedOut
from app.problem_json import problem_from_json, problem_to_json, schedule_from_json, schedule_to_json
from app.site import Site, evse_key
from app.tracing import span, traced
from forecasts.errors import ForecastError
from optimizer.compress import compress
from optimizer.domain import Problem, Schedule
from optimizer.errors import InvalidProblemError

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


class Notes(Protocol):
    """What the planner tells of how it went: see `app.modes`."""

    async def planned(self, site: Site, plan: Plan) -> None: ...

    async def failed(self, site: Site, reason: str) -> None: ...


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
        modes: Notes | None = None,
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
        self._modes = modes
        self._ledger = ledger or Ledger(store, clock)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @traced("plan")
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
                        plan = await self._noted(site, kind, turn, dispatch=dispatch)
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

    async def _noted(self, site: Site, kind: Kind, turn: Turn, *, dispatch: bool) -> Plan:
        """A plan that is made and sent, and in the site's mode what came of it."""
        try:
            plan, may_be_sent = await self._make(site, kind, turn, dispatch=dispatch)
        except OvertakenError:  # somebody else has planned it
            raise
        except Exception as error:
            if dispatch and self._modes is not None:
                await self._modes.failed(site, f"no plan could be made: {error}")
            raise
        if dispatch and self._modes is not None:
            if may_be_sent:
                await self._modes.planned(site, plan)
            else:
                await self._modes.failed(site, "the plan breaks a rule that the checker knows, and was not sent")
        return plan

    async def _make(self, site: Site, kind: Kind, turn: Turn, *, dispatch: bool) -> tuple[Plan, bool]:
        """The plan, and whether it may be sent."""
        gathered, unknown = await self._gathered(site, dispatch=dispatch)
        schedule, recipe, said = await self._solved(site, kind, gathered.problem, turn, unknown)
        schedule = replace(schedule, warnings=(*gathered.warnings, *schedule.warnings))
        recipe = replace(recipe, warnings=gathered.warnings)
        plan = _record(site, kind, self._clock.now(), gathered.problem, schedule, gathered.provenance | said)
        record = decision(plan.problem, plan.schedule, recipe, time_limit_s=gathered.problem.settings.time_limit_s)
        await turn.save(plan, Decision(plan.plan_id, site.id, plan.created_at, record))
        self._events.publish(PlanMade(site.id, plan.plan_id, plan.created_at))
        may_be_sent = _may_be_sent(schedule)
        if dispatch and site.mode == "optimised" and may_be_sent:
            transactions = await self._still_running(site, gathered.transactions)
            with about(site.id, plan.plan_id):
                await self._dispatcher.send(site, plan.plan_id, gathered.problem, schedule, transactions)
        return plan, may_be_sent

    async def _gathered(self, site: Site, *, dispatch: bool) -> tuple[Gathered, str | None]:
        """The inputs; and why they allow no more than a plan by rules, where not even prices are known.

        Raises `ForecastError` then if nobody is there, or nothing is to be sent.
        """
        try:
            return await self._gatherer.gather(site), None
        except ForecastError as unknown:
            if not dispatch or site.mode == "shadow":
                raise
            gathered = await self._gatherer.gather_by_rules(site)
            if not gathered.transactions:
                raise
            return gathered, str(unknown)

    async def _solved(
        self, site: Site, kind: Kind, problem: Problem, turn: Turn, unknown: str | None
    ) -> tuple[Schedule, Recipe, Json]:
        """Solved and checked, or the next best with the reason; how; and what the plan's provenance says of it."""
        # Baselines and polish cost time a re-plan lacks.
        recipe = Recipe(self._solver, polish=kind != "replan", baselines=() if kind == "replan" else DEFAULTS)
        if (why := turn.quarantined) is not None:
            turn.by_rules(why)
        answer = why or unknown or await self._optimum(site, problem, recipe, turn)
        if isinstance(answer, Schedule):
            schedule = answer
        else:
            schedule = await asyncio.to_thread(by_rules, problem, answer, baselines=recipe.baselines)
            recipe = replace(recipe, by_rules=answer)
        basis: Json = {}
        if schedule.status == "fallback":
            last = await self._store.latest_plan(site.id)
            basis = goes_on(problem, schedule, last, self._clock.now())
            if basis["basis"]["basis"] == "last_plan":
                reason = basis["basis"]["reason"]
                schedule, recipe = carried_on(problem, schedule, reason), replace(recipe, goes_on=reason)
        schedule, periods, told = await self._in_few_periods(site, problem, schedule)
        return schedule, replace(recipe, told=periods), told | basis

    async def _optimum(self, site: Site, problem: Problem, recipe: Recipe, turn: Turn) -> Schedule | str:
        """The schedule, or why there is none: a process that died is no reason to leave cars without a plan."""
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
        except InvalidProblemError:
            raise
        except SolverDiedError as error:
            log.error("the solver died", site=site.id, error=str(error))
            await turn.died(self._clock.now())
            turn.by_rules(str(error))
            return str(error)
        except Exception as error:
            log.error("the solver's process failed", site=site.id, error=f"{type(error).__name__}: {error}")
            return f"its process failed: {type(error).__name__}: {error}"
        await turn.went_well()
        return schedule

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
