"""Who may open a connection: decided before the WebSocket exists, from the request, its TLS and the stored password."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from app.clock import Clock
from app.csms.enrolment import Applicant, Enrolment
from app.csms.handshake import Credentials, basic_credentials, identity_of
from app.csms.passwords import PasswordCheck, hash_of_bytes, hashes_of
from app.csms.station_rules import StationRules
from app.csms.throttle import CONNECT_WINDOW_S, Flapping, LoginThrottle
from app.csms.tls import SecurityProfile, profile_of
from app.db.store import Store
from app.errors import NotFoundError, StoreUnavailableError
from app.settings import Settings

REFUSAL_S = 0.1  # every refused login takes at least this long, whatever was wrong with it
RETRY_AFTER_S = (1, 5)  # of a station that came while too many others did: at random, lest they all come back at once

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: HTTPStatus
    retry_after_s: float | None = None
    is_strike: bool = False  # somebody may be guessing


class Admission:
    """The `process_request` of the gateway's servers."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        rules: StationRules,
        enrolment: Enrolment,
        flapping: Callable[[str], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._rules = rules
        self._enrolment = enrolment
        self._tell_flapping = flapping
        self._check_password = PasswordCheck()
        self._throttle = LoginThrottle()
        self._flapping = Flapping(settings.ocpp_connects_a_minute)
        self._in_work = 0

    async def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        """Let a station in, or answer 400, 401, 403, 404, 429 or 503; a 404 takes the time of a wrong password."""
        identity = identity_of(request.path)
        if identity is None:
            return _response(_Refusal(HTTPStatus.BAD_REQUEST))
        if self._in_work >= self._settings.ocpp_handshakes:
            retry_after_s = random.uniform(*RETRY_AFTER_S)  # noqa: S311  # spreads load, keeps no secret
            return _response(_Refusal(HTTPStatus.SERVICE_UNAVAILABLE, retry_after_s))
        address = str(connection.remote_address[0]) if connection.remote_address else ""
        began = time.monotonic()
        self._in_work += 1
        try:
            refusal = await self._refusal(identity, address, connection, request.headers)
        except StoreUnavailableError:
            refusal = _Refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        finally:
            self._in_work -= 1
        if refusal is None:
            self._throttle.succeeded(identity, address)
            refusal = self._lock_out(identity)
            if refusal is None:
                return None
        elif refusal.is_strike:
            self._throttle.failed(identity, address, began)
        await asyncio.sleep(max(0.0, REFUSAL_S - (time.monotonic() - began)))
        log.warning("ocpp.login_refused", station=identity, address=address, status=int(refusal.status))
        return _response(refusal)

    async def _refusal(
        self, identity: str, address: str, connection: ServerConnection, headers: Headers
    ) -> _Refusal | None:
        wait_s = self._throttle.wait_s(identity, address, time.monotonic())
        if wait_s > 0:
            return _Refusal(HTTPStatus.TOO_MANY_REQUESTS, wait_s)
        credentials = basic_credentials(headers.get("Authorization"))
        if credentials is not None and credentials.user != identity.encode():
            credentials = None
        required, asks_password = self._required(identity)
        profile = profile_of(connection.transport, identity, asks_password=asks_password)
        try:
            stored = await self._store.password_hash(identity)
        except NotFoundError:
            return await self._unknown(identity, address, credentials, profile)
        if profile is None:
            log.warning("ocpp.certificate_of_another", station=identity)
            return _Refusal(HTTPStatus.UNAUTHORIZED, is_strike=True)
        if profile < required:
            log.warning("ocpp.security_profile_too_low", station=identity, profile=int(profile), required=int(required))
            return _Refusal(HTTPStatus.FORBIDDEN)
        if profile is SecurityProfile.CLIENT_CERTIFICATE or profile is SecurityProfile.NONE:
            return None
        return await self._wrong_password(identity, credentials, stored)

    async def _wrong_password(
        self, identity: str, credentials: Credentials | None, stored: str | None
    ) -> _Refusal | None:
        if stored is None:
            command = f"smartcharge stations password {identity}"
            log.warning("ocpp.no_password_set", station=identity, hint=f"`{command}` sets one")
            return _Refusal(HTTPStatus.UNAUTHORIZED)
        matched = credentials and await self._check_password(identity, credentials.password, stored)
        if not matched:
            return _Refusal(HTTPStatus.UNAUTHORIZED, is_strike=True)
        if matched != stored and matched == hashes_of(stored)[-1]:
            await self._store.set_password_hash(identity, matched)  # it has the new key: the old one is valid no more
        return None

    async def _unknown(
        self, identity: str, address: str, credentials: Credentials | None, profile: SecurityProfile | None
    ) -> _Refusal:
        if not self._settings.ocpp_enrolment:
            return _Refusal(HTTPStatus.NOT_FOUND, is_strike=True)
        now = self._clock.now()
        self._enrolment.note(
            Applicant(
                identity,
                address,
                first_seen_at=now,
                last_seen_at=now,
                has_certificate=profile is SecurityProfile.CLIENT_CERTIFICATE,
                password_hash=hash_of_bytes(credentials.password) if credentials else None,
            )
        )
        return _Refusal(HTTPStatus.NOT_FOUND)

    def still_admits(self, station_id: str, profile: SecurityProfile) -> bool:
        """Whether a connection that is open meets what is asked of its station now."""
        return profile >= self._required(station_id)[0]

    def _required(self, identity: str) -> tuple[SecurityProfile, bool]:
        """The least that this station must do, and whether it is asked for a password at all."""
        least = self._rules.of(identity).security_profile
        if self._settings.ocpp_auth == "basic":
            least = max(least, SecurityProfile(self._settings.ocpp_security_profile))
        return least, least > SecurityProfile.NONE

    def _lock_out(self, identity: str) -> _Refusal | None:
        if self._flapping.admits(identity, self._clock.now().timestamp()):
            return None
        if self._flapping.is_news(identity):
            self._tell_flapping(identity)
        return _Refusal(HTTPStatus.TOO_MANY_REQUESTS, CONNECT_WINDOW_S)


def _response(refusal: _Refusal) -> Response:
    status = refusal.status
    body = f"{status.phrase}\n".encode()
    headers = Headers({"Content-Length": str(len(body)), "Content-Type": "text/plain", "Connection": "close"})
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(refusal.retry_after_s))
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="OCPP", charset="UTF-8"'
    return Response(int(status), status.phrase, headers, body)
