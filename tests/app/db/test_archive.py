"""A site goes out into files and comes back, into a database of either kind, without loss."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from app.clock import SteppedClock
from app.db.archive_rows import ARCHIVED
from app.db.records import Reading, TransactionEvent
from app.db.store import Store
from app.errors import InvalidInputError
from app.imports.archive import read_archive, write_archive
from app.plausibility import UNREADABLE, suspect
from tests.app.db.builders import ENERGY, NOON, a_cdr, a_meter_value, a_series, a_site, a_start, a_wish, at
from tests.stores import a_store

Row = dict[str, Any]


@pytest.fixture
async def source(clock: SteppedClock, tmp_path: Path) -> AsyncIterator[Store]:
    """A store with something odd in every table."""
    (tmp_path / "source").mkdir()
    async with a_store(clock, directory=tmp_path / "source") as store:
        await store.save_site(a_site(meters=[{"id": "grid", "measures": "grid"}]))
        for id_tag in ("=cmd()", '"quoted"', "", "Zoë 🚐"):
            transaction, _ = await store.start_transaction(
                **a_start(id_tag=id_tag, started_at=at(0.123456), meter_start_wh=0.1 + 0.2)
            )
            number = transaction.transaction_id
            await store.stop_transaction(number, stopped_at=at(60), meter_stop_wh=1 / 3, reason="" or None)
            await store.save_cdr(a_cdr(number, id_tag=id_tag, flags=("a", "b c"), cost=0.1, currency="EUR"))
            values = [a_meter_value(1e-9, 1 / 7, transaction_id=number), a_meter_value(5, 1e11, transaction_id=number)]
            await store.import_meter_values(values)
        await store.start_transaction(**a_start(evse_id=2))  # running
        await store.import_meter_values(
            [a_meter_value(1, measurand=ENERGY, unit="Wh", transaction_id=None, phase="L1")]
        )
        await store.record_transaction_event(
            TransactionEvent("cs02", "tx", 0, "Started", NOON, NOON, evse_id=1, id_tag="van-7", first_register_wh=0.0)
        )
        await store.add_readings([Reading("depot", "grid", at(0), -3.14159), Reading("depot", "grid", at(15), 0.1)])
        await store.add_series(a_series(values=(0.1 + 0.2, -1e-300, 5.0, 1 / 3)))
        await store.save_wish(a_wish(id_tag="-1+1", priority=3))
        await store.add_suspects([suspect("depot", UNREADABLE, '+"\n,', source="file", at=NOON)])
        yield store


async def everything(store: Store) -> dict[str, list[Row]]:
    found = {}
    for name, table in ARCHIVED.items():
        found[name] = [
            {key: value for key, value in row.items() if key != "series_id"}
            async for chunk in store.archived(table, "depot")
            for row in chunk
        ]
    return found


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_everything_comes_back_to_the_last_bit(
    source: Store, store: Store, tmp_path: Path, form: Literal["csv", "parquet"]
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    written = await write_archive(source, "depot", tmp_path / "archive", form)

    taken_in = await read_archive(store, tmp_path / "archive")

    assert taken_in == written | {"tariffs": 0}  # it was kept when the site was saved
    assert all(count > 0 for count in written.values())
    assert await everything(store) == await everything(source)
    assert await store.site("depot") == await source.site("depot")


async def test_reading_it_twice_is_as_good_as_once(source: Store, store: Store, tmp_path: Path) -> None:
    await write_archive(source, "depot", tmp_path / "archive", "csv")
    await read_archive(store, tmp_path / "archive")
    before = await everything(store)

    await read_archive(store, tmp_path / "archive")

    assert await everything(store) == before


async def test_a_number_that_is_taken_is_given_anew_and_its_rows_follow(
    source: Store, store: Store, tmp_path: Path
) -> None:
    await store.save_site(a_site("yard", stations=("cs11",)))
    own, _ = await store.start_transaction(**a_start(station_id="cs11"))
    await write_archive(source, "depot", tmp_path / "archive", "csv")

    await read_archive(store, tmp_path / "archive")
    after, _ = await store.start_transaction(**a_start(station_id="cs11", started_at=at(9)))

    [renumbered] = [row for row in await store.transactions(site_id="depot") if row.id_tag == "=cmd()"]
    assert renumbered.transaction_id != own.transaction_id
    assert len(await store.meter_values(transaction_id=renumbered.transaction_id)) == 2
    assert [cdr.transaction_id for cdr in await store.cdrs(id_tag="=cmd()")] == [renumbered.transaction_id]
    assert after.transaction_id > renumbered.transaction_id


async def test_what_is_no_archive_is_named(source: Store, store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="it is no archive"):
        await read_archive(store, tmp_path)
    await write_archive(source, "depot", tmp_path / "archive", "csv")
    with pytest.raises(InvalidInputError, match="not empty"):
        await write_archive(source, "depot", tmp_path / "archive", "csv")
    readings = tmp_path / "archive" / "readings.csv"
    readings.write_text(readings.read_text(encoding="utf-8").replace("-3.14159", "much"), encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"readings\.csv line 2: .*much"):
        await read_archive(store, tmp_path / "archive")
