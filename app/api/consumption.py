"""What was charged in a month: `/v1/sites/{id}/consumption`, `/v1/drivers/{id_tag}/consumption`, `/v1/consumption`."""

from collections.abc import Sequence
from typing import Annotated, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import StoreDep
from app.consumption import Consumption, by_driver, consumption_of
from app.db.records import Cdr
from app.db.store import Store
from app.errors import InvalidInputError
from app.months import month_span

router = APIRouter(prefix="/v1", tags=["consumption"])

Month = Annotated[str, Query(description="YYYY-MM, in the time zone of each site", max_length=7)]
Tags = Annotated[Sequence[str], Query(alias="id_tag", description="may be repeated", max_length=500)]
Prefix = Annotated[str | None, Query(description="of id tags: a fleet", min_length=1, max_length=255)]


class ConsumptionOut(BaseModel):
    """Of transactions that ended in the month."""

    sessions: int
    energy_kwh: float
    total_time_h: float
    charging_time_h: float
    parking_time_h: float
    peak_power_kw: float | None = Field(description="the highest of one charge")
    cost: dict[str, float] = Field(description="by currency, of the energy whose price is known")
    uncontrolled_cost: dict[str, float] = Field(description="of the same energy at full power from the arrival on")
    saved: dict[str, float] = Field(description="uncontrolled cost less cost; negative: control cost money")
    priced_kwh: float = Field(description="of the energy: what the cost is known of")
    estimated_kwh: float = Field(description="of that: priced with an estimate")
    co2_kg: float | None
    weighed_kwh: float = Field(description="of the energy: what the CO2 is known of")
    pv_kwh: float | None = Field(description="of the energy: what was not imported")
    traced_kwh: float = Field(description="of the energy: what the share of PV is known of")
    flags: dict[str, int] = Field(description="how many records carry each")

    @classmethod
    def of(cls, sums: Consumption) -> Self:
        return cls(**{name: getattr(sums, name) for name in cls.model_fields})


class MonthOut(BaseModel):
    month: str
    total: ConsumptionOut
    drivers: dict[str, ConsumptionOut] = Field(description="by id tag")


@router.get("/sites/{site_id}/consumption")
async def site_consumption(
    site_id: str,
    month: Month,
    store: StoreDep,
    _: Reader,
    id_tags: Tags = (),
    id_tag_prefix: Prefix = None,
) -> MonthOut:
    """A site's month, or that of some id tags at it."""
    await store.site(site_id)
    return _month(month, await _cdrs(store, month, site_id, id_tags, id_tag_prefix))


@router.get("/drivers/{id_tag}/consumption")
async def driver_consumption(
    id_tag: Annotated[str, Path(max_length=255)], month: Month, store: StoreDep, _: Reader, site_id: str | None = None
) -> ConsumptionOut:
    """A driver's month, at all sites or one; nothing charged is a month of zeros."""
    if site_id is not None:
        await store.site(site_id)
    return ConsumptionOut.of(consumption_of(await _cdrs(store, month, site_id, [id_tag], None)))


@router.get("/consumption")
async def fleet_consumption(
    month: Month,
    store: StoreDep,
    _: Reader,
    id_tags: Tags = (),
    id_tag_prefix: Prefix = None,
) -> MonthOut:
    """A fleet's month at all sites: its id tags by name, by prefix, or both."""
    if not id_tags and id_tag_prefix is None:
        raise InvalidInputError("id_tag", "and id_tag_prefix are both missing: a fleet is some id tags")
    return _month(month, await _cdrs(store, month, None, id_tags, id_tag_prefix))


async def _cdrs(
    store: Store, month: str, site_id: str | None, id_tags: Sequence[str], id_tag_prefix: str | None
) -> list[Cdr]:
    rows = []
    for site in [await store.site(site_id)] if site_id is not None else await store.sites():
        start, end = month_span(month, site.zone)
        rows += await store.cdrs(site_id=site.id, start=start, end=end, id_tags=id_tags, id_tag_prefix=id_tag_prefix)
    return rows


def _month(month: str, cdrs: Sequence[Cdr]) -> MonthOut:
    drivers = {id_tag: ConsumptionOut.of(sums) for id_tag, sums in by_driver(cdrs).items()}
    return MonthOut(month=month, total=ConsumptionOut.of(consumption_of(cdrs)), drivers=drivers)
