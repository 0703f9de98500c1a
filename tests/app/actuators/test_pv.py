"""PV that a plan curtails: limits at an inverter on a real socket, and its safe value."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.site import Site
from tests.app.actuators.actuator_world import Json, World, a_world, site_document
from tests.app.actuators.sunspec_device import SunSpecDevice, an_inverter

pytest.importorskip("pymodbus", reason="the extra modbus is not installed")


@asynccontextmanager
async def a_roof(
    device: SunSpecDevice | None = None, *, plain: tuple[str, ...] = (), **actuator: Any
) -> AsyncIterator[World]:
    """A world with an inverter of 20 kW in the battery's place, beside arrays that nobody commands."""
    async with a_world(device or an_inverter()) as world:
        target = {"kind": "modbus", "host": "127.0.0.1", "port": world.line.port, "timeout_s": 1.0}
        roof: Json = {"id": "roof", "peak_kw": 20, "actuator": {"target": target, "valid_s": 120} | actuator}
        others = [{"id": name, "peak_kw": 20} for name in plain]
        has = {"latitude": 52, "longitude": 13, "pv_curtailable": True, "pv_arrays": [roof, *others]}
        await world.save(Site.model_validate(site_document(**has)))
        await world.pass_time(seconds=6)
        yield world


async def curtail(world: World, *curtail_kw: float) -> None:
    """A plan that expects 15 kW of PV and curtails so much of it, slot by slot."""
    slots = len(curtail_kw)
    has: Json = {"pv_kw": [15.0] * slots, "pv_curtailable": True, "batteries": ()}
    await world.plan(*[0.0] * slots, curtail_kw=curtail_kw, has_battery=False, **has)


async def test_an_inverter_is_limited_to_what_the_plan_leaves_and_free_where_it_curtails_nothing() -> None:
    async with a_roof() as world:
        fleet = await world.fleet()
        await curtail(world, 9.0, 0.0)
        limited = world.device.limit_percent
        await world.pass_time(minutes=15)

        assert fleet.pv_curtailable
        assert limited == pytest.approx(30.0)  # 6 of 20 kW
        assert world.device.limit_percent is None


async def test_a_limit_that_nobody_renews_ends_by_the_inverters_own_timer() -> None:
    async with a_roof() as world:
        await curtail(world, 9.0, 9.0, 9.0, 9.0)
        await world.line.cut()
        before = world.device.limit_percent
        await world.pass_time(minutes=3)
        fleet = await world.fleet()

        assert before == pytest.approx(30.0)
        assert world.device.limit_percent is None
        assert not fleet.pv_curtailable
        assert "PV is not curtailed: roof: it was not reached" in fleet.warnings[0]


async def test_the_safe_value_of_a_roof_with_a_cap_is_its_cap() -> None:
    async with a_roof(safe_limit_kw=12) as world:
        await curtail(world, 0.0, 0.0)
        free = world.device.limit_percent
        await world.end()

        assert free == pytest.approx(100.0)  # on its own it would feed less
        assert world.device.limit_percent == pytest.approx(60.0)


async def test_an_inverter_that_feeds_more_than_it_was_told_ignores_it() -> None:
    async with a_roof(an_inverter(power_w=14_000)) as world:
        await curtail(world, 9.0, 9.0, 9.0, 9.0)
        await world.pass_time(minutes=2)
        released = world.device.limit_percent
        states = world.states()

        assert states[-1] == "ignored"  # though it was given back to itself, and took that
        assert released is None
        assert "its meter shows 14 kW" in str(world.unit.not_planned(world.clock.now()))


async def test_pv_of_which_a_part_cannot_be_commanded_is_not_curtailed() -> None:
    async with a_roof(plain=("wall",)) as world:
        fleet = await world.fleet()

    assert not fleet.pv_curtailable
    assert fleet.warnings == ("PV is not curtailed: nobody can command wall",)
