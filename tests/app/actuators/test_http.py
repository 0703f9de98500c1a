"""Commands to a webhook on a real socket: signed, done once, and what it cannot do to us."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import httpx
import pytest

from app.actuators.actuator import ActuatorError, Command, RefusedError
from app.actuators.documents import HttpTarget
from app.actuators.http import HttpActuator
from app.clock import SystemClock
from tests.app.actuators.web_device import SECRET, WebDevice, on_the_web

CLOCK = SystemClock()


@pytest.fixture
async def device() -> AsyncIterator[WebDevice]:
    async with on_the_web(WebDevice()) as one:
        yield one


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as one:
        yield one


def an_actuator(
    device: WebDevice, client: httpx.AsyncClient, *, secret: str = SECRET, timeout_s: float = 2.0
) -> HttpActuator:
    target = HttpTarget(kind="http", url=device.url, secret="battery", timeout_s=timeout_s)
    return HttpActuator(target, client, CLOCK, secret, site_id="depot", device_id="battery/store", kind="battery")


def a_command(power_kw: float | None, command_id: str = "c1") -> Command:
    now = CLOCK.now()
    return Command(command_id, power_kw, now, now + timedelta(seconds=90))


async def test_a_command_says_what_to_do_and_until_when(device: WebDevice, client: httpx.AsyncClient) -> None:
    actuator = an_actuator(device, client)

    await actuator.command(a_command(-4.5))
    shown = await actuator.shown()

    [said] = device.commands
    assert (said["site_id"], said["device_id"], said["kind"]) == ("depot", "battery/store", "battery")
    assert (said["power_kw"], said["valid_s"]) == (-4.5, 90.0)
    assert said["valid_until"] > said["issued_at"]
    assert shown.setpoint_kw == -4.5
    assert shown.soc == 0.5


async def test_the_same_command_again_is_done_once(device: WebDevice, client: httpx.AsyncClient) -> None:
    actuator = an_actuator(device, client)

    await actuator.command(a_command(3.0))
    await actuator.command(a_command(3.0))

    assert device.posts == 2
    assert len(device.commands) == 1


async def test_nothing_is_taken_without_the_right_secret(device: WebDevice, client: httpx.AsyncClient) -> None:
    with pytest.raises(RefusedError, match="401"):
        await an_actuator(device, client, secret="another").command(a_command(3.0))

    assert device.commands == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [("409 Conflict", RefusedError), ("503 Service Unavailable", ActuatorError), ("302 Found", ActuatorError)],
)
async def test_4xx_is_a_refusal_and_everything_else_is_unknown(
    device: WebDevice, client: httpx.AsyncClient, status: str, kind: type[Exception]
) -> None:
    device.status = status

    with pytest.raises(ActuatorError) as said:
        await an_actuator(device, client).command(a_command(3.0))

    assert type(said.value) is kind


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<html>", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "no setpoint_kw"),
        ('{"setpoint_kw": "3"}', "setpoint_kw is no number"),
        ('{"setpoint_kw": true}', "setpoint_kw is no number"),
        ('{"setpoint_kw": NaN}', "setpoint_kw is nan"),
        ('{"setpoint_kw": 1, "soc": 55}', "soc is 55"),
        ('{"setpoint_kw": 1, "at": "noon"}', "at is no time"),
        ('{"setpoint_kw": 1, "at": "2026-06-02T12:00:00"}', "no time zone"),
        ('{"setpoint_kw": 1, "at": "2999-06-02T12:00:00Z"}', "in the future"),
        ("[" * 5_000, "no JSON"),
        ('{"setpoint_kw": ' + "1" * 70_000 + "}", "more than 65536 bytes"),
    ],
)
async def test_what_is_no_state_is_never_taken_for_one(
    device: WebDevice, client: httpx.AsyncClient, body: str, reason: str
) -> None:
    device.raw_state = body

    with pytest.raises(ActuatorError, match=reason):
        await an_actuator(device, client).shown()


async def test_no_reason_holds_the_address_or_the_secret(client: httpx.AsyncClient) -> None:
    async with on_the_web(WebDevice()) as gone:
        pass

    with pytest.raises(ActuatorError) as said:
        await an_actuator(gone, client).shown()

    assert "not reached" in str(said.value)
    assert gone.url not in str(said.value)
    assert SECRET not in str(said.value)


async def test_an_answer_that_drips_is_not_waited_for(client: httpx.AsyncClient) -> None:
    hung_up = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        hung_up.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    device = WebDevice(port=server.sockets[0].getsockname()[1])
    async with server, asyncio.timeout(20):
        with pytest.raises(ActuatorError, match="not reached: TimeoutError"):
            await an_actuator(device, client, timeout_s=0.5).shown()
        await hung_up.wait()
