"""`/v1/sites/{id}/ocpp-messages`: an OCPP 1.6 message log in bulk, what `smartcharge import ocpp-log` does on files."""

import asyncio
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.api.auth import Admin
from app.api.services import ServicesDep
from app.events import SiteChanged
from app.imports.ocpp_log import import_ocpp_log

router = APIRouter(prefix="/v1/sites", tags=["history"])

SUFFIXES = {
    "application/x-ndjson": ".ndjson",
    "text/csv": ".csv",
    "application/vnd.apache.parquet": ".parquet",
}
EXAMPLE = """\
{"message_id": "1", "message_type": 2, "charge_point_id": "cp-9", "action": "StartTransaction", \
"write_timestamp": "2026-05-01T08:00:00Z", \
"body": {"connectorId": 1, "idTag": "t", "meterStart": 0, "timestamp": "2026-05-01T08:00:00Z"}}
{"message_id": "1", "message_type": 3, "charge_point_id": "cp-9", "action": "StartTransaction", \
"write_timestamp": "2026-05-01T08:00:01Z", "body": {"transactionId": 5}}
{"message_id": "2", "message_type": 2, "charge_point_id": "cp-9", "action": "StopTransaction", \
"write_timestamp": "2026-05-01T08:30:00Z", \
"body": {"transactionId": 5, "meterStop": 4000, "timestamp": "2026-05-01T08:30:00Z"}}
"""
_FILE = {"type": "string", "format": "binary", "description": "columns as in docs/data.md"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {"schema": _FILE, "examples": {"one transaction": {"value": EXAMPLE}}},
            "text/csv": {"schema": _FILE},
            "application/vnd.apache.parquet": {"schema": _FILE},
        },
    }
}


class MessagesImported(BaseModel):
    """The same log again changes nothing."""

    rows: int
    charging_stations: int
    transactions: int
    cdrs: int
    meter_values: int = Field(description="new ones")
    quarantined: int = Field(description="new rows in the site's quarantine: could not be read as they are")
    skipped: int = Field(description="rows that could not be read")
    skipped_rows: list[str] = Field(description="the first of them, with the reason")
    warnings: list[str]


@router.post("/{site_id}/ocpp-messages", status_code=HTTPStatus.CREATED, openapi_extra=_BODY)
async def add_ocpp_messages(
    site_id: str,
    request: Request,
    services: ServicesDep,
    _: Admin,
    content_type: Annotated[str, Header(max_length=100)] = "",
) -> MessagesImported:
    """Charging stations, transactions, meter values and CDRs from a log. Unknown stations are added to the site."""
    await services.store.site(site_id)
    suffix = SUFFIXES.get(content_type.partition(";")[0].strip().lower())
    if suffix is None:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{content_type!r} is none of {', '.join(sorted(SUFFIXES))}"
        )
    body = await request.body()
    with TemporaryDirectory(prefix="smartcharge-upload-") as folder:
        path = Path(folder) / f"log{suffix}"
        await asyncio.to_thread(path.write_bytes, body)
        result = await import_ocpp_log(services.store, path, site_id=site_id)
    services.events.publish(SiteChanged(site_id, services.clock.now()))
    return MessagesImported(
        rows=result.rows,
        charging_stations=result.stations,
        transactions=result.transactions,
        cdrs=result.cdrs,
        meter_values=result.meter_values,
        quarantined=result.suspects,
        skipped=result.skipped.count,
        skipped_rows=result.skipped.quotes,
        warnings=result.warnings,
    )
