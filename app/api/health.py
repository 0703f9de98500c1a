"""`/health/live`, `/health/ready`, `/metrics`: for the machine that watches the machine.

`/metrics` needs a read key unless the API listens on loopback only: its figures say how busy a business is.
"""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.services import ServicesDep
from app.errors import StoreUnavailableError
from app.metrics import CONTENT_TYPE, Metrics

router = APIRouter(tags=["health"])


class LiveOut(BaseModel):
    status: Literal["live"] = "live"


class ReadyOut(BaseModel):
    status: Literal["ready", "not ready"]
    store: Literal["ok", "unavailable"]
    ocpp_port: int | None = Field(description="where charging stations connect; null: they cannot")


@router.get("/health/live")
async def live() -> LiveOut:
    """The process answers."""
    return LiveOut()


@router.get("/health/ready", responses={503: {"model": ReadyOut}})
async def ready(services: ServicesDep, response: Response) -> ReadyOut:
    """The database answers and charging stations can connect; else 503."""
    try:
        await services.store.ping()
        has_store = True
    except StoreUnavailableError:
        has_store = False
    port = services.ocpp_port()
    is_ready = has_store and port is not None and not services.stop.is_set()
    if not is_ready:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return ReadyOut(
        status="ready" if is_ready else "not ready", store="ok" if has_store else "unavailable", ocpp_port=port
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Prometheus' text format. Needs a read key unless the API is bound to loopback."""
    measured: Metrics = request.app.state.metrics
    return Response(measured.text(), media_type=CONTENT_TYPE)
