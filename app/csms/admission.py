"""Who may open a connection: decided before the WebSocket exists, from the request alone and the stored password."""

import asyncio
import time
from http import HTTPStatus

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from app.csms.handshake import basic_credentials, identity_of
from app.csms.passwords import PasswordCheck
from app.db.store import Store
from app.errors import NotFoundError, StoreUnavailableError
from app.settings import Settings

REFUSAL_S = 0.1  # every refused login takes at least this long, whatever was wrong with it

log = structlog.get_logger(__name__)


class Admission:
    """The `process_request` of the gateway's server."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._needs_password = settings.ocpp_auth == "basic"
        self._check_password = PasswordCheck()

    async def __call__(self, _connection: ServerConnection, request: Request) -> Response | None:
        """Let a station in, or answer 400, 401, 404 or 503; a 404 takes the time of a wrong password."""
        identity = identity_of(request.path)
        if identity is None:
            return _response(HTTPStatus.BAD_REQUEST)
        began = time.monotonic()
        try:
            refusal = await self._refusal(identity, request.headers)
        except StoreUnavailableError:
            refusal = HTTPStatus.SERVICE_UNAVAILABLE
        if refusal is None:
            return None
        await asyncio.sleep(max(0.0, REFUSAL_S - (time.monotonic() - began)))
        log.warning("ocpp.login_refused", station=identity, status=int(refusal))
        return _response(refusal)

    async def _refusal(self, identity: str, headers: Headers) -> HTTPStatus | None:
        try:
            password_hash = await self._store.password_hash(identity)
        except NotFoundError:
            return HTTPStatus.NOT_FOUND
        if not self._needs_password:
            return None
        if password_hash is None:
            command = f"smartcharge stations password {identity}"
            log.warning("ocpp.no_password_set", station=identity, hint=f"`{command}` sets one")
            return HTTPStatus.UNAUTHORIZED
        credentials = basic_credentials(headers.get("Authorization"))
        if credentials is None or credentials.user != identity.encode():
            return HTTPStatus.UNAUTHORIZED
        matches = await self._check_password(identity, credentials.password, password_hash)
        return None if matches else HTTPStatus.UNAUTHORIZED


def _response(status: HTTPStatus) -> Response:
    body = f"{status.phrase}\n".encode()
    headers = Headers({"Content-Length": str(len(body)), "Content-Type": "text/plain", "Connection": "close"})
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="OCPP", charset="UTF-8"'
    return Response(int(status), status.phrase, headers, body)
