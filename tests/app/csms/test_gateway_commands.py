"""What the gateway asks of a station, and the four ways in which that can end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.csms.connector import ChargingProfile, Passport, Period, Purpose, RateUnit
from app.csms.gateway import Gateway
from app.db.store import Store
from app.errors import (
    CallFailedError,
    InvalidInputError,
    OutcomeUnknownError,
    ProfileRejectedError,
    StationOfflineError,
)
from tests.app.csms.stations import STATION, Station, a_gateway, connected, eventually

START = datetime(2026, 6, 1, 12, 0, 0, 700_000, tzinfo=UTC)
PROFILE = ChargingProfile(
    profile_id=7,
    stack_level=1,
    purpose=Purpose.TX_DEFAULT,
    unit=RateUnit.A,
    start=START,
    periods=(Period(0, 16.0), Period(900, 6.57, number_phases=1)),
    duration_s=3600,
)
ACCEPTED = {"status": "Accepted"}


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[Gateway]:
    async with a_gateway(store) as running:
        yield running


@pytest.fixture
async def station(gateway: Gateway) -> AsyncIterator[Station]:
    async with connected(gateway) as opened:
        yield opened


def composite(**schedule: Any) -> dict[str, Any]:
    return {
        "status": "Accepted",
        "connectorId": 1,
        "scheduleStart": "2026-06-01T12:00:00Z",
        "chargingSchedule": {
            "duration": 3600,
            "startSchedule": "2026-06-01T12:00:00Z",
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}],
        }
        | schedule,
    }


async def test_a_profile_is_delivered_as_1_6_writes_it(gateway: Gateway, station: Station) -> None:
    station.answers["SetChargingProfile"] = ACCEPTED

    await gateway.set_charging_profile(STATION, 1, PROFILE)

    assert station.asked == [
        (
            "SetChargingProfile",
            {
                "connectorId": 1,
                "csChargingProfiles": {
                    "chargingProfileId": 7,
                    "stackLevel": 1,
                    "chargingProfilePurpose": "TxDefaultProfile",
                    "chargingProfileKind": "Absolute",
                    "chargingSchedule": {
                        "duration": 3600,
                        "startSchedule": "2026-06-01T12:00:00Z",
                        "chargingRateUnit": "A",
                        "chargingSchedulePeriod": [
                            {"startPeriod": 0, "limit": 16.0},
                            {"startPeriod": 900, "limit": 6.5, "numberPhases": 1},
                        ],
                    },
                },
            },
        )
    ]


async def test_a_transaction_profile_names_its_transaction(gateway: Gateway, station: Station) -> None:
    station.answers["SetChargingProfile"] = ACCEPTED

    await gateway.set_charging_profile(STATION, 1, replace(PROFILE, purpose=Purpose.TX, transaction_id=42))

    assert station.asked[0][1]["csChargingProfiles"]["transactionId"] == 42


@pytest.mark.parametrize("status", ["Rejected", "NotSupported"])
async def test_a_declined_profile_says_so_in_the_stations_word(gateway: Gateway, station: Station, status: str) -> None:
    station.answers["SetChargingProfile"] = {"status": status}

    with pytest.raises(ProfileRejectedError) as declined:
        await gateway.set_charging_profile(STATION, 1, PROFILE)

    assert declined.value.status == status


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ([4, "NotSupported", "no smart charging", {}], "NotSupported"),
        ([4, "OccurrenceConstraintViolation", "2.x spelling", {}], "OccurrenceConstraintViolation"),
        ([4, "Vendor-Code-9", "", {}], "Vendor-Code-9"),
        ([4], "GenericError"),
    ],
)
async def test_an_error_of_the_station_is_a_failed_call(
    gateway: Gateway, station: Station, answer: list[Any], code: str
) -> None:
    station.answers["SetChargingProfile"] = answer

    with pytest.raises(CallFailedError) as failed:
        await gateway.set_charging_profile(STATION, 1, PROFILE)

    assert failed.value.code == code


async def test_silence_is_an_unknown_outcome_and_a_late_answer_harms_nobody(store: Store) -> None:
    async with a_gateway(store, call_timeout_s=0.1) as gateway, connected(gateway) as station:
        station.answers["SetChargingProfile"] = None
        with pytest.raises(OutcomeUnknownError, match=r"not answered within 0\.1 s"):
            await gateway.set_charging_profile(STATION, 1, PROFILE)

        await station.send([3, "late", ACCEPTED])
        station.answers["SetChargingProfile"] = ACCEPTED
        await gateway.set_charging_profile(STATION, 1, PROFILE)


@pytest.mark.parametrize("answer", [{}, {"status": None}, {"status": 1}])
async def test_an_answer_without_a_status_is_an_unknown_outcome(
    gateway: Gateway, station: Station, answer: dict[str, Any]
) -> None:
    station.answers["SetChargingProfile"] = answer

    with pytest.raises(OutcomeUnknownError):
        await gateway.set_charging_profile(STATION, 1, PROFILE)


async def test_a_station_that_is_not_there_is_offline(gateway: Gateway) -> None:
    with pytest.raises(StationOfflineError):
        await gateway.set_charging_profile(STATION, 1, PROFILE)
    with pytest.raises(StationOfflineError):
        await gateway.passport("nobody")


async def test_a_call_fails_at_once_when_the_connection_is_cut(store: Store) -> None:
    async with a_gateway(store, call_timeout_s=60) as gateway, connected(gateway) as station:
        station.answers["SetChargingProfile"] = None
        calls = [asyncio.create_task(gateway.set_charging_profile(STATION, 1, PROFILE)) for _ in range(2)]
        await eventually(lambda: station.asked)

        station.connection.transport.abort()

        async with asyncio.timeout(2):
            first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, OutcomeUnknownError)  # it was sent
    assert isinstance(second, StationOfflineError)  # it was not


async def test_a_station_has_one_call_at_a_time_to_answer(gateway: Gateway, station: Station) -> None:
    waiting: list[int] = []

    def answer(_payload: dict[str, Any]) -> dict[str, Any]:
        waiting.append(len(station.asked))
        return ACCEPTED

    station.answers["RemoteStopTransaction"] = answer
    await asyncio.gather(*(gateway.remote_stop(STATION, number) for number in range(5)))

    assert waiting == [1, 2, 3, 4, 5]
    assert [payload["transactionId"] for _, payload in station.asked] == [0, 1, 2, 3, 4]


async def test_a_station_may_call_while_it_has_a_call_to_answer(gateway: Gateway, station: Station) -> None:
    station.answers["TriggerMessage"] = None
    asking = asyncio.create_task(gateway.trigger(STATION, "Heartbeat"))
    await eventually(lambda: station.asked)

    assert "currentTime" in await station.call("Heartbeat", {})

    asking.cancel()


@pytest.mark.parametrize(
    "profile",
    [
        replace(PROFILE, periods=()),
        replace(PROFILE, periods=(Period(60, 6.0),)),
        replace(PROFILE, periods=(Period(0, 6.0), Period(0, 7.0))),
        replace(PROFILE, periods=(Period(0, -1.0),)),
        replace(PROFILE, periods=(Period(0, float("nan")),)),
        replace(PROFILE, purpose=Purpose.TX),
        replace(PROFILE, stack_level=-1),
    ],
)
async def test_a_profile_that_1_6_cannot_express_is_never_sent(
    gateway: Gateway, station: Station, profile: ChargingProfile
) -> None:
    with pytest.raises(InvalidInputError):
        await gateway.set_charging_profile(STATION, 1, profile)

    assert station.asked == []


@pytest.mark.parametrize(("status", "known"), [("Accepted", True), ("Unknown", False)])
async def test_clearing_sends_only_the_criteria_given(
    gateway: Gateway, station: Station, status: str, known: bool
) -> None:
    station.answers["ClearChargingProfile"] = {"status": status}

    assert await gateway.clear_charging_profile(STATION, purpose=Purpose.TX, evse_id=0) is known

    assert station.asked[0][1] == {"connectorId": 0, "chargingProfilePurpose": "TxProfile"}


async def test_a_composite_schedule_is_read_back(gateway: Gateway, station: Station) -> None:
    station.answers["GetCompositeSchedule"] = composite()

    schedule = await gateway.composite_schedule(STATION, 1, 3600, RateUnit.A)

    assert station.asked[0][1] == {"connectorId": 1, "duration": 3600, "chargingRateUnit": "A"}
    assert (schedule.start, schedule.duration_s, schedule.unit) == (START.replace(microsecond=0), 3600, RateUnit.A)
    assert schedule.periods == (Period(0, 16.0),)


async def test_a_composite_schedule_is_read_through_its_slips(gateway: Gateway, station: Station) -> None:
    periods = [{"startPeriod": 900.4, "limit": "6,123"}, {"startPeriod": 0, "limit": 16.1234567, "numberPhases": 3}]
    station.answers["GetCompositeSchedule"] = composite(
        chargingSchedulePeriod=periods, duration=8.6e12, chargingRateUnit="w", startSchedule=None
    )

    schedule = await gateway.composite_schedule(STATION, 1, 3600)

    assert schedule.periods == (Period(0, 16.1234567, 3), Period(900, 6.123))
    assert (schedule.duration_s, schedule.unit, schedule.start) == (3600, RateUnit.W, START.replace(microsecond=0))


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "Rejected"},
        {"status": "Accepted"},
        composite(chargingSchedulePeriod=[]),
        composite(chargingSchedulePeriod=None),
        composite(chargingSchedulePeriod=["x"]),
        composite(chargingSchedulePeriod=[{"startPeriod": 0}]),
        composite(chargingSchedulePeriod=[{"startPeriod": 0, "limit": -1}]),  # "no limit", some mean: no proof of ours
        composite(chargingRateUnit="kW"),
    ],
)
async def test_a_composite_schedule_that_proves_nothing_is_a_refusal(
    gateway: Gateway, station: Station, answer: dict[str, Any]
) -> None:
    station.answers["GetCompositeSchedule"] = answer

    with pytest.raises(ProfileRejectedError):
        await gateway.composite_schedule(STATION, 1, 3600)


async def test_configuration_is_read_and_changed(gateway: Gateway, station: Station) -> None:
    station.answers["GetConfiguration"] = {
        "configurationKey": [
            {"key": "HeartbeatInterval", "readonly": False, "value": "300"},
            {"key": "Number", "readonly": False, "value": 5},
            {"key": "Empty", "readonly": True},
            "garbage",
        ],
        "unknownKey": ["Missing", 7],
    }
    station.answers["ChangeConfiguration"] = {"status": "RebootRequired"}

    assert await gateway.get_configuration(STATION, ("HeartbeatInterval",)) == {
        "HeartbeatInterval": "300",
        "Number": "5",
        "Empty": None,
        "Missing": None,
    }
    assert await gateway.change_configuration(STATION, "HeartbeatInterval", "60") == "RebootRequired"
    assert station.asked == [
        ("GetConfiguration", {"key": ["HeartbeatInterval"]}),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"}),
    ]


async def test_a_remote_start_carries_a_transaction_profile_without_a_transaction(
    gateway: Gateway, station: Station
) -> None:
    station.answers["RemoteStartTransaction"] = ACCEPTED

    assert await gateway.remote_start(STATION, 2, "TAG", replace(PROFILE, purpose=Purpose.TX)) == "Accepted"

    (_, payload) = station.asked[0]
    assert (payload["connectorId"], payload["idTag"]) == (2, "TAG")
    assert payload["chargingProfile"]["chargingProfilePurpose"] == "TxProfile"
    assert "transactionId" not in payload["chargingProfile"]


async def test_messages_are_triggered(gateway: Gateway, station: Station) -> None:
    station.answers["TriggerMessage"] = ACCEPTED

    assert await gateway.trigger(STATION, "MeterValues", 1) == "Accepted"
    with pytest.raises(InvalidInputError):
        await gateway.trigger(STATION, "Dance")

    assert station.asked == [("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1})]


def configuration(**values: str) -> dict[str, Any]:
    return {"configurationKey": [{"key": key, "readonly": True, "value": value} for key, value in values.items()]}


FULL = configuration(
    ChargeProfileMaxStackLevel="8",
    ChargingScheduleAllowedChargingRateUnit="Current,Power",
    ChargingScheduleMaxPeriods="24",
    MaxChargingProfilesInstalled="10",
    SupportedFeatureProfiles="Core,SmartCharging",
    MeterValueSampleInterval="60",
)


async def test_the_passport_is_read_once_and_stored(gateway: Gateway, station: Station, store: Store) -> None:
    station.answers["GetConfiguration"] = FULL

    passport = await gateway.passport(STATION)

    assert passport == await gateway.passport(STATION)
    assert len(station.asked) == 1
    assert (passport.units, passport.known) == (frozenset({RateUnit.A, RateUnit.W}), True)
    assert (passport.max_periods, passport.max_stack_level, passport.max_profiles) == (24, 8, 10)
    assert passport.raw["MeterValueSampleInterval"] == "60"
    assert (await store.station(STATION)).passport["max_periods"] == 24


async def test_the_passport_outlives_a_reconnect_but_no_boot(gateway: Gateway, store: Store) -> None:
    async with connected(gateway) as station:
        station.answers["GetConfiguration"] = FULL
        passport = await gateway.passport(STATION)
    await eventually(lambda: not gateway.connected())

    async with connected(gateway) as station:
        station.answers["GetConfiguration"] = configuration(ChargingScheduleMaxPeriods="5")
        assert await gateway.passport(STATION) == passport
        assert station.asked == []
        await station.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})

        assert (await gateway.passport(STATION)).max_periods == 5


async def test_the_passport_is_kept_with_its_firmware_beside_what_else_is_known(gateway: Gateway, store: Store) -> None:
    boot = {"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "1.0"}
    await store.update_station(STATION, passport={"learned": {"settings": {}}})
    async with connected(gateway) as station:
        station.answers["GetConfiguration"] = FULL
        await station.call("BootNotification", boot)

        await gateway.passport(STATION)

    kept = (await store.station(STATION)).passport
    assert (kept["firmware"], kept["max_periods"], kept["learned"]) == ("1.0", 24, {"settings": {}})


async def test_a_station_that_has_no_configuration_gets_the_safe_defaults(gateway: Gateway, station: Station) -> None:
    station.answers["GetConfiguration"] = [4, "NotImplemented", "", {}]

    assert await gateway.passport(STATION) == replace(Passport(), known=True)


async def test_a_station_that_takes_fewer_keys_is_asked_for_all_it_has(gateway: Gateway, station: Station) -> None:
    station.answers["GetConfiguration"] = lambda payload: (
        [4, "OccurenceConstraintViolation", "too many keys", {}] if payload else FULL
    )

    assert (await gateway.passport(STATION)).max_periods == 24


async def test_a_plain_call_is_sent_as_it_is_and_answered_as_it_came(gateway: Gateway, station: Station) -> None:
    station.answers["DataTransfer"] = {"status": "Accepted", "data": "42", "vendorField": [1]}

    answer = await gateway.call(STATION, "DataTransfer", {"vendorId": "v", "data": "x"})

    assert answer == {"status": "Accepted", "data": "42", "vendorField": [1]}
    assert station.asked == [("DataTransfer", {"vendorId": "v", "data": "x"})]
    assert gateway.version(STATION) == "1.6"


async def test_a_plain_call_fails_in_three_ways(gateway: Gateway, station: Station) -> None:
    station.answers["Reset"] = [4, "InternalError", "no", {}]
    station.answers["UnlockConnector"] = None

    with pytest.raises(CallFailedError):
        await gateway.call(STATION, "Reset", {"type": "Soft"})
    with pytest.raises(OutcomeUnknownError, match=r"within 0\.05 s"):
        await gateway.call(STATION, "UnlockConnector", {"connectorId": 1}, timeout_s=0.05)
    with pytest.raises(StationOfflineError):
        await gateway.call("cs99", "Reset", {"type": "Soft"})
