"""Hours of a busy depot: are memory, tasks and open files of the service flat?

    python benchmarks/soak.py [--minutes 10] [--stations 12] [--json PATH]

The service is a process of its own with a database of its own. Stations of 1.6 and 2.0.1 on real sockets see a car
every half minute or so; its driver's wish comes by the API, plans are made and sent, lines are dropped, the dashboard's
pages are read. Every few seconds the service is asked for its metrics. What the first third grows by is warming up; a
straight line through the rest is the slope, with twice its standard error. `--minutes 120` is the long run.

Two figures tell a leak from an allocator that has not settled: the memory of the process, and the blocks that Python's
objects occupy. What is kept for ever is in both.
"""

import argparse
import asyncio
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import httpx
import numpy as np
import structlog

from app.clock import SystemClock
from app.csms.passwords import generate_password
from app.db.store import Store
from app.demo.car import Car, Vehicle
from app.demo.physics import outlets_of
from app.demo.profiles_held import Version
from app.demo.station import SimulatedStation, StationSpec
from app.keys import Keys
from app.site import Site
from benchmarks.report import Report

EVERY_S = 5.0  # between two looks at the metrics
STAY_S = (10.0, 40.0)
WATCHED = {
    "memory": ("process_resident_memory_bytes", 1e-6, "MB"),
    "objects": ("smartcharge_python_blocks", 1e-3, "1000 blocks"),
    "tasks": ("smartcharge_tasks", 1.0, "tasks"),
    "open files": ("process_open_fds", 1.0, "files"),
}
READ = ("/v1/sites/depot/now", "/v1/sites/depot/schedules/latest", "/v1/transactions?running=true", "/health/ready")


class HastyClock(SystemClock):
    """Stations that connect again within a quarter of a second, and sample as often."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.25) if seconds != 1 else 1)


@dataclass
class Series:
    """What was seen of one figure: seconds since the start, and its value."""

    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def slope_per_hour(self) -> tuple[float, float]:
        """Of a straight line through the last two thirds, and twice its standard error."""
        first = len(self.seconds) // 3
        x, y = np.array(self.seconds[first:]) / 3600, np.array(self.values[first:])
        if len(x) < 3:
            return float("nan"), float("nan")
        centred = x - x.mean()
        slope = float(centred @ y / (centred @ centred))
        rest = y - y.mean() - slope * centred
        return slope, 2 * float(np.sqrt(rest @ rest / (len(x) - 2) / (centred @ centred)))


def a_site(stations: int) -> Site:
    names = [f"cs{number:02}" for number in range(1, stations + 1)]
    document = {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {"max_import_kw": 100},
        "circuits": [{"id": "garage", "max_current_a": 8.0 * stations}],
        "charging_stations": [{"id": name, "evses": [{"id": 1, "circuit": "garage"}]} for name in names],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        "base_load": {"annual_energy_kwh": 50_000, "max_kw": 20},
    }
    return Site.model_validate(document)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[tuple[str, str]]:
    """HTTP and OCPP addresses of a service in a process of its own."""
    own = {"HTTP_PORT": "0", "OCPP_PORT": "0", "DATA_DIR": str(directory), "RECONCILE_S": "5", "LOG_LEVEL": "INFO"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMARTCHARGE_")}
    environment |= {f"SMARTCHARGE_{name}": value for name, value in own.items()}
    log = directory / "serve.log"
    with log.open("wb") as out:
        service = subprocess.Popen([sys.executable, "-m", "app", "serve"], env=environment, stderr=out)  # noqa: ASYNC220 -- nothing else runs yet
    try:
        while b"service started" not in log.read_bytes():
            if service.poll() is not None:
                raise RuntimeError(log.read_text("utf-8")[-2000:])
            await asyncio.sleep(0.05)
        line = next(line for line in log.read_text("utf-8").splitlines() if "service started" in line)
        started = json.loads(line)
        yield started["http"], started["ocpp"]
    finally:
        service.terminate()
        service.wait(30)


async def cars(
    station: SimulatedStation, client: httpx.AsyncClient, noise: np.random.Generator, came: list[str]
) -> None:
    """One after the other, until it is cancelled; each is noted in `came`."""
    await station.booted.wait()
    while True:
        await asyncio.sleep(float(noise.uniform(*STAY_S)) / 4)
        await station.plug_in(1, Car(Vehicle("soak", 3, 16.0, 60.0), float(noise.uniform(5, 40))), "TAG")
        wish = {
            "charging_station_id": station.spec.station_id,
            "departure": (station.clock.now() + timedelta(hours=float(noise.uniform(1, 8)))).isoformat(),
            "required_energy_kwh": float(noise.uniform(2, 30)),
        }
        came.append(station.spec.station_id)
        with suppress(httpx.TransportError):
            await client.post("/v1/sites/depot/sessions", json=wish)
        await asyncio.sleep(float(noise.uniform(*STAY_S)))
        if noise.random() < 0.2:
            await station.drop_connection()
        await station.unplug(1)


async def look(client: httpx.AsyncClient, began: float) -> Mapping[str, tuple[float, float]]:
    """Each figure now: seconds since the start, value."""
    for path in READ:
        await client.get(path)
    text = (await client.get("/metrics")).text
    now = perf_counter() - began
    found = {}
    for name, (metric, factor, _) in WATCHED.items():
        match = re.search(rf"^{metric} (\S+)$", text, re.MULTILINE)
        if match is not None:
            found[name] = (now, float(match[1]) * factor)
    return found


async def soak(minutes: float, stations: int) -> tuple[dict[str, Series], int]:
    """What was seen, and how many cars came."""
    site, clock, seen = a_site(stations), HastyClock(), {name: Series() for name in WATCHED}
    came: list[str] = []
    with TemporaryDirectory(prefix="smartcharge-soak-") as folder:
        directory = Path(folder)
        passwords = {}
        async with Store.open(f"sqlite:///{directory / 'smartcharge.db'}", clock) as store:
            await store.save_site(site)
            for station in site.charging_stations:
                passwords[station.id], password_hash = generate_password()
                await store.set_password_hash(station.id, password_hash)
            _, token = await Keys(store, clock).create("soak", ["admin"])
        async with serving(directory) as (http_url, ocpp_url):
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(base_url=http_url, headers=headers, timeout=30, trust_env=False) as client:
                outlets, versions = outlets_of(site, keep_traces=False), _versions(stations)
                simulated = [
                    SimulatedStation(
                        StationSpec(one.id, passwords[one.id], sample_interval_s=1, version=version),
                        {1: outlets[f"{one.id}/1"]},
                        clock,
                    )
                    for one, version in zip(site.charging_stations, versions, strict=True)
                ]
                noise = np.random.default_rng(1)
                works = [station.run(ocpp_url) for station in simulated]
                works += [cars(station, client, noise, came) for station in simulated]
                tasks = [asyncio.create_task(work) for work in works]
                began = perf_counter()
                while (left_s := 60 * minutes - (perf_counter() - began)) > 0:
                    await asyncio.sleep(min(EVERY_S, left_s))
                    for name, (at, value) in (await look(client, began)).items():
                        seen[name].seconds.append(at)
                        seen[name].values.append(value)
                    failed = next((task for task in tasks if task.done()), None)
                    if failed is not None:
                        failed.result()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    return seen, len(came)


def _versions(stations: int) -> Sequence[Version]:
    return [("1.6", "2.0.1")[number % 2] for number in range(stations)]  # type: ignore[misc]  # two of the literals


def main() -> None:
    """Soak, print, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--stations", type=int, default=12)
    parser.add_argument("--json", type=Path, help="append the figures as JSON lines")
    options = parser.parse_args()
    where = os.environ.get("SMARTCHARGE_BENCH_JSON")
    report = Report("soak", options.json or (Path(where) if where else None))
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seen, came = asyncio.run(soak(options.minutes, options.stations))
    case = f"{options.stations} stations"
    print(f"{options.minutes:g} minutes, {options.stations} stations, {came} cars")
    report.add(case, "minutes", options.minutes, "min")
    report.add(case, "cars", came, "")
    for name, (_, _, unit) in WATCHED.items():
        one = seen[name]
        slope, error = one.slope_per_hour()
        first = one.values[len(one.values) // 3] if one.values else float("nan")
        last = one.values[-1] if one.values else float("nan")
        print(f"{name:12} {first:8.1f} -> {last:8.1f} {unit:11} slope {slope:8.2f} ± {error:.2f} {unit}/h")
        report.add(case, f"{name}, slope", slope, f"{unit}/h", f"± {error:.2f}")
        report.add(case, f"{name} at the end", last, unit)


if __name__ == "__main__":
    main()
