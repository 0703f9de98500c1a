"""A clock that is found to be wrong: what its station holds is sent once more, in its own time."""

from datetime import timedelta

from app.events import ClockJumped, StationClockChanged
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


async def test_whoever_was_sent_a_plan_counts_with_its_highest_period_once_our_clock_was_set() -> None:
    world = a_world(2, fallback_a=6)
    await world.dispatcher.reconcile(world.site)
    await world.send({1: [16, 16, 4, 4, 4, 4, 4, 4]})
    now = world.clock.now() + timedelta(hours=1)
    planned_a = world.dispatcher.worst_case_a(world.site, "cs1", 1, now, now + timedelta(minutes=5))

    world.events.publish(ClockJumped(3600.0, now))

    assert planned_a == 6
    assert world.dispatcher.worst_case_a(world.site, "cs1", 1, now, now + timedelta(minutes=5)) == 16
    assert world.dispatcher.worst_case_a(world.site, "cs2", 1, now, now + timedelta(minutes=5)) == 6
    assert (await world.send({1: 10}))[1].state == "applied"
    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 10


async def test_a_plan_of_later_than_now_counts_with_its_highest_period_after_a_restart() -> None:
    world = a_world(1, fallback_a=6)
    await world.dispatcher.reconcile(world.site)
    await world.send({1: [16, 16, 4, 4, 4, 4, 4, 4]})
    world.pass_time(hours=-2)
    now = world.clock.now()

    dispatcher = world.restarted()
    await dispatcher.restore(world.site)

    assert dispatcher.worst_case_a(world.site, "cs1", 1, now, now + timedelta(minutes=5)) >= 16
