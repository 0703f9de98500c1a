"""`/v1/sites/{id}/readings`: mean power of the site's meters, in bulk, as JSON or CSV."""

import asyncio
import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from app.api.auth import Reader, Writer
from app.api.services import ServicesDep, StoreDep
from app.db.records import Reading
from app.errors import InvalidInputError
from app.events import ReadingsArrived, SiteMeasured
from app.guard.watch import SILENT_AFTER
from app.problem_json.fields import Edge, Id, Moment
from app.site import Site

router = APIRouter(prefix="/v1/sites", tags=["readings"])

MAX_READINGS = 250_000  # of one upload: seven years of quarters of an hour
MAX_RANGE = timedelta(days=400)  # of one answer
CSV_HEADER = ("meter_id", "at", "kw")
Kw = Annotated[float, Field(ge=-1e6, le=1e6)]

EXAMPLE = {
    "readings": [
        {"meter_id": "grid", "at": "2026-06-01T10:00:00+02:00", "kw": 31.4},
        {"meter_id": "grid", "at": "2026-06-01T10:15:00+02:00", "kw": 28.9},
    ]
}
EXAMPLE_CSV = "meter_id,at,kw\ngrid,2026-06-01T10:00:00+02:00,31.4\ngrid,2026-06-01T10:15:00+02:00,28.9\n"


class ReadingIn(Edge):
    """Mean power of the interval that starts at `at`."""

    meter_id: Id
    at: Moment
    kw: Kw = Field(description="kW")


class ReadingsIn(Edge):
    readings: list[ReadingIn] = Field(min_length=1, max_length=MAX_READINGS)


class ReadingsStored(BaseModel):
    received: int
    stored: int = Field(description="new or changed; the same reading again changes nothing")


class ReadingOut(BaseModel):
    at: datetime
    kw: float


_JSON_SCHEMA = {
    "type": "object",
    "required": ["readings"],
    "additionalProperties": False,
    "properties": {
        "readings": {"type": "array", "minItems": 1, "maxItems": MAX_READINGS, "items": ReadingIn.model_json_schema()}
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _JSON_SCHEMA, "examples": {"two readings": {"value": EXAMPLE}}},
            "text/csv": {"schema": {"type": "string"}, "examples": {"the same": {"value": EXAMPLE_CSV}}},
        },
    }
}


@router.post("/{site_id}/readings", status_code=HTTPStatus.CREATED, openapi_extra=_BODY)
async def add_readings(site_id: str, request: Request, services: ServicesDep, _: Writer) -> ReadingsStored:
    """Store meter readings, as JSON or as CSV with the header ``meter_id,at,kw``: all of them, or none.

    Idempotent: the last value of a meter and moment wins.
    """
    site = await services.store.site(site_id)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _PARSERS:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{content_type[:80]!r} is neither application/json nor text/csv"
        )
    body = await request.body()
    readings = await asyncio.to_thread(_read, content_type, body, site)  # a big upload must not stop the event loop
    for event in live(site, readings, services.clock.now()):
        services.events.publish(event)  # before it is stored: the fuse guard does not wait for a database
    stored = await services.store.add_readings(readings)
    services.events.publish(ReadingsArrived(site_id, services.clock.now()))
    return ReadingsStored(received=len(readings), stored=stored)


@router.get("/{site_id}/readings")
async def get_readings(
    site_id: str,
    store: StoreDep,
    meter_id: Annotated[str, Query(max_length=63)],
    start: AwareDatetime,
    end: AwareDatetime,
    _: Reader,
) -> list[ReadingOut]:
    """Readings of one meter with ``start <= at < end``, in order of time."""
    _require_meter(await store.site(site_id), "meter_id", meter_id)
    if end - start > MAX_RANGE:
        raise InvalidInputError("end", f"{end.isoformat()} is more than {MAX_RANGE.days} days after the start")
    rows = await store.readings(site_id, meter_id, start, end)
    return [ReadingOut(at=at, kw=kw) for at, kw in rows]


def live(site: Site, readings: Iterable[Reading], now: datetime) -> list[SiteMeasured]:
    """The newest reading of each live meter, if it is no older than the guard allows."""
    intervals = {meter.id: timedelta(seconds=meter.interval_s) for meter in site.meters if meter.interval_s is not None}
    newest: dict[str, Reading] = {}
    for reading in readings:
        known = newest.get(reading.meter_id)
        if reading.meter_id in intervals and (known is None or known.at < reading.at):
            newest[reading.meter_id] = reading
    return [
        SiteMeasured(site.id, meter_id, min(reading.at, now), reading.kw, {})
        for meter_id, reading in newest.items()
        if now - reading.at <= SILENT_AFTER * intervals[meter_id]
    ]


def _read(content_type: str, body: bytes, site: Site) -> list[Reading]:
    """Raises `InvalidInputError` or `RequestValidationError` for the first row that is wrong."""
    try:
        rows = _PARSERS[content_type](body)
    except ValidationError as refused:
        raise RequestValidationError(refused.errors(include_url=False)) from refused
    known = {meter.id for meter in site.meters}
    for position, row in enumerate(rows):
        if row.meter_id not in known:
            _require_meter(site, f"readings[{position}].meter_id", row.meter_id)
    return [Reading(site.id, row.meter_id, row.at, row.kw) for row in rows]


def _from_json(body: bytes) -> list[ReadingIn]:
    return ReadingsIn.model_validate_json(body).readings


def _from_csv(body: bytes) -> list[ReadingIn]:
    """Raises `InvalidInputError` or `ValidationError`, with the row counted as in ``readings[0]``."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError("body", f"is not UTF-8 at byte {error.start}") from error
    return ReadingsIn.model_validate({"readings": list(_rows(text))}).readings


def _rows(text: str) -> Iterator[dict[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = tuple(name.strip() for name in next(reader, []))
        if header != CSV_HEADER:
            raise InvalidInputError("header", f"{','.join(header)[:100]!r} is not {','.join(CSV_HEADER)!r}")
        for position, row in enumerate(filter(None, reader)):
            if len(row) != len(CSV_HEADER):
                raise InvalidInputError(f"readings[{position}]", f"has {len(row)} columns: {','.join(row)[:100]!r}")
            if position >= MAX_READINGS:
                raise InvalidInputError("readings", f"has more than {MAX_READINGS} rows")
            yield {"meter_id": row[0].strip(), "at": row[1].strip(), "kw": _number(position, row[2])}
    except csv.Error as error:
        raise InvalidInputError(f"line {reader.line_num}", f"is no CSV: {error}") from error


def _number(position: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInputError(f"readings[{position}].kw", f"{text[:100]!r} is not a number") from error


def _require_meter(site: Site, field: str, meter_id: str) -> None:
    known = [meter.id for meter in site.meters]
    if meter_id not in known:
        raise InvalidInputError(field, f"{meter_id!r} is no meter of {site.id}: {', '.join(known) or 'it has none'}")


_PARSERS = {"application/json": _from_json, "text/csv": _from_csv}
