"""The door to the internet for addresses that a site's document names: nothing private can be reached through it.

A host is resolved once, every address it has is looked at, and the connection goes to the address that was looked at:
a name that answers differently a moment later changes nothing. No redirect is followed, no proxy is asked, and only
https is spoken. Hosts that the settings allow may be private and speak plain http.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("2002::/16"))
_PORTS = {"http": 80, "https": 443}
CONNECT_TIMEOUT_S = 10.0


class ForbiddenAddressError(httpx.ConnectError):
    """The address may not be reached from here."""


async def resolved(host: str, port: int) -> Sequence[str]:
    """All addresses of a host, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Outbound(httpx.AsyncBaseTransport):
    """Connects to addresses on the internet, and to `allowed_hosts` wherever they are."""

    def __init__(
        self,
        allowed_hosts: Collection[str] = (),
        *,
        resolve: Resolve = resolved,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._allowed = {host.lower() for host in allowed_hosts}
        self._resolve = resolve
        # Kept open, a connection made for one name could be used for another at the same address.
        self._inner = inner or httpx.AsyncHTTPTransport(
            verify=_tls(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host, scheme = request.url.host.lower(), request.url.scheme
        is_allowed = host in self._allowed
        if scheme != "https" and not (scheme == "http" and is_allowed):
            raise ForbiddenAddressError(f"{scheme} to {host} is not allowed: https only", request=request)
        try:
            addresses = await self._resolve(host, request.url.port or _PORTS[scheme])
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{host} has no address: {error}", request=request) from error
        if not addresses:
            raise httpx.ConnectError(f"{host} has no address", request=request)
        private = [address for address in addresses if not is_public(address)]
        if private and not is_allowed:
            raise ForbiddenAddressError(f"{host} is at {private[0]}, which is not on the internet", request=request)
        told = httpx.Request(
            request.method,
            request.url.copy_with(host=addresses[0].partition("%")[0]),
            headers=request.headers,  # with the Host that was asked for
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._inner.handle_async_request(told)

    async def aclose(self) -> None:
        await self._inner.aclose()


@cache
def _tls() -> ssl.SSLContext:
    """The authorities are read from a file: once is enough."""
    return httpx.create_ssl_context(trust_env=False)


def is_public(text: str) -> bool:
    """Whether an address belongs to somebody on the internet; what hides an IPv4 address in IPv6 is not asked."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast


def outbound_client(allowed_hosts: Collection[str] = (), *, resolve: Resolve = resolved) -> httpx.AsyncClient:
    """A client that goes through this door."""
    for talkative in ("httpx", "httpcore"):  # they log whole addresses, and some providers want their token in it
        logging.getLogger(talkative).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        transport=Outbound(allowed_hosts, resolve=resolve),
        follow_redirects=False,
        trust_env=False,
        headers={"User-Agent": "smartcharge", "Accept-Encoding": "gzip"},
        timeout=httpx.Timeout(60.0, connect=CONNECT_TIMEOUT_S),  # the fetcher ends the whole exchange sooner
    )
