"""What changes the mode of a site without a plan: something set by hand, its end, a plan that runs out.

A plan is made anew when an override begins and when it ends, to the second.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from app.clock import Clock, sleep_until
from app.db.store import Store
from app.errors import AppError
from app.events import Event, Events, OverridesChanged, SiteChanged
from app.modes import Modes

log = structlog.get_logger()

LOOK_AGAIN = timedelta(minutes=15)  # at every site, for plans that ran out


class Watch:
    """`run` works until it is cancelled; `replan` is told which sites need another plan."""

    def __init__(self, store: Store, modes: Modes, clock: Clock, events: Events, replan: Callable[[str], None]) -> None:
        self._store = store
        self._modes = modes
        self._clock = clock
        self._events = events
        self._replan = replan
        self._changed: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        try:
            await self._look_at_all()
            looked = seen = self._clock.now()
            while True:
                site = await self._next_change(min(looked + LOOK_AGAIN, await self._next_end(seen)))
                now = self._clock.now()
                if site is not None:
                    await self._look_at(site[0], replan=site[1])
                for ended in await self._ended_since(seen, now):
                    await self._look_at(ended, replan=True)
                if now - looked >= LOOK_AGAIN:
                    await self._look_at_all()
                    looked = now
                seen = now
        finally:
            unsubscribe()

    def _hear(self, event: Event) -> None:
        if isinstance(event, OverridesChanged | SiteChanged):
            self._changed.put_nowait((event.site_id, isinstance(event, OverridesChanged)))

    async def _next_change(self, at_the_latest: datetime) -> tuple[str, bool] | None:
        """The site that something was changed at, and whether that asks for a plan; None when the time has come."""
        heard = asyncio.ensure_future(self._changed.get())
        waited = asyncio.ensure_future(sleep_until(self._clock, at_the_latest))
        try:
            await asyncio.wait({heard, waited}, return_when=asyncio.FIRST_COMPLETED)
            return heard.result() if heard.done() else None
        finally:
            heard.cancel()
            waited.cancel()

    async def _next_end(self, seen: datetime) -> datetime:
        try:
            active = await self._store.overrides(active_at=seen)
        except AppError as error:
            log.error("overrides not read", error=str(error))
            active = []
        return min((one.until for one in active), default=seen + LOOK_AGAIN)

    async def _ended_since(self, seen: datetime, now: datetime) -> set[str]:
        try:
            active = await self._store.overrides(active_at=seen)
        except AppError as error:
            log.error("overrides not read", error=str(error))
            return set()
        return {one.site_id for one in active if one.until <= now}

    async def _look_at_all(self) -> None:
        try:
            sites = await self._store.sites()
        except AppError as error:
            log.error("sites not looked at", error=str(error))
            return
        for site in sites:
            await self._look_at(site.id, replan=False)

    async def _look_at(self, site_id: str, *, replan: bool) -> None:
        try:
            await self._modes.look(site_id)
        except AppError as error:
            log.error("mode not looked at", site=site_id, error=str(error))
        except Exception:  # one site's bug must not end the watch of all others
            log.exception("mode not looked at", site=site_id)
        if replan:
            self._replan(site_id)
