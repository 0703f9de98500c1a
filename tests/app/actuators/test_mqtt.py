"""Commands over MQTT, against a real broker on loopback: QoS 1, never retained, read back on the state's topic."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from app.actuators.actuator import ActuatorError, Command
from app.actuators.documents import MqttTarget
from app.actuators.mqtt import MqttActuator
from app.clock import SystemClock
from tests.app.meters.test_mqtt import broker

CLOCK = SystemClock()
COMMANDS, STATE = "depot/battery/set", "depot/battery/state"


@dataclass
class MqttDevice:
    """Takes commands and publishes its state after each."""

    port: int
    state: dict[str, Any] = field(default_factory=lambda: {"setpoint_kw": None, "soc": 0.4})
    heard: list[Any] = field(default_factory=list)
    is_mute: bool = False

    async def run(self, ready: asyncio.Event) -> None:
        import aiomqtt

        async with aiomqtt.Client("127.0.0.1", self.port) as client:
            await client.subscribe(COMMANDS, qos=1)
            ready.set()
            async for message in client.messages:
                self.heard.append((json.loads(bytes(message.payload)), message.qos, message.retain))
                self.state["setpoint_kw"] = self.heard[-1][0]["power_kw"]
                if not self.is_mute:
                    await client.publish(STATE, json.dumps(self.state), qos=1)


@asynccontextmanager
async def a_device(port: int) -> AsyncIterator[MqttDevice]:
    device, ready = MqttDevice(port), asyncio.Event()
    running = asyncio.create_task(device.run(ready))
    await asyncio.wait_for(ready.wait(), 20)
    try:
        yield device
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def an_actuator(port: int, *, timeout_s: float = 10.0) -> MqttActuator:
    target = MqttTarget(
        kind="mqtt", host="127.0.0.1", port=port, command_topic=COMMANDS, state_topic=STATE, timeout_s=timeout_s
    )
    return MqttActuator(target, CLOCK, None, site_id="depot", device_id="battery/store", kind="battery")


def a_command(power_kw: float | None) -> Command:
    now = CLOCK.now()
    return Command("c1", power_kw, now, now + timedelta(seconds=90))


async def publish(port: int, document: object, *, retain: bool = False) -> None:
    import aiomqtt

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.publish(STATE, json.dumps(document), qos=1, retain=retain)


async def test_a_command_is_published_once_with_qos_1_and_read_back() -> None:
    async with broker() as port, a_device(port) as device:
        actuator = an_actuator(port)
        await actuator.command(a_command(-2.5))
        shown = await actuator.shown()
        await actuator.close()

    [(said, qos, retained)] = device.heard
    assert (said["power_kw"], said["valid_s"], said["device_id"]) == (-2.5, 90.0, "battery/store")
    assert (qos, retained) == (1, False)
    assert shown.setpoint_kw == -2.5
    assert shown.soc == 0.4


async def test_a_device_that_says_nothing_after_a_command_is_unknown() -> None:
    async with broker() as port, a_device(port) as device:
        device.is_mute = True
        actuator = an_actuator(port, timeout_s=0.5)
        await actuator.command(a_command(1.0))
        with pytest.raises(ActuatorError, match="has not told its state"):
            await actuator.shown()
        await actuator.close()

    assert len(device.heard) == 1


async def test_a_retained_state_counts_only_with_a_time_of_its_own() -> None:
    async with broker() as port:
        await publish(port, {"setpoint_kw": 9.0}, retain=True)
        timeless = an_actuator(port, timeout_s=0.5)
        with pytest.raises(ActuatorError, match="has not told its state"):
            await timeless.shown()
        await timeless.close()
        await publish(port, {"setpoint_kw": 3.0, "at": CLOCK.now().isoformat()}, retain=True)
        dated = an_actuator(port)
        shown = await dated.shown()
        await dated.close()

    assert shown.setpoint_kw == 3.0


async def test_a_broker_that_is_not_there_is_named() -> None:
    async with broker() as port:
        pass
    actuator = an_actuator(port)

    with pytest.raises(ActuatorError, match="the broker is not there"):
        await actuator.shown()


async def test_a_host_that_is_no_name_is_an_error_and_nobody_waits_for_ever() -> None:
    target = MqttTarget(kind="mqtt", host="a" * 70, command_topic=COMMANDS, state_topic=STATE, timeout_s=1)
    actuator = MqttActuator(target, CLOCK, None, site_id="depot", device_id="battery/store", kind="battery")

    async with asyncio.timeout(20):
        for _ in range(2):
            with pytest.raises(ActuatorError, match="the broker is not there"):
                await actuator.shown()
        await actuator.close()


async def test_who_gives_up_waiting_for_a_broker_leaves_it_to_the_next() -> None:
    async with broker() as port, a_device(port):
        actuator = an_actuator(port)
        impatient = asyncio.create_task(actuator.shown())
        await asyncio.sleep(0)
        impatient.cancel()
        with suppress(asyncio.CancelledError):
            await impatient
        await actuator.command(a_command(2.0))
        shown = await actuator.shown()
        await actuator.close()

    assert shown.setpoint_kw == 2.0
