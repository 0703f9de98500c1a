"""What is said to stations for a plan, and what they reply, kept for the decision ledger.

`Recorded` stands before the connector. Whoever sends a plan says so with `about`; what is asked of stations meanwhile
belongs to that plan. Nothing waits for the diary, and nothing fails because of it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

import structlog

from app.clock import Clock
from app.csms.connector import ChargingProfile, CompositeSchedule, CsmsConnector, Purpose, RateUnit
from app.csms.profiles import profile_to_json
from app.csms.remote.routed import Routed
from app.db.ledger_records import Exchange
from app.db.store import Store
from app.errors import AppError

log = structlog.get_logger()

MOST_WAITING = 20_000  # exchanges that no store takes: the oldest go first
Json = dict[str, Any]
T = TypeVar("T")

_ABOUT: ContextVar[tuple[str, str] | None] = ContextVar("about", default=None)  # site, plan


@contextmanager
def about(site_id: str, plan_id: str) -> Iterator[None]:
    """What is asked of stations in this block, and in tasks that begin in it, is asked for this plan."""
    token = _ABOUT.set((site_id, plan_id))
    try:
        yield
    finally:
        _ABOUT.reset(token)


class Diary:
    """Writes exchanges in the background, many at once."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: deque[Exchange] = deque(maxlen=MOST_WAITING)
        self._writing: asyncio.Task[None] | None = None

    def note(self, exchange: Exchange) -> None:
        self._waiting.append(exchange)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def settle(self) -> None:
        """Return once all that was noted is written, or lost."""
        while self._writing is not None and not self._writing.done():
            await self._writing

    async def _write(self) -> None:
        with self._clock.hold():
            while self._waiting:
                batch = list(self._waiting)
                self._waiting.clear()
                try:
                    await self._store.add_exchanges(batch)
                except AppError as error:  # the plan is where it should be; only the record of it is not
                    log.error("exchanges not recorded", count=len(batch), error=str(error))


class Recorded(Routed):
    """A connector that notes what is said for a plan."""

    def __init__(self, connector: CsmsConnector, diary: Diary, clock: Clock) -> None:
        super().__init__(connector, {})
        self._diary = diary
        self._clock = clock

    async def set_charging_profile(self, station_id: str, evse_id: int, profile: ChargingProfile) -> None:
        await self._noted(
            station_id,
            evse_id,
            "SetChargingProfile",
            lambda: profile_to_json(profile),
            super().set_charging_profile(station_id, evse_id, profile),
            lambda _: {"status": "Accepted"},
        )

    async def clear_charging_profile(
        self,
        station_id: str,
        *,
        profile_id: int | None = None,
        evse_id: int | None = None,
        purpose: Purpose | None = None,
        stack_level: int | None = None,
    ) -> bool:
        asked = {"profile_id": profile_id, "purpose": purpose, "stack_level": stack_level}
        return await self._noted(
            station_id,
            evse_id or 0,
            "ClearChargingProfile",
            lambda: _plain(asked),
            super().clear_charging_profile(
                station_id, profile_id=profile_id, evse_id=evse_id, purpose=purpose, stack_level=stack_level
            ),
            lambda known: {"status": "Accepted" if known else "Unknown"},
        )

    async def composite_schedule(
        self, station_id: str, evse_id: int, duration_s: int, unit: RateUnit | None = None
    ) -> CompositeSchedule:
        return await self._noted(
            station_id,
            evse_id,
            "GetCompositeSchedule",
            lambda: _plain({"duration_s": duration_s, "unit": unit}),
            super().composite_schedule(station_id, evse_id, duration_s, unit),
            lambda reported: {"status": "Accepted", "schedule": _plain(asdict(reported))},
        )

    async def _noted(
        self,
        station_id: str,
        evse_id: int,
        action: str,
        request: Callable[[], Json],
        call: Awaitable[T],
        reply: Callable[[T], Json],
    ) -> T:
        plan = _ABOUT.get()
        if plan is None:
            return await call
        try:
            answer = await call
        except AppError as error:
            said = {"error": type(error).__name__, "detail": str(error)}
            self._diary.note(
                Exchange(plan[1], plan[0], station_id, evse_id, self._clock.now(), action, request(), said)
            )
            raise
        self._diary.note(
            Exchange(plan[1], plan[0], station_id, evse_id, self._clock.now(), action, request(), reply(answer))
        )
        return answer


def _plain(value: Any) -> Any:
    """As JSON has it."""
    match value:
        case dict():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case _:
            return value
