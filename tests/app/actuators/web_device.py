"""A device behind a webhook, on a real socket: checks signatures, does a command once, and tells its state."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.clock import Clock, SystemClock
from app.csms.remote.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
from app.errors import UnauthorizedError

SECRET = "secret-of-a-test-battery"


@dataclass
class WebDevice:
    state: dict[str, Any] = field(default_factory=lambda: {"setpoint_kw": None, "soc": 0.5})
    status: str | None = None  # answered to every POST in place of 202
    ignores: bool = False
    clock: Clock = field(default_factory=SystemClock)
    commands: list[dict[str, Any]] = field(default_factory=list)  # each once
    posts: int = 0
    raw_state: str | None = None  # answered to every GET in place of `state`
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/battery"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status, said = self._answered(lines[0].split()[0], headers, body)
        payload = said.encode()
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(payload)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(payload)
        await writer.drain()
        writer.close()

    def _answered(self, method: str, headers: dict[str, str], body: bytes) -> tuple[str, str]:
        try:
            stamp, signature = headers.get(TIMESTAMP_HEADER.lower()), headers.get(SIGNATURE_HEADER.lower())
            verify(SECRET.encode(), body, stamp, signature, self.clock.now())
        except UnauthorizedError:
            return "401 Unauthorized", ""
        if method == "GET":
            return "200 OK", json.dumps(self.state) if self.raw_state is None else self.raw_state
        self.posts += 1
        if self.status is not None:
            return self.status, ""
        command = json.loads(body)
        if headers["idempotency-key"] not in [known["command_id"] for known in self.commands]:
            self.commands.append(command)
            if not self.ignores:
                self.state["setpoint_kw"] = command["power_kw"]
        return "202 Accepted", ""


@asynccontextmanager
async def on_the_web(device: WebDevice) -> AsyncIterator[WebDevice]:
    server = await asyncio.start_server(device.serve, "127.0.0.1", 0)
    device.port = server.sockets[0].getsockname()[1]
    async with server:
        yield device
