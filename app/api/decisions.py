"""`/v1/schedules/{id}/why`, `…/decision` and `…/replay`: what a plan was made from, and why it is as it is."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from app.api.auth import Reader
from app.api.services import ClockDep, StoreDep
from app.db.ledger_records import Exchange
from app.planning.replay import replay
from app.planning.why import ASKED, WhyOut, answer

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])


class ExchangeOut(BaseModel):
    """What was asked of a station for the plan, and its reply."""

    charging_station_id: str
    evse_id: int
    at: datetime = Field(description="of the reply")
    action: str = Field(description="as OCPP 1.6 spells it")
    request: dict[str, Any]
    reply: dict[str, Any] = Field(description="status, read-back, or the error in its place")

    @classmethod
    def of(cls, exchange: Exchange) -> "ExchangeOut":
        return cls(
            charging_station_id=exchange.station_id,
            evse_id=exchange.evse_id,
            at=exchange.at,
            action=exchange.action,
            request=exchange.request,
            reply=exchange.reply,
        )


class DecisionOut(BaseModel):
    """Everything that led to a plan and came of it; problem and answer are at `/v1/schedules/{id}`."""

    schedule_id: str
    site_id: str
    at: datetime
    record: dict[str, Any] = Field(description="hashes of inputs and answer, recipe, model, solver, basis, time")
    exchanges: list[ExchangeOut]
    outcome: dict[str, Any] | None = Field(description="kWh planned and drawn of each EVSE; null: still in force")


class ReplayOut(BaseModel):
    """The plan, made again."""

    schedule_id: str
    same: bool = Field(description="bit by bit")
    verdict: str
    cut: Literal["no", "perhaps", "yes"] = Field(description="did a wall clock decide when the plan was made?")
    altered: list[str] = Field(description="what in the record is not what it was")
    others: list[str] = Field(description="what of program and machine is another by now")
    differences: list[str]
    more: int = Field(description="differences that are not named")


@router.get("/{schedule_id}/why")
async def get_why(
    schedule_id: str,
    store: StoreDep,
    clock: ClockDep,
    _: Reader,
    evse: Annotated[str, Query(max_length=200, description="station/EVSE, e.g. cs01/1")],
    at: Annotated[AwareDatetime | None, Query(description="a moment that the plan covers; left out: now")] = None,
) -> WhyOut:
    """Why an EVSE charges at a moment, or does not: the rule that binds, its price, the next-best slot, what would
    change it."""
    return await answer(store, await store.plan(schedule_id), evse, at or clock.now())


@router.get("/{schedule_id}/decision")
async def get_decision(schedule_id: str, store: StoreDep, _: Reader) -> DecisionOut:
    """What the plan was made from and by, what was said to stations for it, and what they then drew."""
    decision = await store.decision(schedule_id)
    return DecisionOut(
        schedule_id=schedule_id,
        site_id=decision.site_id,
        at=decision.at,
        record=decision.record,
        exchanges=[ExchangeOut.of(one) for one in await store.exchanges(schedule_id)],
        outcome=decision.outcome,
    )


@router.post("/{schedule_id}/replay")
async def replay_schedule(schedule_id: str, store: StoreDep, _: Reader) -> ReplayOut:
    """Make the plan again from what the ledger has of it, and compare bit by bit. Nothing is saved or sent."""
    plan, decision = await store.plan(schedule_id), await store.decision(schedule_id)
    again = await asyncio.get_running_loop().run_in_executor(ASKED, replay, plan, decision)
    return ReplayOut(
        schedule_id=schedule_id,
        same=again.is_same,
        verdict=again.verdict,
        cut=again.cut,
        altered=list(again.altered),
        others=list(again.others),
        differences=list(again.differences),
        more=again.more,
    )
