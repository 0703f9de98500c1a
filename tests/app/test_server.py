import asyncio
import socket
from contextlib import closing

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from app.errors import InvalidInputError
from app.server import bind, listening


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_the_system_chooses_the_port_when_it_is_0() -> None:
    stop = asyncio.Event()
    async with listening(_hello, "127.0.0.1", 0, stop) as url, httpx.AsyncClient() as client:
        assert (await client.get(url)).text == "hello"
        assert not stop.is_set()

    assert stop.is_set()
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(url)


async def test_an_address_of_six_is_written_in_brackets() -> None:
    try:
        with closing(bind("::1", 0)):
            pass
    except InvalidInputError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    async with listening(_hello, "::1", 0, asyncio.Event()) as url, httpx.AsyncClient() as client:
        assert url.startswith("http://[::1]:")
        assert (await client.get(url)).text == "hello"


async def test_an_error_in_the_body_still_ends_the_server() -> None:
    stop = asyncio.Event()
    with pytest.raises(RuntimeError, match="from the body"):
        async with listening(_hello, "127.0.0.1", 0, stop):
            raise RuntimeError("from the body")

    assert stop.is_set()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(InvalidInputError, match=host):
        bind(host, 0)


def test_a_port_that_is_taken_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInputError, match=str(port)) as refused:
            bind("127.0.0.1", port)

    assert refused.value.field == "http_port"
