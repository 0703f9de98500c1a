"""A profile is verified by the meter, or it is ignored."""

from tests.app.dispatch.world import a_world


async def test_what_the_meter_agrees_with_is_verified() -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.pass_time(minutes=1)

    world.draw(1, 9.8)
    await world.dispatcher.settle()

    assert [delivery.state for delivery in world.store.history] == ["unknown", "applied", "verified"]
    assert world.store.saved["plan-1", "cs1", 1].profile is not None


async def test_the_first_seconds_after_a_change_prove_nothing() -> None:
    world = a_world(1)
    await world.send({1: 10})

    world.draw(1, 9.8)
    await world.dispatcher.settle()

    assert world.store.saved["plan-1", "cs1", 1].state == "applied"


async def test_a_station_that_would_not_tell_is_verified_by_its_meter() -> None:
    world = a_world(1)
    world.station(1).switches(1).silent = True
    await world.send({1: 10})
    world.pass_time(minutes=1)

    world.draw(1, 9.8)
    await world.dispatcher.settle()

    assert [delivery.state for delivery in world.store.history] == ["unknown", "accepted", "verified"]


async def test_who_ignores_its_profile_is_told_once_more_and_what_it_draws_is_reserved() -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.station(1).sent.clear()
    world.pass_time(minutes=1)

    world.draw(1, 16, 16, 16, 16, 16, 16)
    await world.dispatcher.settle()

    assert world.store.saved["plan-1", "cs1", 1].state == "ignored"
    assert [profile.periods[0].limit for _, profile in world.station(1).sent] == [10]
    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 17


async def test_who_obeys_again_after_a_reminder_counts_with_its_limit() -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.pass_time(minutes=1)
    world.draw(1, 16, 16, 16)

    world.draw(1, 9.9, 9.9, 9.9)
    await world.dispatcher.settle()

    assert world.dispatcher.disobedient() == {}
    assert world.dispatcher.in_force("cs1", 1, world.clock.now()).current_a == 10
