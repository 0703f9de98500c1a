"""When to plan: on what happens at the stations, on a driver's wish, and at every slot.

Events are gathered for a moment, so that a row of cars at nine o'clock makes one plan and not ten. Each site has
its own turn; one site's error never stops another's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from app.clock import Clock, sleep_until
from app.db.records import Plan
from app.db.store import Store
from app.errors import AlreadyPlannedError, AppError, NotFoundError
from app.events import (
    ChargingLimitChanged,
    ClockJumped,
    Event,
    Events,
    GridLimitChanged,
    MeterValuesReceived,
    ObedienceChanged,
    PriorityChargingChanged,
    ReadingsArrived,
    SignalsArrived,
    SiteChanged,
    StationBooted,
    StationClockChanged,
    StationConnected,
    StationDisconnected,
    StatusChanged,
    TransactionStarted,
    TransactionStopped,
    WishChanged,
)
from app.gather.away import away_from
from app.gather.sessions import DECLINED_FOR
from app.planning.planner import Kind
from app.site import Site
from forecasts.errors import ForecastError
from optimizer.errors import OptimizerError

log = structlog.get_logger()

AWAY_EVERY = timedelta(minutes=5)  # how often readings alone make a new plan
MAX_RUNNING = 100_000  # transactions; far above what one service serves


class Plans(Protocol):
    async def plan(self, site_id: str, *, kind: Kind = "request", window: datetime | None = None) -> Plan: ...


class Prepares(Protocol):
    async def prepare(self, site: Site, station_id: str) -> None: ...

    def measured(self, event: MeterValuesReceived) -> None: ...


class Control:
    """Listens, and has sites planned anew. `run` works until it is cancelled."""

    def __init__(
        self,
        store: Store,
        planner: Plans,
        dispatcher: Prepares,
        clock: Clock,
        events: Events,
        *,
        replan_minutes: int,
        debounce_s: float,
        first_s: float | None = None,
        connected: Callable[[], Collection[str]] | None = None,
        actuated: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`first_s` is how long the first event after a quiet time is waited with; None: as long as any other.

        `connected` names the stations that this service can send to; None where nobody else is about. `actuated`
        names the sites with batteries or inverters to command: they are planned though no car may be there.
        """
        self._actuated = actuated
        self._store = store
        self._planner = planner
        self._dispatcher = dispatcher
        self._clock = clock
        self._events = events
        self._every = timedelta(minutes=replan_minutes)
        self._debounce_s = debounce_s
        self._first_s = debounce_s if first_s is None else min(first_s, debounce_s)
        self._plans: dict[str, Plan] = {}  # the last one that was made here
        self._began: dict[str, datetime] = {}  # the last plan of each site
        self._full: set[tuple[str, int]] = set()  # EVSEs whose vehicle has declined energy in this stay
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._connected = connected
        self._due: dict[str, datetime | None] = {}  # by site: the slot that it is due for, None where more happened
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        try:
            async with self._tasks:
                self._tasks.create_task(self._plan_every_slot())
                while True:
                    event = await self._inbox.get()
                    try:
                        await self._take(event)
                    except AppError as error:  # the next event, or the next slot, makes good for it
                        log.error("event lost", event_type=type(event).__name__, error=str(error))
                    except Exception:  # a bug met in one event must not end the control of all sites
                        log.exception("event lost", event_type=type(event).__name__)
        finally:
            unsubscribe()

    def _hear(self, event: Event) -> None:
        if not isinstance(event, MeterValuesReceived):
            self._inbox.put_nowait(event)
            return
        try:
            self._dispatcher.measured(event)
        except Exception:  # a listener must not raise: the station that measured waits for its answer
            log.exception("measurement not compared", station=event.station_id)

    async def _take(self, event: Event) -> None:
        if isinstance(event, TransactionStarted | TransactionStopped):
            self._full.discard((event.station_id, event.evse_id))
        match event:
            case StationConnected() | StationBooted():
                self._tasks.create_task(self._welcome(event.station_id))
            case (
                TransactionStarted(live=True)
                | TransactionStopped(live=True)
                | StationDisconnected()
                | ObedienceChanged()
                | ChargingLimitChanged()
                | PriorityChargingChanged()
                | StationClockChanged()
            ):
                await self._mark_station(event.station_id)
            case StatusChanged(status="SuspendedEV", station_id=station_id, evse_id=evse_id):
                if (station_id, evse_id) not in self._full:
                    self._full.add((station_id, evse_id))
                    self._tasks.create_task(self._once_full(station_id))
            case (
                WishChanged()
                | SiteChanged()
                | GridLimitChanged()
                | SignalsArrived(kind="import_price" | "export_price")
            ):
                self.replan(event.site_id)
            case ClockJumped():
                for site_id in await self._sites_to_control():
                    self.replan(site_id)
            case ReadingsArrived():
                await self._look_at_meters(event.site_id)
            case _:
                pass

    async def _once_full(self, station_id: str) -> None:
        """Its room goes to the others as soon as a pause is taken for a full car, and not at the next slot.

        Once a stay: a full car that every plan offers a little pauses anew with every plan.
        """
        await self._clock.sleep(DECLINED_FOR.total_seconds())
        await self._mark_station(station_id)

    async def _look_at_meters(self, site_id: str) -> None:
        """A building or a roof away from what the plan expected makes another, every few minutes at most."""
        plan, now = self._plans.get(site_id), self._clock.now()
        if plan is None or now - plan.created_at < AWAY_EVERY or not plan.problem.get("sessions"):
            return
        with self._clock.hold():
            site, latest = await self._store.site(site_id), await self._store.latest_readings(site_id)
        if away := away_from(plan, site, latest, now):
            log.info("meters away from the plan", site=site_id, **away)
            self.replan(site_id)

    async def _welcome(self, station_id: str) -> None:
        """A station that (re)connects gets its fallback before it is trusted with a plan."""
        try:
            site = await self._site_of(station_id)
            if site is None:
                return
            if site.mode == "optimised":
                await self._dispatcher.prepare(site, station_id)
        except AppError as error:
            log.warning("station not prepared", station=station_id, error=str(error))
        except Exception:  # one station's bug must not end the control of all others
            log.exception("station not prepared", station=station_id)
        await self._mark_station(station_id)

    async def _mark_station(self, station_id: str) -> None:
        try:  # its site's id alone: the document of a large site, read for each of its stations, takes seconds
            station = await self._store.station(station_id)
        except NotFoundError:
            return
        self.replan(station.site_id)

    async def _site_of(self, station_id: str) -> Site | None:
        try:
            station = await self._store.station(station_id)
            return await self._store.site(station.site_id)
        except NotFoundError:
            return None

    def replan(self, site_id: str, slot: datetime | None = None) -> None:
        """Have a site planned in a moment, together with whatever else happens until then.

        For the sake of a `slot` alone it is planned by one service, whoever is first.
        """
        if site_id not in self._due:
            self._due[site_id] = slot
            self._tasks.create_task(self._plan_soon(site_id))
        elif slot is None:
            self._due[site_id] = None

    async def _plan_soon(self, site_id: str) -> None:
        """One plan in the making and at most one that waits, however much happens meanwhile.

        The first car of a quiet hour is planned at once, the next ones together.
        """
        now = self._clock.now()
        quiet_from = self._began.get(site_id, now - timedelta(days=1)) + timedelta(seconds=self._debounce_s)
        await self._clock.sleep(max(self._first_s, min((quiet_from - now).total_seconds(), self._debounce_s)))
        async with self._turns[site_id]:
            slot = self._due.pop(site_id, None)  # what happens from here on is not in this plan
            self._began[site_id] = self._clock.now()
            await self._plan(site_id, slot)

    async def _plan_every_slot(self) -> None:
        """Sites with something to control are planned at every full quarter of an hour (or as set)."""
        while True:
            now = self._clock.now()
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            slot = midnight + self._every * (int((now - midnight) / self._every) + 1)
            await sleep_until(self._clock, slot)
            try:
                for site_id in await self._sites_to_control():
                    self.replan(site_id, slot)
            except AppError as error:
                log.error("no plans at this slot", error=str(error))
            except Exception:  # the next slot must come whatever this one met
                log.exception("no plans at this slot")

    async def _sites_to_control(self) -> set[str]:
        """Those with devices to command, or a running transaction at a station that is there; imported histories have
        none."""
        running = await self._store.transactions(running=True, limit=MAX_RUNNING)
        if not running:
            return set(self._actuated())
        connected = (
            {station.station_id for station in await self._store.stations() if station.connected}
            if self._connected is None
            else self._connected()
        )
        return {row.site_id for row in running if row.station_id in connected} | set(self._actuated())

    async def _plan(self, site_id: str, slot: datetime | None) -> None:
        try:
            self._plans[site_id] = await self._planner.plan(site_id, kind="replan", window=slot)
        except AlreadyPlannedError:
            log.debug("planned by another service", site=site_id, slot=slot)
        except (AppError, ForecastError, OptimizerError) as error:
            log.error("no plan", site=site_id, error=str(error))
        except Exception:  # one site's bug must not end the loop of all others
            log.exception("planning failed", site=site_id)
