"""Meters by MQTT, against a real broker on loopback: values as they come, retained ones never, and brokers that go."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.app.meters.meter_world import PATIENCE_S, Told, reading

TOPIC = "depot/grid"


MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")  # Debian's is no user's command


@asynccontextmanager
async def broker() -> AsyncIterator[int]:
    """Mosquitto without a password, on loopback; its port."""
    pytest.importorskip("aiomqtt", reason="the extra mqtt is not installed")
    if MOSQUITTO is None:
        pytest.skip("mosquitto, the broker of this test, is not installed: .ci/run does it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        settings.flush()
        running = await asyncio.create_subprocess_exec(
            MOSQUITTO, "-c", settings.name, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _listens(port)
            yield port
        finally:
            running.terminate()
            await running.wait()


async def _listens(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


async def say(port: int, payload: str | bytes, *, retain: bool = False) -> None:
    import aiomqtt

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.publish(TOPIC, payload, retain=retain)


async def heard(told: Told, port: int, payload: str | bytes) -> None:
    """Say it until it is heard: nobody knows when the meter's reader has subscribed."""
    async with asyncio.timeout(PATIENCE_S):
        while not told.measured and not told.meters.failing:
            await say(port, payload)
            await asyncio.sleep(0.1)


def a_source(port: int, **more: Any) -> dict[str, Any]:
    return {"kind": "mqtt", "host": "127.0.0.1", "port": port, "topic": TOPIC} | more


async def test_a_bare_number_is_a_power() -> None:
    async with broker() as port, reading(a_source(port)) as told:
        await heard(told, port, "11500")
        measured = await told.first()

    assert measured.power_kw == pytest.approx(11.5)


async def test_a_document_is_read_at_its_paths() -> None:
    values = {"power": "p", "power_unit": "kW", "current_l1": "i.0", "current_l2": "i.1", "current_l3": "i.2"}
    async with broker() as port, reading(a_source(port, values=values)) as told:
        await heard(told, port, '{"p": 4.5, "i": [5, 6, 7.5]}')
        measured = await told.first()

    assert measured.power_kw == 4.5
    assert measured.current_a == {"L1": 5.0, "L2": 6.0, "L3": 7.5}


async def test_what_is_no_value_is_never_taken_for_one() -> None:
    async with broker() as port, reading(a_source(port)) as told:
        await heard(told, port, b"\xff\xfe")
        said = await told.reason()

    assert "no JSON" in said
    assert told.measured == []


async def test_a_retained_message_is_not_now() -> None:
    async with broker() as port:
        await say(port, "99000", retain=True)
        async with reading(a_source(port)) as told:
            await heard(told, port, "11500")
            measured = await told.first()

    assert measured.power_kw == pytest.approx(11.5)


async def test_a_broker_that_is_not_there_is_named() -> None:
    async with broker() as port:
        pass
    async with reading(a_source(port)) as told:
        said = await told.reason()

    assert said.startswith("the broker is not there")
