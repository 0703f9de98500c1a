"""A running depot: the real service, stations on real sockets, and an HTTP client that holds a key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx

from app.clock import SystemClock
from app.csms.profiles import profile_from_json
from app.demo.car import Car, Vehicle
from app.demo.physics import outlets_of
from app.demo.profiles_held import HeldProfile
from app.demo.station import SimulatedStation, StationSpec
from app.main import Running, service
from app.settings import Settings
from app.site import Site

Json = dict[str, Any]
T = TypeVar("T")

MORNING = datetime(2026, 6, 2, 8, 3, tzinfo=UTC)  # a Tuesday, 10:03 in Berlin: cheap until noon, and no slot ends soon
NOON = MORNING.replace(hour=10, minute=0)
DEBOUNCE_S = 0.2
SAMPLE_S = 1
FUSE_A = 20.0  # for two cars of 16 A
PASSWORD = "password-of-a-test"  # 16 characters or more, as OCPP security has it
SLOWEST_S = 40.0  # how long anything may take on a busy machine before a test gives up

SITE: Json = {
    "id": "depot",
    "name": "Depot North",
    "time_zone": "Europe/Berlin",
    "country": "DE",
    "connection": {"max_import_kw": 60},
    "circuits": [{"id": "garage", "max_current_a": FUSE_A}],
    "charging_stations": [
        {"id": "cs01", "evses": [{"id": 1, "circuit": "garage"}]},
        {"id": "cs02", "evses": [{"id": 1, "circuit": "garage"}]},
    ],
    "tariff": {
        "kind": "time_of_use",
        "periods": [
            {
                "steps": [
                    {"start": "00:00", "price_per_kwh": 0.30},
                    {"start": "09:00", "price_per_kwh": 0.15},
                    {"start": "12:00", "price_per_kwh": 0.40},
                ]
            }
        ],
    },
    "base_load": {"annual_energy_kwh": 80_000, "max_kw": 40},
}


class WallClockFrom(SystemClock):
    """The wall clock, put to `start`: real seconds pass, yet prices and slots are the same in every run."""

    def __init__(self, start: datetime) -> None:
        self._offset = start - super().now()

    def now(self) -> datetime:
        return super().now() + self._offset


def settings(data_dir: Path, **changed: Any) -> Settings:
    usual: Json = {"http_port": 0, "ocpp_port": 0, "data_dir": data_dir, "replan_debounce_s": DEBOUNCE_S}
    return Settings(**usual | changed)


def a_car(*, room_kwh: float = 20.0) -> Car:
    """Three phases, 16 A."""
    return Car(Vehicle("test", phases=3, max_current_a=16.0, capacity_kwh=60.0), room_kwh)


@dataclass
class Depot:
    """What a test acts on: the service by its API alone, and the simulated stations."""

    running: Running
    client: httpx.AsyncClient
    stations: Mapping[str, SimulatedStation]
    site: Json

    @property
    def path(self) -> str:
        return f"/v1/sites/{self.site['id']}"

    async def get(self, path: str) -> Any:
        response = await self.client.get(path)
        assert response.is_success, response.text
        return response.json()

    async def post(self, path: str, body: Json, **headers: str) -> Any:
        response = await self.client.post(path, json=body, headers=headers)
        assert response.is_success, response.text
        return response.json()

    async def arrive(self, station_id: str, *, wants_kwh: float = 8.0, room_kwh: float = 20.0) -> None:
        """A car is plugged in, and its driver says what it needs by noon."""
        await self.stations[station_id].plug_in(1, a_car(room_kwh=room_kwh), f"tag-{station_id}")
        wish = {
            "charging_station_id": station_id,
            "departure": NOON.isoformat(),
            "required_energy_kwh": wants_kwh,
            "vehicle_phases": 3,
            "max_power_kw": 11.04,
        }
        await self.post(f"{self.path}/sessions", wish)

    async def latest(self) -> Json | None:
        response = await self.client.get(f"{self.path}/schedules/latest")
        return None if response.status_code == httpx.codes.NOT_FOUND else response.json()

    async def replanned_with_a_session(self) -> Json | None:
        """The latest plan, once it is one that the service made by itself for a car."""
        plan = await self.latest()
        return plan if plan and plan["kind"] == "replan" and plan["problem"]["sessions"] else None

    async def verified_plan(self, *station_ids: str) -> Json:
        """The first plan that knows a wish for each of these stations and is verified at all of them."""

        async def ready() -> Json | None:
            plan = await self.latest()
            verified = {row["charging_station_id"] for row in _verified(plan)}
            planned = {} if plan is None else {row["evse"]: row for row in plan["problem"]["sessions"]}
            wished = {row["charging_station_id"] for row in await self.get(f"{self.path}/sessions")}
            is_whole = set(station_ids) <= verified & wished and {f"{name}/1" for name in station_ids} <= set(planned)
            return plan if is_whole and plan is not None and await self.is_quiet() else None

        return await until(ready)

    async def is_quiet(self) -> bool:
        """No plan came while three debounces passed: nothing is under way any more."""
        before = await self.get(f"{self.path}/schedules")
        await asyncio.sleep(3 * DEBOUNCE_S)
        return bool(await self.get(f"{self.path}/schedules") == before)

    def profiles_received(self) -> int:
        return sum(station.profiles_received for station in self.stations.values())

    def plan_profile(self, station_id: str) -> HeldProfile:
        """The one TxProfile that the station holds."""
        (held,) = [profile for profile in self.stations[station_id].profiles if profile.purpose == "TxProfile"]
        return held


@asynccontextmanager
async def a_depot(data_dir: Path, *, connect: tuple[str, ...] = ("cs01", "cs02"), **site: Any) -> AsyncIterator[Depot]:
    """A started service with the site created over HTTP, passwords set, and the stations of `connect` booted."""
    document = SITE | site
    clock = WallClockFrom(MORNING)
    async with service(settings(data_dir), clock) as running, a_client(running) as client:
        depot = Depot(running, client, stations_of(document, clock), document)
        await depot.post("/v1/sites", document)
        for station_id in depot.stations:
            response = await client.put(f"/v1/charging-stations/{station_id}/password", json={"password": PASSWORD})
            assert response.status_code == httpx.codes.NO_CONTENT, response.text
        async with connected(*(depot.stations[station_id] for station_id in connect), url=running.ocpp_url):
            yield depot


@asynccontextmanager
async def a_client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {await running.create_key('test')}"}
    async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def stations_of(document: Json, clock: SystemClock) -> dict[str, SimulatedStation]:
    site = Site.model_validate(document)
    outlets = outlets_of(site)
    return {
        station.id: SimulatedStation(
            StationSpec(station.id, PASSWORD, sample_interval_s=SAMPLE_S),
            {evse.id: outlets[f"{station.id}/{evse.id}"] for evse in station.evses},
            clock,
        )
        for station in site.charging_stations
    }


@asynccontextmanager
async def connected(*stations: SimulatedStation, url: str) -> AsyncIterator[None]:
    """The stations on their sockets, booted; they hang up at the end."""
    tasks = [asyncio.create_task(station.run(url)) for station in stations]
    try:
        async with asyncio.timeout(SLOWEST_S):
            for station in stations:
                await station.booted.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], Awaitable[T | None]], *, within_s: float = SLOWEST_S) -> T:
    """What `condition` returns as soon as that is something; fails after `within_s`."""
    async with asyncio.timeout(within_s):
        while not (found := await condition()):  # noqa: ASYNC110 -- what is waited for is behind HTTP
            await asyncio.sleep(0.1)
    return found


def as_held(profile: Json, connector_id: int) -> Json:
    """A profile as the API shows it, in the terms of what a station holds."""
    sent = profile_from_json(profile)
    return {
        "profile_id": sent.profile_id,
        "connector_id": connector_id,
        "stack_level": sent.stack_level,
        "purpose": sent.purpose.value,
        "transaction_id": sent.transaction_id,
        "start": sent.start,
        "duration_s": sent.duration_s,
        "valid_to": sent.valid_to,
        "periods": [(period.start_s, period.limit, sent.unit.value) for period in sent.periods],
    }


def held_as_json(held: HeldProfile) -> Json:
    names = (
        "profile_id",
        "connector_id",
        "stack_level",
        "purpose",
        "transaction_id",
        "start",
        "duration_s",
        "valid_to",
    )
    return {name: getattr(held, name) for name in names} | {
        "periods": [(start_s, limit.value, limit.unit) for start_s, limit in held.periods]
    }


def drawn_a(station: SimulatedStation, second: datetime) -> float:
    """What the car at EVSE 1 drew in that second, A per phase. Raises `LookupError` where nothing was recorded."""
    for trace in station.outlets[1].traces:
        position = (second - trace.start) // timedelta(seconds=1)
        if 0 <= position < len(trace.current_a):
            return float(trace.current_a[position])
    raise LookupError(f"{station.spec.station_id} has no record of {second}")


def transaction_id(station: SimulatedStation) -> int:
    """Of the transaction that runs at EVSE 1, as the service named it."""
    running = station.transaction(1)
    assert running is not None
    assert isinstance(running.transaction_id, int)
    return running.transaction_id


def _verified(plan: Json | None) -> list[Json]:
    return [] if plan is None else [row for row in plan["deliveries"] if row["state"] in ("applied", "verified")]
