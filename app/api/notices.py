"""`/v1/charging-stations/{id}/notices`: what a station told of itself, and what was forgiven, observed and ordered."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import StoreDep

router = APIRouter(prefix="/v1/charging-stations", tags=["charging stations"])


class NoticeOut(BaseModel):
    number: int = Field(description="rises with time; `before` takes it")
    at: datetime
    action: str = Field(
        description="the station's own message, e.g. NotifyEvent; `operator:` and what an operator sent; `service:` "
        "and what the service observed: tolerated, quirks, kept_out, disobeys, obeys"
    )
    payload: dict[str, Any]


@router.get("/{charging_station_id}/notices")
async def list_notices(
    charging_station_id: str,
    store: StoreDep,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, description="for the next page: the last one's number")] = None,
    action: Annotated[str | None, Query(min_length=1, max_length=100, description="what it begins with")] = None,
) -> list[NoticeOut]:
    """Newest first; the newest 1,000 of each station are kept."""
    await store.station(charging_station_id)
    rows = await store.numbered_notices(charging_station_id, limit=limit, before=before, action=action)
    return [NoticeOut(number=number, at=one.at, action=one.action, payload=one.payload) for number, one in rows]
