"""The fuse guard: every few seconds, every circuit of every site; it only lowers, and gives back what it lowered.

It runs in the gateway's process on what events have told it. Database and solver are not in its path: sites and
building maxima are looked up beside the loop, and what was last known of them holds while they cannot be.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.csms.connector import CsmsConnector
from app.db.store import Store
from app.dispatch.building import building_maximum
from app.dispatch.in_force import wiring_of
from app.dispatch.witness import drawn_current
from app.errors import AppError
from app.events import Event, Events, GuardChanged, MeterValuesReceived, SiteChanged, SiteMeasured, TransactionStopped
from app.guard.picture import Picture
from app.guard.post import BatteriesOf, Look, Post, Restrains
from app.guard.residual import Residual
from app.guard.watch import Sample
from app.site import Site, evse_key, split_evse_key

log = structlog.get_logger()

LEARNS_EVERY_S = 3600.0  # the observed maximum of a building moves slowly
TRIES_AGAIN_S = 30.0  # while the database is away


class Guard:
    """`run` works until it is cancelled; `replan` is told which sites need a plan for what is left to them."""

    def __init__(
        self,
        restraint: Restrains,
        connector: CsmsConnector,
        store: Store,
        clock: Clock,
        events: Events,
        replan: Callable[[str], None],
        *,
        period_s: float = 2.0,
        give_back_s: float = 60.0,
        batteries: BatteriesOf = lambda _: {},
    ) -> None:
        """`batteries` says what those that are commanded may be charging with, of a site, kW by circuit."""
        self._batteries = batteries
        self._restraint = restraint
        self._connector = connector
        self._store = store
        self._clock = clock
        self._events = events
        self._replan = replan
        self._period = timedelta(seconds=period_s)
        self._give_back_after = timedelta(seconds=give_back_s)
        self._posts: dict[str, Post] = {}
        self._post_of: dict[str, Post] = {}  # by station
        self._changed = asyncio.Event()
        self._stopped: set[tuple[str, int]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self.looked_at: datetime | None = None  # when the last round over all sites ended

    # --- for those who watch

    def last(self, site_id: str) -> Look | None:
        """What was seen of a site at the last look; None: nobody looks at it."""
        post = self._posts.get(site_id)
        return None if post is None else post.last

    def looks(self) -> list[Look]:
        return [post.last for post in self._posts.values() if post.last is not None]

    def age_s(self) -> float | None:
        """Seconds since the last round; None before the first."""
        return None if self.looked_at is None else (self._clock.now() - self.looked_at).total_seconds()

    def residual(self, site: Site) -> Residual:
        """What the next plan of the site has to leave alone, as the meters say now."""
        post = self._posts.get(site.id)
        return Residual() if post is None else post.residual()

    # --- the loop

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        learning = asyncio.create_task(self._learn_for_ever(), name="guard learns")
        try:
            while True:
                await self._clock.sleep(self._period.total_seconds())
                for post in tuple(self._posts.values()):
                    try:
                        self._look(post)
                    except Exception:  # one site's bug must not end the guard of all others
                        log.exception("not guarded", site=post.site.id)
                self.looked_at = self._clock.now()
        finally:
            unsubscribe()
            learning.cancel()
            with suppress(asyncio.CancelledError):
                await learning

    def _look(self, post: Post) -> None:
        before = post.last
        look, seen = post.look()
        was_a = {} if before is None else before.ceilings_a
        if look.ceilings_a != was_a or (before is not None and before.state != look.state):
            self._events.publish(GuardChanged(look.site_id, look.lowered_kw, look.at))
        if post.wants_a_plan():
            self._replan(look.site_id)
        if post.site.on_disobedience == "stop":
            self._stop(post, seen)

    # --- the last resort

    def _stop(self, post: Post, seen: Picture) -> None:
        """Everybody has made room, and it is not enough: end the transaction of whoever draws more than he may."""
        for key in seen.culprits:
            number = post.watch.above[key].transaction_id
            if number is None or (key, number) in self._stopped:
                continue
            self._stopped.add((key, number))
            task = asyncio.get_running_loop().create_task(self._stop_one(key, number))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    async def _stop_one(self, key: str, transaction_id: int) -> None:
        station_id, _ = split_evse_key(key)
        log.error("fuse guard stops a transaction", evse=key, transaction=transaction_id)
        try:
            with self._clock.hold():
                answer = await self._connector.remote_stop(station_id, transaction_id)
        except AppError as error:
            answer = str(error)
        log.info("fuse guard asked to stop", evse=key, transaction=transaction_id, answer=answer)

    # --- what it is told

    def _hear(self, event: Event) -> None:
        match event:
            case SiteMeasured() if event.site_id in self._posts:
                self._posts[event.site_id].watch.metered(event)
            case MeterValuesReceived():
                self._sample(event)
            case TransactionStopped() if event.station_id in self._post_of:
                self._post_of[event.station_id].watch.left(evse_key(event.station_id, event.evse_id))
            case SiteChanged():
                self._changed.set()
            case _:
                pass

    def _sample(self, event: MeterValuesReceived) -> None:
        post = self._post_of.get(event.station_id)
        wiring = None if post is None else wiring_of(post.site, event.station_id, event.evse_id)
        if post is None or wiring is None:
            return
        drawn_a = drawn_current(event, wiring, None)
        if drawn_a is not None:
            sample = Sample(self._clock.now(), drawn_a, event.transaction_id)
            post.watch.sampled(evse_key(event.station_id, event.evse_id), sample)

    # --- what it looks up, beside the loop

    async def _learn_for_ever(self) -> None:
        while True:
            self._changed.clear()
            try:
                with self._clock.hold():
                    await self._learn()
                wait_s = LEARNS_EVERY_S
            except AppError as error:
                log.error("fuse guard goes by what it knew", error=str(error))
                wait_s = TRIES_AGAIN_S
            changed = asyncio.create_task(self._changed.wait())
            slept = asyncio.create_task(self._clock.sleep(wait_s))
            try:
                await asyncio.wait({changed, slept}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                slept.cancel()

    async def _learn(self) -> None:
        """The sites that are guarded, and the most that each one's building draws. Raises `StoreUnavailableError`."""
        sites = [site for site in await self._store.sites() if site.mode == "optimised" and site.charging_stations]
        posts = {}
        for site in sites:
            posts[site.id] = post = self._post_for(site)
            post.maximum_kw = (await building_maximum(self._store, site)).kw or post.maximum_kw
        self._posts = posts
        self._post_of = {station.id: post for post in posts.values() for station in post.site.charging_stations}

    def _post_for(self, site: Site) -> Post:
        known = self._posts.get(site.id)
        if known is not None and known.site == site:
            return known
        post = Post(
            site,
            self._restraint,
            self._clock,
            period=self._period,
            give_back_after=self._give_back_after,
            batteries=self._batteries,
        )
        if known is not None:
            post.succeed(known)
        return post
