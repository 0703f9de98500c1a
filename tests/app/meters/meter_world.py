"""A site with one meter and `Meters` that read it: ``async with reading(source) as told: await told.first()``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from app.clock import SystemClock
from app.db.records import Reading
from app.db.store import Store
from app.events import Event, Events, SiteMeasured
from app.meters.meters import Meters
from app.settings import Settings
from app.site import Site

PATIENCE_S = 20.0
DOCUMENT: dict[str, Any] = {
    "id": "depot",
    "name": "Depot",
    "time_zone": "UTC",
    "connection": {"max_import_kw": 100},
    "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
}


def a_site(source: dict[str, Any], **meter: Any) -> Site:
    has = {"id": "grid", "measures": "grid", "interval_s": 0.5, "source": source} | meter
    return Site.model_validate(DOCUMENT | {"meters": [has]})


class OneSite(Store):
    """A store that knows one site and keeps readings."""

    def __init__(self, site: Site) -> None:
        self.site_document = site
        self.readings_kept: list[Reading] = []

    async def sites(self) -> list[Site]:
        return [self.site_document]

    async def add_readings(self, readings: Any) -> int:
        self.readings_kept += readings
        return len(readings)


@dataclass
class Told:
    """What came over."""

    meters: Meters
    store: OneSite
    events: Events
    measured: list[SiteMeasured] = field(default_factory=list)

    async def first(self, *, after: int = 0) -> SiteMeasured:
        """The reading with this number; waits for it."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.measured) <= after:  # noqa: ASYNC110 -- what is waited for is a list
                await asyncio.sleep(0.02)
        return self.measured[after]

    async def reason(self) -> str:
        """Why the meter is not read; waits for it."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.meters.failing:  # noqa: ASYNC110 -- what is waited for is a dict
                await asyncio.sleep(0.02)
        return next(iter(self.meters.failing.values()))


@asynccontextmanager
async def reading(
    source: dict[str, Any], *, hosts: tuple[str, ...] = ("127.0.0.1",), **more: Any
) -> AsyncIterator[Told]:
    store, events = OneSite(a_site(source)), Events()
    meters = Meters(store, SystemClock(), events, Settings(meter_hosts=hosts, **more))
    told = Told(meters, store, events)

    def hear(event: Event) -> None:
        if isinstance(event, SiteMeasured):
            told.measured.append(event)

    events.subscribe(hear)
    running = asyncio.create_task(meters.run())
    try:
        yield told
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
