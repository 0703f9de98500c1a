"""Meter values of EVSEs: in through the batching writer or in bulk, out by transaction, by station, or the latest."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from sqlalchemy import CTE, Select, and_, func, literal, select

from app.db import tables
from app.db.bulk import upsert_plain
from app.db.records import MeterValue, Quantity
from app.db.rows import Rows, columns_of, record_of
from app.db.writer import MeterValueWriter, Row
from app.errors import InvalidInputError

VALUES = tables.meter_values
COLUMNS = columns_of(VALUES, MeterValue)
IMPORT_ROWS = 2_000  # a transaction, and about 20 ms in which a station's own writes wait
# Literal, not bound: only then does either database see that the partial index answers.
IS_TOTAL_POWER = and_(
    VALUES.c.measurand == literal("Power.Active.Import", literal_execute=True),
    VALUES.c.phase == literal("", literal_execute=True),
)
IS_ENERGY_REGISTER = and_(VALUES.c.measurand == "Energy.Active.Import.Register", VALUES.c.phase == "")


class MeterValueRows(Rows):
    _writer: MeterValueWriter

    @property
    def dropped_meter_values(self) -> int:
        """How many were lost since the start because the database did not take them."""
        return self._writer.dropped

    @property
    def waiting_meter_values(self) -> int:
        """How many wait in memory for the database."""
        return self._writer.waiting

    @property
    def keeps_in_memory(self) -> bool:
        """Whether the database did not take the last meter values: they are acknowledged, and in memory alone."""
        return self._writer.is_failing

    @property
    def write_lag_s(self) -> float:
        """For how long meter values have been waiting without any being written; 0 where none wait."""
        return self._writer.lag_s

    async def add_meter_values(self, values: Sequence[MeterValue]) -> None:
        """Through the batching writer; visible to `flush`ed reads. Repeated rows change nothing.

        Returns at once, unless the database is so far behind that whoever sends should wait for it.
        Raises `InvalidInputError`, and takes none of them, when one is not finite or its time is naive.
        """
        self._writer.add([queued_row(self._writer, value) for value in values])
        await self._writer.catch_up()

    async def samples_written(self) -> None:
        """Return once every meter value handed in so far is in the database, or it does not answer: then they wait in
        memory, and whoever sent them need not."""
        await self._writer.written()

    def add_samples(
        self,
        values: Sequence[tuple[Quantity, float]],
        *,
        station_id: str,
        evse_id: int,
        transaction_id: int | None,
        at: datetime,
        received_at: datetime,
    ) -> None:
        """As `add_meter_values`, for finite values of one EVSE at one time (aware), without a record for each."""
        self._writer.add(
            self.rows_of_samples(
                values,
                station_id=station_id,
                evse_id=evse_id,
                transaction_id=transaction_id,
                at=at,
                received_at=received_at,
            )
        )

    async def import_meter_values(self, values: Iterable[MeterValue]) -> int:
        """In bulk, idempotent; returns how many were new."""
        return await self.import_rows(self.rows_of(values))

    def rows_of_samples(
        self,
        values: Sequence[tuple[Quantity, float]],
        *,
        station_id: str,
        evse_id: int,
        transaction_id: int | None,
        at: datetime,
        received_at: datetime,
    ) -> list[Row]:
        """Finite values of one EVSE at one time (aware), as `import_rows` takes them."""
        moment = self._writer.moment
        at_moment, received_moment, transaction = moment(at), moment(received_at), transaction_id or 0
        return [
            (
                station_id,
                evse_id,
                at_moment,
                quantity.measurand,
                quantity.phase,
                quantity.context,
                transaction,
                value,
                quantity.unit,
                received_moment,
            )
            for quantity, value in values
        ]

    def rows_of(self, values: Iterable[MeterValue]) -> list[Row]:
        """The same, of any values."""
        return [queued_row(self._writer, value) for value in values]

    async def import_rows(self, rows: Sequence[Row]) -> int:
        """In bulk, idempotent; returns how many were new. Not synced at once: an import can be run again."""
        new = 0
        for first in range(0, len(rows), IMPORT_ROWS):
            async with self._database.write(durable=False) as connection:
                new += await upsert_plain(connection, VALUES, rows[first : first + IMPORT_ROWS])
        return new

    async def meter_values(
        self,
        *,
        transaction_id: int | None = None,
        station_id: str | None = None,
        evse_id: int | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        measurands: tuple[str, ...] = (),
    ) -> list[MeterValue]:
        """In order of time; `start <= at < end`. Transaction 0: those that belong to none."""
        wanted = select(*COLUMNS)
        if transaction_id is not None:
            wanted = wanted.where(VALUES.c.transaction_id == transaction_id)
        if station_id is not None:
            wanted = wanted.where(VALUES.c.station_id == station_id)
        if evse_id is not None:
            wanted = wanted.where(VALUES.c.evse_id == evse_id)
        if start is not None:
            wanted = wanted.where(VALUES.c.at >= start)
        if end is not None:
            wanted = wanted.where(VALUES.c.at < end)
        if measurands:
            wanted = wanted.where(VALUES.c.measurand.in_(measurands))
        in_order = wanted.order_by(
            VALUES.c.at, VALUES.c.station_id, VALUES.c.evse_id, VALUES.c.measurand, VALUES.c.phase, VALUES.c.context
        )
        await self.flush()
        async with self._database.read() as connection:
            rows = (await connection.execute(in_order)).all()
        return [record_of(MeterValue, row) for row in rows]

    async def latest_energy_wh(self, transaction_ids: Sequence[int]) -> dict[int, tuple[datetime, float]]:
        """Last energy register (total phase) of each transaction that sent one."""
        if not transaction_ids:
            return {}
        newest = (
            select(VALUES.c.transaction_id, func.max(VALUES.c.at).label("at"))
            .where(VALUES.c.transaction_id.in_(transaction_ids), IS_ENERGY_REGISTER)
            .group_by(VALUES.c.transaction_id)
            .subquery()
        )
        latest = (
            select(VALUES.c.transaction_id, VALUES.c.at, func.max(VALUES.c.value).label("wh"))  # of several contexts
            .join(newest, and_(VALUES.c.transaction_id == newest.c.transaction_id, VALUES.c.at == newest.c.at))
            .where(IS_ENERGY_REGISTER)
            .group_by(VALUES.c.transaction_id, VALUES.c.at)
        )
        await self.flush()
        async with self._database.read() as connection:
            rows = (await connection.execute(latest)).all()
        return {row.transaction_id: (row.at, row.wh) for row in rows}

    async def last_received(self, transaction_ids: Sequence[int]) -> dict[int, datetime]:
        """When the last value of each transaction came in; those that have one of which nobody knows are left out."""
        if not transaction_ids:
            return {}
        received = (
            select(VALUES.c.transaction_id, func.max(VALUES.c.received_at).label("at"))
            .where(VALUES.c.transaction_id.in_(transaction_ids))
            .group_by(VALUES.c.transaction_id)
            .having(func.count() == func.count(VALUES.c.received_at))
        )
        await self.flush()
        async with self._database.read() as connection:
            return {row.transaction_id: row.at for row in await connection.execute(received)}

    async def latest_meter_values(self, site_id: str) -> dict[tuple[str, int], list[MeterValue]]:
        """Of each EVSE (station, EVSE) of the site's document: all values that carry its newest timestamp."""
        evses, stations = tables.evses, tables.charging_stations
        newest_at = (
            select(func.max(VALUES.c.at))
            .where(VALUES.c.station_id == evses.c.station_id, VALUES.c.evse_id == evses.c.evse_id)
            .scalar_subquery()
        )
        newest = _first(
            select(evses.c.station_id, evses.c.evse_id, newest_at.label("at"))
            .join(stations)
            .where(stations.c.site_id == site_id, evses.c.in_document)
        )
        latest = select(*COLUMNS).join(
            newest,
            and_(
                VALUES.c.station_id == newest.c.station_id,
                VALUES.c.evse_id == newest.c.evse_id,
                VALUES.c.at == newest.c.at,
            ),
        )
        await self.flush()
        found: dict[tuple[str, int], list[MeterValue]] = {}
        async with self._database.read() as connection:
            for row in await connection.execute(latest.order_by(VALUES.c.measurand, VALUES.c.phase, VALUES.c.context)):
                found.setdefault((row.station_id, row.evse_id), []).append(record_of(MeterValue, row))
        return found

    async def charging_power(
        self, site_id: str, start: datetime, end: datetime
    ) -> dict[tuple[str, int], list[tuple[datetime, float]]]:
        """(at, W) of every total-power value of each EVSE (station, EVSE) of the site that sent one.

        In order of time, `start <= at < end`. EVSEs that have left the document count too: they did draw.
        """
        evses, stations = tables.evses, tables.charging_stations
        of_site = _first(
            select(evses.c.station_id, evses.c.evse_id).join(stations).where(stations.c.site_id == site_id)
        )
        power = (
            select(VALUES.c.station_id, VALUES.c.evse_id, VALUES.c.at, VALUES.c.value)
            .select_from(of_site)
            .join(VALUES, and_(VALUES.c.station_id == of_site.c.station_id, VALUES.c.evse_id == of_site.c.evse_id))
            .where(IS_TOTAL_POWER, VALUES.c.at >= start, VALUES.c.at < end)
            .order_by(VALUES.c.station_id, VALUES.c.evse_id, VALUES.c.at)
        )
        await self.flush()
        found: dict[tuple[str, int], list[tuple[datetime, float]]] = {}
        async with self._database.read() as connection:
            for station_id, evse_id, at, power_w in await connection.execute(power):
                found.setdefault((station_id, evse_id), []).append((at, power_w))
        return found

    async def flush(self) -> None:
        """Return once everything handed to the batching writer is on disk, else raise `StoreUnavailableError`."""
        await self._writer.flush()


def _first(rows: Select[Any]) -> CTE:
    """These few rows are found first and then looked up in the large table by its key. Left to itself, SQLite turns
    the join round and reads all that a station ever sent."""
    return rows.cte().prefix_with("MATERIALIZED")


def queued_row(writer: MeterValueWriter, value: MeterValue) -> Row:
    """`value` as the writer takes it."""
    _require_storable(value)
    return (
        value.station_id,
        value.evse_id,
        writer.moment(value.at),
        value.measurand,
        value.phase,
        value.context,
        value.transaction_id or 0,
        float(value.value),
        value.unit,
        None if value.received_at is None else writer.moment(value.received_at),
    )


def _require_storable(value: MeterValue) -> None:
    """Checked here, while the caller can still be told: the writer works later."""
    if not isfinite(value.value):
        raise InvalidInputError("value", f"{value.value} of {value.measurand} is not finite")
    if value.at.tzinfo is None or (value.received_at is not None and value.received_at.tzinfo is None):
        raise InvalidInputError("at", f"{value.at.isoformat()} of {value.measurand} has no time zone")
