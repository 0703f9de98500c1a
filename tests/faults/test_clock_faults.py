"""Clocks that jump, and the two nights of the year on which local ones do."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.clock import SystemClock
from app.csms.passwords import generate_password
from app.demo.chaos_proxy import ChaosProxy
from app.dispatch.obedience import GRACE_S
from app.gather.prices import PriceSource
from app.main import service
from app.planning.nightly import next_run
from app.site import Site
from forecasts.series import utc_index
from tests.e2e.builders import SLOWEST_S, a_client, connected, settings
from tests.faults.depot import FUSE_A, SITE, Depot, stations_of
from tests.faults.serving import Service
from tests.stores import a_store

# One city for each clock that a member state of the EU keeps, its outermost regions included.
EU_ZONES = [
    "Europe/Amsterdam",
    "Europe/Athens",
    "Europe/Berlin",
    "Europe/Bratislava",
    "Europe/Brussels",
    "Europe/Bucharest",
    "Europe/Budapest",
    "Europe/Copenhagen",
    "Europe/Dublin",
    "Europe/Helsinki",
    "Europe/Lisbon",
    "Europe/Ljubljana",
    "Europe/Luxembourg",
    "Europe/Madrid",
    "Europe/Malta",
    "Europe/Paris",
    "Europe/Prague",
    "Europe/Riga",
    "Europe/Rome",
    "Europe/Sofia",
    "Europe/Stockholm",
    "Europe/Tallinn",
    "Europe/Vienna",
    "Europe/Vilnius",
    "Europe/Warsaw",
    "Europe/Zagreb",
    "Asia/Nicosia",
    "Atlantic/Azores",
    "Atlantic/Canary",
    "Atlantic/Madeira",
    "Africa/Ceuta",
]
NIGHTS = {date(2026, 3, 29): 23, date(2026, 10, 25): 25, date(2027, 3, 28): 23, date(2027, 10, 31): 25}
HOURLY = [{"start": f"{hour:02}:00", "price_per_kwh": 0.1 + hour / 100} for hour in range(24)]


@pytest.mark.parametrize("zone_name", EU_ZONES)
async def test_on_both_nights_of_the_clock_change_every_slot_has_its_local_price(zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    tariff = {"kind": "time_of_use", "periods": [{"steps": HOURLY}]}
    site = Site.model_validate(SITE | {"time_zone": zone_name, "tariff": tariff})
    async with a_store() as store:
        for day, hours in NIGHTS.items():
            start = datetime.combine(day, time(), zone).astimezone(UTC)
            end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
            for minutes in (15, 60):
                slots = int((end - start) / timedelta(minutes=minutes))

                index = utc_index(start, minutes, slots)
                prices = (await PriceSource(store).of(site, index, start)).import_price_per_kwh

                assert slots == hours * 60 // minutes
                assert prices == pytest.approx([0.1 + at.astimezone(zone).hour / 100 for at in index])


@pytest.mark.parametrize("zone_name", EU_ZONES)
@pytest.mark.parametrize("hour", range(5))
def test_every_night_of_the_clock_change_has_one_night_run(hour: int, zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    site = Site.model_validate(SITE | {"time_zone": zone_name, "nightly_at": f"{hour:02}:30"})

    for day in NIGHTS:
        moment, runs = datetime.combine(day - timedelta(days=2), time(12), zone).astimezone(UTC), []
        for _ in range(4):
            moment = next_run(site, moment)
            runs.append(moment)
        days = [run.astimezone(zone).date() for run in runs]

        assert days == [day - timedelta(days=1) + timedelta(days=number) for number in range(4)]
        assert all(timedelta(hours=22) <= later - earlier <= timedelta(hours=26) for earlier, later in pairwise(runs))


class JumpingClock(SystemClock):
    """The wall clock, as an NTP server with other ideas sets it."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def _read(self) -> tuple[datetime, float]:
        wall, machine = super()._read()
        return wall + self.offset, machine


@pytest.mark.slow  # half a minute, where they wait for each other's meters
@pytest.mark.parametrize("hours", [1, -1], ids=["forward", "back"])
async def test_a_clock_that_jumps_and_comes_back_overloads_nothing(hours: int, tmp_path: Path) -> None:
    clock, site, passwords = JumpingClock(), Site.model_validate(SITE), {}
    async with a_store(directory=tmp_path) as store:
        await store.save_site(site)
        for station in site.charging_stations:
            passwords[station.id], password_hash = generate_password()
            await store.set_password_hash(station.id, password_hash)
    stations = stations_of(site, passwords)
    async with service(settings(tmp_path, reconcile_s=0.5), clock) as running, a_client(running) as client:
        depot = Depot(Service(tmp_path), client, stations, ChaosProxy("", 0))
        async with connected(*stations.values(), url=running.ocpp_url):
            await depot.arrive("cs01")
            await depot.planned("cs01")

            clock.offset = timedelta(hours=hours)
            await depot.arrive("cs02", wants_kwh=25.0, hours=3.0)
            await asyncio.sleep(2)
            during_a = depot.worst_a()
            clock.offset = timedelta()
            await client.post("/v1/sites/depot/schedules", json={"dispatch": True})
            # Who was at which period of its plan, nobody knows: all lower first, and wait for each other's meters.
            plan = await depot.planned("cs01", "cs02", within_s=SLOWEST_S + GRACE_S)

    assert during_a <= FUSE_A
    assert depot.worst_a() <= FUSE_A
    assert {row["charging_station_id"] for row in plan["deliveries"]} == {"cs01", "cs02"}
