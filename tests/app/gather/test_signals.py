"""Forecasts and uploaded series on the slots of a horizon."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock import SteppedClock
from app.db.records import Reading, StoredSeries
from app.db.store import Store
from app.gather.history import History
from app.gather.signals import Signals, SignalSource, safe_base_load_kw, spread
from app.site import BaseLoadDocument, Site
from forecasts.base_load import BaseLoadForecast
from forecasts.series import Provenance, utc_index
from optimizer.domain import Horizon
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NAN = float("nan")


def a_series(*values: float, start: datetime = NOW, minutes: int = 60, **changes: Any) -> StoredSeries:
    columns: dict[str, Any] = {"kind": "base_load", "source": "manager", "issued_at": NOW - HOUR} | changes
    return StoredSeries(site_id="depot", start=start, resolution_minutes=minutes, unit="kW", values=values, **columns)


def a_site(**changes: Any) -> Site:
    return Site.model_validate(
        {
            "id": "depot",
            "name": "Depot",
            "time_zone": "Europe/Berlin",
            "latitude": 52.5,
            "longitude": 13.4,
            "connection": {},
            "meters": [{"id": "building", "measures": "base_load"}, {"id": "roof", "measures": "pv"}],
            "base_load": {"annual_energy_kwh": 100_000},
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
            **changes,
        }
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(a_site())
        yield store


async def signals(store: Store, site: Site | None = None, *uploaded: StoredSeries) -> Signals:
    for series in uploaded:
        await store.add_series(series)
    return await SignalSource(store, History(store)).of(site or a_site(), Horizon(NOW, 15, 8, NOW), NOW)


async def measured(store: Store, days: float, *, until: datetime = NOW, kw: float = 40.0) -> None:
    slots = int(days * 96)
    first = until - slots * timedelta(minutes=15)
    await store.add_readings(
        [Reading("depot", "building", first + n * timedelta(minutes=15), kw) for n in range(slots)]
    )


async def test_readings_that_stopped_hours_ago_still_make_a_forecast(store: Store) -> None:
    await measured(store, 28, until=NOW - 9 * HOUR)

    result = await signals(store)

    assert result.base_load_kw == pytest.approx([40.0] * 8)
    assert "9.0 h old" in result.provenance["base_load"]["detail"]


async def test_a_slot_of_five_minutes_is_forecast_from_quarters_of_an_hour(store: Store) -> None:
    await measured(store, 28)

    result = await SignalSource(store, History(store)).of(a_site(), Horizon(NOW, 5, 24, NOW), NOW)

    assert result.provenance["base_load"]["source"] == "own-history"
    assert result.base_load_kw == pytest.approx([40.0] * 24)


async def test_a_holiday_of_a_part_of_the_country_is_a_day_off_there(store: Store) -> None:
    noon = datetime(2026, 6, 4, 10, 0, tzinfo=UTC)  # Corpus Christi

    async def load_kw(subdivision: str) -> float:
        site = a_site(country="DE", subdivision=subdivision)
        said = await SignalSource(store, History(store)).of(site, Horizon(noon, 15, 4, noon), noon)
        return said.base_load_kw[0]

    assert await load_kw("BY") < 0.7 * await load_kw("BE")


async def test_an_uploaded_base_load_brings_its_own_margin(store: Store) -> None:
    await measured(store, 28)

    result = await signals(store, None, a_series(100.0, 1.0))

    assert result.base_load_kw == (100.0,) * 4 + (1.0,) * 4
    assert result.base_load_high_kw == pytest.approx([120.0] * 4 + [42.0] * 4)
    assert result.base_load_low_kw == pytest.approx([40.0] * 4 + [0.8] * 4)


async def test_an_uploaded_quantile_is_taken_as_it_is(store: Store) -> None:
    high = a_series(103.0, 30.0, kind="base_load_high")

    result = await signals(store, None, a_series(100.0, 40.0), high)

    assert result.base_load_high_kw == (103.0,) * 4 + (40.0,) * 4  # never below what is expected


async def test_provenance_names_the_newest_issue_its_age_and_whether_it_is_an_estimate(store: Store) -> None:
    firm = await signals(store, None, a_series(9.0, 9.0, issued_at=NOW - 3 * HOUR))
    renewed = await signals(store, None, a_series(7.0, 7.0, source="guess", issued_at=NOW - HOUR, estimated=True))

    told = [result.provenance["base_load"] for result in (firm, renewed)]
    assert [(one["source"], one["age_s"], one["estimated"]) for one in told] == [
        ("manager", 10_800.0, False),
        ("guess", 3_600.0, True),
    ]
    assert told[0]["detail"] == "8 of 8 slots"


async def test_provenance_of_a_part_names_the_forecast_behind_it(store: Store) -> None:
    said = (await signals(store, None, a_series(9.0))).provenance["base_load"]

    assert (said["detail"], said["estimated"]) == ("4 of 8 slots, then bdew-g25", True)


async def test_an_uploaded_pv_serves_a_site_without_arrays(store: Store) -> None:
    result = await signals(store, None, a_series(5.0, 6.0, kind="pv"))

    assert result.pv_kw == (5.0,) * 4 + (6.0,) * 4
    assert result.pv_low_kw == (0.0,) * 8
    assert result.provenance["pv"]["source"] == "manager"


async def test_a_forecast_is_read_for_an_hour_and_then_made_again(store: Store) -> None:
    await measured(store, 28)
    source = SignalSource(store, History(store))

    made = [
        (await source.of(a_site(), Horizon(NOW + late, 15, 8, NOW + late), NOW + late)).provenance["base_load"]
        for late in (0 * HOUR, HOUR / 2, HOUR)
    ]

    assert [entry["age_s"] for entry in made] == [0.0, 1800.0, 0.0]


async def test_a_new_tariff_costs_no_new_forecast_and_a_new_meter_does(store: Store) -> None:
    await measured(store, 28)
    source = SignalSource(store, History(store))
    dearer = a_site(tariff={"kind": "fixed", "price_per_kwh": 0.6})
    other = a_site(meters=[])

    ages = [
        (await source.of(site, Horizon(NOW, 15, 8, NOW + late), NOW + late)).provenance["base_load"]["age_s"]
        for site, late in ((a_site(), 0 * MINUTE), (dearer, MINUTE), (other, 2 * MINUTE))
    ]

    assert ages == [0.0, 60.0, 0.0]


async def test_a_history_that_is_imported_replaces_an_estimate_within_minutes(store: Store) -> None:
    source = SignalSource(store, History(store))
    await source.of(a_site(), Horizon(NOW, 15, 8, NOW), NOW)

    await measured(store, 28)
    later = NOW + 5 * MINUTE

    result = await source.of(a_site(), Horizon(NOW, 15, 8, later), later)
    assert result.provenance["base_load"]["source"] == "own-history"


def test_a_finer_series_counts_with_its_mean_where_it_fills_the_slot() -> None:
    fine = a_series(1.0, 2.0, 3.0, 9.0, minutes=5)

    assert spread([fine], utc_index(NOW, 15, 2)).to_list() == pytest.approx([2.0, NAN], nan_ok=True)


def test_a_coarser_series_holds_for_its_step_and_no_longer() -> None:
    coarse = a_series(5.0, start=NOW - HOUR / 2)

    assert spread([coarse], utc_index(NOW, 15, 4)).to_list() == pytest.approx([5.0, 5.0, NAN, NAN], nan_ok=True)


def test_a_later_issue_overrules_only_where_it_speaks() -> None:
    said = spread([a_series(1.0, 1.0), a_series(2.0, start=NOW + HOUR)], utc_index(NOW, 60, 3))

    assert said.to_list() == pytest.approx([1.0, 2.0, NAN], nan_ok=True)


QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def a_forecast(*kw: float) -> BaseLoadForecast:
    index = utc_index(NOW, 15, 1)
    quantiles = pd.DataFrame([kw], index=index, columns=list(QUANTILES))
    return BaseLoadForecast(quantiles, quantiles[0.5], Provenance("test", NOW), 30.0)


def safe_kw(quantile: float, margin: float = 0.0) -> float:
    document = BaseLoadDocument(safety_quantile=quantile, safety_margin=margin)
    return float(safe_base_load_kw(document, a_forecast(10, 20, 30, 40, 46)).iloc[0])


def test_the_safety_quantile_lies_on_a_line_between_its_neighbours() -> None:
    assert safe_kw(0.9) == pytest.approx(46)
    assert safe_kw(0.8) == pytest.approx(42)
    assert safe_kw(0.5) == pytest.approx(30)
    assert safe_kw(0.9, margin=0.1) == pytest.approx(50.6)


def test_beyond_the_highest_quantile_it_is_further_out_and_not_cut_off() -> None:
    assert safe_kw(0.99) == pytest.approx(30 + 16 * 2.3263 / 1.2816, rel=1e-3)


@given(st.floats(0.5, 0.999), st.floats(0.5, 0.999))
def test_a_higher_safety_quantile_is_never_a_lower_load(one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert safe_kw(low) <= safe_kw(high) + 1e-9


async def test_a_cautious_load_is_no_more_than_its_operator_says(store: Store) -> None:
    site = a_site(base_load={"annual_energy_kwh": 50_000, "max_kw": 60.0})

    result = await signals(store, site, a_series(55.0, 70.0))

    assert result.base_load_high_kw == (60.0,) * 4 + (70.0,) * 4  # never below what is expected


async def test_stored_irradiance_makes_the_pv_forecast(store: Store) -> None:
    site = a_site(pv_arrays=[{"id": "roof", "peak_kw": 10, "tilt_deg": 30, "azimuth_deg": 180}])
    grey = a_series(*[30.0] * 8, kind="ghi")

    clear = await signals(store, site)
    overcast = await signals(store, site, grey)

    assert clear.provenance["pv"]["source"] == "clear-sky"
    assert overcast.provenance["pv"]["source"] == "weather"
    assert overcast.pv_kw[0] < 0.3 * clear.pv_kw[0]
