"""TLS for stations, and whose certificate a station showed: OCPP's security profiles 2 and 3."""

import asyncio
import ssl
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import structlog

from app.clock import Clock
from app.errors import InvalidInputError
from app.settings import Settings

CRL_LOOK_S = 60.0

log = structlog.get_logger(__name__)


class SecurityProfile(IntEnum):
    """How a connection is secured, in OCPP's numbers; a higher one is never worse."""

    NONE = 0  # no password asked for: trials on loopback
    BASIC = 1
    TLS_AND_BASIC = 2
    CLIENT_CERTIFICATE = 3


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS 1.2 or later with the certificate of the settings; None when there is none.

    Client certificates are asked for when an authority for them is set, and then verified; a station may still show
    none and log in by password. Raises `InvalidInputError` for files that are missing, unreadable or no pair.
    """
    if settings.ocpp_tls_certificate is None:
        if settings.ocpp_tls_key or settings.ocpp_tls_client_ca:
            raise InvalidInputError("ocpp_tls_certificate", "is missing: a key or an authority alone makes no TLS")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.ocpp_tls_certificate, settings.ocpp_tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInputError("ocpp_tls_certificate", f"{settings.ocpp_tls_certificate}: {error}") from error
    if settings.ocpp_tls_client_ca is not None:
        try:
            context.load_verify_locations(settings.ocpp_tls_client_ca)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInputError("ocpp_tls_client_ca", f"{settings.ocpp_tls_client_ca}: {error}") from error
        context.verify_mode = ssl.CERT_OPTIONAL
    if settings.ocpp_tls_client_crl is not None:
        if settings.ocpp_tls_client_ca is None:
            raise InvalidInputError("ocpp_tls_client_crl", "needs ocpp_tls_client_ca: whose certificates are revoked?")
        try:
            context.load_verify_locations(settings.ocpp_tls_client_crl)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInputError("ocpp_tls_client_crl", f"{settings.ocpp_tls_client_crl}: {error}") from error
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return context


class RevocationLists:
    """The file of revocation lists behind a context: loaded again when it has changed, looked at once a minute.

    Of two lists of one authority the newer counts. A file that is gone or unreadable leaves what was loaded, which ends
    by itself: once a list is past its next update, no certificate of its authority is accepted any more.
    """

    def __init__(self, context: ssl.SSLContext, path: Path, clock: Clock) -> None:
        self._context = context
        self._path = path
        self._clock = clock
        self._changed_at = path.stat().st_mtime_ns

    async def keep_current(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(CRL_LOOK_S)
            self.look()

    def look(self) -> None:
        """Load the file if it is another than before."""
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._changed_at:
                self._context.load_verify_locations(self._path)
                self._changed_at = changed_at
                log.info("ocpp.revocations_loaded", file=str(self._path))
        except (OSError, ssl.SSLError) as error:
            log.error("ocpp.revocations_unreadable", file=str(self._path), reason=str(error))


def profile_of(transport: asyncio.BaseTransport, station_id: str, *, asks_password: bool) -> SecurityProfile | None:
    """How a connection of `station_id` is secured, if its password is right; None for somebody else's certificate."""
    certificate = transport.get_extra_info("peercert")  # empty unless one was shown, and verified
    if certificate:
        return SecurityProfile.CLIENT_CERTIFICATE if station_id in names_of(certificate) else None
    if not asks_password:
        return SecurityProfile.NONE
    return SecurityProfile.BASIC if transport.get_extra_info("ssl_object") is None else SecurityProfile.TLS_AND_BASIC


def names_of(certificate: Mapping[str, Any]) -> frozenset[str]:
    """The common names and alternative names of a verified certificate, as `ssl.SSLSocket.getpeercert` gives it."""
    subject = (pair for names in certificate.get("subject", ()) for pair in names)
    common = {value for name, value in subject if name == "commonName"}
    return frozenset(common | {value for _, value in certificate.get("subjectAltName", ())})
