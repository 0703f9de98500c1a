"""The composition root: the only module that knows all the others, and the service's beginning and end."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

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
from app.dispatch import Dispatcher
from app.dispatch.reconciler import Reconciler
from app.events import Events
from app.executor import make_executor
from app.gather import FallbackOnly, Gatherer
from app.keys import Keys
from app.metrics import Metrics
from app.nightly import Nightly, NightlyResult, run_nightly
from app.planner import Planner
from app.readiness import Readiness
from app.server import bind, in_url, listening
from app.settings import Settings
from app.settlement import Settlement
from app.simulate import Simulator
from app.timed_out import OF_REQUESTS, OF_SITES, TimedOut

log = structlog.get_logger()

LONGEST_WRITE_LAG_S = 10.0  # a writer that is well needs a twentieth of a second


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
    clock = clock or SystemClock()
    stop = asyncio.Event()
    horizon = timedelta(hours=settings.horizon_hours)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, clock))
        events = Events()
        keys = Keys(store, clock)
        executor = make_executor(settings.solve_workers)
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)

        gateway = Gateway(store, events, clock, settings)
        remotes = Remotes(store, events, clock, settings)
        elsewhere = remotes.by_station()
        connector: CsmsConnector = Routed(gateway, elsewhere) if elsewhere else gateway
        dispatcher = Dispatcher(connector, store, events, clock)
        stack.push_async_callback(dispatcher.settle)  # what it still has to write, while there is a store
        gatherer = Gatherer(store, clock, dispatcher, connected=connector.connected, horizon=horizon)
        timed_out = TimedOut(settings.data_dir / OF_SITES)
        planner = Planner(store, gatherer, dispatcher, clock, events, executor, settings.solver, timed_out)
        asked = TimedOut(settings.data_dir / OF_REQUESTS)
        simulator = Simulator(store, clock, executor, horizon=horizon, solver=settings.solver, timed_out=asked)
        control = Control(
            store,
            planner,
            dispatcher,
            clock,
            events,
            replan_minutes=settings.replan_minutes,
            debounce_s=settings.replan_debounce_s,
        )
        reconciler = Reconciler(store, dispatcher, clock, events, control.replan, every_s=settings.reconcile_s)
        nightly = Nightly(store, planner, clock)
        settlement = Settlement(store, clock, events)
        commands = Commands(lambda station: elsewhere.get(station, gateway), dispatcher, store, events, clock)
        stack.push_async_callback(commands.close)
        metrics = _metrics(events, connector, store, clock, dispatcher)
        stack.callback(metrics.close)

        for site in await store.sites():
            await dispatcher.restore(site)
        await stack.enter_async_context(_background("control", control.run(), stop))
        await stack.enter_async_context(_background("reconciler", reconciler.run(), stop))
        await stack.enter_async_context(_background("nightly", nightly.run(), stop))
        await stack.enter_async_context(_background("settlement", settlement.run(), stop))
        if settings.ocpp_security_profile == 1:  # a port in use is said by its setting's name
            bind(settings.ocpp_host, settings.ocpp_port, "ocpp").close()
        if settings.ocpp_tls_certificate is not None:
            bind(settings.ocpp_host, settings.ocpp_tls_port, "ocpp_tls").close()
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
            planner=planner,
            simulator=simulator,
            certify=dispatcher.certificate,
            probe=dispatcher.probe,
            commands=commands,
            ocpp_port=lambda: gateway.port,
            enrolment=gateway.enrolment,
            stop=stop,
            readiness=_readiness(store),
        )
        api = create_api(services, metrics, session_secret(settings))
        http_url = await stack.enter_async_context(listening(api, settings.http_host, settings.http_port, stop))
        ocpp_url = f"{gateway.scheme}://{in_url(settings.ocpp_host)}:{gateway.port}"
        log.info("service started", http=http_url, ocpp=ocpp_url)
        yield Running(
            http_url, ocpp_url, settings, clock, store, events, keys, gateway, dispatcher, planner, control, stop
        )
    log.info("service ended")


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
        gatherer = Gatherer(store, clock, FallbackOnly(), connected=lambda: online, horizon=horizon)
        with make_executor(settings.solve_workers) as executor:
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


def _metrics(events: Events, connector: CsmsConnector, store: Store, clock: Clock, dispatcher: Dispatcher) -> Metrics:
    metrics = Metrics(events, connector)
    metrics.watch(store, clock)
    metrics.outcomes(dispatcher.outcomes)
    return metrics


def _readiness(store: Store) -> Readiness:
    """What is asked beyond the database and the stations' port."""
    readiness = Readiness()
    readiness.add("writer", partial(_writes, store))
    return readiness


async def _writes(store: Store) -> str | None:
    """What is wrong with the writer of meter values."""
    lag_s = store.write_lag_s
    if lag_s <= LONGEST_WRITE_LAG_S and not store.keeps_in_memory:
        return None
    return f"{store.waiting_meter_values} meter values have been waiting for {lag_s:.0f} s"


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
