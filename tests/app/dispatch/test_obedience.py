"""What is drawn, against what is allowed."""

from datetime import timedelta

import pytest

from app.events import MeterValuesReceived
from tests.app.dispatch.world import START, a_world


async def test_three_samples_above_the_limit_make_an_evse_disobedient() -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.pass_time(minutes=1)

    world.draw(1, 16, 16, 16)
    await world.dispatcher.settle()

    assert world.dispatcher.disobedient() == {"cs1/1": "draws 16.0 A where 10.0 A are allowed"}
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 17
    saved = world.store.saved["plan-1", "cs1", 1]
    assert (saved.state, saved.detail) == ("ignored", "draws 16.0 A where 10.0 A are allowed")


@pytest.mark.parametrize("drawn_a", [(16, 16), (16, 16, 10, 16, 16), (11, 11, 11), (0, 0, 0)])
async def test_peaks_tolerance_and_modesty_are_no_faults(drawn_a: tuple[float, ...]) -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.pass_time(minutes=1)

    world.draw(1, *drawn_a)

    assert world.dispatcher.disobedient() == {}


async def test_a_vehicle_may_take_its_time_to_follow_a_new_limit() -> None:
    world = a_world(1)
    await world.send({1: 16})
    world.pass_time(minutes=5)
    await world.send({1: 6})

    world.draw(1, 16, 16, 16, 16, every=timedelta(seconds=5))

    assert world.dispatcher.disobedient() == {}


async def test_a_lowering_within_the_plan_gets_the_same_grace() -> None:
    world = a_world(1)
    await world.send({1: [16, 6, 6, 6, 6, 6, 6, 6]})
    world.pass_time(minutes=14, seconds=31)

    world.draw(1, 16, 16, 16, every=timedelta(seconds=5))

    assert world.dispatcher.disobedient() == {}


async def test_power_alone_is_compared_too() -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.pass_time(minutes=1)

    for _ in range(3):
        world.dispatcher.measured(MeterValuesReceived("cs1", 1, 1, world.clock.now(), 16 * 690, {}, None))

    assert list(world.dispatcher.disobedient()) == ["cs1/1"]
    await world.dispatcher.settle()


async def test_who_obeys_again_is_trusted_again() -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.pass_time(minutes=1)
    world.draw(1, 16, 16, 16)

    world.draw(1, 10, 10, 10)
    await world.dispatcher.settle()

    assert world.dispatcher.disobedient() == {}
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 10


async def test_others_do_not_get_what_a_disobedient_one_draws() -> None:
    world = a_world(2)
    await world.send({1: 16, 2: 6})
    world.pass_time(minutes=1)
    world.draw(2, 16, 16, 16)

    deliveries = await world.send({1: 26, 2: 6})

    assert {number: delivery.state for number, delivery in deliveries.items()} == {1: "withheld", 2: "ignored"}
    await world.dispatcher.settle()


async def test_a_fault_is_not_written_to_a_plan_that_never_reached_the_station() -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.station(1).offline = True
    await world.send({1: 6})
    world.station(1).offline = False
    world.pass_time(minutes=1)

    world.draw(1, 16, 16, 16)
    await world.dispatcher.settle()

    assert list(world.dispatcher.disobedient()) == ["cs1/1"]
    assert world.store.saved["plan-2", "cs1", 1].state == "offline"
