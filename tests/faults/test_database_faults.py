"""The database is locked, full, or gone, and comes back, all under load and without a restart of the service.

Sockets stay. What cannot be written is not acknowledged, samples wait in memory, and the service calls itself not ready
until it can write again.
"""

import os
import resource
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.clock import SystemClock
from app.db.store import Store
from app.demo.chaos_proxy import ChaosProxy
from app.errors import StoreUnavailableError
from app.site import Site
from tests.e2e.builders import until
from tests.faults.depot import found
from tests.faults.load import Acknowledged
from tests.faults.loaded import LOADED, Load, a_load, everything_is_there
from tests.faults.serving import Service, a_service
from tests.stores import a_store, sqlite_url


@asynccontextmanager
async def loaded(directory: Path, url: str) -> AsyncIterator[tuple[Load, Service]]:
    """A service under load on the database of `url`, which is migrated."""
    noted = Acknowledged()
    async with Store.open(url, SystemClock()) as store:
        token, passwords = await found(store, Site.model_validate(LOADED))
    async with a_service(directory, SMARTCHARGE_DATABASE_URL=url) as service:
        await service.start()
        async with a_load(service, token, passwords, noted) as load:
            await load.goes_on(100)
            assert await load.ready()
            yield load, service


async def is_noticed(load: Load) -> None:
    """Now and then: a database that may not grow finds room again by itself for a moment."""
    await load.refusals(5)
    await until(partial(_says_so, load))


async def _says_so(load: Load) -> bool:
    response = await load.client.get("/health/ready")
    return response.status_code == 503 and response.json()["store"] == "unavailable"


async def is_over(load: Load) -> None:
    """Ready again, with what waited in memory written, and everybody served; nobody ever had to connect anew."""
    await until(load.ready)
    await load.goes_on(100)
    assert [station.connections for station in load.stations] == [1] * len(load.stations)


async def test_a_lock_that_another_process_keeps_holds_up_what_must_be_written_and_nothing_else(tmp_path: Path) -> None:
    async with a_store(directory=tmp_path):
        pass
    file = tmp_path / "smartcharge.db"
    url = f"{sqlite_url(file)}?timeout=0.2"
    async with loaded(tmp_path, url) as (load, _):
        with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN IMMEDIATE")
            await is_noticed(load)
            read = await load.client.get("/v1/sites")
            other.execute("ROLLBACK")

        await is_over(load)

    assert read.json()[0]["id"] == "depot"
    await everything_is_there(url, load.noted)


async def test_a_database_that_may_not_grow_takes_no_start_and_loses_nothing(tmp_path: Path) -> None:
    async with a_store(directory=tmp_path):
        pass
    file = tmp_path / "smartcharge.db"
    async with loaded(tmp_path, sqlite_url(file)) as (load, service):
        with no_file_larger_than(Path(f"{file}-wal").stat().st_size + 20_000, service):
            await is_noticed(load)

        await is_over(load)

    await everything_is_there(sqlite_url(file), load.noted)


async def test_a_full_disk_takes_no_start_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with a_small_disk(disk):
        async with a_store(directory=disk):
            pass
        url = sqlite_url(disk / "smartcharge.db")
        async with loaded(tmp_path, url) as (load, _):
            filler = disk / "filler"
            fill(filler)
            await is_noticed(load)
            filler.unlink()

            await is_over(load)

        await everything_is_there(url, load.noted)


async def test_a_server_that_is_gone_and_comes_back_is_used_again(tmp_path: Path, postgres_url: str) -> None:
    given = make_url(postgres_url)
    folder = given.query.get("host")
    port = given.port or 5432
    unix_path = f"{folder}/.s.PGSQL.{port}" if isinstance(folder, str) else None
    async with ChaosProxy.to(given.host or "", port, unix_path=unix_path) as line:
        through = given.set(host="127.0.0.1", port=line.port, query={}).render_as_string(hide_password=False)
        async with loaded(tmp_path, through) as (load, _):
            line.accepts = False
            line.cut()
            await is_noticed(load)
            line.accepts = True

            await is_over(load)

    await everything_is_there(postgres_url, load.noted)


async def test_a_file_with_flipped_bytes_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with a_store(directory=tmp_path) as store:
        await found(store, Site.model_validate(LOADED))
    file = tmp_path / "smartcharge.db"
    content = bytearray(file.read_bytes())
    content[100:4096] = os.urandom(len(content[100:4096]))  # the schema; the file's own header is whole
    file.write_bytes(content)

    with pytest.raises(StoreUnavailableError, match=r"malformed|not a database"):
        async with Store.open(sqlite_url(file), SystemClock()):
            pytest.fail("it was opened")

    assert file.read_bytes() == bytes(content)


@contextmanager
def no_file_larger_than(size: int, service: Service) -> Iterator[None]:
    """Of those that the service writes; its log included."""
    pid = service.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def a_small_disk(folder: Path) -> Iterator[None]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system of a size of its own can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as out:
        for size in (65_536, 1):  # to the last byte
            try:
                while out.write(b"\0" * size):
                    pass
            except OSError:
                continue
