"""Forgetting: id tags of drivers, and rows that are older than they are needed."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import ledger_tables, tables
from app.db.records import REACHED
from app.db.rows import Rows
from app.errors import ConflictError

TRANSACTIONS, CDRS, WISHES = tables.transactions, tables.cdrs, tables.wishes
EVENTS, NOTICES, ANSWERS = tables.transaction_events, tables.station_notices, tables.remembered_answers
VALUES, QUARANTINE, PLANS, DELIVERIES = tables.meter_values, tables.quarantine, tables.plans, tables.deliveries
Counts = dict[str, int]


class RetentionRows(Rows):
    async def forget_id_tag(self, id_tag: str, pseudonym: str) -> Counts:
        """Put `pseudonym` in the place of the id tag wherever it stands; how many rows of each table had it.

        All or nothing. Raises `ConflictError` while a transaction of it runs: its station would name it again.
        """
        running = select(TRANSACTIONS.c.transaction_id).where(
            TRANSACTIONS.c.id_tag == id_tag, TRANSACTIONS.c.stopped_at.is_(None)
        )
        async with self._database.write() as connection:
            number = (await connection.execute(running.limit(1))).scalar_one_or_none()
            if number is not None:
                raise ConflictError(f"transaction {number} of this id tag is still running: stop it first")
            counts = {}
            for table in (TRANSACTIONS, CDRS, WISHES, EVENTS):
                change = update(table).where(table.c.id_tag == id_tag).values(id_tag=pseudonym)
                counts[table.name] = (await connection.execute(change)).rowcount
            counts["quarantine"] = await _redact(connection, QUARANTINE, ("detail", "source"), id_tag, pseudonym)
            counts["station_notices"] = await _drop_json(connection, NOTICES, "payload", id_tag)
            counts["remembered_answers"] = await _drop_json(connection, ANSWERS, "answer", id_tag)
            return counts

    async def id_tags_before(self, before: datetime, site_id: str | None = None) -> list[str]:
        """Id tags of transactions that stopped before, by name."""
        wanted = select(TRANSACTIONS.c.id_tag).distinct().where(TRANSACTIONS.c.stopped_at < before)
        if site_id is not None:
            wanted = wanted.where(TRANSACTIONS.c.site_id == site_id)
        async with self._database.read() as connection:
            return list((await connection.execute(wanted.order_by(TRANSACTIONS.c.id_tag))).scalars())

    async def blur_id_tag(self, id_tag: str, pseudonym: str, before: datetime, site_id: str | None = None) -> Counts:
        """As `forget_id_tag`, of what ended before: transactions, CDRs, wishes and events."""
        old = select(TRANSACTIONS.c.station_id, TRANSACTIONS.c.ocpp_transaction_id, TRANSACTIONS.c.transaction_id)
        old = old.where(TRANSACTIONS.c.id_tag == id_tag, TRANSACTIONS.c.stopped_at < before)
        wishes = [WISHES.c.id_tag == id_tag, WISHES.c.departure < before]
        if site_id is not None:
            old = old.where(TRANSACTIONS.c.site_id == site_id)
            wishes.append(WISHES.c.site_id == site_id)
        counts = {"transactions": 0, "cdrs": 0, "wishes": 0, "transaction_events": 0}
        new = {"id_tag": pseudonym}
        async with self._database.write() as connection:
            for row in (await connection.execute(old)).all():
                for table in (TRANSACTIONS, CDRS):
                    own = update(table).where(table.c.transaction_id == row.transaction_id).values(new)
                    counts[table.name] += (await connection.execute(own)).rowcount
                named = (EVENTS.c.station_id == row.station_id, EVENTS.c.ocpp_transaction_id == row.ocpp_transaction_id)
                events = update(EVENTS).where(*named, EVENTS.c.id_tag == id_tag).values(new)
                counts["transaction_events"] += (await connection.execute(events)).rowcount
            counts["wishes"] = (await connection.execute(update(WISHES).where(*wishes).values(new))).rowcount
        return counts

    async def drop_samples(self, before: datetime, site_id: str | None = None) -> Counts:
        """Meter values and transaction events of before; a station at a time, so that others get their turn."""
        stations = select(tables.charging_stations.c.station_id)
        if site_id is not None:
            stations = stations.where(tables.charging_stations.c.site_id == site_id)
        async with self._database.read() as connection:
            names = list((await connection.execute(stations)).scalars())
        counts = {"meter_values": 0, "transaction_events": 0}
        for name in names:
            async with self._database.write() as connection:
                for table in (VALUES, EVENTS):
                    old = delete(table).where(table.c.station_id == name, table.c.at < before)
                    counts[table.name] += (await connection.execute(old)).rowcount
        return counts

    async def drop_site_history(self, before: datetime, site_id: str | None = None) -> Counts:
        """Readings of site meters, and series that ended, before."""
        counts = {}
        for table, moment in ((tables.readings, "at"), (tables.series, "end")):
            old = delete(table).where(table.c[moment] < before)
            if site_id is not None:
                old = old.where(table.c.site_id == site_id)
            async with self._database.write() as connection:
                counts[table.name] = (await connection.execute(old)).rowcount
        return counts

    async def drop_plans(self, before: datetime, site_id: str | None = None) -> Counts:
        """Plans that ended before, with all that is known of them; not the newest of a site, nor one in force."""
        newest = select(func.max(PLANS.c.number)).group_by(PLANS.c.site_id)
        reached = DELIVERIES.c.state.in_(REACHED)
        last = (
            select(func.max(DELIVERIES.c.number)).where(reached).group_by(DELIVERIES.c.station_id, DELIVERIES.c.evse_id)
        )
        in_force = select(DELIVERIES.c.plan_id).where(DELIVERIES.c.number.in_(last))
        old = select(PLANS.c.plan_id).where(
            PLANS.c.end < before, PLANS.c.number.not_in(newest), PLANS.c.plan_id.not_in(in_force)
        )
        if site_id is not None:
            old = old.where(PLANS.c.site_id == site_id)
        counts = {"plans": 0, "deliveries": 0, "decisions": 0, "exchanges": 0}
        async with self._database.write() as connection:
            ids = list((await connection.execute(old)).scalars())
            for first in range(0, len(ids), 500):
                some = ids[first : first + 500]
                for table in (DELIVERIES, ledger_tables.decisions, ledger_tables.exchanges, PLANS):
                    counts[table.name] += (
                        await connection.execute(delete(table).where(table.c.plan_id.in_(some)))
                    ).rowcount
        return counts

    async def drop_suspects(self, before: datetime, site_id: str | None = None) -> Counts:
        old = delete(QUARANTINE).where(QUARANTINE.c.noted_at < before)
        if site_id is not None:
            old = old.where(QUARANTINE.c.site_id == site_id)
        async with self._database.write() as connection:
            return {"quarantine": (await connection.execute(old)).rowcount}


async def _redact(
    connection: AsyncConnection, table: Table, columns: Sequence[str], id_tag: str, pseudonym: str
) -> int:
    """In texts, as a word of its own: the tag "1" is not in "11"."""
    word = re.compile(rf"(?<!\w){re.escape(id_tag)}(?!\w)")
    [key] = table.primary_key.columns
    count = 0
    for name in columns:
        found = select(key, table.c[name]).where(table.c[name].contains(id_tag, autoescape=True))
        for identity, text in (await connection.execute(found)).all():
            redacted = word.sub(pseudonym, text)
            if redacted != text:
                await connection.execute(update(table).where(key == identity).values({name: redacted}))
                count += 1
    return count


async def _drop_json(connection: AsyncConnection, table: Table, column: str, id_tag: str) -> int:
    """Rows whose document holds the tag as a value go: they are copies of what is kept elsewhere."""
    [key] = table.primary_key.columns
    rows = (await connection.execute(select(key, table.c[column]))).all()
    gone = [identity for identity, document in rows if _holds(document, id_tag)]
    for identity in gone:
        await connection.execute(delete(table).where(key == identity))
    return len(gone)


def _holds(document: Any, text: str) -> bool:
    if isinstance(document, dict):
        return any(_holds(inner, text) for inner in document.values())
    if isinstance(document, list):
        return any(_holds(inner, text) for inner in document)
    return bool(document == text)
