"""`/v1/sites/{id}/grid-limits`: what a grid operator lets a site draw, acknowledged when it is stored."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field

from app.api.auth import Reader, Writer
from app.api.services import ServicesDep, StoreDep
from app.db.operating_records import GridLimit
from app.grid_limits import GridLimits
from app.problem_json.fields import Edge, Moment

router = APIRouter(prefix="/v1/sites", tags=["grid limits"])

EXAMPLE: dict[str, Any] = {
    "max_kw": 8.4,
    "start": "2099-01-12T17:30:00+01:00",
    "end": "2099-01-12T18:30:00+01:00",
    "source": "Stadtwerke",
    "reference": "2099-01-12/0042",
}


class GridLimitIn(Edge):
    """A cap in kW. The same source and reference again change the limit that they name."""

    max_kw: float = Field(ge=0, le=1e6, description="kW that may be drawn at most")
    applies_to: Literal["charging", "import"] = Field(
        default="charging", description="charging: all charging stations together; import: the whole site"
    )
    start: Moment | None = Field(default=None, description="left out: now")
    end: Moment | None = Field(default=None, description="left out: until it is cancelled")
    source: str = Field(default="grid operator", min_length=1, max_length=200, description="whose order it is")
    reference: str | None = Field(default=None, min_length=1, max_length=200, description="the operator's own number")


class GridLimitOut(BaseModel):
    id: str
    site_id: str
    source: str
    reference: str
    applies_to: Literal["charging", "import"]
    max_kw: float
    start: datetime
    end: datetime | None
    received_at: datetime = Field(description="when it was stored: this answer is the acknowledgement")
    cancelled_at: datetime | None
    state: Literal["to come", "in force", "over", "cancelled"]

    @classmethod
    def of(cls, limit: GridLimit, now: datetime) -> Self:
        state: Literal["to come", "in force", "over", "cancelled"] = "in force"
        if limit.cancelled_at is not None:
            state = "cancelled"
        elif limit.end is not None and limit.end <= now:
            state = "over"
        elif limit.start > now:
            state = "to come"
        return cls(
            id=limit.limit_id,
            site_id=limit.site_id,
            source=limit.source,
            reference=limit.reference,
            applies_to=limit.applies_to,
            max_kw=limit.max_kw,
            start=limit.start,
            end=limit.end,
            received_at=limit.received_at,
            cancelled_at=limit.cancelled_at,
            state=state,
        )


class GridLimitEntryOut(BaseModel):
    at: datetime
    what: str = Field(description="received, planned, begun, ended or cancelled")
    detail: dict[str, Any]


class ProvenGridLimitOut(GridLimitOut):
    log: list[GridLimitEntryOut] = Field(description="what became of it, oldest first; entries are only added")


@router.post("/{site_id}/grid-limits", status_code=HTTPStatus.CREATED)
async def place_grid_limit(
    site_id: str,
    limit: Annotated[GridLimitIn, Body(openapi_examples={"an hour in the evening": {"value": EXAMPLE}})],
    services: ServicesDep,
    key: Writer,
) -> GridLimitOut:
    """Limit what a site draws. When this answers, the limit is stored, and a plan that keeps it is being made."""
    placed = await _limits(services).place(site_id, by=key.key_id, **limit.model_dump())
    return GridLimitOut.of(placed, services.clock.now())


@router.get("/{site_id}/grid-limits")
async def list_grid_limits(
    site_id: str, services: ServicesDep, store: StoreDep, _: Reader, current: bool = False
) -> list[GridLimitOut]:
    """Newest first. `current`: those alone that hold now or later."""
    await store.site(site_id)
    now = services.clock.now()
    found = await store.grid_limits(site_id, after=now if current else None)
    return [GridLimitOut.of(limit, now) for limit in found]


@router.get("/{site_id}/grid-limits/{limit_id}")
async def get_grid_limit(
    site_id: str, limit_id: str, services: ServicesDep, store: StoreDep, _: Reader
) -> ProvenGridLimitOut:
    """One limit with the log that proves what became of it."""
    limit = GridLimitOut.of(await store.grid_limit(site_id, limit_id), services.clock.now())
    entries = await store.grid_limit_log(limit_id)
    log = [GridLimitEntryOut(at=entry.at, what=entry.what, detail=entry.detail) for entry in entries]
    return ProvenGridLimitOut(**limit.model_dump(), log=log)


@router.delete("/{site_id}/grid-limits/{limit_id}")
async def cancel_grid_limit(site_id: str, limit_id: str, services: ServicesDep, key: Writer) -> GridLimitOut:
    """End a limit before its time. It stays in the list, with its log."""
    cancelled = await _limits(services).cancel(site_id, limit_id, by=key.key_id)
    return GridLimitOut.of(cancelled, services.clock.now())


def _limits(services: ServicesDep) -> GridLimits:
    if services.grid_limits is None:
        raise RuntimeError("this service was built without grid limits")
    return services.grid_limits
