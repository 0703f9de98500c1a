"""Malformed, oversized and contradictory frames, at least 200 a version: each is answered as OCPP asks, and the
connection serves a Heartbeat afterwards. Only a frame that is too large closes it, with 1009."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from app.csms.connector import OcppVersion
from app.csms.gateway import Gateway
from app.csms.ocpp_schemas import SchemaError, check_call, check_result
from app.db.store import Store
from tests.app.csms.negative_frames import (
    SUBPROTOCOLS,
    VERSIONS,
    Case,
    cases,
    no_actions,
    no_answers,
    no_frames,
    no_json,
    no_payloads,
)
from tests.app.csms.stations import STATION, a_gateway, dial

AT_ONCE = 25  # malformed frames a connection: thirty in a minute are an attack, and end it

Table = Callable[[OcppVersion], Iterator[Case]]
_NUMBERS = count(1)


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Gateway]:
    async with a_gateway(store, ocpp_connects_a_minute=1000) as running:
        yield running


@pytest.mark.parametrize("version", VERSIONS)
def test_there_are_at_least_200_of_them_each_unlike_the_others(version: OcppVersion) -> None:
    found = cases(version)

    assert len(found) >= 200
    assert len({case.raw for case in found}) >= 0.95 * len(found)
    assert len({case.name for case in found}) == len(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("table", [no_json, no_frames, no_answers, no_actions, no_payloads])
async def test_it_is_answered_as_ocpp_asks_and_a_heartbeat_after_it_too(
    gateway: Gateway, version: OcppVersion, table: Table
) -> None:
    listed = list(table(version))
    for first in range(0, len(listed), AT_ONCE):
        async with dial(gateway, subprotocols=(SUBPROTOCOLS[version],)) as connection:
            for case in listed[first : first + AT_ONCE]:
                await connection.send(case.raw, text=True)
                await _is_answered(connection, case, version)


async def _is_answered(connection: ClientConnection, case: Case, version: str) -> None:
    heartbeat = f"heartbeat-{next(_NUMBERS)}"
    await connection.send(json.dumps([2, heartbeat, "Heartbeat", {}]))
    if case.answer != "nothing":
        await _check_answer(await _next_frame(connection, case.name), case, version)
    after = await _next_frame(connection, case.name)
    assert after[:2] == [3, heartbeat], f"{case.name}: then came {after}"
    assert "currentTime" in after[2]


async def _check_answer(frame: list[Any], case: Case, version: str) -> None:
    kind, message_id, said, *_ = frame
    assert message_id == case.message_id, f"{case.name}: {frame}"
    if case.answer == "answered" and kind == 3:
        await check_result(case.action, said, version)
        return
    assert kind == (5 if case.answer == "result_error" else 4), f"{case.name}: {frame}"
    assert said in case.codes, f"{case.name}: {frame}"
    assert len(frame) == 5
    assert frame[4] == {}


async def _next_frame(connection: ClientConnection, name: str) -> list[Any]:
    try:
        async with asyncio.timeout(10):
            frame = json.loads(await connection.recv())
    except Exception as error:
        raise AssertionError(f"{name}: no answer, but {error!r}") from error
    assert isinstance(frame, list)
    return frame


@pytest.mark.parametrize("version", VERSIONS)
async def test_whatever_is_forgiven_is_counted(gateway: Gateway, version: OcppVersion) -> None:
    """Of a Heartbeat nothing is looked at, and so nothing forgiven."""
    found = [case for case in no_payloads(version) if case.action != "Heartbeat"]
    async with dial(gateway, subprotocols=(SUBPROTOCOLS[version],)) as connection:
        for case in [case for case in found if not await _fits_its_schema(case, version)]:
            before = gateway.violations(STATION)

            await connection.send(case.raw, text=True)
            await _is_answered(connection, case, version)

            assert gateway.violations(STATION) > before, case.name


async def _fits_its_schema(case: Case, version: OcppVersion) -> bool:
    try:
        await check_call(case.action, json.loads(case.raw)[3], version)
    except SchemaError:
        return False
    return True


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_only_unusual_is_a_call_like_any_other(gateway: Gateway, version: OcppVersion) -> None:
    """A byte order mark, spaces, a binary frame, fragments, elements too many, the same id again."""
    heartbeat = b'[2,"id","Heartbeat",{}]'
    async with dial(gateway, subprotocols=(SUBPROTOCOLS[version],)) as connection:

        async def is_answered() -> None:
            assert (await _next_frame(connection, "unusual"))[:2] == [3, "id"]

        for raw in (
            heartbeat,
            heartbeat,
            b"\xef\xbb\xbf" + heartbeat,
            b" \r\n\t" + heartbeat + b"\n",
            b'[2,"id","Heartbeat",{},null,{"x":1}]',
            b'[2,"id","Heartbeat",{"noSuchField":18446744073709551615}]',
            b'[2,"id","Heartbeat",{"x":"\\u0000","x":1}]',
            b'[2,"\\u0069d","Heartbeat",{}]',
        ):
            await connection.send(raw, text=True)
            await is_answered()
        await connection.send(heartbeat)  # bytes: a binary frame
        await is_answered()
        await connection.send(iter([b'[2,"id",', b'"Heartbeat"', b",{}]"]), text=True)
        await is_answered()
        await connection.ping(b"x" * 125)
        await connection.send(heartbeat, text=True)
        await is_answered()


@pytest.mark.parametrize(("version", "largest"), [("1.6", 64 * 1024), ("2.0.1", 1024 * 1024), ("2.1", 1024 * 1024)])
async def test_a_frame_that_is_too_large_closes_the_connection_with_1009_and_the_next_is_served(
    gateway: Gateway, version: OcppVersion, largest: int
) -> None:
    frame = '[2,"id","Heartbeat",{"x":"%s"}]'
    fitting = frame % ("x" * (largest - len(frame) + 2))
    for too_large in (frame % ("x" * largest), "x" * (largest + 1), "[" * (2 * largest)):
        async with dial(gateway, subprotocols=(SUBPROTOCOLS[version],)) as connection:
            await connection.send(fitting)
            assert (await _next_frame(connection, "the largest"))[:2] == [3, "id"]

            await connection.send(too_large)
            async with asyncio.timeout(10):
                await connection.wait_closed()

            assert connection.close_code == 1009
