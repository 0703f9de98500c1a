"""What a station says before it speaks OCPP: who it is, its password, which version.

Pure: bytes and headers in, answers out. Nothing here trusts the peer.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

# OCPP's identifierString without the colon (Basic auth splits there). Checked before an identity is used for anything.
IDENTITY = re.compile(r"[A-Za-z0-9*_=+|@. \-]{1,48}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Basic credentials as bytes: an AuthorizationKey need not be UTF-8."""

    user: bytes
    password: bytes = field(repr=False)


def identity_of(target: str) -> str | None:
    """The identity that ends the path of a request target, percent-decoded once; None when it is not one.

    Any endpoint path may precede it, one slash may follow it.
    """
    path = target.partition("?")[0]
    last_segment = path.removesuffix("/").rpartition("/")[2]
    identity = unquote_to_bytes(last_segment).decode("latin-1")
    return identity if IDENTITY.fullmatch(identity) else None


def basic_credentials(header: str | None) -> Credentials | None:
    """The content of an Authorization header; None when it is missing or no Basic one."""
    scheme, _, encoded = (header or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return Credentials(user, password) if colon else None


def choose_subprotocol(offered: Sequence[str], spoken: Sequence[str]) -> str | None:
    """The station's first choice among the subprotocols that we speak."""
    return next((name for name in offered if name in spoken), None)
