"""What an EVSE may be executing, as time passes and stations come and go."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.db.records import Plan
from app.db.store import Store
from app.dispatch import Dispatcher
from app.errors import NotFoundError
from app.events import ClockJumped, StationConnected
from tests.app.dispatch.world import SLOTS, START, a_world


async def test_after_its_end_a_profile_leaves_the_fallback() -> None:
    world = a_world(1, fallback_a=6)

    await world.send({1: 16})

    after = START + timedelta(minutes=15 * SLOTS)
    assert world.dispatcher.in_force("cs1", 1, after - timedelta(seconds=1)).current_a == 16
    assert world.dispatcher.in_force("cs1", 1, after).current_a == 6


async def test_the_worst_case_counts_a_new_vehicle_under_the_fallback() -> None:
    world = a_world(1, fallback_a=6)

    await world.send({1: 0})

    assert world.dispatcher.in_force("cs1", 1, START).current_a == 0
    assert world.dispatcher.worst_case_a(world.site, "cs1", 1, START, START + timedelta(minutes=5)) == 6


async def test_a_station_that_reconnects_may_have_forgotten_and_is_sent_everything_again() -> None:
    world = a_world(1, fallback_a=6)
    await world.send({1: 0})
    world.station(1).reboot(forgets=True)
    world.events.publish(StationConnected("cs1", START))
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 6

    deliveries = await world.send({1: 0})

    assert deliveries[1].state == "applied"
    assert deliveries[1].detail is None
    assert world.station(1).limit_a(1, START) == 0


async def test_after_a_restart_the_store_tells_what_is_in_force() -> None:
    world = a_world(2, fallback_a=6)
    await world.send({1: 16, 2: 10})
    world.station(2).offline = True

    dispatcher = world.restarted()
    await dispatcher.restore(world.site)

    assert dispatcher.in_force("cs2", 1, START).current_a == 10
    assert dispatcher.worst_case_a(world.site, "cs2", 1, START + timedelta(hours=3), START + timedelta(hours=4)) == 6


async def test_after_a_restart_an_unknown_delivery_counts_with_the_hardware() -> None:
    world = a_world(1)
    world.station(1).switches(1).timeout = True
    await world.send({1: 16})

    dispatcher = world.restarted()
    await dispatcher.restore(world.site)

    assert dispatcher.in_force("cs1", 1, START).current_a == 32


async def test_after_a_restart_a_plan_for_a_finished_transaction_is_gone() -> None:
    world = a_world(1, fallback_a=6)
    await world.send({1: 16})
    world.store.running = []

    dispatcher = world.restarted()
    await dispatcher.restore(world.site)

    assert dispatcher.in_force("cs1", 1, START).source == "fallback"


async def test_an_evse_that_no_site_names_is_not_found() -> None:
    world = a_world(1)

    with pytest.raises(NotFoundError, match="cs7/1"):
        world.dispatcher.in_force("cs7", 1, START)


async def test_a_real_database_carries_it_over_a_restart(tmp_path: Path) -> None:
    world = a_world(1, fallback_a=6)
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}", world.clock) as store:
        await store.save_site(world.site)
        transaction, _ = await store.start_transaction(
            station_id="cs1", evse_id=1, id_tag="tag", started_at=START, meter_start_wh=0
        )
        world.station(1).transactions[1] = transaction.transaction_id
        world.transactions["cs1/1"] = transaction
        end = START + timedelta(hours=2)
        await store.save_plan(Plan("plan-1", "depot", "request", START, START, end, "optimal", None, {}, {}))
        world.dispatcher = Dispatcher(world.connector, store, world.events, world.clock)
        await world.send({1: 16})

        after = Dispatcher(world.connector, store, world.events, world.clock)
        await after.restore(world.site)

        limit = after.in_force("cs1", 1, START)
        assert (limit.current_a, limit.source, limit.confirmed) == (16, "plan", True)
        assert after.in_force("cs1", 1, end).source == "fallback"


async def test_once_the_clock_was_set_a_plan_may_be_over_and_its_fallback_hold() -> None:
    world = a_world(1, fallback_a=6)
    await world.send({1: 0})

    world.events.publish(ClockJumped(7200.0, START))

    assert world.dispatcher.in_force("cs1", 1, START).current_a == 6
