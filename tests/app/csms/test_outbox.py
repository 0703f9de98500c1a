"""Who is asked first, and what need not be asked any more."""

import asyncio
from typing import Any

import pytest

from app.csms.outbox import MAX_WAITING, Outbox, slot_of
from app.errors import StationBusyError, StationOfflineError, SupersededError

Json = dict[str, Any]


def a_profile(limit: float, evse_id: int = 1, stack_level: int = 0) -> Json:
    profile = {"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": stack_level, "limit": limit}
    return {"connectorId": evse_id, "csChargingProfiles": profile}


class Line:
    """An outbox whose first turn is taken until `go`; `sent` says what had its turn, in order."""

    def __init__(self) -> None:
        self.outbox = Outbox("cs01")
        self.sent: list[Any] = []
        self.go = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def call(self, action: str, payload: Json, name: Any) -> None:
        async with self.outbox.turn(action, payload):
            self.sent.append(name)
            await self.go.wait()

    async def queue(self, action: str, name: Any = None, payload: Json | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(self.call(action, payload or {}, name or action))
        self.tasks.append(task)
        await asyncio.sleep(0)
        return task

    async def finish(self) -> list[Any]:
        self.go.set()
        return await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_one_call_at_a_time_the_urgent_first_and_equals_in_order() -> None:
    line = Line()
    calls = ("Reset", "GetConfiguration", "UnlockConnector", "SetChargingProfile", "Reset", "RemoteStopTransaction")
    for action in calls:
        await line.queue(action)

    assert line.sent == ["Reset"]
    await line.finish()

    assert line.sent == [
        "Reset",
        "SetChargingProfile",
        "RemoteStopTransaction",
        "UnlockConnector",
        "Reset",
        "GetConfiguration",
    ]


async def test_a_newer_profile_takes_the_place_of_the_one_that_waits_and_its_caller_learns_so() -> None:
    line = Line()
    await line.queue("Reset")
    old = await line.queue("SetChargingProfile", 16, a_profile(16))
    await line.queue("SetChargingProfile", "other EVSE", a_profile(16, evse_id=2))
    await line.queue("SetChargingProfile", "other level", a_profile(16, stack_level=1))
    await line.queue("SetChargingProfile", 6, a_profile(6))

    await line.finish()

    assert line.sent == ["Reset", "other EVSE", "other level", 6]
    assert isinstance(old.exception(), SupersededError)


async def test_a_profile_on_its_way_is_not_superseded() -> None:
    line = Line()
    await line.queue("SetChargingProfile", 16, a_profile(16))
    await line.queue("SetChargingProfile", 6, a_profile(6))

    assert await line.finish() == [None, None]
    assert line.sent == [16, 6]


async def test_a_newer_profile_does_not_overtake_the_clearing_between() -> None:
    line = Line()
    await line.queue("Reset")
    await line.queue("SetChargingProfile", 16, a_profile(16))
    await line.queue("ClearChargingProfile")
    await line.queue("SetChargingProfile", 6, a_profile(6))

    await line.finish()

    assert line.sent == ["Reset", "ClearChargingProfile", 6]


async def test_too_many_calls_are_refused_and_a_caller_that_gave_up_holds_no_place() -> None:
    line = Line()
    await line.queue("Reset")
    waiting = [await line.queue("GetLog", number) for number in range(MAX_WAITING)]
    with pytest.raises(StationBusyError, match="64 calls wait"):
        await line.call("GetLog", {}, "one too many")

    waiting[0].cancel()
    await asyncio.sleep(0)
    await line.queue("GetLog", "in its place")

    await line.finish()
    assert line.sent == ["Reset", *range(1, MAX_WAITING), "in its place"]


async def test_a_caller_cancelled_in_its_own_turn_passes_it_on() -> None:
    line = Line()
    first = await line.queue("Reset", 1)
    second = await line.queue("Reset", 2)
    await line.queue("Reset", 3)

    first.cancel()
    second.cancel()
    await asyncio.sleep(0)
    await line.finish()

    assert line.sent in ([1, 3], [1, 2, 3])
    assert line.tasks[2].exception() is None


async def test_what_waits_when_the_station_leaves_was_never_sent() -> None:
    line = Line()
    await line.queue("Reset")
    waiting = await line.queue("GetLog")

    line.outbox.close()

    await line.finish()
    assert isinstance(waiting.exception(), StationOfflineError)
    assert line.sent == ["Reset"]


def test_a_profile_of_2_x_has_a_slot_as_well() -> None:
    profile = {"chargingProfilePurpose": "TxProfile", "stackLevel": 0, "transactionId": "t1"}

    assert slot_of("SetChargingProfile", {"evseId": 1, "chargingProfile": profile}) == ("1", "TxProfile", "0", "t1")
    assert slot_of("SetChargingProfile", {"evseId": 1, "chargingProfile": 7}) is None
