"""The two waves of a plan: the lower of old and new first; then, where everyone has verifiably made room, the plan.

Who needs room that somebody's lower limit has only just freed waits until that one's meter shows it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.crash_points import crash_point
from app.db.records import HELD
from app.db.store import Store
from app.dispatch.delivery import SAME_A, Job, places_above, share_a_fuse
from app.dispatch.in_force import Book, Wiring
from app.dispatch.lowerings import Lowerings
from app.dispatch.messenger import Messenger
from app.dispatch.restraint import Restraint
from app.dispatch.switching import Switching
from app.dispatch.witness import Witness, drawn_current
from app.errors import AppError
from app.events import MeterValuesReceived
from app.site import evse_key
from optimizer.check import overloads
from optimizer.domain import Problem, Schedule

log = structlog.get_logger()

SOON = timedelta(minutes=15)  # a raise that begins later than that is another plan's


class Waves:
    """Sends jobs in the order that keeps every fuse, whichever of the messages arrive."""

    def __init__(
        self,
        store: Store,
        messenger: Messenger,
        book: Book,
        witness: Witness,
        clock: Clock,
        turns: defaultdict[str, asyncio.Lock],
        switching: Switching,
        restraint: Restraint,
    ) -> None:
        self._store = store
        self._switching = switching
        self._restraint = restraint
        self._messenger = messenger
        self._book = book
        self._witness = witness
        self._clock = clock
        self._turns = turns
        self.lowerings = Lowerings()

    async def run(self, plan_id: str, problem: Problem, schedule: Schedule, jobs: Sequence[Job]) -> list[Job]:
        """Both waves; those of `jobs` that wait for somebody's meter, withheld until `go_on` finds room for them."""
        moving = [job for job in jobs if not job.is_settled]
        stuck = [job for job in jobs if job.is_settled and job.exceeds_its_share(self._book)]
        before_a = {job.key: self._allowed_a(job) for job in moving}
        if len(moving) > 1 or stuck:  # one EVSE alone goes from old to new in one message
            lowering = [job for job in moving if job.lowers(self._book)]
            await self._at_each_station(lowering, self._messenger.lower)
            if lowering:
                crash_point("wave_1.sent")
            stuck += [job for job in lowering if job.exceeds_its_share(self._book)]
            self._note(lowering, before_a)
        raising = []
        now = self._clock.now()
        for job in moving:
            in_the_way = [other.key for other in stuck if other is not job and share_a_fuse(problem, job, other)]
            if job.is_settled or job in stuck:
                continue
            if in_the_way and job.raises(self._book):
                job.settle("withheld", f"{', '.join(sorted(in_the_way))} did not verifiably lower")
            elif (refusal := self._switching.refusal(job, self._book, now)) is not None:
                job.settle("withheld", refusal)
            else:
                raising.append(job)
        if raising and not await self._store.admit_plan(plan_id):
            for job in raising:
                job.settle("withheld", "a newer plan was sent meanwhile")
            raising = []
        waiting = self._without_room(problem, schedule, raising, [job.key for job in jobs])
        sent = [job for job in raising if job not in waiting]
        await self._at_each_station(sent, self._messenger.deliver_plan)
        crash_point("wave_2.sent")
        self._note(sent, before_a)
        return waiting

    async def go_on(
        self, plan_id: str, problem: Problem, schedule: Schedule, jobs: Sequence[Job], others: Collection[str]
    ) -> bool:
        """Send those of the waiting `jobs` for which there is room by now; whether there were any.

        The others of the plan, by EVSE key, are the ones for whose meters they wait.
        """
        now = self._clock.now()
        for job in jobs:
            job.now = now
        waiting = self._without_room(problem, schedule, jobs, others)
        ready = [job for job in jobs if job not in waiting]
        if ready and not await self._store.admit_plan(plan_id):
            return False  # a newer plan was sent, by whomever
        for job in ready:
            job.is_settled = False
        await self._at_each_station(ready, self._messenger.deliver_plan)
        return bool(ready)

    def measured(self, event: MeterValuesReceived, wiring: Wiring) -> bool:
        """Whether the sample shows that a lower limit has freed its room."""
        key = evse_key(event.station_id, event.evse_id)
        drawn_a = drawn_current(event, wiring, self._book.holding(key).vehicle_phases)
        return drawn_a is not None and self.lowerings.take(key, drawn_a, event.at)

    def _without_room(
        self, problem: Problem, schedule: Schedule, raising: Sequence[Job], keys: Collection[str]
    ) -> list[Job]:
        """Who of `raising` would soon overload what it shares with EVSEs whose meters have not shown less yet."""
        now = self._clock.now()
        still_a = {key: open_a for key in keys if (open_a := self.lowerings.open_a(key, now)) is not None}
        upwards = [job for job in raising if job.raises(self._book, before=now + SOON)] if still_a else []
        overloaded = overloaded_places(problem, schedule, still_a, now + SOON) if upwards else frozenset()
        waiting = []
        for job in upwards:
            shared = overloaded & places_above(problem, job.key)
            awaited = sorted(key for key in still_a if key != job.key and shared & places_above(problem, key))
            if awaited:
                job.settle("withheld", f"waits until the meter of {', '.join(awaited)} shows less")
                waiting.append(job)
        return waiting

    def _allowed_a(self, job: Job) -> float:
        return self._book.limit(job.key, job.wiring, self._clock.now()).current_a

    def _note(self, jobs: Sequence[Job], before_a: Mapping[str, float]) -> None:
        for job in jobs:
            after_a, state = self._allowed_a(job), self._book.holding(job.key).state
            if state in HELD and after_a < before_a[job.key] - SAME_A:
                self.lowerings.begin(
                    job.key,
                    from_a=before_a[job.key],
                    to_a=after_a,
                    was_read_back=state != "accepted",
                    now=self._clock.now(),
                )

    async def _at_each_station(self, jobs: Sequence[Job], act: Callable[[Job], Awaitable[None]]) -> None:
        """Stations concurrently; one station's EVSEs one after the other, as OCPP has one call at a time."""
        by_station: defaultdict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            by_station[job.station_id].append(job)

        async def serve(station_id: str) -> None:
            async with self._turns[station_id]:
                for job in by_station[station_id]:
                    self._restraint.cut(job)
                    try:
                        await act(job)
                    except AppError as error:  # one station's trouble is not the others'
                        log.exception("not sent", evse=job.key)
                        job.settle("unknown", str(error))
                    self._witness.forget(job.key)

        async with asyncio.TaskGroup() as tasks:
            for station_id in by_station:
                tasks.create_task(serve(station_id))


def overloaded_places(
    problem: Problem, schedule: Schedule, still_a: Mapping[str, float], before: datetime
) -> frozenset[str]:
    """The connection, circuits and shared supplies that the plan would overload while some EVSEs still draw `still_a`.

    By the independent checker, in the slots that begin before `before`.
    """
    slots = [
        slot
        for slot in range(problem.horizon.slots)
        if problem.horizon.slot_start(slot) < before
        and problem.horizon.slot_start(slot + 1) > problem.horizon.first_moment
    ]
    power_kw, current_a = dict(schedule.power_kw), dict(schedule.current_a)
    for key, drawn_a in still_a.items():
        evse, currents_a = problem.evse(key), current_a[key]
        drawn_kw = drawn_a * problem.connection.voltage_v * len(evse.phases) / 1000
        power_kw[key] = tuple(max(kw, drawn_kw) if slot in slots else kw for slot, kw in enumerate(power_kw[key]))
        if currents_a is not None:
            current_a[key] = tuple(max(a, drawn_a) if slot in slots else a for slot, a in enumerate(currents_a))
    meanwhile = replace(schedule, power_kw=power_kw, current_a=current_a)
    return frozenset(one.where for one in overloads(problem, meanwhile) if one.slot in slots)
