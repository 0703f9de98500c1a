"""Copies of a whole database, made while the service runs, and databases made of copies.

SQLite copies itself page by page through its own backup interface, and the copy is checked before it gets its name.
PostgreSQL's own programs do it, in their custom format. Nothing that is there is ever overwritten.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import URL, make_url

from app.errors import ConflictError, InvalidInputError, StoreUnavailableError

PAGES = 2_000  # at a time: writers get in between
BUSY_S = 30.0


def backup(database_url: str, file: Path) -> int:
    """Copy the database to `file`, which only its owner may read; its size in bytes.

    Raises `ConflictError` where there is a file already, and `StoreUnavailableError` for a database that cannot be
    read or whose copy is not whole.
    """
    url = make_url(database_url)
    with _unfinished(file) as copy:
        if _is_sqlite(url):
            source = _file_of(url)
            if not source.is_file():
                raise StoreUnavailableError(f"there is no database {source}")
            _copy(source, copy)
        else:
            _run(url, "pg_dump", "--format=custom", "--no-owner", f"--file={copy}")
    return file.stat().st_size


def restore(database_url: str, file: Path) -> None:
    """Make the database of a copy. An older schema is brought up to date when the service starts.

    Raises `InvalidInputError` for a file that is no whole copy, and `ConflictError` where there is a database already.
    """
    url = make_url(database_url)
    if not file.is_file():
        raise InvalidInputError("file", f"there is no {str(file)!r}")
    if not _is_sqlite(url):
        # Without --clean it fails at the first table that is there, and takes back what it has done.
        _run(url, "pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", str(file))
        return
    target = _file_of(url)
    with _unfinished(target) as copy:
        try:
            _copy(file, copy)
        except StoreUnavailableError as error:
            raise InvalidInputError("file", f"{str(file)!r} is no whole backup: {error}") from error


def _copy(source: Path, copy: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=BUSY_S)) as whole,
            closing(sqlite3.connect(copy)) as made,
        ):
            whole.backup(made, pages=PAGES)
            made.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            (found,) = made.execute("PRAGMA integrity_check(1)").fetchone()
            is_ours = made.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{source}: {error}") from error
    if found != "ok":
        raise StoreUnavailableError(f"{source}: {found}")
    if is_ours is None:
        raise StoreUnavailableError(f"{source} is no database of this service")


@contextmanager
def _unfinished(file: Path) -> Iterator[Path]:
    """A name beside `file` for what is being made; it gets its own name once it is whole and on disk."""
    if file.exists():
        raise ConflictError(f"{file} is there already: it is not overwritten")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = file.with_name(f".{file.name}.{uuid4().hex}")
    made.touch(mode=0o600)
    try:
        yield made
        with made.open("rb") as whole:
            os.fsync(whole.fileno())
        try:
            os.link(made, file)  # unlike a renaming it never replaces what came meanwhile
        except FileExistsError as error:
            raise ConflictError(f"{file} is there already: it is not overwritten") from error
    finally:
        made.unlink(missing_ok=True)


def _is_sqlite(url: URL) -> bool:
    return url.drivername.partition("+")[0] == "sqlite"


def _file_of(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise InvalidInputError("database_url", "a database in memory has no backup")
    return Path(url.database).expanduser()


def _run(url: URL, program: str, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise InvalidInputError(program, "is missing. On Debian: apt install postgresql-client")
    plain = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    secret = {} if url.password is None else {"PGPASSWORD": url.password}  # not where `ps` shows it
    done = subprocess.run(  # noqa: S603 -- PostgreSQL's own program, found on the path, with the operator's settings
        [found, f"--dbname={plain}", *arguments],
        env=os.environ | secret,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        if "already exists" in done.stderr:
            raise ConflictError(f"the database is not empty: it is not overwritten. {program}: {said}")
        raise StoreUnavailableError(f"{program} ended with {done.returncode}: {said}")
