"""Who is given up, and for how long."""

from datetime import timedelta

from app.dispatch.failures import MOST, TRIED_AGAIN_AFTER, Failures
from tests.app.dispatch.world import START, a_world


def test_who_did_not_lower_several_times_is_given_up_for_a_while_and_then_tried_once() -> None:
    failures = Failures()
    for _ in range(MOST):
        assert failures.given_up(START) == {}
        failures.count("cs1/1", "unknown", START)

    assert failures.given_up(START + TRIED_AGAIN_AFTER - timedelta(seconds=1)) == {"cs1/1": "unknown"}
    assert failures.given_up(START + TRIED_AGAIN_AFTER) == {}
    failures.count("cs1/1", "unknown", START + TRIED_AGAIN_AFTER)
    assert list(failures.given_up(START + TRIED_AGAIN_AFTER)) == ["cs1/1"]


def test_who_declines_is_given_up_until_it_is_forgotten() -> None:
    failures = Failures()
    failures.declines("cs1/1", "Rejected")

    assert failures.given_up(START + timedelta(days=1)) == {"cs1/1": "declines every profile: Rejected"}
    failures.forget("cs1/1")
    assert failures.given_up(START) == {}


async def test_a_limit_that_rises_to_what_is_drawn_is_no_proof_of_obedience() -> None:
    world = a_world(1)
    await world.send({1: 10})
    world.pass_time(minutes=1)
    world.draw(1, 16, 16, 16)
    await world.send({1: 16})
    world.pass_time(minutes=1)

    world.draw(1, 16, 16, 16, 16)

    assert list(world.dispatcher.disobedient()) == ["cs1/1"]
    await world.send({1: 10})
    world.pass_time(minutes=1)
    world.draw(1, 10, 10, 10)
    assert world.dispatcher.disobedient() == {}
