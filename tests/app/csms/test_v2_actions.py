"""Every action of 2.0.1 and 2.1, over a socket: what a station may send is answered, the rest is refused."""

from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from typing import Any

import pytest

from app.csms.gateway import DIALECTS, Gateway
from app.csms.ocpp_schemas import V21_ACTIONS, V201_ACTIONS, check_call, check_result
from app.csms.v2_version import V21, V201
from app.db.store import Store
from tests.app.csms.schema_messages import full, least
from tests.app.csms.stations import STATION, Station, a_gateway, connected
from tests.app.csms.v2_stations import VERSIONS

SEND = "NotifyPeriodicEventStream"
ACTIONS = {"2.0.1": V201_ACTIONS, "2.1": V21_ACTIONS}


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Gateway]:
    async with a_gateway(store) as running:
        yield running


def test_every_action_is_answered_or_sent_and_only_data_transfer_goes_both_ways() -> None:
    for version in (V201, V21):
        assert version.answered | version.sent == ACTIONS[version.number]
        assert version.answered & version.sent == {"DataTransfer"}


def test_both_versions_are_spoken() -> None:
    assert set(DIALECTS) >= {"ocpp2.0.1", "ocpp2.1"}


@pytest.mark.parametrize("subprotocol", VERSIONS)
async def test_whatever_a_station_may_send_gets_a_valid_answer(
    gateway: Gateway, store: Store, subprotocol: str
) -> None:
    version = VERSIONS[subprotocol]
    async with connected(gateway, subprotocols=(subprotocol,)) as station:
        for action in sorted(version.answered - {SEND}):
            await _is_answered(station, action, version.number)

        assert station.frames.empty()


async def _is_answered(station: Station, action: str, number: str) -> None:
    payload = least(number, action)
    await check_call(action, payload, number)

    answer = await station.call(action, payload)

    await check_result(action, answer, number)


@pytest.mark.parametrize("subprotocol", VERSIONS)
async def test_whatever_a_station_may_send_may_be_empty_and_still_is_answered(
    gateway: Gateway, subprotocol: str
) -> None:
    """With a valid result, or with an error that names what is missing; never with one of ours."""
    version = VERSIONS[subprotocol]
    async with connected(gateway, subprotocols=(subprotocol,)) as station:
        for action in sorted(version.answered - {SEND}):
            kind, _, said, *_ = await station.request(action, {})
            if kind == 3:
                await check_result(action, said, version.number)
            else:
                assert (kind, said) == (4, "OccurrenceConstraintViolation"), action

        assert gateway.connected() == {STATION}


@pytest.mark.parametrize("subprotocol", VERSIONS)
async def test_what_a_csms_asks_is_refused_and_what_nobody_knows_too(gateway: Gateway, subprotocol: str) -> None:
    version = VERSIONS[subprotocol]
    async with connected(gateway, subprotocols=(subprotocol,)) as station:
        for action in sorted(version.sent - {"DataTransfer"}):
            assert (await station.request(action, least(version.number, action)))[2] == "NotSupported", action
        for action in ("StartTransaction", "bootnotification", "Frobnicate"):
            assert (await station.request(action, {}))[2] == "NotImplemented", action


async def test_actions_of_2_1_are_unknown_to_2_0_1(gateway: Gateway) -> None:
    async with connected(gateway, subprotocols=("ocpp2.0.1",)) as station:
        for action in sorted(V21.answered - V201.answered - {SEND}):
            assert (await station.request(action, least("2.1", action)))[2] == "NotImplemented", action


WRONG: tuple[Any, ...] = (None, "", "\x00 1,5", -1, 1e300, True, [], {}, [[{}]])
MAY_SAY = {"OccurrenceConstraintViolation", "FormatViolation"}


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    """The way to each field of a message."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (step,)
        yield from ((step, *rest) for rest in _paths(inner))


def _with(message: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = deepcopy(message)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize("subprotocol", VERSIONS)
async def test_a_field_that_is_wrong_costs_a_station_no_answer(gateway: Gateway, subprotocol: str) -> None:
    """Each field in turn is something else than it should be; nothing is answered with an error of ours."""
    version = VERSIONS[subprotocol]
    tried = 0
    async with connected(gateway, subprotocols=(subprotocol,)) as station:
        for action in sorted(version.answered - {SEND}):
            message = full(version.number, action, depth=3)
            for position, path in enumerate(_paths(message)):
                wrong = WRONG[(position + len(action)) % len(WRONG)]
                tried += 1
                await _survives(station, version.number, action, _with(message, path, wrong))

        assert station.frames.empty()
    assert tried > 250


async def _survives(station: Station, number: str, action: str, payload: dict[str, Any]) -> None:
    kind, _, said, *_ = await station.request(action, payload)
    if kind == 3:
        await check_result(action, said, number)
    else:
        assert kind == 4, (action, payload)
        assert said in MAY_SAY, (action, payload)
