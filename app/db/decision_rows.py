"""The decision ledger: what each plan was made from, what was said to stations for it, and what was measured."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import ledger_tables, tables
from app.db.ledger_records import Decision, Exchange
from app.db.records import Json
from app.db.rows import Rows, columns_of, record_of, values_of
from app.errors import NotFoundError

DECISIONS, EXCHANGES, PLANS = ledger_tables.decisions, ledger_tables.exchanges, tables.plans


class DecisionRows(Rows):
    async def decision(self, plan_id: str) -> Decision:
        """Raises `NotFoundError`: also for plans from before there was a ledger."""
        async with self._database.read() as connection:
            stored = select(*columns_of(DECISIONS, Decision)).where(DECISIONS.c.plan_id == plan_id)
            row = (await connection.execute(stored)).one_or_none()
        if row is None:
            raise NotFoundError("decision on plan", plan_id)
        return record_of(Decision, row)

    async def save_outcome(self, plan_id: str, outcome: Json) -> None:
        """What was measured while the plan was in force. Nothing for a plan without a decision."""
        async with self._database.write(durable=False) as connection:
            await connection.execute(update(DECISIONS).where(DECISIONS.c.plan_id == plan_id).values(outcome=outcome))

    async def add_exchanges(self, exchanges: Sequence[Exchange]) -> None:
        if not exchanges:
            return
        async with self._database.write(durable=False) as connection:
            await connection.execute(EXCHANGES.insert(), [values_of(exchange) for exchange in exchanges])

    async def exchanges(self, plan_id: str) -> list[Exchange]:
        """In the order in which they ended."""
        stored = (
            select(*columns_of(EXCHANGES, Exchange)).where(EXCHANGES.c.plan_id == plan_id).order_by(EXCHANGES.c.number)
        )
        async with self._database.read() as connection:
            return [record_of(Exchange, row) for row in (await connection.execute(stored)).all()]

    async def plan_before(self, site_id: str, plan_id: str) -> tuple[str, datetime] | None:
        """The plan that was the site's newest before this one, and when it was made."""
        this = select(PLANS.c.number).where(PLANS.c.plan_id == plan_id).scalar_subquery()
        before = (
            select(PLANS.c.plan_id, PLANS.c.created_at)
            .where(PLANS.c.site_id == site_id, PLANS.c.number < this)
            .order_by(PLANS.c.created_at.desc(), PLANS.c.number.desc())
            .limit(1)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(before)).one_or_none()
        return None if row is None else (row.plan_id, row.created_at)


async def insert_decision(connection: AsyncConnection, decision: Decision) -> None:
    await connection.execute(DECISIONS.insert(), values_of(decision))
