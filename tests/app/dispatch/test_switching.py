"""Writes, starts and stops are counted and bounded."""

from app.dispatch import Dispatcher
from app.dispatch.switching import Switching
from tests.app.dispatch.world import a_world


async def test_starting_again_and_stopping_are_counted_and_the_first_plan_is_neither() -> None:
    world = a_world(1)

    for current_a in (16, 0, 16, 10):
        await world.send({1: current_a})

    assert dict(world.dispatcher.switching.counts["cs1/1"]) == {"writes": 4, "stops": 1, "starts": 1}
    assert [world.dispatcher.switching.total(what) for what in ("writes", "starts", "stops")] == [4, 1, 1]


async def test_a_plan_that_is_held_already_is_no_write() -> None:
    world = a_world(1)

    for _ in range(5):
        await world.send({1: 16})

    assert world.dispatcher.switching.total("writes") == 1


async def test_a_plan_that_keeps_changing_its_mind_is_held_at_its_lower_one() -> None:
    world = a_world(1)
    world.dispatcher = Dispatcher(
        world.connector, world.store, world.events, world.clock, switching=Switching(starts_a_day=4)
    )
    states = []
    for number in range(8):
        delivery = (await world.send({1: 16 if number % 2 else 0}))[1]
        states.append(delivery.state)
        world.pass_time(seconds=10)

    counts = world.dispatcher.switching.counts["cs1/1"]
    assert counts["starts"] == 2
    assert states[-1] == "withheld"
    assert world.station(1).limit_a(1, world.clock.now()) == 0

    world.pass_time(hours=12)
    delivery = (await world.send({1: 16}))[1]
    assert delivery.state != "withheld"


async def test_stopping_is_never_refused() -> None:
    world = a_world(1)
    world.dispatcher = Dispatcher(world.connector, world.store, world.events, world.clock, switching=Switching(4, 4))
    for _ in range(6):
        await world.send({1: 16})
        delivery = (await world.send({1: 0}))[1]

    assert delivery.state != "withheld"
    assert world.station(1).limit_a(1, world.clock.now()) == 0
