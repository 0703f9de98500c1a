"""What a station says, what it is answered, and what is kept of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from ocpp.v16 import ChargePoint
from ocpp.v16 import call as calls
from ocpp.v16.enums import ChargePointErrorCode, ChargePointStatus
from structlog.testing import capture_logs

from app.clock import SystemClock
from app.csms.gateway import Gateway
from app.csms.ocpp_schemas import check_result
from app.csms.timestamps import iso_utc
from app.db.records import Transaction
from app.db.store import Store
from app.errors import StoreUnavailableError
from app.events import (
    Event,
    Events,
    MeterValuesReceived,
    StationBooted,
    StatusChanged,
    TransactionStarted,
    TransactionStopped,
)
from tests.app.csms.stations import STATION, Station, a_gateway, connected, dial, eventually, furnish, of_kind, recorded

BOOT = {"chargePointVendor": "Vendor", "chargePointModel": "Model", "firmwareVersion": "1.2"}
POWER = {"value": "7.4", "unit": "kW", "measurand": "Power.Active.Import"}
REGISTER = {"value": "1200"}


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def seen(events: Events) -> list[Event]:
    return recorded(events)


@pytest.fixture
async def gateway(store: Store, events: Events) -> AsyncIterator[Gateway]:
    async with a_gateway(store, events=events) as running:
        yield running


@pytest.fixture
async def station(gateway: Gateway) -> AsyncIterator[Station]:
    async with connected(gateway) as opened:
        yield opened


def ago(**time: float) -> datetime:
    return (SystemClock().now() - timedelta(**time)).replace(microsecond=0)


def a_start(**changes: Any) -> dict[str, Any]:
    return {"connectorId": 1, "idTag": "TAG", "timestamp": iso_utc(ago()), "meterStart": 1000} | changes


def a_stop(transaction_id: Any, **changes: Any) -> dict[str, Any]:
    return {"transactionId": transaction_id, "timestamp": iso_utc(ago()), "meterStop": 5000} | changes


def samples(*sampled: dict[str, Any], at: datetime | None = None, **fields: Any) -> dict[str, Any]:
    group = {"timestamp": iso_utc(at or ago()), "sampledValue": list(sampled)}
    return {"connectorId": 1, "meterValue": [group]} | fields


async def the_transaction(store: Store) -> Transaction:
    (transaction,) = await store.transactions(station_id=STATION)
    return transaction


async def test_a_station_of_the_ocpp_package_lives_a_whole_session(gateway: Gateway, store: Store) -> None:
    """Its schema validation is on: it checks every answer."""
    async with dial(gateway) as connection:
        charge_point = ChargePoint(STATION, connection)
        listening = asyncio.create_task(charge_point.start())

        async def ask(request: Any) -> Any:
            return await charge_point.call(request, suppress=False)

        at = iso_utc(ago())
        await ask(calls.BootNotification("Model", "Vendor"))
        await ask(calls.StatusNotification(1, ChargePointErrorCode.no_error, ChargePointStatus.preparing))
        await ask(calls.Authorize("TAG"))
        started = await ask(calls.StartTransaction(1, "TAG", 0, at))
        group = {"timestamp": at, "sampled_value": [{"value": "10"}]}
        await ask(calls.MeterValues(1, [group], started.transaction_id))
        await ask(calls.Heartbeat())
        await ask(calls.StopTransaction(20, at, started.transaction_id, transaction_data=[group]))
        await ask(calls.DataTransfer("Vendor"))
        await ask(calls.FirmwareStatusNotification("Idle"))
        await ask(calls.DiagnosticsStatusNotification("Idle"))
        await ask(calls.SecurityEventNotification("Event", at, "info"))
        await ask(calls.LogStatusNotification("Idle", 1))
        await ask(calls.SignCertificate("csr"))
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening

    assert (await the_transaction(store)).meter_stop_wh == 20


async def test_a_boot_is_stored_and_told_after_its_answer(station: Station, store: Store, seen: list[Event]) -> None:
    answer = await station.call("BootNotification", BOOT | {"chargeBoxSerialNumber": "S1", "vendorExtra": "x" * 500})

    assert answer["status"] == "Accepted"
    assert 240 <= answer["interval"] <= 300
    stored = await store.station(STATION)
    assert (stored.vendor, stored.model, stored.serial, stored.firmware) == ("Vendor", "Model", "S1", "1.2")
    assert (stored.ocpp_version, stored.connected) == ("1.6", True)
    booted = await eventually(lambda: of_kind(seen, StationBooted))
    assert booted[0].at == stored.booted_at


async def test_a_boot_without_a_name_is_accepted_and_counted(gateway: Gateway, station: Station) -> None:
    assert (await station.call("BootNotification", {}))["status"] == "Accepted"
    assert gateway.violations(STATION) == 2


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"idTag": "TAG"}, "Accepted"),
        ({"idTag": "x" * 36}, "Accepted"),
        ({"idTag": ""}, "Invalid"),
        ({"idTag": "  "}, "Invalid"),
        ({}, "Invalid"),
    ],
)
async def test_every_tag_is_accepted_but_a_blank_one(station: Station, payload: dict[str, Any], status: str) -> None:
    assert await station.call("Authorize", payload) == {"idTagInfo": {"status": status}}


async def test_a_status_is_stored_and_told_once(station: Station, store: Store, seen: list[Event]) -> None:
    report = {"connectorId": 1, "errorCode": "NoError", "status": "charging"}

    assert await station.call("StatusNotification", report) == {}
    await station.call("StatusNotification", report)
    await station.call("StatusNotification", report | {"status": "Faulted", "errorCode": "GroundFailure"})

    (stored,) = await store.evse_statuses()
    assert (stored.evse_id, stored.status, stored.error_code) == (1, "Faulted", "GroundFailure")
    await eventually(lambda: len(of_kind(seen, StatusChanged)) == 2)
    assert [event.status for event in of_kind(seen, StatusChanged)] == ["Charging", "Faulted"]


async def test_the_latest_status_to_arrive_holds_although_the_clock_went_back(station: Station, store: Store) -> None:
    report = {"connectorId": 1, "errorCode": "NoError"}

    await station.call("StatusNotification", report | {"status": "Charging", "timestamp": iso_utc(ago())})
    await station.call("StatusNotification", report | {"status": "Available", "timestamp": iso_utc(ago(hours=1))})

    (stored,) = await store.evse_statuses()
    assert stored.status == "Available"


@pytest.mark.parametrize(
    "payload", [{}, {"connectorId": 1, "status": "Dancing"}, {"connectorId": -1, "status": "Charging"}]
)
async def test_an_unreadable_status_is_acknowledged_and_counted(
    gateway: Gateway, station: Station, store: Store, payload: dict[str, Any]
) -> None:
    assert await station.call("StatusNotification", payload) == {}

    assert gateway.violations(STATION) == 1
    assert await store.evse_statuses() == []


async def test_a_transaction_is_on_disk_before_its_id_is_told(
    station: Station, store: Store, seen: list[Event]
) -> None:
    answer = await station.call("StartTransaction", a_start())

    stored = await the_transaction(store)
    assert answer == {"transactionId": stored.transaction_id, "idTagInfo": {"status": "Accepted"}}
    assert (stored.evse_id, stored.id_tag, stored.meter_start_wh, stored.is_running) == (1, "TAG", 1000, True)
    (event,) = await eventually(lambda: of_kind(seen, TransactionStarted))
    assert (event.transaction_id, event.evse_id, event.live) == (stored.transaction_id, 1, True)


async def test_a_repeated_start_gets_the_same_id_and_is_told_once(
    station: Station, store: Store, seen: list[Event]
) -> None:
    start = a_start()

    first = await station.call("StartTransaction", start)
    second = await station.call("StartTransaction", start)

    assert first == second
    await the_transaction(store)
    assert len(of_kind(seen, TransactionStarted)) == 1


@pytest.mark.parametrize("timestamp", ["1970-01-01T00:00:30Z", "", "2106-02-07T06:28:15Z"])
async def test_a_repeated_start_gets_the_same_id_although_its_clock_is_wrong(
    station: Station, store: Store, timestamp: str
) -> None:
    start = a_start(timestamp=timestamp)

    first = await station.call("StartTransaction", start)
    await asyncio.sleep(0.01)
    second = await station.call("StartTransaction", start)
    other = await station.call("StartTransaction", a_start(timestamp=timestamp, connectorId=2))

    assert first["transactionId"] == second["transactionId"] != other["transactionId"]
    assert all(ago(seconds=-1) >= row.started_at > ago(minutes=1) for row in await store.transactions())


async def test_an_id_tag_of_36_characters_is_kept_whole(gateway: Gateway, station: Station, store: Store) -> None:
    tag = "a3f1c2d4-0000-4000-8000-abcdefabcdef"

    answer = await station.call("StartTransaction", a_start(idTag=tag))

    assert answer["idTagInfo"] == {"status": "Accepted"}
    assert (await the_transaction(store)).id_tag == tag
    assert gateway.violations(STATION) == 1


async def test_a_start_from_the_offline_queue_is_stored_and_not_live(
    station: Station, store: Store, seen: list[Event]
) -> None:
    started_at = ago(hours=3)

    await station.call("StartTransaction", a_start(timestamp=iso_utc(started_at)))

    (event,) = await eventually(lambda: of_kind(seen, TransactionStarted))
    assert event.live is False
    assert (await the_transaction(store)).started_at == event.at == started_at


async def test_a_start_without_anything_readable_is_still_a_transaction(station: Station, store: Store) -> None:
    answer = await station.call("StartTransaction", {"meterStart": "12,5"})

    stored = await the_transaction(store)
    assert answer == {"transactionId": stored.transaction_id, "idTagInfo": {"status": "Invalid"}}
    assert (stored.evse_id, stored.meter_start_wh) == (1, 12.5)


async def test_transaction_ids_survive_a_reconnect_and_a_restart_of_the_service(store: Store, events: Events) -> None:
    start, seen = a_start(), recorded(events)
    async with a_gateway(store, events=events) as gateway:
        async with connected(gateway) as station:
            first = await station.call("StartTransaction", start)
        async with connected(gateway) as station:
            assert await station.call("StartTransaction", start) == first

    async with a_gateway(store, events=events) as gateway, connected(gateway) as station:
        assert await station.call("StartTransaction", start) == first
        await station.call("MeterValues", samples(REGISTER, transactionId=first["transactionId"]))
        await station.call("StopTransaction", a_stop(first["transactionId"]))

    stored = await the_transaction(store)
    assert stored.stopped_at is not None
    assert await store.latest_energy_wh([stored.transaction_id]) != {}
    assert len(of_kind(seen, TransactionStopped)) == 1


async def test_a_stop_is_stored_with_its_data_and_told(station: Station, store: Store, seen: list[Event]) -> None:
    started = await station.call("StartTransaction", a_start())
    data = [{"timestamp": iso_utc(ago()), "sampledValue": [{"value": "4900", "context": "Transaction.End"}]}]

    answer = await station.call(
        "StopTransaction", a_stop(started["transactionId"], transactionData=data, reason="EVDisconnected", idTag="TAG")
    )

    assert answer == {"idTagInfo": {"status": "Accepted"}}
    stored = await the_transaction(store)
    assert (stored.meter_stop_wh, stored.stop_reason) == (5000, "EVDisconnected")
    await store.flush()
    (value,) = await store.meter_values(transaction_id=stored.transaction_id)
    assert (value.value, value.evse_id, value.context) == (4900, 1, "Transaction.End")
    (event,) = await eventually(lambda: of_kind(seen, TransactionStopped))
    assert (event.transaction_id, event.live) == (stored.transaction_id, True)


async def test_the_first_stop_wins_and_every_stop_is_acknowledged(
    station: Station, store: Store, seen: list[Event]
) -> None:
    transaction_id = (await station.call("StartTransaction", a_start()))["transactionId"]

    for meter_stop in (5000, 5000, 9999):
        assert await station.call("StopTransaction", a_stop(transaction_id, meterStop=meter_stop)) == {}

    assert (await the_transaction(store)).meter_stop_wh == 5000
    assert len(of_kind(seen, TransactionStopped)) == 1


@pytest.mark.parametrize("transaction_id", [424242, -1, 0, None, "x", 2**40, {}])
async def test_a_stop_of_an_unknown_transaction_is_acknowledged(station: Station, transaction_id: Any) -> None:
    assert await station.call("StopTransaction", a_stop(transaction_id)) == {}


@pytest.mark.parametrize("transaction_id", [-1, 0])
async def test_a_stop_of_minus_one_is_about_the_only_transaction_that_ran(
    station: Station, store: Store, transaction_id: int
) -> None:
    await station.call("StartTransaction", a_start())

    await station.call("StopTransaction", a_stop(transaction_id))

    assert (await the_transaction(store)).meter_stop_wh == 5000


async def test_a_stop_of_minus_one_guesses_between_no_two(station: Station, store: Store) -> None:
    await station.call("StartTransaction", a_start())
    await station.call("StartTransaction", a_start(connectorId=2))

    await station.call("StopTransaction", a_stop(-1))

    assert all(row.is_running for row in await store.transactions())


async def test_a_station_can_neither_stop_nor_meter_the_transaction_of_another(
    gateway: Gateway, station: Station, store: Store
) -> None:
    await furnish(store, STATION, "cs02")
    transaction_id = (await station.call("StartTransaction", a_start()))["transactionId"]

    async with connected(gateway, "cs02") as other:
        await other.call("StopTransaction", a_stop(transaction_id))
        await other.call("MeterValues", samples(REGISTER, transactionId=transaction_id))

    assert (await the_transaction(store)).is_running
    await store.flush()
    assert await store.meter_values(transaction_id=transaction_id) == []
    assert [value.transaction_id for value in await store.meter_values(station_id="cs02")] == [None]


async def test_a_stop_without_a_register_takes_the_last_one_known(station: Station, store: Store) -> None:
    transaction_id = (await station.call("StartTransaction", a_start()))["transactionId"]
    await station.call("MeterValues", samples({"value": "3,21", "unit": "kWh"}, transactionId=transaction_id))

    await station.call("StopTransaction", a_stop(transaction_id, meterStop=None))

    assert (await the_transaction(store)).meter_stop_wh == pytest.approx(3210)


async def test_live_values_are_told_in_base_units(station: Station, store: Store, seen: list[Event]) -> None:
    transaction_id = (await station.call("StartTransaction", a_start()))["transactionId"]
    current = {"value": "32", "measurand": "Current.Import", "phase": "L1-N", "unit": "A"}

    assert await station.call("MeterValues", samples(POWER, current, REGISTER, transactionId=transaction_id)) == {}

    (event,) = await eventually(lambda: of_kind(seen, MeterValuesReceived))
    assert (event.station_id, event.evse_id, event.transaction_id) == (STATION, 1, transaction_id)
    assert (event.power_w, event.current_a, event.energy_wh) == (7400, {"L1": 32}, 1200)
    await store.flush()
    assert len(await store.meter_values(transaction_id=transaction_id)) == 3


async def test_values_without_a_transaction_belong_to_the_one_that_runs(station: Station, store: Store) -> None:
    transaction_id = (await station.call("StartTransaction", a_start(timestamp=iso_utc(ago(minutes=4)))))[
        "transactionId"
    ]

    await station.call("MeterValues", samples(REGISTER))
    await station.call("MeterValues", samples(REGISTER, connectorId=2))
    await station.call("MeterValues", samples(REGISTER, at=ago(hours=1)))

    await store.flush()
    stored = await store.meter_values(station_id=STATION)
    assert [(value.evse_id, value.transaction_id) for value in stored] == [(1, None), (1, transaction_id), (2, None)]


async def test_a_backlog_of_values_is_stored_and_not_told(station: Station, store: Store, seen: list[Event]) -> None:
    for minutes in (30, 20, 10):
        await station.call("MeterValues", samples(POWER, at=ago(minutes=minutes)))

    await store.flush()
    assert len(await store.meter_values(station_id=STATION)) == 3
    assert of_kind(seen, MeterValuesReceived) == []


async def test_live_values_move_only_forward_in_time(station: Station, seen: list[Event]) -> None:
    await station.call("MeterValues", samples(POWER))
    await station.call("MeterValues", samples(POWER | {"value": "1"}, at=ago(seconds=30)))

    told = await eventually(lambda: of_kind(seen, MeterValuesReceived))
    assert [event.power_w for event in told] == [7400]


@pytest.mark.parametrize(
    ("action", "code"),
    [("Dance", "NotImplemented"), ("SetChargingProfile", "NotSupported"), ("heartbeat", "NotImplemented")],
)
async def test_what_is_no_message_of_a_station_is_refused(station: Station, action: str, code: str) -> None:
    kind, _, answered, *_ = await station.request(action, {})

    assert (kind, answered) == (4, code)
    assert "currentTime" in await station.call("Heartbeat", {})


MALFORMED: list[tuple[Any, tuple[str, str] | None]] = [
    ("hello", ("-1", "FormationViolation")),
    (b"\xff\xfe", ("-1", "FormationViolation")),
    ("[]", ("-1", "ProtocolError")),
    ("[" * 20_000, ("-1", "FormationViolation")),
    ('[2,"a","Heartbeat",{"x":' + "9" * 5_000 + "}]", ("-1", "FormationViolation")),
    ([2, "a"], ("a", "ProtocolError")),
    ([2, "a", ["Heartbeat"], {}], ("a", "FormationViolation")),
    ([2, "a", {"Heartbeat": 1}, {}], ("a", "FormationViolation")),
    ([2, "a", "Heartbeat", None], ("a", "FormationViolation")),
    ([2, 7, "Heartbeat", {}], ("-1", "FormationViolation")),
    ([2, "x" * 5_000, "Heartbeat", {}], ("-1", "FormationViolation")),
    ([6, "a", "NotifyPeriodicEventStream", {}], ("a", "ProtocolError")),
    ([3, "nobody-asked", {}], None),
    ([3, "a"], None),
    ([4, "a"], None),
    ([4], None),
]


@pytest.mark.parametrize(("frame", "error"), MALFORMED)
async def test_a_malformed_frame_is_answered_and_the_connection_lives_on(
    station: Station, frame: Any, error: tuple[str, str] | None
) -> None:
    await station.send(frame)

    if error is not None:
        kind, *answered = await station.next_frame()
        assert (kind, *answered[:2]) == (4, *error)
        assert len(json.dumps(answered)) < 300  # nothing of the message is sent back
    assert "currentTime" in await station.call("Heartbeat", {})
    assert station.frames.empty()


async def test_a_flood_of_results_that_nobody_waits_for_is_dropped(gateway: Gateway, station: Station) -> None:
    for number in range(2_000):
        await station.send([3, f"x{number}", {}])

    station.answers["TriggerMessage"] = {"status": "Accepted"}
    assert await gateway.trigger(STATION, "Heartbeat") == "Accepted"


async def test_a_station_that_sends_nothing_but_garbage_is_disconnected(gateway: Gateway, station: Station) -> None:
    for _ in range(40):
        with suppress(Exception):  # closed half-way
            await station.send("garbage")
    await station.connection.wait_closed()

    assert station.connection.close_code == 1008
    await eventually(lambda: not gateway.connected())


async def test_a_violation_is_logged_once_and_counted_every_time(gateway: Gateway, station: Station) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            await station.call("MeterValues", samples({"value": "abc"}))

    assert sum(entry["event"] == "ocpp.violation" for entry in logs) == 1
    assert gateway.violations(STATION) == 3


async def test_a_listener_that_fails_costs_no_station_its_answer(gateway: Gateway, events: Events) -> None:
    def fail(_event: Event) -> None:
        raise RuntimeError("a fault of ours")

    events.subscribe(fail)
    async with connected(gateway) as station:
        await station.call("BootNotification", BOOT)

        assert "currentTime" in await station.call("Heartbeat", {})


class FailingStore:
    """A store whose writes fail while `down`, as during a failover of the database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.down = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)

        async def method(*args: Any, **kwargs: Any) -> Any:
            if self.down:
                raise StoreUnavailableError("the database does not answer")
            return await real(*args, **kwargs)

        return method


async def test_while_the_database_is_down_transactions_are_refused_and_all_else_is_answered(store: Store) -> None:
    failing, events = FailingStore(store), Events()
    seen = recorded(events)
    async with a_gateway(failing, events=events) as gateway, connected(gateway) as station:  # type: ignore[arg-type]  # a stand-in
        failing.down = True
        assert (await station.call("BootNotification", BOOT))["status"] == "Accepted"
        assert await station.call("MeterValues", samples(POWER)) == {}
        assert await station.call("StatusNotification", {"connectorId": 1, "status": "Charging"}) == {}
        refused = await station.request("StartTransaction", a_start())
        failing.down = False

        assert refused[2] == "InternalError"  # the station will send it again
        assert (await station.call("StartTransaction", a_start()))["transactionId"] > 0
    assert of_kind(seen, MeterValuesReceived)[0].power_w == 7400


async def test_every_answer_is_valid_by_the_schema(station: Station) -> None:
    for action, payload in {
        "Authorize": {"idTag": "TAG"},
        "BootNotification": BOOT,
        "DataTransfer": {"vendorId": "Vendor"},
        "Heartbeat": {},
        "MeterValues": samples(POWER),
        "StartTransaction": a_start(),
        "StatusNotification": {"connectorId": 0, "errorCode": "NoError", "status": "Available"},
        "StopTransaction": a_stop(1),
        "FirmwareStatusNotification": {"status": "Idle"},
        "SignCertificate": {"csr": "x"},
    }.items():
        await check_result(action, await station.call(action, payload))
