"""The door to the internet: what a site's document names cannot reach what is not on it."""

from collections.abc import Sequence

import httpx
import pytest

from app.sources.outbound import ForbiddenAddressError, Outbound, is_public, outbound_client
from tests.app.sources.provider import Provider, Reply


class Names:
    """A resolver that answers each question with the next of its answers."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


class Wire(httpx.AsyncBaseTransport):
    """Notes where a connection would go."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "no address",
    ],
)  # fmt: skip
async def test_what_is_not_on_the_internet_is_refused_before_anything_is_sent(address: str) -> None:
    wire = Wire()
    transport = Outbound(resolve=Names([address]), inner=wire)

    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(ForbiddenAddressError, match="not on the internet"):
            await client.get("https://provider.example/prices")

    assert wire.requests == []
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


async def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_looked_at() -> None:
    names, wire = Names(["93.184.216.34"], ["127.0.0.1"]), Wire()  # rebinds after the first question

    async with httpx.AsyncClient(transport=Outbound(resolve=names, inner=wire)) as client:
        await client.get("https://provider.example/prices?a=1")

    [request] = wire.requests
    assert names.asked == ["provider.example"]
    assert str(request.url) == "https://93.184.216.34/prices?a=1"
    assert request.headers["host"] == "provider.example"
    assert request.extensions["sni_hostname"] == "provider.example"  # the certificate is still that of the name


async def test_a_name_that_rebinds_is_refused_the_next_time() -> None:
    names, wire = Names(["93.184.216.34"], ["169.254.169.254"]), Wire()

    async with httpx.AsyncClient(transport=Outbound(resolve=names, inner=wire)) as client:
        await client.get("https://provider.example/")
        with pytest.raises(ForbiddenAddressError):
            await client.get("https://provider.example/")

    assert len(wire.requests) == 1


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    transport = Outbound(resolve=Names(["93.184.216.34", "10.0.0.1"]), inner=Wire())

    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(ForbiddenAddressError, match=r"10\.0\.0\.1"):
            await client.get("https://provider.example/")


async def test_only_https_is_spoken_to_hosts_that_are_not_allowed() -> None:
    async with httpx.AsyncClient(transport=Outbound(resolve=Names(["93.184.216.34"]), inner=Wire())) as client:
        with pytest.raises(ForbiddenAddressError, match="https only"):
            await client.get("http://provider.example/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "[::1]", "0x7f000001"])
async def test_loopback_by_any_spelling_is_refused_by_the_real_resolver(provider: Provider, host: str) -> None:
    port = provider.url.rpartition(":")[2]

    async with outbound_client() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"https://{host}:{port}/")

    assert provider.asked == []


async def test_a_host_that_the_settings_allow_is_reached_over_http_wherever_it_is(provider: Provider) -> None:
    provider.replies(Reply(b"here"))

    async with outbound_client(["127.0.0.1"]) as client:
        reply = await client.get(f"{provider.url}/prices")

    assert reply.text == "here"
    assert provider.asked[0].headers["host"] == provider.url.removeprefix("http://")


async def test_a_name_without_an_address_is_an_error_of_the_connection() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    async with httpx.AsyncClient(transport=Outbound(resolve=unknown, inner=Wire())) as client:
        with pytest.raises(httpx.ConnectError, match=r"provider\.example has no address"):
            await client.get("https://provider.example/")
