"""A real store for tests: SQLite in a directory of its own.

    async with a_store(clock) as store: ...

The schema is made once a process; each store starts as a copy of it, which takes a few milliseconds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from app.clock import Clock, SystemClock
from app.db.store import Store


@asynccontextmanager
async def a_store(clock: Clock | None = None, *, directory: Path | None = None) -> AsyncIterator[Store]:
    """An empty store. In `directory` (say `tmp_path`) it outlives the block; a second call there opens it again."""
    with TemporaryDirectory(prefix="smartcharge-store-") as temporary:
        file = (directory or Path(temporary)) / "smartcharge.db"
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            file.write_bytes(await asyncio.to_thread(_empty_database))
        async with Store.open(sqlite_url(file), clock or SystemClock()) as store:
            yield store


def sqlite_url(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


@cache
def _empty_database() -> bytes:
    async def migrate(file: Path) -> None:
        async with Store.open(sqlite_url(file), SystemClock()):
            pass

    with TemporaryDirectory(prefix="smartcharge-schema-") as temporary:
        file = Path(temporary) / "empty.db"
        asyncio.run(migrate(file))
        return file.read_bytes()
