"""What a station of 2.0.1 or 2.1 says over a socket, what it is answered, and what is kept of it."""

from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.cdr import settle
from app.csms.gateway import Gateway
from app.csms.v2_version import V21, Version
from app.db.records import Transaction
from app.db.store import Store
from app.events import (
    ChargingLimitChanged,
    ChargingNeedsReceived,
    Event,
    Events,
    MeterValuesReceived,
    PriorityChargingChanged,
    StationBooted,
    StationNoticed,
    StatusChanged,
    TransactionStarted,
    TransactionStopped,
    WishChanged,
)
from tests.app.csms.stations import STATION, Station, a_gateway, a_site, connected, of_kind, recorded
from tests.app.csms.v2_stations import (
    TOKEN,
    TRANSACTION,
    VERSIONS,
    Json,
    a_boot,
    a_start,
    ago,
    an_event,
    metered,
    power,
    sampled,
    tell,
)


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


@pytest.fixture(params=VERSIONS)
def subprotocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def version(subprotocol: str) -> Version:
    return VERSIONS[subprotocol]


@pytest.fixture
async def station(gateway: Gateway, subprotocol: str) -> AsyncIterator[Station]:
    async with connected(gateway, subprotocols=(subprotocol,)) as opened:
        yield opened


async def the_transaction(store: Store) -> Transaction:
    (transaction,) = await store.transactions(station_id=STATION)
    return transaction


async def test_a_station_boots_and_is_accepted(
    station: Station, version: Version, store: Store, seen: list[Event]
) -> None:
    answer = await tell(station, version, "BootNotification", a_boot())

    assert answer["status"] == "Accepted"
    known = await store.station(STATION)
    assert (known.vendor, known.model, known.firmware, known.serial) == ("Vendor", "Model", "2.0", "42")
    assert known.ocpp_version == version.number
    assert len(of_kind(seen, StationBooted)) == 1


async def test_a_connector_makes_the_status_of_its_evse(
    station: Station, version: Version, store: Store, seen: list[Event]
) -> None:
    for connector_id, status in ((1, "Available"), (2, "Occupied"), (2, "Available")):
        said = {
            "evseId": 1,
            "connectorId": connector_id,
            "connectorStatus": status,
            "timestamp": "2026-01-01T00:00:00Z",
        }
        await tell(station, version, "StatusNotification", said)

    assert [event.status for event in of_kind(seen, StatusChanged)] == ["Available", "Preparing", "Available"]
    (status_of_evse,) = await store.evse_statuses()
    assert (status_of_evse.evse_id, status_of_evse.status) == (1, "Available")


async def test_a_connectors_availability_may_be_an_event(station: Station, version: Version, seen: list[Event]) -> None:
    data = {
        "eventId": 1,
        "timestamp": "2026-01-01T00:00:00Z",
        "trigger": "Delta",
        "actualValue": "Available",
        "eventNotificationType": "HardWiredNotification",
        "component": {"name": "Connector", "evse": {"id": 2, "connectorId": 1}},
        "variable": {"name": "AvailabilityState"},
    }
    told = {"generatedAt": "2026-01-01T00:00:00Z", "seqNo": 0, "eventData": [data, data | {"actualValue": "Upside"}]}

    await tell(station, version, "NotifyEvent", told)

    assert [(event.evse_id, event.status) for event in of_kind(seen, StatusChanged)] == [(2, "Available")]


async def test_a_transaction_from_its_start_to_its_charge_detail_record(
    station: Station, version: Version, store: Store, seen: list[Event]
) -> None:
    began = ago(minutes=4)

    started = await tell(station, version, "TransactionEvent", a_start(at=began))
    for number, minute in enumerate((3, 2, 1), start=1):
        values = metered(sampled(1000 + 120 * number), power(7200), at=ago(minutes=minute))
        await tell(station, version, "TransactionEvent", an_event("Updated", number, meterValue=values))
    ended = an_event("Ended", 4, register_wh=1480, info={"stoppedReason": "EVDisconnected"})
    await tell(station, version, "TransactionEvent", ended)

    assert started == {"idTokenInfo": {"status": "Accepted"}}
    transaction = await the_transaction(store)
    assert (transaction.ocpp_transaction_id, transaction.evse_id, transaction.id_tag) == (TRANSACTION, 1, "TAG")
    assert (transaction.started_at, transaction.meter_start_wh, transaction.meter_stop_wh) == (began, 1000, 1480)
    assert transaction.stop_reason == "EVDisconnected"
    number = transaction.transaction_id
    assert [event.transaction_id for event in of_kind(seen, TransactionStarted)] == [number]
    assert [event.transaction_id for event in of_kind(seen, TransactionStopped)] == [number]
    assert {event.transaction_id for event in of_kind(seen, MeterValuesReceived)} == {number}
    assert [event.power_w for event in of_kind(seen, MeterValuesReceived) if event.power_w] == [7200, 7200, 7200]
    (cdr,) = await settle(store)
    assert cdr.energy_kwh == pytest.approx(0.48)
    assert cdr.peak_power_kw == pytest.approx(7.2)


async def test_what_the_vehicle_does_is_the_status_of_its_evse(
    station: Station, version: Version, seen: list[Event]
) -> None:
    occupied = {"evseId": 1, "connectorId": 1, "connectorStatus": "Occupied", "timestamp": "2026-01-01T00:00:00Z"}
    await tell(station, version, "TransactionEvent", a_start(info={"chargingState": "EVConnected"}))
    await tell(station, version, "StatusNotification", occupied)
    for number, state in enumerate(("Charging", "SuspendedEVSE", "SuspendedEV"), start=1):
        info = {"chargingState": state}
        await tell(station, version, "TransactionEvent", an_event("Updated", number, info=info))
    await tell(station, version, "TransactionEvent", an_event("Ended", 4))
    await tell(station, version, "StatusNotification", occupied | {"connectorStatus": "Available"})

    assert [event.status for event in of_kind(seen, StatusChanged)] == [
        "Preparing",
        "Charging",
        "SuspendedEVSE",
        "SuspendedEV",
        "Finishing",
        "Available",
    ]


async def test_a_transaction_survives_reconnects_and_restarts(store: Store, events: Events, subprotocol: str) -> None:
    version = VERSIONS[subprotocol]
    async with a_gateway(store) as gateway, connected(gateway, subprotocols=(subprotocol,)) as station:
        await tell(station, version, "TransactionEvent", a_start())
    number = (await the_transaction(store)).transaction_id

    seen = recorded(events)
    async with a_gateway(store, events=events) as gateway, connected(gateway, subprotocols=(subprotocol,)) as station:
        await tell(station, version, "TransactionEvent", a_start())
        values = {"evseId": 1, "meterValue": metered(power(3600))}
        await tell(station, version, "MeterValues", values)
        await tell(station, version, "TransactionEvent", an_event("Ended", 1, register_wh=1500))

    transaction = await the_transaction(store)
    assert (transaction.transaction_id, transaction.meter_stop_wh) == (number, 1500)
    assert of_kind(seen, TransactionStarted) == []
    assert next(event.transaction_id for event in of_kind(seen, MeterValuesReceived)) == number


async def test_meter_values_between_the_events_belong_to_the_running_transaction(
    station: Station, version: Version, store: Store
) -> None:
    await tell(station, version, "TransactionEvent", a_start(at=ago(minutes=2)))
    kilowatts = sampled(7.4, "Power.Active.Import", unitOfMeasure={"unit": "W", "multiplier": 3})

    await tell(station, version, "MeterValues", {"evseId": 1, "meterValue": metered(kilowatts)})

    transaction = await the_transaction(store)
    number = transaction.transaction_id
    (value,) = await store.meter_values(transaction_id=number, measurands=("Power.Active.Import",))
    assert value.unit == "W"
    assert value.value == pytest.approx(7400)


async def test_updates_in_order_make_the_record_that_shuffled_ones_make(
    station: Station, version: Version, store: Store
) -> None:
    """What comes in order takes a short cut; what does not, or says something new, takes the long way."""
    began = ago(minutes=5)
    events = [
        a_start(at=began, idToken=None, register_wh=None),
        an_event("Updated", 1, at=ago(minutes=4), register_wh=1000),
        an_event("Updated", 2, at=ago(minutes=3), register_wh=1200, idToken=TOKEN),
        an_event("Updated", 3, at=ago(minutes=2), register_wh=1400),
        an_event("Ended", 4, at=ago(minutes=1)),
    ]
    shuffled = [deepcopy(events[number]) for number in (3, 1, 3, 0, 4, 2, 4)]
    for event in shuffled:
        event["transactionInfo"]["transactionId"] = "tx-shuffled"
        event["evse"] = {"id": 2}

    for event in (*events, *shuffled):
        await tell(station, version, "TransactionEvent", event)

    rows = sorted(await store.transactions(station_id=STATION), key=lambda row: row.evse_id)
    first, second = (replace(row, transaction_id=0, evse_id=0, ocpp_transaction_id=None) for row in rows)
    assert first == second
    assert (first.id_tag, first.meter_start_wh, first.meter_stop_wh, first.started_at) == ("TAG", 1000, 1400, began)


async def test_an_offline_backlog_is_stored_and_not_acted_upon(
    station: Station, version: Version, store: Store, seen: list[Event]
) -> None:
    start = a_start(at=ago(hours=5), offline=True)
    update = an_event("Updated", 1, at=ago(hours=4), offline=True, info={"chargingState": "SuspendedEV"})

    await tell(station, version, "TransactionEvent", start)
    await tell(station, version, "TransactionEvent", update)

    assert [event.live for event in of_kind(seen, TransactionStarted)] == [False]
    assert of_kind(seen, StatusChanged) == []
    assert of_kind(seen, MeterValuesReceived) == []
    first, second = await store.transaction_events(STATION, TRANSACTION)
    assert (first.offline, second.charging_state) == (True, "SuspendedEV")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"seqNo": None}, "OccurrenceConstraintViolation"),
        ({"seqNo": "many"}, "FormatViolation"),
        ({"seqNo": -1}, "FormatViolation"),
        ({"eventType": "Paused"}, "FormatViolation"),
        ({"transactionInfo": {}}, "OccurrenceConstraintViolation"),
        ({"transactionInfo": {"transactionId": "x" * 37}}, "FormatViolation"),
    ],
)
async def test_an_event_of_no_transaction_that_could_be_named_is_refused(
    station: Station, store: Store, change: Json, code: str
) -> None:
    event = {key: value for key, value in (a_start() | change).items() if value is not None}

    kind, _, said, *_ = await station.request("TransactionEvent", event)

    assert (kind, said) == (4, code)
    assert await store.transactions(station_id=STATION) == []


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (TOKEN, "Accepted"),
        ({"idToken": "", "type": "NoAuthorization"}, "Accepted"),
        ({"idToken": " ", "type": "ISO14443"}, "Invalid"),
        ("TAG", "Invalid"),
    ],
)
async def test_a_token_that_says_something_may_charge(station: Station, token: Any, status: str) -> None:
    answer = await station.call("Authorize", {"idToken": token})

    assert answer == {"idTokenInfo": {"status": status}}


async def test_a_contract_certificate_is_not_vouched_for(station: Station, version: Version) -> None:
    answer = await tell(station, version, "Authorize", {"idToken": TOKEN, "certificate": "-----BEGIN"})

    assert answer["certificateStatus"] == "NoCertificateAvailable"


NEEDS = {
    "requestedEnergyTransfer": "AC_three_phase",
    "acChargingParameters": {"energyAmount": 22000, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 400},
}


async def test_the_needs_of_a_vehicle_become_a_wish(
    station: Station, version: Version, store: Store, seen: list[Event]
) -> None:
    departure = ago() + timedelta(hours=6)
    await tell(station, version, "TransactionEvent", a_start())
    needs = NEEDS | {"departureTime": departure.isoformat()}

    answer = await tell(station, version, "NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs})

    assert answer == {"status": "Processing"}
    transaction = await the_transaction(store)
    (wish,) = await store.wishes("depot")
    assert (wish.transaction_id, wish.evse_id) == (transaction.transaction_id, 1)
    assert (wish.departure, wish.required_energy_kwh) == (departure, 22)
    assert wish.vehicle_phases == 3
    assert wish.max_power_kw == pytest.approx(11.04)
    assert [event.site_id for event in of_kind(seen, WishChanged)] == ["depot"]
    assert [event.transaction_id for event in of_kind(seen, ChargingNeedsReceived)] == [transaction.transaction_id]


async def test_new_needs_take_the_place_of_the_last_ones(station: Station, version: Version, store: Store) -> None:
    await tell(station, version, "TransactionEvent", a_start())
    less = NEEDS["acChargingParameters"] | {"energyAmount": 5000}  # type: ignore[operator]  # it is a dict

    for parameters in (NEEDS["acChargingParameters"], less):
        needs = NEEDS | {"acChargingParameters": parameters}
        await tell(station, version, "NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs})

    assert [wish.required_energy_kwh for wish in await store.wishes("depot")] == [5]


async def test_a_vehicle_that_names_no_energy_gets_no_plan(station: Station, version: Version, store: Store) -> None:
    needs = {"requestedEnergyTransfer": "DC", "dcChargingParameters": {"evMaxCurrent": 200, "evMaxVoltage": 400}}

    answer = await tell(station, version, "NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs})

    assert answer["status"] == version.no_profile_status
    assert await store.wishes("depot") == []


async def test_a_station_that_left_its_site_is_answered_all_the_same(
    station: Station, version: Version, store: Store
) -> None:
    await store.save_site(a_site("elsewhere"))
    schedule = {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32}]}
    choice = {"evseId": 1, "timeBase": "2026-01-01T00:00:00Z", "chargingSchedule": schedule}

    needs = await tell(station, version, "NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": NEEDS})
    chosen = await tell(station, version, "NotifyEVChargingSchedule", choice)

    assert needs["status"] == version.no_profile_status
    assert chosen == {"status": "Accepted"}


A_LIMIT: Json = {
    "chargingLimit": {"chargingLimitSource": "SO", "isGridCritical": True},
    "evseId": 1,
    "chargingSchedule": [
        {
            "id": 1,
            "chargingRateUnit": "A",
            "startSchedule": "2026-01-01T00:00:00Z",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8.0}],
        }
    ],
}


async def test_a_limit_set_elsewhere_is_kept_until_it_is_cleared(
    station: Station, version: Version, store: Store, seen: list[Event]
) -> None:
    await tell(station, version, "NotifyChargingLimit", A_LIMIT)
    (limit,) = await store.charging_limits(site_id="depot")
    await tell(station, version, "ClearedChargingLimit", {"chargingLimitSource": "SO", "evseId": 1})

    assert (limit.evse_id, limit.source, limit.is_grid_critical) == (1, "SO", True)
    assert limit.schedules == A_LIMIT["chargingSchedule"]
    assert await store.charging_limits(station_id=STATION) == []
    assert [event.evse_id for event in of_kind(seen, ChargingLimitChanged)] == [1, 1]


async def test_a_limit_that_cannot_be_read_is_known_to_be_there(
    station: Station, store: Store, gateway: Gateway
) -> None:
    await station.call("NotifyChargingLimit", A_LIMIT | {"chargingSchedule": [{"id": 1}, "16 A"]})

    (limit,) = await store.charging_limits(station_id=STATION)
    assert limit.schedules == []
    assert gateway.violations(STATION) == 1


async def test_external_profiles_that_a_station_reports_are_limits_too(
    station: Station, version: Version, store: Store
) -> None:
    profile = {
        "id": -1,
        "stackLevel": 0,
        "chargingProfilePurpose": "ChargingStationExternalConstraints",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": A_LIMIT["chargingSchedule"],
    }
    report = {"requestId": 7, "chargingLimitSource": "EMS", "evseId": 0, "chargingProfile": [profile]}

    await tell(station, version, "ReportChargingProfiles", report)

    (limit,) = await store.charging_limits(station_id=STATION)
    assert (limit.evse_id, limit.source, limit.schedules) == (0, "EMS", A_LIMIT["chargingSchedule"])


async def test_notices_are_kept_for_those_who_ask(
    station: Station, version: Version, store: Store, seen: list[Event]
) -> None:
    alarm = {"type": "InvalidTLSVersion", "timestamp": "2026-01-01T00:00:00Z"}

    await tell(station, version, "SecurityEventNotification", alarm)
    await tell(station, version, "FirmwareStatusNotification", {"status": "Installed", "requestId": 1})

    assert [notice.action for notice in await store.notices(STATION)] == [
        "FirmwareStatusNotification",
        "SecurityEventNotification",
    ]
    assert (await store.notices(STATION))[1].payload == alarm
    assert len(of_kind(seen, StationNoticed)) == 2


@pytest.fixture
async def station_21(gateway: Gateway) -> AsyncIterator[Station]:
    async with connected(gateway, subprotocols=("ocpp2.1",)) as opened:
        yield opened


async def test_priority_charging_is_told_to_whoever_plans(station_21: Station, store: Store, seen: list[Event]) -> None:
    await tell(station_21, V21, "TransactionEvent", a_start())

    said = {"transactionId": TRANSACTION, "activated": True}
    await tell(station_21, V21, "NotifyPriorityCharging", said)

    (changed,) = of_kind(seen, PriorityChargingChanged)
    assert (changed.evse_id, changed.active) == (1, True)
    assert changed.transaction_id == (await the_transaction(store)).transaction_id


async def test_a_dynamic_profile_that_is_not_ours_is_not_invented(station_21: Station) -> None:
    answer = await tell(station_21, V21, "PullDynamicScheduleUpdate", {"chargingProfileId": 9})

    assert answer["status"] == "Rejected"


async def test_a_stream_is_taken_without_an_answer(station_21: Station) -> None:
    stream = {"id": 1, "pending": 0, "basetime": "2026-01-01T00:00:00Z", "data": [{"t": 0.5, "v": "1"}]}

    await station_21.send([6, "send-1", "NotifyPeriodicEventStream", stream])
    await tell(station_21, V21, "Heartbeat", {})

    assert station_21.frames.empty()
