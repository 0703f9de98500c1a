"""The tariffs that a site has had: what a charge cost is asked of the one that was in force then."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import tables
from app.db.database import Database
from app.db.records import TariffInForce
from app.db.rows import Rows, columns_of, record_of
from app.site import Site

TARIFFS = tables.tariffs


class TariffRows(Rows):
    async def tariffs(self, site_id: str) -> list[TariffInForce]:
        """Oldest first. Empty for a site that was last saved before this was kept."""
        wanted = select(*columns_of(TARIFFS, TariffInForce)).where(TARIFFS.c.site_id == site_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.order_by(TARIFFS.c.since))).all()
        return [record_of(TariffInForce, row) for row in rows]


async def note_tariff(connection: AsyncConnection, database: Database, site: Site, now: datetime) -> None:
    """Keep the site's tariff from `now` on, unless it is the one in force already."""
    tariff = site.tariff.model_dump(mode="json")
    newest = select(TARIFFS.c.tariff).where(TARIFFS.c.site_id == site.id).order_by(TARIFFS.c.since.desc()).limit(1)
    if (await connection.execute(newest)).scalar_one_or_none() == tariff:
        return
    insert = database.insert(TARIFFS).values(site_id=site.id, since=now, tariff=tariff)
    await connection.execute(
        insert.on_conflict_do_update(index_elements=["site_id", "since"], set_={"tariff": insert.excluded.tariff})
    )
