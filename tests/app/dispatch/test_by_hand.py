"""An operator changes what a station holds: nobody knows it then, until the service has taken the station back."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.csms.connector import ChargingProfile, Period, Purpose, RateUnit
from app.errors import CallFailedError
from tests.app.dispatch.world import START, World, a_world

BY_HAND = ChargingProfile(
    profile_id=777,
    stack_level=3,
    purpose=Purpose.TX,
    unit=RateUnit.A,
    start=START - timedelta(minutes=1),
    periods=(Period(0, 32.0),),
    transaction_id=1,
)


async def a_planned_world(**passport: Any) -> World:
    """Two stations at 10 A each, with a fallback of 6 A."""
    world = a_world(2, fallback_a=6, **passport)
    await world.send({1: 10, 2: 10})
    return world


async def test_from_then_on_every_evse_of_the_station_counts_with_its_hardware() -> None:
    world = await a_planned_world()

    async with world.dispatcher.by_hand(world.site, "cs1") as in_doubt:
        limit = world.dispatcher.in_force("cs1", 1, world.clock.now())

    assert in_doubt == ("cs1/1",)
    assert (limit.current_a, limit.confirmed) == (32, False)
    assert world.dispatcher.in_force("cs2", 1, world.clock.now()).current_a == 10


async def test_what_was_set_by_hand_is_cleared_and_the_plan_is_sent_anew() -> None:
    world = await a_planned_world()
    async with world.dispatcher.by_hand(world.site, "cs1"):
        world.station(1).take(1, BY_HAND)
    assert world.station(1).limit_a(1, world.clock.now()) == 32

    due = await world.dispatcher.reconcile(world.site)
    deliveries = await world.send({1: 10, 2: 10})

    assert due
    assert BY_HAND not in world.station(1).held(1)
    assert deliveries[1].state == "applied"
    assert world.station(1).limit_a(1, world.clock.now()) == 10
    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 10


async def test_a_station_that_does_not_say_what_it_holds_is_cleared_all_the_same() -> None:
    world = await a_planned_world()
    world.station(1).switches(1).silent = True
    async with world.dispatcher.by_hand(world.site, "cs1"):
        world.station(1).take(1, BY_HAND)

    await world.dispatcher.reconcile(world.site)

    assert world.station(1).limit_a(1, world.clock.now()) == 6  # the fallback, until the plan comes
    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 6


async def test_an_idle_evse_goes_back_to_its_fallback() -> None:
    world = a_world(1, fallback_a=6)
    await world.dispatcher.prepare(world.site, "cs1")
    async with world.dispatcher.by_hand(world.site, "cs1"):
        world.station(1).take(0, replace(BY_HAND, purpose=Purpose.TX_DEFAULT, transaction_id=None))
    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 32

    await world.dispatcher.reconcile(world.site)

    limit = world.dispatcher.in_force("cs1", 1, world.clock.now())
    assert (limit.current_a, limit.source) == (6, "fallback")
    assert world.station(1).limit_a(1, world.clock.now()) == 6


async def test_a_station_that_clears_nothing_counts_with_its_hardware_until_it_has_taken_a_plan() -> None:
    world = await a_planned_world()

    async def refuse(station_id: str, **_: Any) -> bool:
        raise CallFailedError(station_id, "NotImplemented", "")

    world.connector.clear_charging_profile = refuse  # type: ignore[method-assign]  # a station without the message
    async with world.dispatcher.by_hand(world.site, "cs1"):
        pass
    await world.dispatcher.reconcile(world.site)
    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 32

    await world.send({1: 10, 2: 10})

    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 10


async def test_the_doubt_outlives_the_process() -> None:
    world = await a_planned_world()
    async with world.dispatcher.by_hand(world.site, "cs1"):
        pass
    await world.dispatcher.settle()

    dispatcher = world.restarted()
    await dispatcher.restore(world.site)

    assert dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 32


async def test_no_plan_is_sent_while_an_operator_is_at_it() -> None:
    world = await a_planned_world()
    async with world.dispatcher.by_hand(world.site, "cs1"):
        sent = len(world.station(1).sent)
        sending = asyncio.create_task(world.send({1: 8, 2: 8}))
        for _ in range(50):
            await asyncio.sleep(0)

        assert len(world.station(1).sent) == sent

    await sending
    assert len(world.station(1).sent) > sent


async def test_a_station_of_no_site_has_nothing_in_doubt() -> None:
    world = a_world(1)

    async with world.dispatcher.by_hand(world.site, "stranger") as in_doubt:
        assert in_doubt == ()
