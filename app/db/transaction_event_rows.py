"""TransactionEvents of OCPP 2.x, and the transaction that they amount to.

A transaction is a function of the set of its events: repeated, late and shuffled ones lead to the same record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, insert, or_, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.crash_points import crash_point
from app.db import tables
from app.db.records import Transaction, TransactionEvent
from app.db.rows import Rows, columns_of, record_of, values_of
from app.db.together import Together
from app.errors import NotFoundError

EVENTS = tables.transaction_events
TRANSACTIONS = tables.transactions
COLUMNS = columns_of(TRANSACTIONS, Transaction)
_KEY = (EVENTS.c.station_id, EVENTS.c.ocpp_transaction_id, EVENTS.c.seq_no)
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an event has made of its transaction. `before` None: it was not known until now."""

    before: Transaction | None
    after: Transaction
    is_new: bool  # False: a repeated event, which changed nothing

    @property
    def has_begun(self) -> bool:
        """Whether it is now known to run at an EVSE, and was not so far."""
        was_known = self.before is not None and self.before.evse_id > 0
        return self.after.is_running and self.after.evse_id > 0 and not was_known

    @property
    def has_ended(self) -> bool:
        """Whether it is over, and something of that is news: its end, or what it is settled by."""
        return not self.after.is_running and self.after != self.before


def amounts_to(events: Sequence[TransactionEvent]) -> Values:
    """The columns of the transaction that has these events, which need not be all: see `_telling`.

    It began with its Started event, else with the first that is known of; at the first EVSE and with the first token
    and register named. `evse_id` 0: none was. With an Ended event also its stop, to the last register.
    """
    in_order = sorted(events, key=lambda event: event.seq_no)
    began = next((event for event in in_order if event.event_type == "Started"), in_order[0])
    registers = [event for event in in_order if event.first_register_wh is not None]
    meter_start_wh = registers[0].first_register_wh if registers else 0.0
    values: Values = {
        "evse_id": next((event.evse_id for event in in_order if event.evse_id is not None), 0),
        "id_tag": next((event.id_tag for event in in_order if event.id_tag is not None), ""),
        "started_at": began.at,
        "meter_start_wh": meter_start_wh,
    }
    ended = next((event for event in reversed(in_order) if event.event_type == "Ended"), None)
    if ended is not None:
        values |= {
            "stopped_at": max(ended.at, began.at),
            "meter_stop_wh": registers[-1].last_register_wh if registers else meter_start_wh,
            "stop_reason": ended.stop_reason,
        }
    return values


class TransactionEventRows(Rows):
    _event_inserts: Together[TransactionEvent, bool]

    async def record_transaction_event(self, event: TransactionEvent) -> Recorded:
        """Store `event` and what it makes of its transaction, in one database transaction, durable on return.

        Of several with one number the first wins. Raises `NotFoundError` for an unknown station.
        """
        async with self._database.write() as connection:
            recorded = await self._record(connection, event)
            crash_point("transaction_event.before_commit")
        crash_point("transaction_event.after_commit")
        return recorded

    async def _record(self, connection: AsyncConnection, event: TransactionEvent) -> Recorded:
        new = self._database.insert(EVENTS).values(values_of(event)).on_conflict_do_nothing()
        is_new = (await connection.execute(new.returning(EVENTS.c.seq_no))).first() is not None
        row = (await connection.execute(_named(event.station_id, event.ocpp_transaction_id))).one_or_none()
        before = None if row is None else record_of(Transaction, row)
        if before is not None and not is_new:
            return Recorded(before, before, is_new=False)
        if before is None:  # its first event: nothing else tells of it
            return Recorded(None, await _begun(connection, event), is_new)
        telling = (await connection.execute(_telling(event.station_id, event.ocpp_transaction_id))).all()
        values = amounts_to([record_of(TransactionEvent, found) for found in telling])
        if values["evse_id"] == 0:
            values["evse_id"] = await _only_evse(connection, event.station_id)
        values["started_at"] = await _free_start(connection, event, values)
        if all(getattr(before, name) == value for name, value in values.items()):
            return Recorded(before, before, is_new)
        own = TRANSACTIONS.c.transaction_id == before.transaction_id
        after = await connection.execute(update(TRANSACTIONS).where(own).values(**values).returning(*COLUMNS))
        return Recorded(before, record_of(Transaction, after.one()), is_new)

    async def add_transaction_update(self, event: TransactionEvent) -> bool:
        """Store an event that makes nothing of its transaction: see `Transactions` of `app.csms` for when that is
        so. It survives the end of the process, a power cut perhaps not. False: it was there already."""
        return await self._event_inserts(event)

    async def _add_events(self, events: Sequence[TransactionEvent]) -> list[bool]:
        """Whether each is new; of one that came twice at once both are."""
        new = self._database.insert(EVENTS).values([values_of(event) for event in events]).on_conflict_do_nothing()
        async with self._database.write(durable=False) as connection:
            inserted = {tuple(row) for row in await connection.execute(new.returning(*_KEY))}
        return [(event.station_id, event.ocpp_transaction_id, event.seq_no) in inserted for event in events]

    async def transaction_named(self, station_id: str, ocpp_transaction_id: str) -> Transaction | None:
        """By the station's own name of it."""
        async with self._database.read() as connection:
            row = (await connection.execute(_named(station_id, ocpp_transaction_id))).one_or_none()
        return None if row is None else record_of(Transaction, row)

    async def transaction_events(self, station_id: str, ocpp_transaction_id: str) -> list[TransactionEvent]:
        """In order of their sequence numbers; a gap in them is a message that was lost, or is still to come."""
        wanted = select(*columns_of(EVENTS, TransactionEvent)).where(_of(station_id, ocpp_transaction_id))
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.order_by(EVENTS.c.seq_no))).all()
        return [record_of(TransactionEvent, row) for row in rows]


def _of(station_id: str, ocpp_transaction_id: str) -> Any:
    return and_(EVENTS.c.station_id == station_id, EVENTS.c.ocpp_transaction_id == ocpp_transaction_id)


def _named(station_id: str, ocpp_transaction_id: str) -> Any:
    return select(*COLUMNS).where(
        TRANSACTIONS.c.station_id == station_id, TRANSACTIONS.c.ocpp_transaction_id == ocpp_transaction_id
    )


def _telling(station_id: str, ocpp_transaction_id: str) -> Any:
    """The few events that the transaction depends on: of hundreds of updates none but the first of each kind."""
    own = _of(station_id, ocpp_transaction_id)
    first, last = func.min(EVENTS.c.seq_no), func.max(EVENTS.c.seq_no)
    has_register = EVENTS.c.first_register_wh.is_not(None)
    numbers = union(
        select(first).where(own),
        select(first).where(own, EVENTS.c.evse_id.is_not(None)),
        select(first).where(own, EVENTS.c.id_tag.is_not(None)),
        select(first).where(own, has_register),
        select(last).where(own, has_register),
    )
    wanted = or_(EVENTS.c.event_type != "Updated", EVENTS.c.seq_no.in_(numbers.scalar_subquery()))
    return select(*columns_of(EVENTS, TransactionEvent)).where(own, wanted)


async def _begun(connection: AsyncConnection, event: TransactionEvent) -> Transaction:
    """The new transaction that this event is the first of."""
    values = amounts_to([event])
    values["site_id"] = await _site_of(connection, event.station_id)
    if values["evse_id"] == 0:
        values["evse_id"] = await _only_evse(connection, event.station_id)
    values["started_at"] = await _free_start(connection, event, values)
    named = {"station_id": event.station_id, "ocpp_transaction_id": event.ocpp_transaction_id}
    row = await connection.execute(insert(TRANSACTIONS).values(**values, **named).returning(*COLUMNS))
    return record_of(Transaction, row.one())


async def _site_of(connection: AsyncConnection, station_id: str) -> str:
    stations = tables.charging_stations
    known = select(stations.c.site_id).where(stations.c.station_id == station_id, stations.c.in_document)
    site_id: str | None = (await connection.execute(known)).scalar_one_or_none()
    if site_id is None:
        raise NotFoundError("charging station", station_id)
    return site_id


async def _only_evse(connection: AsyncConnection, station_id: str) -> int:
    """The station's EVSE where it has one alone, else 0: a transaction that is recorded and never planned for."""
    evses = tables.evses
    known = select(evses.c.evse_id).where(evses.c.station_id == station_id, evses.c.in_document).limit(2)
    found = list((await connection.execute(known)).scalars())
    return found[0] if len(found) == 1 else 0


async def _free_start(connection: AsyncConnection, event: TransactionEvent, values: Values) -> datetime:
    """The start, a microsecond later for each other transaction that looks the same: a table's natural key holds
    what a 1.6 station repeats, and 2.x stations do name two that began in one second."""
    started_at: datetime = values["started_at"]
    while True:
        same = select(TRANSACTIONS.c.transaction_id).where(
            TRANSACTIONS.c.station_id == event.station_id,
            TRANSACTIONS.c.evse_id == values["evse_id"],
            TRANSACTIONS.c.id_tag == values["id_tag"],
            TRANSACTIONS.c.started_at == started_at,
            TRANSACTIONS.c.meter_start_wh == values["meter_start_wh"],
            TRANSACTIONS.c.ocpp_transaction_id.is_distinct_from(event.ocpp_transaction_id),
        )
        if (await connection.execute(same.limit(1))).first() is None:
            return started_at
        started_at += timedelta(microseconds=1)
