"""The HTTP application: routes, errors and middleware put together. It is given everything; it builds nothing."""

import time
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import (
    actuators,
    alarms,
    cdrs,
    certificates,
    charging_stations,
    commands,
    consumption,
    csms_events,
    dashboard,
    decisions,
    enrolment,
    flexibility,
    forecast_quality,
    grid_limits,
    health,
    keys,
    notices,
    ocpp_messages,
    optimize,
    overrides,
    problems,
    quarantine,
    readings,
    runs,
    schedules,
    series,
    sessions,
    simulations,
    site_events,
    site_guard,
    site_now,
    sites,
    sources,
    transactions,
)
from app.api.auth import KeyRequired, Sessions
from app.api.limits import BodyLimit
from app.api.services import Services
from app.metrics import Metrics

ROUTERS = (
    sites.router,
    site_guard.router,
    actuators.router,
    site_now.router,
    certificates.router,
    site_events.router,
    overrides.router,
    alarms.router,
    readings.router,
    series.router,
    sources.router,
    ocpp_messages.router,
    sessions.router,
    schedules.router,
    decisions.router,
    runs.router,
    simulations.router,
    optimize.router,
    charging_stations.router,
    commands.router,
    notices.router,
    enrolment.router,
    transactions.router,
    cdrs.router,
    consumption.router,
    quarantine.router,
    flexibility.router,
    forecast_quality.router,
    grid_limits.router,
    keys.router,
)
PUBLIC_ROUTERS = (health.router, dashboard.router)
SIGNED_ROUTERS = (csms_events.router,)  # no API key: their senders have other credentials
UPLOADS = ("/readings", "/ocpp-messages")
LOOPBACK = ("127.0.0.1", "::1", "localhost")

DESCRIPTION = """\
Smart charging: plans from meter history, PV forecasts and tariffs, sent to charging stations as OCPP charging profiles.

* Authenticate with `Authorization: Bearer sc_…` (`smartcharge keys create`). Scopes: read, write, admin.
* Times are ISO 8601 with an offset; answers are UTC. Power is kW, energy kWh, current A per phase.
* `/health` needs no key; `/metrics` needs one unless the API listens on loopback only.
* Lists are JSON arrays. Errors are `application/problem+json` (RFC 9457) and name the field and the value.
"""


def create_api(services: Services, metrics: Metrics, session_secret: bytes) -> FastAPI:
    """The application of one service."""
    settings, sessions_ = services.settings, Sessions(session_secret, services.clock)
    needs_key = () if settings.http_host in LOOPBACK else ("/metrics",)
    limits = {"max_bytes": settings.max_body_bytes, "max_upload_bytes": settings.max_upload_bytes}
    app = _routes(
        Middleware(Measured, metrics=metrics),
        Middleware(KeyRequired, services=services, sessions=sessions_, also=needs_key),
        Middleware(BodyLimit, uploads=UPLOADS, **limits),
    )
    app.state.services = services
    app.state.metrics = metrics
    app.state.sessions = sessions_
    return app


def openapi_document() -> dict[str, Any]:
    """What ``/openapi.json`` serves, without a service behind it."""
    document: dict[str, Any] = _routes().openapi()
    return document


def _routes(*middleware: Middleware) -> FastAPI:
    app = FastAPI(
        title="smartcharge",
        version=version("smartcharge"),
        description=DESCRIPTION,
        docs_url=None,  # its scripts come from someone else's server, which the content security policy forbids
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        middleware=list(middleware),
    )
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router, responses=_responses(_PROBLEMS))
    for router in PUBLIC_ROUTERS:
        app.include_router(router, responses=_responses({422: _PROBLEMS[422]}))
    for router in SIGNED_ROUTERS:
        app.include_router(router, responses=_responses({code: _PROBLEMS[code] for code in (401, 404, 413, 422)}))
    generate = app.openapi
    app.openapi = lambda: _with_media_type(generate())  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _responses(texts: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": problems.ProblemOut, "description": text} for code, text in texts.items()}


def _with_media_type(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI writes every model as application/json; problems are application/problem+json."""
    names = ("ProblemOut", "StationErrorOut")
    shapes = [{"schema": {"$ref": f"#/components/schemas/{name}"}} for name in names]
    for item in document["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                if (shape := response.get("content", {}).get("application/json")) in shapes:
                    response["content"] = {problems.MEDIA_TYPE: shape}
    return document


class Measured:
    """ASGI middleware: how long each route took to begin its answer. Paths that no route knows are one label."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unknown")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.request_seconds.labels(method, route, message["status"]).observe(
                    time.perf_counter() - start
                )
            await send(message)

        await self._app(scope, receive, timed)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBLEMS = {
    401: "No key, or an unknown one",
    403: "The key lacks the scope",
    404: "Unknown id",
    413: "The body is too large",
    422: "The input is wrong: the problem names field and value",
}
