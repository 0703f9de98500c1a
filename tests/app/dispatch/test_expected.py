"""Plans for vehicles that are expected: a default above the fallback, with an end, and never in its place."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.csms.connector import Purpose
from optimizer.domain import Session
from tests.app.dispatch.world import START, World, a_world, limits

SOON = START + timedelta(minutes=30)


async def an_empty_world(**passport: Any) -> World:
    """One station, prepared, nobody there."""
    world = a_world(1, fallback_a=6, **passport)
    world.transactions.clear()
    world.store.running.clear()
    world.station(1).transactions.clear()
    await world.dispatcher.prepare(world.site, "cs1")
    world.station(1).sent.clear()
    return world


def expected(arrival: object = SOON) -> dict[str, object]:
    return {"sessions": (Session("wish", "cs1/1", arrival, START + timedelta(hours=2), 10),)}  # type: ignore[arg-type]  # a time


async def test_an_expected_vehicle_finds_its_plan_when_it_comes() -> None:
    world = await an_empty_world()

    deliveries = await world.send({1: [0, 0] + [16] * 6}, **expected())

    [(evse_id, profile)] = world.station(1).sent
    assert (evse_id, profile.purpose, profile.stack_level, profile.transaction_id) == (1, Purpose.TX_DEFAULT, 1, None)
    assert profile.valid_to is not None
    assert deliveries[1].state == "applied"
    assert limits(deliveries[1]) == [0, 16]
    assert world.station(1).limit_a(1, START + timedelta(days=1)) == 6


async def test_nothing_is_sent_for_a_vehicle_that_comes_much_later() -> None:
    world = await an_empty_world()

    assert await world.send({1: [0] * 7 + [16]}, **expected(START + timedelta(minutes=105))) == {}
    assert world.station(1).sent == []


async def test_with_one_level_only_the_fallback_stays() -> None:
    world = await an_empty_world(max_stack_level=0)

    assert await world.send({1: [0, 0] + [16] * 6}, **expected()) == {}
    assert world.station(1).limit_a(1, SOON) == 6


async def test_the_plan_of_its_transaction_takes_the_place_of_what_was_expected() -> None:
    world = await an_empty_world()
    await world.send({1: [0, 0] + [16] * 6}, **expected())
    arrived = a_world(1).transactions["cs1/1"]
    world.transactions["cs1/1"] = arrived
    world.store.running.append(arrived)
    world.station(1).transactions[1] = arrived.transaction_id

    deliveries = await world.send({1: 10})

    assert deliveries[1].state == "applied"
    assert {(held.purpose, held.stack_level) for held in world.station(1).held(1)} == {
        (Purpose.TX, 1),
        (Purpose.TX_DEFAULT, 0),
    }
    world.leave(1)
    assert world.station(1).limit_a(1, START) == 6
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 6


async def test_a_station_that_declines_it_is_still_counted_on() -> None:
    world = await an_empty_world()
    world.station(1).switches(1).reject = lambda profile: True

    deliveries = await world.send({1: [0, 0] + [16] * 6}, **expected())

    assert deliveries[1].state == "rejected"
    assert world.dispatcher.uncontrollable() == {}
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 6


async def test_a_station_that_was_not_prepared_is_left_alone() -> None:
    world = await an_empty_world()
    world.restarted()

    assert await world.send({1: [0, 0] + [16] * 6}, **expected()) == {}


async def test_an_offline_station_is_left_alone() -> None:
    world = await an_empty_world()
    world.connector.stations["cs1"] = replace(world.station(1), offline=True)

    assert await world.send({1: [0, 0] + [16] * 6}, **expected()) == {}
