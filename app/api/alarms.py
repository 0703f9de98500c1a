"""`/v1/sites/{id}/alarms`: what operators were told of by themselves, and whether the notices arrived."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import StoreDep
from app.db.operating_records import AlarmKind

router = APIRouter(prefix="/v1/sites", tags=["alarms"])


class NoticeOut(BaseModel):
    channel: str = Field(description="webhook:NAME or email:NAME of a target in the settings")
    occasion: Literal["raised", "resolved"]
    state: Literal["pending", "sent", "failed"]
    attempts: int
    next_at: datetime = Field(description="of one that is pending: when it is tried; else when it was")
    error: str | None


class AlarmOut(BaseModel):
    id: str
    site_id: str
    kind: AlarmKind
    subject: str
    detail: str
    raised_at: datetime
    resolved_at: datetime | None = Field(description="null: it is open")
    notices: list[NoticeOut]


@router.get("/{site_id}/alarms")
async def list_alarms(
    site_id: str,
    store: StoreDep,
    _: Reader,
    open_only: Annotated[bool, Query(alias="open", description="only those that are not over")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AlarmOut]:
    """Newest first."""
    await store.site(site_id)
    notices = await store.alarm_notices(site_id)
    return [
        AlarmOut(
            id=alarm.alarm_id,
            site_id=alarm.site_id,
            kind=alarm.kind,
            subject=alarm.subject,
            detail=alarm.detail,
            raised_at=alarm.raised_at,
            resolved_at=alarm.resolved_at,
            notices=[
                NoticeOut(
                    channel=notice.channel,
                    occasion=notice.occasion,
                    state=notice.state,
                    attempts=notice.attempts,
                    next_at=notice.next_at,
                    error=notice.error,
                )
                for notice in notices
                if notice.alarm_id == alarm.alarm_id
            ],
        )
        for alarm in await store.alarms(site_id, open_only=open_only, limit=limit)
    ]
