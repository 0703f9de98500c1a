"""A meter's history from a CSV file."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from gzip import compress
from pathlib import Path
from typing import Any

import pytest

from app.db.store import Store
from app.errors import InvalidInputError
from app.imports.meter import ImportedMeter, import_meter
from app.site import Site
from tests.stores import a_store

SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {},
        "meters": [{"id": "building", "measures": "base_load"}],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(directory=tmp_path) as store:
        await store.save_site(SITE)
        yield store


async def imported(
    store: Store, tmp_path: Path, text: str | bytes, *, name: str = "meter.csv", **options: Any
) -> ImportedMeter:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    columns: dict[str, Any] = {"time_column": "time", "value_column": "kw", "unit": "kW"} | options
    return await import_meter(store, path, site_id="depot", meter_id="building", **columns)


async def stored(store: Store) -> list[tuple[datetime, float]]:
    return await store.readings("depot", "building", datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


async def test_gaps_are_counted_and_stay_gaps(store: Store, tmp_path: Path) -> None:
    result = await imported(store, tmp_path, "time,kw\n2026-04-27T08:00:00Z,12.5\n2026-04-27T08:15:00Z,\n")

    assert (result.rows, result.stored, result.gaps, result.skipped.count) == (2, 1, 1, 0)
    assert await stored(store) == [(datetime(2026, 4, 27, 8, 0, tzinfo=UTC), 12.5)]


async def test_energy_labelled_at_the_end_becomes_mean_power_from_the_start(store: Store, tmp_path: Path) -> None:
    options: dict[str, Any] = {"value_column": "wh", "unit": "Wh", "resolution_minutes": 15, "labels": "end"}

    await imported(store, tmp_path, "time,wh\n2026-04-27T08:15:00Z,2500\n", **options)

    assert await stored(store) == [(datetime(2026, 4, 27, 8, 0, tzinfo=UTC), 10.0)]


async def test_local_times_that_dst_makes_ambiguous_are_skipped_not_guessed(store: Store, tmp_path: Path) -> None:
    text = "time,kw\n2026-10-25 01:30,1\n2026-10-25 02:30,2\n2026-03-29 02:30,3\n"

    result = await imported(store, tmp_path, text, time_zone="Europe/Berlin")

    assert await stored(store) == [(datetime(2026, 10, 24, 23, 30, tzinfo=UTC), 1.0)]
    assert result.skipped.count == 2
    assert "comes twice or not at all" in result.skipped.quotes[0]


async def test_importing_again_changes_nothing_and_a_correction_wins(store: Store, tmp_path: Path) -> None:
    text = "time,kw\n2026-04-27T08:00:00Z,12.5\n"
    await imported(store, tmp_path, text)

    again = await imported(store, tmp_path, text)
    await imported(store, tmp_path, text.replace("12.5", "13,5".replace(",", ".")))

    assert again.stored == 0
    assert [kw for _, kw in await stored(store)] == [13.5]


@pytest.mark.parametrize("value", ["NaN", "inf", "twelve"])
async def test_what_is_no_number_is_counted_and_quoted(store: Store, tmp_path: Path, value: str) -> None:
    result = await imported(store, tmp_path, f"time,kw\n2026-04-27T08:00:00Z,{value}\n")

    assert (result.stored, result.skipped.count) == (0, 1)
    assert value in result.skipped.quotes[0]


async def test_a_column_that_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"value_column: 'kw' is none of the file's columns"):
        await imported(store, tmp_path, "time,power\n2026-04-27T08:00:00Z,1\n")


async def test_a_row_that_lacks_a_column_is_counted_and_ends_nothing(store: Store, tmp_path: Path) -> None:
    lines = [
        '{"time": "2026-04-27T08:00:00Z", "kw": 1}',
        '{"time": "2026-04-27T08:15:00Z"}',
        '{"kw": 3}',
        '{"time": "2026-04-27T08:30:00Z", "kw": 1' + "0" * 400 + "}",
        '{"time": "2026-04-27T08:45:00Z", "kw": 4}',
    ]

    result = await imported(store, tmp_path, "\n".join(lines), name="meter.jsonl")

    assert (result.stored, result.gaps, result.skipped.count) == (2, 0, 3)
    assert "has no 'kw'" in result.skipped.quotes[0]
    assert "has no 'time'" in result.skipped.quotes[1]


async def test_a_moment_before_all_time_is_counted(store: Store, tmp_path: Path) -> None:
    text = "time,kw\n0001-01-01T00:00:00+02:00,1\n2026-04-27T08:00:00Z,2\n"

    result = await imported(store, tmp_path, text)

    assert (result.stored, result.skipped.count) == (1, 1)


async def test_a_file_in_another_encoding_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is not UTF-8"):
        await imported(store, tmp_path, "time,kw\n2026-04-27T08:00:00Z,Zähler\n".encode("latin-1"))


async def test_a_cell_beyond_all_measure_is_an_error_that_names_its_line(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="line 2 is no CSV"):
        await imported(store, tmp_path, "time,kw\n2026-04-27T08:00:00Z," + "1" * 200_000 + "\n")


LIMITED = SITE.model_copy(
    update={"connection": SITE.connection.model_copy(update={"max_import_kw": 40.0})},
)


async def test_a_time_without_an_offset_is_refused_until_somebody_says_whose_clock_it_is(
    store: Store, tmp_path: Path
) -> None:
    text = "time,kw\n2026-04-27 08:00,12.5\n"

    with pytest.raises(InvalidInputError, match=r"time_zone: '2026-04-27 08:00' has no offset: .* --time-zone"):
        await imported(store, tmp_path, text)
    assert await stored(store) == []

    await imported(store, tmp_path, text, time_zone="Europe/Berlin")
    assert [at.hour for at, _ in await stored(store)] == [6]


async def test_more_than_the_connection_can_carry_is_quarantined_and_no_reading(store: Store, tmp_path: Path) -> None:
    await store.save_site(LIMITED)
    rows = "".join(f"2026-04-27T08:{minute:02}:00Z,{81 if minute == 3 else minute + 1}\n" for minute in range(10))

    result = await imported(store, tmp_path, "time,kw\n" + rows)

    [found] = await store.suspects("depot")
    assert (result.stored, result.suspects) == (9, 1)
    assert (found.reason, found.meter_id, found.detail) == (
        "above_connection", "building", "81 kW where 40 kW is the most"
    )  # fmt: skip


async def test_a_file_in_watts_that_says_kilowatts_is_refused_as_a_whole(store: Store, tmp_path: Path) -> None:
    await store.save_site(LIMITED)

    with pytest.raises(InvalidInputError, match=r"unit: 'kW': 2 of 2 values are more than 2 times the 40 kW"):
        await imported(store, tmp_path, "time,kw\n2026-04-27T08:00:00Z,12500\n2026-04-27T08:15:00Z,13100\n")

    assert await stored(store) == []


async def test_a_file_in_megawatts_that_says_kilowatts_is_warned_of(store: Store, tmp_path: Path) -> None:
    await store.save_site(LIMITED)

    result = await imported(store, tmp_path, "time,kw\n2026-04-27T08:00:00Z,0.0125\n")

    assert ["is kW the unit?" in warning for warning in result.warnings] == [True]


async def test_a_meter_that_repeats_one_value_for_a_day_is_noted_and_kept(store: Store, tmp_path: Path) -> None:
    lines = [f"2026-04-{27 + hour // 24}T{hour % 24:02}:00:00Z,{7.5 if hour > 3 else hour}" for hour in range(48)]

    result = await imported(store, tmp_path, "time,kw\n" + "\n".join(lines))

    [found] = await store.suspects("depot")
    assert (result.stored, found.reason) == (48, "meter_stuck")
    assert found.at == datetime(2026, 4, 27, 4, tzinfo=UTC)


async def test_rows_that_cannot_be_read_can_be_listed(store: Store, tmp_path: Path) -> None:
    await imported(store, tmp_path, "time,kw\n2026-04-27T08:00:00Z,twelve\n")

    [found] = await store.suspects("depot")
    assert (found.reason, found.source) == ("unreadable", "meter.csv, line 2")
    assert "twelve" in found.detail


async def test_a_gzipped_file_is_read_as_it_is(store: Store, tmp_path: Path) -> None:
    text = "time,kw\n2026-04-27T08:00:00Z,12.5\n"

    assert (await imported(store, tmp_path, compress(text.encode()), name="meter.csv.gz")).stored == 1
    with pytest.raises(InvalidInputError, match="no whole gzip file"):
        await imported(store, tmp_path, compress(text.encode() * 999)[:-20], name="meter.csv.gz")
    with pytest.raises(InvalidInputError, match="no whole gzip file"):
        await imported(store, tmp_path, text, name="meter.csv.gz")


OFFICE = Path(__file__).parents[4] / "shared" / "data" / "load_office_lbnl_b59_2018-09_10_15min.csv.gz"


@pytest.mark.skipif(not OFFICE.exists(), reason=f"the sample of an office is not here: {OFFICE}")
async def test_the_sample_of_an_office_is_read_whole(store: Store) -> None:
    result = await import_meter(
        store, OFFICE, site_id="depot", meter_id="building", time_column="time", value_column="kw", unit="kW"
    )

    assert result.skipped.count == 0
    assert result.stored + result.gaps == result.rows > 5_000
