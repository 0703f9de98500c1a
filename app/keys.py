"""API keys: ``sc_<id>_<43 characters>``. The id finds the row, the secret is kept only as a hash.

256 random bits need no slow hash: a key is checked in microseconds, and a stolen table opens nothing.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Literal, get_args

from app.clock import Clock
from app.db.records import ApiKey
from app.db.store import Store
from app.errors import InvalidInputError, NotFoundError, UnauthorizedError

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each implies the ones before it

_TOKEN = re.compile(r"sc_(?P<id>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")
_NOTE_USE_EVERY = timedelta(minutes=1)  # a write per request would be dearer than the request


def allows(key: ApiKey, scope: Scope) -> bool:
    """Whether `key` may do what needs `scope`: admin may write, and who writes may read."""
    return any(SCOPES.index(held) >= SCOPES.index(scope) for held in SCOPES if held in key.scopes)


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Keys:
    """The keys of this service."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self, name: str, scopes: Iterable[str] = ("read",)) -> tuple[ApiKey, str]:
        """A new key and its token, which is shown this once. Raises `InvalidInputError` for an unknown scope."""
        wanted = tuple(dict.fromkeys(scopes))
        for scope in wanted:
            if scope not in SCOPES:
                raise InvalidInputError("scopes", f"{scope!r} is none of {', '.join(SCOPES)}")
        if not wanted:
            raise InvalidInputError("scopes", f"is empty: name at least one of {', '.join(SCOPES)}")
        if not name.strip():
            raise InvalidInputError("name", f"{name!r} says nothing: name who will hold the key")
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = ApiKey(key_id, name, hash_secret(secret), wanted, created_at=self._clock.now())
        await self._store.save_api_key(key)
        return key, f"sc_{key_id}_{secret}"

    async def authenticate(self, token: str) -> ApiKey:
        """The key that `token` is, or `UnauthorizedError`, which never says which part was wrong."""
        match = _TOKEN.fullmatch(token)
        key = await self._store.api_key(match["id"]) if match else None
        known_hash = key.secret_hash if key else hash_secret("")
        is_right = hmac.compare_digest(known_hash, hash_secret(match["secret"] if match else token))
        if key is None or not is_right or key.revoked_at is not None:
            raise UnauthorizedError("this API key is unknown or was revoked")
        return await self._note_use(key)

    async def known(self, key_id: str) -> ApiKey:
        """The key with this id while it is not revoked; for a session that was opened with it."""
        key = await self._store.api_key(key_id)
        if key is None or key.revoked_at is not None:
            raise UnauthorizedError("the API key of this session is unknown or was revoked")
        return await self._note_use(key)

    async def all(self) -> list[ApiKey]:
        return await self._store.api_keys()

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key at once; ending it again changes nothing. Raises `NotFoundError`."""
        key = await self._store.api_key(key_id)
        if key is None:
            raise NotFoundError("API key", key_id)
        if key.revoked_at is None:
            key = replace(key, revoked_at=self._clock.now())
            await self._store.save_api_key(key)
        return key

    async def _note_use(self, key: ApiKey) -> ApiKey:
        now = self._clock.now()
        if key.last_used_at is None or now - key.last_used_at >= _NOTE_USE_EVERY:
            key = replace(key, last_used_at=now)
            await self._store.note_api_key_used(key.key_id, now)
        return key
