"""Power samples and registers, integrated."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock import SteppedClock
from app.db.records import MeterValue, Transaction
from app.db.store import Store
from app.gather.charged import ChargedEnergy, Floats, from_power, from_register
from app.site import Site
from forecasts.series import utc_index
from tests.stores import a_store

START = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "UTC",
        "connection": {},
        "charging_stations": [{"id": "cs01", "evses": [{"id": 1}]}, {"id": "cs02", "evses": [{"id": 1}]}],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(START), directory=tmp_path) as store:
        await store.save_site(SITE)
        yield store


async def a_stay(
    store: Store, minute: float = 0, stop: float | None = None, station: str = "cs01", stop_wh: float = 0
) -> Transaction:
    transaction, _ = await store.start_transaction(
        station_id=station, evse_id=1, id_tag="tag", started_at=START + minute * MINUTE, meter_start_wh=0
    )
    if stop is not None:
        stopped_at = START + stop * MINUTE
        transaction, _ = await store.stop_transaction(
            transaction.transaction_id, stopped_at=stopped_at, meter_stop_wh=stop_wh, reason=None
        )
    return transaction


async def samples(
    store: Store, stay: Transaction, *values: tuple[float, float], phase: str = "", register: bool = False
) -> None:
    measurand, unit = ("Energy.Active.Import.Register", "Wh") if register else ("Power.Active.Import", "W")
    await store.add_meter_values(
        [
            MeterValue(stay.station_id, 1, START + minute * MINUTE, measurand, value, unit, stay.transaction_id, phase)
            for minute, value in values
        ]
    )


async def power_kw(store: Store, slots: int = 4, start: datetime = START) -> list[float]:
    return [float(kw) for kw in await ChargedEnergy(store).power_kw("depot", utc_index(start, 15, slots))]


async def test_a_sample_holds_until_the_next_one(store: Store) -> None:
    stay = await a_stay(store)
    await samples(store, stay, (0, 12_000), (20, 6_000), (30, 0))

    assert await power_kw(store, 3) == pytest.approx([12.0, (5 * 12 + 10 * 6) / 15, 0.0])


async def test_what_is_held_ends_with_the_transaction(store: Store) -> None:
    stay = await a_stay(store, stop=5)
    await samples(store, stay, (0, 12_000))

    assert sum(await power_kw(store)) / 4 == pytest.approx(1.0)


async def test_a_station_that_fell_silent_is_not_believed_to_charge_for_ever(store: Store) -> None:
    await samples(store, await a_stay(store), (0, 12_000), (180, 12_000))

    assert await power_kw(store, 12) == pytest.approx([12.0] + [0.0] * 11)


async def test_a_station_that_samples_every_half_hour_charges_in_between(store: Store) -> None:
    await samples(store, await a_stay(store, stop=60), (0, 8_000), (30, 8_000))

    assert await power_kw(store) == pytest.approx([8.0] * 4)


async def test_a_sample_from_before_the_first_slot_reaches_into_it(store: Store) -> None:
    await samples(store, await a_stay(store, -10), (-10, 9_000), (5, 0))

    assert await power_kw(store, 1) == pytest.approx([3.0])


async def test_a_station_that_sends_only_phases_counts_with_their_sum(store: Store) -> None:
    stay = await a_stay(store, stop=15)
    for phase in ("L1", "L2", "L3"):
        await samples(store, stay, (0, 3_000), phase=phase)

    assert await power_kw(store, 1) == pytest.approx([9.0])


async def test_a_total_is_not_counted_twice_for_its_phases(store: Store) -> None:
    stay = await a_stay(store, stop=15)
    await samples(store, stay, (0, 9_000))
    await samples(store, stay, (0, 3_000), phase="L1")

    assert await power_kw(store, 1) == pytest.approx([9.0])


async def test_a_station_that_sends_only_its_register_charged_what_it_rose_by(store: Store) -> None:
    stay = await a_stay(store, stop=60, stop_wh=7_000)
    await samples(store, stay, (30, 6_000), register=True)

    assert await power_kw(store) == pytest.approx([12.0, 12.0, 2.0, 2.0])


async def test_two_stations_add_up(store: Store) -> None:
    for station in ("cs01", "cs02"):
        await samples(store, await a_stay(store, station=station, stop=15), (0, 4_000))

    assert await power_kw(store, 1) == pytest.approx([8.0])


async def test_energy_is_known_by_the_minute(store: Store) -> None:
    await samples(store, await a_stay(store), (0, 12_000), (10, 6_000))

    charged = await ChargedEnergy(store).energy_kwh("depot", utc_index(START + 8 * MINUTE, 1, 4))

    assert charged.to_list() == pytest.approx([0.2, 0.2, 0.1, 0.1])


async def test_what_arrives_late_is_counted_when_the_past_is_continued(store: Store) -> None:
    charged, stay = ChargedEnergy(store), await a_stay(store)
    await charged.power_kw("depot", utc_index(START - DAY, 15, 96))

    await samples(store, stay, (-30, 4_000), (-15, 4_000), (0, 0))
    continued = await charged.power_kw("depot", utc_index(START - DAY, 15, 97))

    assert continued.iloc[-3:].to_list() == pytest.approx([4.0, 4.0, 0.0])
    assert continued.sum() == pytest.approx(8.0)


async def test_a_history_that_is_imported_later_is_counted(store: Store) -> None:
    charged, weeks = ChargedEnergy(store), utc_index(START - 14 * DAY, 15, 14 * 96)
    assert (await charged.power_kw("depot", weeks)).sum() == 0.0

    ten_days = -10 * 24 * 60
    old = await a_stay(store, ten_days, ten_days + 60)
    await samples(store, old, (ten_days, 5_000), (ten_days + 30, 5_000))

    assert (await charged.power_kw("depot", weeks)).sum() / 4 == pytest.approx(5.0)


async def test_continuing_the_past_reads_the_same_as_reading_it_anew(store: Store) -> None:
    charged, stay = ChargedEnergy(store), await a_stay(store, -11 * 60)
    for hour in range(-11, 3):
        await samples(store, stay, (60 * hour, 1_000 * (hour % 7)), (60 * hour + 20, 500))
        await charged.power_kw("depot", utc_index(START - DAY, 15, 96 + max(0, hour) * 4))

    index = utc_index(START - DAY, 15, 96 + 8)

    pd.testing.assert_series_equal(
        await charged.power_kw("depot", index), await ChargedEnergy(store).power_kw("depot", index)
    )


SAMPLES = st.lists(
    st.tuples(st.integers(0, 6 * 3600), st.floats(0, 22_000)), min_size=1, max_size=40, unique_by=lambda pair: pair[0]
).map(lambda pairs: [(START + timedelta(seconds=second), watt) for second, watt in sorted(pairs)])
EDGES = st.lists(st.floats(-3600, 8 * 3600), min_size=0, max_size=30).map(
    lambda inner: START.timestamp() + np.sort(np.array([-7200.0, *inner, 9 * 3600.0]))
)


@given(SAMPLES, EDGES)
def test_energy_is_conserved_on_any_grid(power: list[tuple[datetime, float]], edges_s: Floats) -> None:
    whole = from_power(power).between(edges_s[[0, -1]])

    parts = from_power(power).between(edges_s)

    assert parts.sum() == pytest.approx(whole[0], abs=1e-9)
    assert (parts >= -1e-9).all()


@given(SAMPLES, EDGES)
def test_a_register_conserves_what_it_rose_by(power: list[tuple[datetime, float]], edges_s: Floats) -> None:
    rising = [(at, float(wh)) for (at, _), wh in zip(power, np.cumsum([watt for _, watt in power]), strict=True)]

    parts = from_register(rising).between(edges_s)

    assert parts.sum() == pytest.approx((rising[-1][1] - rising[0][1]) / 1000, abs=1e-6)


def test_a_register_that_was_reset_takes_nothing_away() -> None:
    readings = [(START, 9_000.0), (START + 15 * MINUTE, 500.0), (START + 30 * MINUTE, 2_500.0)]

    curve = from_register(readings)

    assert curve.between(START.timestamp() + np.array([0.0, 900.0, 1800.0])) == pytest.approx([0.0, 2.0])
