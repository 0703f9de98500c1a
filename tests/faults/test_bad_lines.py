"""A bad line between the stations and the service: two cars come, a fuse holds, and everything ends settled."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from app.demo.chaos_proxy import ChaosProxy
from tests.e2e.builders import as_held, held_as_json, until
from tests.faults.depot import FUSE_A, Depot, a_depot

IMPATIENT = {"SMARTCHARGE_CALL_TIMEOUT_S": "1", "SMARTCHARGE_RECONCILE_S": "0.5", "SMARTCHARGE_PING_INTERVAL_S": "1"}
MEETING_SECOND = 2.0  # cars that swap currents within one second of a trace: both seconds count with both


def delayed(line: ChaosProxy) -> None:
    line.delay_s = 0.05


def dripping(line: ChaosProxy) -> None:
    line.drip_s = 0.001


def reordered(line: ChaosProxy) -> None:
    line.reorders = True
    line.cut()  # how a line orders its frames is decided when it opens


async def ends_in_the_safe_state(depot: Depot) -> None:
    plan = await depot.planned("cs01", "cs02")

    for row in plan["deliveries"]:
        held = [one for one in depot.stations[row["charging_station_id"]].profiles if one.purpose == "TxProfile"]
        assert [held_as_json(one)["periods"] for one in held] == [as_held(row["profile"], 1)["periods"]]
    rows = await depot.get("/v1/transactions?running=true")
    assert sorted(row["charging_station_id"] for row in rows) == ["cs01", "cs02"]
    assert depot.worst_a() <= FUSE_A + MEETING_SECOND


@pytest.mark.parametrize("bad", [delayed, dripping, reordered])
async def test_on_a_line_that_is_slow_or_out_of_order(bad: Callable[[ChaosProxy], None], tmp_path: Path) -> None:
    async with a_depot(tmp_path, proxy=True, SMARTCHARGE_RECONCILE_S="0.5") as depot:
        bad(depot.line)
        await depot.arrive("cs01")
        await depot.arrive("cs02", wants_kwh=25.0, hours=3.0)

        await ends_in_the_safe_state(depot)


@pytest.mark.chaos  # half a minute each, most of it waiting
async def test_on_a_line_that_is_cut_again_and_again(tmp_path: Path) -> None:
    async with a_depot(tmp_path, proxy=True, **IMPATIENT) as depot:

        async def cut() -> None:
            for _ in range(8):
                await asyncio.sleep(0.3)
                depot.line.cut()

        cutting = asyncio.create_task(cut())
        await depot.arrive("cs01")
        await depot.arrive("cs02", wants_kwh=25.0, hours=3.0)
        await cutting

        await ends_in_the_safe_state(depot)


@pytest.mark.chaos  # half a minute each, most of it waiting
async def test_on_a_line_that_is_half_open_for_longer_than_anybody_waits(tmp_path: Path) -> None:
    async with a_depot(tmp_path, proxy=True, **IMPATIENT) as depot:
        await depot.arrive("cs01")
        await depot.planned("cs01")
        depot.line.is_half_open = True
        plugging = asyncio.create_task(depot.arrive("cs02", wants_kwh=25.0, hours=3.0))
        await asyncio.sleep(2.5)
        during_a = depot.worst_a()

        depot.line.cut()  # as a router does when it comes back and knows nobody
        depot.line.is_half_open = False
        await plugging

        await ends_in_the_safe_state(depot)
        assert during_a <= FUSE_A


async def test_a_reordering_line_lets_frames_overtake_each_other_and_loses_none() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"".join(bytes([0x81, 2]) + b"%02d" % number for number in range(40)))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, ChaosProxy.to(port=server.sockets[0].getsockname()[1]) as line:
        line.reorders = True
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        frames = [(await reader.readexactly(4))[2:] for _ in range(40)]
        writer.close()

    assert frames != sorted(frames)
    assert sorted(frames) == [b"%02d" % number for number in range(40)]
    assert line.overtaken > 5


async def test_a_dripping_line_brings_everything_a_few_bytes_at_a_time() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(50))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, ChaosProxy.to(port=server.sockets[0].getsockname()[1]) as line:
        line.drip_s = 0.0001
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(b"x" * 50)
        first = await reader.read(100)
        rest = await reader.readexactly(50 - len(first))
        writer.close()

    assert 0 < len(first) < 50
    assert first + rest == b"x" * 50


async def test_a_line_without_a_far_end_is_a_closed_connection() -> None:
    async with ChaosProxy.to(port=1) as line:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)

        async def ended() -> bool:
            try:
                return await reader.read() == b""
            except ConnectionResetError:
                return True

        assert await until(ended)
        writer.close()
