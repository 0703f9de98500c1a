"""From plug-in to an applied profile: a site of 50 EVSEs, simulated stations on real sockets, and the wall clock.

    python benchmarks/replan_latency.py [--evses 50] [--repeat 7]

All EVSEs but one have a car that charges. One more car is plugged in, again and again. Counted from the moment in which
its station begins to say so: until the plan is made, until the station holds the profile, until it has reported it
back (applied), and until its meter agrees (verified). Service and stations share this process and its processors.
"""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import httpx
import structlog

from app.clock import SystemClock
from app.db.records import Delivery
from app.demo.car import Car, Vehicle
from app.demo.physics import outlets_of
from app.demo.station import SimulatedStation, StationSpec
from app.events import Event, PlanMade
from app.main import Running, service
from app.settings import Settings
from app.site import Site
from benchmarks.report import Report, arguments

PASSWORD = "password-of-a-benchmark"  # noqa: S105  # of simulated stations
SAMPLE_S = 10  # meter values
ROWS = 5
PATIENCE_S = 60.0
APPLIED = ("applied", "verified")
PRICES = [(0, 0.24), (6, 0.32), (9, 0.28), (12, 0.18), (16, 0.34), (20, 0.29)]


def a_site(evses: int) -> dict[str, Any]:
    """Rows of ten stations under a fuse that carries a third of what they could draw."""
    each = evses // ROWS
    steps = [{"start": f"{hour:02}:00", "price_per_kwh": price} for hour, price in PRICES]
    return {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {"max_import_kw": 6 * evses, "max_current_a": 9 * evses},
        "circuits": [{"id": f"row{row}", "max_current_a": 11 * each} for row in range(ROWS)],
        "charging_stations": [
            {
                "id": f"cs{number:03}",
                "evses": [{"id": 1, "circuit": f"row{number % ROWS}", "max_current_a": 32}],
            }
            for number in range(evses)
        ],
        "tariff": {"kind": "time_of_use", "periods": [{"steps": steps}]},
        "base_load": {"annual_energy_kwh": 200_000, "max_kw": 60},
    }


class Yard:
    """The service and its stations."""

    def __init__(self, running: Running, stations: dict[str, SimulatedStation], client: httpx.AsyncClient) -> None:
        self.running, self.stations, self.client = running, stations, client
        self.plans: list[tuple[float, str]] = []
        running.events.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        if isinstance(event, PlanMade):
            self.plans.append((perf_counter(), event.plan_id))

    async def announce(self, station_id: str, need_kwh: float) -> None:
        """A driver says what the car needs that will be plugged in there."""
        wish = {
            "charging_station_id": station_id,
            "departure": (self.running.clock.now() + timedelta(hours=7)).isoformat(),
            "required_energy_kwh": need_kwh,
            "vehicle_phases": 3,
            "max_power_kw": 11.04,
        }
        (await self.client.post("/v1/sites/depot/sessions", json=wish)).raise_for_status()

    async def plug_in(self, station_id: str) -> None:
        car = Car(Vehicle("test", phases=3, max_current_a=16.0, capacity_kwh=80.0), 75.0)
        await self.stations[station_id].plug_in(1, car, f"tag-{station_id}")

    async def until_quiet(self, seconds: float) -> None:
        """Until no plan was made for so long."""
        while self.plans and (left := seconds - (perf_counter() - self.plans[-1][0])) > 0:  # noqa: ASYNC110  # silence has no event
            await asyncio.sleep(left)

    async def delivery(self, station_id: str) -> Delivery | None:
        """What became of the station's part of the newest plan."""
        if not self.plans:
            return None
        deliveries = await self.running.store.deliveries(self.plans[-1][1])
        return next((delivery for delivery in deliveries if delivery.station_id == station_id), None)

    def holds_a_plan(self, station_id: str) -> bool:
        return any(profile.purpose == "TxProfile" for profile in self.stations[station_id].profiles)

    def profiles_received(self) -> int:
        return sum(station.profiles_received for station in self.stations.values())


@asynccontextmanager
async def a_yard(evses: int, directory: Path) -> AsyncIterator[Yard]:
    """A started service and every station booted."""
    document, clock = a_site(evses), SystemClock()
    settings = Settings(http_port=0, ocpp_port=0, data_dir=directory, ocpp_connects_a_minute=100)
    async with service(settings) as running:
        headers = {"Authorization": f"Bearer {await running.create_key('benchmark')}"}
        async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=120.0) as client:
            (await client.post("/v1/sites", json=document)).raise_for_status()
            outlets = outlets_of(Site.model_validate(document))
            stations = {}
            for station in document["charging_stations"]:
                name = station["id"]
                path = f"/v1/charging-stations/{name}/password"
                (await client.put(path, json={"password": PASSWORD})).raise_for_status()
                spec = StationSpec(name, PASSWORD, sample_interval_s=SAMPLE_S)
                stations[name] = SimulatedStation(spec, {1: outlets[f"{name}/1"]}, clock)
            tasks = [asyncio.create_task(station.run(running.ocpp_url)) for station in stations.values()]
            try:
                for booting in stations.values():
                    await asyncio.wait_for(booting.booted.wait(), PATIENCE_S)
                yield Yard(running, stations, client)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def one_arrival(yard: Yard, station_id: str) -> dict[str, float]:
    """Seconds since plug-in of each step. The car is in a hurry, so that it has to draw at once."""
    await yard.announce(station_id, 70.0)
    await asyncio.sleep(3.0)
    await yard.until_quiet(5.0)
    yard.plans.clear()
    received, began, seconds = yard.profiles_received(), perf_counter(), dict[str, float]()
    plugging = asyncio.create_task(yard.plug_in(station_id))
    while "verified" not in seconds:
        await asyncio.sleep(0.01)
        now = perf_counter() - began
        if now > PATIENCE_S:
            raise TimeoutError(f"{station_id} has {seconds} after {now:.0f} s")
        if yard.plans:
            seconds.setdefault("planned", yard.plans[0][0] - began)
        if yard.holds_a_plan(station_id):
            seconds.setdefault("held", now)
            delivery = await yard.delivery(station_id)
            if delivery is not None and delivery.state in APPLIED:
                seconds.setdefault("applied", perf_counter() - began)
            if delivery is not None and delivery.state == "verified":
                seconds.setdefault("verified", perf_counter() - began)
    await plugging
    await yard.until_quiet(3.0)
    seconds["profiles"] = yard.profiles_received() - received
    await yard.stations[station_id].unplug(1)
    await asyncio.sleep(3.0)
    return seconds


async def measure(report: Report, evses: int, repeat: int) -> None:
    """Fill the site, then plug the last car in and out."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        async with a_yard(evses, Path(directory)) as yard:
            names = list(yard.stations)
            for number, name in enumerate(names[:-1]):
                await yard.announce(name, 12.0 + number % 7 * 4.0)
                await yard.plug_in(name)
            await asyncio.sleep(5.0)
            await yard.until_quiet(8.0)
            found = [await one_arrival(yard, names[-1]) for _ in range(repeat)]
    case = f"{evses} EVSEs"
    for step in ("planned", "held", "applied", "verified"):
        times_s = [seconds[step] for seconds in found]
        report.add(case, f"plug-in to {step}, median", median(times_s), "s")
        report.add(case, f"plug-in to {step}, most", max(times_s), "s")
    report.add(case, "profiles an arrival, median", median(seconds["profiles"] for seconds in found), "")
    for figure in report.figures:
        print(f"{figure.case}  {figure.measure:32} {figure.value:8.2f} {figure.unit}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evses", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=7)
    options, report = arguments(parser, "replan_latency")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(measure(report, options.evses, options.repeat))


if __name__ == "__main__":
    main()
