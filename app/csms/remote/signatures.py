"""Signed bodies: HMAC-SHA256 over the time of signing and the body, for a while and only once."""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

from app.errors import UnauthorizedError

TIMESTAMP_HEADER = "X-Smartcharge-Timestamp"
SIGNATURE_HEADER = "X-Smartcharge-Signature"
SCHEME = "v1"
WINDOW = timedelta(minutes=5)  # how far the two clocks may differ, and how long a body may travel

_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def sign(secret: bytes, body: bytes, at: datetime) -> dict[str, str]:
    """The two headers that go with `body`, signed `at` (aware)."""
    timestamp = str(int(at.timestamp()))
    return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: f"{SCHEME}={_digest(secret, timestamp, body)}"}


def verify(secret: bytes, body: bytes, timestamp: str | None, signature: str | None, now: datetime) -> None:
    """Raises `UnauthorizedError` for a body that was not signed with `secret` within `WINDOW` of `now` (aware).

    Several signatures may be given, parted by commas: a secret can be changed without a gap.
    """
    if timestamp is None or signature is None:
        raise UnauthorizedError(f"the headers {TIMESTAMP_HEADER} and {SIGNATURE_HEADER} are needed")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise UnauthorizedError(f"{TIMESTAMP_HEADER} is no number of seconds since 1970")
    expected = f"{SCHEME}={_digest(secret, timestamp, body)}".encode()
    given = [part.strip().encode() for part in signature.split(",")]
    if not any(hmac.compare_digest(expected, part) for part in given):
        raise UnauthorizedError(f"{SIGNATURE_HEADER} does not fit the body")
    if abs(now - datetime.fromtimestamp(int(timestamp), UTC)) > WINDOW:
        raise UnauthorizedError(f"signed at {timestamp}, more than {WINDOW.seconds} s from our {int(now.timestamp())}")


def _digest(secret: bytes, timestamp: str, body: bytes) -> str:
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
