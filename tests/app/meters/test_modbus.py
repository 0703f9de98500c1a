"""Meters on Modbus TCP, against pymodbus' own server: SunSpec, registers by hand, and devices that fail."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.meters.shown import MeterError
from app.meters.sunspec import END, MARKER, POINTS, shown_by
from tests.app.meters.meter_world import reading

NOT_THERE = 0x8000


def points(power: int, exponent: int, currents: Sequence[int], current_exponent: int = -1) -> list[int]:
    """The first registers of a model 203."""
    registers = [NOT_THERE] * POINTS
    registers[:4] = [sum(currents) & 0xFFFF, *(one & 0xFFFF for one in currents)]
    registers[4] = current_exponent & 0xFFFF
    registers[16], registers[20] = power & 0xFFFF, exponent & 0xFFFF
    return registers


def device(*models: tuple[int, Sequence[int]]) -> list[int]:
    """The marker, the models, the end."""
    registers = list(MARKER)
    for model, content in models:
        registers += [model, len(content), *content]
    return [*registers, END, 0]


@asynccontextmanager
async def served(registers: Sequence[int], *, at: int = 40_000) -> AsyncIterator[int]:
    """A device of pymodbus with these holding registers; its port."""
    pytest.importorskip("pymodbus", reason="the extra modbus is not installed")
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    data = SimData(at, values=list(registers), datatype=DataType.REGISTERS)
    server: Any = ModbusTcpServer(SimDevice(1, simdata=data), address=("127.0.0.1", 0))
    task = asyncio.create_task(server.serve_forever())
    while server.transport is None:  # noqa: ASYNC110 -- the server says in no other way that it listens
        await asyncio.sleep(0.01)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def a_source(port: int, **more: Any) -> dict[str, Any]:
    return {"kind": "modbus", "host": "127.0.0.1", "port": port, "timeout_s": 1.0} | more


async def test_finds_the_meter_among_the_models_of_a_sunspec_device() -> None:
    registers = device((1, [0] * 66), (103, [0] * 50), (203, points(1234, 1, (101, -52, 30))))
    async with served(registers) as port, reading(a_source(port)) as told:
        measured = await told.first()

    assert measured.power_kw == pytest.approx(12.34)
    assert measured.current_a == pytest.approx({"L1": 10.1, "L2": 5.2, "L3": 3.0})


async def test_a_device_without_a_meter_says_so() -> None:
    async with served(device((1, [0] * 66), (103, [0] * 50))) as port, reading(a_source(port)) as told:
        said = await told.reason()

    assert said == "it has no SunSpec meter among its models"


async def test_a_device_without_sunspec_says_so() -> None:
    async with served([1, 2, 3], at=100) as port, reading(a_source(port)) as told:
        said = await told.reason()

    assert said == "it speaks no SunSpec: name its registers"


async def test_reads_registers_by_hand_in_either_word_order() -> None:
    power = struct.unpack(">HH", struct.pack(">f", -4321.5))
    low_first = tuple(reversed(struct.unpack(">HH", struct.pack(">i", 12_345))))
    source = {
        "power_w": {"address": 200, "type": "float32"},
        "current_l1_a": {"address": 202, "type": "int32", "word_order": "little", "scale": 0.001},
    }
    async with served([*power, *low_first], at=200) as port, reading(a_source(port, **source)) as told:
        measured = await told.first()

    assert measured.power_kw == pytest.approx(-4.3215)
    assert measured.current_a == pytest.approx({"L1": 12.345})


async def test_registers_that_are_not_there_are_named() -> None:
    source = {"power_w": {"address": 500, "type": "int32"}}
    async with served([1, 2], at=200) as port, reading(a_source(port, **source)) as told:
        said = await told.reason()

    assert said == "it does not tell registers 500 to 501"


async def test_a_device_that_is_not_there_is_tried_again() -> None:
    registers = device((203, points(50, 2, (1, 1, 1))))
    async with served(registers) as port:
        pass
    async with reading(a_source(port)) as told:
        pytest.importorskip("pymodbus", reason="the extra modbus is not installed")
        said = await told.reason()

    assert said == "it was not reached"


def test_a_current_that_the_meter_does_not_have_is_absent() -> None:
    shown = shown_by(points(230, 0, (10, NOT_THERE, NOT_THERE)))

    assert shown.power_kw == pytest.approx(0.23)
    assert shown.current_a == pytest.approx({"L1": 1.0})


def test_a_meter_without_power_is_no_meter() -> None:
    with pytest.raises(MeterError, match="no total power"):
        shown_by(points(NOT_THERE, 0, (1, 1, 1)))


def test_export_may_be_counted_as_positive() -> None:
    assert shown_by(points(-70, 2, (1, 1, 1)), invert=True).power_kw == pytest.approx(7.0)
