"""Reads the meters of every site: into memory at once, for the fuse guard, and as means of minutes into the store."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Protocol
from urllib.parse import urlsplit

import httpx
import structlog

from app.clock import Clock
from app.db.records import Reading
from app.db.store import Store
from app.errors import AppError
from app.events import Event, Events, MeterValuesReceived, ReadingsArrived, SiteChanged, SiteMeasured
from app.imports.reading_judge import MAX_FACTOR, ReadingJudge
from app.meters.http import HttpMeter
from app.meters.modbus import ModbusMeter
from app.meters.mqtt import messages
from app.meters.shown import MeterError, Shown
from app.meters.sources import HttpSource, ModbusSource, MqttSource, OcppSource
from app.settings import Settings
from app.site import MeterDocument, Site

log = structlog.get_logger()

LONGEST_PAUSE_S = 30.0  # between two tries of a meter that is not there
MINUTE = timedelta(minutes=1)
MOST_UNSTORED = 10_000  # minute means, while the database is away; the oldest go first


class Polled(Protocol):
    """The small protocol of everything that is asked: one reading, or `MeterError`."""

    async def read(self) -> Shown: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class _Minute:
    """The values of one meter in the minute that is running."""

    begin: datetime
    values_kw: list[float] = field(default_factory=list)


class Meters:
    """`run` works until it is cancelled. A meter that fails never stops another."""

    def __init__(self, store: Store, clock: Clock, events: Events, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._settings = settings
        self._changed = asyncio.Event()
        self._tasks: dict[tuple[str, str], tuple[MeterDocument, asyncio.Task[None]]] = {}
        self._main_meters: dict[str, list[tuple[Site, MeterDocument]]] = {}  # by station
        self._minutes: dict[tuple[str, str], _Minute] = {}
        self._unstored: deque[Reading] = deque(maxlen=MOST_UNSTORED)
        self.failing: dict[tuple[str, str], str] = {}  # by site and meter, why

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        client = httpx.AsyncClient(trust_env=False)
        try:
            self._changed.set()
            while True:
                if self._changed.is_set():
                    await self._look_up(client)
                await self._until_changed_or_a_minute()
                await self._keep()
        finally:
            unsubscribe()
            for _, task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in self._tasks.values()), return_exceptions=True)
            await client.aclose()

    async def _look_up(self, client: httpx.AsyncClient) -> None:
        """What the sites' documents say now; while there is no database, what they said."""
        try:
            self._changed.clear()
            with self._clock.hold():
                self._follow(await self._store.sites(), client)
        except AppError as error:
            log.error("meters go on as they were", error=str(error))
            self._changed.set()  # tried again, with the next minute

    async def _until_changed_or_a_minute(self) -> None:
        failed = self._changed.is_set()
        changed = asyncio.create_task(asyncio.Event().wait() if failed else self._changed.wait())
        slept = asyncio.create_task(self._clock.sleep(MINUTE.total_seconds()))
        try:
            await asyncio.wait({changed, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            slept.cancel()

    def _follow(self, sites: Iterable[Site], client: httpx.AsyncClient) -> None:
        """Read what the sites' documents name, and nothing else any more."""
        wanted = {(site.id, meter.id): (site, meter) for site in sites for meter in site.meters if meter.source}
        for key, (meter, task) in list(self._tasks.items()):
            if key not in wanted or wanted[key][1] != meter:
                task.cancel()
                del self._tasks[key]
                self.failing.pop(key, None)
        self._main_meters = {}
        for key, (site, meter) in wanted.items():
            if isinstance(meter.source, OcppSource):
                self._main_meters.setdefault(meter.source.charging_station_id, []).append((site, meter))
            elif key not in self._tasks:
                task = asyncio.create_task(self._read_for_ever(site, meter, client), name=f"meter {meter.id}")
                self._tasks[key] = (meter, task)

    async def _read_for_ever(self, site: Site, meter: MeterDocument, client: httpx.AsyncClient) -> None:
        pause_s = interval_s = meter.interval_s or LONGEST_PAUSE_S
        while True:
            try:
                self._require_allowed(meter)
                async with aclosing(self._readings(meter, client)) as readings:
                    async for shown in readings:
                        if isinstance(shown, MeterError):
                            raise shown
                        self.take(site, meter, shown)
                        pause_s = interval_s
            except MeterError as error:
                self._fail(site, meter, str(error))
            except Exception as error:  # one meter's bug must not end the others
                log.exception("meter not read", site=site.id, meter=meter.id)
                self._fail(site, meter, type(error).__name__)
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, max(LONGEST_PAUSE_S, interval_s))

    async def _readings(self, meter: MeterDocument, client: httpx.AsyncClient) -> AsyncGenerator[Shown | MeterError]:
        source = meter.source
        if isinstance(source, MqttSource):
            async with aclosing(messages(source, self._secret(source.password_secret))) as told:
                async for shown in told:
                    yield shown
            return
        polled: Polled
        if isinstance(source, HttpSource):
            polled = HttpMeter(source, client, self._secret(source.bearer_secret))
        elif isinstance(source, ModbusSource):
            polled = ModbusMeter(source)
        else:
            raise MeterError("it has no source that is read")
        try:
            while True:
                with self._clock.hold():
                    shown = await polled.read()
                yield shown
                await self._clock.sleep(meter.interval_s or LONGEST_PAUSE_S)
        finally:
            with suppress(Exception):
                await polled.close()

    # --- what was read

    def take(self, site: Site, meter: MeterDocument, shown: Shown) -> None:
        """At once to whoever listens; into the minute's mean where it can be true."""
        key, now = (site.id, meter.id), self._clock.now()
        if self.failing.pop(key, None) is not None:
            log.info("meter is read again", site=site.id, meter=meter.id)
        self._events.publish(SiteMeasured(site.id, meter.id, now, shown.power_kw, dict(shown.current_a)))
        kw = shown.power_kw
        if kw is None:
            kw = sum(shown.current_a.values()) * site.connection.voltage_v / 1000
        most_kw = ReadingJudge(site, meter, "").most_kw
        if most_kw is not None and abs(kw) > MAX_FACTOR * most_kw:
            return  # no history is made of it; the guard judges for itself
        begin = now.replace(second=0, microsecond=0)
        minute = self._minutes.setdefault(key, _Minute(begin))
        if minute.begin != begin:
            mean_kw = sum(minute.values_kw) / len(minute.values_kw)
            self._unstored.append(Reading(site.id, meter.id, minute.begin, round(mean_kw, 4)))
            self._minutes[key] = minute = _Minute(begin)
        minute.values_kw.append(kw)

    async def _keep(self) -> None:
        """Store the minutes that are over; they are kept while the database is away."""
        readings = list(self._unstored)
        if not readings:
            return
        try:
            with self._clock.hold():
                await self._store.add_readings(readings)
        except AppError as error:
            log.error("readings not stored yet", readings=len(readings), error=str(error))
            return
        for _ in readings:
            self._unstored.popleft()
        for site_id in {reading.site_id for reading in readings}:
            self._events.publish(ReadingsArrived(site_id, self._clock.now()))

    def _fail(self, site: Site, meter: MeterDocument, reason: str) -> None:
        """Once in the log, until it changes."""
        if self.failing.get((site.id, meter.id)) != reason:
            log.warning("meter not read", site=site.id, meter=meter.id, reason=reason)
        self.failing[site.id, meter.id] = reason

    def _hear(self, event: Event) -> None:
        if isinstance(event, SiteChanged):
            self._changed.set()
        elif isinstance(event, MeterValuesReceived) and event.evse_id == 0:
            for site, meter in self._main_meters.get(event.station_id, ()):
                with suppress(MeterError):  # a value that is none
                    power_kw = None if event.power_w is None else event.power_w / 1000
                    by_phase = {phase: a for phase, a in event.current_a.items() if phase in ("L1", "L2", "L3")}
                    if power_kw is not None or by_phase:
                        self.take(site, meter, Shown(power_kw, by_phase))

    # --- what is allowed

    def _require_allowed(self, meter: MeterDocument) -> None:
        """Raises `MeterError` for a host that the settings do not name."""
        source = meter.source
        host = urlsplit(source.url).hostname if isinstance(source, HttpSource) else getattr(source, "host", None)
        if host is None or not is_allowed(host, self._settings.meter_hosts):
            raise MeterError(f"SMARTCHARGE_METER_HOSTS does not name {host}")

    def _secret(self, name: str | None) -> str | None:
        if name is None:
            return None
        known = self._settings.meter_secrets.get(name)
        if known is not None:
            return known.get_secret_value()
        folder = self._settings.meter_secrets_dir
        if folder is not None and (path := folder / name).is_file():
            return path.read_text(encoding="utf-8").strip()
        raise MeterError(f"there is no secret {name!r} in the settings")


def is_allowed(host: str, allowed: Iterable[str]) -> bool:
    """A host by its name, an address also by its network. Names are not looked up: who names one, means it."""
    host = host.strip("[]").lower()
    for entry in allowed:
        if host == entry.lower():
            return True
        with suppress(ValueError):
            if ip_address(host) in ip_network(entry, strict=False):
                return True
    return False
