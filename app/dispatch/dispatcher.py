"""A schedule becomes charging profiles at the stations: lower first, verify, then raise.

At every moment each EVSE executes its old limit or its new one, and nobody knows which of the messages arrive. So the
first wave sends the lower of both, and the second the plan itself, but only where everyone who shares a fuse has
verifiably made room (`app.dispatch.waves`). What every EVSE may be executing is kept in `app.dispatch.in_force`.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog

from app.clock import CLOCKS_DIFFER, Clock
from app.csms.connector import CsmsConnector, Passport
from app.db.records import Delivery, Transaction
from app.db.store import Store
from app.dispatch.certificate import Certificate
from app.dispatch.delivery import Job
from app.dispatch.drafts import Drafts
from app.dispatch.failures import Failures
from app.dispatch.guarantee import WATCHED, Guarantee
from app.dispatch.in_force import Book, Limit, Wiring, restored_holding, wiring_of
from app.dispatch.messenger import Messenger
from app.dispatch.outcomes import Outcomes
from app.dispatch.passports import Passports
from app.dispatch.patience import Patience
from app.dispatch.pauser import Pauser
from app.dispatch.preparer import Preparer
from app.dispatch.priority import PriorityCharging
from app.dispatch.probe import Prober, ProbeReport
from app.dispatch.read_backs import ReadBacks
from app.dispatch.restraint import Restraint
from app.dispatch.second_waves import SecondWave, SecondWaves
from app.dispatch.switching import Switching
from app.dispatch.waves import Waves
from app.dispatch.witness import Witness
from app.errors import AppError, NotFoundError, OvertakenError
from app.events import (
    ChargingNeedsReceived,
    ClockJumped,
    Event,
    Events,
    MeterValuesReceived,
    StationBooted,
    StationClockChanged,
    StationConnected,
    TransactionStarted,
    TransactionStopped,
)
from app.site import ChargingStationDocument, Site, evse_key, split_evse_key
from app.tracing import traced
from optimizer.domain import Problem, Schedule

log = structlog.get_logger()


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
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by station
        self._read_backs = ReadBacks(self._messenger, self._witness, clock, self._turns, self._wiring)
        self._sending: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by site
        self._failures = Failures()
        self._outcomes = Outcomes(store, events, clock, self._book, self._witness, self._failures)
        self.restraint = Restraint(
            connector, store, events, clock, self._book, self._messenger, self._witness, self._passports, self._turns
        )
        self._waves = Waves(
            store, self._messenger, self._book, self._witness, clock, self._turns, self.switching, self.restraint
        )
        self._second_waves = SecondWaves(self._waves, self._outcomes.conclude)
        self._priority = PriorityCharging(store, events, self._book, self._witness.in_background)
        self._pauser = Pauser(connector, store, events, clock, self._passports)
        self._sites: dict[str, Site] = {}  # by station
        self._restored: set[str] = set()
        self._patience = Patience()
        self._waited_for: set[str] = set()  # EVSEs that are told what they hold already: a vehicle waits for it, say
        self.outcomes: Counter[str] = Counter()  # of profiles since the start, by state
        events.subscribe(self._hear)

    # --- what stations may be executing

    async def restore(self, site: Site) -> None:
        """Learn from the store what the site's stations were sent before this process began; once for each site.

        Until then they count with all that their hardware can draw.
        """
        self._sites.update({station.id: site for station in site.charging_stations})
        if site.id in self._restored:
            return
        rows = await self._store.transactions(site_id=site.id, running=True)
        running = {row.transaction_id for row in rows}
        for row in rows:
            self.restraint.occupy(evse_key(row.station_id, row.evse_id))
        self._priority.restore(await self._store.stations(site.id), running)
        await self._preparer.restore(site)
        for delivery in await self._store.deliveries_in_force(site.id):
            key = evse_key(delivery.station_id, delivery.evse_id)
            if key not in self._book and (holding := restored_holding(delivery, running)) is not None:
                self._book.put(key, holding)
                self._witness.expect(key, delivery)
                if delivery.at > self._clock.now() + CLOCKS_DIFFER:  # the clock was put back while nobody was here
                    self._book.doubt_time(key)
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

        An operator says that they take no profiles, or they charge with priority, disobey, decline every form of
        profile, or did not verifiably lower several times in a row; the last are tried again after a while. All but
        the operator's word and the driver's is forgotten with the transaction and at the next connection.
        """
        failing = self._failures.given_up(self._clock.now()) | self.disobedient()
        return self._passports.unwilling() | failing | self._priority.reasons()

    async def certificate(self, site: Site) -> Certificate:
        """What is proven of the site now, whichever links drop from here on."""
        await self.restore(site)
        return await self._guarantee.certificate(site)

    # --- a station that arrives

    async def prepare(self, site: Site, station_id: str, *, again: bool = True) -> None:
        """Read its passport and make sure of its fallback; not `again` where somebody did. Raises `StationError`."""
        await self.restore(site)
        async with self._turns[station_id]:
            if again or station_id not in self._preparer.prepared:
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
        certainly held is asked again every few minutes, one EVSE of a station at a time.
        """
        await self.restore(site)
        now, connected = self._clock.now(), self._connector.connected()
        fallbacks_a = await self._guarantee.fallbacks(site, "", self._preparer.prepared)
        own = [evse_key(station.id, evse.id) for station in site.charging_stations for evse in station.evses]
        async with asyncio.TaskGroup() as tasks:
            for station in site.charging_stations:
                if station.id in connected:
                    tasks.create_task(self._reconcile_station(site, station, fallbacks_a))
        await self._raise_who_waits(site.id)
        await self._pauser.look(site)
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
            is_prepared = station.id in self._preparer.prepared
            if strays or not is_prepared:
                if self._patience.is_due(station.id, now):
                    await self.prepare(site, station.id, again=is_prepared)
                return
            self._patience.forget(station.id)
            await self._read_backs.look(keys)
        except AppError as error:
            log.warning("not reconciled", station=station.id, error=str(error))

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
            self._second_waves.drop(station_id)
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
        async with self._sending[site.id]:
            self._second_waves.supersede(site.id)
            jobs = await self._drafted(site, plan_id, problem, schedule, transactions, unready)
            moving = [job for job in jobs if not job.is_settled]
            await self._outcomes.announce(site, plan_id, moving)
            waiting = await self._waves.run(plan_id, problem, schedule, jobs)
            deliveries = await self._outcomes.conclude(site, plan_id, jobs)
            self.outcomes.update(job.state for job in moving)
            self._waited_for.difference_update(job.key for job in jobs if job.sent is not None)
            keys = frozenset(job.key for job in jobs)
            self._second_waves.put(SecondWave(site, plan_id, problem, schedule, waiting, keys))
        self._pauser.learn(site, problem, schedule, transactions)
        await self._pauser.look(site)
        return deliveries

    async def _drafted(
        self,
        site: Site,
        plan_id: str,
        problem: Problem,
        schedule: Schedule,
        transactions: Mapping[str, Transaction],
        unready: Mapping[str, str],
    ) -> list[Job]:
        """Every EVSE's part of the plan, settled already where nothing is to be sent."""
        connected = self._connector.connected()
        able = connected & self._preparer.prepared
        jobs = await self._drafts.jobs(site, problem, schedule, transactions, able=able)
        for job in jobs:
            self.restraint.note(site, plan_id, problem, job)
            is_told = job.key in self._witness.faults or job.key in self._waited_for
            held = None if is_told else job.held_already(self._book)
            if job.station_id not in connected:
                job.settle("offline", "it is not connected")
            elif job.station_id in unready:
                job.settle("withheld", f"it could not be prepared: {unready[job.station_id]}")
            elif held is not None:
                job.sent = held
                job.settle(self._book.holding(job.key).state, "unchanged")
        return jobs

    async def _raise_who_waits(self, site_id: str) -> None:
        """The second wave of those who had no room at first."""
        try:
            with self._clock.hold():
                async with self._sending[site_id]:
                    await self._second_waves.go_on(site_id)
        except AppError as error:  # the next plan makes good for it
            log.warning("not raised", site=site_id, error=str(error))

    async def _prepare_those_that_are_not(self, site: Site, transactions: Mapping[str, Transaction]) -> dict[str, str]:
        """Stations without a confirmed beginning get one first; those that will not, with the reason."""
        connected = self._connector.connected()
        stations = {row.station_id for row in transactions.values()} & connected
        failed: dict[str, str] = {}

        async def prepare(station_id: str) -> None:
            try:
                await self.prepare(site, station_id, again=False)
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
                self._second_waves.drop(station_id)
            case TransactionStarted(station_id=station_id, evse_id=evse_id):  # told late, it may still run
                self.restraint.occupy(evse_key(station_id, evse_id))
            case StationClockChanged(station_id=station_id, ahead_s=ahead_s):
                self._guarantee.clocks_ahead_s[station_id] = ahead_s
                site = self._sites.get(station_id)
                document = site.station(station_id) if site else None
                for evse in document.evses if document else ():
                    self._waited_for.add(evse_key(station_id, evse.id))  # what it holds is in its old time
            case ClockJumped():
                self._patience = Patience()
                self._read_backs.forget()
                self._second_waves.drop_all()
                self._book.doubt_times()
            case ChargingNeedsReceived(station_id=station_id, evse_id=evse_id):
                self._waited_for.add(evse_key(station_id, evse_id))
            case TransactionStopped(station_id=station_id, evse_id=evse_id, transaction_id=transaction_id):
                self._waited_for.discard(evse_key(station_id, evse_id))
                self._book.forget_plan(evse_key(station_id, evse_id), transaction_id)
                self._witness.dismiss(evse_key(station_id, evse_id))
                self._failures.forget(evse_key(station_id, evse_id))
                self._second_waves.drop(station_id, evse_id)
                self._waves.lowerings.forget(evse_key(station_id, evse_id))
                self.restraint.dismiss(evse_key(station_id, evse_id), transaction_id)
            case _:
                pass

    def measured(self, event: MeterValuesReceived) -> None:
        """Compare what an EVSE draws with what it may, and raise who waits for the room that it makes."""
        self._witness.measured(event)
        wiring = self._wiring(event.station_id, event.evse_id)
        if wiring is not None and self._waves.measured(event, wiring):
            site_id = self._sites[event.station_id].id
            if self._second_waves.is_waiting(site_id):
                self._witness.in_background(self._raise_who_waits(site_id))

    async def settle(self) -> None:
        """Return once what `measured` found out, and what was sent beside the plans, is in the store."""
        await self._witness.settle()
        await self.restraint.settle()

    def _wiring(self, station_id: str, evse_id: int) -> Wiring | None:
        site = self._sites.get(station_id)
        return None if site is None else wiring_of(site, station_id, evse_id)
