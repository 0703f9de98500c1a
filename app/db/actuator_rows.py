"""What batteries and inverters were commanded, so that a restart knows what they may still hold."""

from datetime import datetime

from sqlalchemy import delete, select, update

from app.db import operating_tables as tables
from app.db.operating_records import ActuatorCommand
from app.db.rows import Rows, columns_of, record_of, values_of

COMMANDS = tables.actuator_commands


class ActuatorRows(Rows):
    async def add_actuator_command(self, command: ActuatorCommand) -> None:
        """Durable on return: before the device is told."""
        async with self._database.write() as connection:
            await connection.execute(COMMANDS.insert().values(values_of(command)))

    async def settle_actuator_command(
        self, command_id: str, state: str, read_back_kw: float | None, detail: str | None
    ) -> None:
        """What became of it."""
        change = update(COMMANDS).where(COMMANDS.c.command_id == command_id)
        async with self._database.write() as connection:
            await connection.execute(change.values(state=state, read_back_kw=read_back_kw, detail=detail))

    async def actuator_commands(
        self, site_id: str, *, device_id: str | None = None, holding_at: datetime | None = None, limit: int = 100
    ) -> list[ActuatorCommand]:
        """Newest first; `holding_at` leaves those that end later."""
        wanted = select(*columns_of(COMMANDS, ActuatorCommand)).where(COMMANDS.c.site_id == site_id)
        if device_id is not None:
            wanted = wanted.where(COMMANDS.c.device_id == device_id)
        if holding_at is not None:
            wanted = wanted.where(COMMANDS.c.valid_until > holding_at)
        newest_first = wanted.order_by(COMMANDS.c.at.desc(), COMMANDS.c.command_id).limit(limit)
        async with self._database.read() as connection:
            return [record_of(ActuatorCommand, row) for row in await connection.execute(newest_first)]

    async def drop_actuator_commands(self, before: datetime, site_id: str | None = None) -> int:
        """Those whose validity ended before; how many."""
        old = delete(COMMANDS).where(COMMANDS.c.valid_until < before)
        if site_id is not None:
            old = old.where(COMMANDS.c.site_id == site_id)
        async with self._database.write() as connection:
            return (await connection.execute(old)).rowcount
