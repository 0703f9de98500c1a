"""What a station of 2.0.1 or 2.1 is asked over a socket, and what its replies are taken for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.csms.connector import ChargingProfile, Period, Purpose, RateUnit
from app.csms.gateway import Gateway
from app.csms.ocpp_schemas import check_call
from app.csms.v2_version import Version
from app.db.records import StationVariable
from app.db.store import Store
from app.errors import CallFailedError, InvalidInputError, OutcomeUnknownError, ProfileRejectedError
from tests.app.csms.stations import STATION, Station, a_gateway, connected
from tests.app.csms.v2_stations import TRANSACTION, VERSIONS, Json, a_boot, a_start, an_event, tell

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ACCEPTED = {"status": "Accepted"}


def a_profile(**changes: Any) -> ChargingProfile:
    profile = ChargingProfile(
        profile_id=101,
        stack_level=1,
        purpose=Purpose.TX_DEFAULT,
        unit=RateUnit.A,
        start=NOON,
        periods=(Period(0, 16.04), Period(900, 0.0)),
        duration_s=3600,
        valid_from=NOON,
    )
    return replace(profile, **changes)


@pytest.fixture(params=VERSIONS)
def subprotocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def version(subprotocol: str) -> Version:
    return VERSIONS[subprotocol]


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Gateway]:
    async with a_gateway(store, call_timeout_s=0.5) as running:
        yield running


@pytest.fixture
async def station(gateway: Gateway, subprotocol: str) -> AsyncIterator[Station]:
    async with connected(gateway, subprotocols=(subprotocol,)) as opened:
        yield opened


async def running(station: Station, version: Version, store: Store) -> int:
    """The number of a transaction that runs at EVSE 1."""
    await tell(station, version, "TransactionEvent", a_start())
    (transaction,) = await store.transactions(station_id=STATION)
    return transaction.transaction_id


async def test_a_transaction_profile_names_the_transaction_as_the_station_does(
    gateway: Gateway, station: Station, version: Version, store: Store
) -> None:
    station.answers["SetChargingProfile"] = ACCEPTED
    number = await running(station, version, store)

    await gateway.set_charging_profile(STATION, 1, a_profile(purpose=Purpose.TX, transaction_id=number))

    ((action, payload),) = station.asked
    await check_call(action, payload, version.number)
    assert payload == {
        "evseId": 1,
        "chargingProfile": {
            "id": 101,
            "stackLevel": 1,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Absolute",
            "validFrom": "2026-06-01T12:00:00Z",
            "transactionId": TRANSACTION,
            "chargingSchedule": [
                {
                    "id": 101,
                    "startSchedule": "2026-06-01T12:00:00Z",
                    "duration": 3600,
                    "chargingRateUnit": "A",
                    "chargingSchedulePeriod": [
                        {"startPeriod": 0, "limit": 16.0},
                        {"startPeriod": 900, "limit": 0.0},
                    ],
                }
            ],
        },
    }


async def test_a_profile_for_no_transaction_of_the_station_is_not_sent(gateway: Gateway, station: Station) -> None:
    with pytest.raises(ProfileRejectedError, match="TxNotFound"):
        await gateway.set_charging_profile(STATION, 1, a_profile(purpose=Purpose.TX, transaction_id=4711))

    assert station.asked == []


async def test_a_refusal_says_why(gateway: Gateway, station: Station) -> None:
    station.answers["SetChargingProfile"] = {
        "status": "Rejected",
        "statusInfo": {"reasonCode": "UnsupportedRateUnit", "additionalInfo": "W only"},
    }

    with pytest.raises(ProfileRejectedError, match="Rejected: UnsupportedRateUnit: W only"):
        await gateway.set_charging_profile(STATION, 1, a_profile())


async def test_the_station_maximum_is_for_the_whole_station(gateway: Gateway, station: Station) -> None:
    station.answers["SetChargingProfile"] = ACCEPTED
    maximum = a_profile(purpose=Purpose.STATION_MAX)

    await gateway.set_charging_profile(STATION, 0, maximum)
    with pytest.raises(InvalidInputError, match="evseId"):
        await gateway.set_charging_profile(STATION, 1, maximum)

    ((_, payload),) = station.asked
    assert payload["chargingProfile"]["chargingProfilePurpose"] == "ChargingStationMaxProfile"


async def test_the_same_id_replaces_and_another_one_is_not_sent(gateway: Gateway, station: Station) -> None:
    station.answers |= {"SetChargingProfile": ACCEPTED, "ClearChargingProfile": ACCEPTED}

    await gateway.set_charging_profile(STATION, 1, a_profile())
    await gateway.set_charging_profile(STATION, 1, a_profile())
    with pytest.raises(ProfileRejectedError, match="DuplicateProfile"):
        await gateway.set_charging_profile(STATION, 1, a_profile(profile_id=102))
    await gateway.clear_charging_profile(STATION, profile_id=101)
    await gateway.set_charging_profile(STATION, 1, a_profile(profile_id=102))

    assert len([action for action, _ in station.asked if action == "SetChargingProfile"]) == 3


@pytest.mark.parametrize(
    ("criteria", "payload"),
    [
        ({"profile_id": 7}, {"chargingProfileId": 7}),
        ({"profile_id": 7, "evse_id": 1}, {"chargingProfileId": 7}),
        (
            {"evse_id": 1, "purpose": Purpose.TX_DEFAULT, "stack_level": 0},
            {"chargingProfileCriteria": {"evseId": 1, "chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 0}},
        ),
        (
            {"purpose": Purpose.STATION_MAX},
            {"chargingProfileCriteria": {"chargingProfilePurpose": "ChargingStationMaxProfile"}},
        ),
    ],
)
async def test_profiles_are_cleared_by_id_or_by_what_they_are(
    gateway: Gateway, station: Station, version: Version, criteria: dict[str, Any], payload: Json
) -> None:
    station.answers["ClearChargingProfile"] = ACCEPTED

    assert await gateway.clear_charging_profile(STATION, **criteria)

    assert station.asked == [("ClearChargingProfile", payload)]
    await check_call("ClearChargingProfile", payload, version.number)


async def test_all_profiles_are_cleared_purpose_by_purpose(
    gateway: Gateway, station: Station, version: Version
) -> None:
    station.answers["ClearChargingProfile"] = {"status": "Unknown"}

    assert not await gateway.clear_charging_profile(STATION)

    cleared = [payload["chargingProfileCriteria"]["chargingProfilePurpose"] for _, payload in station.asked]
    assert len(cleared) == len(version.settable)


def a_composite(*periods: Json, **changes: Any) -> Json:
    schedule = {
        "evseId": 1,
        "duration": 3600,
        "scheduleStart": "2026-06-01T12:00:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": list(periods),
    }
    return ACCEPTED | {"schedule": schedule | changes}


async def test_a_composite_schedule_is_read_back(gateway: Gateway, station: Station) -> None:
    station.answers["GetCompositeSchedule"] = a_composite(
        {"startPeriod": 0, "limit": 16.123, "numberPhases": 3}, {"startPeriod": 600, "limit": 6}
    )

    schedule = await gateway.composite_schedule(STATION, 1, 3600, RateUnit.A)

    assert station.asked == [("GetCompositeSchedule", {"evseId": 1, "duration": 3600, "chargingRateUnit": "A"})]
    assert (schedule.start, schedule.duration_s, schedule.unit) == (NOON, 3600, RateUnit.A)
    assert schedule.periods == (Period(0, 16.123, 3), Period(600, 6.0))


@pytest.mark.parametrize(("unit", "limit"), [("A", 16.0), ("W", 26.0)])
async def test_limits_for_each_phase_become_the_highest_current_or_the_sum_of_the_powers(
    gateway: Gateway, station: Station, unit: str, limit: float
) -> None:
    period = {"startPeriod": 0, "limit": 6, "limit_L2": 16, "limit_L3": 4}
    station.answers["GetCompositeSchedule"] = a_composite(period, chargingRateUnit=unit)

    schedule = await gateway.composite_schedule(STATION, 1, 3600)

    assert schedule.periods == (Period(0, limit),)


@pytest.mark.parametrize("reply", [{"status": "Rejected"}, ACCEPTED, a_composite({"startPeriod": 0}), a_composite()])
async def test_a_schedule_that_says_nothing_proves_nothing(gateway: Gateway, station: Station, reply: Json) -> None:
    station.answers["GetCompositeSchedule"] = reply

    with pytest.raises(ProfileRejectedError):
        await gateway.composite_schedule(STATION, 1, 3600)


def reporting(station: Station, action: str, *parts: Json) -> Callable[[Json], Json]:
    """An answer that is followed by a report in parts."""
    sent: set[asyncio.Task[Any]] = set()

    def answer(payload: Json) -> Json:
        async def send() -> None:
            for part in parts:
                await station.call(action, {"requestId": payload["requestId"]} | part)

        task = asyncio.create_task(send())
        sent.add(task)
        return ACCEPTED

    return answer


def an_installed(profile_id: int, evse_id: int, *, tbc: bool) -> Json:
    document = {
        "id": profile_id,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [
            {
                "id": 1,
                "startSchedule": "2026-06-01T12:00:00Z",
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6}],
            }
        ],
    }
    return {"chargingLimitSource": "CSO", "evseId": evse_id, "chargingProfile": [document], "tbc": tbc}


async def test_installed_profiles_are_read_back_in_parts(gateway: Gateway, station: Station, version: Version) -> None:
    parts = (an_installed(1, 1, tbc=True), an_installed(2, 2, tbc=False))
    station.answers["GetChargingProfiles"] = reporting(station, "ReportChargingProfiles", *parts)

    installed = await gateway.of_2x(STATION).installed_profiles(purpose=Purpose.TX_DEFAULT)

    ((action, payload),) = station.asked
    await check_call(action, payload, version.number)
    assert payload["chargingProfile"] == {"chargingProfilePurpose": "TxDefaultProfile"}
    assert [(one.evse_id, one.profile and one.profile.profile_id) for one in installed] == [(1, 1), (2, 2)]
    assert installed[0].profile is not None
    assert installed[0].profile.periods == (Period(0, 6.0),)


async def test_no_profiles_are_none_and_half_a_report_is_no_proof(gateway: Gateway, station: Station) -> None:
    station.answers["GetChargingProfiles"] = {"status": "NoProfiles"}
    assert await gateway.of_2x(STATION).installed_profiles() == ()

    half = reporting(station, "ReportChargingProfiles", an_installed(1, 1, tbc=True))
    station.answers["GetChargingProfiles"] = half
    with pytest.raises(OutcomeUnknownError, match="1 part"):
        await gateway.of_2x(STATION).installed_profiles()


def a_variable(name: str, value: str, instance: str | None = None, **traits: Any) -> Json:
    variable = {"name": name} | ({"instance": instance} if instance else {})
    return {
        "component": {"name": "SmartChargingCtrlr"},
        "variable": variable,
        "variableAttribute": [{"value": value}],
        "variableCharacteristics": {"dataType": "string", "supportsMonitoring": False} | traits,
    }


INVENTORY = (
    {"seqNo": 0, "generatedAt": "2026-01-01T00:00:00Z", "tbc": True, "reportData": [a_variable("RateUnit", "A,W")]},
    {
        "seqNo": 1,
        "generatedAt": "2026-01-01T00:00:00Z",
        "reportData": [
            a_variable("ProfileStackLevel", "9"),
            a_variable("PeriodsPerSchedule", "24"),
            a_variable("Entries", "3", "ChargingProfiles", maxLimit=40),
        ],
    },
)


async def test_the_passport_comes_from_the_device_model(
    gateway: Gateway, station: Station, version: Version, store: Store
) -> None:
    station.answers["GetBaseReport"] = reporting(station, "NotifyReport", *INVENTORY)
    station.answers["GetVariables"] = lambda payload: {
        "getVariableResult": [asked | {"attributeStatus": "UnknownVariable"} for asked in payload["getVariableData"]]
    }

    passport = await gateway.passport(STATION)
    again = await gateway.passport(STATION)

    assert passport is again
    assert passport.known
    assert passport.units == {RateUnit.A, RateUnit.W}
    assert (passport.max_stack_level, passport.max_periods, passport.max_profiles) == (9, 24, 40)
    assert passport.version == version.number
    for action, payload in station.asked:
        await check_call(action, payload, version.number)
    assert len(await store.variables(STATION)) == 4
    assert (await store.station(STATION)).passport["max_periods"] == 24


async def test_what_the_inventory_leaves_out_is_asked_by_name(gateway: Gateway, station: Station) -> None:
    values = {"RateUnit": '"W"', "ProfileStackLevel": "3", "PeriodsPerSchedule": "6", "Available": "true"}
    station.answers["GetBaseReport"] = {"status": "NotSupported"}
    station.answers["GetVariables"] = lambda payload: {
        "getVariableResult": [
            asked | {"attributeStatus": "Accepted", "attributeValue": values[asked["variable"]["name"]]}
            if asked["variable"]["name"] in values
            else asked | {"attributeStatus": "UnknownVariable"}
            for asked in payload["getVariableData"]
        ]
    }

    passport = await gateway.passport(STATION)

    assert (passport.units, passport.max_stack_level, passport.max_periods) == (frozenset({RateUnit.W}), 3, 6)


async def test_a_station_that_answers_nothing_of_itself_gets_the_safe_passport(
    gateway: Gateway, station: Station
) -> None:
    passport = await gateway.passport(STATION)  # every call is answered NotImplemented

    assert (passport.units, passport.max_periods, passport.max_stack_level) == (frozenset({RateUnit.A}), 1, 0)
    assert not passport.known

    station.answers["SetChargingProfile"] = ACCEPTED
    await gateway.set_charging_profile(STATION, 1, a_profile(unit=RateUnit.W))  # it may take more than it says


async def test_one_variable_in_the_store_is_no_passport(store: Store, subprotocol: str) -> None:
    await store.save_variables([StationVariable(STATION, "SmartChargingCtrlr", "Enabled", NOON, "true")])

    async with a_gateway(store) as gateway, connected(gateway, subprotocols=(subprotocol,)) as station:
        await gateway.passport(STATION)

        assert [action for action, _ in station.asked] == ["GetBaseReport", "GetVariables"]


async def test_a_restart_reads_the_passport_from_the_store(store: Store, subprotocol: str) -> None:
    async with a_gateway(store) as gateway, connected(gateway, subprotocols=(subprotocol,)) as station:
        await tell(station, VERSIONS[subprotocol], "BootNotification", a_boot())
        station.answers["GetBaseReport"] = reporting(station, "NotifyReport", *INVENTORY)
        first = await gateway.passport(STATION)
    async with a_gateway(store) as gateway, connected(gateway, subprotocols=(subprotocol,)) as station:
        second = await gateway.passport(STATION)

        assert station.asked == []
        assert (second.max_periods, second.max_profiles) == (first.max_periods, first.max_profiles) == (24, 40)


async def test_what_the_passport_forbids_is_not_sent(gateway: Gateway, station: Station) -> None:
    station.answers |= {"GetBaseReport": reporting(station, "NotifyReport", INVENTORY[1] | {"seqNo": 0})}
    await gateway.passport(STATION)
    asked = len(station.asked)

    with pytest.raises(ProfileRejectedError, match="UnsupportedRateUnit"):
        await gateway.set_charging_profile(STATION, 1, a_profile(unit=RateUnit.W))
    with pytest.raises(ProfileRejectedError, match="InvalidStackLevel"):
        await gateway.set_charging_profile(STATION, 1, a_profile(stack_level=10))

    assert len(station.asked) == asked


async def test_variables_are_read_and_set_by_name(gateway: Gateway, station: Station, version: Version) -> None:
    def get(payload: Json) -> Json:
        (asked,) = payload["getVariableData"]
        return {"getVariableResult": [asked | {"attributeStatus": "Accepted", "attributeValue": "300"}]}

    station.answers["GetVariables"] = get
    station.answers["SetVariables"] = lambda payload: {
        "setVariableResult": [
            {key: value for key, value in one.items() if key != "attributeValue"}
            | {"attributeStatus": "RebootRequired"}
            for one in payload["setVariableData"]
        ]
    }

    read = await gateway.get_configuration(STATION, ("OCPPCommCtrlr.HeartbeatInterval",))
    status = await gateway.change_configuration(STATION, "Connector@1.2.Enabled", "false")

    assert read == {"OCPPCommCtrlr.HeartbeatInterval": "300"}
    assert status == "RebootRequired"
    for action, payload in station.asked:
        await check_call(action, payload, version.number)
    component = {"name": "Connector", "evse": {"id": 1, "connectorId": 2}}
    assert station.asked[1][1]["setVariableData"][0]["component"] == component


async def test_too_many_variables_at_once_are_asked_one_by_one(gateway: Gateway, station: Station) -> None:
    def get(payload: Json) -> Json | list[Any]:
        if len(payload["getVariableData"]) > 1:
            return [4, "OccurrenceConstraintViolation", "too many", {}]
        (asked,) = payload["getVariableData"]
        return {"getVariableResult": [asked | {"attributeStatus": "Accepted", "attributeValue": "1"}]}

    station.answers["GetVariables"] = get

    read = await gateway.get_configuration(STATION, ("ClockCtrlr.TimeZone", "ClockCtrlr.DateTime"))

    assert read == {"ClockCtrlr.TimeZone": "1", "ClockCtrlr.DateTime": "1"}


async def test_a_name_that_is_none_is_refused_before_anything_is_sent(gateway: Gateway, station: Station) -> None:
    with pytest.raises(InvalidInputError, match="HeartbeatInterval"):
        await gateway.change_configuration(STATION, "HeartbeatInterval", "300")

    assert station.asked == []


async def test_transactions_are_started_and_stopped_from_afar(
    gateway: Gateway, station: Station, version: Version, store: Store
) -> None:
    station.answers |= {"RequestStartTransaction": ACCEPTED, "RequestStopTransaction": ACCEPTED}
    number = await running(station, version, store)

    assert await gateway.remote_start(STATION, 2, "TAG", a_profile(purpose=Purpose.TX)) == "Accepted"
    assert await gateway.remote_stop(STATION, number) == "Accepted"

    for action, payload in station.asked:
        await check_call(action, payload, version.number)
    (_, start), (_, stop) = station.asked
    assert start["idToken"] == {"idToken": "TAG", "type": "Central"}
    assert "transactionId" not in start["chargingProfile"]
    assert stop == {"transactionId": TRANSACTION}


async def test_a_transaction_starts_with_no_other_profile_than_its_own(gateway: Gateway, station: Station) -> None:
    with pytest.raises(InvalidInputError, match="TxProfile"):
        await gateway.remote_start(STATION, 1, "TAG", a_profile())

    assert station.asked == []


async def test_messages_are_triggered(gateway: Gateway, station: Station, version: Version) -> None:
    station.answers["TriggerMessage"] = ACCEPTED

    await gateway.trigger(STATION, "StatusNotification", 2)
    await gateway.trigger(STATION, "MeterValues", 1)
    await gateway.trigger(STATION, "Heartbeat")

    assert [payload for _, payload in station.asked] == [
        {"requestedMessage": "StatusNotification", "evse": {"id": 2, "connectorId": 1}},
        {"requestedMessage": "MeterValues", "evse": {"id": 1}},
        {"requestedMessage": "Heartbeat"},
    ]
    for action, payload in station.asked:
        await check_call(action, payload, version.number)


async def test_a_station_without_smart_charging_says_so_as_an_error(gateway: Gateway, station: Station) -> None:
    station.answers["SetChargingProfile"] = [4, "NotSupported", "", {}]

    with pytest.raises(CallFailedError, match="NotSupported"):
        await gateway.set_charging_profile(STATION, 1, a_profile())


async def test_the_profiles_of_a_transaction_that_ended_are_in_nobodys_way(
    gateway: Gateway, station: Station, version: Version, store: Store
) -> None:
    station.answers["SetChargingProfile"] = ACCEPTED
    number = await running(station, version, store)
    await gateway.set_charging_profile(STATION, 1, a_profile(purpose=Purpose.TX, transaction_id=number))

    await tell(station, version, "TransactionEvent", an_event("Ended", 1))
    await tell(station, version, "TransactionEvent", a_start(transaction="tx-2"))
    (newer,) = await store.transactions(station_id=STATION, running=True)
    another = a_profile(purpose=Purpose.TX, transaction_id=newer.transaction_id, profile_id=105)
    await gateway.set_charging_profile(STATION, 1, another)

    assert station.asked[-1][1]["chargingProfile"]["transactionId"] == "tx-2"


@pytest.fixture
async def station_21(gateway: Gateway) -> AsyncIterator[Station]:
    async with connected(gateway, subprotocols=("ocpp2.1",)) as opened:
        yield opened


async def test_2_1_sends_limits_for_each_phase_as_they_are_spelled(gateway: Gateway, station_21: Station) -> None:
    station_21.answers |= {"SetChargingProfile": ACCEPTED, "UpdateDynamicSchedule": ACCEPTED}
    period = {
        "startPeriod": 0,
        "limit": 16.0,
        "limit_L2": 10.0,
        "limit_L3": 6.0,
        "setpoint": -3.0,
        "dischargeLimit": -5.0,
    }
    document = {
        "id": 9,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Dynamic",
        "maxOfflineDuration": 600,
        "invalidAfterOfflineDuration": True,
        "dynUpdateInterval": 30,
        "chargingSchedule": [{"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [period]}],
    }

    await gateway.of_2x(STATION).send_profile(1, document)
    await gateway.of_2x(STATION).update_dynamic_schedule(9, {"limit_L2": 8.0})

    assert station_21.asked == [
        ("SetChargingProfile", {"evseId": 1, "chargingProfile": document}),
        ("UpdateDynamicSchedule", {"chargingProfileId": 9, "scheduleUpdate": {"limit_L2": 8.0}}),
    ]
    pulled = await station_21.call("PullDynamicScheduleUpdate", {"chargingProfileId": 9})
    assert pulled["scheduleUpdate"] == {key: value for key, value in period.items() if key != "startPeriod"} | {
        "limit_L2": 8.0
    }


async def test_2_1_uses_priority_charging(gateway: Gateway, station_21: Station, store: Store) -> None:
    station_21.answers["UsePriorityCharging"] = ACCEPTED
    number = await running(station_21, VERSIONS["ocpp2.1"], store)

    assert await gateway.of_2x(STATION).use_priority_charging(number, activate=True) == "Accepted"

    assert station_21.asked == [("UsePriorityCharging", {"transactionId": TRANSACTION, "activate": True})]


async def test_2_0_1_has_no_dynamic_profiles(gateway: Gateway) -> None:
    async with connected(gateway, subprotocols=("ocpp2.0.1",)) as station:
        with pytest.raises(InvalidInputError, match=r"2\.0\.1"):
            await gateway.of_2x(STATION).update_dynamic_schedule(9, {"limit": 8.0})

        assert station.asked == []


async def test_a_reported_transaction_profile_has_our_number_of_its_transaction(
    gateway: Gateway, station: Station, version: Version, store: Store
) -> None:
    number = await running(station, version, store)
    part = an_installed(1, 1, tbc=False)
    part["chargingProfile"][0] |= {"chargingProfilePurpose": "TxProfile", "transactionId": TRANSACTION}
    station.answers["GetChargingProfiles"] = reporting(station, "ReportChargingProfiles", part)

    (installed,) = await gateway.of_2x(STATION).installed_profiles()

    assert installed.profile is not None
    assert installed.profile.transaction_id == number


async def test_1_6_cannot_say_what_it_holds(gateway: Gateway) -> None:
    async with connected(gateway):
        with pytest.raises(InvalidInputError, match=r"1\.6"):
            gateway.of_2x(STATION)
