"""Demand charges: what of the month's peak is already paid for."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.clock import SteppedClock
from app.db.records import Reading
from app.db.store import Store
from app.gather.demand import DemandCharges, floored
from app.gather.history import History
from app.gather.prices import Priced, active_slots
from app.gather.signals import Signals
from app.site import Site
from forecasts.series import utc_index
from optimizer.domain import DemandCharge, Horizon
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, 5, tzinfo=UTC)
QUARTER, HOUR = timedelta(minutes=15), timedelta(hours=1)


def a_site(time_zone: str = "Europe/Berlin", **charge: Any) -> Site:
    return Site.model_validate(
        {
            "id": "depot",
            "name": "Depot",
            "time_zone": time_zone,
            "connection": {},
            "meters": [{"id": "main", "measures": "grid"}],
            "tariff": {
                "kind": "fixed",
                "price_per_kwh": 0.3,
                "demand_charges": [{"price_per_kw": 9.5, **charge}],
            },
        }
    )


class World:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.charges = DemandCharges(History(store))

    async def read(self, at: datetime, kw: float, meter: str = "main") -> None:
        """One quarter of an hour, and nothing in the next."""
        await self.store.add_readings([Reading("depot", meter, at, kw), Reading("depot", meter, at + QUARTER, 0.0)])

    async def of(self, site: Site, now: datetime = NOW, *, hours: int = 24, base_kw: float = 0.0) -> list[DemandCharge]:
        horizon = Horizon(floored(now, 15, site.zone), 15, hours * 4, now)
        index = utc_index(horizon.start, 15, horizon.slots)
        flat = (0.0,) * horizon.slots
        active = tuple(
            (charge, tuple(active_slots(charge, index, site.time_zone))) for charge in site.tariff.demand_charges
        )
        base = (base_kw,) * horizon.slots
        signals = Signals(base, base, base, flat, flat, flat, Priced(flat, flat, active, {}), {})
        return list(await self.charges.of(site, signals, horizon))

    async def peak_kw(self, site: Site, now: datetime = NOW) -> float:
        return (await self.of(site, now))[0].peak_so_far_kw


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(a_site())
        yield World(store)


async def test_a_month_without_readings_has_no_peak(world: World) -> None:
    assert await world.peak_kw(a_site()) == 0.0


async def test_a_reading_that_comes_late_is_still_counted(world: World) -> None:
    await world.read(NOW - 5 * HOUR, 20.0)
    assert await world.peak_kw(a_site()) == 20.0

    await world.read(NOW - 6 * HOUR - timedelta(minutes=5), 55.0)

    assert await world.peak_kw(a_site(), NOW + QUARTER) == 55.0


async def test_one_that_comes_days_late_and_one_that_is_corrected_are_counted_within_the_hour(world: World) -> None:
    at = NOW.replace(minute=0) - timedelta(days=5)
    await world.read(at, 90.0)
    assert await world.peak_kw(a_site()) == 90.0

    await world.read(at, 30.0)
    await world.read(at - timedelta(days=2), 40.0)

    assert await world.peak_kw(a_site(), NOW + HOUR) == 40.0


async def test_a_site_that_has_changed_is_read_anew(world: World) -> None:
    await world.read(NOW - 30 * HOUR, 20.0)
    await world.peak_kw(a_site())
    await world.read(NOW - 30 * HOUR, 35.0, meter="other")

    changed = Site.model_validate(a_site().model_dump() | {"meters": [{"id": "other", "measures": "grid"}]})

    assert await world.peak_kw(changed) == 35.0


async def test_only_the_local_month_counts(world: World) -> None:
    site = a_site("America/Los_Angeles")
    last_of_april = datetime(2026, 5, 1, 6, 30, tzinfo=UTC)  # 23:30 on the 30th there
    await world.read(last_of_april, 80.0)
    await world.read(last_of_april + HOUR, 15.0)

    assert await world.peak_kw(site, last_of_april + 3 * HOUR) == 15.0


async def test_only_the_hours_in_which_a_charge_applies_count(world: World) -> None:
    site = a_site(start="08:00", end="20:00", weekdays=[0, 1, 2, 3, 4])
    monday = datetime(2026, 4, 20, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    await world.read(monday + 7 * HOUR, 70.0)  # before eight
    await world.read(monday + 9 * HOUR, 40.0)
    await world.read(monday - 12 * HOUR, 90.0)  # on Sunday

    assert await world.peak_kw(site) == 40.0


async def test_an_hour_begins_where_the_local_clock_has_it(world: World) -> None:
    site = a_site("Asia/Kolkata", interval_minutes=60)  # its hours begin at half past, in UTC
    for minute, kw in ((0, 10.0), (15, 10.0), (30, 60.0), (45, 60.0), (60, 60.0), (75, 60.0)):
        await world.read(NOW.replace(hour=2, minute=0) + timedelta(minutes=minute), kw)

    assert await world.peak_kw(site) == pytest.approx(60.0)


async def test_what_the_running_interval_has_imported_is_counted(world: World) -> None:
    [charge] = await world.of(a_site(interval_minutes=60), NOW + 4 * QUARTER / 2, base_kw=12.0)

    assert charge.interval_energy_so_far_kwh == pytest.approx(12.0 * 35 / 60)


async def test_at_the_full_interval_nothing_has_been_imported_yet(world: World) -> None:
    [charge] = await world.of(a_site(), NOW.replace(minute=15), base_kw=12.0)

    assert charge.interval_energy_so_far_kwh == 0.0


async def test_what_is_measured_of_the_running_interval_stands_before_what_was_expected(world: World) -> None:
    for minute in range(5):
        await world.read(NOW.replace(minute=minute), 60.0)

    [charge] = await world.of(a_site(), base_kw=12.0)

    assert charge.interval_energy_so_far_kwh == pytest.approx(5.0)


async def test_the_next_month_has_a_peak_of_its_own(world: World) -> None:
    eve = datetime(2026, 4, 30, 18, 0, tzinfo=UTC)
    await world.read(eve - HOUR, 80.0)

    april, may = await world.of(a_site(), eve)

    assert (april.charge_id, april.peak_so_far_kw) == ("month", 80.0)
    assert (may.charge_id, may.peak_so_far_kw, may.price_per_kw) == ("month.2026-05", 0.0, 9.5)
    assert april.active == (True,) * 16 + (False,) * 80
    assert may.active == (False,) * 16 + (True,) * 80


@pytest.mark.parametrize(
    ("zone", "minutes", "expected"),
    [
        ("Europe/Berlin", 60, "08:00"),
        ("Asia/Kolkata", 60, "07:30"),
        ("Asia/Kathmandu", 30, "07:45"),
        ("Asia/Kathmandu", 15, "08:00"),
        ("America/St_Johns", 60, "07:30"),
    ],
)
def test_slots_are_floored_by_the_local_clock(zone: str, minutes: int, expected: str) -> None:
    assert f"{floored(NOW, minutes, ZoneInfo(zone)):%H:%M}" == expected


def test_the_hour_that_comes_twice_is_floored_twice() -> None:
    berlin, first = ZoneInfo("Europe/Berlin"), datetime(2026, 10, 25, 0, 20, tzinfo=UTC)

    assert floored(first, 60, berlin) == first.replace(minute=0)
    assert floored(first + HOUR, 60, berlin) == first.replace(hour=1, minute=0)
