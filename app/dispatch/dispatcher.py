"""A schedule becomes charging profiles at the stations: lower first, verify, then raise.

At every moment each EVSE executes its old limit or its new one, and nobody knows which of the messages arrive. So the
first wave sends the lower of both, and the second the plan itself, but only where everyone who shares a fuse has
verifiably made room. What every EVSE may be executing is kept in `app.dispatch.in_force`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.csms.connector import CsmsConnector, Passport
from app.csms.profiles import profile_from_json
from app.csms.steps import Steps
from app.db.records import Delivery, DeliveryState, Transaction
from app.db.store import Store
from app.dispatch.building import building_maximum
from app.dispatch.certificate import Certificate, certify
from app.dispatch.delivery import Job, job_of, planned_steps
from app.dispatch.fail_safe import fallback_currents, guarded
from app.dispatch.fallback import FallbackInstaller
from app.dispatch.fuses import Fuses, fuses_of
from app.dispatch.in_force import Book, Holding, Limit, Wiring, wiring_of
from app.dispatch.messenger import Messenger
from app.dispatch.obedience import GRACE_S, Obedience
from app.errors import AppError, CallFailedError, NotFoundError, ProfileRejectedError
from app.events import (
    DeliveryChanged,
    Event,
    Events,
    MeterValuesReceived,
    ObedienceChanged,
    StationBooted,
    StationConnected,
    TransactionStopped,
)
from app.site import Site, evse_key, split_evse_key
from optimizer.domain import CONNECTION, Problem, Schedule

log = structlog.get_logger()

WATCHED = timedelta(hours=1)  # how long at most a plan holds that only a service which watches makes safe
FAILURES = 3
REACHED: tuple[DeliveryState, ...] = ("accepted", "verified", "contradicted", "unknown")
FALLBACKS = "fallback_a"  # beside the passport in the store: A per phase by EVSE number


class Dispatcher:
    """Desired against reported, for every station of every site.

    One site is sent to at a time (the planner sees to that); its stations are served concurrently.
    """

    def __init__(
        self, connector: CsmsConnector, store: Store, events: Events, clock: Clock, *, watched: timedelta = WATCHED
    ) -> None:
        self._connector = connector
        self._store = store
        self._events = events
        self._clock = clock
        self._watched = watched
        self._book = Book()
        self._messenger = Messenger(connector, self._book, clock)
        self._installer = FallbackInstaller(connector, self._book)
        self._obedience = Obedience()
        self._passports: dict[str, Passport] = {}
        self._sites: dict[str, Site] = {}  # by station
        self._restored: set[str] = set()
        self._prepared: set[str] = set()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._latest: dict[str, Delivery] = {}
        self._failures: dict[str, tuple[int, str]] = {}
        self._background: set[asyncio.Task[None]] = set()
        events.subscribe(self._hear)

    # --- what stations may be executing

    async def restore(self, site: Site) -> None:
        """Learn from the store what the site's stations were sent before this process began; once for each site.

        Until then they count with all that their hardware can draw.
        """
        self._sites.update({station.id: site for station in site.charging_stations})
        if site.id in self._restored:
            return
        running = {row.transaction_id for row in await self._store.transactions(site_id=site.id, running=True)}
        for station in await self._store.stations(site.id):
            for evse_id, current_a in station.passport.get(FALLBACKS, {}).items():
                self._book.confirm_fallback(evse_key(station.station_id, int(evse_id)), float(current_a))
        for delivery in await self._store.deliveries_in_force(site.id):
            key = evse_key(delivery.station_id, delivery.evse_id)
            if key not in self._book and (holding := _restored_holding(delivery, running)) is not None:
                self._book.put(key, holding)
                self._latest[key] = delivery
        self._restored.add(site.id)

    def in_force(self, station_id: str, evse_id: int, moment: datetime) -> Limit:
        """The highest current per phase that the EVSE may be drawing at `moment`, and what sets it.

        Raises `NotFoundError` for an EVSE of no site that was restored, prepared or sent to.
        """
        wiring = self._wiring(station_id, evse_id)
        if wiring is None:
            raise NotFoundError("evse", evse_key(station_id, evse_id))
        return self._book.limit(evse_key(station_id, evse_id), wiring, moment)

    def worst_case_a(self, site: Site, station_id: str, evse_id: int, start: datetime, end: datetime) -> float:
        """The highest current per phase that the EVSE may draw within [start, end), with any vehicle."""
        wiring = wiring_of(site, station_id, evse_id)
        if wiring is None:
            raise NotFoundError("evse", evse_key(station_id, evse_id))
        return self._book.worst_case_a(evse_key(station_id, evse_id), wiring, start, end)

    def disobedient(self) -> dict[str, str]:
        """EVSEs that draw more than they may, with the evidence."""
        return {key: fault.reason for key, fault in self._obedience.faults.items()}

    def uncontrollable(self) -> dict[str, str]:
        """EVSEs that no plan should count on, with the reason: reserve their worst case and plan the others.

        They disobey, decline every form of profile, or did not verifiably lower `FAILURES` times in a row. Declined
        profiles are forgotten with the transaction and at the next connection.
        """
        failing = {key: reason for key, (count, reason) in self._failures.items() if count >= FAILURES}
        return failing | self.disobedient()

    # --- a station that arrives

    async def prepare(self, site: Site, station_id: str) -> None:
        """Read the station's passport and make sure of its fallback. Raises `StationError` when it does not answer."""
        await self.restore(site)
        async with self._turns[station_id]:
            with self._clock.hold():
                await self._prepare(site, station_id)

    async def _prepare(self, site: Site, station_id: str) -> None:
        document = site.station(station_id)
        if document is None:
            return
        self._book.doubt_station(station_id)
        self._messenger.forget(station_id)
        for evse in document.evses:
            self._failures.pop(evse_key(station_id, evse.id), None)
        try:
            passport = await self._connector.passport(station_id)
        except (ProfileRejectedError, CallFailedError) as error:
            log.warning("no passport", station=station_id, error=str(error))
            passport = Passport()
        if document.max_profile_periods is not None:
            passport = replace(passport, max_periods=document.max_profile_periods)
        self._passports[station_id] = passport
        fuses = fuses_of(site, (await building_maximum(self._store, site)).kw)
        currents_a = fallback_currents(fuses, site.fallback_current_a, self._unable(site, station_id))
        fallbacks = await self._installer.install(site, station_id, passport, currents_a, self._clock.now())
        stored = (await self._store.station(station_id)).passport
        by_evse = {str(evse_id): current_a for evse_id, current_a in fallbacks.items()}
        if stored.get(FALLBACKS) != by_evse:
            await self._store.update_station(station_id, passport=stored | {FALLBACKS: by_evse})
        self._prepared.add(station_id)

    # --- a plan

    async def send(
        self,
        site: Site,
        plan_id: str,
        problem: Problem,
        schedule: Schedule,
        transactions: Mapping[str, Transaction],
    ) -> list[Delivery]:
        """Send each running transaction its part of the plan (EVSE key -> transaction); what became of each.

        EVSEs without a transaction get nothing: their fallback holds.
        """
        await self.restore(site)
        unready = await self._prepare_those_that_are_not(site, transactions)
        maximum = await building_maximum(self._store, site)
        jobs = self._jobs(site, fuses_of(site, maximum.kw), problem, schedule, transactions)
        connected = self._connector.connected()
        for job in jobs:
            held = None if job.key in self._obedience.faults else job.held_already(self._book)
            if job.station_id not in connected:
                job.settle("offline", "it is not connected")
            elif job.station_id in unready:
                job.settle("withheld", f"it could not be prepared: {unready[job.station_id]}")
            elif held is not None:
                job.sent = held
                job.settle(self._book.holding(job.key).state, "unchanged")
        await self._announce(site, plan_id, [job for job in jobs if not job.is_settled])
        await self._run_waves(problem, jobs)
        for job in jobs:
            self._judge(job)
        now = self._clock.now()
        deliveries = [job.delivery(site.id, plan_id, now) for job in jobs]
        if deliveries:
            await self._store.save_deliveries(deliveries)
        for delivery in deliveries:
            self._latest[evse_key(delivery.station_id, delivery.evse_id)] = delivery
        self._events.publish(DeliveryChanged(site.id, plan_id, now))
        return deliveries

    def _judge(self, job: Job) -> None:
        """Remember who cannot be relied upon, and say so."""
        fault = self._obedience.faults.get(job.key)
        if fault is not None and job.state in ("verified", "accepted"):
            job.settle("contradicted", fault.reason)
        if job.state == "rejected":
            self._failures[job.key] = (FAILURES, f"declines every profile: {job.detail}")
        elif job.exceeds_its_share(self._book):
            count, _ = self._failures.get(job.key, (0, ""))
            self._failures[job.key] = (count + 1, f"{job.state}: {job.detail}")
        else:
            self._failures.pop(job.key, None)

    def _jobs(
        self,
        site: Site,
        fuses: Fuses,
        problem: Problem,
        schedule: Schedule,
        transactions: Mapping[str, Transaction],
    ) -> list[Job]:
        now = self._clock.now()
        if problem.horizon.end <= now:
            return []
        wirings = {key: fuses.wirings[key] for key in transactions if key in fuses.wirings and key in schedule.power_kw}
        watched_until = self._common_end(now)
        plans = self._guarded(
            site,
            fuses,
            {
                key: planned_steps(key, wiring, problem, schedule, now=now, valid_until=watched_until)
                for key, wiring in wirings.items()
            },
            watched_until,
        )
        jobs = []
        for key, plan in plans.items():
            transaction, wiring = transactions[key], wirings[key]
            recipes = self._messenger.recipes(key, self._passport(transaction.station_id), is_dc=wiring.is_dc)
            jobs.append(job_of(key, transaction, wiring, problem, plan, recipes, now=now))
        return jobs

    def _guarded(
        self, site: Site, fuses: Fuses, plans: Mapping[str, Steps], watched_until: datetime
    ) -> Mapping[str, Steps]:
        """What of the plans may stay in force to the vehicles' departure even if this service dies now."""
        if not plans:
            return plans
        now, end = self._clock.now(), max(plan.end for plan in plans.values())
        others = {
            key: curve for key, curve in self._fail_safe_curves(site, fuses, now, end).items() if key not in plans
        }
        fallbacks_a = {key: self._book.below_a(key, fuses.wirings[key]) for key in plans}
        min_current_a = {
            evse_key(station.id, evse.id): evse.min_current_a
            for station in site.charging_stations
            for evse in station.evses
        }
        return guarded(fuses, plans, fallbacks_a, others, min_current_a, watched_until)

    def _common_end(self, now: datetime) -> datetime:
        """Between half and all of the watched time ahead, and the same for all plans of half of it.

        Profiles that end one by one would leave some EVSEs to their fallback while others still follow the plan.
        """
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        half = self._watched / 2
        return midnight + half * ((now - midnight) // half) + self._watched

    # --- the fail-safe

    async def certificate(self, site: Site) -> Certificate:
        """What is proven of the site now, whichever links drop from here on."""
        await self.restore(site)
        maximum, now = await building_maximum(self._store, site), self._clock.now()
        fuses = fuses_of(site, maximum.kw)
        ends = [end for key in fuses.evses if (end := self._book.end(key)) is not None]
        curves = self._fail_safe_curves(site, fuses, now, max([now, *ends]) + timedelta(seconds=1))
        fallbacks_a = {key: self._book.fallback_a(key) for key in curves}
        return certify(
            site.id,
            fuses,
            curves,
            fallback_a={key: current_a for key, current_a in fallbacks_a.items() if current_a is not None},
            isolated=[key for key in fuses.evses if key not in curves],
            max_base_load_kw=maximum.kw,
            base_source=maximum.source,
            now=now,
        )

    def _fail_safe_curves(self, site: Site, fuses: Fuses, start: datetime, end: datetime) -> dict[str, Steps]:
        """Of every EVSE but those that an operator has isolated, while they are not connected."""
        connected = self._connector.connected()
        isolated = {station.id for station in site.charging_stations if station.isolated} - connected
        return {
            key: self._book.fail_safe_curve(key, fuses.wirings[key], start, end)
            for key in fuses.evses
            if split_evse_key(key)[0] not in isolated
        }

    def _unable(self, site: Site, preparing: str) -> set[str]:
        """EVSEs of prepared stations that confirmed no fallback: they count with their hardware before anyone gets any.

        Stations that were not prepared yet are believed to be able to.
        """
        return {
            key
            for station in site.charging_stations
            if station.id != preparing and station.id in self._prepared
            for key in (evse_key(station.id, evse.id) for evse in station.evses)
            if self._book.fallback_a(key) is None
        }

    async def _announce(self, site: Site, plan_id: str, jobs: Sequence[Job]) -> None:
        """As unknown, ahead of the first message: a crash in between must not leave only the old state behind."""
        now = self._clock.now()
        deliveries = [job.delivery(site.id, plan_id, now) for job in jobs]
        if deliveries:
            await self._store.save_deliveries(
                [replace(delivery, state="unknown", detail="being sent") for delivery in deliveries]
            )

    async def _run_waves(self, problem: Problem, jobs: Sequence[Job]) -> None:
        moving = [job for job in jobs if not job.is_settled]
        stuck = [job for job in jobs if job.is_settled and job.exceeds_its_share(self._book)]
        if len(moving) > 1 or stuck:  # one EVSE alone goes from old to new in one message
            lowering = [job for job in moving if job.lowers(self._book)]
            await self._at_each_station(lowering, self._messenger.lower)
            stuck += [job for job in lowering if job.exceeds_its_share(self._book)]
        raising = []
        for job in moving:
            in_the_way = [other.key for other in stuck if other is not job and _share_a_fuse(problem, job, other)]
            if job.is_settled or job in stuck:
                continue
            if in_the_way and job.raises(self._book):
                job.settle("withheld", f"{', '.join(sorted(in_the_way))} did not verifiably lower")
            else:
                raising.append(job)
        await self._at_each_station(raising, self._messenger.deliver_plan)

    async def _at_each_station(self, jobs: Sequence[Job], act: Callable[[Job], Awaitable[None]]) -> None:
        """Stations concurrently; one station's EVSEs one after the other, as OCPP has one call at a time."""
        by_station: defaultdict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            by_station[job.station_id].append(job)

        async def serve(station_id: str) -> None:
            async with self._turns[station_id]:
                for job in by_station[station_id]:
                    try:
                        await act(job)
                    except AppError as error:  # one station's trouble is not the others'
                        log.exception("not sent", evse=job.key)
                        job.settle("unknown", str(error))
                    self._obedience.forget(job.key)

        async with asyncio.TaskGroup() as tasks:
            for station_id in by_station:
                tasks.create_task(serve(station_id))

    async def _prepare_those_that_are_not(self, site: Site, transactions: Mapping[str, Transaction]) -> dict[str, str]:
        """Stations without a confirmed beginning get one first; those that will not, with the reason."""
        connected = self._connector.connected()
        stations = {row.station_id for row in transactions.values()} & connected
        failed: dict[str, str] = {}

        async def prepare(station_id: str) -> None:
            try:
                async with self._turns[station_id]:
                    if station_id not in self._prepared:  # else someone was faster
                        await self._prepare(site, station_id)
            except AppError as error:
                failed[station_id] = str(error)

        async with asyncio.TaskGroup() as tasks:
            for station_id in stations - self._prepared:
                tasks.create_task(prepare(station_id))
        return failed

    # --- what happens meanwhile

    def _hear(self, event: Event) -> None:
        match event:
            case StationConnected(station_id=station_id) | StationBooted(station_id=station_id):
                self._prepared.discard(station_id)
                self._book.doubt_station(station_id)
            case TransactionStopped(station_id=station_id, evse_id=evse_id, transaction_id=transaction_id):
                self._book.forget_plan(evse_key(station_id, evse_id), transaction_id)
                self._obedience.forget(evse_key(station_id, evse_id))
                self._failures.pop(evse_key(station_id, evse_id), None)
            case _:
                pass

    def measured(self, event: MeterValuesReceived) -> None:
        """Compare what an EVSE draws with what it may; `Obedience` says when that is a fault."""
        key, wiring = evse_key(event.station_id, event.evse_id), self._wiring(event.station_id, event.evse_id)
        holding = self._book.holding(key)
        if wiring is None or (holding.since is not None and event.at < holding.since + timedelta(seconds=GRACE_S)):
            return
        drawn_a = _drawn_a(event, wiring, holding.vehicle_phases)
        if drawn_a is None:
            return
        allowed_a = self._book.commanded_a(key, wiring, event.at - timedelta(seconds=GRACE_S), event.at)
        if not self._obedience.observe(key, drawn_a, allowed_a):
            return
        fault = self._obedience.faults.get(key)
        self._events.publish(ObedienceChanged(event.station_id, event.evse_id, fault is None, self._clock.now()))
        if fault is None:
            self._book.forgive(key)
            log.info("obeys again", evse=key)
            return
        self._book.measure(key, fault.reserved_a)
        log.warning("disobeys", evse=key, reason=fault.reason)
        delivery = self._latest.get(key)
        if delivery is not None and delivery.state in REACHED:
            changed = replace(delivery, state="contradicted", at=self._clock.now(), detail=fault.reason)
            self._latest[key] = changed
            task = asyncio.get_running_loop().create_task(self._record(changed))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def settle(self) -> None:
        """Return once what `measured` found out is in the store."""
        while self._background:
            await asyncio.gather(*self._background)

    async def _record(self, delivery: Delivery) -> None:
        try:
            with self._clock.hold():
                await self._store.save_deliveries([delivery])
        except AppError as error:
            log.error("not recorded", plan=delivery.plan_id, error=str(error))
        self._events.publish(DeliveryChanged(delivery.site_id, delivery.plan_id, delivery.at))

    def _wiring(self, station_id: str, evse_id: int) -> Wiring | None:
        site = self._sites.get(station_id)
        return None if site is None else wiring_of(site, station_id, evse_id)

    def _passport(self, station_id: str) -> Passport:
        return self._passports.get(station_id, Passport())


def _restored_holding(delivery: Delivery, running: set[int]) -> Holding | None:
    """What a stored delivery says of its EVSE; None where its transaction is over, and the plan with it."""
    if delivery.profile is None:
        return None
    profile = profile_from_json(delivery.profile)
    if profile.transaction_id is not None and profile.transaction_id not in running:
        return None
    certain = delivery.state in ("verified", "accepted")
    return Holding((profile,), delivery.state, delivery.at, unbounded=not certain)


def _share_a_fuse(problem: Problem, one: Job, other: Job) -> bool:
    return bool(_fuses(problem, one) & _fuses(problem, other))


def _fuses(problem: Problem, job: Job) -> set[str]:
    """The circuits with a rating above the job's EVSE; the connection too, if it has one."""
    rated = {
        circuit.circuit_id
        for circuit in problem.circuits
        if circuit.max_power_kw is not None or circuit.max_current_a is not None
    }
    if problem.connection.max_import_kw is not None or problem.connection.max_current_a is not None:
        rated.add(CONNECTION)
    return rated & {CONNECTION, *problem.ancestors(problem.evse(job.key).circuit_id)}


def _drawn_a(event: MeterValuesReceived, wiring: Wiring, vehicle_phases: int | None) -> float | None:
    """The highest phase current; from the power where the station sends no current; None where it sends neither."""
    currents_a = [current_a for phase, current_a in event.current_a.items() if phase.startswith("L")]
    if currents_a:
        return max(currents_a)
    return None if event.power_w is None else wiring.amperes(event.power_w, vehicle_phases)
