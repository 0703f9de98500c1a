"""A driver who charges with priority is limited by no plan: none is sent, and all the hardware is reserved."""

from app.events import ChargingNeedsReceived, PriorityChargingChanged, TransactionStopped
from tests.app.dispatch.world import World, a_world


def prioritise(world: World, *, active: bool = True, transaction_id: int = 1) -> None:
    world.events.publish(PriorityChargingChanged("cs1", 1, transaction_id, active, world.clock.now()))


async def a_planned_world() -> World:
    world = a_world(2, fallback_a=6)
    await world.send({1: 10, 2: 10})
    return world


async def test_an_evse_with_priority_counts_with_all_its_hardware_and_is_left_out_of_plans() -> None:
    world = await a_planned_world()

    prioritise(world)

    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 32
    assert list(world.dispatcher.uncontrollable()) == ["cs1/1"]
    assert world.dispatcher.in_force("cs2", 1, world.clock.now()).current_a == 10


async def test_what_it_then_draws_is_no_disobedience() -> None:
    world = await a_planned_world()
    prioritise(world)
    world.pass_time(minutes=1)

    world.draw(1, 32, 32, 32, 32)

    assert world.dispatcher.disobedient() == {}


async def test_the_end_of_priority_brings_the_plan_back() -> None:
    world = await a_planned_world()
    prioritise(world)

    prioritise(world, active=False)

    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 10
    assert world.dispatcher.uncontrollable() == {}


async def test_priority_ends_with_its_transaction() -> None:
    world = await a_planned_world()
    prioritise(world)

    world.events.publish(TransactionStopped("cs1", 1, 1, world.clock.now(), live=True))

    assert world.dispatcher.uncontrollable() == {}
    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 6


async def test_another_transactions_end_is_not_its_own() -> None:
    world = await a_planned_world()
    prioritise(world)

    world.events.publish(TransactionStopped("cs1", 1, 9, world.clock.now(), live=False))

    assert list(world.dispatcher.uncontrollable()) == ["cs1/1"]


async def test_priority_outlives_the_service() -> None:
    world = await a_planned_world()
    prioritise(world)
    await world.dispatcher.settle()

    dispatcher = world.restarted()
    await dispatcher.restore(world.site)

    assert list(dispatcher.uncontrollable()) == ["cs1/1"]
    assert dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 32


async def test_the_priority_of_a_transaction_that_ended_meanwhile_does_not() -> None:
    world = await a_planned_world()
    prioritise(world)
    await world.dispatcher.settle()
    dispatcher = world.restarted()
    world.leave(1)

    await dispatcher.restore(world.site)

    assert dispatcher.uncontrollable() == {}


async def test_a_vehicle_that_waits_for_a_schedule_is_sent_the_one_that_it_has() -> None:
    """ISO 15118: within a minute of its needs a vehicle is to be told, whether there is something new or not."""
    world = await a_planned_world()
    world.station(1).sent.clear()
    world.station(2).sent.clear()
    world.events.publish(ChargingNeedsReceived("cs1", 1, 1, world.clock.now()))

    await world.send({1: 10, 2: 10})
    await world.send({1: 10, 2: 10})

    assert len(world.station(1).sent) == 1
    assert world.station(2).sent == []
