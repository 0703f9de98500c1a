"""What differs between the versions on the wire, over real sockets. The words are 1.6's here; the frames are not."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from app.csms import gateway as module
from app.csms.gateway import Gateway
from app.csms.v16 import V16
from app.csms.wire import WIRE_21, WIRE_201
from app.db.store import Store
from tests.app.csms.stations import STATION, Station, a_gateway, connected, eventually


@pytest.fixture
async def gateway(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setitem(module.DIALECTS, "ocpp2.1", (WIRE_21, V16))
    monkeypatch.setitem(module.DIALECTS, "ocpp2.0.1", (WIRE_201, V16))
    async with a_gateway(store) as running:
        yield running


@pytest.fixture
async def station(gateway: Gateway) -> AsyncIterator[Station]:
    async with connected(gateway, subprotocols=("ocpp2.1", "ocpp1.6")) as opened:
        yield opened


async def still_answers(station: Station) -> bool:
    return "currentTime" in await station.call("Heartbeat", {})


async def test_the_stations_first_choice_is_spoken(gateway: Gateway, station: Station) -> None:
    assert station.connection.subprotocol == "ocpp2.1"
    assert gateway.version(STATION) == "2.1"


async def test_a_send_is_handled_and_never_answered(gateway: Gateway, station: Station) -> None:
    with capture_logs() as logs:
        await station.send([6, "s1", "NotifyPeriodicEventStream", {}])
        await station.send([6, "s2", "NotifyPeriodicEventStream"])
        assert await still_answers(station)

    assert station.frames.empty()
    assert "refused: NotImplemented: the action is unknown" in {entry.get("violation") for entry in logs}


async def test_a_result_that_is_no_good_is_said_so(station: Station) -> None:
    await station.send([3, "no-payload"])

    assert (await station.next_frame())[:3] == [5, "no-payload", "FormatViolation"]
    assert await still_answers(station)


async def test_a_complaint_about_a_result_of_ours_is_noted(gateway: Gateway, station: Station) -> None:
    await station.send([5, "x", "FormatViolation", "no", {}])

    assert await still_answers(station)
    assert gateway.violations(STATION) == 1


async def test_what_is_no_frame_is_a_framework_error_with_the_id_minus_one(station: Station) -> None:
    for nonsense in ("hello", "{}", '[2,7,"Heartbeat",{}]'):
        await station.send(nonsense)
        assert (await station.next_frame())[:3] == [4, "-1", "RpcFrameworkError"]
    assert await still_answers(station)


async def test_a_report_of_2_x_may_be_larger_than_any_message_of_1_6(gateway: Gateway) -> None:
    large = '[2,"1","DataTransfer",{"vendorId":"' + "x" * 70_000 + '"}]'

    async with connected(gateway, subprotocols=("ocpp2.0.1",)) as station:
        await station.send(large)
        assert (await station.next_frame())[0] == 3
        await station.send('[2,"1","DataTransfer",{"vendorId":"' + "x" * WIRE_201.max_frame_bytes + '"}]')
        await station.connection.wait_closed()
        assert station.connection.close_code == 1009
    await eventually(lambda: not gateway.connected())
