"""Probes find out what a station takes, raise nothing, and leave nothing behind."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.csms.connector import ChargingProfile, Kind, PauseMethod, RateUnit
from app.csms.corrections import Corrections
from app.errors import ConflictError, StationOfflineError
from app.site import Site
from tests.app.dispatch.world import START, World, a_world


async def an_idle_world(*, fallback_a: float = 8.0, **passport: Any) -> World:
    """One station, prepared, without a vehicle."""
    world = a_world(1, fallback_a=fallback_a, **passport)
    world.store.running.clear()
    world.station(1).transactions.clear()
    await world.dispatcher.prepare(world.site, "cs1")
    world.station(1).sent.clear()
    return world


async def test_an_honest_station_is_found_to_take_what_it_says() -> None:
    world = await an_idle_world()

    report = await world.dispatcher.probe(world.site, "cs1")

    assert report.ended_early is None
    assert [step.name for step in report.steps] == [
        "limits in A",
        "limits in W",
        "a limit of 0",
        "a decimal",
        "a Relative profile",
        "24 periods",
    ]
    assert {step.answer for step in report.steps} == {"accepted"}
    assert {step.cleared for step in report.steps} == {"cleared"}
    assert report.found == Corrections(
        units=(RateUnit.A, RateUnit.W),
        kinds=(Kind.ABSOLUTE, Kind.RELATIVE),
        decimals=1,
        pause=PauseMethod.ZERO,
        honest_readback=True,
    )


async def test_nothing_is_left_behind_and_nothing_was_ever_raised() -> None:
    world = await an_idle_world()
    before, highest_a = world.station(1).held(1), list[float]()
    world.connector.on_message = lambda: highest_a.append(world.station(1).limit_a(1, START + timedelta(seconds=1)))

    report = await world.dispatcher.probe(world.site, "cs1")

    assert max(highest_a) <= 8
    assert report.low_a == 8
    assert world.station(1).held(1) == before
    assert all(profile.valid_to is not None for _, profile in world.station(1).sent if profile.stack_level > 0)


@pytest.mark.parametrize(
    ("refuses", "found"),
    [
        (lambda profile: profile.unit is RateUnit.A, {"units": (RateUnit.W,)}),
        (
            lambda profile: profile.periods[0].limit == 0,
            {"pause": PauseMethod.MINIMUM, "min_limit_a": 6.0},
        ),
        (lambda profile: profile.periods[0].limit % 1 != 0, {"decimals": 0}),
        (lambda profile: len(profile.periods) > 5, {"max_periods": 5}),
        (lambda profile: len(profile.periods) > 1, {"max_periods": 1}),
        (lambda profile: profile.kind is Kind.RELATIVE, {"kinds": None}),
    ],
)
async def test_what_a_station_refuses_is_found_out(
    refuses: Callable[[ChargingProfile], bool], found: dict[str, Any]
) -> None:
    world = await an_idle_world()
    world.station(1).switches(1).reject = refuses

    report = await world.dispatcher.probe(world.site, "cs1")

    assert {name: getattr(report.found, name) for name in found} == found
    passport = world.dispatcher.passport("cs1")
    assert {name: getattr(passport, name) for name in report.found.named} == report.found.named
    assert world.store.rows["cs1"].passport["probe"]["steps"]


async def test_a_station_that_accepts_and_does_nothing_proves_nothing() -> None:
    world = await an_idle_world()
    world.station(1).switches(1).ignore = True
    world.station(1).profiles = {0: [replace(world.station(1).held(1)[0])]}

    report = await world.dispatcher.probe(world.site, "cs1")

    # Asked for 8 A it reports the fallback's 8 A: only what differs from that can be told apart.
    assert report.found.pause is PauseMethod.MINIMUM
    assert report.found.max_periods == 1


async def test_a_fallback_of_0_is_not_raised_by_a_probe() -> None:
    world = await an_idle_world(fallback_a=0)

    report = await world.dispatcher.probe(world.site, "cs1")

    assert report.low_a == 0
    assert all(period.limit == 0 for _, profile in world.station(1).sent for period in profile.periods)


async def test_a_limit_that_someone_else_set_is_not_raised_either() -> None:
    world = await an_idle_world()
    [ours] = world.station(1).held(1)
    low = replace(ours, profile_id=77, stack_level=1, periods=(replace(ours.periods[0], limit=6.0),))
    world.station(1).take(1, low)

    report = await world.dispatcher.probe(world.site, "cs1")

    assert report.low_a == 6
    assert low in world.station(1).held(1)
    assert world.station(1).limit_a(1, START) == 6


async def test_a_lost_answer_ends_the_probe_and_the_profile_ends_by_itself() -> None:
    world = await an_idle_world()
    world.station(1).switches(1).late = True
    world.station(1).switches(1).silent = True

    report = await world.dispatcher.probe(world.site, "cs1")

    assert report.ended_early == "cs1: did not answer in time"
    assert len(report.steps) == 1
    assert report.found == Corrections()


async def test_a_vehicle_that_comes_ends_the_probe() -> None:
    world = await an_idle_world()
    world.connector.on_message = lambda: world.store.running.extend(world.transactions.values())

    report = await world.dispatcher.probe(world.site, "cs1")

    assert report.ended_early == "a transaction runs at cs1"
    assert len(report.steps) == 1
    assert [held.stack_level for held in world.station(1).held(1)] == [0]


async def test_refused_during_a_transaction() -> None:
    world = a_world(1)
    await world.dispatcher.prepare(world.site, "cs1")

    with pytest.raises(ConflictError, match="a transaction runs at cs1"):
        await world.dispatcher.probe(world.site, "cs1")


async def test_refused_with_one_level_only() -> None:
    world = await an_idle_world(max_stack_level=0)

    with pytest.raises(ConflictError, match="no stack level above"):
        await world.dispatcher.probe(world.site, "cs1")
    assert world.station(1).sent == []


async def test_refused_in_shadow_mode() -> None:
    world = await an_idle_world()
    world.site = Site.model_validate(world.site.model_dump(mode="json") | {"mode": "shadow"})

    with pytest.raises(ConflictError, match="shadow"):
        await world.dispatcher.probe(world.site, "cs1")


async def test_refused_while_it_is_not_connected() -> None:
    world = await an_idle_world()
    world.station(1).offline = True

    with pytest.raises(StationOfflineError):
        await world.dispatcher.probe(world.site, "cs1")


async def test_refused_while_it_holds_a_plan() -> None:
    world = a_world(1, fallback_a=8)
    await world.send({1: 16})
    world.store.running.clear()

    with pytest.raises(ConflictError, match="holds a plan"):
        await world.dispatcher.probe(world.site, "cs1")
