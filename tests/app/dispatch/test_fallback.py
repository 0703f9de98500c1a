"""The limit that stations keep when nobody speaks to them."""

import asyncio
from datetime import timedelta

import pytest

from app.csms.connector import ChargingProfile, Period, Purpose, RateUnit
from app.errors import StationOfflineError
from tests.app.dispatch.world import START, a_world


async def test_a_station_that_connects_gets_its_fallback_and_reads_it_back() -> None:
    world = a_world(1, fallback_a=6)

    await world.dispatcher.prepare(world.site, "cs1")

    ((evse_id, profile),) = world.station(1).sent
    assert (evse_id, profile.purpose, profile.stack_level, profile.duration_s) == (0, Purpose.TX_DEFAULT, 0, None)
    assert "GetCompositeSchedule cs1" in world.connector.calls
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 6
    assert world.dispatcher.in_force("cs1", 1, START).source == "fallback"
    assert world.store.rows["cs1"].passport["fallback_a"] == {"1": 6.0}


async def test_an_evse_that_was_never_limited_counts_with_all_its_hardware_can() -> None:
    world = a_world(1, fallback_a=6)

    await world.dispatcher.restore(world.site)

    limit = world.dispatcher.in_force("cs1", 1, START)
    assert (limit.current_a, limit.source, limit.confirmed) == (32, "hardware", False)
    assert world.dispatcher.worst_case_a(world.site, "cs1", 1, START, START + timedelta(days=1)) == 32


async def test_a_fallback_that_the_station_contradicts_is_no_fallback() -> None:
    world = a_world(1, fallback_a=6)
    world.station(1).switches(0).ignore = True

    await world.dispatcher.prepare(world.site, "cs1")

    assert world.dispatcher.in_force("cs1", 1, START).current_a == 32


async def test_what_an_earlier_master_left_above_the_fallback_is_cleared_away() -> None:
    world = a_world(1, fallback_a=6)
    foreign = ChargingProfile(9, 3, Purpose.TX_DEFAULT, RateUnit.A, START - timedelta(days=9), (Period(0, 20.0),))
    world.station(1).profiles[0] = [foreign]

    await world.dispatcher.prepare(world.site, "cs1")

    assert world.station(1).limit_a(1, START) == 6
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 6


async def test_a_station_that_takes_no_profile_for_the_whole_of_it_gets_one_for_each_evse() -> None:
    world = a_world(1, fallback_a=6)
    world.station(1).switches(0).reject = lambda profile: True

    await world.dispatcher.prepare(world.site, "cs1")

    assert world.station(1).limit_a(1, START) == 6
    assert world.dispatcher.in_force("cs1", 1, START).confirmed


async def test_a_fallback_in_watts_leaves_no_phase_above_its_current() -> None:
    world = a_world(1, fallback_a=6, units=frozenset({RateUnit.W}))

    await world.dispatcher.prepare(world.site, "cs1")

    assert world.station(1).profiles[0][0].periods == (Period(0, 1380.0),)


async def test_preparing_an_offline_station_raises_and_its_last_fallback_stands() -> None:
    world = a_world(1, fallback_a=6)
    await world.dispatcher.prepare(world.site, "cs1")
    world.station(1).offline = True

    with pytest.raises(StationOfflineError):
        await world.dispatcher.prepare(world.site, "cs1")

    assert world.dispatcher.in_force("cs1", 1, START).current_a == 6


async def test_a_station_that_confirms_its_fallback_once_more_takes_nobody_elses_meanwhile() -> None:
    world = a_world(2, fallback_a=6)
    await world.dispatcher.prepare(world.site, "cs1")
    world.connector.turns = lambda: 5

    await asyncio.gather(world.dispatcher.prepare(world.site, "cs1"), world.dispatcher.prepare(world.site, "cs2"))

    assert [world.station(number).limit_a(1, START) for number in (1, 2)] == [6, 6]
