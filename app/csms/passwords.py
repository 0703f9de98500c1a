"""Passwords of charging stations: made, hashed and checked.

A generated key has 160 random bits, so a salted HMAC is enough and costs microseconds: ten thousand stations may
reconnect at once. A chosen password may be weak and gets argon2id, which costs tens of milliseconds; `PasswordCheck`
remembers the last success so that only the first login pays.
"""

import asyncio
import hashlib
import hmac
import re
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

GENERATED_BYTES = 20  # the longest AuthorizationKey of 1.6; 40 hex digits also fit 2.0.1's BasicAuthPassword
HMAC_SCHEME = "hmac-sha256"

_HEX_KEY = re.compile(rb"(?:[0-9a-fA-F]{2}){16,20}")
_ARGON2 = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's first choice: 19 MiB, 2 passes


def generate_password() -> tuple[str, str]:
    """A new password of 40 hex digits, and its hash to store. The password itself is shown once and kept nowhere."""
    plain = secrets.token_hex(GENERATED_BYTES)
    return plain, hmac_hash(plain.encode())


def hmac_hash(plain: bytes) -> str:
    """The hash of a key of 128 random bits or more; for what somebody made up use `hash_password`."""
    salt = secrets.token_bytes(16)
    return f"{HMAC_SCHEME}${salt.hex()}${_hmac(salt, _canonical(plain)).hex()}"


def hash_password(plain: str) -> str:
    """The hash of a password that somebody chose."""
    return _ARGON2.hash(_canonical(plain.encode()))


def hash_of_key(plain: str) -> str:
    """The hash of a key that was configured: cheap to check when it is as random as a generated one looks."""
    return hmac_hash(plain.encode()) if _HEX_KEY.fullmatch(plain.encode()) else hash_password(plain)


def hash_of_bytes(plain: bytes) -> str | None:
    """The hash of a key as it came over the wire; None for one too weak to be kept unseen by its operator."""
    canonical = _canonical(plain)
    return hmac_hash(plain) if _HEX_KEY.fullmatch(canonical) else None


def either(old_hash: str | None, new_hash: str) -> str:
    """What to store while nobody knows which of two passwords a station has; `hashes_of` takes it apart."""
    return new_hash if old_hash is None else f"{hashes_of(old_hash)[0]}\n{new_hash}"


def hashes_of(stored: str) -> tuple[str, ...]:
    """The hashes in a store's column: one, but for a change in progress."""
    return tuple(stored.split("\n"))


def verify(plain: bytes, password_hash: str) -> bool:
    """Whether `plain`, as it came over the wire, is the password behind `password_hash`. Never raises."""
    scheme, _, rest = password_hash.partition("$")
    if scheme == HMAC_SCHEME:
        salt, _, digest = rest.partition("$")
        try:
            return hmac.compare_digest(_hmac(bytes.fromhex(salt), _canonical(plain)), bytes.fromhex(digest))
        except ValueError:
            return False
    try:
        return _ARGON2.verify(password_hash, _canonical(plain))
    except (VerificationError, InvalidHashError):
        return False


class PasswordCheck:
    """`verify` that stays off the event loop when it is slow, and fast for whoever was right before."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._last_success: dict[str, bytes] = {}  # station: HMAC of the hash and password that matched
        self._slow = asyncio.Semaphore(2)  # argon2 takes 19 MiB and one core each

    async def __call__(self, station_id: str, plain: bytes, stored: str) -> str | None:
        """The one of the stored hashes that `plain` is the password behind; None when it is behind none."""
        for password_hash in hashes_of(stored):
            if await self._matches(station_id, plain, password_hash):
                return password_hash
        return None

    async def _matches(self, station_id: str, plain: bytes, password_hash: str) -> bool:
        if password_hash.startswith(f"{HMAC_SCHEME}$"):
            return verify(plain, password_hash)
        seen = _hmac(self._key, password_hash.encode() + b"\0" + _canonical(plain))
        if hmac.compare_digest(self._last_success.get(station_id, b""), seen):
            return True
        async with self._slow:
            matches = await asyncio.to_thread(verify, plain, password_hash)
        if matches:
            self._last_success[station_id] = seen
        return matches


def _canonical(plain: bytes) -> bytes:
    """One spelling for one AuthorizationKey.

    1.6 configures it as up to 40 hex digits and sends the 16 to 20 bytes they stand for; some stations send the
    digits. Both become lower-case digits; any other password stays as it is.
    """
    if _HEX_KEY.fullmatch(plain):
        return plain.lower()
    return plain.hex().encode() if 16 <= len(plain) <= GENERATED_BYTES else plain


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
