"""API keys, and the answers that were given to idempotency keys."""

from datetime import datetime, timedelta

from sqlalchemy import select

from app.clock import Clock
from app.db import tables
from app.db.records import ApiKey, Json
from app.db.rows import Rows, columns_of, record_of, values_of

KEYS = tables.api_keys
ANSWERS = tables.remembered_answers
REMEMBERED_FOR = timedelta(hours=48)  # longer than any client retries; the table must not grow for ever


class KeyRows(Rows):
    _clock: Clock

    async def save_api_key(self, key: ApiKey) -> None:
        """Insert or replace by id."""
        row = values_of(key)
        insert = self._database.insert(KEYS).values(row)
        async with self._database.write() as connection:
            await connection.execute(insert.on_conflict_do_update(index_elements=["key_id"], set_=row))

    async def note_api_key_used(self, key_id: str, at: datetime) -> None:
        """Set `last_used_at`, and nothing else: a key that is revoked meanwhile stays revoked."""
        async with self._database.write(durable=False) as connection:
            await connection.execute(KEYS.update().where(KEYS.c.key_id == key_id).values(last_used_at=at))

    async def api_key(self, key_id: str) -> ApiKey | None:
        async with self._database.read() as connection:
            stored = select(*columns_of(KEYS, ApiKey)).where(KEYS.c.key_id == key_id)
            row = (await connection.execute(stored)).one_or_none()
        return None if row is None else record_of(ApiKey, row)

    async def api_keys(self) -> list[ApiKey]:
        """In order of creation."""
        every = select(*columns_of(KEYS, ApiKey)).order_by(KEYS.c.created_at, KEYS.c.key_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(every)).all()
        return [record_of(ApiKey, row) for row in rows]

    async def remembered_answer(self, key: str) -> Json | None:
        """What was answered to this idempotency key, else None."""
        async with self._database.read() as connection:
            stored = select(ANSWERS.c.answer).where(ANSWERS.c.key == key)
            answer: Json | None = (await connection.execute(stored)).scalar_one_or_none()
        return answer

    async def remember_answer(self, key: str, answer: Json) -> None:
        """For 48 hours. The first answer to a key stays."""
        now = self._clock.now()
        insert = self._database.insert(ANSWERS).values(key=key, answer=answer, at=now)
        async with self._database.write() as connection:
            await connection.execute(ANSWERS.delete().where(ANSWERS.c.at < now - REMEMBERED_FOR))
            await connection.execute(insert.on_conflict_do_nothing())
