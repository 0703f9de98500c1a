"""`/v1/cdrs`: charge detail records of completed transactions: energy, total time, parking time."""

from datetime import datetime
from functools import partial
from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from app.api.auth import Reader
from app.api.services import StoreDep
from app.db.records import Cdr
from app.errors import InvalidInputError
from app.months import month_span

router = APIRouter(prefix="/v1/cdrs", tags=["cdrs"])


class CdrOut(BaseModel):
    transaction_id: int
    site_id: str
    charging_station_id: str
    evse_id: int
    id_tag: str
    start: datetime
    stop: datetime
    energy_kwh: float = Field(description="by the station's register")
    total_time_h: float
    parking_time_h: float = Field(description="while the power held from the last reading was under 50 W")
    integrated_energy_kwh: float | None = Field(description="by integrating the power values")
    peak_power_kw: float | None
    flags: list[str] = Field(description="what is odd about it")
    charging_time_h: float | None = Field(description="while the power held was at least 50 W; null: no power was sent")
    cost: float | None = Field(description="at the import price of each slot; null: a price is missing")
    currency: str | None
    uncontrolled_cost: float | None = Field(description="of the same energy at full power from the arrival on")
    co2_kg: float | None = Field(description="null: no carbon series covers the stay")
    pv_share: float | None = Field(description="of the energy: what was not imported; null: nothing measures it")

    @classmethod
    def of(cls, cdr: Cdr) -> Self:
        return cls(
            transaction_id=cdr.transaction_id,
            site_id=cdr.site_id,
            charging_station_id=cdr.station_id,
            evse_id=cdr.evse_id,
            id_tag=cdr.id_tag,
            start=cdr.start,
            stop=cdr.stop,
            energy_kwh=cdr.energy_kwh,
            total_time_h=cdr.total_time_h,
            parking_time_h=cdr.parking_time_h,
            integrated_energy_kwh=cdr.integrated_energy_kwh,
            peak_power_kw=cdr.peak_power_kw,
            flags=list(cdr.flags),
            charging_time_h=cdr.charging_time_h,
            cost=cdr.cost,
            currency=cdr.currency,
            uncontrolled_cost=cdr.uncontrolled_cost,
            co2_kg=cdr.co2_kg,
            pv_share=cdr.pv_share,
        )


@router.get("")
async def list_cdrs(
    store: StoreDep,
    _: Reader,
    site_id: str | None = None,
    charging_station_id: str | None = None,
    id_tag: str | None = None,
    month: Annotated[str | None, Query(description="YYYY-MM, in the time zone of each site", max_length=7)] = None,
    start: AwareDatetime | None = None,
    end: AwareDatetime | None = None,
) -> list[CdrOut]:
    """CDRs of the transactions that stopped in ``[start, end)``, or in a local month, in order of stop."""
    wanted = partial(store.cdrs, station_id=charging_station_id, id_tag=id_tag)
    if month is None:
        rows = await wanted(site_id=site_id, start=start, end=end)
    elif start is not None or end is not None:
        raise InvalidInputError("month", f"{month!r} does not go together with start and end")
    else:
        sites = [await store.site(site_id)] if site_id is not None else await store.sites()
        rows = []
        for site in sites:
            first, past = month_span(month, site.zone)
            rows += await wanted(site_id=site.id, start=first, end=past)
        rows.sort(key=lambda row: row.stop)
    return [CdrOut.of(row) for row in rows]
