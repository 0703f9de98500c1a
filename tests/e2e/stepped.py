"""A depot on a stepped clock: the real service and simulated stations, and hours that pass in seconds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.clock import SteppedClock
from app.demo.car import Car, Vehicle
from app.demo.faults import Fault
from app.demo.physics import Measured, Outlet, Power, Surroundings, measure, outlets_of
from app.demo.profiles_held import Capability, Version
from app.demo.station import SimulatedStation, StationSpec
from app.events import SiteMeasured
from app.main import Running, service
from app.site import Site
from optimizer.domain import PHASES
from tests.e2e.builders import MORNING, PASSWORD, SITE, Json, a_client, settings

FUSE_A = 40.0  # three cars of 16 A do not fit; one with all its hardware and two at their minimum do not either
BUILDING_KW = 8.0  # as drawn, of the 20 kW that the site's document allows it
LATE_S = 0.6  # real seconds, later than `IMPATIENT`
IMPATIENT: Json = {"call_timeout_s": 0.3}  # settings for stations that do not answer: what each silence costs a test
GUARD_PERIOD_S = 5.0
SHARE = (1 / 3, 1 / 3, 1 / 3)


@dataclass(frozen=True, slots=True)
class Model:
    """A station of the depot: what it speaks, takes, and gets wrong from the start."""

    version: Version = "1.6"
    faults: Sequence[Fault] = ()
    capability: Capability = field(default_factory=Capability)
    evses: int = 1


@dataclass
class SteppedDepot:
    """The service by its API alone, and stations whose meters are known second by second."""

    running: Running
    client: httpx.AsyncClient
    clock: SteppedClock
    site: Site
    outlets: Mapping[str, Outlet]
    stations: Mapping[str, SimulatedStation]
    tasks: dict[str, asyncio.Task[None]]
    building_kw: list[tuple[datetime, float]] = field(default_factory=lambda: [(MORNING, BUILDING_KW)])  # from when on
    follows_after_s: int = 0  # of the cars that come

    async def get(self, path: str) -> Any:
        with self.clock.hold():
            response = await self.client.get(path)
        assert response.is_success, response.text
        return response.json()

    async def send(self, method: str, path: str, body: Json) -> Any:
        with self.clock.hold():
            response = await self.client.request(method, path, json=body)
        assert response.is_success, response.text
        return response.json() if response.content else None

    async def pass_time(self, **time: float) -> None:
        await self.clock.run_until(self.clock.now() + timedelta(**time))

    async def connect(self, *station_ids: str) -> None:
        """Start the stations; returns when they have booted and are prepared."""
        for station_id in station_ids:
            station = self.stations[station_id]
            self.tasks[station_id] = asyncio.create_task(station.run(self.running.ocpp_url))
        with self.clock.hold():
            for station_id in station_ids:
                async with asyncio.timeout(20):
                    await self.stations[station_id].booted.wait()
        await self.pass_time(seconds=5)

    async def kill(self, station_id: str) -> None:
        """Power off the modem: it charges on by what it holds, and nobody hears of it."""
        task = self.tasks.pop(station_id)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def arrive(
        self, station_id: str, *, evse_id: int = 1, wants_kwh: float = 12.0, room_kwh: float = 40.0, hours: float = 3.0
    ) -> None:
        """A car of 16 A on three phases is plugged in, and its driver says what it needs when."""
        model = Vehicle("test", phases=3, max_current_a=16.0, capacity_kwh=60.0, follows_after_s=self.follows_after_s)
        car = Car(model, room_kwh)
        plugging = asyncio.create_task(self.stations[station_id].plug_in(evse_id, car, f"tag-{station_id}-{evse_id}"))
        await self.pass_time(seconds=2)
        await plugging
        wish = {
            "charging_station_id": station_id,
            "evse_id": evse_id,
            "departure": (self.clock.now() + timedelta(hours=hours)).isoformat(),
            "required_energy_kwh": wants_kwh,
            "vehicle_phases": 3,
            "max_power_kw": 11.04,
        }
        await self.send("POST", f"/v1/sites/{self.site.id}/sessions", wish)

    async def states(self) -> dict[str, str]:
        """Of each EVSE's last delivery."""
        plan = await self.get(f"/v1/sites/{self.site.id}/schedules/latest")
        return {f"{row['charging_station_id']}/{row['evse_id']}": row["state"] for row in plan["deliveries"]}

    def measured(self, *, since: datetime = MORNING) -> Measured:
        """Every fuse and phase, second by second, up to now."""
        for station in self.stations.values():
            station.advance()
        seconds = int((self.clock.now() - since).total_seconds())
        surroundings = Surroundings(since, self._building(since, seconds), np.zeros(seconds), SHARE)
        return measure(self.site, surroundings, (trace for outlet in self.outlets.values() for trace in outlet.traces))

    def _building(self, since: datetime, seconds: int) -> Power:
        power_kw = np.zeros(seconds)
        for begin, kw in self.building_kw:
            power_kw[max(0, int((begin - since).total_seconds())) :] = kw
        return power_kw

    def building(self, kw: float) -> None:
        """It draws so much from now on."""
        self.building_kw.append((self.clock.now(), kw))

    def charging_a(self) -> float:
        """Of all cars together, A on each phase, in the last second."""
        return sum(self.drawn_a(key) for key in self.outlets)

    @asynccontextmanager
    async def metered(self, show: Callable[[], Mapping[str, float]], *, every_s: float = 1.0) -> AsyncIterator[None]:
        """While the body runs, meters report what `show` says: A on each phase, by meter."""

        async def report() -> None:
            while True:
                for meter_id, current_a in show().items():
                    shown: dict[str, float] = dict.fromkeys(PHASES, current_a)
                    now = self.clock.now()
                    self.running.events.publish(SiteMeasured(self.site.id, meter_id, now, None, shown))
                await self.clock.sleep(every_s)

        reporting = asyncio.create_task(report())
        try:
            yield
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting

    def current_a(self, circuit_id: str | None, *, since: datetime) -> Power:
        """Second by second from `since` to now, A on L1: of a circuit, or, None, of the whole site."""
        for station in self.stations.values():
            station.advance()
        seconds = int((self.clock.now() - since).total_seconds())
        total_a = np.zeros(seconds)
        if circuit_id is None:
            total_a += self._building(since, seconds) * SHARE[0] * 1000 / self.site.connection.voltage_v
        for outlet in self.outlets.values():
            if circuit_id not in (None, outlet.evse.circuit):
                continue
            for trace in outlet.traces:
                first = int((trace.start - since).total_seconds())
                begin, end = max(first, 0), min(first + len(trace.current_a), seconds)
                if begin < end:
                    total_a[begin:end] += trace.current_a[begin - first : end - first]
        return total_a

    def drawn_a(self, key: str) -> float:
        """A per phase, in the last second."""
        station_id, _, _ = key.partition("/")
        self.stations[station_id].advance()
        return self.outlets[key].current_a


@asynccontextmanager
async def a_stepped_depot(
    data_dir: Path,
    models: Mapping[str, Model],
    *,
    fuse_a: float = FUSE_A,
    changed: Json | None = None,
    **site: Any,
) -> AsyncIterator[SteppedDepot]:
    """A started service with every station of `models` under one fuse of `fuse_a`, booted."""
    document = SITE | {
        "circuits": [{"id": "garage", "max_current_a": fuse_a}],
        "charging_stations": [
            {"id": name, "evses": [{"id": number + 1, "circuit": "garage"} for number in range(model.evses)]}
            for name, model in models.items()
        ],
        "base_load": {"annual_energy_kwh": 70_000, "max_kw": 20},
    }
    document |= site
    clock = SteppedClock(MORNING)
    parsed = Site.model_validate(document)
    outlets = outlets_of(parsed)
    stations = {}
    for name, model in models.items():
        spec = StationSpec(name, PASSWORD, capability=model.capability, version=model.version)
        own = {number: outlets[f"{name}/{number}"] for number in range(1, model.evses + 1)}
        stations[name] = SimulatedStation(spec, own, clock)
        stations[name].faults.switch_on(*model.faults)
        stations[name].faults.late_s = LATE_S
    usual = settings(
        data_dir,
        **{
            "ping_interval_s": None,
            "call_timeout_s": 10.0,
            "replan_debounce_s": 1.0,
            "guard_period_s": GUARD_PERIOD_S,
            **(changed or {}),
        },
    )
    async with service(usual, clock) as running, a_client(running) as client:
        depot = SteppedDepot(running, client, clock, parsed, outlets, stations, {})
        await depot.send("POST", "/v1/sites", document)
        for name in models:
            await depot.send("PUT", f"/v1/charging-stations/{name}/password", {"password": PASSWORD})
        try:
            await depot.connect(*models)
            yield depot
        finally:
            for name in list(depot.tasks):
                await depot.kill(name)
