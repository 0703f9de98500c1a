"""Alarms, and the notices of them that are still to be delivered."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import exists, select, update

from app.db import operating_tables as tables
from app.db.operating_records import Alarm, AlarmNotice
from app.db.rows import Rows, columns_of, record_of, values_of

ALARMS, NOTICES = tables.alarms, tables.alarm_notices


class AlarmRows(Rows):
    async def raise_alarm(self, alarm: Alarm, channels: Sequence[str]) -> bool:
        """Durable on return, with a notice for each channel; False where the same kind and subject is open already."""
        same = select(ALARMS.c.alarm_id).where(
            ALARMS.c.site_id == alarm.site_id,
            ALARMS.c.kind == alarm.kind,
            ALARMS.c.subject == alarm.subject,
            ALARMS.c.resolved_at.is_(None),
        )
        async with self._database.write() as connection:
            if (await connection.execute(same.limit(1))).scalar_one_or_none() is not None:
                return False
            await connection.execute(ALARMS.insert().values(values_of(alarm)))
            for channel in channels:
                notice = AlarmNotice(alarm.alarm_id, channel, "raised", "pending", 0, alarm.raised_at)
                await connection.execute(NOTICES.insert().values(values_of(notice)))
        return True

    async def resolve_alarm(self, alarm_id: str, at: datetime, channels: Sequence[str]) -> None:
        """With a notice for each channel. One that is resolved stays as it is."""
        change = update(ALARMS).where(ALARMS.c.alarm_id == alarm_id, ALARMS.c.resolved_at.is_(None))
        async with self._database.write() as connection:
            if (await connection.execute(change.values(resolved_at=at))).rowcount == 0:
                return
            for channel in channels:
                notice = AlarmNotice(alarm_id, channel, "resolved", "pending", 0, at)
                await connection.execute(NOTICES.insert().values(values_of(notice)))

    async def alarms(self, site_id: str | None = None, *, open_only: bool = False, limit: int = 1000) -> list[Alarm]:
        """Newest first."""
        wanted = select(*columns_of(ALARMS, Alarm))
        if site_id is not None:
            wanted = wanted.where(ALARMS.c.site_id == site_id)
        if open_only:
            wanted = wanted.where(ALARMS.c.resolved_at.is_(None))
        newest_first = wanted.order_by(ALARMS.c.raised_at.desc(), ALARMS.c.alarm_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(newest_first.limit(limit))).all()
        return [record_of(Alarm, row) for row in rows]

    async def alarm_notices(self, site_id: str, limit: int = 1000) -> list[AlarmNotice]:
        """Of every alarm of the site, in the order in which they are due."""
        wanted = (
            select(*columns_of(NOTICES, AlarmNotice))
            .join(ALARMS, ALARMS.c.alarm_id == NOTICES.c.alarm_id)
            .where(ALARMS.c.site_id == site_id)
            .order_by(NOTICES.c.next_at, NOTICES.c.alarm_id, NOTICES.c.channel)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.limit(limit))).all()
        return [record_of(AlarmNotice, row) for row in rows]

    async def due_notices(self, now: datetime, limit: int = 100) -> list[tuple[AlarmNotice, Alarm]]:
        """What is to be delivered now, what has waited longest first.

        Nobody is told that something is over before being told that it began.
        """
        notice, alarm = columns_of(NOTICES, AlarmNotice), columns_of(ALARMS, Alarm)
        earlier = NOTICES.alias("earlier")
        untold = exists().where(
            earlier.c.alarm_id == NOTICES.c.alarm_id,
            earlier.c.channel == NOTICES.c.channel,
            earlier.c.occasion == "raised",
            earlier.c.state == "pending",
            NOTICES.c.occasion == "resolved",
        )
        wanted = (
            select(*notice, *(column.label(f"alarm_{column.name}") for column in alarm))
            .join(ALARMS, ALARMS.c.alarm_id == NOTICES.c.alarm_id)
            .where(NOTICES.c.state == "pending", NOTICES.c.next_at <= now, ~untold)
            .order_by(NOTICES.c.next_at, NOTICES.c.alarm_id, NOTICES.c.channel)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.limit(limit))).all()
        return [(AlarmNotice(*row[: len(notice)]), Alarm(*row[len(notice) :])) for row in rows]

    async def save_notice(self, notice: AlarmNotice) -> None:
        """What became of one attempt."""
        change = update(NOTICES).where(
            NOTICES.c.alarm_id == notice.alarm_id,
            NOTICES.c.channel == notice.channel,
            NOTICES.c.occasion == notice.occasion,
        )
        async with self._database.write() as connection:
            await connection.execute(change.values(values_of(notice)))
