"""`Idempotency-Key`: a request that is sent twice acts once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from app.db.store import Store
from app.errors import InvalidInputError

_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # a lock lives as long as someone holds it


async def once(store: Store, key: str, asked: str, make: Callable[[], Awaitable[str]]) -> str:
    """What `make` returned when `key` was first used; two requests at once make it once.

    `asked` says what is wanted: another one under the same key raises `InvalidInputError`. A `make` that raises is
    not remembered, so that the caller may try again.
    """
    fingerprint = hashlib.sha256(asked.encode()).hexdigest()
    turn = _turns.setdefault(key, asyncio.Lock())
    async with turn:
        answered = await store.remembered_answer(key)
        if answered is not None:
            if answered["fingerprint"] != fingerprint:
                raise InvalidInputError("Idempotency-Key", "was used before, with another request")
            return str(answered["answer"])
        answer = await make()
        await store.remember_answer(key, {"fingerprint": fingerprint, "answer": answer})
        return answer
