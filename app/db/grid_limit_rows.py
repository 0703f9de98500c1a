"""Limits that a grid operator sets on a site, and the log of what became of them: rows of the log are only added."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, or_, select

from app.db import tables
from app.db.operating_records import GridLimit, GridLimitEntry
from app.db.rows import Rows, columns_of, record_of, values_of
from app.errors import NotFoundError

LIMITS, LOG = tables.grid_limits, tables.grid_limit_log
_KEY = ("site_id", "source", "reference")


class GridLimitRows(Rows):
    async def save_grid_limit(self, limit: GridLimit, entry: GridLimitEntry) -> GridLimit:
        """Durable on return, with its entry in the log.

        The same site, source and reference again takes the place of the first one and keeps its id, which the
        returned record and the entry have.
        """
        row = values_of(limit)
        changed = {name: row[name] for name in row if name not in (*_KEY, "limit_id")}
        upserted = self._database.insert(LIMITS).values(row)
        upserted = upserted.on_conflict_do_update(index_elements=_KEY, set_=changed)
        async with self._database.write() as connection:
            saved = (await connection.execute(upserted.returning(*columns_of(LIMITS, GridLimit)))).one()
            await connection.execute(insert(LOG).values(values_of(entry) | {"limit_id": saved.limit_id}))
        return record_of(GridLimit, saved)

    async def note_grid_limits(self, entries: Sequence[GridLimitEntry]) -> None:
        """Add to the log. Durable on return."""
        async with self._database.write() as connection:
            for entry in entries:
                await connection.execute(insert(LOG).values(values_of(entry)))

    async def grid_limit(self, site_id: str, limit_id: str) -> GridLimit:
        wanted = select(*columns_of(LIMITS, GridLimit)).where(
            LIMITS.c.site_id == site_id, LIMITS.c.limit_id == limit_id
        )
        async with self._database.read() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            raise NotFoundError("grid limit", limit_id)
        return record_of(GridLimit, row)

    async def grid_limits(
        self, site_id: str | None = None, *, after: datetime | None = None, limit: int = 1000
    ) -> list[GridLimit]:
        """Newest first. `after`: those alone that are not cancelled and hold at that moment or later."""
        wanted = select(*columns_of(LIMITS, GridLimit))
        if site_id is not None:
            wanted = wanted.where(LIMITS.c.site_id == site_id)
        if after is not None:
            holds = or_(LIMITS.c.end.is_(None), LIMITS.c.end > after)
            wanted = wanted.where(LIMITS.c.cancelled_at.is_(None), holds)
        wanted = wanted.order_by(LIMITS.c.received_at.desc(), LIMITS.c.limit_id).limit(limit)
        async with self._database.read() as connection:
            return [record_of(GridLimit, row) for row in await connection.execute(wanted)]

    async def grid_limit_log(self, limit_id: str) -> list[GridLimitEntry]:
        """Oldest first."""
        wanted = select(*columns_of(LOG, GridLimitEntry)).where(LOG.c.limit_id == limit_id)
        async with self._database.read() as connection:
            rows = await connection.execute(wanted.order_by(LOG.c.entry_id))
            return [record_of(GridLimitEntry, row) for row in rows]
