"""What operators have set by hand, and the audit: who did what, and which mode a site went into."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import operating_tables as tables
from app.db.operating_records import AuditEntry, Override
from app.db.rows import Rows, columns_of, record_of, values_of
from app.errors import NotFoundError

OVERRIDES, AUDIT = tables.overrides, tables.audit


class OverrideRows(Rows):
    async def add_override(self, override: Override) -> None:
        """Durable on return, together with its line in the audit."""
        said = {"override_id": override.override_id, "text": str(override), "reason": override.reason}
        entry = AuditEntry(override.site_id, override.created_at, "override.created", override.created_by, said)
        async with self._database.write() as connection:
            await connection.execute(OVERRIDES.insert().values(values_of(override)))
            await _note(connection, entry)

    async def end_override(self, site_id: str, override_id: str, at: datetime, actor: str) -> Override:
        """End it before its time. Ending it twice changes nothing. Raises `NotFoundError` for none of this site."""
        known = select(*columns_of(OVERRIDES, Override)).where(
            OVERRIDES.c.override_id == override_id, OVERRIDES.c.site_id == site_id
        )
        async with self._database.write() as connection:
            row = (await connection.execute(known)).one_or_none()
            if row is None:
                raise NotFoundError("override", override_id)
            override = record_of(Override, row)
            if not override.holds_at(at):
                return override
            change = update(OVERRIDES).where(OVERRIDES.c.override_id == override_id)
            await connection.execute(change.values(ended_at=at, ended_by=actor))
            said = {"override_id": override_id, "text": str(override)}
            await _note(connection, AuditEntry(site_id, at, "override.ended", actor, said))
        return replace(override, ended_at=at, ended_by=actor)

    async def overrides(
        self, site_id: str | None = None, *, active_at: datetime | None = None, limit: int = 1000
    ) -> list[Override]:
        """Newest first; `active_at` leaves those that hold then."""
        wanted = select(*columns_of(OVERRIDES, Override))
        if site_id is not None:
            wanted = wanted.where(OVERRIDES.c.site_id == site_id)
        if active_at is not None:
            wanted = wanted.where(OVERRIDES.c.expires_at > active_at, OVERRIDES.c.ended_at.is_(None))
        newest_first = wanted.order_by(OVERRIDES.c.created_at.desc(), OVERRIDES.c.override_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(newest_first.limit(limit))).all()
        found = [record_of(Override, row) for row in rows]
        return found if active_at is None else [one for one in found if one.holds_at(active_at)]

    async def add_audit(self, entry: AuditEntry) -> None:
        """Durable on return."""
        async with self._database.write() as connection:
            await _note(connection, entry)

    async def audit(self, site_id: str, *, action: str | None = None, limit: int = 100) -> list[AuditEntry]:
        """Newest first."""
        wanted = select(*columns_of(AUDIT, AuditEntry)).where(AUDIT.c.site_id == site_id)
        if action is not None:
            wanted = wanted.where(AUDIT.c.action == action)
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.order_by(AUDIT.c.number.desc()).limit(limit))).all()
        return [record_of(AuditEntry, row) for row in rows]


async def _note(connection: AsyncConnection, entry: AuditEntry) -> None:
    await connection.execute(AUDIT.insert().values(values_of(entry)))
