"""Few figures about everything, for whoever watches the service from outside."""

from datetime import datetime

from sqlalchemy import func, select

from app.db import tables
from app.db.rows import Rows

TRANSACTIONS, PLANS, SERIES = tables.transactions, tables.plans, tables.series


class FigureRows(Rows):
    async def plans_in_use(self) -> tuple[int, datetime | None]:
        """How many transactions run, and when the oldest of the newest plans of their sites was made; None: no plan."""
        running = TRANSACTIONS.c.stopped_at.is_(None)
        sites = select(TRANSACTIONS.c.site_id).where(running).distinct()
        newest = (
            select(func.max(PLANS.c.created_at).label("created_at"))
            .where(PLANS.c.site_id.in_(sites))
            .group_by(PLANS.c.site_id)
            .subquery()
        )
        async with self._database.read() as connection:
            count = await connection.scalar(select(func.count()).where(running))
            oldest: datetime | None = await connection.scalar(select(func.min(newest.c.created_at)))
        return int(count or 0), oldest

    async def newest_issues(self) -> dict[str, datetime]:
        """When the newest series of each kind was issued, whatever the site."""
        by_kind = select(SERIES.c.kind, func.max(SERIES.c.issued_at).label("issued_at")).group_by(SERIES.c.kind)
        async with self._database.read() as connection:
            rows = (await connection.execute(by_kind)).all()
        return {row.kind: row.issued_at for row in rows}
