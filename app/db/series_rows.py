"""Readings of site meters, and series: signals with their provenance."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import tables
from app.db.bulk import sqlite_moment, upsert_plain
from app.db.records import Reading, StoredSeries
from app.db.rows import Rows, columns_of, record_of, values_of
from app.errors import InvalidInputError

READINGS = tables.readings
PEAKS = tables.meter_peaks
SERIES = tables.series
ROWS_A_TRANSACTION = 10_000  # a year of quarter hours is four of them; others write in between


class SeriesRows(Rows):
    async def add_readings(self, readings: Sequence[Reading]) -> int:
        """In bulk, idempotent: the last value of (site, meter, at) wins. Returns how many rows were new or changed."""
        moment = sqlite_moment if self._database.is_sqlite else _as_it_is
        rows = list({(row.site_id, row.meter_id, row.at): _plain(row, moment) for row in readings}.values())
        changed = 0
        for first in range(0, len(rows), ROWS_A_TRANSACTION):
            is_last = first + ROWS_A_TRANSACTION >= len(rows)  # its sync makes those before it durable, too
            async with self._database.write(durable=is_last) as connection:
                some = rows[first : first + ROWS_A_TRANSACTION]
                changed += await upsert_plain(connection, READINGS, some, replace=("kw",))
                await self._note_peaks(connection, some)
        return changed

    async def _note_peaks(self, connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> None:
        highest_kw: dict[tuple[str, str], float] = {}
        for site_id, meter_id, _, kw in rows:
            highest_kw[site_id, meter_id] = max(kw, highest_kw.get((site_id, meter_id), kw))
        if not highest_kw:
            return
        insert = self._database.insert(PEAKS)
        higher = insert.on_conflict_do_update(
            index_elements=list(PEAKS.primary_key.columns),
            set_={"kw": insert.excluded.kw},
            where=insert.excluded.kw > PEAKS.c.kw,
        )
        peaks = [{"site_id": site, "meter_id": meter, "kw": kw} for (site, meter), kw in highest_kw.items()]
        await connection.execute(higher, peaks)

    async def readings(
        self, site_id: str, meter_id: str, start: datetime, end: datetime
    ) -> list[tuple[datetime, float]]:
        """(at, kW) in order of time, half-open."""
        wanted = (
            select(READINGS.c.at, READINGS.c.kw)
            .where(READINGS.c.site_id == site_id, READINGS.c.meter_id == meter_id)
            .where(READINGS.c.at >= start, READINGS.c.at < end)
            .order_by(READINGS.c.at)
        )
        async with self._database.read() as connection:
            return [(row.at, row.kw) for row in await connection.execute(wanted)]

    async def highest_readings(self, site_id: str) -> dict[str, float]:
        """The highest kW that each meter of the site has ever shown, whatever became of that reading since."""
        wanted = select(PEAKS.c.meter_id, PEAKS.c.kw).where(PEAKS.c.site_id == site_id)
        async with self._database.read() as connection:
            return {row.meter_id: row.kw for row in await connection.execute(wanted)}

    async def latest_readings(self, site_id: str) -> dict[str, tuple[datetime, float]]:
        """Of each meter: (at, kW)."""
        # From meter to meter by seeks along the primary key: DISTINCT and GROUP BY would read the whole history.
        first = select(func.min(READINGS.c.meter_id).label("meter_id")).where(READINGS.c.site_id == site_id)
        meters = first.cte("meters", recursive=True)
        following = (
            select(func.min(READINGS.c.meter_id))
            .where(READINGS.c.site_id == site_id, READINGS.c.meter_id > meters.c.meter_id)
            .correlate(meters)
            .scalar_subquery()
        )
        meters = meters.union_all(select(following).where(meters.c.meter_id.is_not(None)))
        own = READINGS.alias("own")
        newest_at = (
            select(func.max(own.c.at))
            .where(own.c.site_id == site_id, own.c.meter_id == meters.c.meter_id)
            .correlate(meters)
            .scalar_subquery()
        )
        latest = select(READINGS.c.meter_id, READINGS.c.at, READINGS.c.kw).join(
            meters,
            and_(READINGS.c.site_id == site_id, READINGS.c.meter_id == meters.c.meter_id, READINGS.c.at == newest_at),
        )
        async with self._database.read() as connection:
            return {row.meter_id: (row.at, row.kw) for row in await connection.execute(latest)}

    async def add_series(self, series: StoredSeries) -> int:
        """Returns its id. The same issue (site, kind, source, issued at, start) again replaces the first and keeps
        its id; `series_id` of the argument says nothing."""
        row = values_of(series)
        del row["series_id"]
        row["end"] = series.start + timedelta(minutes=series.resolution_minutes) * len(series.values)
        natural_key = ["site_id", "kind", "source", "issued_at", "start"]
        insert = self._database.insert(SERIES).values(row)
        insert = insert.on_conflict_do_update(
            index_elements=natural_key, set_={name: row[name] for name in row if name not in natural_key}
        )
        async with self._database.write() as connection:
            series_id: int = (await connection.execute(insert.returning(SERIES.c.series_id))).scalar_one()
        return series_id

    async def series(self, site_id: str, kind: str, start: datetime, end: datetime) -> list[StoredSeries]:
        """Every stored series of that kind that overlaps [start, end), oldest issue first: later ones overrule."""
        return (await self.series_of_kinds(site_id, [kind], start, end))[kind]

    async def series_of_kinds(
        self, site_id: str, kinds: Sequence[str], start: datetime, end: datetime
    ) -> dict[str, list[StoredSeries]]:
        """As `series`, of each kind."""
        overlapping = (
            select(*columns_of(SERIES, StoredSeries))
            .where(SERIES.c.site_id == site_id, SERIES.c.kind.in_(kinds), SERIES.c.end > start, SERIES.c.start < end)
            .order_by(SERIES.c.issued_at, SERIES.c.series_id)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(overlapping)).all()
        found: dict[str, list[StoredSeries]] = {kind: [] for kind in kinds}
        for series in (record_of(StoredSeries, row) for row in rows):
            found[series.kind].append(series)
        return found

    async def newest_series(self, site_id: str) -> dict[str, tuple[datetime, datetime]]:
        """Of each source: when it last issued a series, and the latest end of what it ever said."""
        wanted = (
            select(
                SERIES.c.source, func.max(SERIES.c.issued_at).label("issued_at"), func.max(SERIES.c.end).label("end")
            )
            .where(SERIES.c.site_id == site_id)
            .group_by(SERIES.c.source)
        )
        async with self._database.read() as connection:
            return {row.source: (row.issued_at, row.end) for row in await connection.execute(wanted)}


def _plain(reading: Reading, moment: Callable[[datetime], Any]) -> tuple[Any, ...]:
    if not isfinite(reading.kw):
        raise InvalidInputError("kw", f"{reading.kw} of meter {reading.meter_id!r} is not finite")
    if reading.at.tzinfo is None:
        raise InvalidInputError("at", f"{reading.at.isoformat()} of meter {reading.meter_id!r} has no time zone")
    return reading.site_id, reading.meter_id, moment(reading.at), float(reading.kw)


def _as_it_is(at: datetime) -> datetime:
    return at
