"""What stations should hold against what they do, every half minute."""

import asyncio

import pytest

from app.dispatch import guarantee
from app.dispatch.budget import AT_ONCE
from app.dispatch.fuses import Fuses, fuses_of
from app.site import Site
from tests.app.dispatch.world import START, World, a_world


async def a_settled_world(stations: int = 1, *, fallback_a: float = 6.0) -> World:
    """Prepared, with a plan of 10 A for everyone."""
    world = a_world(stations, fallback_a=fallback_a)
    for number in range(1, stations + 1):
        await world.dispatcher.prepare(world.site, f"cs{number}")
    await world.send(dict.fromkeys(range(1, stations + 1), 10))
    for station in world.connector.stations.values():
        station.sent.clear()
    return world


async def test_nothing_is_sent_while_everything_is_as_it_should_be() -> None:
    world = await a_settled_world()

    assert not await world.dispatcher.reconcile(world.site)
    world.pass_time(minutes=11)
    assert not await world.dispatcher.reconcile(world.site)

    assert world.station(1).sent == []
    assert world.connector.calls[-1] == "GetCompositeSchedule cs1"


async def test_a_station_that_forgot_its_profile_is_found_out_and_gets_a_new_plan() -> None:
    world = await a_settled_world()
    world.station(1).reboot(forgets=True)

    assert await world.dispatcher.reconcile(world.site)

    await world.dispatcher.settle()
    assert world.store.saved["plan-1", "cs1", 1].state == "contradicted"
    assert world.dispatcher.in_force("cs1", 1, START).current_a == 32  # what it reports
    again = await world.send({1: 10})
    assert again[1].state == "applied"
    assert world.station(1).limit_a(1, START) == 10


async def test_a_station_that_was_never_prepared_is_prepared() -> None:
    world = a_world(1, fallback_a=6)

    await world.dispatcher.reconcile(world.site)

    assert world.station(1).limit_a(1, START) == 6


async def test_a_fallback_that_the_operator_changed_reaches_the_station_without_a_reconnect() -> None:
    world = await a_settled_world()
    document = world.site.model_dump(mode="json")
    document["fallback_current_a"] = 0
    world.site = Site.model_validate(document)

    await world.dispatcher.reconcile(world.site)

    assert [profile.periods[0].limit for _, profile in world.station(1).sent] == [0]


async def test_an_answer_that_never_came_is_asked_for_again_less_and_less_often() -> None:
    world = await a_settled_world()
    world.station(1).switches(1).timeout = True
    deliveries = await world.send({1: 16})
    replans = 0

    for _ in range(60):
        world.pass_time(seconds=30)
        replans += await world.dispatcher.reconcile(world.site)

    assert deliveries[1].state == "unknown"
    assert replans == 6  # at 0.5, 1, 2, 4, 8 and 16 minutes


async def test_a_station_that_declines_its_fallback_is_not_asked_every_time() -> None:
    world = a_world(1, fallback_a=6)
    for evse_id in (0, 1):
        world.station(1).switches(evse_id).reject = lambda profile: True

    for _ in range(20):
        world.pass_time(seconds=30)
        await world.dispatcher.reconcile(world.site)

    passports = [call for call in world.connector.calls if call.startswith("GetConfiguration")]
    assert 2 <= len(passports) <= 5


async def test_an_offline_station_is_left_alone() -> None:
    world = await a_settled_world()
    world.station(1).offline = True
    world.connector.calls.clear()

    assert not await world.dispatcher.reconcile(world.site)

    assert world.connector.calls == []


@pytest.mark.parametrize(("then_a", "expected"), [(30, "withheld"), (2, "applied")])
async def test_who_was_written_to_too_often_is_lowered_at_once_and_raised_later(then_a: float, expected: str) -> None:
    world = await a_settled_world()
    for write in range(AT_ONCE - 1):
        assert (await world.send({1: 10 + write % 2 + 1}))[1].state == "applied"

    deliveries = await world.send({1: then_a})

    assert deliveries[1].state == expected
    world.pass_time(hours=1)
    assert (await world.send({1: 20}))[1].state == "applied"


async def test_the_fuses_of_a_site_are_worked_out_once_however_many_stations_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worked_out = []

    def counted(site: Site, max_base_load_kw: float | None) -> Fuses:
        worked_out.append(site.id)
        return fuses_of(site, max_base_load_kw)

    monkeypatch.setattr(guarantee, "fuses_of", counted)
    world = a_world(5, fallback_a=6)

    for number in range(1, 6):
        await world.dispatcher.prepare(world.site, f"cs{number}")
    await world.dispatcher.reconcile(world.site)

    assert len(worked_out) == 1
    assert {world.station(number).limit_a(1, START) for number in range(1, 6)} == {6}


async def test_a_station_that_is_being_prepared_is_not_prepared_once_more_by_the_look_that_found_it_was_not() -> None:
    world = a_world(1, fallback_a=6)

    await asyncio.gather(world.dispatcher.prepare(world.site, "cs1"), world.dispatcher.reconcile(world.site))

    assert [call for call in world.connector.calls if call.startswith("SetChargingProfile")] == [
        "SetChargingProfile cs1"
    ]
