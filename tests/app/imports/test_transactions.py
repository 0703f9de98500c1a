"""Completed transactions of another CSMS, from the table that it exports."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.db.store import Store
from app.errors import InvalidInputError
from app.imports.transactions import ImportedTransactions, import_transactions
from app.site import Site
from tests.stores import a_store

HEADER = "transaction_pk,charge_box_id,connector_id,id_tag,start_timestamp,start_value,stop_timestamp,stop_value\n"
FIRST = "17,cs01,1,VAN-7,2026-04-27T08:00:00.000Z,1000,2026-04-27T10:00:00.000Z,9000\n"
RUNNING = '18,cs01,1,VAN-8,2026-04-27T11:00:00.000Z,9000,"",""\n'
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {},
        "charging_stations": [{"id": "cs01", "evses": [{"id": 1}]}],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(directory=tmp_path) as store:
        await store.save_site(SITE)
        yield store


async def imported(
    store: Store, tmp_path: Path, text: str, *, name: str = "t.csv", **options: Any
) -> ImportedTransactions:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return await import_transactions(store, path, **({"site_id": "depot"} | options))


async def test_a_completed_transaction_becomes_one_with_its_cdr(store: Store, tmp_path: Path) -> None:
    result = await imported(store, tmp_path, HEADER + FIRST)

    assert (result.rows, result.transactions, result.cdrs, result.skipped.count) == (1, 1, 1, 0)
    [transaction] = await store.transactions(site_id="depot")
    assert (transaction.evse_id, transaction.id_tag, transaction.ocpp_transaction_id) == (1, "VAN-7", "17")
    assert transaction.started_at == datetime(2026, 4, 27, 8, tzinfo=UTC)
    [cdr] = await store.cdrs(site_id="depot")
    assert (cdr.energy_kwh, cdr.total_time_h) == (8.0, 2.0)


async def test_the_same_file_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    await imported(store, tmp_path, HEADER + FIRST)
    before = await store.transactions(site_id="depot"), await store.cdrs(site_id="depot")

    again = await imported(store, tmp_path, HEADER + FIRST)

    assert (again.transactions, again.known, again.cdrs) == (0, 1, 0)
    assert (await store.transactions(site_id="depot"), await store.cdrs(site_id="depot")) == before


async def test_one_that_runs_is_left_until_it_has_ended(store: Store, tmp_path: Path) -> None:
    result = await imported(store, tmp_path, HEADER + RUNNING)
    assert (result.running, result.transactions) == (1, 0)
    assert await store.transactions() == []

    ended = RUNNING.replace('"",""', "2026-04-27T12:00:00Z,9500")

    assert (await imported(store, tmp_path, HEADER + ended)).transactions == 1


async def test_the_same_transaction_of_a_message_log_is_ended_and_not_doubled(store: Store, tmp_path: Path) -> None:
    """A log may have lost the stop; it knows the transaction by the same number."""
    await store.start_transaction(
        station_id="cs01",
        evse_id=1,
        id_tag="VAN-7",
        started_at=datetime(2026, 4, 27, 8, tzinfo=UTC),
        meter_start_wh=1000,
        ocpp_transaction_id="17",
    )

    result = await imported(store, tmp_path, HEADER + FIRST)

    assert (result.transactions, result.known, result.cdrs) == (0, 1, 1)
    assert [row.is_running for row in await store.transactions()] == [False]


async def test_the_api_spells_its_columns_otherwise(store: Store, tmp_path: Path) -> None:
    row = (
        '{"id": 17, "chargeBoxId": "cs01", "connectorId": 1, "ocppIdTag": "VAN-7", "startTimestamp": '
        '"2026-04-27T10:00:00+02:00", "startValue": "1000", "stopTimestamp": "2026-04-27T12:00:00+02:00", '
        '"stopValue": "9000", "stopReason": "EVDisconnected"}\n'
    )

    await imported(store, tmp_path, row, name="t.jsonl")

    [transaction] = await store.transactions()
    assert (transaction.started_at, transaction.stop_reason) == (
        datetime(2026, 4, 27, 8, tzinfo=UTC),
        "EVDisconnected",
    )


async def test_columns_of_any_name_can_be_given(store: Store, tmp_path: Path) -> None:
    text = HEADER.replace("charge_box_id", "station").replace("start_value", "begin") + FIRST

    result = await imported(store, tmp_path, text, columns={"charge_box_id": "station", "start_value": "begin"})

    assert result.transactions == 1


@pytest.mark.parametrize(
    ("header", "columns", "said"),
    [
        (HEADER.replace("stop_value", "x"), {}, "'stop_value' is none of the file's columns"),
        (HEADER, {"id_tag": "tag"}, "'tag' is none of the file's columns"),
        (HEADER, {"tag": "id_tag"}, "'tag' is none of transaction_pk, "),
    ],
)
async def test_a_file_of_another_kind_is_refused_by_its_column(
    header: str, columns: dict[str, str], said: str, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        await imported(store, tmp_path, header + FIRST, columns=columns)

    assert await store.transactions() == []


async def test_a_local_time_needs_its_zone(store: Store, tmp_path: Path) -> None:
    text = HEADER + FIRST.replace(".000Z", "")
    with pytest.raises(InvalidInputError, match="--time-zone"):
        await imported(store, tmp_path, text)

    await imported(store, tmp_path, text, time_zone="Europe/Berlin")

    assert [row.started_at for row in await store.transactions()] == [datetime(2026, 4, 27, 6, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2026-04-27T10", "2026-04-27T07", "before it begins"),
        (",9000", ",much", "could not convert"),
        (",9000", ",nan", "is no register"),
        (",9000", ",", "has no stop_value"),
        (",1,VAN", ",0,VAN", "connector 0 is none"),
        ("17,", ",", "has no transaction_pk"),
    ],
)
async def test_a_row_that_cannot_be_read_is_counted_and_the_rest_is_taken(
    old: str, new: str, reason: str, store: Store, tmp_path: Path
) -> None:
    good = FIRST.replace("17,", "16,").replace("27T", "26T")

    result = await imported(store, tmp_path, HEADER + FIRST.replace(old, new, 1) + good)

    assert (result.skipped.count, result.transactions, result.suspects) == (1, 1, 1)
    assert reason in result.skipped.quotes[0]


async def test_stations_that_nobody_knows_are_made_isolated(store: Store, tmp_path: Path) -> None:
    result = await imported(store, tmp_path, HEADER + FIRST.replace("cs01,1", "new,2"), site_id=None)

    assert (result.site_id, result.new_stations) == ("imported", 1)
    [station] = (await store.site("imported")).charging_stations
    assert (station.id, station.isolated, [evse.id for evse in station.evses]) == ("new", True, [2])
