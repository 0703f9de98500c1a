"""uvicorn inside our own event loop: it neither takes the process's signals nor decides when it ends."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Generator

import uvicorn
from starlette.types import ASGIApp

from app.errors import InvalidInputError

GRACE_S = 3.0  # for answers in flight; streams end by the service's stop event before


class Server(uvicorn.Server):
    """`serve()` with empty signal handling: uvicorn's would raise SIGTERM again after a clean end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, host: str, port: int, stop: asyncio.Event) -> AsyncIterator[str]:
    """Serve `app` while the body runs; gives its URL. Sets `stop` at the end, so that streams let go.

    Port 0 is the system's choice. Raises `InvalidInputError` when the port is taken or the address is not ours.
    """
    bound = bind(host, port)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none",
        timeout_graceful_shutdown=int(GRACE_S), timeout_keep_alive=30, h11_max_incomplete_event_size=64 * 1024,
    )  # fmt: skip
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="http")
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise RuntimeError("the HTTP server ended before it began")
            await asyncio.sleep(0.005)
        yield f"http://{in_url(host)}:{bound.getsockname()[1]}"
    finally:
        stop.set()
        server.should_exit = True
        await serving


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def bind(host: str, port: int, setting: str = "http") -> socket.socket:
    """A listening socket's address, taken now: a port that is in use is one clear line that names its setting."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidInputError(f"{setting}_host", f"{host!r} is no address: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise InvalidInputError(f"{setting}_port", f"{port} on {host} is taken by another program") from error
        raise InvalidInputError(f"{setting}_host", f"cannot listen on {host}:{port}: {error.strerror}") from error
    bound.setblocking(False)
    return bound
