"""A clock that is found to be wrong: what its station holds is sent once more, in its own time."""

from app.events import StationClockChanged
from tests.app.dispatch.world import a_world


async def test_the_plan_of_a_station_whose_clock_was_measured_is_sent_anew() -> None:
    world = a_world(2)
    await world.send({1: 10, 2: 10})
    for number in (1, 2):
        world.station(number).sent.clear()

    world.events.publish(StationClockChanged("cs1", 120.0, world.clock.now()))
    await world.send({1: 10, 2: 10})
    await world.send({1: 10, 2: 10})

    assert (len(world.station(1).sent), len(world.station(2).sent)) == (1, 0)


async def test_the_certificate_says_which_clocks_it_rests_on() -> None:
    world = a_world(1)
    world.events.publish(StationClockChanged("cs1", -90.0, world.clock.now()))

    certificate = await world.dispatcher.certificate(world.site)

    assert any("cs1 -90 s" in said for said in certificate.assumptions)


async def test_a_clock_that_was_set_right_is_no_assumption_any_more() -> None:
    world = a_world(1)
    for ahead_s in (-90.0, 0.0):
        world.events.publish(StationClockChanged("cs1", ahead_s, world.clock.now()))

    assert not any("cs1" in said for said in (await world.dispatcher.certificate(world.site)).assumptions)
