"""`/v1/runs`: who planned which site for which moment, and what became of it."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Admin, Reader
from app.api.services import ClockDep, StoreDep
from app.db.ledger_records import Run, RunState
from app.db.records import PlanKind
from app.errors import NotFoundError
from app.planning.ledger import QUARANTINE, why_quarantined

router = APIRouter(prefix="/v1", tags=["runs"])


class RunOut(BaseModel):
    """One planning of one site. There is one for each site, window and kind."""

    id: str
    site_id: str
    kind: PlanKind
    window: datetime = Field(description="the moment that it is due for")
    state: RunState
    reason: str | None = Field(description="why the plan is no optimum, or why there is none")
    schedule_id: str | None = Field(description="the plan")
    attempts: int = Field(description="how often it was claimed; more than 1: a process ended or gave it back")
    fence: int = Field(description="token of the last claim: of two plans of a site the larger one is the newer")
    owner: str | None = Field(description="process that claimed it last")
    lease_until: datetime | None = Field(description="until then it is that process's")
    opened_at: datetime
    began_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, run: Run) -> Self:
        return cls(
            id=run.run_id,
            site_id=run.site_id,
            kind=run.kind,
            window=run.window,
            state=run.state,
            reason=run.reason,
            schedule_id=run.plan_id,
            attempts=run.attempts,
            fence=run.fence,
            owner=run.owner,
            lease_until=run.lease_until,
            opened_at=run.opened_at,
            began_at=run.began_at,
            ended_at=run.ended_at,
        )


class PoisonedSiteOut(BaseModel):
    """A site whose planning has ended processes; from two on it is charged by rules."""

    site_id: str
    deaths: int = Field(description="in a row, since its planning last went well")
    last_at: datetime
    quarantined_until: datetime | None = Field(description="null: it is solved at the next planning")


@router.get("/runs")
async def list_runs(
    store: StoreDep,
    _: Reader,
    site: Annotated[str | None, Query(max_length=200)] = None,
    kind: PlanKind | None = None,
    state: Annotated[list[RunState] | None, Query(max_length=9, description="May be repeated.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[RunOut]:
    """The run ledger, newest window first."""
    return [RunOut.of(run) for run in await store.runs(site, kind=kind, states=tuple(state or ()), limit=limit)]


@router.get("/poisoned-sites")
async def list_poisoned_sites(store: StoreDep, clock: ClockDep, _: Reader) -> list[PoisonedSiteOut]:
    """Sites whose planning has ended processes, and until when they are charged by rules."""
    now = clock.now()
    return [
        PoisonedSiteOut(
            site_id=one.site_id,
            deaths=one.deaths,
            last_at=one.last_at,
            quarantined_until=one.last_at + QUARANTINE if why_quarantined(one, now) else None,
        )
        for one in await store.poisoned_sites()
    ]


@router.delete("/poisoned-sites/{site_id}", status_code=204)
async def forgive_site(site_id: str, store: StoreDep, _: Admin) -> None:
    """Have a site solved again at its next planning: what ended the processes has been mended."""
    if not await store.forgive_site(site_id):
        raise NotFoundError("poisoned site", site_id)
