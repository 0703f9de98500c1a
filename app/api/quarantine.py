"""`/v1/sites/{id}/quarantine`: what was measured or sent and is not believed, counted and listed with the reason."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from app.api.auth import Reader
from app.api.services import StoreDep
from app.db.records import Suspect
from app.errors import InvalidInputError
from app.plausibility import REASONS

router = APIRouter(prefix="/v1/sites", tags=["history"])


class SuspectOut(BaseModel):
    reason: str
    meaning: str
    detail: str = Field(description="what is wrong, with the value as it came")
    at: datetime | None = Field(description="what it is about; null: no time could be read")
    noted_at: datetime | None
    charging_station_id: str | None
    evse_id: int | None
    transaction_id: int | None
    meter_id: str | None
    source: str = Field(description="file and place, where it came from one")

    @classmethod
    def of(cls, row: Suspect) -> Self:
        return cls(
            reason=row.reason,
            meaning=REASONS.get(row.reason, ""),
            detail=row.detail,
            at=row.at,
            noted_at=row.noted_at,
            charging_station_id=row.station_id,
            evse_id=row.evse_id,
            transaction_id=row.transaction_id,
            meter_id=row.meter_id,
            source=row.source,
        )


class QuarantineOut(BaseModel):
    counts: dict[str, int] = Field(description="of everything in the quarantine, by reason")
    suspects: list[SuspectOut] = Field(description="newest first")


@router.get("/{site_id}/quarantine")
async def get_quarantine(
    site_id: str,
    store: StoreDep,
    _: Reader,
    reason: Annotated[str | None, Query(max_length=63)] = None,
    start: AwareDatetime | None = None,
    end: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> QuarantineOut:
    """What is odd about ``[start, end)``; without either also what has no time."""
    await store.site(site_id)
    if reason is not None and reason not in REASONS:
        raise InvalidInputError("reason", f"{reason!r} is none of {', '.join(REASONS)}")
    rows = await store.suspects(site_id, reason=reason, start=start, end=end, limit=limit)
    return QuarantineOut(counts=await store.count_suspects(site_id), suspects=[SuspectOut.of(row) for row in rows])
