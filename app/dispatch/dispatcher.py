"""A schedule becomes charging profiles at the stations: lower first, verify, then raise.

At every moment each EVSE executes its old limit or its new one, and nobody knows which of the messages arrive. So the
first wave sends the lower of both, and the second the plan itself, but only where everyone who shares a fuse has
verifiably made room. What every EVSE may be executing is kept in `app.dispatch.in_force`.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.crash_points import crash_point
from app.csms.connector import CsmsConnector, Passport
from app.db.records import HELD, Delivery, Transaction
from app.db.store import Store
from app.dispatch.certificate import Certificate
from app.dispatch.delivery import Job, share_a_fuse
from app.dispatch.drafts import Drafts
from app.dispatch.failures import Failures
from app.dispatch.guarantee import WATCHED, Guarantee
from app.dispatch.in_force import Book, Limit, Wiring, restored_holding, wiring_of
from app.dispatch.messenger import Messenger
from app.dispatch.passports import Passports
from app.dispatch.patience import Patience
from app.dispatch.preparer import Preparer
from app.dispatch.probe import Prober, ProbeReport
from app.dispatch.restraint import Restraint
from app.dispatch.switching import Switching
from app.dispatch.witness import Witness
from app.errors import AppError, NotFoundError, OvertakenError
from app.events import (
    DeliveryChanged,
    Event,
    Events,
    MeterValuesReceived,
    StationBooted,
    StationConnected,
    TransactionStopped,
)
from app.site import ChargingStationDocument, Site, evse_key, split_evse_key
from app.tracing import traced
from optimizer.domain import Problem, Schedule

log = structlog.get_logger()

READ_BACK_EVERY = timedelta(minutes=10)


class Dispatcher:
    """Desired against reported, for every station of every site.

    One site is sent to at a time (the planner sees to that); its stations are served concurrently.
    """

    def __init__(
        self,
        connector: CsmsConnector,
        store: Store,
        events: Events,
        clock: Clock,
        *,
        watched: timedelta = WATCHED,
        switching: Switching | None = None,
    ) -> None:
        self._connector = connector
        self._store = store
        self._events = events
        self._clock = clock
        self._book = Book()
        self._passports = Passports(connector, store, clock)
        self.switching = switching or Switching()
        self._messenger = Messenger(connector, self._book, clock, self._passports, self.switching)
        self._guarantee = Guarantee(connector, store, clock, self._book, watched=watched)
        self._drafts = Drafts(clock, self._book, self._guarantee, self._passports)
        self._preparer = Preparer(connector, store, clock, self._book, self._guarantee, self._passports)
        self._prober = Prober(connector, store, clock, self._book, self._passports)
        self._witness = Witness(connector, store, events, clock, self._book, self._wiring)
        self._sites: dict[str, Site] = {}  # by station
        self._restored: set[str] = set()
        self._patience = Patience()
        self._read_at: dict[str, datetime] = {}  # by EVSE key: when it was last asked what it holds
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._failures = Failures()
        self.outcomes: Counter[str] = Counter()  # of profiles since the start, by state
        self.restraint = Restraint(
            connector, store, events, clock, self._book, self._messenger, self._witness, self._passports, self._turns
        )
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
        await self._preparer.restore(site)
        for delivery in await self._store.deliveries_in_force(site.id):
            key = evse_key(delivery.station_id, delivery.evse_id)
            if key not in self._book and (holding := restored_holding(delivery, running)) is not None:
                self._book.put(key, holding)
                self._witness.expect(key, delivery)
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

    def passport(self, station_id: str) -> Passport:
        """What the station accepts, as far as it is known; the defaults before it ever was."""
        return self._passports[station_id]

    def watched_until(self, now: datetime) -> datetime:
        """How far a plan that is sent now holds by more than what is safe without anybody watching."""
        return self._guarantee.watched_until(now)

    def disobedient(self) -> dict[str, str]:
        """EVSEs that draw more than they may, with the evidence."""
        return {key: fault.reason for key, fault in self._witness.faults.items()}

    def uncontrollable(self) -> dict[str, str]:
        """EVSEs that no plan should count on, with the reason: reserve their worst case and plan the others.

        An operator says that they take no profiles, or they disobey, decline every form of profile, or did not
        verifiably lower several times in a row; the last are tried again after a while. All but the operator's word
        is forgotten with the transaction and at the next connection.
        """
        return self._passports.unwilling() | self._failures.given_up(self._clock.now()) | self.disobedient()

    async def certificate(self, site: Site) -> Certificate:
        """What is proven of the site now, whichever links drop from here on."""
        await self.restore(site)
        return await self._guarantee.certificate(site)

    # --- a station that arrives

    async def prepare(self, site: Site, station_id: str) -> None:
        """Read the station's passport and make sure of its fallback. Raises `StationError` when it does not answer."""
        await self.restore(site)
        async with self._turns[station_id]:
            with self._clock.hold():
                await self._prepare(site, station_id)

    async def _prepare(self, site: Site, station_id: str) -> None:
        document = site.station(station_id)
        for evse in document.evses if document else ():
            self._failures.forget(evse_key(station_id, evse.id))
        await self._preparer.prepare(site, station_id)

    async def probe(self, site: Site, station_id: str) -> ProbeReport:
        """Find out by harmless trials what the station takes. Raises as `Prober`.

        Where something may have been left behind, the station is prepared anew with the next reconciliation.
        """
        await self.restore(site)
        async with self._turns[station_id]:
            with self._clock.hold():
                report = await self._prober.probe(site, station_id)
        if report.ended_early is not None:
            self._preparer.forget(station_id)
        return report

    async def reconcile(self, site: Site) -> bool:
        """Compare what connected stations should hold with what they do; whether a plan must be sent anew.

        Stations without a confirmed beginning, or with another fallback than the site's, get it first. What an EVSE
        certainly held is asked again every `READ_BACK_EVERY`, one EVSE of a station at a time.
        """
        await self.restore(site)
        now, connected = self._clock.now(), self._connector.connected()
        fallbacks_a = await self._guarantee.fallbacks(site, "", self._preparer.prepared)
        own = [evse_key(station.id, evse.id) for station in site.charging_stations for evse in station.evses]
        async with asyncio.TaskGroup() as tasks:
            for station in site.charging_stations:
                if station.id in connected:
                    tasks.create_task(self._reconcile_station(site, station, fallbacks_a))
        unsettled = self._witness.in_doubt() | self._messenger.running_out(now)
        wanting = [key for key in own if key in unsettled and split_evse_key(key)[0] in connected]
        for key in set(own) - set(wanting):
            self._patience.forget(key)
        due = [key for key in wanting if self._patience.is_due(key, now)]
        return bool(due)

    async def _reconcile_station(
        self, site: Site, station: ChargingStationDocument, fallbacks_a: Mapping[str, float]
    ) -> None:
        keys, now = [evse_key(station.id, evse.id) for evse in station.evses], self._clock.now()
        strays = [
            key
            for key in keys
            if (confirmed_a := self._book.fallback_a(key)) is None or confirmed_a != fallbacks_a.get(key)
        ]
        try:
            if strays or station.id not in self._preparer.prepared:
                if self._patience.is_due(station.id, now):
                    await self.prepare(site, station.id)
                return
            self._patience.forget(station.id)
            overdue = [key for key in keys if now - self._read_at.get(key, now - READ_BACK_EVERY) >= READ_BACK_EVERY]
            if overdue:
                await self._reread(min(overdue, key=lambda key: self._read_at.get(key, now - READ_BACK_EVERY)))
        except AppError as error:
            log.warning("not reconciled", station=station.id, error=str(error))

    async def _reread(self, key: str) -> None:
        station_id, evse_id = split_evse_key(key)
        wiring = self._wiring(station_id, evse_id)
        if wiring is None:
            return
        self._read_at[key] = self._clock.now()
        async with self._turns[station_id]:
            with self._clock.hold():
                verdict = await self._messenger.reread(key, wiring)
        if verdict is not None and verdict.state == "contradicted":
            log.warning("lost its profile", evse=key, detail=verdict.detail)
            self._witness.contradict(key, verdict.detail)

    @asynccontextmanager
    async def by_hand(self, site: Site, station_id: str) -> AsyncIterator[tuple[str, ...]]:
        """The time in which an operator changes what a station holds; yields the EVSEs that are in doubt from then on:
        each counts with all its hardware until `reconcile` has cleared the station and had its plan sent anew."""
        await self.restore(site)
        async with self._turns[station_id]:
            keys = self._preparer.distrust(site, station_id)
            for name in (station_id, *keys):
                self._patience.forget(name)  # whatever was tried before has nothing to do with this
            for key in keys:
                self._witness.contradict(key, "an operator may have changed its limits")
            yield keys

    # --- a plan

    @traced("dispatch")
    async def send(
        self,
        site: Site,
        plan_id: str,
        problem: Problem,
        schedule: Schedule,
        transactions: Mapping[str, Transaction],
    ) -> list[Delivery]:
        """Send each running transaction its part of the plan (EVSE key -> transaction); what became of each.

        EVSEs whose vehicle is expected soon get theirs too, above the fallback, where the station has a level for it.
        All others get nothing: their fallback holds. Raises `OvertakenError`, and sends nothing, where a plan with a
        newer fencing token was sent by whomever; one that is overtaken meanwhile raises no limit any more.
        """
        if not await self._store.admit_plan(plan_id):
            raise OvertakenError(f"a newer plan of site {site.id!r} was sent: plan {plan_id} is dropped")
        await self.restore(site)
        unready = await self._prepare_those_that_are_not(site, transactions)
        connected = self._connector.connected()
        able = connected & self._preparer.prepared
        jobs = await self._drafts.jobs(site, problem, schedule, transactions, able=able)
        for job in jobs:
            self.restraint.note(site, plan_id, problem, job)
            held = None if job.key in self._witness.faults else job.held_already(self._book)
            if job.station_id not in connected:
                job.settle("offline", "it is not connected")
            elif job.station_id in unready:
                job.settle("withheld", f"it could not be prepared: {unready[job.station_id]}")
            elif held is not None:
                job.sent = held
                job.settle(self._book.holding(job.key).state, "unchanged")
        moving = [job for job in jobs if not job.is_settled]
        await self._announce(site, plan_id, moving)
        await self._run_waves(plan_id, problem, jobs)
        crash_point("wave_2.sent")
        for job in jobs:
            self._judge(job)
        now = self._clock.now()
        deliveries = [job.delivery(site.id, plan_id, now) for job in jobs]
        if deliveries:
            await self._store.save_deliveries(deliveries)
            crash_point("deliveries.stored")
        self.outcomes.update(job.state for job in moving)
        for delivery in deliveries:
            self._witness.expect(evse_key(delivery.station_id, delivery.evse_id), delivery)
        self._events.publish(DeliveryChanged(site.id, plan_id, now))
        return deliveries

    def _judge(self, job: Job) -> None:
        """Remember who cannot be relied upon, and say so."""
        fault = self._witness.faults.get(job.key)
        if fault is not None and job.state in HELD:
            job.settle("ignored", fault.reason)
        if job.state == "rejected" and job.transaction is not None:
            self._failures.declines(job.key, str(job.detail))
        elif job.exceeds_its_share(self._book):
            self._failures.count(job.key, f"{job.state}: {job.detail}", self._clock.now())
        else:
            self._failures.forget(job.key)

    async def _announce(self, site: Site, plan_id: str, jobs: Sequence[Job]) -> None:
        """As unknown, ahead of the first message: a crash in between must not leave only the old state behind."""
        now = self._clock.now()
        deliveries = [job.delivery(site.id, plan_id, now) for job in jobs]
        if deliveries:
            await self._store.save_deliveries(
                [replace(delivery, state="unknown", detail="being sent") for delivery in deliveries]
            )
            crash_point("deliveries.announced")

    async def _run_waves(self, plan_id: str, problem: Problem, jobs: Sequence[Job]) -> None:
        moving = [job for job in jobs if not job.is_settled]
        stuck = [job for job in jobs if job.is_settled and job.exceeds_its_share(self._book)]
        if len(moving) > 1 or stuck:  # one EVSE alone goes from old to new in one message
            lowering = [job for job in moving if job.lowers(self._book)]
            await self._at_each_station(lowering, self._messenger.lower)
            if lowering:
                crash_point("wave_1.sent")
            stuck += [job for job in lowering if job.exceeds_its_share(self._book)]
        raising = []
        now = self._clock.now()
        for job in moving:
            in_the_way = [other.key for other in stuck if other is not job and share_a_fuse(problem, job, other)]
            if job.is_settled or job in stuck:
                continue
            if in_the_way and job.raises(self._book):
                job.settle("withheld", f"{', '.join(sorted(in_the_way))} did not verifiably lower")
            elif (refusal := self.switching.refusal(job, self._book, now)) is not None:
                job.settle("withheld", refusal)
            else:
                raising.append(job)
        if raising and not await self._store.admit_plan(plan_id):
            for job in raising:
                job.settle("withheld", "a newer plan was sent meanwhile")
            raising = []
        await self._at_each_station(raising, self._messenger.deliver_plan)

    async def _at_each_station(self, jobs: Sequence[Job], act: Callable[[Job], Awaitable[None]]) -> None:
        """Stations concurrently; one station's EVSEs one after the other, as OCPP has one call at a time."""
        by_station: defaultdict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            by_station[job.station_id].append(job)

        async def serve(station_id: str) -> None:
            async with self._turns[station_id]:
                for job in by_station[station_id]:
                    self.restraint.cut(job)
                    try:
                        await act(job)
                    except AppError as error:  # one station's trouble is not the others'
                        log.exception("not sent", evse=job.key)
                        job.settle("unknown", str(error))
                    self._witness.forget(job.key)

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
                    if station_id not in self._preparer.prepared:  # else someone was faster
                        await self._prepare(site, station_id)
            except AppError as error:
                failed[station_id] = str(error)

        async with asyncio.TaskGroup() as tasks:
            for station_id in stations - self._preparer.prepared:
                tasks.create_task(prepare(station_id))
        return failed

    # --- what happens meanwhile

    def _hear(self, event: Event) -> None:
        match event:
            case StationConnected(station_id=station_id) | StationBooted(station_id=station_id):
                self._preparer.forget(station_id)
                self._book.doubt_station(station_id)
            case TransactionStopped(station_id=station_id, evse_id=evse_id, transaction_id=transaction_id):
                self._book.forget_plan(evse_key(station_id, evse_id), transaction_id)
                self._witness.dismiss(evse_key(station_id, evse_id))
                self._failures.forget(evse_key(station_id, evse_id))
                self.restraint.dismiss(evse_key(station_id, evse_id), transaction_id)
            case _:
                pass

    def measured(self, event: MeterValuesReceived) -> None:
        """Compare what an EVSE draws with what it may."""
        self._witness.measured(event)

    async def settle(self) -> None:
        """Return once what `measured` found out, and what was sent beside the plans, is in the store."""
        await self._witness.settle()
        await self.restraint.settle()

    def _wiring(self, station_id: str, evse_id: int) -> Wiring | None:
        site = self._sites.get(station_id)
        return None if site is None else wiring_of(site, station_id, evse_id)
