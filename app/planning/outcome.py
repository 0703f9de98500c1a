"""What EVSEs drew while a plan was in force, beside what it had planned: written when the next plan takes its place."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import structlog

from app.clock import Clock
from app.db.records import Plan
from app.db.store import Store
from app.errors import AppError
from app.events import Event, Events, PlanMade
from app.gather.charged import STEP_AT_MOST, from_power
from app.site import evse_key

log = structlog.get_logger()

MOST_WAITING = 10_000  # plans; more than that many sites plan at once nowhere


class Outcomes:
    """`run` works until it is cancelled; it gives way to everything that is in a hurry."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._made: asyncio.Queue[PlanMade] = asyncio.Queue(MOST_WAITING)
        self._events = events

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        try:
            while True:
                made = await self._made.get()
                try:
                    with self._clock.hold():
                        await self._settle(made)
                except AppError as error:
                    log.warning("no outcome", site=made.site_id, error=str(error))
                except Exception:  # a bug met at one plan must not end the record of all others
                    log.exception("no outcome", site=made.site_id)
                finally:
                    self._made.task_done()
        finally:
            unsubscribe()

    async def settle(self) -> None:
        """Return once every plan that was announced so far has been looked after."""
        await self._made.join()

    def _hear(self, event: Event) -> None:
        if isinstance(event, PlanMade) and not self._made.full():
            self._made.put_nowait(event)

    async def _settle(self, made: PlanMade) -> None:
        before = await self._store.plan_before(made.site_id, made.plan_id)
        if before is None:
            return
        plan_id, created_at = before
        plan = await self._store.plan(plan_id)
        end = min(made.at, plan.end)
        if plan.problem.get("sessions") and end > created_at:
            await self._store.save_outcome(plan_id, await outcome(self._store, plan, end))


async def outcome(store: Store, plan: Plan, end: datetime) -> dict[str, Any]:
    """Of each EVSE that the plan has a vehicle at: kWh planned and drawn from the plan's making until `end`.

    Drawn is what its total power adds up to, each sample held until the next; null where none was sent.
    """
    start, evses = plan.created_at, plan.schedule["evses"]
    first, slot_minutes = datetime.fromisoformat(plan.problem["start"]), int(plan.problem["slot_minutes"])
    samples = await store.charging_power(plan.site_id, start - STEP_AT_MOST, end)
    edges_s = np.array([start.timestamp(), end.timestamp()])
    drawn = {
        evse_key(*key): float(from_power(of_evse).between(edges_s)[0]) for key, of_evse in samples.items() if of_evse
    }
    planned = {
        evse_id: planned_kwh(evses[evse_id]["power_kw"], first, slot_minutes, start, end)
        for evse_id in sorted({session["evse"] for session in plan.problem["sessions"]})
    }
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "evses": {
            evse_id: {"planned_kwh": round(kwh, 6), "drawn_kwh": _rounded(drawn.get(evse_id))}
            for evse_id, kwh in planned.items()
        },
    }


def planned_kwh(power_kw: Sequence[float], first: datetime, slot_minutes: int, start: datetime, end: datetime) -> float:
    """The energy of `power_kw`, a value a slot from `first` on, within [start, end)."""
    width = timedelta(minutes=slot_minutes)
    kwh = 0.0
    for number, kw in enumerate(power_kw):
        begin = first + number * width
        overlap = min(begin + width, end) - max(begin, start)
        if overlap > timedelta(0):
            kwh += kw * (overlap / timedelta(hours=1))
    return kwh


def _rounded(kwh: float | None) -> float | None:
    return None if kwh is None else round(kwh, 6)
