"""The HTTP application over a real SQLite store, with a planner and a connector that only remember."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal, cast

import httpx
from fastapi import FastAPI

from app.api.application import create_api
from app.api.optimize import EXAMPLE as PROBLEM
from app.api.services import Services
from app.api.sites import EXAMPLE as SITE
from app.clock import Clock, SteppedClock
from app.commands import Commands
from app.csms.connector import CsmsConnector, OcppVersion
from app.db.records import Json, Plan
from app.db.store import Store
from app.dispatch import Dispatcher
from app.errors import StationOfflineError
from app.events import Event, Events
from app.grid_limits import GridLimits
from app.keys import Keys
from app.metrics import Metrics
from app.planning.simulate import Simulator
from app.problem_json import problem_from_json, schedule_to_json
from app.settings import Settings
from app.site import Site
from optimizer.optimise import optimise
from tests.stores import a_store

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
__all__ = ["ADMIN", "NOW", "PROBLEM", "READ", "SITE", "WRITE", "Api", "a_plan", "an_api", "wrong"]

READ, WRITE, ADMIN = "read", "write", "admin"


class FakePlanner:
    """Saves the same small plan every time, and remembers what it was asked."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.asked: list[tuple[str, bool]] = []
        self._store = store
        self._clock = clock

    async def plan(
        self, site_id: str, *, kind: Literal["request", "nightly", "replan"] = "request", dispatch: bool = True
    ) -> Plan:
        await self._store.site(site_id)
        self.asked.append((site_id, dispatch))
        await asyncio.sleep(0)  # lets a second request in, as a real solve would
        plan = a_plan(site_id, created_at=self._clock.now())
        await self._store.save_plan(plan)
        return plan


class FakeConnector:
    """Knows who is connected; sends nothing."""

    def __init__(self) -> None:
        self.online: frozenset[str] = frozenset()
        self.versions: dict[str, OcppVersion] = {}  # 1.6 where nothing else is said
        self.replies: dict[str, Json | Exception] = {}  # by action; Accepted where nothing else is said
        self.sent: list[tuple[str, str, Json]] = []

    def connected(self) -> frozenset[str]:
        return self.online

    def version(self, station_id: str) -> OcppVersion:
        if station_id not in self.online:
            raise StationOfflineError(station_id)
        return self.versions.get(station_id, "1.6")

    async def call(self, station_id: str, action: str, payload: Json, *, timeout_s: float | None = None) -> Json:
        self.sent.append((station_id, action, payload))
        reply = self.replies.get(action, {"status": "Accepted"})
        if isinstance(reply, Exception):
            raise reply
        return reply


@dataclass
class Api:
    """`client` holds an admin key; `anonymous` holds none."""

    app: FastAPI
    client: httpx.AsyncClient
    anonymous: httpx.AsyncClient
    store: Store
    clock: SteppedClock
    keys: Keys
    planner: FakePlanner
    connector: FakeConnector
    heard: list[Event] = field(default_factory=list)

    async def as_(self, *scopes: str) -> dict[str, str]:
        """The header of a new key with these scopes."""
        _, token = await self.keys.create("test", scopes)
        return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def an_api(*, site: Json | None = SITE, **settings: Any) -> AsyncIterator[Api]:
    """An API at `NOW` with one site (or none). Settings are keyword arguments."""
    clock = SteppedClock(NOW)
    async with a_store(clock) as store:
        if site is not None:
            await store.save_site(Site.model_validate(site))
        events, keys, connector = Events(), Keys(store, clock), FakeConnector()
        executor = ThreadPoolExecutor(1)  # starts no thread before the first solve
        planner = FakePlanner(store, clock)
        dispatcher = Dispatcher(cast(CsmsConnector, connector), store, events, clock)
        for known in await store.sites():
            await dispatcher.restore(known)
        services = Services(
            settings=Settings(**settings),
            clock=clock,
            store=store,
            events=events,
            keys=keys,
            connector=cast(CsmsConnector, connector),
            planner=planner,
            simulator=Simulator(store, clock, executor, horizon=timedelta(hours=4)),
            certify=dispatcher.certificate,
            probe=dispatcher.probe,
            commands=Commands(lambda _: connector, dispatcher, store, events, clock),
            grid_limits=GridLimits(store, clock, events),
            ocpp_port=lambda: 9000,
        )
        app = create_api(services, Metrics(events, cast(CsmsConnector, connector)), session_secret=b"for tests")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        _, token = await keys.create("admin", [ADMIN])
        async with (
            httpx.AsyncClient(
                transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {token}"}
            ) as client,
            httpx.AsyncClient(transport=transport, base_url="http://test") as anonymous,
        ):
            api = Api(app, client, anonymous, store, clock, keys, planner, connector)
            events.subscribe(api.heard.append)
            yield api
        executor.shutdown()


def a_plan(site_id: str = "depot", *, created_at: datetime = NOW) -> Plan:
    """An optimal plan of one van and four hours."""
    return Plan(
        plan_id=uuid.uuid4().hex,
        site_id=site_id,
        kind="request",
        created_at=created_at,
        start=created_at,
        end=created_at + timedelta(hours=4),
        status="optimal",
        reason=None,
        problem=PROBLEM,
        schedule=_solved(),
        provenance={"import_price": {"source": "time_of_use tariff", "estimated": False}},
    )


@cache
def _solved() -> Json:
    return schedule_to_json(optimise(problem_from_json(PROBLEM)))


def wrong(response: httpx.Response, status: int = 422) -> dict[str, Any]:
    """The only error of a problem, after checking that it is one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:smartcharge:")
    return cast(dict[str, Any], body["errors"][0]) if body.get("errors") else {}
