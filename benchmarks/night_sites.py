"""Made-up sites for the night run: ten EVSEs, ten cars that stay the night, a building, and a price that moves."""

import random
from datetime import datetime, timedelta

from app.clock import SystemClock
from app.db import tables
from app.db.database import Database
from app.db.records import StoredSeries
from app.db.store import Store
from app.gather.charged import POWER, REGISTER
from app.site import Site

EVSES = 10
SLOTS_A_DAY = 96


def site_id_of(number: int) -> str:
    return f"site-{number:04d}"


def a_site(number: int) -> Site:
    """Its connection carries half of what its ten EVSEs could draw."""
    name = site_id_of(number)
    return Site.model_validate(
        {
            "id": name,
            "name": name,
            "time_zone": "Europe/Berlin",
            "connection": {"max_import_kw": 70},
            "circuits": [{"id": "garage", "max_current_a": 80}],
            "charging_stations": [
                {"id": f"{name}-cs{station}", "evses": [{"id": 1, "circuit": "garage"}, {"id": 2, "circuit": "garage"}]}
                for station in range(EVSES // 2)
            ],
            "base_load": {"annual_energy_kwh": 60_000 + 1_000 * (number % 40)},
            "tariff": {"kind": "series"},
        }
    )


async def fill(url: str, sites: int, now: datetime) -> None:
    """Save them, with a running transaction and a wish at every EVSE. The same sites always, from `now` on."""
    chance = random.Random(20_260_301)
    async with Store.open(url, SystemClock()) as store:
        for number in range(sites):
            await store.save_site(a_site(number))
            await store.add_series(_prices(number, now, chance))
    transactions, wishes, samples = [], [], []
    for number in range(sites):
        name = site_id_of(number)
        for evse in range(EVSES):
            station_id, evse_id = f"{name}-cs{evse // 2}", evse % 2 + 1
            arrived = now - timedelta(minutes=chance.randrange(10, 240))
            samples += _samples(station_id, evse_id, number * EVSES + evse + 1, arrived, now)
            transactions.append(
                {
                    "transaction_id": number * EVSES + evse + 1,
                    "site_id": name,
                    "station_id": station_id,
                    "evse_id": evse_id,
                    "id_tag": f"tag-{evse}",
                    "started_at": arrived,
                    "meter_start_wh": 0.0,
                }
            )
            wishes.append(
                {
                    "wish_id": f"{name}-{evse}",
                    "site_id": name,
                    "departure": now + timedelta(minutes=15 * chance.randrange(28, 56)),
                    "required_energy_kwh": chance.choice((8.0, 14.0, 22.0, 30.0, 41.0)),
                    "created_at": arrived,
                    "station_id": station_id,
                    "evse_id": evse_id,
                    "priority": 1,
                    "vehicle_phases": chance.choice((1, 3, 3)),
                }
            )
    async with Database.open(url, SystemClock()) as database, database.write() as connection:
        await connection.execute(tables.transactions.insert(), transactions)
        await connection.execute(tables.wishes.insert(), wishes)
        await connection.execute(tables.meter_values.insert(), samples)


def stations(sites: int) -> frozenset[str]:
    """All of them are connected."""
    return frozenset(f"{site_id_of(number)}-cs{station}" for number in range(sites) for station in range(EVSES // 2))


def _samples(
    station_id: str, evse_id: int, transaction_id: int, arrived: datetime, now: datetime
) -> list[dict[str, object]]:
    """Register and power every five minutes: so far it has charged at 2 kW."""
    rows: list[dict[str, object]] = []
    at = arrived + timedelta(minutes=5)
    while at <= now:
        charged_wh = 2000.0 * ((at - arrived) / timedelta(hours=1))
        for measurand, value, unit in ((REGISTER, charged_wh, "Wh"), (POWER, 2000.0, "W")):
            rows.append(
                {
                    "station_id": station_id,
                    "evse_id": evse_id,
                    "at": at,
                    "measurand": measurand,
                    "phase": "",
                    "context": "Sample.Periodic",
                    "transaction_id": transaction_id,
                    "value": value,
                    "unit": unit,
                    "received_at": at,
                }
            )
        at += timedelta(minutes=5)
    return rows


def _prices(number: int, now: datetime, chance: random.Random) -> StoredSeries:
    """Two days of quarter hours, known since noon."""
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hours = [slot // 4 % 24 for slot in range(3 * SLOTS_A_DAY)]
    levels = [0.32 if 17 <= hour < 21 else 0.14 if hour < 5 else 0.22 for hour in hours]
    values = tuple(round(level + chance.uniform(-0.03, 0.03), 4) for level in levels)
    return StoredSeries(
        site_id=site_id_of(number),
        kind="import_price",
        source="upload",
        issued_at=now - timedelta(hours=8),
        start=start,
        resolution_minutes=15,
        unit="EUR/kWh",
        values=values,
    )
