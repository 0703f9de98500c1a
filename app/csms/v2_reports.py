"""Reports that a station sends in parts, after it was asked for them: NotifyReport, ReportChargingProfiles, ...

Each part names the request. A report is complete when the part that says "no more" has come, and where the parts are
numbered, every one before it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from app.csms.frames import Json
from app.csms.lenient import read_count

MAX_PARTS = 10_000  # of one report; a station that says more than this will never be done


class Report:
    """The parts of one request, in their order, as they come."""

    def __init__(self) -> None:
        self._parts: dict[int, Json] = {}
        self._last: int | None = None
        self._arrived = asyncio.Event()
        self._is_over = False

    def take(self, part: Json) -> None:
        """A part that came twice counts once where it is numbered."""
        number = read_count(part.get("seqNo"))
        number = len(self._parts) if number is None else number
        if len(self._parts) < MAX_PARTS:
            self._parts[number] = part
        if part.get("tbc") is not True:
            self._last = number
        self._arrived.set()

    def end(self) -> None:
        """No more parts will come: the connection is gone."""
        self._is_over = True
        self._arrived.set()

    @property
    def is_complete(self) -> bool:
        """2.x counts from 0; some stations count from 1."""
        if self._last is None:
            return False
        first = min(1, *self._parts)
        return all(number in self._parts for number in range(first, self._last + 1))

    async def parts(self, patience_s: float) -> tuple[list[Json], bool]:
        """The parts in order, once all are there, none has come for `patience_s`, or none will; and whether they are
        all."""
        while not self.is_complete and not self._is_over:
            self._arrived.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._arrived.wait()
            except TimeoutError:
                break
        return [self._parts[number] for number in sorted(self._parts)], self.is_complete


class Reports:
    """The reports that one connection waits for. `first_id` sets its request ids apart from earlier ones'."""

    def __init__(self, first_id: int) -> None:
        self._ids = count(first_id)
        self._awaited: dict[tuple[str, int], Report] = {}

    def close(self) -> None:
        """The connection is gone: who waits for a report of it waits no longer."""
        for report in self._awaited.values():
            report.end()

    def next_id(self) -> int:
        return next(self._ids) % (2**31 - 1)

    @contextmanager
    def awaited(self, action: str, request_id: int) -> Iterator[Report]:
        """Parts of `action` for `request_id` are kept as long as this is open."""
        report = self._awaited[action, request_id] = Report()
        try:
            yield report
        finally:
            del self._awaited[action, request_id]

    def take(self, action: str, payload: Json) -> bool:
        """Whether this part was waited for."""
        request_id: Any = read_count(payload.get("requestId"))
        report = self._awaited.get((action, request_id))
        if report is not None:
            report.take(payload)
        return report is not None
