"""`/v1/sites/{id}/series`: signals of a site with their provenance: prices, carbon, PV and base load."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from pydantic import AwareDatetime, BaseModel, Field

from app.api.auth import Reader, Writer
from app.api.services import ServicesDep, StoreDep
from app.db.records import StoredSeries
from app.errors import InvalidInputError
from app.events import SiteChanged
from app.problem_json.fields import Edge, Moment
from app.series_units import NEVER_NEGATIVE, SeriesKind, kept_unit

router = APIRouter(prefix="/v1/sites", tags=["series"])

MAX_VALUES = 120_000  # a year of five-minute values
EXAMPLE: dict[str, Any] = {
    "kind": "import_price",
    "source": "day-ahead auction",
    "start": "2026-06-02T00:00:00+02:00",
    "resolution_minutes": 60,
    "unit": "EUR/MWh",
    "values": [82.1, 74.9, 70.3, 68.8, 69.0, 77.4, 96.2, 104.7, 88.1, 61.0, 32.5, 11.9,
               -2.4, -6.1, 3.8, 27.7, 58.9, 90.3, 118.6, 131.2, 124.4, 109.8, 98.0, 87.6],
}  # fmt: skip


class SeriesIn(Edge):
    """``values[i]`` holds from start + i × resolution. A value that is missing is left out of the series, never 0."""

    kind: SeriesKind
    source: str = Field(min_length=1, max_length=200, description="who issued it")
    start: Moment
    resolution_minutes: Literal[5, 10, 15, 30, 60]
    unit: str = Field(
        max_length=20,
        description="prices: EUR/kWh or EUR/MWh; carbon: g/kWh; power: kW, W or MW; ghi: W/m2; temp_air: degC",
    )
    values: list[Annotated[float, Field(ge=-1e7, le=1e7)]] = Field(min_length=1, max_length=MAX_VALUES)
    issued_at: Moment | None = Field(default=None, description="when the source issued it; left out: now")
    estimated: bool = Field(default=False, description="a stand-in that better values will overrule")


class SeriesStored(BaseModel):
    series_id: int
    kind: SeriesKind
    start: datetime
    end: datetime
    unit: str = Field(description="what it is kept in")
    values: int


class SeriesOut(BaseModel):
    series_id: int | None
    kind: str
    source: str
    issued_at: datetime
    start: datetime
    resolution_minutes: int
    unit: str
    values: tuple[float, ...]
    estimated: bool


@router.post("/{site_id}/series", status_code=HTTPStatus.CREATED)
async def add_series(
    site_id: str,
    series: Annotated[SeriesIn, Body(openapi_examples={"prices of a day": {"value": EXAMPLE}})],
    services: ServicesDep,
    _: Writer,
) -> SeriesStored:
    """Store a signal, converted to currency/kWh, kg/kWh or kW. It overrules what was issued before, where both say
    something; prices make a new plan."""
    site = await services.store.site(site_id)
    unit, factor = kept_unit(series.kind, series.unit, site.currency)
    _require_aligned(series)
    values = tuple(value * factor for value in series.values)
    _require_plausible(series, values)
    series_id = await services.store.add_series(
        StoredSeries(
            site_id=site_id,
            kind=series.kind,
            source=series.source,
            issued_at=series.issued_at or services.clock.now(),
            start=series.start,
            resolution_minutes=series.resolution_minutes,
            unit=unit,
            values=values,
            estimated=series.estimated,
        )
    )
    services.events.publish(SiteChanged(site_id, services.clock.now()))
    end = series.start + len(values) * timedelta(minutes=series.resolution_minutes)
    return SeriesStored(
        series_id=series_id, kind=series.kind, start=series.start, end=end, unit=unit, values=len(values)
    )


@router.get("/{site_id}/series")
async def get_series(
    site_id: str, store: StoreDep, kind: SeriesKind, start: AwareDatetime, end: AwareDatetime, _: Reader
) -> list[SeriesOut]:
    """Every stored series of a kind that overlaps ``[start, end)``, oldest issue first: later ones overrule."""
    await store.site(site_id)
    found = await store.series(site_id, kind, start, end)
    return [SeriesOut(**{name: getattr(row, name) for name in SeriesOut.model_fields}) for row in found]


def _require_aligned(series: SeriesIn) -> None:
    """Every resolution divides the hour, so its values start on the clock's own grid, in UTC."""
    into_hour_s = series.start.minute * 60 + series.start.second + series.start.microsecond / 1e6
    if into_hour_s % (series.resolution_minutes * 60):
        raise InvalidInputError(
            "start", f"{series.start.isoformat()} is not on the grid of {series.resolution_minutes} minutes"
        )


def _require_plausible(series: SeriesIn, values: tuple[float, ...]) -> None:
    if series.kind in NEVER_NEGATIVE:
        for position, value in enumerate(values):
            if value < 0:
                raise InvalidInputError(f"values[{position}]", f"{series.values[position]} {series.unit} is negative")
