"""An OCPP message log becomes stations, transactions, meter values and CDRs."""

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.db.store import Store
from app.errors import InvalidInputError
from app.imports.ocpp_log import import_ocpp_log
from tests.stores import a_store

WEEK = Path(__file__).parents[4] / "shared" / "data" / "ocpp_log_one_week.parquet"
COLUMNS = ("message_id", "message_type", "charge_point_id", "action", "write_timestamp", "body")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(directory=tmp_path) as store:
        yield store


def row(number: int, kind: int, action: str, minute: int, **body: Any) -> dict[str, Any]:
    at = f"2026-04-27T08:{minute:02}:00+00:00"
    values = (f"m{number}", kind, "cp-1", action, at, json.dumps(body))
    return dict(zip(COLUMNS, values, strict=True))


def sample(minute: int, watt: float) -> dict[str, Any]:
    value = {"value": str(watt), "measurand": "Power.Active.Import", "unit": "W", "phase": None}
    return {"timestamp": f"2026-04-27T08:{minute:02}:00Z", "sampled_value": [value]}


A_SESSION = [
    row(1, 2, "BootNotification", 0, charge_point_vendor="Acme", charge_point_model="One", firmware_version=None),
    row(2, 2, "StartTransaction", 0, connector_id=1, id_tag="tag", meter_start=0, timestamp="2026-04-27T08:00:00Z"),
    row(2, 3, "StartTransaction", 0, transaction_id=7, id_tag_info={"status": "Accepted"}),
    row(3, 2, "MeterValues", 0, connector_id=1, transaction_id=7, meter_value=[sample(0, 6000)]),
    row(3, 2, "MeterValues", 30, connector_id=1, transaction_id=7, meter_value=[sample(30, 0)]),
    row(4, 2, "StopTransaction", 40, transaction_id=7, meter_stop=3000, timestamp="2026-04-27T08:40:00Z"),
]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv"])
async def test_a_session_of_the_log_becomes_a_cdr(store: Store, tmp_path: Path, name: str) -> None:
    result = await import_ocpp_log(store, written(tmp_path / name, A_SESSION))

    [cdr] = await store.cdrs()
    assert (result.transactions, result.cdrs, result.meter_values, result.skipped.count) == (1, 1, 2, 0)
    assert (cdr.station_id, cdr.energy_kwh) == ("cp-1", 3.0)
    assert cdr.integrated_energy_kwh == pytest.approx(3.0)
    assert cdr.parking_time_h == pytest.approx(10 / 60)
    assert (await store.station("cp-1")).vendor == "Acme"


async def test_importing_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", A_SESSION)
    await import_ocpp_log(store, path)
    before = await store.cdrs()

    again = await import_ocpp_log(store, path)

    assert (again.meter_values, again.transactions) == (0, 1)
    assert await store.cdrs() == before


async def test_the_order_of_the_rows_does_not_matter(store: Store, tmp_path: Path) -> None:
    await import_ocpp_log(store, written(tmp_path / "log.jsonl", A_SESSION[::-1]))

    assert [cdr.energy_kwh for cdr in await store.cdrs()] == [3.0]


async def test_unknown_stations_are_created_in_a_new_site_that_sends_nothing(store: Store, tmp_path: Path) -> None:
    await import_ocpp_log(store, written(tmp_path / "log.jsonl", A_SESSION), site_id="depot")

    site = await store.site("depot")
    assert [(station.id, station.isolated) for station in site.charging_stations] == [("cp-1", True)]
    assert (site.mode, site.tariff.kind) == ("shadow", "series")


async def test_a_row_that_cannot_be_read_is_counted_quoted_and_skipped(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", A_SESSION)
    path.write_text(path.read_text(encoding="utf-8") + '\n{"broken\n{"message_id": "x"}\n', encoding="utf-8")

    result = await import_ocpp_log(store, path)

    assert (result.cdrs, result.skipped.count) == (1, 2)
    assert "not JSON" in result.skipped.quotes[0]
    assert "no 'body' column" in result.skipped.quotes[1]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (row(9, 2, "StatusNotification", 5, connector_id=1, status="Available", timestamp="yesterday"), "yesterday"),
        (row(9, 2, "StatusNotification", 5, connector_id="x", status="Available"), "'x'"),
        (row(9, 2, "StopTransaction", 5, transaction_id=99, meter_stop=1, timestamp="2026-04-27T08:05:00Z"), "99"),
        (row(9, 2, "Heartbeat", 5) | {"charge_point_id": "cp:1/../x"}, "cp:1/../x"),
        (row(9, 2, "Heartbeat", 5) | {"charge_point_id": None}, "None"),
        (row(9, 2, "Heartbeat", 5) | {"body": "[" * 100_000}, "nested"),
    ],
)
async def test_a_message_that_makes_no_sense_ends_nothing(
    store: Store, tmp_path: Path, odd: dict[str, Any], reason: str
) -> None:
    result = await import_ocpp_log(store, written(tmp_path / "log.jsonl", [odd, *A_SESSION]))

    assert (result.cdrs, result.skipped.count) == (1, 1)
    assert reason in result.skipped.quotes[0]


async def test_a_message_id_that_comes_again_another_day_is_another_transaction(store: Store, tmp_path: Path) -> None:
    def on(day: int, transaction: int, part: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(part).replace("2026-04-27", f"2026-04-{day}")
        return json.loads(text.replace('\\"transaction_id\\": 7', f'\\"transaction_id\\": {transaction}'))  # type: ignore[no-any-return]

    rows = [on(day, number, part) for day, number in ((27, 7), (28, 8)) for part in A_SESSION]

    result = await import_ocpp_log(store, written(tmp_path / "log.jsonl", rows))

    assert (result.transactions, result.cdrs) == (2, 2)
    assert [cdr.start.day for cdr in await store.cdrs()] == [27, 28]


async def test_a_transaction_that_one_log_starts_and_the_next_one_stops_is_one(store: Store, tmp_path: Path) -> None:
    first = await import_ocpp_log(store, written(tmp_path / "monday.jsonl", A_SESSION[:4]))
    second = await import_ocpp_log(store, written(tmp_path / "tuesday.jsonl", A_SESSION[4:]))

    assert [(result.transactions, result.cdrs) for result in (first, second)] == [(1, 0), (1, 1)]
    assert [cdr.integrated_energy_kwh for cdr in await store.cdrs()] == [pytest.approx(3.0)]


async def test_a_station_that_has_left_its_site_is_counted_and_ends_nothing(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", A_SESSION)
    await import_ocpp_log(store, path)
    await store.save_site((await store.site("imported")).model_copy(update={"charging_stations": ()}))

    result = await import_ocpp_log(store, path, site_id="imported")

    assert result.cdrs == 1


async def test_a_site_that_cannot_be_named_so_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="site"):
        await import_ocpp_log(store, written(tmp_path / "log.jsonl", A_SESSION), site_id="my depot")


async def test_a_file_of_another_kind_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"none of \.parquet"):
        await import_ocpp_log(store, written(tmp_path / "log.xml", A_SESSION))


@pytest.mark.skipif(not WEEK.exists(), reason=f"the sample log is not here: {WEEK}")
async def test_a_real_week_gives_95_cdrs_and_finds_the_register_twelve_times_too_high(store: Store) -> None:
    result = await import_ocpp_log(store, WEEK)

    assert (result.rows, result.stations, result.transactions, result.cdrs) == (49_616, 10, 95, 95)
    assert result.skipped.count == 0
    [warning] = result.warnings
    assert "by a factor of 12 in 95 of 95" in warning
