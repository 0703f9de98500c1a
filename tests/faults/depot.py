"""A depot of two stations on real sockets, whose service is a process that may end at any moment.

The stations go on whatever the service does, as they do in the field; they only come back sooner.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from app.clock import SystemClock
from app.csms.passwords import generate_password
from app.db.store import Store
from app.demo.car import Car, Vehicle
from app.demo.chaos_proxy import ChaosProxy
from app.demo.physics import outlets_of
from app.demo.station import SimulatedStation, StationSpec
from app.keys import Keys
from app.site import Site
from tests.e2e.builders import SLOWEST_S, connected, until
from tests.faults.serving import Service, a_service, answer
from tests.stores import a_store

Json = dict[str, Any]
FUSE_A = 20.0  # for two cars of 16 A: whoever comes second, makes the first one lower
SETTLED = {"applied", "verified"}

SITE: Json = {
    "id": "depot",
    "name": "Depot",
    "time_zone": "Europe/Berlin",
    "connection": {"max_import_kw": 60},
    "circuits": [{"id": "garage", "max_current_a": FUSE_A}],
    "charging_stations": [
        {"id": "cs01", "evses": [{"id": 1, "circuit": "garage"}]},
        {"id": "cs02", "evses": [{"id": 1, "circuit": "garage"}]},
    ],
    "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    "base_load": {"annual_energy_kwh": 20_000, "max_kw": 10},
}


class HastyClock(SystemClock):
    """The wall clock, on which no station waits for five seconds before it connects again."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.25))


@dataclass
class Depot:
    service: Service
    client: httpx.AsyncClient
    stations: Mapping[str, SimulatedStation]
    line: ChaosProxy

    def worst_a(self) -> float:
        """The highest current of any second on any phase of the fuse that both share.

        Outlets step by whole seconds of their own: one that is raised within a second draws more from its beginning.
        So of the two seconds of an outlet that touch one of the clock, the lower counts.
        """
        drawn_a: defaultdict[datetime, float] = defaultdict(float)
        for station in self.stations.values():
            station.advance()
            touching: defaultdict[datetime, list[float]] = defaultdict(list)
            for trace in station.outlets[1].traces:
                first = trace.start.replace(microsecond=0)
                for second, current_a in enumerate(trace.current_a):
                    for later in (0, 1):
                        touching[first + timedelta(seconds=second + later)].append(float(current_a))
            for second_of_clock, currents_a in touching.items():
                drawn_a[second_of_clock] += min(currents_a) if len(currents_a) > 1 else 0.0
        return max(drawn_a.values(), default=0.0)

    async def get(self, path: str) -> Any:
        """None while there is no answer."""
        response = await answer(self.client, "GET", path)
        return response.json() if response is not None and response.is_success else None

    async def arrive(self, station_id: str, *, wants_kwh: float = 30.0, hours: float = 8.0) -> None:
        """A car of 16 A on three phases comes; its driver's wish is sent until it is taken."""
        car = Car(Vehicle("test", phases=3, max_current_a=16.0, capacity_kwh=60.0), 40.0)
        station = self.stations[station_id]
        await station.plug_in(1, car, f"tag-{station_id}")
        wish = {
            "charging_station_id": station_id,
            "departure": (station.clock.now() + timedelta(hours=hours)).isoformat(),
            "required_energy_kwh": wants_kwh,
            "vehicle_phases": 3,
            "max_power_kw": 11.04,
        }

        async def taken() -> bool:
            response = await answer(self.client, "POST", "/v1/sites/depot/sessions", json=wish)
            return response is not None and response.is_success

        await until(taken)

    async def planned(self, *station_ids: str, within_s: float = SLOWEST_S) -> Json:
        """The newest plan, once it is settled at all of these stations, which hold what it says they do."""

        async def settled() -> Json | None:
            plan = await self.get("/v1/sites/depot/schedules/latest")
            rows = [] if plan is None else plan["deliveries"]
            states = {row["charging_station_id"]: row["state"] for row in rows}
            wished = {row["charging_station_id"] for row in (await self.get("/v1/sites/depot/sessions")) or ()}
            planned = set() if plan is None else {row["evse"] for row in plan["problem"]["sessions"]}
            is_whole = set(station_ids) <= wished and {f"{name}/1" for name in station_ids} <= planned
            return plan if is_whole and all(states.get(name) in SETTLED for name in station_ids) else None

        return await until(settled, within_s=within_s)

    async def settled_cdr(self, station_id: str) -> Json:
        async def found() -> Json | None:
            rows = await self.get("/v1/cdrs")
            return next((row for row in rows or () if row["charging_station_id"] == station_id), None)

        return await until(found)


@asynccontextmanager
async def a_depot(
    directory: Path, *, crash_at: Sequence[str] = (), proxy: bool = False, url: str | None = None, **environment: str
) -> AsyncIterator[Depot]:
    """Both stations have booted at a service that ends at the first of these points, when started again at the next
    one, and comes up again after each."""
    site = Site.model_validate(SITE)
    directory.mkdir(exist_ok=True)
    async with a_store(directory=directory) as store:
        token, passwords = await found(store, site)
    async with a_service(directory, **environment) as service:
        await service.start(*crash_at[:1])
        service.keep_up(crash_at[1:])
        headers = {"Authorization": f"Bearer {token}"}

        async def listens() -> bool:
            return bool(service.http_url)

        await until(listens)
        async with httpx.AsyncClient(base_url=service.http_url, headers=headers, timeout=30, trust_env=False) as client:
            stations, port = stations_of(site, passwords), int(service.ocpp_url.rpartition(":")[2])
            async with ChaosProxy.to(port=port) as line:
                ocpp_url = f"ws://127.0.0.1:{line.port}" if proxy else service.ocpp_url
                async with connected(*stations.values(), url=ocpp_url):
                    yield Depot(service, client, stations, line)


async def found(store: Store, site: Site) -> tuple[str, dict[str, str]]:
    """The site and its stations' passwords in the store; an admin's token."""
    await store.save_site(site)
    passwords = {}
    for station in site.charging_stations:
        passwords[station.id], password_hash = generate_password()
        await store.set_password_hash(station.id, password_hash)
    _, token = await Keys(store, SystemClock()).create("test", ["admin"])
    return token, passwords


def stations_of(site: Site, passwords: Mapping[str, str]) -> dict[str, SimulatedStation]:
    """The first speaks 1.6, the second 2.0.1."""
    outlets, clock, stations = outlets_of(site), HastyClock(), {}
    for station, version in zip(site.charging_stations, ("1.6", "2.0.1"), strict=True):
        spec = StationSpec(station.id, passwords[station.id], sample_interval_s=1, version=version)  # type: ignore[arg-type]  # a Literal
        own = {evse.id: outlets[f"{station.id}/{evse.id}"] for evse in station.evses}
        stations[station.id] = SimulatedStation(spec, own, clock)
    return stations


async def quiet(seconds: float = 0.6) -> None:
    """Longer than it takes to gather what happens into a plan."""
    await asyncio.sleep(seconds)
