"""A bad line between stations and service: TCP through us, delayed, cut, half open, dripping, frames out of order.

Everything may be switched while connections are open. What goes through half a line is not lost, as TCP would send it
again: it comes once the line is whole, or never if it is cut before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import numpy as np

CHUNK = 65_536
DROP = 16  # bytes
HELD_S = 0.3  # how long a frame waits for one that may overtake it
END_OF_HANDSHAKE = b"\r\n\r\n"
SMALL = MEDIUM = 126  # the length field: below it the length itself, at it two bytes more, above it eight


class ChaosProxy:
    """`async with ChaosProxy.to(host, port) as proxy`: connect to ``proxy.port`` instead.

    `delay_s`: of every chunk in both directions. `drip_s`: a few bytes at a time, with this pause. `is_half_open`:
    nothing comes through, and nobody is told. `reorders`: of two WebSocket messages that follow each other closely the
    later one may come first; to be set before the connection is opened. Real seconds.
    """

    def __init__(self, host: str, port: int, *, seed: int = 1, unix_path: str | None = None) -> None:
        self.delay_s = 0.0
        self.drip_s: float | None = None
        self.reorders = False
        self.accepts = True
        self.overtaken = 0
        self._target = (host, port, unix_path)
        self._noise = np.random.default_rng(seed)
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def to(
        cls, host: str = "127.0.0.1", port: int = 0, *, seed: int = 1, unix_path: str | None = None
    ) -> AsyncIterator[Self]:
        """In front of `host` and `port`, or of a Unix socket. What is open at the end is cut."""
        proxy = cls(host, port, seed=seed, unix_path=unix_path)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.is_half_open = False
            proxy.cut()
            await server.wait_closed()

    @property
    def is_half_open(self) -> bool:
        return not self._whole.is_set()

    @is_half_open.setter
    def is_half_open(self, is_half: bool) -> None:
        if is_half:
            self._whole.clear()
        else:
            self._whole.set()

    def cut(self) -> None:
        """Every connection ends now, without a closing handshake."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port, unix_path = self._target
        far: asyncio.StreamWriter | None = None
        self._writers.add(writer)
        try:
            if not self.accepts:
                return
            opening = asyncio.open_unix_connection(unix_path) if unix_path else asyncio.open_connection(host, port)
            far_reader, far = await opening
            self._writers.add(far)
            _, pending = await asyncio.wait(
                {asyncio.create_task(self._pump(reader, far)), asyncio.create_task(self._pump(far_reader, writer))},
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        except OSError:
            pass  # the far end is not there: the near end is told by the end of its connection
        finally:
            for one in (writer, far):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = _Frames() if self.reorders else None
        held = b""
        with suppress(OSError):
            while True:
                try:
                    async with asyncio.timeout(HELD_S if held else None):
                        chunk = await reader.read(CHUNK)
                except TimeoutError:
                    held = await self._pass(writer, held)
                    continue
                if not chunk:
                    return
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if frames is None:
                    await self._pass(writer, chunk)
                    continue
                for frame, is_message in frames.cut(chunk):
                    if held and is_message:
                        self.overtaken += 1
                        held = await self._pass(writer, frame + held)
                    elif is_message and self._noise.random() < 0.5:
                        held = frame
                    else:
                        held = await self._pass(writer, held + frame)

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> bytes:
        """Write it as the line is now; returns what is held back after that: nothing."""
        pieces = [data] if self.drip_s is None else [data[at : at + DROP] for at in range(0, len(data), DROP)]
        for piece in pieces:
            await self._whole.wait()
            writer.write(piece)
            await writer.drain()
            if self.drip_s is not None:
                await asyncio.sleep(self.drip_s)
        return b""


class _Frames:
    """Cuts one direction of a WebSocket into its handshake, and frames (RFC 6455, section 5.2)."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_open = False

    def cut(self, chunk: bytes) -> list[tuple[bytes, bool]]:
        """What is whole by now, and whether each is a message, which no other frame belongs to."""
        self._rest += chunk
        whole: list[tuple[bytes, bool]] = []
        if not self._is_open:
            end = self._rest.find(END_OF_HANDSHAKE)
            if end < 0:
                return whole
            end += len(END_OF_HANDSHAKE)
            whole.append((self._rest[:end], False))
            self._rest, self._is_open = self._rest[end:], True
        while (length := _frame_length(self._rest)) is not None and length <= len(self._rest):
            frame, self._rest = self._rest[:length], self._rest[length:]
            whole.append((frame, frame[0] == 0x81))  # FIN, and text
        return whole


def _frame_length(data: bytes) -> int | None:
    """Of the frame that `data` begins with, header and all; None while that cannot be told."""
    if len(data) < 2:
        return None
    short, mask = data[1] & 0x7F, 4 if data[1] & 0x80 else 0
    extra = 0 if short < SMALL else 2 if short == MEDIUM else 8
    if len(data) < 2 + extra:
        return None
    payload = short if not extra else int.from_bytes(data[2 : 2 + extra])
    return 2 + extra + mask + payload
