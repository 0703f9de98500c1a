"""Calls that are well formed and make no sense where they come: out of order, twice, or against each other.

A station repeats what is not acknowledged, so each is; what is stored of it is what can be true.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.csms.gateway import Gateway
from app.csms.ocpp_schemas import SchemaError, check_call, check_result
from app.csms.timestamps import iso_utc
from app.db.store import Store
from tests.app.csms.negative_frames import WRONG_PAYLOAD
from tests.app.csms.stations import STATION, Json, Station, a_gateway, connected, eventually
from tests.app.csms.v2_stations import TOKEN, VERSIONS, a_boot, a_start, ago, an_event, metered, sampled


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Gateway]:
    async with a_gateway(store) as running:
        yield running


def start(connector: Any = 1, **changes: Any) -> tuple[str, Json]:
    payload: Json = {"connectorId": connector, "idTag": "TAG", "meterStart": 0, "timestamp": iso_utc(ago())}
    return "StartTransaction", payload | changes


def stop(transaction: Any, **changes: Any) -> tuple[str, Json]:
    return "StopTransaction", {"transactionId": transaction, "meterStop": 10, "timestamp": iso_utc(ago())} | changes


def meter(**changes: Any) -> tuple[str, Json]:
    values = [{"timestamp": iso_utc(ago()), "sampledValue": [{"value": "1"}]}]
    return "MeterValues", {"connectorId": 1, "meterValue": values} | changes


def status(**changes: Any) -> tuple[str, Json]:
    return "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Charging"} | changes


BOOT = ("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
STRANGE_TIMES = ("1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "")

IN_1_6: list[tuple[str, Json]] = [
    meter(),  # before any BootNotification
    stop(4711),
    stop(0),
    stop(-1),
    stop(2**31),
    stop("4711"),
    start(),
    start(),  # again, or a second one where one runs
    start(meterStart=5),
    start(0),
    start(99),
    start(-1),
    start(meterStart=2**31),
    *[start(2, timestamp=time) for time in STRANGE_TIMES],
    status(status="Available"),  # while a transaction runs
    status(connectorId=99),
    *[status(timestamp=time) for time in STRANGE_TIMES],
    meter(transactionId=4711),
    meter(connectorId=99),
    meter(meterValue=[{"timestamp": time, "sampledValue": [{"value": "1"}]} for time in STRANGE_TIMES]),
    BOOT,  # in the middle of a transaction
    BOOT,
    ("FirmwareStatusNotification", {"status": "Installed"}),  # of an update that nobody asked for
    ("DiagnosticsStatusNotification", {"status": "Uploaded"}),
    ("LogStatusNotification", {"status": "Uploaded", "requestId": 99}),
    ("SignedFirmwareStatusNotification", {"status": "Installed", "requestId": 99}),
    ("SignCertificate", {"csr": "no certificate request"}),
]


async def _is_acknowledged(station: Station, action: str, payload: Json, version: str) -> None:
    """With a valid result; where the payload itself is none of the version's, an error that says so will do."""
    kind, _, said, *_ = await station.request(action, payload)
    if kind == 3:
        await check_result(action, said, version)
        return
    with pytest.raises(SchemaError):
        await check_call(action, payload, version)
    assert said in WRONG_PAYLOAD[version], (action, payload)


async def test_whatever_comes_out_of_order_in_1_6_is_acknowledged(gateway: Gateway) -> None:
    async with connected(gateway) as station:
        for action, payload in IN_1_6:
            await _is_acknowledged(station, action, payload, "1.6")
            assert "currentTime" in await station.call("Heartbeat", {})


async def test_a_transaction_of_1_6_that_is_stopped_twice_keeps_its_first_end(gateway: Gateway, store: Store) -> None:
    async with connected(gateway) as station:
        begun = await station.call(*start(timestamp=iso_utc(ago(hours=1))))
        number = begun["transactionId"]
        await station.call(*stop(number, meterStop=1000))

        await station.call(*stop(number, meterStop=5))
        await station.call(*meter(transactionId=number))

    assert (await store.transaction(number)).meter_stop_wh == 1000


async def test_a_start_that_is_repeated_is_the_same_transaction(gateway: Gateway, store: Store) -> None:
    action, payload = start()
    async with connected(gateway) as station:
        answers = [await station.call(action, payload) for _ in range(3)]

    assert len({answer["transactionId"] for answer in answers}) == 1
    assert len(await store.transactions(station_id=STATION)) == 1


def reports(action: str, **fields: Any) -> list[tuple[str, Json]]:
    """Parts of a report that nobody asked for, in the wrong order, one twice, and none the last."""
    return [
        (action, {"requestId": 99, "generatedAt": iso_utc(ago()), "seqNo": n, "tbc": True} | fields) for n in _ORDER
    ]


_ORDER = (5, 2, 2, -1, 2**31 - 1)

IN_2_X: list[tuple[str, Json]] = [
    ("TransactionEvent", an_event("Updated", 3, register_wh=900)),  # before its beginning
    ("TransactionEvent", an_event("Ended", 7, register_wh=1200)),
    ("TransactionEvent", a_start()),
    ("TransactionEvent", a_start()),  # twice
    ("TransactionEvent", a_start(1)),  # twice, and said differently
    ("TransactionEvent", an_event("Updated", 2, register_wh=950)),
    ("TransactionEvent", an_event("Updated", 2, register_wh=100)),  # the same number, with a register gone back
    ("TransactionEvent", an_event("Updated", 2**31 - 1)),
    ("TransactionEvent", an_event("Updated", 4, evse={"id": 2, "connectorId": 1})),  # it has moved
    ("TransactionEvent", an_event("Updated", 5, evse={"id": 99})),
    ("TransactionEvent", an_event("Ended", 8)),  # ended twice
    ("TransactionEvent", an_event("Updated", 9)),  # after its end
    ("TransactionEvent", a_start(10)),  # begun anew
    ("TransactionEvent", an_event("Ended", 0, transaction="never-begun")),
    ("TransactionEvent", an_event("Ended", 0, transaction="never-begun", offline=True)),
    ("TransactionEvent", a_start(0, transaction="second")),
    ("TransactionEvent", a_start(0, transaction="third")),  # two at one EVSE
    *[("TransactionEvent", a_start(0, transaction=f"at {time}") | {"timestamp": time}) for time in STRANGE_TIMES],
    ("TransactionEvent", a_start(0, transaction="x" * 36)),
    ("TransactionEvent", a_start(0, transaction="reserved", reservationId=4711)),
    ("MeterValues", {"evseId": 99, "meterValue": metered(sampled(1.0))}),
    ("MeterValues", {"evseId": 0, "meterValue": metered(sampled(1.0))}),
    (
        "StatusNotification",
        {"evseId": 99, "connectorId": 9, "connectorStatus": "Occupied", "timestamp": iso_utc(ago())},
    ),
    ("BootNotification", a_boot()),
    ("BootNotification", a_boot(reason="Watchdog")),
    *reports("NotifyReport"),
    *reports("NotifyMonitoringReport"),
    *reports("NotifyEvent", eventData=[]),
    ("ReportChargingProfiles", {"requestId": 99, "chargingLimitSource": "CSO", "evseId": 1, "chargingProfile": []}),
    ("ClearedChargingLimit", {"chargingLimitSource": "EMS", "evseId": 1}),  # which was never set
    ("NotifyEVChargingNeeds", {"evseId": 2, "chargingNeeds": {"requestedEnergyTransfer": "AC_three_phase"}}),
    ("NotifyEVChargingSchedule", {"timeBase": iso_utc(ago()), "evseId": 99, "chargingSchedule": {}}),
    ("ReservationStatusUpdate", {"reservationId": 4711, "reservationUpdateStatus": "Expired"}),
    ("FirmwareStatusNotification", {"status": "Installed", "requestId": 99}),
    ("LogStatusNotification", {"status": "Uploaded", "requestId": 99}),
    ("Authorize", {"idToken": TOKEN | {"type": "NoType"}}),
]


@pytest.mark.parametrize("subprotocol", VERSIONS)
async def test_whatever_comes_out_of_order_in_2_x_is_acknowledged(gateway: Gateway, subprotocol: str) -> None:
    number = VERSIONS[subprotocol].number
    async with connected(gateway, subprotocols=(subprotocol,)) as station:
        for action, payload in IN_2_X:
            await _is_acknowledged(station, action, payload, number)
            assert "currentTime" in await station.call("Heartbeat", {})


@pytest.mark.parametrize("subprotocol", VERSIONS)
async def test_an_event_without_a_number_to_order_it_by_is_refused(gateway: Gateway, subprotocol: str) -> None:
    """2.1's schema says so, 2.0.1's leaves it to the text: numbers begin at 0."""
    async with connected(gateway, subprotocols=(subprotocol,)) as station:
        for number in (-1, -(2**31)):
            event = an_event("Updated", number)
            assert (await station.request("TransactionEvent", event))[2] == "FormatViolation"

        assert "currentTime" in await station.call("Heartbeat", {})


async def test_ids_may_be_used_again_and_calls_may_come_in_one_breath(gateway: Gateway) -> None:
    async with connected(gateway) as station:
        for _ in range(40):
            await station.send([2, "same", "Heartbeat", {}])

        answers = [await station.next_frame() for _ in range(40)]

    assert {(answer[0], answer[1]) for answer in answers} == {(3, "same")}


@pytest.mark.parametrize("subprotocol", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
async def test_an_answer_to_another_call_is_not_taken_for_the_one_that_is_awaited(
    gateway: Gateway, subprotocol: str
) -> None:
    async with connected(gateway, subprotocols=(subprotocol,)) as station:
        calling = asyncio.create_task(gateway.call(STATION, "Reset", {"type": "Soft"}))
        station.answers["Reset"] = None  # says nothing until all the others are through
        await eventually(lambda: station.asked)

        for frame in ([3, "other", {"status": "Rejected"}], [4, "other", "GenericError", "", {}], [3, "", {}], [4]):
            await station.send(frame)
        assert "currentTime" in await station.call("Heartbeat", {})
        assert not calling.done()

        await _answer_last(station, {"status": "Accepted"})
        assert await calling == {"status": "Accepted"}


async def _answer_last(station: Station, payload: Json) -> None:
    await station.send([3, station.asked_ids[-1], payload])
