"""`/v1/sites/{id}/sessions`: what drivers and fleets ask for: energy by a departure."""

import uuid
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader, Writer
from app.api.services import ServicesDep, StoreDep
from app.db.records import Wish
from app.errors import InvalidInputError, NotFoundError
from app.events import WishChanged
from app.problem_json.fields import Edge, Moment
from app.site import Site

router = APIRouter(prefix="/v1/sites", tags=["sessions"])

EXAMPLE: dict[str, Any] = {
    "charging_station_id": "cs01",
    "evse_id": 1,
    "departure": "2099-06-01T17:00:00+02:00",
    "required_energy_kwh": 22.5,
}
EXAMPLE_FLEET: dict[str, Any] = {
    "id_tag": "VAN-07",
    "arrival": "2099-06-01T18:30:00+02:00",
    "departure": "2099-06-02T05:30:00+02:00",
    "required_energy_kwh": 48,
    "max_power_kw": 11,
    "vehicle_phases": 3,
    "priority": 1,
}


class SessionIn(Edge):
    """A wish. It meets a charging process by its EVSE, by its id tag, or by both."""

    charging_station_id: str | None = Field(default=None, max_length=48)
    evse_id: int | None = Field(default=None, ge=1, description="may be left out where the station has one")
    id_tag: str | None = Field(default=None, min_length=1, max_length=255)
    arrival: Moment | None = Field(default=None, description="of a vehicle that is not there yet")
    departure: Moment
    required_energy_kwh: float = Field(gt=0, le=1000, description="kWh, from now on or from its arrival")
    max_power_kw: float | None = Field(default=None, gt=0, le=10_000, description="kW, of the vehicle")
    vehicle_phases: Literal[1, 2, 3] | None = None
    priority: int = Field(default=1, ge=1, le=1000, description="1 is served first")


class SessionOut(BaseModel):
    id: str
    site_id: str
    charging_station_id: str | None
    evse_id: int | None
    id_tag: str | None
    arrival: datetime | None
    departure: datetime
    required_energy_kwh: float
    max_power_kw: float | None
    vehicle_phases: int | None
    priority: int
    created_at: datetime
    transaction_id: int | None = Field(description="once it has met its transaction")

    @classmethod
    def of(cls, wish: Wish) -> Self:
        return cls(
            id=wish.wish_id,
            site_id=wish.site_id,
            charging_station_id=wish.station_id,
            evse_id=wish.evse_id,
            id_tag=wish.id_tag,
            arrival=wish.arrival,
            departure=wish.departure,
            required_energy_kwh=wish.required_energy_kwh,
            max_power_kw=wish.max_power_kw,
            vehicle_phases=wish.vehicle_phases,
            priority=wish.priority,
            created_at=wish.created_at,
            transaction_id=wish.transaction_id,
        )


@router.post("/{site_id}/sessions", status_code=HTTPStatus.CREATED)
async def create_session(
    site_id: str,
    session: Annotated[
        SessionIn,
        Body(openapi_examples={"a driver at a station": {"value": EXAMPLE}, "a fleet": {"value": EXAMPLE_FLEET}}),
    ],
    services: ServicesDep,
    _: Writer,
) -> SessionOut:
    """Ask for energy by a departure. The site is planned anew."""
    site, now = await services.store.site(site_id), services.clock.now()
    _require_order(session, now)
    wish = Wish(
        wish_id=uuid.uuid4().hex,
        site_id=site_id,
        departure=session.departure,
        required_energy_kwh=session.required_energy_kwh,
        created_at=now,
        station_id=session.charging_station_id,
        evse_id=_evse_of(session, site),
        id_tag=session.id_tag,
        arrival=session.arrival,
        max_power_kw=session.max_power_kw,
        vehicle_phases=session.vehicle_phases,
        priority=session.priority,
    )
    await services.store.save_wish(wish)
    services.events.publish(WishChanged(site_id, now))
    return SessionOut.of(wish)


@router.get("/{site_id}/sessions")
async def list_sessions(
    site_id: str,
    services: ServicesDep,
    _: Reader,
    active: Annotated[bool, Query(description="only those whose departure lies ahead")] = False,
) -> list[SessionOut]:
    """The site's wishes, newest first."""
    await services.store.site(site_id)
    wishes = await services.store.wishes(site_id, active_at=services.clock.now() if active else None)
    return [SessionOut.of(wish) for wish in wishes]


@router.get("/{site_id}/sessions/{session_id}")
async def get_session(site_id: str, session_id: str, store: StoreDep, _: Reader) -> SessionOut:
    """One wish."""
    wish = await store.wish(session_id)
    if wish.site_id != site_id:
        raise NotFoundError("session", session_id)
    return SessionOut.of(wish)


@router.delete("/{site_id}/sessions/{session_id}", status_code=HTTPStatus.NO_CONTENT)
async def delete_session(site_id: str, session_id: str, services: ServicesDep, _: Writer) -> None:
    """Take a wish back. The site is planned anew."""
    if (await services.store.wish(session_id)).site_id != site_id:
        raise NotFoundError("session", session_id)
    await services.store.delete_wish(session_id)
    services.events.publish(WishChanged(site_id, services.clock.now()))


def _require_order(session: SessionIn, now: datetime) -> None:
    departure = session.departure.isoformat()
    if session.arrival is not None and session.departure <= session.arrival:
        raise InvalidInputError("departure", f"{departure} is not after the arrival {session.arrival.isoformat()}")
    if session.departure <= now:
        raise InvalidInputError("departure", f"{departure} has passed: it is {now.isoformat()}")


def _evse_of(session: SessionIn, site: Site) -> int | None:
    if session.charging_station_id is None:
        if session.evse_id is not None:
            raise InvalidInputError("evse_id", f"{session.evse_id} needs a charging_station_id")
        if session.id_tag is None:
            raise InvalidInputError("id_tag", "is missing: name a charging_station_id, an id_tag, or both")
        return None
    station = site.station(session.charging_station_id)
    if station is None:
        raise InvalidInputError("charging_station_id", f"{session.charging_station_id!r} does not exist at {site.id}")
    evse_ids = [evse.id for evse in station.evses]
    if session.evse_id is None:
        if len(evse_ids) == 1:
            return evse_ids[0]
        if session.id_tag is not None:
            return None
        raise InvalidInputError("evse_id", f"is missing: {station.id} has {evse_ids}")
    if session.evse_id not in evse_ids:
        raise InvalidInputError("evse_id", f"{session.evse_id} does not exist at {station.id}, which has {evse_ids}")
    return session.evse_id
