"""Compares, every half minute, what stations should hold with what they do, and has the difference put right."""

from collections.abc import Callable
from typing import Protocol

import structlog

from app.clock import Clock
from app.db.store import Store
from app.dispatch.certificate import Certificate
from app.dispatch.notary import Notary
from app.errors import AppError
from app.events import Event, Events, SiteChanged
from app.site import Site

log = structlog.get_logger()

EVERY_S = 30.0


class Reconciles(Protocol):
    async def reconcile(self, site: Site) -> bool: ...

    async def certificate(self, site: Site) -> Certificate: ...


class Reconciler:
    """`run` works until it is cancelled; `replan` is told which sites need a plan that is sent anew."""

    def __init__(
        self,
        store: Store,
        dispatcher: Reconciles,
        clock: Clock,
        events: Events,
        replan: Callable[[str], None],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._events = events
        self._replan = replan
        self._every_s = every_s
        self._notary = Notary(store, dispatcher.certificate)
        self._sites: list[Site] | None = None

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        try:
            while True:
                await self._clock.sleep(self._every_s)
                await self._look_at_all()
        finally:
            unsubscribe()

    async def _look_at_all(self) -> None:
        try:
            if self._sites is None:
                with self._clock.hold():
                    self._sites = await self._store.sites()
        except AppError as error:
            log.error("not reconciled", error=str(error))
            return
        for site in self._sites or ():
            if site.mode == "optimised":
                await self._look_at(site)

    async def _look_at(self, site: Site) -> None:
        try:
            if await self._dispatcher.reconcile(site):
                self._replan(site.id)
            with self._clock.hold():
                await self._notary.attest(site)
        except AppError as error:
            log.warning("not reconciled", site=site.id, error=str(error))
        except Exception:  # one site's bug must not end the loop of all others
            log.exception("not reconciled", site=site.id)

    def _hear(self, event: Event) -> None:
        if isinstance(event, SiteChanged):
            self._sites = None
