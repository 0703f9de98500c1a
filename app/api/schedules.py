"""`/v1/sites/{id}/schedules` and `/v1/schedules/{id}`: plans, and what became of them at the chargers."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body, Header, Query, Response
from pydantic import BaseModel, Field

from app.api.auth import Reader, Writer
from app.api.idempotency import once
from app.api.services import PlannerDep, StoreDep
from app.db.records import Delivery, DeliveryState, Plan
from app.errors import NotFoundError
from app.problem_json import ScheduleOut as SolvedOut
from app.problem_json.fields import Edge

router = APIRouter(prefix="/v1", tags=["schedules"])


class ScheduleIn(Edge):
    dispatch: bool = Field(default=True, description="false: plan and keep, send nothing")


class DeliveryOut(BaseModel):
    """What became of one EVSE's part of a plan."""

    charging_station_id: str
    evse_id: int
    state: DeliveryState
    at: datetime
    profile: dict[str, Any] | None = Field(description="what was sent")
    detail: str | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            charging_station_id=delivery.station_id,
            evse_id=delivery.evse_id,
            state=delivery.state,
            at=delivery.at,
            profile=delivery.profile,
            detail=delivery.detail,
        )


class ScheduleSummaryOut(BaseModel):
    id: str
    site_id: str
    kind: Literal["request", "nightly", "replan"]
    created_at: datetime
    start: datetime
    end: datetime
    status: str = Field(description="optimal, feasible or fallback")
    reason: str | None = Field(description="why it is no optimum")

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(**_summary(plan))


class ScheduleRecordOut(ScheduleSummaryOut):
    """A plan whole: what was asked, what was answered, where each input came from, what each charger did."""

    problem: dict[str, Any] = Field(description="the optimisation problem, JSON version 1")
    schedule: SolvedOut = Field(description="its answer with both baselines, JSON version 1")
    provenance: dict[str, Any] = Field(description="of each input series: source, issued_at, estimated")
    deliveries: list[DeliveryOut]

    @classmethod
    def whole(cls, plan: Plan, deliveries: list[Delivery]) -> Self:
        return cls(
            **_summary(plan),
            problem=plan.problem,
            schedule=SolvedOut.model_validate(plan.schedule),
            provenance=plan.provenance,
            deliveries=[DeliveryOut.of(delivery) for delivery in deliveries],
        )


@router.post("/sites/{site_id}/schedules", status_code=HTTPStatus.CREATED)
async def create_schedule(
    site_id: str,
    wish: Annotated[ScheduleIn, Body(openapi_examples={"plan and send": {"value": {"dispatch": True}}})],
    response: Response,
    planner: PlannerDep,
    store: StoreDep,
    key: Writer,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> ScheduleRecordOut:
    """Plan the coming hours of a site and, unless told not to, send the limits to its chargers.

    With an `Idempotency-Key` a repeated request gets the first answer again, and plans nothing.
    """

    async def make() -> str:
        return (await planner.plan(site_id, dispatch=wish.dispatch)).plan_id

    if idempotency_key is None:
        plan_id = await make()
    else:
        asked = f"POST schedules of {site_id}: {wish.model_dump_json()}"
        plan_id = await once(store, f"{key.key_id}/{idempotency_key}", asked, make)
    plan = await store.plan(plan_id)
    response.headers["Location"] = f"/v1/schedules/{plan.plan_id}"
    return ScheduleRecordOut.whole(plan, await store.deliveries(plan.plan_id))


@router.get("/sites/{site_id}/schedules")
async def list_schedules(
    site_id: str, store: StoreDep, _: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[ScheduleSummaryOut]:
    """The site's plans, newest first."""
    await store.site(site_id)
    return [ScheduleSummaryOut.of(plan) for plan in await store.plans(site_id, limit=limit)]


@router.get("/sites/{site_id}/schedules/latest")
async def get_latest_schedule(site_id: str, store: StoreDep, _: Reader) -> ScheduleRecordOut:
    """The site's newest plan."""
    await store.site(site_id)
    plan = await store.latest_plan(site_id)
    if plan is None:
        raise NotFoundError("schedule of site", site_id)
    return ScheduleRecordOut.whole(plan, await store.deliveries(plan.plan_id))


@router.get("/schedules/{schedule_id}")
async def get_schedule(schedule_id: str, store: StoreDep, _: Reader) -> ScheduleRecordOut:
    """One plan with the delivery state of each EVSE."""
    plan = await store.plan(schedule_id)
    return ScheduleRecordOut.whole(plan, await store.deliveries(schedule_id))


def _summary(plan: Plan) -> dict[str, Any]:
    return {
        "id": plan.plan_id,
        "site_id": plan.site_id,
        "kind": plan.kind,
        "created_at": plan.created_at,
        "start": plan.start,
        "end": plan.end,
        "status": plan.status,
        "reason": plan.reason,
    }
