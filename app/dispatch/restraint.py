"""Holds EVSEs below their plans on the fuse guard's word: what they were to do, and how far they may.

A ceiling is no profile of its own: it cuts the plan's, which is sent again in the same place with the lower limits.
So whatever else is known of the station holds, what it may be executing stays in the one book, and when this service
dies the lower plan goes on to its end, and the fallback after it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.csms.connector import CsmsConnector, Passport, PauseMethod
from app.csms.limits import LEAST_CURRENT_A
from app.csms.steps import Steps
from app.db.records import Delivery
from app.db.store import Store
from app.dispatch.delivery import Job
from app.dispatch.in_force import Book, Wiring, wiring_in
from app.dispatch.messenger import Messenger
from app.dispatch.passports import Passports
from app.dispatch.witness import Witness
from app.errors import AppError
from app.events import DeliveryChanged, Events
from app.site import Site, evse_key, split_evse_key
from optimizer.domain import PHASES, Phase, Problem

log = structlog.get_logger()

BEGUN_AGO = timedelta(seconds=60)  # like every profile, a cut one begins in the past: clocks differ


@dataclass(frozen=True, slots=True)
class Standing:
    """One EVSE at a moment, A per phase: what it may be drawing, and what its plan would have it draw.

    `planned_a` None: it has no plan. `can_be_told`: it is there, and has not shown that it ignores what it takes.
    `floor_a` is what it draws when it is told to pause.
    """

    key: str
    wiring: Wiring
    phases_in_use: int  # by the vehicle, of those wired, in the order of the EVSE's rotation; all where nobody knows
    in_force_a: float
    planned_a: float | None
    can_be_told: bool
    minimum_a: float
    floor_a: float
    rank: int


@dataclass(frozen=True, slots=True)
class Building:
    """What the building draws: kW, and A of each phase."""

    kw: float
    current_a: Mapping[Phase, float]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One EVSE's part of the plan that was sent last, as it was before any ceiling."""

    site_id: str
    plan_id: str
    job: Job
    steps: Steps
    rank: int


class Restraint:
    """Knows of each EVSE its plan and its ceiling. Lowering asks nobody; raising needs the store and the budget."""

    def __init__(
        self,
        connector: CsmsConnector,
        store: Store,
        events: Events,
        clock: Clock,
        book: Book,
        messenger: Messenger,
        witness: Witness,
        passports: Passports,
        turns: Mapping[str, asyncio.Lock],
    ) -> None:
        self._connector = connector
        self._store = store
        self._events = events
        self._clock = clock
        self._book = book
        self._messenger = messenger
        self._witness = witness
        self._passports = passports
        self._turns = turns
        self._plans: dict[str, _Plan] = {}
        self._problems: dict[str, Problem] = {}  # by site: what the plan in force was made from
        self._ceilings_a: dict[str, float] = {}
        self._occupied: set[str] = set()  # EVSEs with a transaction, by key
        self._recording: set[asyncio.Task[None]] = set()

    def note(self, site: Site, plan_id: str, problem: Problem, job: Job) -> None:
        """A plan that is about to be sent: keep it as it was made, and cut it to the ceiling that is in force."""
        self._problems[site.id] = problem
        if job.transaction is not None:
            ranks = [session.priority for session in problem.sessions if session.evse_id == job.key]
            self._plans[job.key] = _Plan(site.id, plan_id, job, job.plan, min(ranks, default=1))
        self.cut(job)

    def cut(self, job: Job) -> None:
        """To the ceiling as it is now: it may have come while the job waited for its turn."""
        ceiling_a = self._ceilings_a.get(job.key)
        if ceiling_a is not None and job.plan.highest > ceiling_a:
            job.replan(_cut(job.plan, ceiling_a))

    def occupy(self, key: str) -> None:
        """A transaction runs there."""
        self._occupied.add(key)

    def dismiss(self, key: str, transaction_id: int) -> None:
        """The transaction is over."""
        plan = self._plans.get(key)
        if plan is not None and plan.job.transaction is not None:
            if plan.job.transaction.transaction_id != transaction_id:
                return  # an old one, that is told of late
            del self._plans[key]
        self._occupied.discard(key)
        self._ceilings_a.pop(key, None)

    def standings(self, site: Site, now: datetime, ahead: timedelta) -> list[Standing]:
        """Every EVSE of the site, at its highest between `now` and shortly after. From memory alone."""
        connected, found = self._connector.connected(), []
        for station in site.charging_stations:
            is_there = station.id in connected
            if station.isolated and not is_there:
                continue
            for evse in station.evses:
                key, wiring = evse_key(station.id, evse.id), wiring_in(site, evse)
                limits_a = [0.0]  # nobody is there; whoever comes is counted from his first second on
                if key in self._occupied or not is_there:
                    limits_a = [self._book.limit(key, wiring, moment).current_a for moment in (now, now + ahead)]
                if not is_there:  # its plan may end unseen
                    limits_a.append(self._book.below_a(key, wiring))
                plan = self._plans.get(key)
                if plan is not None and plan.steps.end <= now:
                    plan = None
                found.append(
                    Standing(
                        key,
                        wiring,
                        phases_in_use=_phases_in_use(wiring, plan),
                        in_force_a=max(limits_a),
                        planned_a=max(plan.steps.at(now), plan.steps.at(now + ahead)) if plan else None,
                        can_be_told=is_there and key not in self._witness.faults,
                        minimum_a=evse.min_current_a,
                        floor_a=_while_paused_a(self._passports[station.id]),
                        rank=plan.rank if plan else 1,
                    )
                )
        return found

    def limit(self, key: str, ceiling_a: float | None) -> None:
        """Whatever is sent to the EVSE from now on keeps below `ceiling_a`; None: its plan holds again."""
        if ceiling_a is None:
            self._ceilings_a.pop(key, None)
        else:
            self._ceilings_a[key] = ceiling_a

    async def enforce(self, key: str) -> bool:
        """Send the EVSE its plan as its ceiling has it now; whether that is what it certainly holds.

        Raises `StoreUnavailableError` where it would be raised and that cannot be written down first.
        """
        station_id, _ = split_evse_key(key)
        with self._clock.hold():
            async with self._turns[station_id]:
                plan, now = self._plans.get(key), self._clock.now()
                if plan is None or plan.steps.end <= now:
                    return False
                job = replace(plan.job, plan=_since(plan.steps, now), now=now, detail=None, sent=None, is_settled=False)
                self.cut(job)
                return await self._send(plan, job)

    def planned_building(self, site_id: str, now: datetime) -> Building | None:
        """What the plan in force counts the building with now; None where there is no plan."""
        problem = self._problems.get(site_id)
        if problem is None or not problem.horizon.start <= now < problem.horizon.end:
            return None
        slot = int((now - problem.horizon.start) / timedelta(minutes=problem.horizon.slot_minutes))
        kw = problem.safe_base_load_kw[slot]
        amperes = [share * kw * 1000 / problem.connection.voltage_v for share in problem.base_load_phase_share]
        return Building(kw, dict(zip(PHASES, amperes, strict=True)))

    async def _send(self, plan: _Plan, job: Job) -> bool:
        if job.held_already(self._book) is not None:
            return True
        if job.raises(self._book):
            if not self._messenger.budget.allows_raising(job.key, self._clock.now()):
                return False
            # A restart must not find only the lower limit.
            announced = replace(job.delivery(plan.site_id, plan.plan_id, self._clock.now()), state="unknown")
            await self._store.save_deliveries([announced])
        await self._messenger.deliver_plan(job)
        self._witness.forget(job.key)
        if job.key in self._ceilings_a and job.detail is None:
            job.detail = f"lowered to {self._ceilings_a[job.key]:.1f} A by the fuse guard"
        delivery = job.delivery(plan.site_id, plan.plan_id, self._clock.now())
        self._witness.expect(job.key, delivery)
        task = asyncio.get_running_loop().create_task(self._record(delivery))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)
        return not job.exceeds_its_share(self._book)

    async def _record(self, delivery: Delivery) -> None:
        """After the fact, and not at all where there is no database: what it still names is the higher limit."""
        try:
            with self._clock.hold():
                await self._store.save_deliveries([delivery])
        except AppError as error:
            log.error("not recorded", plan=delivery.plan_id, error=str(error))
        self._events.publish(DeliveryChanged(delivery.site_id, delivery.plan_id, delivery.at))

    async def settle(self) -> None:
        """Return once what was sent is in the store."""
        while self._recording:
            await asyncio.gather(*self._recording)


def _cut(steps: Steps, ceiling_a: float) -> Steps:
    return Steps(steps.moments, tuple(min(value, ceiling_a) for value in steps.values), steps.end).merged()


def _since(steps: Steps, now: datetime) -> Steps:
    """Without what is over: a station that takes few periods must not be sent those of the past."""
    begin = (now - BEGUN_AGO).replace(microsecond=0)
    if begin <= steps.start:
        return steps
    later = [(moment, value) for moment, value in zip(steps.moments, steps.values, strict=True) if moment > begin]
    return Steps(
        (begin, *(moment for moment, _ in later)), (steps.at(begin), *(value for _, value in later)), steps.end
    )


def _phases_in_use(wiring: Wiring, plan: _Plan | None) -> int:
    """As the plan counts the vehicle."""
    if wiring.is_dc or plan is None or plan.job.vehicle_phases is None:
        return wiring.phases
    return min(plan.job.vehicle_phases, wiring.phases)


def _while_paused_a(passport: Passport) -> float:
    return 0.0 if passport.pause is PauseMethod.ZERO else max(passport.min_limit_a or LEAST_CURRENT_A, 0.0)
