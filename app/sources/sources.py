"""The background task that keeps every site's signals fresh: prices, weather, PV and carbon, by each site's list.

What a source publishes is stored as a series of its name, and later issues overrule earlier ones: that is the last
good value, and it outlives the process. A day of prices that is stored is not asked for again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from random import Random

import pandas as pd
import structlog

from app.clock import Clock, sleep_until
from app.db.store import Store
from app.errors import AppError
from app.events import Event, Events, SignalsArrived, SiteChanged, SourcePolled
from app.gather.prices import CELL, joined
from app.grid_limits import GridLimits
from app.settings import Settings
from app.site import Site
from app.sources.adapters import Tokens
from app.sources.document import Serves
from app.sources.feed import Feed, stored
from app.sources.fetcher import Fetcher
from app.sources.group import Group, Polled
from app.sources.outbound import outbound_client
from app.sources.timetable import price_days
from forecasts.sources.published import Window

log = structlog.get_logger()

LOOK_AGAIN_S = 900.0  # how soon a site is noticed whose change was not told
AT_ONCE = 8  # sites polled at the same time


@dataclass(slots=True)
class _Watched:
    of: str  # what of the site's document the groups were made from
    groups: list[Group]


@asynccontextmanager
async def open_sources(
    settings: Settings, store: Store, clock: Clock, events: Events, limits: GridLimits
) -> AsyncIterator["Sources"]:
    """The sources as the settings allow them, with a way out to the internet that is closed at the end."""
    async with outbound_client(settings.source_hosts) as client:
        tokens = Tokens(settings.source_tokens, settings.source_hosts)
        yield Sources(store, Fetcher(client, clock), tokens, clock, events, limits)


class Sources:
    """Polls the sources of all sites. `run` works until it is cancelled; `feeds` says how each is doing."""

    def __init__(
        self,
        store: Store,
        fetcher: Fetcher,
        tokens: Tokens,
        clock: Clock,
        events: Events,
        limits: GridLimits,
        random: Random | None = None,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._tokens = tokens
        self._clock = clock
        self._events = events
        self._limits = limits
        self._random = random or Random()  # noqa: S311  # spreads polls; nothing secret
        self._watched: dict[str, _Watched] = {}
        self._wake = asyncio.Event()
        self._few = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        try:
            while True:
                self._wake.clear()
                due = await self._poll_what_is_due()
                await self._until(due)
        finally:
            unsubscribe()

    def groups(self, site_id: str) -> Sequence[Group]:
        """In the order of the site's document; empty for a site that was not looked at yet."""
        watched = self._watched.get(site_id)
        return () if watched is None else tuple(watched.groups)

    def feeds(self) -> Iterator[Feed]:
        """Of all sites."""
        for watched in self._watched.values():
            for group in watched.groups:
                yield from group.feeds

    def _hear(self, event: Event) -> None:
        if isinstance(event, SiteChanged):
            self._wake.set()

    async def _until(self, due: datetime | None) -> None:
        """Sleep until a source is due, a site changes, or a quarter of an hour has passed."""
        sleeping = asyncio.ensure_future(
            self._clock.sleep(LOOK_AGAIN_S) if due is None else sleep_until(self._clock, due)
        )
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, waking):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _poll_what_is_due(self) -> datetime | None:
        """When something is due next; None while no site has sources or the store does not answer."""
        try:
            sites = await self._store.sites()
        except AppError as error:
            log.error("sites unknown to the sources", error=str(error))
            return None
        except Exception:  # the sources must go on whatever one round met
            log.exception("sites unknown to the sources")
            return None
        for gone in set(self._watched) - {site.id for site in sites}:
            del self._watched[gone]
        results = await asyncio.gather(*(self._poll_site(site) for site in sites))
        return min((due for due in results if due is not None), default=None)

    async def _poll_site(self, site: Site) -> datetime | None:
        async with self._few:
            try:
                groups = await self._groups(site)
                for group in groups:
                    if group.is_due(self._clock.now()):
                        async for polled in group.poll(self._fetcher, self._clock.now()):
                            await self._take(site, polled)
            except AppError as error:
                log.error("sources not polled", site=site.id, error=str(error))
                return None
            except Exception:  # one site's bug must not leave the others without prices
                log.exception("sources not polled", site=site.id)
                return None
        return min((group.next_at for group in groups if group.next_at is not None), default=None)

    async def _take(self, site: Site, polled: Polled) -> None:
        feed, now = polled.feed, self._clock.now()
        name, kind = feed.source.name, feed.source.type
        if polled.error is not None:
            tell = log.info if polled.outcome == "not_published" else log.warning
            tell("source did not deliver", site=site.id, source=name, error=polled.error.message)
        rows = stored(site.id, name, feed.news(polled.published), now)
        for row in rows:
            await self._store.add_series(row)
        for one in polled.published:
            if one.kind == "import_limit":
                await self._limits.follow(site.id, name, one.orders)
        self._events.publish(SourcePolled(site.id, name, kind, polled.outcome, now))
        for series_kind in sorted({row.kind for row in rows}):
            log.info("source delivered", site=site.id, source=name, kind=series_kind)
            self._events.publish(SignalsArrived(site.id, name, series_kind, now))

    async def _groups(self, site: Site) -> list[Group]:
        of = site.model_dump_json(include={"sources", "latitude", "longitude", "pv_arrays", "currency"})
        watched = self._watched.get(site.id)
        if watched is None or watched.of != of:
            watched = _Watched(of, await self._made(site))
            self._watched[site.id] = watched
        return watched.groups

    async def _made(self, site: Site) -> list[Group]:
        """The groups of a site, knowing what the store holds of them already."""
        newest = await self._store.newest_series(site.id)
        feeds = [Feed.of(site, source, self._tokens) for source in site.sources]
        for feed in feeds:
            if feed.misconfigured is not None:
                log.error("source cannot be asked", site=site.id, error=feed.misconfigured)
            feed.good_at, feed.good_until = newest.get(feed.source.name, (None, None))
        groups = []
        serves: Serves
        by_purpose = sorted(feeds, key=lambda feed: feed.serves)
        for serves, members in groupby(by_purpose, key=lambda feed: feed.serves):
            group = Group(serves, list(members), self._random)
            if serves == "price":
                await self._restore(site, group)
            groups.append(group)
        return groups

    async def _restore(self, site: Site, group: Group) -> None:
        """Which days are there already, and from whom."""
        for day in price_days(self._clock.now()):
            for rank, feed in enumerate(group.feeds):
                if await self._holds(site, feed, day.window):
                    group.held[day.window.start] = rank
                    break

    async def _holds(self, site: Site, feed: Feed, window: Window) -> bool:
        rows = await self._store.series(site.id, "import_price", window.start, window.end)
        own = joined([row for row in rows if row.source == feed.source.name])
        wanted = pd.date_range(window.start, window.end, freq=CELL, inclusive="left")
        return bool(wanted.isin(own.index).all())
