"""Transactions and what they are settled with: charge detail records."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update

from app.clock import Clock
from app.crash_points import crash_point
from app.db import tables
from app.db.quarantine_rows import replace_suspects
from app.db.records import Cdr, Suspect, Transaction
from app.db.rows import Rows, columns_of, record_of, values_of
from app.errors import NotFoundError

TRANSACTIONS = tables.transactions
COLUMNS = columns_of(TRANSACTIONS, Transaction)
LARGEST_ID = 2**31 - 1  # OCPP 1.6: a 32-bit integer


class TransactionRows(Rows):
    _clock: Clock

    async def start_transaction(
        self,
        *,
        station_id: str,
        evse_id: int,
        id_tag: str,
        started_at: datetime,
        meter_start_wh: float,
        ocpp_transaction_id: str | None = None,
    ) -> tuple[Transaction, bool]:
        """Durable on return. The same (station, EVSE, id tag, time, meter start), or the same
        `ocpp_transaction_id` of the station, gives the same transaction again and False.
        Raises `NotFoundError` for an unknown station."""
        stations = tables.charging_stations
        site = select(stations.c.site_id).where(stations.c.station_id == station_id, stations.c.in_document)
        natural_key = {
            "station_id": station_id,
            "evse_id": evse_id,
            "id_tag": id_tag,
            "started_at": started_at,
            "meter_start_wh": meter_start_wh,
        }
        same_start = and_(*[TRANSACTIONS.c[name] == value for name, value in natural_key.items()])
        same_name = and_(
            TRANSACTIONS.c.station_id == station_id, TRANSACTIONS.c.ocpp_transaction_id == ocpp_transaction_id
        )
        same = select(*COLUMNS).where(same_start)
        if ocpp_transaction_id is not None:  # the station's own name says more than what a start looks like
            same = select(*COLUMNS).where(or_(same_start, same_name)).order_by(case((same_name, 0), else_=1))
        async with self._database.write() as connection:
            site_id = (await connection.execute(site)).scalar_one_or_none()
            if site_id is None:
                raise NotFoundError("charging station", station_id)
            insert = (
                self._database.insert(TRANSACTIONS)
                .values(**natural_key, site_id=site_id, ocpp_transaction_id=ocpp_transaction_id)
                .on_conflict_do_nothing()
                .returning(*COLUMNS)
            )
            new = (await connection.execute(insert)).one_or_none()
            row = new or (await connection.execute(same.limit(1))).one()
            crash_point("start_transaction.before_commit")
        crash_point("start_transaction.after_commit")
        return record_of(Transaction, row), new is not None

    async def stop_transaction(
        self, transaction_id: int, *, stopped_at: datetime, meter_stop_wh: float, reason: str | None
    ) -> tuple[Transaction, bool]:
        """Durable on return. The first stop wins: a repeated one gives the stored row and False.
        Raises `NotFoundError`."""
        _require_possible(transaction_id)
        stop = (
            update(TRANSACTIONS)
            .where(TRANSACTIONS.c.transaction_id == transaction_id, TRANSACTIONS.c.stopped_at.is_(None))
            .values(stopped_at=stopped_at, meter_stop_wh=meter_stop_wh, stop_reason=reason)
            .returning(*COLUMNS)
        )
        stored = select(*COLUMNS).where(TRANSACTIONS.c.transaction_id == transaction_id)
        async with self._database.write() as connection:
            stopped = (await connection.execute(stop)).one_or_none()
            row = stopped or (await connection.execute(stored)).one_or_none()
            crash_point("stop_transaction.before_commit")
        crash_point("stop_transaction.after_commit")
        if row is None:
            raise NotFoundError("transaction", transaction_id)
        return record_of(Transaction, row), stopped is not None

    async def transaction(self, transaction_id: int) -> Transaction:
        """Raises `NotFoundError`."""
        _require_possible(transaction_id)
        async with self._database.read() as connection:
            stored = select(*COLUMNS).where(TRANSACTIONS.c.transaction_id == transaction_id)
            row = (await connection.execute(stored)).one_or_none()
        if row is None:
            raise NotFoundError("transaction", transaction_id)
        return record_of(Transaction, row)

    async def transactions(
        self,
        *,
        site_id: str | None = None,
        station_id: str | None = None,
        running: bool | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
    ) -> list[Transaction]:
        """Newest first; `start <= started_at < end`."""
        wanted = select(*COLUMNS)
        if site_id is not None:
            wanted = wanted.where(TRANSACTIONS.c.site_id == site_id)
        if station_id is not None:
            wanted = wanted.where(TRANSACTIONS.c.station_id == station_id)
        if running is not None:
            stopped_at = TRANSACTIONS.c.stopped_at
            wanted = wanted.where(stopped_at.is_(None) if running else stopped_at.is_not(None))
        if start is not None:
            wanted = wanted.where(TRANSACTIONS.c.started_at >= start)
        if end is not None:
            wanted = wanted.where(TRANSACTIONS.c.started_at < end)
        newest_first = wanted.order_by(TRANSACTIONS.c.started_at.desc(), TRANSACTIONS.c.transaction_id.desc())
        async with self._database.read() as connection:
            rows = (await connection.execute(newest_first.limit(limit))).all()
        return [record_of(Transaction, row) for row in rows]

    async def save_cdr(self, cdr: Cdr, suspects: Sequence[Suspect] | None = None) -> None:
        """Insert or replace by transaction, with what is odd about it: `suspects` takes the place of what was.

        Raises `NotFoundError` for a transaction that nobody knows."""
        _require_possible(cdr.transaction_id)
        row = values_of(cdr)
        insert = self._database.insert(tables.cdrs).values(row)
        known = select(TRANSACTIONS.c.transaction_id).where(TRANSACTIONS.c.transaction_id == cdr.transaction_id)
        async with self._database.write() as connection:
            if (await connection.execute(known)).first() is None:
                raise NotFoundError("transaction", cdr.transaction_id)
            await connection.execute(insert.on_conflict_do_update(index_elements=["transaction_id"], set_=row))
            if suspects is not None:
                await replace_suspects(connection, cdr.transaction_id, suspects, self._clock.now())
            crash_point("cdr.before_commit")
        crash_point("cdr.after_commit")

    async def cdrs(
        self,
        *,
        site_id: str | None = None,
        station_id: str | None = None,
        id_tag: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        id_tags: Sequence[str] = (),
        id_tag_prefix: str | None = None,
    ) -> list[Cdr]:
        """In order of stop; `start <= stop < end`. `id_tags`: any of them, or any that begins with the prefix."""
        cdrs = tables.cdrs
        wanted = select(*columns_of(cdrs, Cdr))
        for column, value in ((cdrs.c.site_id, site_id), (cdrs.c.station_id, station_id), (cdrs.c.id_tag, id_tag)):
            if value is not None:
                wanted = wanted.where(column == value)
        fleet: list[ColumnElement[bool]] = [cdrs.c.id_tag.in_(id_tags)] if id_tags else []
        if id_tag_prefix is not None:  # not LIKE: SQLite's would not tell a from A
            fleet.append(func.substr(cdrs.c.id_tag, 1, len(id_tag_prefix)) == id_tag_prefix)
        if fleet:
            wanted = wanted.where(or_(*fleet))
        if start is not None:
            wanted = wanted.where(cdrs.c.stop >= start)
        if end is not None:
            wanted = wanted.where(cdrs.c.stop < end)
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.order_by(cdrs.c.stop, cdrs.c.transaction_id))).all()
        return [record_of(Cdr, row) for row in rows]

    async def transactions_without_cdr(self) -> list[Transaction]:
        """Completed, but not yet settled; the oldest first."""
        settled = select(tables.cdrs.c.transaction_id).where(
            tables.cdrs.c.transaction_id == TRANSACTIONS.c.transaction_id
        )
        open_ones = select(*COLUMNS).where(TRANSACTIONS.c.stopped_at.is_not(None), ~settled.exists())
        async with self._database.read() as connection:
            rows = (await connection.execute(open_ones.order_by(TRANSACTIONS.c.transaction_id))).all()
        return [record_of(Transaction, row) for row in rows]


def _require_possible(transaction_id: int) -> None:
    """A number that no database column holds is one that nobody knows."""
    if not 0 < transaction_id <= LARGEST_ID:
        raise NotFoundError("transaction", transaction_id)
