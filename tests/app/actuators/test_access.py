"""Who may be commanded, where a state of charge comes from, and a webhook in the place of Modbus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.actuators.access import Access
from app.actuators.actuator import ActuatorError
from app.actuators.devices import Device, devices_of
from app.actuators.documents import HttpSoc, ModbusSoc
from app.clock import SystemClock
from app.meters.sources import RegisterValue
from app.settings import Settings
from app.site import Site
from tests.app.actuators.actuator_world import a_world, battery_document, site_document
from tests.app.actuators.sunspec_device import a_battery, served
from tests.app.actuators.web_device import SECRET, WebDevice, on_the_web


@asynccontextmanager
async def access(*hosts: str, **secrets: str) -> AsyncIterator[Access]:
    kept = {name: SecretStr(value) for name, value in secrets.items()}
    async with httpx.AsyncClient(trust_env=False) as client:
        yield Access(Settings(actuator_hosts=hosts, actuator_secrets=kept), client, SystemClock())


def a_device(target: dict[str, Any]) -> Device:
    [device] = devices_of(Site.model_validate(site_document(battery_document(1, actuator={"target": target}))))
    return device


WEBHOOK = {"kind": "http", "url": "https://ems.example/battery", "secret": "ems"}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (WEBHOOK, "SMARTCHARGE_ACTUATOR_HOSTS does not name ems.example"),
        (
            WEBHOOK | {"url": "http://10.0.0.7/b", "state_url": "http://169.254.169.254/latest"},
            "does not name 169.254.169.254",
        ),
        (WEBHOOK | {"url": "http://10.0.0.7/b"}, "there is no secret 'ems' in the settings"),
        (WEBHOOK | {"url": "http://[10.0.0.7/b"}, "its address is none"),
        ({"kind": "modbus", "host": "192.168.1.1"}, "does not name 192.168.1.1"),
        ({"kind": "mqtt", "host": "broker", "command_topic": "c", "state_topic": "s"}, "does not name broker"),
    ],
)
async def test_only_who_the_settings_name_is_commanded(target: dict[str, Any], said: str) -> None:
    async with access("10.0.0.0/8") as door:
        with pytest.raises(ActuatorError, match=said):
            door.actuator(a_device(target))


async def test_a_secret_may_be_a_mounted_file(tmp_path: Any) -> None:
    (tmp_path / "ems").write_text("from-a-file\n")
    settings = Settings(actuator_hosts=("ems.example",), actuator_secrets_dir=tmp_path)

    async with httpx.AsyncClient() as client:
        Access(settings, client, SystemClock()).actuator(a_device(WEBHOOK))  # does not raise


@pytest.mark.parametrize(
    ("body", "unit", "soc"), [("55.5", "percent", 0.555), ("0.25", "share", 0.25), ("0", "percent", 0.0)]
)
async def test_a_state_of_charge_is_read_over_http(body: str, unit: Any, soc: float) -> None:
    async with answering(f'{{"battery": {{"level": {body}}}}}') as url, access("127.0.0.1") as door:
        reader = door.soc_reader(HttpSoc(kind="http", url=url, path="battery.level", unit=unit))

        assert await reader.read() == pytest.approx(soc)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"battery": {"level": 140}}', "its state of charge is 140 %"),
        ('{"battery": {"level": -1}}', "its state of charge is -1 %"),
        ('{"battery": {"level": null}}', "is no number"),
        ("{}", "there is no 'battery.level'"),
    ],
)
async def test_what_is_no_state_of_charge_is_never_taken_for_one(body: str, said: str) -> None:
    async with answering(body) as url, access("127.0.0.1") as door:
        reader = door.soc_reader(HttpSoc(kind="http", url=url, path="battery.level"))
        with pytest.raises(ActuatorError, match=said):
            await reader.read()


async def test_a_state_of_charge_is_read_from_a_register() -> None:
    pytest.importorskip("pymodbus", reason="the extra modbus is not installed")
    device = a_battery()
    device.registers[-1] = 625
    async with served(device) as line, access("127.0.0.1") as door:
        place = RegisterValue(address=40_000 + len(device.registers) - 1, type="uint16", scale=0.1)
        reader = door.soc_reader(ModbusSoc(kind="modbus", host="127.0.0.1", port=line.port, register_percent=place))
        soc = await reader.read()
        await reader.close()

    assert soc == pytest.approx(0.625)


async def test_a_battery_behind_a_webhook_follows_the_plan_and_is_left_safe() -> None:
    async with on_the_web(WebDevice()) as web, a_world() as world:
        web.clock = world.clock
        world.settings.actuator_hosts = ("127.0.0.1",)
        world.settings.actuator_secrets = {"ems": SecretStr(SECRET)}
        target = {"kind": "http", "url": web.url, "secret": "ems"}
        await world.save(Site.model_validate(site_document(battery_document(1, actuator={"target": target}))))
        await world.pass_time(seconds=6)
        [battery] = (await world.fleet()).batteries
        await world.plan(4.0, -3.0)
        first_kw = web.state["setpoint_kw"]
        await world.pass_time(minutes=15)
        second_kw = web.state["setpoint_kw"]
        await world.end()

        assert battery.energy_kwh == pytest.approx(10.0)
        assert (first_kw, second_kw, web.state["setpoint_kw"]) == (4.0, -3.0, 0.0)
        assert all(said["valid_until"] > said["issued_at"] for said in web.commands)


@asynccontextmanager
async def answering(body: str) -> AsyncIterator[str]:
    """An HTTP server that says this to everybody; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/soc"


async def test_a_secret_that_cannot_be_read_is_no_reason_for_the_service_to_end(tmp_path: Any) -> None:
    (tmp_path / "ems").write_bytes(b"\xff\xfe")
    async with httpx.AsyncClient(trust_env=False) as client:
        door = Access(Settings(actuator_hosts=("ems.example",), actuator_secrets_dir=tmp_path), client, SystemClock())
        with pytest.raises(ActuatorError, match="the secret 'ems' cannot be read"):
            door.actuator(a_device(WEBHOOK))
