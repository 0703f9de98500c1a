"""TLS to an address that was looked at: the certificate is still that of the name."""

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from app.sources.outbound import Outbound
from tests.app.csms.certificates import Authority, Pair, needs_openssl

pytestmark = needs_openssl


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["host"].encode())

    def log_message(self, *_: object) -> None:
        """Not to the test's output."""


@contextmanager
def a_tls_server(pair: Pair) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Hello)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.mark.parametrize("name", ["provider.example", "other.example"])
async def test_a_certificate_is_checked_against_the_name_and_not_the_address(name: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    inner = httpx.AsyncHTTPTransport(verify=authority.client_context(), trust_env=False)
    transport = Outbound(["provider.example"], resolve=loopback, inner=inner)
    with a_tls_server(authority.sign("server", f"DNS:{name}")) as port:
        async with httpx.AsyncClient(transport=transport) as client:
            try:
                answer = (await client.get(f"https://provider.example:{port}/")).text
            except httpx.ConnectError as error:
                answer = str(error)

    if name == "provider.example":
        assert answer == f"provider.example:{port}"
    else:
        assert "certificate verify failed" in answer
