"""`/v1/sites`: the sites, each one whole document (`app.site.Site`)."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from app.api.auth import Admin, Reader
from app.api.services import ClockDep, EventsDep, StoreDep
from app.errors import InvalidInputError, NotFoundError
from app.events import SiteChanged
from app.site import Site

router = APIRouter(prefix="/v1/sites", tags=["sites"])

EXAMPLE: dict[str, Any] = {
    "id": "depot",
    "name": "Depot North",
    "time_zone": "Europe/Berlin",
    "latitude": 52.52,
    "longitude": 13.4,
    "country": "DE",
    "connection": {"max_import_kw": 100, "max_current_a": 160},
    "circuits": [{"id": "garage", "max_current_a": 63}],
    "charging_stations": [
        {"id": "cs01", "evses": [{"id": 1, "circuit": "garage", "max_current_a": 32}]},
        {"id": "cs02", "evses": [{"id": 1, "circuit": "garage", "phases": ["L2", "L3", "L1"], "max_current_a": 32}]},
    ],
    "pv_arrays": [{"id": "roof", "peak_kw": 40, "tilt_deg": 15, "azimuth_deg": 170, "inverter_kw": 36}],
    "meters": [{"id": "grid", "measures": "grid"}, {"id": "roof", "measures": "pv"}],
    "tariff": {
        "kind": "time_of_use",
        "periods": [
            {
                "steps": [
                    {"start": "00:00", "price_per_kwh": 0.19},
                    {"start": "06:00", "price_per_kwh": 0.31},
                    {"start": "22:00", "price_per_kwh": 0.19},
                ]
            }
        ],
        "export_price_per_kwh": 0.08,
        "demand_charges": [{"price_per_kw": 9.5}],
    },
    "base_load": {"annual_energy_kwh": 120000, "max_kw": 60},
}

SiteIn = Annotated[Site, Body(openapi_examples={"a depot with PV": {"value": EXAMPLE}})]


@router.post("", status_code=HTTPStatus.CREATED)
async def create_site(
    site: SiteIn, response: Response, store: StoreDep, events: EventsDep, clock: ClockDep, _: Admin
) -> Site:
    """Add a site with its circuits, stations, PV, batteries, meters and tariff: whole, or not at all."""
    await store.save_site(site, replace=False)
    events.publish(SiteChanged(site.id, clock.now()))
    response.headers["Location"] = f"/v1/sites/{site.id}"
    return site


@router.get("")
async def list_sites(store: StoreDep, _: Reader) -> list[Site]:
    """Every site."""
    return await store.sites()


@router.get("/{site_id}")
async def get_site(site_id: str, store: StoreDep, _: Reader) -> Site:
    """One site."""
    return await store.site(site_id)


@router.put("/{site_id}")
async def replace_site(
    site_id: str, site: SiteIn, response: Response, store: StoreDep, events: EventsDep, clock: ClockDep, _: Admin
) -> Site:
    """Replace a site, or add it: what the document leaves out is gone. Stations keep their history."""
    if site.id != site_id:
        raise InvalidInputError("id", f"{site.id!r} is not the {site_id!r} of the path")
    try:
        await store.site(site_id)
    except NotFoundError:
        response.status_code = HTTPStatus.CREATED
    await store.save_site(site)
    events.publish(SiteChanged(site_id, clock.now()))
    return site


@router.delete("/{site_id}", status_code=HTTPStatus.NO_CONTENT)
async def delete_site(site_id: str, store: StoreDep, events: EventsDep, clock: ClockDep, _: Admin) -> None:
    """Remove a site; refused while a transaction runs. Its history stays."""
    await store.delete_site(site_id)
    events.publish(SiteChanged(site_id, clock.now()))
