"""Stations that take no limit of 0 pause by the end of their transaction, or by being set aside."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.csms.connector import PauseMethod
from app.db.records import Transaction
from app.events import StatusChanged, TransactionStarted
from optimizer.domain import Session
from tests.app.dispatch.world import START, World, a_world

NIGHT = [0] * 4 + [16] * 4  # an hour without, an hour with
WISH = "pause-cs1-1-1"


def a_world_that_pauses(method: PauseMethod) -> World:
    return a_world(1, pause=method, min_limit_a=6.0)


def calls(world: World, *actions: str) -> list[str]:
    return [call.split()[0] for call in world.connector.calls if call.split()[0] in actions]


def stopped(world: World) -> None:
    """The station tells that the transaction is over; the vehicle is still there."""
    world.leave(1)


async def send_to_who_waits(world: World, currents_a: list[int]) -> None:
    """The plan of a vehicle that has no transaction at present."""
    wish = world.store.kept_wishes[WISH]
    waiting = Session(f"wish-{WISH}", "cs1/1", world.clock.now(), wish.departure, wish.required_energy_kwh)
    await world.send({1: currents_a}, sessions=(waiting,))


async def test_a_transaction_is_stopped_for_a_pause_and_its_vehicle_goes_on_being_expected() -> None:
    world = a_world_that_pauses(PauseMethod.REMOTE_STOP)

    await world.send({1: NIGHT})

    assert calls(world, "RemoteStopTransaction") == ["RemoteStopTransaction"]
    wish = world.store.kept_wishes[WISH]
    assert (wish.id_tag, wish.required_energy_kwh, wish.departure) == ("tag", 50, START + timedelta(days=1))


async def test_it_is_started_again_when_the_plan_gives_it_power() -> None:
    world = a_world_that_pauses(PauseMethod.REMOTE_STOP)
    await world.send({1: NIGHT})
    stopped(world)
    await send_to_who_waits(world, NIGHT)
    await world.dispatcher.reconcile(world.site)
    assert calls(world, "RemoteStartTransaction") == []
    world.pass_time(hours=1)

    await world.dispatcher.reconcile(world.site)

    assert calls(world, "RemoteStartTransaction") == ["RemoteStartTransaction"]


async def test_who_was_started_again_is_not_started_twice() -> None:
    world = a_world_that_pauses(PauseMethod.REMOTE_STOP)
    await world.send({1: NIGHT})
    stopped(world)
    await send_to_who_waits(world, [16] * 8)
    world.events.publish(TransactionStarted("cs1", 1, 2, world.clock.now(), live=True))
    world.pass_time(minutes=5)

    await world.dispatcher.reconcile(world.site)

    assert calls(world, "RemoteStartTransaction") == ["RemoteStartTransaction"]


async def test_after_a_restart_the_pause_ends_all_the_same() -> None:
    world = a_world_that_pauses(PauseMethod.REMOTE_STOP)
    await world.send({1: NIGHT})
    stopped(world)
    world.restarted()

    await send_to_who_waits(world, [16] * 8)

    assert calls(world, "RemoteStartTransaction") == ["RemoteStartTransaction"]


async def test_nobody_is_expected_back_who_leaves_during_the_pause() -> None:
    world = a_world_that_pauses(PauseMethod.REMOTE_STOP)
    await world.send({1: NIGHT})
    stopped(world)
    world.events.publish(StatusChanged("cs1", 1, "Available", world.clock.now()))

    await world.dispatcher.reconcile(world.site)

    assert world.store.kept_wishes == {}


@pytest.mark.parametrize(
    "plan", [[16] * 8, [16, *NIGHT[:7]], [0] + [16] * 7, [0] * 8], ids=["power", "power now", "a moment", "no more"]
)
async def test_no_transaction_is_stopped_without_a_pause_that_is_worth_it(plan: list[int]) -> None:
    world = a_world_that_pauses(PauseMethod.REMOTE_STOP)
    world.pass_time(minutes=1)  # less than a quarter of an hour is left of the first slot

    await world.send({1: plan}, horizon=replace(world.problem().horizon, start=START, now=world.clock.now()))

    assert calls(world, "RemoteStopTransaction") == []
    assert world.store.kept_wishes == {}


async def test_a_transaction_is_not_stopped_again_within_the_hour() -> None:
    world = a_world_that_pauses(PauseMethod.REMOTE_STOP)
    await world.send({1: NIGHT})
    world.leave(1)
    world.transactions["cs1/1"] = Transaction(2, "depot", "cs1", 1, "tag", world.clock.now(), 0.0)
    world.station(1).transactions[1] = 2
    world.events.publish(TransactionStarted("cs1", 1, 2, world.clock.now(), live=True))
    world.pass_time(minutes=30)

    await world.send({1: NIGHT})
    assert calls(world, "RemoteStopTransaction") == ["RemoteStopTransaction"]
    world.pass_time(minutes=31)
    await world.send({1: NIGHT})

    assert calls(world, "RemoteStopTransaction") == ["RemoteStopTransaction"] * 2


async def test_a_token_that_nobody_knows_is_not_stopped() -> None:
    world = a_world_that_pauses(PauseMethod.REMOTE_STOP)
    world.transactions["cs1/1"] = replace(world.transactions["cs1/1"], id_tag="")

    await world.send({1: NIGHT})

    assert calls(world, "RemoteStopTransaction") == []


@pytest.mark.parametrize("method", [PauseMethod.ZERO, PauseMethod.MINIMUM])
async def test_who_pauses_by_its_limit_keeps_its_transaction(method: PauseMethod) -> None:
    world = a_world_that_pauses(method)

    await world.send({1: NIGHT})

    assert calls(world, "RemoteStopTransaction", "ChangeAvailability") == []


async def test_an_evse_is_set_aside_and_brought_back() -> None:
    world = a_world_that_pauses(PauseMethod.AVAILABILITY)
    await world.send({1: NIGHT})
    assert world.station(1).inoperative == {1}
    world.pass_time(hours=1)

    await world.dispatcher.reconcile(world.site)

    assert world.station(1).inoperative == set()
    assert world.store.kept_wishes == {}
    assert calls(world, "RemoteStartTransaction") == []


async def test_an_evse_that_is_set_aside_comes_back_after_a_restart_without_a_plan() -> None:
    world = a_world_that_pauses(PauseMethod.AVAILABILITY)
    await world.send({1: NIGHT})
    world.restarted()
    await world.dispatcher.restore(world.site)

    await world.dispatcher.prepare(world.site, "cs1")
    await world.dispatcher.reconcile(world.site)

    assert world.station(1).inoperative == set()


async def test_a_transaction_that_ends_with_the_setting_aside_is_started_again() -> None:
    world = a_world_that_pauses(PauseMethod.AVAILABILITY)
    await world.send({1: NIGHT})
    stopped(world)
    await send_to_who_waits(world, NIGHT)
    world.pass_time(hours=1)

    await world.dispatcher.reconcile(world.site)
    await world.dispatcher.reconcile(world.site)

    assert world.station(1).inoperative == set()
    assert calls(world, "RemoteStartTransaction") == ["RemoteStartTransaction"]


async def test_a_station_that_is_set_aside_only_after_its_transaction_is_left_as_it_was() -> None:
    """By the protocol a station may wait for the end of the transaction: then no next one could begin."""
    world = a_world_that_pauses(PauseMethod.AVAILABILITY)
    world.station(1).inoperative = "later"
    await world.send({1: NIGHT})
    world.pass_time(minutes=15)

    await world.dispatcher.reconcile(world.site)

    assert calls(world, "ChangeAvailability") == ["ChangeAvailability"] * 2  # aside, and back
    assert world.store.kept_wishes == {}
