"""`/v1/sites/{id}/guard`: what the fuse guard sees of a site, and whom it holds below his plan."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import ServicesDep
from app.site import split_evse_key

router = APIRouter(prefix="/v1/sites", tags=["sites"])


class CeilingOut(BaseModel):
    charging_station_id: str
    evse_id: int
    ceiling_a: float = Field(description="A per phase, whatever the plan says")


class SiteGuardOut(BaseModel):
    """`off`: the site is in shadow mode, has no stations, or the guard has not looked at it yet."""

    site_id: str
    state: Literal["watching", "limiting", "overloaded", "off"]
    at: datetime | None = Field(default=None, description="of the last look")
    building_kw: float | None = Field(default=None, description="what the building counts with; null: nobody knows")
    building_source: Literal["measured", "assumed_maximum", "planned", "unknown"] = "unknown"
    lowered_kw: float = 0.0
    ceilings: list[CeilingOut] = []
    overloaded: list[str] = Field(default=[], description="limits that stay exceeded though every EVSE made room")
    disobedient: list[str] = Field(default=[], description="EVSEs whose own meter shows more than they may draw")


@router.get("/{site_id}/guard")
async def get_site_guard(site_id: str, services: ServicesDep, _: Reader) -> SiteGuardOut:
    """The last look of the fuse guard, a few seconds old at most."""
    look = services.guard.last(site_id) if services.guard is not None else None
    if look is None:
        await services.store.site(site_id)  # or 404
        return SiteGuardOut(site_id=site_id, state="off")
    ceilings = []
    for key, ceiling_a in sorted(look.ceilings_a.items()):
        station_id, evse_id = split_evse_key(key)
        ceilings.append(CeilingOut(charging_station_id=station_id, evse_id=evse_id, ceiling_a=ceiling_a))
    return SiteGuardOut(
        site_id=site_id,
        state=look.state,
        at=look.at,
        building_kw=look.building_kw,
        building_source=look.building_source,
        lowered_kw=look.lowered_kw,
        ceilings=ceilings,
        overloaded=list(look.overloaded),
        disobedient=list(look.disobedient),
    )
