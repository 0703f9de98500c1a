"""A series from a file, and what a plan makes of carbon."""

import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.clock import SteppedClock
from app.db.store import Store
from app.errors import InvalidInputError
from app.gather import FallbackOnly, Gatherer
from app.imports.series import ImportedSeries, import_energy_charts, import_series
from app.site import Site
from tests.forecasts.builders import sample
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {},
        "base_load": {"annual_energy_kwh": 10_000},
        "carbon_price_per_kg": 0.1,
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(SITE)
        yield store


async def imported(store: Store, tmp_path: Path, text: str, **options: Any) -> ImportedSeries:
    path = tmp_path / "series.csv"
    path.write_text(text, "utf-8")
    said: dict[str, Any] = {"kind": "carbon", "unit": "g/kWh", "source": "test", "issued_at": NOW} | options
    return await import_series(store, path, site_id="depot", **said)


def rows(*values: float | str, minutes: int = 60, start: datetime = NOW) -> str:
    lines = [f"{(start + n * timedelta(minutes=minutes)).isoformat()},{value}" for n, value in enumerate(values)]
    return "\n".join(["time,value", *lines])


async def test_values_are_kept_in_their_unit_and_a_gap_parts_them(store: Store, tmp_path: Path) -> None:
    result = await imported(store, tmp_path, rows(300, 250, "", 200))

    stored = await store.series("depot", "carbon", NOW, NOW + timedelta(days=1))
    assert (result.rows, result.values, result.gaps, result.series, result.step_minutes) == (4, 3, 1, 2, 60)
    assert [(one.start, one.values) for one in stored] == [
        (NOW, (0.3, 0.25)),
        (NOW + timedelta(hours=3), (0.2,)),
    ]


async def test_the_same_file_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    for _ in range(2):
        await imported(store, tmp_path, rows(300, 250))

    assert len(await store.series("depot", "carbon", NOW, NOW + timedelta(days=1))) == 1


async def test_labels_at_the_end_are_moved_to_the_start(store: Store, tmp_path: Path) -> None:
    await imported(store, tmp_path, rows(1, 2), labels="end")

    [one] = await store.series("depot", "carbon", NOW - timedelta(days=1), NOW + timedelta(days=1))
    assert one.start == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (rows(1, 2), {"unit": "EUR/kWh"}, "unit: 'EUR/kWh' is none of"),
        (rows(1, 2), {"value_column": "moer"}, "value_column: 'moer' is none"),
        ("time,value\n2026-04-27T08:00,1\n2026-04-27T09:00,2", {}, "has no offset"),
        (rows(1), {}, "too few"),
        (rows(1, 2, minutes=7), {}, "not on five minutes"),
        (rows(5, -2), {"kind": "ghi", "unit": "W/m2"}, "is negative"),
        (rows(1, 2) + "\n" + rows(3).split("\n")[1], {}, "two values"),
    ],
)
async def test_a_file_that_is_wrong_is_refused_whole(
    store: Store, tmp_path: Path, text: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        await imported(store, tmp_path, text, **options)

    assert await store.newest_series("depot") == {}


async def test_the_marginal_rates_of_the_sample_are_read(store: Store) -> None:
    result = await import_series(
        store,
        sample("moer_sce_2019-09_5min.csv.gz"),
        site_id="depot",
        kind="carbon_marginal",
        unit="kg/kWh",
        source="moer",
        issued_at=NOW,
        value_column="moer",
    )

    with gzip.open(sample("moer_sce_2019-09_5min.csv.gz"), "rt") as text:
        lines = sum(1 for _ in text) - 1
    assert result.values + result.repeated == lines
    assert (result.repeated, result.step_minutes) == (288, 5)  # a day is in it twice


# What a plan makes of it


async def gathered(store: Store) -> Any:
    gatherer = Gatherer(store, SteppedClock(NOW), FallbackOnly(), connected=frozenset, horizon=timedelta(hours=6))
    return await gatherer.gather(SITE)


async def test_a_plan_weighs_carbon_by_the_sites_price_and_continues_it_marked(store: Store, tmp_path: Path) -> None:
    await imported(store, tmp_path, rows(*[200 + n for n in range(24)], start=NOW - timedelta(hours=20)))

    found = await gathered(store)

    hourly = found.problem.carbon_kg_per_kwh[::4]
    assert hourly[:4] == pytest.approx([0.22, 0.221, 0.222, 0.223])
    assert hourly[4:] == pytest.approx([0.2, 0.201])  # as at that time on the day before
    assert found.problem.carbon_price_per_kg == 0.1
    assert found.provenance["carbon"]["estimated"] is True
    assert "8 of 24" in found.provenance["carbon"]["detail"]


async def test_the_marginal_rate_goes_before_the_average(store: Store, tmp_path: Path) -> None:
    await imported(store, tmp_path, rows(*[200] * 24))
    await imported(store, tmp_path, rows(*[500] * 24), kind="carbon_marginal", source="moer")

    found = await gathered(store)

    assert set(found.problem.carbon_kg_per_kwh) == {0.5}
    assert found.provenance["carbon"]["detail"].startswith("carbon_marginal")


async def test_without_a_series_a_plan_knows_nothing_of_carbon(store: Store) -> None:
    found = await gathered(store)

    assert found.problem.carbon_kg_per_kwh is None
    assert "carbon" not in found.provenance


def a_reply(start: datetime, *prices: float | None) -> dict[str, Any]:
    seconds = [int((start + hour * timedelta(hours=1)).timestamp()) for hour in range(len(prices))]
    return {"unix_seconds": seconds, "price": list(prices), "unit": "EUR / MWh", "license_info": "CC BY 4.0"}


async def test_a_kept_reply_of_a_provider_is_stored_as_its_source_would(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "day.json"
    file.write_text(json.dumps(a_reply(NOW, 80.0, -5.0, 120.0)), "utf-8")

    result = await import_energy_charts(store, file, site_id="depot", issued_at=NOW)

    [kept] = await store.series("depot", "import_price", NOW, NOW + timedelta(days=1))
    assert (result.values, result.step_minutes) == (3, 60)
    assert (kept.source, kept.values, kept.unit) == ("energy_charts", (0.08, -0.005, 0.12), "EUR/kWh")


@pytest.mark.parametrize(
    "text", ["<html>busy</html>", "{}", '{"unix_seconds": [1], "price": [1], "unit": "GBP / MWh"}']
)
async def test_a_reply_that_is_none_is_refused_and_leaves_nothing(store: Store, tmp_path: Path, text: str) -> None:
    file = tmp_path / "day.json"
    file.write_text(text, "utf-8")

    with pytest.raises(InvalidInputError, match=r"day\.json"):
        await import_energy_charts(store, file, site_id="depot", issued_at=NOW)

    assert await store.series("depot", "import_price", NOW, NOW + timedelta(days=1)) == []
