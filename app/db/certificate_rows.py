"""Fail-safe certificates of sites, as they were made."""

from datetime import datetime

from sqlalchemy import delete, select

from app.crash_points import crash_point
from app.db import tables
from app.db.records import Json
from app.db.rows import Rows

CERTIFICATES = tables.certificates
KEPT = 1_000  # of each site


class CertificateRows(Rows):
    async def save_certificate(self, site_id: str, made_at: datetime, document: Json) -> None:
        """Durable on return; the oldest of more than `KEPT` make room."""
        row = {"site_id": site_id, "made_at": made_at, "document": document}
        upserted = self._database.insert(CERTIFICATES).values(row)
        upserted = upserted.on_conflict_do_update(index_elements=["site_id", "made_at"], set_={"document": document})
        oldest = (
            select(CERTIFICATES.c.made_at)
            .where(CERTIFICATES.c.site_id == site_id)
            .order_by(CERTIFICATES.c.made_at.desc())
            .offset(KEPT - 1)
            .limit(1)
            .scalar_subquery()
        )
        async with self._database.write() as connection:
            await connection.execute(upserted)
            await connection.execute(
                delete(CERTIFICATES).where(CERTIFICATES.c.site_id == site_id, CERTIFICATES.c.made_at < oldest)
            )
            crash_point("certificate.before_commit")
        crash_point("certificate.after_commit")

    async def certificates(self, site_id: str, limit: int = 100) -> list[Json]:
        """Newest first."""
        wanted = (
            select(CERTIFICATES.c.document)
            .where(CERTIFICATES.c.site_id == site_id)
            .order_by(CERTIFICATES.c.made_at.desc())
            .limit(limit)
        )
        async with self._database.read() as connection:
            return [row.document for row in await connection.execute(wanted)]
