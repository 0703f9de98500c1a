"""Plans are written for what a station accepts: as read, as corrected, and as its answers teach."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.csms.connector import ChargingProfile, Kind, Period, Purpose, RateUnit
from app.csms.known_passport import LEARNED, LEARNED_FOR
from app.site import Site
from optimizer.domain import Reservation
from tests.app.dispatch.world import START, World, a_world, limits


def override(world: World, **profile: Any) -> None:
    document = world.site.model_dump(mode="json")
    for station in document["charging_stations"]:
        station["profile"] = profile
    world.site = Site.model_validate(document)


def plans(world: World, number: int = 1) -> list[ChargingProfile]:
    return [profile for _, profile in world.station(number).sent if profile.profile_id > 100]


async def test_what_a_station_accepted_is_remembered_beyond_a_restart() -> None:
    world = a_world(1)
    world.station(1).switches(1).reject = lambda profile: profile.unit is RateUnit.A and profile.purpose is Purpose.TX
    await world.send({1: 16})
    world.station(1).sent.clear()

    world.restarted()
    await world.send({1: 10})

    assert world.store.rows["cs1"].passport[LEARNED]["settings"] == {"units": ["W"]}
    assert [profile.unit for profile in plans(world)] == [RateUnit.W]


async def test_what_was_learned_is_tried_anew_after_a_day() -> None:
    world = a_world(1)
    world.station(1).switches(1).reject = lambda profile: profile.unit is RateUnit.A and profile.purpose is Purpose.TX
    await world.send({1: 16})
    world.station(1).switches(1).reject = lambda profile: False
    world.station(1).sent.clear()

    world.pass_time(seconds=LEARNED_FOR.total_seconds())
    await world.send({1: 10})

    assert [profile.unit for profile in plans(world)] == [RateUnit.A]


async def test_what_was_learned_of_one_firmware_says_nothing_of_the_next() -> None:
    world = a_world(1)
    world.station(1).switches(1).reject = lambda profile: len(profile.periods) > 1
    await world.send({1: [16] * 4 + [6] * 4})
    assert world.dispatcher.passport("cs1").max_periods == 1
    world.store.rows["cs1"] = replace(world.store.rows["cs1"], firmware="2.0")

    await world.dispatcher.prepare(world.site, "cs1")

    assert world.dispatcher.passport("cs1").max_periods == 24


async def test_fewer_periods_are_tried_before_a_single_one() -> None:
    world = a_world(1)
    world.station(1).switches(1).reject = lambda profile: len(profile.periods) > 5

    deliveries = await world.send({1: [16, 6, 16, 6, 16, 6, 16, 6]})

    assert deliveries[1].state == "applied"
    assert limits(deliveries[1]) == [16, 6, 16, 6, 16]
    assert world.dispatcher.passport("cs1").max_periods == 5


async def test_a_station_that_refuses_tx_profiles_gets_its_plan_as_a_default_above_the_fallback() -> None:
    world = a_world(1, fallback_a=6)
    world.station(1).switches(1).reject = lambda profile: profile.purpose is Purpose.TX

    deliveries = await world.send({1: 16})

    assert deliveries[1].state == "applied"
    assert {held.stack_level: held.purpose for held in world.station(1).held(1)} == {
        0: Purpose.TX_DEFAULT,
        1: Purpose.TX_DEFAULT,
    }
    assert world.station(1).limit_a(1, START) == 16
    assert Purpose.TX not in world.dispatcher.passport("cs1").purposes


async def test_a_default_in_force_counts_until_it_ends_whoever_comes() -> None:
    world = a_world(1, fallback_a=6)
    override(world, purposes=["TxDefaultProfile"])
    await world.send({1: 16})

    world.leave(1)

    assert world.station(1).limit_a(1, START) == 16
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 16


async def test_with_one_level_and_no_tx_profile_the_plan_goes_on_as_the_fallback() -> None:
    world = a_world(1, fallback_a=6, max_stack_level=0)
    override(world, purposes=["TxDefaultProfile"])
    await world.dispatcher.prepare(world.site, "cs1")

    deliveries = await world.send({1: 16})

    assert deliveries[1].state == "applied"
    assert limits(deliveries[1]) == [16, 6]
    assert world.station(1).limit_a(1, START + timedelta(days=30)) == 6
    assert world.dispatcher.in_force("cs1", 1, START + timedelta(days=30)).current_a == 6


async def test_a_relative_station_is_told_one_relative_period() -> None:
    world = a_world(1)
    override(world, kinds=["Relative"])

    await world.send({1: [16] * 4 + [6] * 4})

    [plan] = plans(world)
    assert (plan.kind, [period.limit for period in plan.periods], plan.duration_s) == (Kind.RELATIVE, [16], None)


async def test_whole_amperes_for_a_station_without_decimals() -> None:
    world = a_world(1)
    override(world, decimals=0)

    assert limits((await world.send({1: 15.7}))[1]) == [15]


async def test_a_report_that_proves_nothing_is_not_asked_for() -> None:
    world = a_world(1)
    override(world, honest_readback=False)
    world.station(1).switches(1).reports = lambda report: replace(report, periods=(Period(0, 32.0),))

    deliveries = await world.send({1: 10})

    assert deliveries[1].state == "accepted"
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 10
    assert not any(call.startswith("GetCompositeSchedule") for call in world.connector.calls)


async def test_where_a_pause_is_not_possible_the_least_limit_is_sent_and_counted() -> None:
    world = a_world(1)
    override(world, pause="minimum", min_limit_a=6)
    reserved = Reservation((6.0, 6.0, 6.0), evse_id="cs1/1")

    deliveries = await world.send({1: [16] * 4 + [0] * 4}, reservations=(reserved,))

    assert limits(deliveries[1]) == [16, 6]
    assert world.dispatcher.in_force("cs1", 1, START + timedelta(minutes=80)).current_a == 6


@pytest.mark.parametrize("minutes", [0, 20])
async def test_a_profile_that_ends_before_its_plan_is_followed_up_in_time(minutes: int) -> None:
    world = a_world(1, fallback_a=6, max_periods=1)
    await world.dispatcher.prepare(world.site, "cs1")
    await world.send({1: [16] * 2 + [10] * 6})

    world.pass_time(minutes=minutes)
    assert not await world.dispatcher.reconcile(world.site)
    world.pass_time(minutes=27 - minutes)

    assert await world.dispatcher.reconcile(world.site)


async def test_a_profile_that_is_about_to_end_is_replaced_though_it_says_the_same() -> None:
    world = a_world(1, fallback_a=6, max_periods=1)
    await world.dispatcher.prepare(world.site, "cs1")
    await world.send({1: [16] * 2 + [10] * 6})
    world.pass_time(minutes=27)

    again = await world.send({1: [16] * 8})

    assert again[1].detail != "unchanged"
    assert not await world.dispatcher.reconcile(world.site)


async def test_a_plan_that_fits_needs_no_follow_up() -> None:
    world = a_world(1, fallback_a=6)
    await world.dispatcher.prepare(world.site, "cs1")
    await world.send({1: [16] * 2 + [10] * 6})

    world.pass_time(minutes=27)

    assert not await world.dispatcher.reconcile(world.site)


async def test_a_station_that_takes_no_profiles_by_its_operators_word_is_not_counted_on() -> None:
    world = a_world(1)
    override(world, smart_charging=False)

    await world.dispatcher.prepare(world.site, "cs1")

    assert world.dispatcher.uncontrollable() == {"cs1/1": "its site's document says that it takes no charging profiles"}
