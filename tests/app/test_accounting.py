"""What a charge cost, by the tariff of each slot, and what is not known of it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.accounting import COST_ESTIMATED, NO_PRICE
from app.clock import SteppedClock
from app.db.records import Cdr, MeterValue, Reading, StoredSeries
from app.db.store import Store
from app.plausibility import POWER_ABOVE_LIMIT
from app.settlement import settle, settle_late
from app.site import Site
from tests.stores import a_store

START = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TWO_PRICES = {
    "kind": "time_of_use",
    "periods": [
        {"steps": [{"start": "00:00", "price_per_kwh": 0.4}, {"start": "09:00", "price_per_kwh": 0.1}]},
    ],
}


def a_site(**changes: Any) -> Site:
    return Site.model_validate(
        {
            "id": "depot",
            "name": "Depot",
            "time_zone": "UTC",
            "connection": {},
            "charging_stations": [{"id": "cs01", "evses": [{"id": 1, "max_current_a": 16}]}],
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
            **changes,
        }
    )


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(START - timedelta(days=1))


@pytest.fixture
async def store(clock: SteppedClock, tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(clock, directory=tmp_path) as store:
        yield store


async def charged(store: Store, power_kw: dict[int, float], *, minutes: int = 120, energy_kwh: float = 10.0) -> Cdr:
    """A stay from 8 to 10 with these powers, each from its minute on."""
    transaction, _ = await store.start_transaction(
        station_id="cs01", evse_id=1, id_tag="tag", started_at=START, meter_start_wh=0
    )
    number = transaction.transaction_id
    await store.add_meter_values(
        [
            MeterValue("cs01", 1, START + minute * MINUTE, "Power.Active.Import", kw * 1000, "W", number)
            for minute, kw in power_kw.items()
        ]
    )
    stop = START + minutes * MINUTE
    await store.stop_transaction(number, stopped_at=stop, meter_stop_wh=energy_kwh * 1000, reason=None)
    [cdr] = await settle(store, [number])
    return cdr


async def test_each_slot_costs_what_the_tariff_said_then(store: Store) -> None:
    await store.save_site(a_site(tariff=TWO_PRICES))

    cdr = await charged(store, {0: 0, 30: 5, 90: 5, 119: 0}, energy_kwh=5 * 89 / 60)

    expensive_kwh, cheap_kwh = 2.5, 5 * 59 / 60
    assert cdr.cost == pytest.approx(0.4 * expensive_kwh + 0.1 * cheap_kwh)
    assert (cdr.currency, cdr.flags) == ("EUR", ())


async def test_without_control_the_same_energy_comes_at_once(store: Store) -> None:
    await store.save_site(a_site(tariff=TWO_PRICES))

    cdr = await charged(store, {0: 0, 60: 10}, energy_kwh=10)

    assert cdr.cost == pytest.approx(1.0)
    assert cdr.uncontrolled_cost == pytest.approx(4.0)


async def test_a_changed_tariff_leaves_what_was_charged_before_it(store: Store, clock: SteppedClock) -> None:
    await store.save_site(a_site())
    await clock.run_until(START + 60 * MINUTE)
    await store.save_site(a_site(tariff={"kind": "fixed", "price_per_kwh": 0.5}))

    cdr = await charged(store, {0: 5}, energy_kwh=10)

    assert cdr.cost == pytest.approx(5 * 0.3 + 5 * 0.5)
    assert cdr.flags == ()


async def test_before_any_tariff_was_known_a_cost_is_an_estimate(store: Store, clock: SteppedClock) -> None:
    await clock.run_until(START + timedelta(days=9))
    await store.save_site(a_site())

    cdr = await charged(store, {0: 5})

    assert cdr.cost == pytest.approx(3.0)
    assert COST_ESTIMATED in cdr.flags


async def test_a_missing_price_is_no_price_of_nothing(store: Store) -> None:
    await store.save_site(a_site(tariff={"kind": "series"}))

    cdr = await charged(store, {0: 5})

    assert (cdr.cost, cdr.uncontrolled_cost, cdr.currency) == (None, None, None)
    assert cdr.flags == (NO_PRICE,)


async def test_prices_that_their_source_calls_estimates_are_flagged(store: Store) -> None:
    await store.save_site(a_site(tariff={"kind": "series"}))
    await store.add_series(a_series("import_price", (0.2,) * 48, estimated=True))

    assert COST_ESTIMATED in (await charged(store, {0: 5})).flags


def a_series(kind: str, values: tuple[float, ...], **changes: Any) -> StoredSeries:
    return StoredSeries("depot", kind, "test", START, START - 60 * MINUTE, 30, "per kWh", values, **changes)


async def test_carbon_is_weighed_by_the_slot(store: Store) -> None:
    await store.save_site(a_site())
    await store.add_series(a_series("carbon", (9.0, 9.0, 0.4, 0.4, 0.1, 0.1)))

    cdr = await charged(store, {0: 5})

    assert cdr.co2_kg == pytest.approx(5 * 0.4 + 5 * 0.1)


async def test_carbon_of_half_the_stay_is_not_known(store: Store) -> None:
    await store.save_site(a_site())
    await store.add_series(a_series("carbon", (9.0, 9.0, 0.4, 0.4)))

    assert (await charged(store, {0: 5})).co2_kg is None


async def test_what_was_not_imported_came_from_the_roof(store: Store) -> None:
    meters = [{"id": "grid", "measures": "grid"}, {"id": "pv", "measures": "pv"}]
    await store.save_site(a_site(meters=meters))
    quarters = [START + number * 15 * MINUTE for number in range(-4, 9)]
    await store.add_readings(
        [Reading("depot", "grid", at, 1.0 if at < START + 60 * MINUTE else -2.0) for at in quarters]
    )
    await store.add_readings([Reading("depot", "pv", at, 9.0) for at in quarters])

    cdr = await charged(store, {0: 5, 60: 5})

    assert cdr.pv_share == pytest.approx((0.8 + 1.0) / 2)


async def test_without_pv_there_is_no_share_of_it(store: Store) -> None:
    await store.save_site(a_site())

    assert (await charged(store, {0: 5})).pv_share is None


async def test_a_spike_beyond_the_evse_is_quarantined_with_the_record(store: Store) -> None:
    await store.save_site(a_site())

    cdr = await charged(store, {0: 5, 30: 5_000, 31: 5})

    assert cdr.peak_power_kw == 5.0
    assert POWER_ABOVE_LIMIT in cdr.flags
    assert await store.count_suspects("depot") == {POWER_ABOVE_LIMIT: 1}


async def test_values_that_come_after_the_stop_are_counted_the_next_hour(store: Store) -> None:
    await store.save_site(a_site())
    early = await charged(store, {})
    late = MeterValue("cs01", 1, START, "Power.Active.Import", 5_000, "W", early.transaction_id)
    await store.add_meter_values([late])

    await settle_late(store, START + timedelta(hours=3))

    [cdr] = await store.cdrs()
    assert (early.peak_power_kw, cdr.peak_power_kw) == (None, 5.0)


async def test_a_record_is_made_again_soon_after_its_stop_and_seldom_later(store: Store) -> None:
    await store.save_site(a_site())
    early = await charged(store, {})
    made = []
    for hour in range(1, 60):
        value = MeterValue(
            "cs01", 1, START + timedelta(seconds=hour), "Power.Active.Import", 100 * hour, "W", early.transaction_id
        )
        before = (await store.cdrs())[0].peak_power_kw
        await store.add_meter_values([value])

        now = early.stop + timedelta(hours=hour, minutes=1)
        await settle_late(store, now, now - timedelta(hours=1))

        if (await store.cdrs())[0].peak_power_kw != before:
            made.append(hour)

    assert made == [1, 2, 4, 8, 16, 32, 48]


@pytest.mark.parametrize(("received_hours_after_the_stop", "made"), [(0, [1, 48]), (3, [1, 4, 48]), (20, [1, 32, 48])])
async def test_a_record_is_made_again_between_the_first_and_the_last_look_only_if_something_came_late(
    store: Store, received_hours_after_the_stop: int, made: list[int]
) -> None:
    await store.save_site(a_site())
    cdr = await charged(store, {})
    received_at = cdr.stop + timedelta(hours=received_hours_after_the_stop)
    value = MeterValue("cs01", 1, START, "Power.Active.Import", 5_000, "W", cdr.transaction_id, received_at=received_at)
    in_time = replace(value, at=START + MINUTE, received_at=START + MINUTE)
    await store.add_meter_values([in_time])
    seen = []
    for hour in range(1, 60):
        if hour == received_hours_after_the_stop + 1:
            await store.add_meter_values([value])
        wrong = replace((await store.cdrs())[0], peak_power_kw=-1.0)
        await store.save_cdr(wrong, [])

        now = cdr.stop + timedelta(hours=hour, minutes=1)
        await settle_late(store, now, now - timedelta(hours=1))

        if (await store.cdrs())[0].peak_power_kw != -1.0:
            seen.append(hour)

    assert seen == made


async def test_a_stay_without_length_or_energy_costs_nothing(store: Store) -> None:
    await store.save_site(a_site())

    cdr = await charged(store, {}, minutes=0, energy_kwh=0.0)

    assert (cdr.cost, cdr.uncontrolled_cost) == (0.0, 0.0)
