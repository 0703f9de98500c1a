"""A grid operator's limits: taken down before they are acknowledged, told to whoever keeps them, and proven later.

The planner reads them from the store; a guard may read `in_force`, which is in memory. Each limit makes a new plan
when it comes, when it begins, when it ends and when it is cancelled, and its log says which plan kept it first.
"""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Literal

import structlog

from app.clock import Clock, sleep_until
from app.db.operating_records import GridLimit, GridLimitEntry
from app.db.records import Json
from app.db.store import Store
from app.errors import AppError, InvalidInputError
from app.events import Event, Events, GridLimitChanged, PlanMade
from forecasts.sources.published import Order

log = structlog.get_logger()

LOOK_AGAIN_S = 3600.0


class GridLimits:
    """`run` takes up what is stored, and works until it is cancelled."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._known: dict[str, GridLimit] = {}
        self._unplanned: set[str] = set()
        self._changed = asyncio.Event()
        self._plans: asyncio.Queue[PlanMade] = asyncio.Queue()
        self._seen = clock.now()

    async def _restore(self) -> None:
        """Take up what was in force before this process; a plan for it is made again."""
        kept = {limit.limit_id: limit for limit in await self._store.grid_limits(after=self._clock.now())}
        self._known = kept | self._known
        for site_id in {limit.site_id for limit in self._known.values()}:
            self._events.publish(GridLimitChanged(site_id, self._clock.now()))

    def in_force(self, site_id: str, now: datetime) -> tuple[GridLimit, ...]:
        """What holds at a moment, without asking the store."""
        return tuple(
            limit
            for limit in self._known.values()
            if limit.site_id == site_id and limit.start <= now and (limit.end is None or now < limit.end)
        )

    async def place(
        self,
        site_id: str,
        *,
        max_kw: float,
        applies_to: Literal["charging", "import"] = "charging",
        start: datetime | None = None,
        end: datetime | None = None,
        source: str = "grid operator",
        reference: str | None = None,
        by: str = "",
    ) -> GridLimit:
        """Keep a limit from now on; when this returns it is stored. The same source and reference again change it.

        Raises `NotFoundError` for an unknown site and `InvalidInputError` for a limit that is over before it begins.
        """
        await self._store.site(site_id)
        now = self._clock.now()
        start = start or now
        if end is not None and end <= max(start, now):
            raise InvalidInputError("end", f"{end.isoformat()} is not after {max(start, now).isoformat()}")
        limit_id = uuid.uuid4().hex
        limit = GridLimit(limit_id, site_id, source, reference or limit_id, applies_to, max_kw, start, end, now)
        saved = await self._store.save_grid_limit(limit, GridLimitEntry(limit_id, now, "received", _said(limit, by)))
        self._known[saved.limit_id] = saved
        self._unplanned.add(saved.limit_id)
        log.warning("grid limit received", site=site_id, limit=saved.limit_id, max_kw=max_kw, applies_to=applies_to)
        self._tell(site_id, now)
        return saved

    async def cancel(self, site_id: str, limit_id: str, by: str = "") -> GridLimit:
        """End a limit; one that is over already stays as it is. Raises `NotFoundError`."""
        limit = await self._store.grid_limit(site_id, limit_id)
        now = self._clock.now()
        if limit.cancelled_at is not None:
            return limit
        entry = GridLimitEntry(limit_id, now, "cancelled", {"by": by})
        cancelled = await self._store.save_grid_limit(replace(limit, cancelled_at=now), entry)
        self._known.pop(limit_id, None)
        self._unplanned.discard(limit_id)
        log.warning("grid limit cancelled", site=site_id, limit=limit_id)
        self._tell(site_id, now)
        return cancelled

    async def follow(self, site_id: str, source: str, orders: Sequence[Order]) -> None:
        """Let a source's orders be all of its limits of the import: new ones come, changed ones change, others end."""
        now = self._clock.now()
        known = {
            limit.reference: limit
            for limit in await self._store.grid_limits(site_id, after=now)
            if limit.source == source
        }
        wanted = {order.reference: order for order in orders if order.end is None or order.end > now}
        for reference, order in wanted.items():
            if not _is_as_ordered(known.get(reference), order):
                await self.place(
                    site_id,
                    max_kw=order.max_kw,
                    applies_to="import",
                    start=order.start,
                    end=order.end,
                    source=source,
                    reference=reference,
                    by=source,
                )
        for reference, limit in known.items():
            if reference not in wanted:
                await self.cancel(site_id, limit.limit_id, by=source)

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        await self._restore()
        noting = asyncio.create_task(self._note_plans())
        try:
            while True:
                self._changed.clear()
                await self._until_an_edge()
                await self._pass_edges()
        finally:
            unsubscribe()
            noting.cancel()
            with suppress(asyncio.CancelledError):
                await noting

    def _hear(self, event: Event) -> None:
        if isinstance(event, PlanMade) and self._unplanned:
            self._plans.put_nowait(event)

    def _tell(self, site_id: str, now: datetime) -> None:
        self._changed.set()
        self._events.publish(GridLimitChanged(site_id, now))

    async def _until_an_edge(self) -> None:
        """Sleep until a limit begins or ends, or until one changes."""
        edges = [edge for limit in self._known.values() for edge in (limit.start, limit.end) if edge is not None]
        ahead = [edge for edge in edges if edge > self._seen]
        sleeping = asyncio.ensure_future(
            sleep_until(self._clock, min(ahead)) if ahead else self._clock.sleep(LOOK_AGAIN_S)
        )
        changing = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((sleeping, changing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, changing):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _pass_edges(self) -> None:
        """Note what has begun or ended since the last look, and have its site planned anew."""
        since, now = self._seen, self._clock.now()
        self._seen = now
        entries, sites = [], set()
        for limit in tuple(self._known.values()):
            for edge, what in ((limit.start, "begun"), (limit.end, "ended")):
                if (
                    edge is not None and max(since, limit.received_at) < edge <= now
                ):  # one that began as it came is told
                    entries.append(GridLimitEntry(limit.limit_id, now, what, {}))
                    sites.add(limit.site_id)
            if limit.end is not None and limit.end <= now:
                del self._known[limit.limit_id]
        for site_id in sites:
            self._events.publish(GridLimitChanged(site_id, now))
        await self._note(entries)

    async def _note_plans(self) -> None:
        """Write down which plan was the first to keep each limit."""
        while True:
            made = await self._plans.get()
            kept = [
                limit_id
                for limit_id in self._unplanned
                if (limit := self._known.get(limit_id)) is not None
                and limit.site_id == made.site_id
                and limit.received_at <= made.at
            ]
            try:
                plan = await self._store.plan(made.plan_id) if kept else None
            except AppError as error:
                log.error("plan not read for the proof of a grid limit", plan=made.plan_id, error=str(error))
                continue
            within = {} if plan is None else plan.provenance.get("grid_limits", {})
            proven = [limit_id for limit_id in kept if limit_id in within]
            self._unplanned.difference_update(proven)
            await self._note([GridLimitEntry(one, made.at, "planned", {"plan_id": made.plan_id}) for one in proven])

    async def _note(self, entries: list[GridLimitEntry]) -> None:
        if not entries:
            return
        try:
            await self._store.note_grid_limits(entries)
        except AppError as error:
            log.error("log of grid limits not written", error=str(error), lost=len(entries))


def _is_as_ordered(limit: GridLimit | None, order: Order) -> bool:
    if limit is None:
        return False
    return (limit.max_kw, limit.end) == (order.max_kw, order.end) and order.start in (None, limit.start)


def _said(limit: GridLimit, by: str) -> Json:
    return {
        "by": by,
        "max_kw": limit.max_kw,
        "applies_to": limit.applies_to,
        "start": limit.start.isoformat(),
        "end": None if limit.end is None else limit.end.isoformat(),
    }
