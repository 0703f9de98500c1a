"""Tiers, holidays and ratchets: what a price depends on beside the clock."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.clock import SteppedClock
from app.db.records import Reading
from app.db.store import Store
from app.gather.prices import PriceSource, active_slots, holidays_of
from app.site import Site
from forecasts.series import utc_index
from tests.app.gather.test_demand import World
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_site(tariff: dict[str, Any], **changed: Any) -> Site:
    meters = [{"id": "main", "measures": "grid"}]
    document = {"id": "depot", "name": "D", "time_zone": "Europe/Berlin", "connection": {}, "meters": meters}
    return Site.model_validate(document | {"tariff": tariff} | changed)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(a_site({"kind": "fixed", "price_per_kwh": 0.2}))
        yield store


async def drawn(store: Store, start: datetime, hours: int, kw: float) -> None:
    await store.add_readings([Reading("depot", "main", start + n * HOUR, kw) for n in range(hours)])


TIERED = {
    "kind": "fixed",
    "price_per_kwh": 0.2,
    "tiers": [{"above_kwh": 1000, "add_per_kwh": 0.05}, {"above_kwh": 2000, "add_per_kwh": 0.1}],
}


@pytest.mark.parametrize(("hours", "price"), [(0, 0.2), (99, 0.2), (101, 0.25), (201, 0.3)])
async def test_the_price_is_that_of_the_tier_that_the_month_has_reached(store: Store, hours: int, price: float) -> None:
    await drawn(store, NOW - (hours + 1) * HOUR, hours, 10.0)

    priced = await PriceSource(store).of(a_site(TIERED), utc_index(NOW, 60, 4), NOW)

    assert priced.import_price_per_kwh == pytest.approx([price] * 4)


async def test_a_new_month_begins_in_the_first_tier_and_last_months_import_does_not_count(store: Store) -> None:
    last_of_april = datetime(2026, 4, 30, 20, 0, tzinfo=UTC)  # 22:00 in Berlin
    await drawn(store, datetime(2026, 3, 1, tzinfo=UTC), 24, 500.0)
    await drawn(store, last_of_april - 30 * HOUR, 30, 50.0)

    priced = await PriceSource(store).of(a_site(TIERED), utc_index(last_of_april, 60, 4), last_of_april)

    assert priced.import_price_per_kwh == pytest.approx([0.25, 0.25, 0.2, 0.2])


async def test_a_past_hour_has_the_tier_that_it_had_then(store: Store) -> None:
    await drawn(store, NOW - 20 * HOUR, 20, 100.0)

    prices = await PriceSource(store).per_slot(a_site(TIERED), utc_index(NOW - 20 * HOUR, 60, 20))

    assert prices["price"].to_list() == pytest.approx([0.2] * 10 + [0.25] * 10)


def test_tiers_rise() -> None:
    with pytest.raises(ValidationError, match="tiers do not rise"):
        a_site({**TIERED, "tiers": TIERED["tiers"][::-1]})  # type: ignore[index]  # a list


WEEK = {
    "kind": "time_of_use",
    "holidays_as": 6,
    "periods": [
        {"weekdays": [0, 1, 2, 3, 4, 5], "steps": [{"start": "00:00", "price_per_kwh": 0.3}]},
        {"weekdays": [6], "steps": [{"start": "00:00", "price_per_kwh": 0.1}]},
    ],
    "demand_charges": [{"price_per_kw": 9.5, "weekdays": [0, 1, 2, 3, 4]}],
}


async def test_holidays_of_the_country_and_the_sites_own_cost_what_a_sunday_does(store: Store) -> None:
    site = a_site(WEEK, country="DE", holidays=["2026-05-04"])

    async def price(day: str) -> float:
        index = utc_index(datetime.fromisoformat(f"{day}T12:00+02:00").astimezone(UTC), 60, 1)
        return (await PriceSource(store).of(site, index, NOW)).import_price_per_kwh[0]

    assert await price("2026-04-30") == 0.3  # a Thursday
    assert await price("2026-05-01") == 0.1  # Labour Day
    assert await price("2026-05-03") == 0.1  # a Sunday
    assert await price("2026-05-04") == 0.1  # the site's own


def test_a_demand_charge_of_weekdays_rests_on_a_holiday() -> None:
    site = a_site(WEEK, country="DE")
    [charge] = site.tariff.demand_charges
    days = utc_index(datetime(2026, 4, 29, 22, tzinfo=UTC), 60, 48)  # Thursday, and Labour Day

    active = active_slots(charge, days, site.time_zone, holidays_of(site))

    assert active.to_list() == [True] * 24 + [False] * 24


@pytest.mark.parametrize(("subdivision", "price"), [("BY", 0.1), ("BE", 0.3), (None, 0.3)])
async def test_a_tariff_knows_the_holidays_of_its_part_of_the_country(
    store: Store, subdivision: str | None, price: float
) -> None:
    site = a_site(WEEK, country="DE", subdivision=subdivision)
    corpus_christi = utc_index(datetime(2026, 6, 4, 10, tzinfo=UTC), 60, 1)

    priced = await PriceSource(store).of(site, corpus_christi, NOW)

    assert priced.import_price_per_kwh == (price,)


def ratcheted(**changed: Any) -> Site:
    charge = {"price_per_kw": 9.5, "ratchet_share": 0.8} | changed
    return a_site({"kind": "fixed", "price_per_kwh": 0.2, "demand_charges": [charge]})


async def test_a_ratchet_makes_a_share_of_an_earlier_months_peak_free(store: Store) -> None:
    world = World(store)
    await world.read(datetime(2025, 12, 10, 12, tzinfo=UTC), 100.0)
    await world.read(datetime(2025, 4, 10, 12, tzinfo=UTC), 500.0)  # more than eleven months ago
    await world.read(NOW - 5 * HOUR, 20.0)

    assert await world.peak_kw(ratcheted(), NOW) == pytest.approx(80.0)
    assert await world.peak_kw(ratcheted(ratchet_share=0.1), NOW) == pytest.approx(20.0)
    assert await world.peak_kw(ratcheted(ratchet_months=2), NOW) == pytest.approx(20.0)
    assert await world.peak_kw(ratcheted(ratchet_peak_kw=200.0), NOW) == pytest.approx(160.0)


async def test_this_months_peak_is_the_next_months_ratchet(store: Store) -> None:
    world, last_day = World(store), datetime(2026, 4, 30, 12, 0, tzinfo=UTC)
    await world.read(last_day - 5 * HOUR, 50.0)

    [this_month, next_month] = await world.of(ratcheted(), last_day)

    assert (this_month.peak_so_far_kw, next_month.peak_so_far_kw) == (50.0, 40.0)
