"""`/v1/sites/{id}/events`: what happens at a site, as server-sent events. Notices: the record is read elsewhere."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from app.api.auth import Reader
from app.api.services import Services, ServicesDep
from app.events import Event, SiteChanged
from app.site import Site

router = APIRouter(prefix="/v1/sites", tags=["sites"])

KEEP_ALIVE_S = 15.0  # shorter than the idle time-outs of proxies


@router.get(
    "/{site_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_events(site_id: str, services: ServicesDep, _: Reader) -> StreamingResponse:
    """Plans, deliveries, meter values, statuses and wishes of a site as they come; ends when the service does.

    The event's name is its kind, e.g. ``plan-made``; its data one JSON object. Slow readers lose the oldest.
    """
    site = await services.store.site(site_id)
    return StreamingResponse(
        changes(services, site),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def changes(services: Services, site: Site) -> AsyncIterator[str]:
    """The site's events in the wire format of server-sent events, until the service stops."""
    queue, unsubscribe = services.events.queue()
    stopping = asyncio.ensure_future(services.stop.wait())
    taking: asyncio.Future[Event] | None = None
    try:
        yield "retry: 2000\n: listening\n\n"
        while not services.stop.is_set():
            taking = taking or asyncio.ensure_future(queue.get())
            await asyncio.wait((taking, stopping), timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                yield ": still here\n\n"
                continue
            event, taking = taking.result(), None
            if concerns(event, site):
                yield encode(event)
            if isinstance(event, SiteChanged) and event.site_id == site.id:
                site = next((known for known in await services.store.sites() if known.id == site.id), site)
    finally:
        unsubscribe()
        stopping.cancel()
        if taking is not None:
            taking.cancel()


def concerns(event: Event, site: Site) -> bool:
    site_id = getattr(event, "site_id", None)
    if site_id is not None:
        return bool(site_id == site.id)
    return site.station(getattr(event, "station_id", "")) is not None


def encode(event: Event) -> str:
    """``PlanMade`` as the event ``plan-made`` with its fields as JSON."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(event).__name__).lower()
    data = {_RENAMED.get(key, key): value for key, value in asdict(event).items()}
    return f"event: {name}\ndata: {json.dumps(data, default=_text)}\n\n"


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_RENAMED = {"station_id": "charging_station_id"}  # the API's word
