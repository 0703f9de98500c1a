"""What stations of OCPP 2.x report of themselves: their device model, limits set elsewhere, notices."""

from collections.abc import Sequence

from sqlalchemy import delete, select

from app.db import tables
from app.db.bulk import upsert
from app.db.records import ChargingLimit, StationNotice, StationVariable
from app.db.rows import Rows, columns_of, record_of, values_of
from app.errors import NotFoundError

LIMITS = tables.charging_limits
VARIABLES = tables.station_variables
NOTICES = tables.station_notices
STATIONS = tables.charging_stations
KEPT_NOTICES = 1_000  # of each station
_VARIABLE_KEY = {column.name for column in VARIABLES.primary_key}
_VARIABLE_VALUES = tuple(column.name for column in VARIABLES.columns if column.name not in _VARIABLE_KEY)


class StationReportRows(Rows):
    async def save_charging_limit(self, limit: ChargingLimit) -> None:
        """Durable on return; replaces what the same source said of the same EVSE.
        Raises `NotFoundError` for an unknown station."""
        row = values_of(limit)
        upserted = self._database.insert(LIMITS).values(row)
        upserted = upserted.on_conflict_do_update(index_elements=["station_id", "evse_id", "source"], set_=row)
        known = select(STATIONS.c.station_id).where(STATIONS.c.station_id == limit.station_id, STATIONS.c.in_document)
        async with self._database.write() as connection:
            if (await connection.execute(known)).first() is None:
                raise NotFoundError("charging station", limit.station_id)
            await connection.execute(upserted)

    async def clear_charging_limits(self, station_id: str, *, evse_id: int | None, source: str | None) -> int:
        """Durable on return; None stands for every one. Returns how many there were."""
        wanted = delete(LIMITS).where(LIMITS.c.station_id == station_id)
        if evse_id is not None:
            wanted = wanted.where(LIMITS.c.evse_id == evse_id)
        if source is not None:
            wanted = wanted.where(LIMITS.c.source == source)
        async with self._database.write() as connection:
            return (await connection.execute(wanted)).rowcount

    async def charging_limits(
        self, *, site_id: str | None = None, station_id: str | None = None
    ) -> list[ChargingLimit]:
        """By station, EVSE and source; of stations that are in their site's document."""
        wanted = select(*columns_of(LIMITS, ChargingLimit)).join(STATIONS).where(STATIONS.c.in_document)
        if site_id is not None:
            wanted = wanted.where(STATIONS.c.site_id == site_id)
        if station_id is not None:
            wanted = wanted.where(LIMITS.c.station_id == station_id)
        async with self._database.read() as connection:
            rows = await connection.execute(wanted.order_by(LIMITS.c.station_id, LIMITS.c.evse_id, LIMITS.c.source))
            return [record_of(ChargingLimit, row) for row in rows.all()]

    async def save_variables(self, variables: Sequence[StationVariable]) -> None:
        """Insert or replace by natural key; of two alike the later one wins."""
        rows = {tuple(row[name] for name in sorted(_VARIABLE_KEY)): row for row in map(values_of, variables)}
        async with self._database.write(durable=False) as connection:
            await upsert(connection, VARIABLES, list(rows.values()), replace=_VARIABLE_VALUES)

    async def variables(self, station_id: str, *, component: str | None = None) -> list[StationVariable]:
        """A station's device model as last reported, in order of its names; `component` in any case."""
        wanted = select(*columns_of(VARIABLES, StationVariable)).where(VARIABLES.c.station_id == station_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.order_by(*VARIABLES.primary_key))).all()
        found = [record_of(StationVariable, row) for row in rows]
        return [row for row in found if component is None or row.component.lower() == component.lower()]

    async def add_notice(self, notice: StationNotice, *, keep: int = KEPT_NOTICES) -> None:
        """Keep it, and of its station the newest `keep` in all. Raises `NotFoundError` for an unknown station."""
        own = NOTICES.c.station_id == notice.station_id
        oldest_kept = select(NOTICES.c.number).where(own).order_by(NOTICES.c.number.desc()).offset(keep - 1).limit(1)
        known = select(STATIONS.c.station_id).where(STATIONS.c.station_id == notice.station_id)
        async with self._database.write(durable=False) as connection:
            if (await connection.execute(known)).first() is None:
                raise NotFoundError("charging station", notice.station_id)
            await connection.execute(self._database.insert(NOTICES).values(values_of(notice)))
            await connection.execute(delete(NOTICES).where(own, NOTICES.c.number < oldest_kept.scalar_subquery()))

    async def notices(self, station_id: str, *, limit: int = 100) -> list[StationNotice]:
        """Newest first."""
        return [notice for _, notice in await self.numbered_notices(station_id, limit=limit)]

    async def numbered_notices(
        self, station_id: str, *, limit: int = 100, before: int | None = None, action: str | None = None
    ) -> list[tuple[int, StationNotice]]:
        """Newest first, each with its number: those below `before` whose action begins with `action`."""
        wanted = select(NOTICES.c.number, *columns_of(NOTICES, StationNotice))
        wanted = wanted.where(NOTICES.c.station_id == station_id)
        if before is not None:
            wanted = wanted.where(NOTICES.c.number < before)
        if action is not None:
            wanted = wanted.where(NOTICES.c.action.startswith(action, autoescape=True))
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.order_by(NOTICES.c.number.desc()).limit(limit))).all()
        return [(int(number), StationNotice(*values)) for number, *values in rows]
