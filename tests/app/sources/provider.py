"""A provider on a real socket: plays the replies it is told to, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        result: dict[str, object] = json.loads(self.body)
        return result


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False


class Provider:
    """`answer` is called for each request; the last of several replies is repeated."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda _: Reply(status=500)
        self._over = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                split = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(split.query).items()}
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked = Asked(self.command, split.path, query, {k.lower(): v for k, v in self.headers.items()}, body)
                provider.asked.append(asked)
                reply = provider.answer(asked)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
                self.wfile.flush()
                if reply.hangs:
                    provider._over.wait(2)

            do_POST = do_GET  # noqa: N815  # the library's word

            def log_message(self, *_: object) -> None:
                """Not to the test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def replies(self, *replies: Reply | bytes) -> None:
        """In turn; the last one from then on."""
        left = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        self.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def end(self) -> None:
        self._over.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def a_provider() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        provider.end()
        thread.join()
