"""`/v1/sites/{id}/overrides`: what operators set by hand: boosts, pauses and limits, each with an end."""

import uuid
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader, Writer
from app.api.services import ServicesDep, StoreDep
from app.db.operating_records import AuditEntry, Override
from app.errors import InvalidInputError
from app.events import OverridesChanged
from app.problem_json.fields import Ampere, Edge, Kilowatt, Moment
from app.site import Site

router = APIRouter(prefix="/v1/sites", tags=["overrides"])

LONGEST = timedelta(days=31)  # what is to hold for longer belongs into the site's document
EXAMPLE: dict[str, Any] = {
    "kind": "limit",
    "charging_station_id": "cs01",
    "evse_id": 1,
    "max_current_a": 10,
    "expires_at": "2026-06-01T18:00:00+02:00",
    "reason": "a warm plug",
}
EXAMPLE_SITE: dict[str, Any] = {"kind": "pause", "minutes": 30, "reason": "works at the distribution board"}


class OverrideIn(Edge):
    """Of one EVSE, a whole station, or without either of the whole site. It ends by itself."""

    kind: Literal["boost", "pause", "limit"] = Field(
        description="boost: all that the fuses leave, at any price. pause: 0. limit: no more than the maximum given."
    )
    charging_station_id: str | None = Field(default=None, max_length=48)
    evse_id: int | None = Field(default=None, ge=1)
    max_current_a: Ampere | None = Field(default=None, description="A per phase; of a limit")
    max_power_kw: Kilowatt | None = Field(default=None, description="kW; of a limit")
    expires_at: Moment | None = Field(default=None, description="either this or minutes")
    minutes: float | None = Field(default=None, gt=0, le=LONGEST.total_seconds() / 60)
    reason: str | None = Field(default=None, max_length=500)


class OverrideOut(BaseModel):
    id: str
    site_id: str
    kind: Literal["boost", "pause", "limit"]
    charging_station_id: str | None
    evse_id: int | None
    max_current_a: float | None
    max_power_kw: float | None
    created_at: datetime
    created_by: str = Field(description="the name of the API key")
    expires_at: datetime
    ended_at: datetime | None = Field(description="when somebody ended it before its time")
    ended_by: str | None
    reason: str | None
    active: bool

    @classmethod
    def of(cls, override: Override, now: datetime) -> Self:
        return cls(
            id=override.override_id,
            site_id=override.site_id,
            kind=override.kind,
            charging_station_id=override.station_id,
            evse_id=override.evse_id,
            max_current_a=override.max_current_a,
            max_power_kw=override.max_power_kw,
            created_at=override.created_at,
            created_by=override.created_by,
            expires_at=override.expires_at,
            ended_at=override.ended_at,
            ended_by=override.ended_by,
            reason=override.reason,
            active=override.holds_at(now),
        )


class AuditEntryOut(BaseModel):
    at: datetime
    action: str
    actor: str = Field(description="the name of an API key; service where no person did it")
    detail: dict[str, Any]

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        return cls(at=entry.at, action=entry.action, actor=entry.actor, detail=entry.detail)


@router.post("/{site_id}/overrides", status_code=HTTPStatus.CREATED)
async def create_override(
    site_id: str,
    wish: Annotated[
        OverrideIn,
        Body(openapi_examples={"a limit of one EVSE": {"value": EXAMPLE}, "the whole site": {"value": EXAMPLE_SITE}}),
    ],
    services: ServicesDep,
    key: Writer,
) -> OverrideOut:
    """Set something by hand until a moment. The site is planned anew; no override lifts a fuse."""
    site, now = await services.store.site(site_id), services.clock.now()
    _require_place(wish, site)
    _require_maximum(wish)
    override = Override(
        override_id=uuid.uuid4().hex,
        site_id=site_id,
        kind=wish.kind,
        created_at=now,
        expires_at=_expiry(wish, now),
        created_by=key.name,
        station_id=wish.charging_station_id,
        evse_id=wish.evse_id,
        max_current_a=wish.max_current_a,
        max_power_kw=wish.max_power_kw,
        reason=wish.reason,
    )
    await services.store.add_override(override)
    services.events.publish(OverridesChanged(site_id, now))
    return OverrideOut.of(override, now)


@router.get("/{site_id}/overrides")
async def list_overrides(
    site_id: str,
    services: ServicesDep,
    _: Reader,
    active: Annotated[bool, Query(description="only those that hold now")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[OverrideOut]:
    """Newest first."""
    await services.store.site(site_id)
    now = services.clock.now()
    found = await services.store.overrides(site_id, active_at=now if active else None, limit=limit)
    return [OverrideOut.of(override, now) for override in found]


@router.delete("/{site_id}/overrides/{override_id}", status_code=HTTPStatus.NO_CONTENT)
async def end_override(site_id: str, override_id: str, services: ServicesDep, key: Writer) -> None:
    """End it before its time; it stays in the list. The site is planned anew."""
    now = services.clock.now()
    await services.store.end_override(site_id, override_id, now, key.name)
    services.events.publish(OverridesChanged(site_id, now))


@router.get("/{site_id}/audit")
async def list_audit(
    site_id: str,
    store: StoreDep,
    _: Reader,
    action: Annotated[str | None, Query(max_length=100, description="e.g. mode.changed")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[AuditEntryOut]:
    """What was done by hand and which modes the site went into, newest first."""
    await store.site(site_id)
    return [AuditEntryOut.of(entry) for entry in await store.audit(site_id, action=action, limit=limit)]


def _require_place(wish: OverrideIn, site: Site) -> None:
    if wish.charging_station_id is None:
        if wish.evse_id is not None:
            raise InvalidInputError("evse_id", f"{wish.evse_id} needs a charging_station_id")
        return
    station = site.station(wish.charging_station_id)
    if station is None:
        raise InvalidInputError("charging_station_id", f"{wish.charging_station_id!r} does not exist at {site.id}")
    evse_ids = [evse.id for evse in station.evses]
    if wish.evse_id is not None and wish.evse_id not in evse_ids:
        raise InvalidInputError("evse_id", f"{wish.evse_id} does not exist at {station.id}, which has {evse_ids}")


def _require_maximum(wish: OverrideIn) -> None:
    given = [name for name in ("max_current_a", "max_power_kw") if getattr(wish, name) is not None]
    if wish.kind == "limit" and len(given) != 1:
        raise InvalidInputError("max_current_a", "a limit needs either max_current_a or max_power_kw")
    if wish.kind != "limit" and given:
        raise InvalidInputError(given[0], f"is only for a limit: a {wish.kind} has none")


def _expiry(wish: OverrideIn, now: datetime) -> datetime:
    if (wish.expires_at is None) == (wish.minutes is None):
        raise InvalidInputError("expires_at", "either expires_at or minutes is needed")
    expires_at = wish.expires_at or now + timedelta(minutes=wish.minutes or 0.0)
    if expires_at <= now:
        raise InvalidInputError("expires_at", f"{expires_at.isoformat()} has passed: it is {now.isoformat()}")
    if expires_at - now > LONGEST:
        raise InvalidInputError("expires_at", f"{expires_at.isoformat()} is more than {LONGEST.days} days ahead")
    return expires_at
