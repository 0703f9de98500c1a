"""What became of a plan's jobs: announced before they are sent, judged, stored and told afterwards."""

from collections.abc import Sequence
from dataclasses import replace

from app.clock import Clock
from app.crash_points import crash_point
from app.db.records import HELD, Delivery
from app.db.store import Store
from app.dispatch.delivery import Job
from app.dispatch.failures import Failures
from app.dispatch.in_force import Book
from app.dispatch.witness import Witness
from app.events import DeliveryChanged, Events
from app.site import Site, evse_key


class Outcomes:
    """Remembers of each EVSE what it was last to hold, and who cannot be relied upon."""

    def __init__(
        self, store: Store, events: Events, clock: Clock, book: Book, witness: Witness, failures: Failures
    ) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._book = book
        self._witness = witness
        self._failures = failures

    async def announce(self, site: Site, plan_id: str, jobs: Sequence[Job]) -> None:
        """As unknown, ahead of the first message: a crash in between must not leave only the old state behind."""
        now = self._clock.now()
        deliveries = [job.delivery(site.id, plan_id, now) for job in jobs]
        if deliveries:
            await self._store.save_deliveries(
                [replace(delivery, state="unknown", detail="being sent") for delivery in deliveries]
            )
            crash_point("deliveries.announced")

    async def conclude(self, site: Site, plan_id: str, jobs: Sequence[Job]) -> list[Delivery]:
        """Judge what became of the jobs, store it, and say so."""
        for job in jobs:
            self._judge(job)
        now = self._clock.now()
        deliveries = [job.delivery(site.id, plan_id, now) for job in jobs]
        if deliveries:
            await self._store.save_deliveries(deliveries)
            crash_point("deliveries.stored")
        for delivery in deliveries:
            self._witness.expect(evse_key(delivery.station_id, delivery.evse_id), delivery)
        self._events.publish(DeliveryChanged(site.id, plan_id, now))
        return deliveries

    def _judge(self, job: Job) -> None:
        fault = self._witness.faults.get(job.key)
        if fault is not None and job.state in HELD:
            job.settle("ignored", fault.reason)
        if job.state == "rejected" and job.transaction is not None:
            self._failures.declines(job.key, str(job.detail))
        elif job.exceeds_its_share(self._book):
            self._failures.count(job.key, f"{job.state}: {job.detail}", self._clock.now())
        else:
            self._failures.forget(job.key)
