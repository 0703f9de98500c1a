"""Tariffs and uploaded series become prices per slot."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.clock import SteppedClock
from app.db.records import StoredSeries
from app.db.store import Store
from app.gather.prices import Priced, PriceSource, active_slots, joined, stood_in
from app.site import Site
from app.tariff import DemandCharge
from forecasts.errors import SeriesError, UnknownPriceError
from forecasts.series import utc_index
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def a_series(start: datetime, *values: float, minutes: int = 60, **changes: Any) -> StoredSeries:
    columns: dict[str, Any] = {"kind": "import_price", "source": "auction", "issued_at": start - HOUR} | changes
    return StoredSeries(
        site_id="depot", start=start, resolution_minutes=minutes, unit="EUR/kWh", values=values, **columns
    )


def a_site(tariff: dict[str, Any], time_zone: str = "Europe/Berlin") -> Site:
    return Site.model_validate(
        {"id": "depot", "name": "Depot", "time_zone": time_zone, "connection": {}, "tariff": tariff}
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(a_site({"kind": "series"}))
        yield store


async def priced(store: Store, tariff: dict[str, Any], *uploaded: StoredSeries, slots: int = 4) -> Priced:
    for series in uploaded:
        await store.add_series(series)
    return await PriceSource(store).of(a_site(tariff), utc_index(NOW, 60, slots), NOW)


async def test_fees_come_first_and_taxes_on_both(store: Store) -> None:
    tariff = {"kind": "series", "surcharge_per_kwh": 0.1, "factor": 1.2, "export_price_per_kwh": 0.05}

    result = await priced(store, tariff, a_series(NOW, 0.1, 0.2, -0.3, 0.0))

    assert result.import_price_per_kwh == pytest.approx([0.24, 0.36, -0.24, 0.12])
    assert result.export_price_per_kwh == (0.05,) * 4
    assert result.provenance["import_price"]["estimated"] is False


async def test_a_gap_in_the_middle_is_an_estimate_and_never_0(store: Store) -> None:
    yesterday = a_series(NOW - DAY, 0.5, 0.6, 0.7, 0.8)

    result = await priced(store, {"kind": "series"}, yesterday, a_series(NOW, 0.1), a_series(NOW + 3 * HOUR, 0.4))

    assert result.import_price_per_kwh == pytest.approx([0.1, 0.6, 0.7, 0.4])
    assert result.provenance["import_price"]["detail"] == "2 of 4 slots are estimated"


async def test_one_price_is_not_stretched_over_the_gap_behind_it(store: Store) -> None:
    far_apart = [a_series(NOW - 20 * HOUR, 0.9), a_series(NOW - 10 * HOUR, 0.1), a_series(NOW + 3 * HOUR, 0.4)]

    assert len(joined(far_apart)) == 3 * 12


async def test_a_later_issue_overrules_where_both_say_something(store: Store) -> None:
    first = a_series(NOW, 0.1, 0.2, 0.3, issued_at=NOW - 2 * HOUR)
    second = a_series(NOW + HOUR, 0.9, 0.5, minutes=30, issued_at=NOW - HOUR)

    result = await priced(store, {"kind": "series"}, first, second, slots=3)

    assert result.import_price_per_kwh == pytest.approx([0.1, 0.7, 0.3])


async def test_prices_that_their_source_calls_estimates_are_estimates(store: Store) -> None:
    firm, stand_in = a_series(NOW, 0.1, 0.2), a_series(NOW + 2 * HOUR, 0.3, 0.4, estimated=True)

    result = await priced(store, {"kind": "series"}, firm, stand_in)

    assert result.provenance["import_price"]["estimated"] is True
    assert stood_in([firm, stand_in], utc_index(NOW, 60, 4)).to_list() == [False, False, True, True]
    assert stood_in([stand_in, a_series(NOW, 0.1, 0.2, 0.3, 0.4)], utc_index(NOW, 60, 4)).sum() == 0


async def test_export_prices_of_their_own_are_paid_without_fees(store: Store) -> None:
    tariff = {"kind": "series", "surcharge_per_kwh": 0.1, "factor": 1.2}

    result = await priced(store, tariff, a_series(NOW, *[0.1] * 4), a_series(NOW, *[0.07] * 4, kind="export_price"))

    assert result.export_price_per_kwh == pytest.approx([0.07] * 4)


async def test_no_price_at_all_is_an_error(store: Store) -> None:
    with pytest.raises(UnknownPriceError):
        await priced(store, {"kind": "series"})


async def test_a_series_off_the_five_minutes_is_an_error(store: Store) -> None:
    with pytest.raises(SeriesError, match="not on five minutes"):
        joined([a_series(NOW, 0.1), a_series(NOW + timedelta(minutes=2), 0.1)])


async def test_a_time_of_use_tariff_follows_the_local_clock_when_it_changes(store: Store) -> None:
    steps = [{"start": "00:00", "price_per_kwh": 0.1}, {"start": "02:00", "price_per_kwh": 0.2}]
    site = a_site({"kind": "time_of_use", "periods": [{"steps": [*steps, {"start": "03:00", "price_per_kwh": 0.3}]}]})
    autumn, spring = datetime(2026, 10, 24, 22, 0, tzinfo=UTC), datetime(2026, 3, 28, 23, 0, tzinfo=UTC)

    async def prices(midnight: datetime) -> Sequence[float]:
        return (await PriceSource(store).of(site, utc_index(midnight, 60, 5), NOW)).import_price_per_kwh

    assert await prices(autumn) == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3])
    assert await prices(spring) == pytest.approx([0.1, 0.1, 0.3, 0.3, 0.3])


def a_charge(**changes: Any) -> DemandCharge:
    return DemandCharge.model_validate({"price_per_kw": 9.5} | changes)


def test_a_demand_charge_applies_in_its_season_on_its_days_and_hours() -> None:
    charge = a_charge(first_day="11-01", last_day="02-28", weekdays=[0, 1, 2, 3, 4], start="08:00", end="20:00")

    def hours(day: str) -> int:
        midnight = datetime.fromisoformat(f"{day}T00:00+01:00").astimezone(UTC)
        return int(active_slots(charge, utc_index(midnight, 60, 24), "Europe/Berlin").sum())

    assert (hours("2026-01-05"), hours("2026-11-02"), hours("2026-02-27")) == (12, 12, 12)  # over New Year
    assert (hours("2026-01-04"), hours("2026-03-02"), hours("2026-10-30")) == (0, 0, 0)  # a Sunday, and off season


def test_a_demand_charge_over_midnight_applies_at_both_ends_of_the_day() -> None:
    night = a_charge(start="22:00", end="06:00")

    active = active_slots(night, utc_index(datetime(2026, 6, 1, tzinfo=UTC), 60, 24), "UTC")

    assert active.to_list() == [True] * 6 + [False] * 16 + [True] * 2
