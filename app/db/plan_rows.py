"""Wishes, plans, and what became of each plan at the stations."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import and_, select
from sqlalchemy.exc import IntegrityError

from app.clock import CLOCKS_DIFFER, Clock
from app.db import tables
from app.db.records import REACHED, Delivery, Plan, Wish
from app.db.rows import Rows, columns_of, record_of, values_of
from app.errors import NotFoundError

WISHES = tables.wishes
PLANS = tables.plans
DELIVERIES = tables.deliveries


class PlanRows(Rows):
    _clock: Clock

    async def save_wish(self, wish: Wish) -> None:
        """Insert or replace by id."""
        row = values_of(wish)
        insert = self._database.insert(WISHES).values(row)
        async with self._database.write() as connection:
            await connection.execute(insert.on_conflict_do_update(index_elements=["wish_id"], set_=row))

    async def wishes(self, site_id: str, *, active_at: datetime | None = None) -> list[Wish]:
        """Newest first; with `active_at` only those whose departure is later."""
        wanted = select(*columns_of(WISHES, Wish)).where(WISHES.c.site_id == site_id)
        if active_at is not None:
            wanted = wanted.where(WISHES.c.departure > active_at)
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.order_by(WISHES.c.created_at.desc(), WISHES.c.wish_id))).all()
        return [record_of(Wish, row) for row in rows]

    async def wish(self, wish_id: str) -> Wish:
        """Raises `NotFoundError`."""
        async with self._database.read() as connection:
            stored = select(*columns_of(WISHES, Wish)).where(WISHES.c.wish_id == wish_id)
            row = (await connection.execute(stored)).one_or_none()
        if row is None:
            raise NotFoundError("wish", wish_id)
        return record_of(Wish, row)

    async def delete_wish(self, wish_id: str) -> None:
        """Raises `NotFoundError`."""
        async with self._database.write() as connection:
            deleted = await connection.execute(WISHES.delete().where(WISHES.c.wish_id == wish_id))
        if deleted.rowcount == 0:
            raise NotFoundError("wish", wish_id)

    async def save_plan(self, plan: Plan) -> None:
        """Insert or replace by id: a caller that does not know whether it got through may try again."""
        row = values_of(plan)
        insert = self._database.insert(PLANS).values(row)
        async with self._database.write() as connection:
            await connection.execute(insert.on_conflict_do_update(index_elements=["plan_id"], set_=row))

    async def plan(self, plan_id: str) -> Plan:
        """Raises `NotFoundError`."""
        async with self._database.read() as connection:
            stored = select(*columns_of(PLANS, Plan)).where(PLANS.c.plan_id == plan_id)
            row = (await connection.execute(stored)).one_or_none()
        if row is None:
            raise NotFoundError("plan", plan_id)
        return record_of(Plan, row)

    async def latest_plan(self, site_id: str) -> Plan | None:
        """The newest by `created_at`; of several at one instant the one saved last.

        One that lies ahead of the clock was made before the clock was put back, and stands behind all others.
        """
        newest = (
            select(*columns_of(PLANS, Plan))
            .where(PLANS.c.site_id == site_id)
            .order_by(PLANS.c.created_at.desc(), PLANS.c.number.desc())
            .limit(1)
        )
        is_past = PLANS.c.created_at <= self._clock.now() + CLOCKS_DIFFER
        async with self._database.read() as connection:
            row = (await connection.execute(newest.where(is_past))).one_or_none()
            row = row or (await connection.execute(newest)).one_or_none()
        return None if row is None else record_of(Plan, row)

    async def plans(self, site_id: str, *, limit: int = 100) -> list[Plan]:
        """Newest first, with empty `problem` and `schedule`: the list is an index."""
        listed = [PLANS.c[field.name] for field in fields(Plan) if field.name not in {"problem", "schedule"}]
        newest_first = (
            select(*listed).where(PLANS.c.site_id == site_id).order_by(PLANS.c.created_at.desc(), PLANS.c.number.desc())
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(newest_first.limit(limit))).mappings().all()
        return [Plan(**row, problem={}, schedule={}) for row in rows]

    async def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Insert or replace by (plan, station, EVSE), all or none. Raises `NotFoundError` for an unknown plan."""
        if not deliveries:
            return
        natural_key = ["plan_id", "station_id", "evse_id"]
        insert = self._database.insert(DELIVERIES)
        insert = insert.on_conflict_do_update(
            index_elements=natural_key,
            set_={
                field.name: insert.excluded[field.name] for field in fields(Delivery) if field.name not in natural_key
            },
        )
        async with self._database.write() as connection:
            try:
                await connection.execute(insert, [values_of(delivery) for delivery in deliveries])
            except IntegrityError as error:  # the only key it can break
                raise NotFoundError("plan", ", ".join(sorted({delivery.plan_id for delivery in deliveries}))) from error

    async def deliveries(self, plan_id: str) -> list[Delivery]:
        """By station and EVSE."""
        stored = (
            select(*columns_of(DELIVERIES, Delivery))
            .where(DELIVERIES.c.plan_id == plan_id)
            .order_by(DELIVERIES.c.station_id, DELIVERIES.c.evse_id)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(stored)).all()
        return [record_of(Delivery, row) for row in rows]

    async def deliveries_in_force(self, site_id: str) -> list[Delivery]:
        """Of each EVSE the newest delivery that its station may be executing.

        Newest by `at`; of several at one instant that of the plan which was sent last. By station and EVSE.
        """
        evses, stations = tables.evses, tables.charging_stations
        reached = DELIVERIES.alias("reached")
        newest = (
            select(reached.c.number)
            .where(
                reached.c.station_id == evses.c.station_id,
                reached.c.evse_id == evses.c.evse_id,
                reached.c.site_id == site_id,
                reached.c.state.in_(REACHED),
            )
            .order_by(reached.c.at.desc(), reached.c.number.desc())
            .limit(1)
            .correlate(evses)
            .scalar_subquery()
        )
        in_force = (
            select(*columns_of(DELIVERIES, Delivery))
            .select_from(evses)
            .join(stations, and_(stations.c.station_id == evses.c.station_id, stations.c.site_id == site_id))
            .join(DELIVERIES, DELIVERIES.c.number == newest)
            .where(evses.c.in_document)
            .order_by(DELIVERIES.c.station_id, DELIVERIES.c.evse_id)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(in_force)).all()
        return [record_of(Delivery, row) for row in rows]
