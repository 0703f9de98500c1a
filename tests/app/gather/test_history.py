"""Meter readings and meter values as series of mean kW."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.clock import SteppedClock
from app.db.records import MeterValue, Reading
from app.db.store import Store
from app.gather.history import History
from app.site import Site
from forecasts.series import utc_index
from tests.stores import a_store

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)  # the sun is up in Berlin
MIDNIGHT = datetime(2026, 6, 1, 0, 0, tzinfo=UTC)  # and here it is not
MINUTE = timedelta(minutes=1)
NAN = float("nan")
BASE, GRID, PV = ({"id": kind, "measures": kind} for kind in ("base_load", "grid", "pv"))


def a_site(*meters: dict[str, str], roof_kw: float | None = None, **changes: Any) -> Site:
    roof = [] if roof_kw is None else [{"id": "roof", "peak_kw": roof_kw}]
    return Site.model_validate(
        {
            "id": "depot",
            "name": "Depot",
            "time_zone": "Europe/Berlin",
            "latitude": 52.5,
            "longitude": 13.4,
            "connection": {},
            "charging_stations": [{"id": "cs01", "evses": [{"id": 1}]}],
            "meters": meters,
            "pv_arrays": roof,
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
            **changes,
        }
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOON), directory=tmp_path) as store:
        await store.save_site(a_site())
        yield store


async def read(store: Store, meter: str, *kw: float, start: datetime = NOON, minutes: int = 15) -> None:
    """NaN is a reading that never came."""
    await store.add_readings(
        [
            Reading("depot", meter, start + number * minutes * MINUTE, value)
            for number, value in enumerate(kw)
            if not np.isnan(value)
        ]
    )


async def charge(store: Store, kw: float, minutes: int, start: datetime = NOON) -> None:
    transaction, _ = await store.start_transaction(
        station_id="cs01", evse_id=1, id_tag="tag", started_at=start, meter_start_wh=0
    )
    number = transaction.transaction_id
    await store.add_meter_values(
        [
            MeterValue("cs01", 1, start + minute * MINUTE, "Power.Active.Import", kw * 1000, "W", number)
            for minute in range(0, minutes, 5)
        ]
    )
    await store.stop_transaction(number, stopped_at=start + minutes * MINUTE, meter_stop_wh=0, reason=None)


def shown(series: pd.Series) -> Sequence[float]:
    return [float(value) for value in series]


def slots(count: int, minutes: int = 15, start: datetime = NOON) -> pd.DatetimeIndex:
    return utc_index(start, minutes, count)


async def test_a_gap_stays_a_gap(store: Store) -> None:
    await read(store, "base_load", 10, 20, NAN, 30)

    metered = await History(store).metered(a_site(BASE), "base_load", slots(5))

    assert shown(metered) == pytest.approx([10, 20, NAN, 30, NAN], nan_ok=True)


async def test_two_readings_of_different_days_are_not_the_mean_of_all_between(store: Store) -> None:
    await read(store, "base_load", 10, 20, minutes=24 * 60)

    metered = await History(store).metered(a_site(BASE), "base_load", slots(25, 60))

    assert metered.notna().sum() == 2


async def test_a_site_without_such_a_meter_knows_nothing(store: Store) -> None:
    assert (await History(store).metered(a_site(BASE), "pv", slots(2))).isna().all()


async def test_two_meters_of_a_kind_add_up_where_both_are_known(store: Store) -> None:
    await read(store, "hall", 10, 20)
    await read(store, "office", 1)
    site = a_site({"id": "hall", "measures": "base_load"}, {"id": "office", "measures": "base_load"})

    metered = await History(store).metered(site, "base_load", slots(2))

    assert shown(metered) == pytest.approx([11, NAN], nan_ok=True)


async def test_hourly_readings_fill_the_quarters_of_their_hour(store: Store) -> None:
    await read(store, "base_load", 8, 12, minutes=60)

    metered = await History(store).metered(a_site(BASE), "base_load", slots(9))

    assert shown(metered) == pytest.approx([8] * 4 + [12] * 4 + [NAN], nan_ok=True)


async def test_quarter_hours_fill_slots_of_five_minutes_and_of_an_hour(store: Store) -> None:
    await read(store, "base_load", 4, 8, 4, 8)

    fine = await History(store).metered(a_site(BASE), "base_load", slots(6, 5))
    coarse = await History(store).metered(a_site(BASE), "base_load", slots(1, 60))

    assert shown(fine) == pytest.approx([4, 4, 4, 8, 8, 8])
    assert shown(coarse) == pytest.approx([6])


async def test_a_reading_that_began_before_the_first_slot_reaches_into_it(store: Store) -> None:
    await read(store, "base_load", 4, 6, 8, 12, start=NOON - 150 * MINUTE, minutes=60)

    metered = await History(store).metered(a_site(BASE), "base_load", slots(1))

    assert shown(metered) == pytest.approx([8])


async def test_slots_that_begin_off_the_hour_of_utc_are_read_all_the_same(store: Store) -> None:
    half_past = NOON - 30 * MINUTE  # a full hour in India
    await read(store, "base_load", 2, 4, start=half_past, minutes=30)

    metered = await History(store).metered(a_site(BASE), "base_load", slots(1, 60, half_past))

    assert shown(metered) == pytest.approx([3])


async def test_half_a_slot_tells_its_mean_and_less_tells_nothing(store: Store) -> None:
    await read(store, "base_load", *[6] * 30, *[NAN] * 15, *[6] * 15, minutes=1)

    metered = await History(store).metered(a_site(BASE), "base_load", slots(2, 30))

    assert shown(metered) == pytest.approx([6, 6])
    assert (await History(store).metered(a_site(BASE), "base_load", slots(1, 15, NOON + 30 * MINUTE))).isna().all()


async def test_behind_a_grid_meter_the_building_is_what_neither_cars_nor_pv_explain(store: Store) -> None:
    await read(store, "grid", 20, 9)
    await read(store, "pv", 5, 4)
    await charge(store, 11, 15)

    building = await History(store).base_load(a_site(GRID, PV), slots(2))

    assert shown(building) == pytest.approx([20 + 5 - 11, 9 + 4])


async def test_charging_is_taken_off_in_full_at_slots_of_five_minutes(store: Store) -> None:
    await read(store, "grid", 20, 20)
    await charge(store, 11, 15)

    building = await History(store).base_load(a_site(GRID), slots(4, 5))

    assert shown(building) == pytest.approx([9, 9, 9, 20])


async def test_a_grid_meter_that_is_silent_leaves_the_building_unknown(store: Store) -> None:
    await read(store, "pv", 5, 4)
    await charge(store, 11, 30)

    assert (await History(store).base_load(a_site(GRID, PV), slots(2))).isna().all()


async def test_an_inverter_that_sleeps_at_night_leaves_no_gap_in_the_building(store: Store) -> None:
    await read(store, "grid", 7, 7, start=MIDNIGHT)
    await read(store, "grid", 7, 7)

    night = await History(store).base_load(a_site(GRID, PV, roof_kw=30), slots(2, start=MIDNIGHT))
    day = await History(store).base_load(a_site(GRID, PV, roof_kw=30), slots(2))

    assert shown(night) == pytest.approx([7, 7])
    assert day.isna().all()


async def test_pv_without_a_meter_is_added_back_as_it_will_be_forecast(store: Store) -> None:
    await read(store, "grid", 7, 7)

    plain = await History(store).base_load(a_site(GRID), slots(2))
    with_roof = await History(store).base_load(a_site(GRID, roof_kw=30), slots(2))

    assert shown(plain) == pytest.approx([7, 7])
    assert 7 + 5 < with_roof.iloc[0] < 7 + 30


async def test_what_is_drawn_from_the_grid_is_never_negative(store: Store) -> None:
    await read(store, "grid", -8, 3)

    assert shown(await History(store).net_import(a_site(GRID), slots(2))) == pytest.approx([0, 3])


async def test_without_a_grid_meter_it_is_the_building_with_cars_less_pv(store: Store) -> None:
    await read(store, "base_load", 10, 10)
    await read(store, "pv", 2, 30)
    await charge(store, 11, 30)

    drawn = await History(store).net_import(a_site(BASE, PV), slots(2))

    assert shown(drawn) == pytest.approx([10 + 11 - 2, 0])


async def test_what_was_drawn_just_now_is_measured_where_it_can_be_and_expected_elsewhere(store: Store) -> None:
    await read(store, "base_load", 12, 12, minutes=1)
    await charge(store, 6, 30)

    drawn = await History(store).imported_kwh(a_site(BASE), NOON, NOON + 5.5 * MINUTE, base_kw=24, pv_kw=0)

    assert drawn == pytest.approx((2 * 12 + 3.5 * 24 + 5.5 * 6) / 60)
