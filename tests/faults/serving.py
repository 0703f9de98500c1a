"""`smartcharge serve` as a process of its own, which may crash, be killed, and be started again on the same ports.

A fresh interpreter takes two seconds to import the service. Here each process is forked off one that has imported
everything and done nothing; from there on it is the command and nothing else.
"""

import asyncio
import json
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx

from app.crash_points import VARIABLE

SLOWEST_S = 40.0
PRELOADED = [
    "app.cli.main",
    "app.main",
    "app.cli.errors",
    "uvloop",
    "pandas",
    "alembic.command",
    "tests.faults.serving",
]


def run_command(arguments: list[str], environment: Mapping[str, str], log: str) -> None:
    """`smartcharge ARGUMENTS`, with its words in the file `log`."""
    from app.cli.main import main

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    for name in [name for name in os.environ if name.startswith("SMARTCHARGE_")]:
        del os.environ[name]
    os.environ["SMARTCHARGE_SOLVE_WORKERS"] = "thread"  # a daemon may have no processes of its own
    os.environ.update(environment)
    main(arguments)


@cache
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class Command:
    """One run of the command. `await command.ended()` is its exit status, negative for a signal."""

    def __init__(self, *arguments: str, log: Path, **environment: str) -> None:
        self.log = log
        self.process: BaseProcess = _forks().Process(
            target=run_command, args=(list(arguments), environment, str(log)), daemon=True
        )
        self.process.start()

    async def ended(self) -> int:
        async with asyncio.timeout(SLOWEST_S):
            await asyncio.to_thread(self.process.join, SLOWEST_S)
        status = self.process.exitcode
        assert status is not None, self.log.read_text("utf-8")[-2000:]
        return status

    async def kill(self) -> None:
        """SIGKILL: nothing is closed, nothing is written."""
        self.process.kill()
        assert await self.ended() == -signal.SIGKILL


class Service:
    """A service that is started, ends in whatever way, and is started again. Its ports stay the same."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.log = directory / "serve.log"
        self.http_url = ""
        self.ocpp_url = ""
        self.starts = 0
        self._environment = {
            "SMARTCHARGE_HTTP_PORT": "0",
            "SMARTCHARGE_OCPP_PORT": "0",
            "SMARTCHARGE_DATA_DIR": str(directory),
            "SMARTCHARGE_REPLAN_DEBOUNCE_S": "0.2",
        } | environment
        self._command: Command | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.statuses: list[int] = []  # of every run that ended

    async def start(self, crash_at: str | None = None) -> None:
        """Returns once it listens, or has crashed."""
        before = self.log.stat().st_size if self.log.exists() else 0
        extra = {} if crash_at is None else {VARIABLE: crash_at}
        self._command = Command("serve", log=self.log, **(self._environment | extra))
        self.starts += 1
        async with asyncio.timeout(SLOWEST_S):
            while self._command.process.is_alive():
                if started := _started(self.log, before):
                    self._keep_ports(started)
                    return
                await asyncio.sleep(0.02)

    @property
    def pid(self) -> int:
        assert self._command is not None
        assert self._command.process.pid is not None
        return self._command.process.pid

    async def kill(self) -> None:
        assert self._command is not None
        await self._command.kill()

    def keep_up(self, crash_at: Sequence[str] = ()) -> None:
        """From now on it is started again whenever it has ended, with one of these crash points after the other."""
        self._keeper = asyncio.create_task(self._keep_up([*crash_at]))

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._command is not None and self._command.process.is_alive():
            self._command.process.kill()
            await self._command.ended()

    async def _keep_up(self, crash_at: list[str]) -> None:
        while True:
            assert self._command is not None
            await asyncio.to_thread(self._command.process.join, 0.2)
            if self._command.process.exitcode is not None:
                self.statuses.append(self._command.process.exitcode)
                await self.start(crash_at.pop(0) if crash_at else None)

    def _keep_ports(self, started: Mapping[str, Any]) -> None:
        self.http_url, self.ocpp_url = started["http"], started["ocpp"]
        self._environment["SMARTCHARGE_HTTP_PORT"] = self.http_url.rpartition(":")[2]
        self._environment["SMARTCHARGE_OCPP_PORT"] = self.ocpp_url.rpartition(":")[2]


def _started(log: Path, offset: int) -> dict[str, Any] | None:
    if not log.exists():
        return None
    with log.open("rb") as file:
        file.seek(offset)
        for line in file.read().splitlines():
            if b'"service started"' in line:
                found: dict[str, Any] = json.loads(line)
                return found
    return None


@asynccontextmanager
async def a_service(directory: Path, **environment: str) -> AsyncIterator[Service]:
    """Not started yet; whatever is left of it at the end is killed."""
    service = Service(directory, **environment)
    try:
        yield service
    finally:
        await service.close()


async def answer(client: httpx.AsyncClient, method: str, path: str, **request: Any) -> httpx.Response | None:
    """None while the service is down, or has gone down in the middle of it."""
    try:
        return await client.request(method, path, **request)
    except httpx.TransportError:
        return None
