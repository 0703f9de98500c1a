"""`/health/live`, `/health/ready`, `/metrics`: for the machine that watches the machine.

`/metrics` needs a read key unless the API listens on loopback only: its figures say how busy a business is.
"""

import asyncio
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.services import ServicesDep
from app.metrics import CONTENT_TYPE, Metrics
from app.readiness import Readiness

router = APIRouter(tags=["health"])


class LiveOut(BaseModel):
    status: Literal["live"] = "live"


class ReadyOut(BaseModel):
    status: Literal["ready", "not ready"]
    store: Literal["ok", "unavailable"]
    ocpp_port: int | None = Field(description="where charging stations connect; null: they cannot")
    troubles: dict[str, str] = Field(description="what is wrong, by the part of the service; empty: nothing is")


@router.get("/health/live")
async def live() -> LiveOut:
    """The process answers."""
    return LiveOut()


@router.get("/health/ready", responses={503: {"model": ReadyOut}})
async def ready(services: ServicesDep, response: Response) -> ReadyOut:
    """The database takes what is written, charging stations can connect, and the parts that plan and send do; else 503.

    `troubles` also names what is wrong and not needed, with status 200.
    """
    own = Readiness()
    own.add("store", services.store.check)
    (store,), others = await asyncio.gather(own.answers(), services.readiness.answers())
    port = services.ocpp_port()
    is_ready = not any(one.trouble for one in (store, *others) if one.needed)
    is_ready = is_ready and port is not None and not services.stop.is_set()
    if not is_ready:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return ReadyOut(
        status="ready" if is_ready else "not ready",
        store="unavailable" if store.trouble else "ok",
        ocpp_port=port,
        troubles={one.name: one.trouble for one in (store, *others) if one.trouble},
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Prometheus' text format. Needs a read key unless the API is bound to loopback."""
    measured: Metrics = request.app.state.metrics
    return Response(await measured.text(), media_type=CONTENT_TYPE)
