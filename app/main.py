"""The composition root: the only module that knows all the others, and the service's beginning and end."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from app.actuators.actuated import Actuated
from app.actuators.actuators import Actuators
from app.actuators.post import Surroundings
from app.alarms import Alarms, Courier
from app.alarms.mail import MailServer
from app.api.application import create_api
from app.api.services import Services
from app.clock import Clock, SystemClock
from app.commands import Commands
from app.control import Control
from app.csms.connector import CsmsConnector, Passport
from app.csms.gateway import Gateway
from app.csms.remote.remotes import Remotes
from app.csms.remote.routed import Routed
from app.db.records import Delivery
from app.db.store import Store
from app.diary import Diary, Recorded
from app.dispatch import Dispatcher
from app.dispatch.reconciler import Reconciler
from app.dispatch.switching import Switching
from app.errors import InvalidInputError
from app.events import ClockJumped, Events
from app.gather import FallbackOnly, Gatherer, LoadFits, Refitting
from app.grid_limits import GridLimits
from app.guard import Guard
from app.keys import Keys
from app.meters.meters import Meters
from app.metrics import Metrics
from app.modes import Modes
from app.observations import Observations
from app.planning.executor import make_executor
from app.planning.nightly import Nightly, NightlyResult, run_nightly
from app.planning.outcome import Outcomes
from app.planning.planner import Planner
from app.planning.simulate import Simulator
from app.planning.timed_out import OF_REQUESTS, OF_SITES, TimedOut
from app.server import bind, in_url, listening
from app.service_readiness import service_readiness
from app.settings import Settings
from app.settlement import Settlement
from app.sources.sources import open_sources
from app.watch import Watch

log = structlog.get_logger()

FITS = "fits"  # the folder, in the data directory


@dataclass(frozen=True, slots=True)
class Running:
    """A service that listens. Setting `stop` ends it."""

    http_url: str
    ocpp_url: str
    settings: Settings
    clock: Clock
    store: Store
    events: Events
    keys: Keys
    gateway: Gateway
    dispatcher: Dispatcher
    planner: Planner
    control: Control
    guard: Guard
    stop: asyncio.Event

    async def create_key(self, name: str, scopes: Iterable[str] = ("admin",)) -> str:
        """A new API key's token."""
        _, token = await self.keys.create(name, scopes)
        return token


@asynccontextmanager
async def service(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """The whole service: store, gateway, planner, control loop, nightly run and HTTP API, while the body runs.

    Ports may be 0. Takes no signals. What was opened is closed in reverse order, whatever fails.
    """
    clock, stop = clock or SystemClock(), asyncio.Event()
    horizon = timedelta(hours=settings.horizon_hours)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, clock))
        events, keys = _events_of(clock), Keys(store, clock)
        executor = solving_executor(settings)
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)

        gateway = Gateway(store, events, clock, settings)
        remotes = Remotes(store, events, clock, settings)
        elsewhere = remotes.by_station()
        diary = Diary(store, clock)
        stack.push_async_callback(diary.settle)
        connector: CsmsConnector = Recorded(Routed(gateway, elsewhere) if elsewhere else gateway, diary, clock)
        switching = Switching(settings.profile_writes_a_day, settings.charging_starts_a_day)
        dispatcher = Dispatcher(connector, store, events, clock, switching=switching)
        stack.push_async_callback(dispatcher.settle)  # what it still has to write, while there is a store
        modes, grid_limits = Modes(store, clock, events), GridLimits(store, clock, events)
        actuators = Actuators(
            store,
            clock,
            events,
            settings,
            Surroundings(
                modes.of,
                lambda site_id: guard.last(site_id),  # noqa: PLW0108 -- the guard is made further down
                dispatcher.restraint.standings,
                grid_limits.in_force,
                lambda site_id: control.replan(site_id),  # noqa: PLW0108 -- and so is the control
            ),
        )
        gatherer = Gatherer(
            store,
            clock,
            dispatcher,
            connected=connector.connected,
            horizon=horizon,
            fits=LoadFits(settings.data_dir / FITS),
            live=lambda site: guard.residual(site),  # noqa: PLW0108 -- the guard is made further down
            fleet=actuators,
        )
        sender, timed_out = Actuated(dispatcher, actuators), TimedOut(settings.data_dir / OF_SITES)
        planner = Planner(store, gatherer, sender, clock, events, executor, settings.solver, timed_out, modes)
        simulator = Simulator(
            store,
            clock,
            executor,
            horizon=horizon,
            solver=settings.solver,
            timed_out=TimedOut(settings.data_dir / OF_REQUESTS),
        )
        control = Control(
            store,
            planner,
            dispatcher,
            clock,
            events,
            replan_minutes=settings.replan_minutes,
            debounce_s=settings.replan_debounce_s,
            first_s=settings.replan_first_s,
            connected=connector.connected,
            actuated=actuators.sites,
        )
        reconciler = Reconciler(store, dispatcher, clock, events, control.replan, every_s=settings.reconcile_s)
        nightly = Nightly(store, planner, clock, connected=connector.connected)
        settlement, outcomes = Settlement(store, clock, events), Outcomes(store, clock, events)
        sources = await stack.enter_async_context(open_sources(settings, store, clock, events, grid_limits))
        commands = Commands(lambda station: elsewhere.get(station, gateway), dispatcher, store, events, clock)
        stack.push_async_callback(commands.close)
        observations = Observations(store, events, clock)
        stack.push_async_callback(observations.close)
        guard = Guard(
            dispatcher.restraint,
            connector,
            store,
            clock,
            events,
            control.replan,
            period_s=settings.guard_period_s,
            give_back_s=settings.guard_give_back_s,
            batteries=actuators.charging_kw,
        )
        metrics = Metrics(
            events,
            connector,
            feeds=sources.feeds,
            modes=modes,
            guard=guard,
            switching=switching,
            units=actuators.all_units,
        )
        stack.callback(metrics.close)
        _measure(metrics, store, clock, dispatcher)

        for site in await store.sites():
            await dispatcher.restore(site)
        works = {
            "control": control.run(),
            "grid limits": grid_limits.run(),
            "guard": guard.run(),
            "actuators": actuators.run(),
            "meters": Meters(store, clock, events, settings).run(),
            "reconciler": reconciler.run(),
            "nightly": nightly.run(),
            "load fits": _refitted(store, LoadFits(settings.data_dir / FITS), clock),
            "sources": sources.run(),
            "settlement": settlement.run(),
            "outcomes": outcomes.run(),
            "watch": Watch(store, modes, clock, events, control.replan).run(),
            "alarms": Alarms(store, modes, clock, events, settings.alarm_targets).run(),
            "notices": Courier(store, clock, events, settings.alarm_targets, mail_server(settings)).run(),
        }
        await stack.enter_async_context(_at_work(works, stop))
        _require_free_ports(settings)
        await gateway.start()
        stack.push_async_callback(gateway.close)
        await stack.enter_async_context(remotes)

        services = Services(
            settings=settings,
            clock=clock,
            store=store,
            events=events,
            keys=keys,
            connector=connector,
            remotes=remotes,
            modes=modes,
            guard=guard,
            actuators=actuators,
            planner=planner,
            simulator=simulator,
            certify=dispatcher.certificate,
            probe=dispatcher.probe,
            commands=commands,
            ocpp_port=lambda: gateway.port,
            enrolment=gateway.enrolment,
            grid_limits=grid_limits,
            sources=sources,
            stop=stop,
            readiness=service_readiness(store, guard, sources.feeds),
        )
        api = create_api(services, metrics, session_secret(settings))
        http_url = await stack.enter_async_context(listening(api, settings.http_host, settings.http_port, stop))
        ocpp_url = f"{gateway.scheme}://{in_url(settings.ocpp_host)}:{gateway.port}"
        log.info("service started", http=http_url, ocpp=ocpp_url)
        yield Running(
            http_url, ocpp_url, settings, clock, store, events, keys, gateway, dispatcher, planner, control, guard, stop
        )
    log.info("service ended")


def _measure(metrics: Metrics, store: Store, clock: Clock, dispatcher: Dispatcher) -> None:
    """What is counted elsewhere."""
    metrics.watch(store, clock)
    metrics.outcomes(dispatcher.outcomes)


def _require_free_ports(settings: Settings) -> None:
    """A port in use is said by its setting's name."""
    if settings.ocpp_security_profile == 1:
        bind(settings.ocpp_host, settings.ocpp_port, "ocpp").close()
    if settings.ocpp_tls_certificate is not None:
        bind(settings.ocpp_host, settings.ocpp_tls_port, "ocpp_tls").close()


@asynccontextmanager
async def _at_work(works: Mapping[str, Coroutine[Any, Any, None]], stop: asyncio.Event) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for name, work in works.items():
            await stack.enter_async_context(_background(name, work, stop))
        yield


@dataclass(frozen=True, slots=True)
class KeyedService:
    """A service together with an admin key: what the demo is given."""

    http_url: str
    ocpp_url: str
    api_key: str


@asynccontextmanager
async def keyed_service(settings: Settings, clock: Clock | None = None) -> AsyncIterator[KeyedService]:
    async with service(settings, clock) as running:
        yield KeyedService(running.http_url, running.ocpp_url, await running.create_key("demo"))


@asynccontextmanager
async def open_store(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Store]:
    """The store that the settings name, migrated; its directory is made when it is the default one."""
    if settings.database_url is None:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with Store.open(settings.resolved_database_url, clock or SystemClock()) as store:
        yield store


def solving_executor(settings: Settings) -> Executor:
    """Where solves run. Raises `InvalidInputError` for a Dask scheduler that is missing or open to everybody."""
    if settings.solve_workers != "dask":
        return make_executor(settings.solve_workers)
    from app.planning.dask_executor import DaskAddress, DaskExecutor

    if settings.dask_scheduler is None:
        raise InvalidInputError("SMARTCHARGE_DASK_SCHEDULER", "is not set, and SMARTCHARGE_SOLVE_WORKERS is dask")
    address = DaskAddress(
        settings.dask_scheduler,
        ca=settings.dask_tls_ca,
        certificate=settings.dask_tls_certificate,
        key=settings.dask_tls_key,
        insecure=settings.dask_insecure,
    )
    return DaskExecutor(address)


async def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit status: 0 for a clean end, 1 when a part of the service failed."""
    async with service(settings) as running:
        loop, asked_to_stop = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            asked_to_stop.set()
            running.stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        await running.stop.wait()
    return 0 if asked_to_stop.is_set() else 1


async def plan_night(settings: Settings, site_ids: tuple[str, ...] = ()) -> list[NightlyResult]:
    """Plan the coming day of the named sites, or of all, from outside the service. Nothing is sent.

    Stations count as reachable where the running service last noted them as connected.
    """
    clock, horizon = SystemClock(), timedelta(hours=settings.horizon_hours)
    async with open_store(settings, clock) as store:
        online = frozenset(station.station_id for station in await store.stations() if station.connected)
        fits = LoadFits(settings.data_dir / FITS)
        gatherer = Gatherer(store, clock, FallbackOnly(), connected=lambda: online, horizon=horizon, fits=fits)
        with solving_executor(settings) as executor:
            timed_out = TimedOut(settings.data_dir / OF_SITES)
            planner = Planner(store, gatherer, _Withheld(), clock, Events(), executor, settings.solver, timed_out)
            return await run_nightly(store, planner, site_ids)


class _Withheld:
    """In the dispatcher's place where nothing may be sent."""

    def passport(self, *_: object) -> Passport:
        return Passport()

    def watched_until(self, now: datetime) -> datetime:
        return now

    async def send(self, *_: object) -> Sequence[Delivery]:
        return ()


def _events_of(clock: Clock) -> Events:
    """Those of this process, of which a clock that is set is one."""
    events = Events()

    def tell(by: timedelta) -> None:
        log.warning("the clock was set", by_s=by.total_seconds())
        events.publish(ClockJumped(by.total_seconds(), clock.now()))

    if isinstance(clock, SystemClock):
        clock.on_jump = tell
    return events


async def _refitted(store: Store, fits: LoadFits, clock: Clock) -> None:
    """Fits week by week. A stepped clock waits for none: its days would differ from run to run."""
    if isinstance(clock, SystemClock):
        await Refitting(store, fits, clock).run()


def mail_server(settings: Settings) -> MailServer | None:
    if settings.smtp_host is None:
        return None
    password = None if settings.smtp_password is None else settings.smtp_password.get_secret_value()
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_security,
        settings.smtp_from,
        settings.smtp_user,
        password,
    )


def session_secret(settings: Settings) -> bytes:
    """What signs the dashboard's cookie: from the settings, or made once and kept in the data directory."""
    if settings.session_secret is not None:
        return settings.session_secret.get_secret_value().encode()
    path = settings.data_dir / "session.secret"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text().encode()


@asynccontextmanager
async def _background(name: str, work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run `work` beside the body and cancel it at the end. If it fails, the service ends: half of one is none."""

    async def supervised() -> None:
        try:
            await work
        except Exception:
            log.exception("a part of the service failed", part=name)
            stop.set()

    task = asyncio.create_task(supervised(), name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
