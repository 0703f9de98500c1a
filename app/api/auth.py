"""Who asks, and whether they may: an API key in a header, or the dashboard's cookie that was opened with one.

Everything under ``/v1`` is refused without a known key before its body is read; each route then names the scope it
needs with `requires`.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from app.api import problems
from app.api.services import Services
from app.clock import Clock
from app.db.records import ApiKey
from app.errors import ForbiddenError, UnauthorizedError
from app.keys import Scope, allows

COOKIE = "smartcharge_session"
SESSION_LASTS = timedelta(hours=12)
PROTECTED = "/v1"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Sessions:
    """Signs and reads the dashboard's cookie: ``<key id>.<expiry>.<signature>``. Nothing is kept on the server."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def open(self, key_id: str) -> str:
        expiry = int((self._clock.now() + SESSION_LASTS).timestamp())
        return f"{key_id}.{expiry}.{self._sign(key_id, expiry)}"

    def key_id(self, cookie: str) -> str:
        """Of the key it was opened with, or `UnauthorizedError`."""
        match cookie.split("."):
            case [key_id, expiry, signature] if expiry.isdecimal() and len(expiry) <= 12:
                is_ours = hmac.compare_digest(signature.encode(), self._sign(key_id, int(expiry)).encode())
                if is_ours and datetime.fromtimestamp(int(expiry), self._clock.now().tzinfo) > self._clock.now():
                    return key_id
        raise UnauthorizedError("this session has ended: open it again with an API key")

    def _sign(self, key_id: str, expiry: int) -> str:
        return hmac.new(self._secret, f"{key_id}.{expiry}".encode(), hashlib.sha256).hexdigest()


async def authenticate(connection: HTTPConnection, services: Services, sessions: Sessions) -> ApiKey:
    """The key behind a request, or `UnauthorizedError`; `ForbiddenError` for a write that another site could forge."""
    header = connection.headers.get("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthorizedError(f"the Authorization scheme {scheme[:20]!r} is not Bearer")
        return await services.keys.authenticate(token.strip())
    cookie = connection.cookies.get(COOKIE)
    if cookie is None:
        raise UnauthorizedError("an API key is needed: Authorization: Bearer sc_…")
    key = await services.keys.known(sessions.key_id(cookie))
    if connection.scope["method"] not in _SAFE_METHODS:
        refuse_forgery(connection.headers)
    return key


def refuse_forgery(headers: Headers) -> None:
    """A cookie travels by itself; a header of our own does not. Raises `ForbiddenError`."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise ForbiddenError(f"a write by cookie from another origin: {origin[:100]}")
    if "x-requested-with" not in headers:
        raise ForbiddenError("a write by cookie needs the header X-Requested-With")


class KeyRequired:
    """ASGI middleware: under ``/v1`` nobody gets further without a known key; no body is read before."""

    def __init__(self, app: ASGIApp, services: Services, sessions: Sessions, also: tuple[str, ...] = ()) -> None:
        self._app = app
        self._services = services
        self._sessions = sessions
        self._also = also  # further exact paths that need a key

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == PROTECTED or path.startswith(f"{PROTECTED}/") or path in self._also):
            await self._app(scope, receive, send)
            return
        try:
            key = await authenticate(HTTPConnection(scope), self._services, self._sessions)
        except (UnauthorizedError, ForbiddenError) as refused:
            await problems.of_exception(refused)(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key

        async def send_private(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, send_private)


# The check itself is KeyRequired's, before the body is read; this one only writes it into the OpenAPI document.
_DOCUMENTED = Depends(HTTPBearer(auto_error=False, scheme_name="API key", description="`sc_<id>_<secret>`"))


def requires(scope: Scope) -> Any:
    """A dependency: the request's key, which has `scope`. ``KeyDep = Annotated[ApiKey, requires("read")]``."""

    def check(request: Request, _: Annotated[HTTPAuthorizationCredentials | None, _DOCUMENTED]) -> ApiKey:
        key: ApiKey | None = getattr(request.state, "key", None)
        if key is None:
            raise UnauthorizedError("an API key is needed: Authorization: Bearer sc_…")
        if not allows(key, scope):
            raise ForbiddenError(f"this key may {', '.join(key.scopes)}; {scope} is needed")
        return key

    check.__name__ = f"requires_{scope}"
    return Depends(check)


Reader = Annotated[ApiKey, requires("read")]
Writer = Annotated[ApiKey, requires("write")]
Admin = Annotated[ApiKey, requires("admin")]
