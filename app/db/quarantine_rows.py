"""What is not believed: stored once, counted by reason, listed newest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.clock import Clock
from app.db import tables
from app.db.bulk import upsert
from app.db.records import Suspect
from app.db.rows import Rows, columns_of, record_of, values_of

QUARANTINE = tables.quarantine
ROWS_A_TRANSACTION = 2_000


class QuarantineRows(Rows):
    _clock: Clock

    async def add_suspects(self, suspects: Sequence[Suspect]) -> int:
        """Returns how many were new; one that is there already stays as it was first noted."""
        rows = _rows(suspects, self._clock.now())
        new = 0
        for first in range(0, len(rows), ROWS_A_TRANSACTION):
            async with self._database.write() as connection:
                new += await upsert(connection, QUARANTINE, rows[first : first + ROWS_A_TRANSACTION])
        return new

    async def suspects(
        self,
        site_id: str,
        *,
        reason: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
    ) -> list[Suspect]:
        """Newest first by when they were noted; `start <= at < end`, and without either also what has no time."""
        wanted = select(*columns_of(QUARANTINE, Suspect)).where(QUARANTINE.c.site_id == site_id)
        if reason is not None:
            wanted = wanted.where(QUARANTINE.c.reason == reason)
        if start is not None:
            wanted = wanted.where(QUARANTINE.c.at >= start)
        if end is not None:
            wanted = wanted.where(QUARANTINE.c.at < end)
        newest_first = wanted.order_by(QUARANTINE.c.noted_at.desc(), QUARANTINE.c.at.desc(), QUARANTINE.c.suspect_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(newest_first.limit(limit))).all()
        return [record_of(Suspect, row) for row in rows]

    async def count_suspects(self, site_id: str) -> dict[str, int]:
        """How many of each reason, by name."""
        counted = (
            select(QUARANTINE.c.reason, func.count().label("number"))
            .where(QUARANTINE.c.site_id == site_id)
            .group_by(QUARANTINE.c.reason)
            .order_by(QUARANTINE.c.reason)
        )
        async with self._database.read() as connection:
            return {row.reason: row.number for row in await connection.execute(counted)}


async def replace_suspects(
    connection: AsyncConnection, transaction_id: int, suspects: Sequence[Suspect], now: datetime
) -> None:
    """Of a transaction that is settled: what is not found any more goes, the rest stays as first noted."""
    rows = _rows(suspects, now)
    gone = QUARANTINE.delete().where(
        QUARANTINE.c.transaction_id == transaction_id,
        QUARANTINE.c.suspect_id.not_in([row["suspect_id"] for row in rows]),
    )
    await connection.execute(gone)
    await upsert(connection, QUARANTINE, rows)


def _rows(suspects: Sequence[Suspect], now: datetime) -> list[dict[str, Any]]:
    rows = {suspect.suspect_id: values_of(suspect) for suspect in suspects}
    return [row | {"noted_at": row["noted_at"] or now} for row in rows.values()]
