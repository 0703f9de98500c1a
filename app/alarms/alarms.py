"""Finds what an operator should know of, raises it once, and says when it is over.

Five kinds: a car that will not be ready, a station that disobeys, a degraded mode, a source that has gone stale, a
battery or an inverter that does not do what it is told.
"""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from app.alarms.readiness import unready
from app.alarms.settings import AlarmTarget
from app.alarms.sources import stale_sources
from app.clock import Clock
from app.db.operating_records import Alarm, AlarmKind
from app.db.store import Store
from app.errors import AppError, NotFoundError
from app.events import (
    ActuatorChanged,
    AlarmChanged,
    Event,
    Events,
    ModeChanged,
    ObedienceChanged,
    PlanMade,
    SiteChanged,
    TransactionStopped,
)
from app.modes import DEGRADED, NOTHING_PLANNED, Modes
from app.site import Site, evse_key

log = structlog.get_logger()

LOOK_EVERY = timedelta(minutes=1)
SOURCES_EVERY = timedelta(minutes=5)  # they are stale after hours, and each look reads of every site
STEADY = timedelta(minutes=1)  # a mode that was over sooner is no alarm
Key = tuple[str, AlarmKind, str]  # site, kind, subject


class Alarms:
    """`run` works until it is cancelled. An alarm is durable, with its notices, before anybody is told."""

    def __init__(
        self, store: Store, modes: Modes, clock: Clock, events: Events, targets: Sequence[AlarmTarget] = ()
    ) -> None:
        self._store = store
        self._modes = modes
        self._clock = clock
        self._events = events
        self._targets = targets
        self._open: dict[Key, Alarm] = {}
        self._inbox: asyncio.Queue[Event | None] = asyncio.Queue()
        self._sites: list[Site] = []
        self._read_at: datetime | None = None

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        try:
            await self._begin()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tick())
                while True:
                    event = await self._inbox.get()
                    try:
                        with self._clock.hold():
                            await (self._look_at_all() if event is None else self._take(event))
                    except AppError as error:
                        log.error("alarms not looked at", error=str(error))
                    except Exception:  # a bug met in one look must not end the alarms of all sites
                        log.exception("alarms not looked at")
        finally:
            unsubscribe()

    def _hear(self, event: Event) -> None:
        if isinstance(
            event, PlanMade | ObedienceChanged | TransactionStopped | ModeChanged | SiteChanged | ActuatorChanged
        ):
            self._inbox.put_nowait(event)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY.total_seconds())
            self._inbox.put_nowait(None)

    async def _begin(self) -> None:
        """Who disobeyed before this process began is judged anew: the evidence was in memory."""
        try:
            for alarm in await self._store.alarms(open_only=True):
                self._open[alarm.site_id, alarm.kind, alarm.subject] = alarm
            for site_id, kind, subject in list(self._open):
                if kind in ("disobedient", "actuator"):
                    await self._resolve(site_id, kind, subject)
        except AppError as error:
            log.error("open alarms not read", error=str(error))

    async def _take(self, event: Event) -> None:
        match event:
            case PlanMade():
                await self._look_at_plan(event.site_id, event.plan_id)
            case ObedienceChanged() | TransactionStopped():
                await self._look_at_obedience(event)
            case ModeChanged():
                await self._look_at_mode(event.site_id)
            case ActuatorChanged():
                await self._look_at_actuator(event)
            case SiteChanged():
                self._read_at = None
                await self._forget_if_gone(event.site_id)
            case _:
                pass

    async def _look_at_plan(self, site_id: str, plan_id: str) -> None:
        site, plan = await self._store.site(site_id), await self._store.plan(plan_id)
        known = {subject for at, kind, subject in self._open if (at, kind) == (site_id, "not_ready")}
        found = await unready(self._store, site, plan, known, self._clock.now())
        for subject, detail in found.items():
            if detail is not None:
                await self._raise(site_id, "not_ready", subject, detail)
        for subject in known - {subject for subject, detail in found.items() if detail is not None}:
            await self._resolve(site_id, "not_ready", subject)

    async def _look_at_obedience(self, event: ObedienceChanged | TransactionStopped) -> None:
        try:
            site_id = (await self._store.station(event.station_id)).site_id
        except NotFoundError:
            return
        key = evse_key(event.station_id, event.evse_id)
        if isinstance(event, ObedienceChanged) and not event.obeys:
            await self._raise(site_id, "disobedient", key, f"{key} draws more than it was allowed")
        else:
            await self._resolve(site_id, "disobedient", key)

    async def _look_at_actuator(self, event: ActuatorChanged) -> None:
        if event.state in ("ignored", "refused", "unreachable"):
            detail = f"{event.device_id}: {event.state}" + (f", {event.detail}" if event.detail else "")
            await self._raise(event.site_id, "actuator", event.device_id, detail)
        elif event.state in ("verified", "none"):
            await self._resolve(event.site_id, "actuator", event.device_id)

    async def _look_at_mode(self, site_id: str) -> None:
        now = self._modes.of(site_id)
        is_bad = now is not None and now.mode in DEGRADED and now.reason != NOTHING_PLANNED
        wanted = now.mode if now is not None and is_bad else None
        for at, kind, subject in list(self._open):
            if (at, kind) == (site_id, "mode") and subject != wanted:
                await self._resolve(site_id, "mode", subject)
        if now is not None and wanted is not None and self._clock.now() - now.since >= STEADY:
            await self._raise(site_id, "mode", wanted, f"mode {now.mode}: {now.reason}")

    async def _look_at_all(self) -> None:
        now = self._clock.now()
        reads = self._read_at is None or now - self._read_at >= SOURCES_EVERY
        if reads:
            self._sites, self._read_at = await self._store.sites(), now
        for site in self._sites:
            await self._look_at_mode(site.id)
            if reads:
                await self._look_at_sources(site)

    async def _look_at_sources(self, site: Site) -> None:
        stale = await stale_sources(self._store, site, self._clock.now())
        for subject, detail in stale.items():
            await self._raise(site.id, "stale_source", subject, detail)
        for at, kind, subject in list(self._open):
            if (at, kind) == (site.id, "stale_source") and subject not in stale:
                await self._resolve(site.id, "stale_source", subject)

    async def _forget_if_gone(self, site_id: str) -> None:
        try:
            await self._store.site(site_id)
        except NotFoundError:
            for at, kind, subject in list(self._open):
                if at == site_id:
                    await self._resolve(at, kind, subject)

    async def _raise(self, site_id: str, kind: AlarmKind, subject: str, detail: str) -> None:
        if (site_id, kind, subject) in self._open:
            return
        alarm = Alarm(uuid.uuid4().hex, site_id, kind, subject, detail, self._clock.now())
        if await self._store.raise_alarm(alarm, self._channels(site_id, kind)):
            log.warning("alarm", site=site_id, kind=kind, subject=subject, detail=detail)
            self._events.publish(AlarmChanged(site_id, alarm.alarm_id, alarm.raised_at))
        self._open[site_id, kind, subject] = alarm

    async def _resolve(self, site_id: str, kind: AlarmKind, subject: str) -> None:
        alarm = self._open.get((site_id, kind, subject))
        if alarm is None:
            return
        now = self._clock.now()
        await self._store.resolve_alarm(alarm.alarm_id, now, self._channels(site_id, kind))
        del self._open[site_id, kind, subject]
        self._events.publish(AlarmChanged(site_id, alarm.alarm_id, now))

    def _channels(self, site_id: str, kind: AlarmKind) -> tuple[str, ...]:
        return tuple(channel for target in self._targets for channel in target.channels(site_id, kind))
