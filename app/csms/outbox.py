"""The order in which a station is asked: one call at a time, the urgent first, a newer profile in place of an older.

OCPP allows one outstanding call in each direction. What limits or stops power overtakes what only asks; among equals
the first comes first. A SetChargingProfile that still waits when a newer one for the same EVSE, purpose, stack level
and transaction comes is never sent: its caller gets a `SupersededError`.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.csms.frames import Json
from app.errors import StationBusyError, StationOfflineError, SupersededError

MAX_WAITING = 64  # calls to one station; its operator's patience ends long before

_URGENT = frozenset(
    {
        "ClearChargingProfile",
        "RemoteStopTransaction",
        "RequestStopTransaction",
        "SetChargingProfile",
        "UpdateDynamicSchedule",
    }
)
_READS = frozenset(
    {
        "GetBaseReport",
        "GetChargingProfiles",
        "GetCompositeSchedule",
        "GetConfiguration",
        "GetDiagnostics",
        "GetLog",
        "GetMonitoringReport",
        "GetReport",
        "GetVariables",
        "TriggerMessage",
    }
)

Slot = tuple[Any, ...]  # what at most one waiting profile is for


def priority_of(action: str) -> int:
    """0 is sent first."""
    return 0 if action in _URGENT else 2 if action in _READS else 1


def slot_of(action: str, payload: Json) -> Slot | None:
    """What a profile is for, in the words of either version; None for calls that supersede nothing."""
    if action != "SetChargingProfile":
        return None
    profile = payload.get("csChargingProfiles", payload.get("chargingProfile"))
    if not isinstance(profile, dict):
        return None
    evse_id = payload.get("connectorId", payload.get("evseId"))
    words = ("chargingProfilePurpose", "stackLevel", "transactionId")
    return (str(evse_id), *[str(profile.get(word)) for word in words])


class Outbox:
    """The turns of one station's calls."""

    def __init__(self, station_id: str) -> None:
        self._station_id = station_id
        self._busy = False
        self._count = 0
        self._waiting: list[tuple[int, int, Slot | None, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, action: str, payload: Json) -> AsyncIterator[None]:
        """The time in which no other call is outstanding.

        Raises `SupersededError`, `StationBusyError` when too many wait, and `StationOfflineError` after `close`.
        """
        await self._wait(priority_of(action), slot_of(action, payload), action)
        try:
            yield
        finally:
            self._pass_on()

    def close(self) -> None:
        """Fail whatever waits: it was never sent."""
        waiting, self._waiting = self._waiting, []
        for *_, turn in waiting:
            if not turn.done():
                turn.set_exception(StationOfflineError(self._station_id))

    async def _wait(self, priority: int, slot: Slot | None, action: str) -> None:
        if not self._busy:
            self._busy = True
            return
        if slot is not None:
            self._supersede(slot)
        self._waiting = [entry for entry in self._waiting if not entry[3].done()]
        if len(self._waiting) >= MAX_WAITING:
            raise StationBusyError(self._station_id, action, MAX_WAITING)
        heapq.heapify(self._waiting)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (priority, self._count, slot, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on()  # it was our turn already
            raise

    def _supersede(self, slot: Slot) -> None:
        for *_, waiting_slot, turn in self._waiting:
            if waiting_slot == slot and not turn.done():
                turn.set_exception(SupersededError(self._station_id))

    def _pass_on(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False
