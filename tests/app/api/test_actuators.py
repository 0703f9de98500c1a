"""`/v1/sites/{id}/actuators`, asked of the application while a battery is commanded over a real socket."""

from dataclasses import replace

import httpx
import pytest

from app.metrics import Metrics
from tests.app.actuators.actuator_world import a_world
from tests.app.api.builders import an_api
from tests.fakes_connector import FakeConnector

pytest.importorskip("pymodbus", reason="the extra modbus is not installed")


async def test_says_what_a_battery_was_told_what_it_holds_and_why() -> None:
    async with a_world() as world, an_api() as api:
        await api.store.save_site(world.site)
        api.app.state.services = replace(api.app.state.services, actuators=world.actuators, clock=world.clock)
        await world.plan(-4.0, -4.0)
        for row in await world.commands():
            await api.store.add_actuator_command(row)

        [found] = (await api.client.get("/v1/sites/depot/actuators")).json()
        commands = (await api.client.get("/v1/sites/depot/actuators/commands")).json()

    assert (found["id"], found["kind"], found["state"], found["planned"]) == (
        "battery/store",
        "battery",
        "verified",
        True,
    )
    assert found["wanted_kw"] == -4.0
    assert found["reason"] == "planned"
    assert found["read_back"]["setpoint_kw"] == pytest.approx(-4.0)
    assert found["read_back"]["soc"] == pytest.approx(0.5)
    assert found["last_command"]["plan_id"] == "plan-1"
    assert found["last_command"]["valid_until"] > found["last_command"]["at"]
    assert commands["battery/store"][0] == found["last_command"]


async def test_a_site_without_any_has_none_and_an_unknown_site_is_404() -> None:
    async with an_api() as api:
        none = await api.client.get("/v1/sites/depot/actuators")
        unknown = await api.client.get("/v1/sites/nowhere/actuators")

    assert (none.status_code, none.json()) == (httpx.codes.OK, [])
    assert unknown.status_code == httpx.codes.NOT_FOUND


async def test_metrics_count_devices_by_kind_and_state() -> None:
    async with a_world() as world:
        metrics = Metrics(world.events, FakeConnector(world.clock), units=world.actuators.all_units)
        await world.plan(1.0, 1.0)
        text = (await metrics.text()).decode()

    assert 'smartcharge_actuators{kind="battery",state="verified"} 1.0' in text
    assert 'smartcharge_actuators{kind="pv",state="verified"} 0.0' in text
