"""A simulated station of OCPP 2.0.1 and 2.1 on a real socket; everything it says is checked by the schemas."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from app.clock import SteppedClock
from app.demo.faults import Fault
from app.demo.profiles_held import EXTERNAL, HeldProfile, Limit
from app.demo.station import SimulatedStation
from tests.app.demo.builders import MIDNIGHT, a_car, a_station
from tests.app.demo.plain_csms import Json, PlainCsms, a_document

NINE = MIDNIGHT + timedelta(hours=9)
VERSIONS = ["2.0.1", "2.1"]


@asynccontextmanager
async def a_world(version: str, **spec: Any) -> AsyncIterator[tuple[SteppedClock, PlainCsms, SimulatedStation]]:
    clock = SteppedClock(NINE)
    station = a_station(clock, version=version, **spec)
    async with PlainCsms.open(clock, version) as csms:
        task = asyncio.create_task(station.run(csms.url))
        try:
            await asyncio.wait_for(station.booted.wait(), 5)
            await clock.settle()
            yield clock, csms, station
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def running_id(station: SimulatedStation) -> str:
    running = station.transaction(1)
    assert running is not None
    return str(running.transaction_id)


@pytest.mark.parametrize("version", VERSIONS)
async def test_tells_a_transaction_from_its_start_to_its_end_in_numbered_events(version: str) -> None:
    async with a_world(version) as (clock, csms, station):
        await station.plug_in(1, a_car(), "tag-1")
        await clock.run_until(NINE + timedelta(minutes=3))
        await station.unplug(1)

        events = csms.all("TransactionEvent")
    assert [event["eventType"] for event in events] == ["Started"] + ["Updated"] * 4 + ["Ended"]
    assert [event["seqNo"] for event in events] == list(range(6))
    assert {event["transactionInfo"]["transactionId"] for event in events} == {
        events[0]["transactionInfo"]["transactionId"]
    }
    assert events[1]["transactionInfo"]["chargingState"] == "Charging"
    assert not any(event["offline"] for event in events)
    assert [row["connectorStatus"] for row in csms.all("StatusNotification")] == ["Available", "Occupied", "Available"]
    register = events[-1]["meterValue"][0]["sampledValue"][0]
    assert register["context"] == "Transaction.End"
    assert register["value"] == pytest.approx(3 * 16 * 230 / 20, abs=1)


async def test_what_happened_offline_is_told_afterwards_and_marked_so() -> None:
    async with a_world("2.0.1") as (clock, csms, station):
        await station.plug_in(1, a_car(), "tag-1")
        await station.drop_connection()
        await clock.settle()
        station.booted.clear()  # it reboots as well
        await station.unplug(1)
        await clock.run_until(NINE + timedelta(minutes=2))

        events = csms.all("TransactionEvent")
    assert [event["offline"] for event in events] == [False, False, True]
    assert events[-1]["eventType"] == "Ended"


async def test_a_token_that_is_refused_draws_nothing() -> None:
    async with a_world("2.1") as (clock, csms, station):
        csms.token_status = "Blocked"
        await station.plug_in(1, a_car(), "stranger")
        await clock.run_until(NINE + timedelta(minutes=2))

        assert csms.all("TransactionEvent") == []
        assert station.outlets[1].energy_kwh == 0


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_current_follows_the_profile_and_the_composite_says_so(version: str) -> None:
    async with a_world(version) as (clock, csms, station):
        await station.plug_in(1, a_car(), "tag-1")
        profile = a_document((0, 10.0), (600, 6.0), purpose="TxProfile", start=NINE, transactionId=running_id(station))

        assert (await csms.set_profile(profile))["status"] == "Accepted"
        reply = await csms.ask("GetCompositeSchedule", {"evseId": 1, "duration": 900, "chargingRateUnit": "A"})
        await clock.run_until(NINE + timedelta(minutes=5))
        station.advance()

    assert station.outlets[1].current_a == 10.0
    periods = reply["schedule"]["chargingSchedulePeriod"]
    assert [(period["startPeriod"], period["limit"]) for period in periods] == [(0, 10.0), (600, 6.0)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"purpose": "TxProfile", "transactionId": "no-such"}, "TxNotFound"),
        ({"purpose": "ChargingStationMaxProfile"}, "InvalidProfile"),
        ({"stackLevel": 9}, "InvalidStackLevel"),
        ({"id": 2}, "DuplicateProfile"),
    ],
)
async def test_declines_with_a_reason(changes: Json, reason: str) -> None:
    async with a_world("2.0.1") as (_, csms, station):
        await csms.set_profile(a_document((0, 16.0), start=NINE))
        document = a_document((0, 10.0), start=NINE, **changes)
        reply = await csms.set_profile(document)

        assert (reply["status"], reply["statusInfo"]["reasonCode"]) == ("Rejected", reason)
        assert [profile.periods[0][1].value for profile in station.profiles] == [16.0]


@pytest.mark.parametrize("version", VERSIONS)
async def test_reports_the_profiles_that_match_in_parts(version: str) -> None:
    async with a_world(version, evses=2) as (clock, csms, _station):
        for number in (1, 2, 3):
            await csms.set_profile(a_document((0, 16.0), start=NINE, id=number, stackLevel=number), evse_id=1)
        await csms.set_profile(a_document((0, 60.0), start=NINE, id=9, purpose="ChargingStationMaxProfile"), evse_id=0)

        nothing = await csms.ask("GetChargingProfiles", {"requestId": 1, "evseId": 2, "chargingProfile": {}})
        some = await csms.ask("GetChargingProfiles", {"requestId": 2, "chargingProfile": {"stackLevel": 2}})
        everything = await csms.ask("GetChargingProfiles", {"requestId": 3, "chargingProfile": {}})
        await clock.settle()
        reports = csms.all("ReportChargingProfiles")

    assert [reply["status"] for reply in (nothing, some, everything)] == ["NoProfiles", "Accepted", "Accepted"]
    assert [report["tbc"] for report in reports] == [False, True, True, False]
    ids = [[profile["id"] for profile in report["chargingProfile"]] for report in reports]
    assert ids == [[2], [9], [1, 2], [3]]
    assert reports[1]["chargingProfile"][0]["chargingProfilePurpose"] == "ChargingStationMaxProfile"


async def test_clears_by_id_and_by_criteria() -> None:
    async with a_world("2.0.1") as (_, csms, station):
        for number in (1, 2, 3):
            await csms.set_profile(a_document((0, 16.0), start=NINE, id=number, stackLevel=number))

        replies = [
            await csms.ask("ClearChargingProfile", {"chargingProfileId": 2}),
            await csms.ask("ClearChargingProfile", {"chargingProfileId": 2}),
            await csms.ask("ClearChargingProfile", {"chargingProfileCriteria": {"stackLevel": 3, "evseId": 1}}),
        ]

        assert [reply["status"] for reply in replies] == ["Accepted", "Unknown", "Accepted"]
        assert [profile.profile_id for profile in station.profiles] == [1]


@pytest.mark.parametrize("version", VERSIONS)
async def test_reports_its_device_model_and_lets_it_be_read_and_written(version: str) -> None:
    async with a_world(version, evses=2) as (clock, csms, station):
        await csms.ask("GetBaseReport", {"requestId": 7, "reportBase": "FullInventory"})
        await clock.settle()
        parts = csms.all("NotifyReport")
        reply = await csms.ask(
            "GetVariables",
            {
                "getVariableData": [
                    {"component": {"name": "SmartChargingCtrlr"}, "variable": {"name": "RateUnit"}},
                    {"component": {"name": "SmartChargingCtrlr"}, "variable": {"name": "NoSuch"}},
                    {"component": {"name": "NoSuchCtrlr"}, "variable": {"name": "Enabled"}},
                ]
            },
        )
        interval = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxUpdatedInterval"}}
        units = {"component": {"name": "SmartChargingCtrlr"}, "variable": {"name": "RateUnit"}}
        written = await csms.ask(
            "SetVariables",
            {"setVariableData": [interval | {"attributeValue": "30"}, units | {"attributeValue": "W"}]},
        )

    rows = [row for part in parts for row in part["reportData"]]
    assert [part["seqNo"] for part in parts] == list(range(len(parts)))
    assert [part["tbc"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert sum(row["component"]["name"] == "EVSE" for row in rows) == 6
    results = reply["getVariableResult"]
    assert [row["attributeStatus"] for row in results] == ["Accepted", "UnknownVariable", "UnknownComponent"]
    assert results[0]["attributeValue"] == "A,W"
    assert [row["attributeStatus"] for row in written["setVariableResult"]] == ["Accepted", "Rejected"]
    assert station.sample_interval_s == 30


@pytest.mark.parametrize("version", VERSIONS)
async def test_starts_and_stops_on_request_with_the_profile_that_came_along(version: str) -> None:
    async with a_world(version) as (clock, csms, station):
        csms.token_status = "Invalid"
        await station.plug_in(1, a_car(), "stranger")
        csms.token_status = "Accepted"
        token = {"idToken": "tag-2", "type": "ISO14443"}
        profile = a_document((0, 8.0), purpose="TxProfile", start=NINE)
        request = {"remoteStartId": 5, "evseId": 1, "idToken": token, "chargingProfile": profile}

        assert (await csms.ask("RequestStartTransaction", request))["status"] == "Accepted"
        await clock.run_until(NINE + timedelta(minutes=2))
        drawn_a = station.outlets[1].current_a
        transaction_id = running_id(station)
        await csms.ask("RequestStopTransaction", {"transactionId": transaction_id})
        await clock.settle()

        events = csms.all("TransactionEvent")
    assert drawn_a == 8.0
    assert events[0]["transactionInfo"]["remoteStartId"] == 5
    assert (events[-1]["eventType"], events[-1]["transactionInfo"]["stoppedReason"]) == ("Ended", "Remote")


@pytest.mark.parametrize("version", VERSIONS)
async def test_says_what_a_vehicle_needs_and_what_limits_it_at_its_place(version: str) -> None:
    async with a_world(version) as (clock, csms, station):
        await station.plug_in(1, a_car(), "tag-1")
        await station.tell_needs(1, 12.5, NINE + timedelta(hours=4))
        limit = HeldProfile(-1, 0, 0, EXTERNAL, NINE, ((0, Limit(7.0, "A")),))

        await station.constrain(limit)
        await clock.run_until(NINE + timedelta(minutes=1))
        limited_a = station.outlets[1].current_a
        cleared = await csms.ask("ClearChargingProfile", {"chargingProfileId": -1})
        await station.constrain(None)
        await clock.run_until(NINE + timedelta(minutes=2))
        station.advance()

        needs = csms.all("NotifyEVChargingNeeds")[0]["chargingNeeds"]
        assert needs["acChargingParameters"]["energyAmount"] == 12500
        assert cleared["status"] == "Unknown"
        assert (limited_a, station.outlets[1].current_a) == (7.0, 16.0)
        assert len(csms.all("NotifyChargingLimit")) == len(csms.all("ClearedChargingLimit")) == 1


async def test_a_dynamic_profile_takes_new_limits_and_priority_charging_stands_above_it() -> None:
    async with a_world("2.1") as (clock, csms, station):
        await station.plug_in(1, a_car(), "tag-1")
        own = {"transactionId": running_id(station)}
        dynamic = a_document((0, 6.0), purpose="TxProfile", start=NINE, chargingProfileKind="Dynamic", **own)
        await csms.set_profile(dynamic)
        await csms.set_profile(a_document((0, 15.0), purpose="PriorityCharging", start=NINE, id=2))
        drawn_a = []

        async def look(minute: int) -> None:
            await clock.run_until(NINE + timedelta(minutes=minute))
            station.advance()
            drawn_a.append(station.outlets[1].current_a)

        await look(1)
        await csms.ask("UpdateDynamicSchedule", {"chargingProfileId": 1, "scheduleUpdate": {"limit": 9.0}})
        await look(2)
        await csms.ask("UsePriorityCharging", own | {"activate": True})
        await look(3)
        await csms.ask("UsePriorityCharging", own | {"activate": False})
        await look(4)

    assert drawn_a == [6.0, 9.0, 15.0, 9.0]


async def test_a_profile_ends_when_the_station_was_offline_for_longer_than_it_may() -> None:
    async with a_world("2.1") as (clock, csms, station):
        await station.plug_in(1, a_car(), "tag-1")
        await csms.set_profile(a_document((0, 6.0), start=NINE, id=1, stackLevel=0))
        await csms.set_profile(a_document((0, 14.0), start=NINE, id=2, maxOfflineDuration=60))
        station.advance()
        before_a = station.offered_a(1)

        station.profiles.offline_since = NINE
        await clock.run_until(NINE + timedelta(seconds=90))
        station.advance()

        drawn = [float(a) for trace in station.outlets[1].traces for a in trace.current_a]
    assert before_a == 14.0
    assert drawn == [14.0] * 60 + [6.0] * 30


async def test_a_relative_default_begins_when_it_is_received_in_a_running_transaction() -> None:
    async with a_world("2.0.1") as (clock, csms, station):
        await station.plug_in(1, a_car(), "tag-1")
        await clock.run_until(NINE + timedelta(minutes=10))

        relative = a_document((0, 6.0), (300, 12.0), start=NINE, chargingProfileKind="Relative")
        await csms.set_profile(relative)
        offered_a = []
        for minute in (11, 16):
            await clock.run_until(NINE + timedelta(minutes=minute))
            offered_a.append(station.offered_a(1))

    assert offered_a == [6.0, 12.0]


async def test_an_action_that_it_does_not_know_is_an_error() -> None:
    async with a_world("2.0.1") as (_, csms, _station):
        with pytest.raises(RuntimeError, match="NotSupported"):
            await csms.ask("ClearCache", {})


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_meter_that_is_wrong_shows_it_in_every_version(version: str) -> None:
    async with a_world(version) as (clock, csms, station):
        station.faults.switch_on(Fault.METER_KWH, Fault.METER_ZERO)
        await station.plug_in(1, a_car(), "tag-1")
        await clock.run_until(NINE + timedelta(hours=1))

        values = csms.all("TransactionEvent")[-1]["meterValue"][0]["sampledValue"]
    shown = {value["measurand"]: value["value"] for value in values if value.get("phase") in (None, "L1")}
    assert shown["Energy.Active.Import.Register"] == pytest.approx(11.04, abs=0.2)
    assert shown["Power.Active.Import"] == shown["Current.Import"] == 0
