"""`/v1/sites/{id}/flexibility`: how far the charging of the coming day could be raised or lowered for the grid."""

import asyncio
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import ClockDep, StoreDep
from app.errors import NotFoundError
from app.flexibility import Flexibility, flexibility
from app.problem_json import problem_from_json, schedule_from_json

router = APIRouter(prefix="/v1/sites", tags=["schedules"])


class FlexibleSlotOut(BaseModel):
    start: datetime
    planned_kw: float
    up_kw: float = Field(description="more charging in this slot alone, taken from the same cars' later energy")
    down_kw: float = Field(description="less charging in this slot alone, made good later within the same stays")
    up_kwh: float = Field(description="by the slot's end: ahead of the plan when all charge as soon as possible")
    down_kwh: float = Field(description="by the slot's end: behind the plan when all charge as late as possible")


class FlexibilityOut(BaseModel):
    site_id: str
    plan_id: str
    planned_at: datetime
    slot_minutes: int
    planned_kwh: float
    up_kwh: float = Field(description="the highest of the slots")
    down_kwh: float = Field(description="the highest of the slots")
    slots: list[FlexibleSlotOut]


@router.get("/{site_id}/flexibility")
async def get_flexibility(site_id: str, store: StoreDep, clock: ClockDep, _: Reader) -> FlexibilityOut:
    """By the newest plan, for the coming 24 hours; no car misses anything that the plan gives it."""
    await store.site(site_id)
    plan, now = await store.latest_plan(site_id), clock.now()
    if plan is None or plan.end <= now:
        raise NotFoundError("plan of the coming hours for site", site_id)

    def work() -> Flexibility:
        return flexibility(problem_from_json(plan.problem), schedule_from_json(plan.schedule), now)

    found = await asyncio.to_thread(work)
    return FlexibilityOut(
        site_id=site_id,
        plan_id=plan.plan_id,
        planned_at=plan.created_at,
        slot_minutes=found.slot_minutes,
        planned_kwh=found.planned_kwh,
        up_kwh=found.up_kwh,
        down_kwh=found.down_kwh,
        slots=[
            FlexibleSlotOut(
                start=slot.start,
                planned_kw=slot.planned_kw,
                up_kw=slot.up_kw,
                down_kw=slot.down_kw,
                up_kwh=slot.up_kwh,
                down_kwh=slot.down_kwh,
            )
            for slot in found.slots
        ],
    )
