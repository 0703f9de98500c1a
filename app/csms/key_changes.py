"""A station's password, changed over OCPP: when the old one ends and the new one begins.

The protocol's order: once the station has accepted, only the new key is valid; if it refuses, the old one stays. If
nobody knows (no answer, a crash in between), both are valid until the station has logged in with one of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from app.csms.frames import Json
from app.csms.passwords import either, hash_of_key
from app.db.store import Store
from app.errors import CallFailedError, StationOfflineError

_KEY_16 = "authorizationkey"
_COMPONENT_2X, _VARIABLE_2X = "securityctrlr", "basicauthpassword"


class KeyChanges:
    """Watches the calls that change a station's key, and keeps the store in step."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def during(self, station_id: str, new_key: str, send: Callable[[], Awaitable[Json]]) -> Json:
        """What `send` returns or raises, with the keys in the store as its outcome asks."""
        new_hash = await asyncio.to_thread(hash_of_key, new_key)
        old_hash = await self._store.password_hash(station_id)
        if old_hash is not None:
            await self._store.set_password_hash(station_id, either(old_hash, new_hash))
        keep = old_hash
        try:
            accepted = is_accepted(reply := await send())
            keep = new_hash if accepted else either(old_hash, new_hash) if accepted is None else old_hash
        except (CallFailedError, StationOfflineError):  # answered with an error, or never sent
            raise
        except BaseException:
            keep = either(old_hash, new_hash)
            raise
        finally:
            if keep is not None:
                await self._store.set_password_hash(station_id, keep)
        return reply


def new_key_of(action: str, payload: Json) -> str | None:
    """The password that this call gives the station, in the words of either version; None for any other call."""
    if action == "ChangeConfiguration" and str(payload.get("key")).lower() == _KEY_16:
        return _text(payload.get("value"))
    if action == "SetVariables":
        for data in _objects(payload.get("setVariableData")):
            if _is_password(data):
                return _text(data.get("attributeValue"))
    return None


def is_accepted(reply: Json) -> bool | None:
    """Whether the station took the key; None when it did not say, or will only after a reboot."""
    results = _objects(reply.get("setVariableResult"))
    statuses = [result.get("attributeStatus") for result in results if _is_password(result)] or [reply.get("status")]
    match str(statuses[0]).lower():
        case "accepted":
            return True
        case "rebootrequired" | "none":
            return None
        case _:
            return False


def _is_password(data: Json) -> bool:
    names = [part.get("name") for key in ("component", "variable") for part in _objects([data.get(key)])]
    return [str(name).lower() for name in names] == [_COMPONENT_2X, _VARIABLE_2X]


def _objects(value: object) -> Iterable[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
