"""One suite for every `CsmsConnector`: our gateway with a station on a WebSocket, and other CSMSs over HTTP.

Whatever the road, a command ends in one of four ways, an answer belongs to the call that it answers, and what a
station says comes to the same store and the same events.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from app.csms.connector import ChargingProfile, CsmsConnector, OcppVersion, Period, Purpose, RateUnit
from app.csms.timestamps import iso_utc
from app.db.records import Transaction
from app.db.store import Store
from app.errors import CallFailedError, OutcomeUnknownError, ProfileRejectedError, StationError, StationOfflineError
from app.events import Event, Events, StatusChanged, TransactionStarted, TransactionStopped
from tests.app.csms.other_csms import OtherCsms, behind_another
from tests.app.csms.stations import STATION, Json, Station, a_gateway, dial, eventually, of_kind, recorded

ACCEPTED = {"status": "Accepted"}
NOW = datetime.now(UTC).replace(microsecond=0)
PROFILE = ChargingProfile(
    profile_id=7,
    stack_level=1,
    purpose=Purpose.TX_DEFAULT,
    unit=RateUnit.A,
    start=NOW - timedelta(minutes=1),
    periods=(Period(0, 16.0), Period(900, 6.0)),
    duration_s=3600,
)
PATIENCE_S = 0.4  # where a test waits for a time-out
THEIR_NUMBER = 4711  # of the station's transaction, as another CSMS counts; our gateway gives its own


class RememberingStation(Station):
    """Knows the id of the last call, to answer it late, and how many calls were open at once: none may follow one."""

    last_id = ""

    async def _answer(self, message_id: str, action: str, payload: Json) -> None:
        self.last_id = message_id
        await super()._answer(message_id, action, payload)


@dataclass
class Rig:
    """One connector with the station cs01, and the hands that move both."""

    name: str
    version: OcppVersion
    connector: CsmsConnector
    answers: dict[str, Any]
    asked: list[tuple[str, Json]]
    seen: list[Event]
    store: Store
    says: Callable[[str, Json, Json | None], Awaitable[Any]]
    answer_late: Callable[[Json], Awaitable[None]]
    leave: Callable[[], Awaitable[Any]]  # the station goes, and its CSMS notices
    other: OtherCsms | None = None

    @property
    def words(self) -> "Words":
        return WORDS[self.version]

    async def charges(self, *, seq_no: int = 0) -> Transaction:
        """A transaction that the station has begun at EVSE 1."""
        action, payload = self.words.start
        await self.says(action, payload | ({"seqNo": seq_no} if "seqNo" in payload else {}), self.words.their_answer)
        (transaction,) = await self.store.transactions(station_id=STATION, running=True)
        return transaction


@dataclass(frozen=True)
class Words:
    """How one version spells what the suite says and expects."""

    start: tuple[str, Json]
    stop: tuple[str, Json]
    their_answer: Json
    their_transaction: Any
    remote_start: str
    remote_stop: str
    profile: Callable[[Json], Json]  # the profile in a SetChargingProfile
    composite: Json
    configuration: tuple[str, Json]  # a call that reads, and its answer
    status: Json


WORDS: dict[str, Words] = {
    "1.6": Words(
        start=(
            "StartTransaction",
            {"connectorId": 1, "idTag": "VAN-7", "meterStart": 1000, "timestamp": iso_utc(NOW)},
        ),
        stop=(
            "StopTransaction",
            {"transactionId": THEIR_NUMBER, "meterStop": 4000, "timestamp": iso_utc(NOW + timedelta(seconds=1))},
        ),
        their_answer={"transactionId": THEIR_NUMBER, "idTagInfo": ACCEPTED},
        their_transaction=THEIR_NUMBER,
        remote_start="RemoteStartTransaction",
        remote_stop="RemoteStopTransaction",
        profile=lambda payload: cast(Json, payload["csChargingProfiles"]),
        composite={
            "status": "Accepted",
            "connectorId": 1,
            "scheduleStart": iso_utc(NOW),
            "chargingSchedule": {
                "duration": 600,
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}],
            },
        },
        configuration=(
            "GetConfiguration",
            {
                "configurationKey": [
                    {"key": "ChargingScheduleMaxPeriods", "readonly": True, "value": "12"},
                    {"key": "ChargeProfileMaxStackLevel", "readonly": True, "value": "3"},
                ]
            },
        ),
        status={"connectorId": 1, "status": "Charging", "errorCode": "NoError", "timestamp": iso_utc(NOW)},
    ),
    "2.0.1": Words(
        start=(
            "TransactionEvent",
            {
                "eventType": "Started",
                "timestamp": iso_utc(NOW),
                "triggerReason": "CablePluggedIn",
                "seqNo": 0,
                "transactionInfo": {"transactionId": "tx-9"},
                "evse": {"id": 1, "connectorId": 1},
            },
        ),
        stop=(
            "TransactionEvent",
            {
                "eventType": "Ended",
                "timestamp": iso_utc(NOW + timedelta(seconds=1)),
                "triggerReason": "EVDeparted",
                "seqNo": 9,
                "transactionInfo": {"transactionId": "tx-9", "stoppedReason": "EVDisconnected"},
            },
        ),
        their_answer={},
        their_transaction="tx-9",
        remote_start="RequestStartTransaction",
        remote_stop="RequestStopTransaction",
        profile=lambda payload: cast(Json, payload["chargingProfile"]),
        composite={
            "status": "Accepted",
            "schedule": {
                "evseId": 1,
                "duration": 600,
                "scheduleStart": iso_utc(NOW),
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}],
            },
        },
        configuration=(
            "GetVariables",
            {
                "getVariableResult": [
                    {
                        "attributeStatus": "Accepted",
                        "attributeValue": "12",
                        "component": {"name": "SmartChargingCtrlr"},
                        "variable": {"name": "PeriodsPerSchedule"},
                    },
                    {
                        "attributeStatus": "Accepted",
                        "attributeValue": "3",
                        "component": {"name": "SmartChargingCtrlr"},
                        "variable": {"name": "ProfileStackLevel"},
                    },
                ]
            },
        ),
        status={"evseId": 1, "connectorId": 1, "connectorStatus": "Occupied", "timestamp": iso_utc(NOW)},
    ),
}
RIGS = [
    "gateway 1.6",
    "gateway 2.0.1",
    "citrineos 1.6",
    "citrineos 2.0.1",
    "webhook 1.6",
    "webhook 2.0.1",
    "webhook-later 1.6",
]


@asynccontextmanager
async def a_rig(store: Store, name: str, timeout_s: float = 5.0) -> AsyncIterator[Rig]:
    kind, _, spoken = name.partition(" ")
    version = cast(OcppVersion, spoken)
    events = Events()
    seen = recorded(events)
    if kind != "gateway":
        async with behind_another(store, kind, version, events=events, timeout_s=timeout_s) as (other, remotes):
            connector = remotes.by_station()[STATION]
            await other.says_station_is(there=True)
            await eventually(lambda: STATION in connector.connected() and other.station.asked)
            other.station.asked.clear()  # the question whether it is there

            async def others_word(action: str, payload: Json, answer: Json | None) -> None:
                assert (await other.station_says(action, payload, answer)).is_success

            yield Rig(
                name,
                version,
                connector,
                other.station.answers,
                other.station.asked,
                seen,
                store,
                others_word,
                other.answer,
                lambda: other.says_station_is(there=False),
                other,
            )
        return
    async with (
        a_gateway(store, events=events, call_timeout_s=timeout_s) as gateway,
        dial(gateway, subprotocols=(f"ocpp{version}",)) as connection,
    ):
        station = RememberingStation(connection)
        listening = asyncio.create_task(station.listen())

        async def own_word(action: str, payload: Json, _answer: Json | None) -> None:
            if action == "StopTransaction":  # by the number that our gateway gave it
                (running,) = await store.transactions(station_id=STATION)
                payload = payload | {"transactionId": running.transaction_id}
            await station.call(action, payload)

        async def late(answer: Json) -> None:
            await station.send([3, station.last_id, answer])
            await station.call("Heartbeat", {})

        yield Rig(name, version, gateway, station.answers, station.asked, seen, store, own_word, late, connection.close)
        await connection.close()
        await listening


@pytest.fixture(params=RIGS)
async def rig(store: Store, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with a_rig(store, request.param) as built:
        yield built


@pytest.fixture(params=RIGS)
async def impatient(store: Store, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with a_rig(store, request.param, PATIENCE_S) as built:
        yield built


# --- the four outcomes


async def test_a_profile_is_delivered(rig: Rig) -> None:
    rig.answers["SetChargingProfile"] = ACCEPTED

    await rig.connector.set_charging_profile(STATION, 1, PROFILE)

    ((action, payload),) = rig.asked
    assert action == "SetChargingProfile"
    assert rig.words.profile(payload)["stackLevel"] == 1
    assert rig.words.profile(payload)["chargingProfilePurpose"] == "TxDefaultProfile"


async def test_a_declined_profile_says_so_in_the_stations_word(rig: Rig) -> None:
    rig.answers["SetChargingProfile"] = {"status": "Rejected"}

    with pytest.raises(ProfileRejectedError) as declined:
        await rig.connector.set_charging_profile(STATION, 1, PROFILE)

    assert declined.value.status.startswith("Rejected")
    assert len(rig.asked) == 1


async def test_a_call_error_is_a_failed_call_or_where_none_is_passed_on_an_unknown_outcome(impatient: Rig) -> None:
    impatient.answers["SetChargingProfile"] = [4, "NotSupported", "no smart charging", {}]
    passes_errors_on = not impatient.name.startswith("citrineos")

    with pytest.raises(StationError) as failed:
        await impatient.connector.set_charging_profile(STATION, 1, PROFILE)

    assert isinstance(failed.value, CallFailedError if passes_errors_on else OutcomeUnknownError)
    assert getattr(failed.value, "code", "NotSupported") == "NotSupported"


async def test_a_station_that_has_left_is_offline(rig: Rig) -> None:
    rig.answers["SetChargingProfile"] = ACCEPTED
    await rig.leave()
    await eventually(lambda: not rig.connector.connected())

    with pytest.raises(StationOfflineError):
        await rig.connector.set_charging_profile(STATION, 1, PROFILE)

    assert rig.asked == []
    assert not (await rig.store.station(STATION)).connected


async def test_silence_is_an_unknown_outcome(impatient: Rig) -> None:
    impatient.answers["SetChargingProfile"] = None

    with pytest.raises(OutcomeUnknownError, match="SetChargingProfile was not answered within"):
        await impatient.connector.set_charging_profile(STATION, 1, PROFILE)

    assert len(impatient.asked) == 1


async def test_a_station_that_leaves_before_it_answers_is_an_unknown_outcome_at_once(rig: Rig) -> None:
    rig.answers["SetChargingProfile"] = None
    sending = asyncio.create_task(rig.connector.set_charging_profile(STATION, 1, PROFILE))
    await eventually(lambda: rig.asked)

    await rig.leave()

    with pytest.raises(OutcomeUnknownError):
        async with asyncio.timeout(2):
            await sending


# --- answers and the calls that they belong to


async def test_a_late_answer_is_nobodys(impatient: Rig) -> None:
    impatient.answers["SetChargingProfile"] = None
    with pytest.raises(OutcomeUnknownError):
        await impatient.connector.set_charging_profile(STATION, 1, PROFILE)
    impatient.answers["ClearChargingProfile"] = {"status": "Unknown"}

    await impatient.answer_late(ACCEPTED)

    assert not await impatient.connector.clear_charging_profile(STATION, profile_id=7)


async def test_calls_at_the_same_time_each_get_their_own_answer_one_after_the_other(rig: Rig) -> None:
    rig.answers["ClearChargingProfile"] = lambda payload: {
        "status": "Accepted" if payload.get("id", payload.get("chargingProfileId", 0)) % 2 else "Unknown"
    }

    answers = await asyncio.gather(
        *(rig.connector.clear_charging_profile(STATION, profile_id=number) for number in range(12))
    )

    assert answers == [number % 2 == 1 for number in range(12)]
    assert rig.other is None or rig.other.station.most_at_once == 1


async def test_a_cancelled_call_leaves_the_road_free(rig: Rig) -> None:
    rig.answers |= {"SetChargingProfile": None, "ClearChargingProfile": ACCEPTED}
    sending = asyncio.create_task(rig.connector.set_charging_profile(STATION, 1, PROFILE))
    await eventually(lambda: rig.asked)

    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await rig.answer_late({"status": "Rejected"})

    assert sending.cancelled()
    assert await rig.connector.clear_charging_profile(STATION, profile_id=7)


# --- everything else that a connector is for


async def test_a_profile_is_cleared_and_one_that_is_not_there_is_no_error(rig: Rig) -> None:
    rig.answers["ClearChargingProfile"] = ACCEPTED
    was_there = await rig.connector.clear_charging_profile(STATION, profile_id=7)

    rig.answers["ClearChargingProfile"] = {"status": "Unknown"}
    is_there = await rig.connector.clear_charging_profile(STATION, evse_id=1, purpose=Purpose.TX_DEFAULT)

    assert (was_there, is_there) == (True, False)


async def test_what_the_station_will_do_is_read_back(rig: Rig) -> None:
    rig.answers["GetCompositeSchedule"] = rig.words.composite

    schedule = await rig.connector.composite_schedule(STATION, 1, 600, RateUnit.A)

    assert (schedule.start, schedule.duration_s, schedule.unit) == (NOW, 600, RateUnit.A)
    assert schedule.periods == (Period(0, 16.0),)


async def test_a_station_may_decline_to_say_what_it_will_do(rig: Rig) -> None:
    rig.answers["GetCompositeSchedule"] = {"status": "Rejected"}

    with pytest.raises(ProfileRejectedError):
        await rig.connector.composite_schedule(STATION, 1, 600)


async def test_the_passport_is_read_once(rig: Rig) -> None:
    action, answer = rig.words.configuration
    rig.answers |= {action: answer, "GetBaseReport": {"status": "NotSupported"}}

    passport = await rig.connector.passport(STATION)
    asked = len(rig.asked)
    again = await rig.connector.passport(STATION)

    assert (passport.max_periods, passport.max_stack_level, passport.known) == (12, 3, True)
    assert again == passport
    assert len(rig.asked) == asked


async def test_configuration_is_read_and_changed(rig: Rig) -> None:
    action, answer = rig.words.configuration
    changed = {
        "attributeStatus": "RebootRequired",
        "component": {"name": "SmartChargingCtrlr"},
        "variable": {"name": "Enabled"},
    }
    rig.answers |= {
        action: answer,
        "ChangeConfiguration": {"status": "RebootRequired"},
        "SetVariables": {"setVariableResult": [changed]},
    }
    key = "ChargingScheduleMaxPeriods" if rig.version == "1.6" else "SmartChargingCtrlr.PeriodsPerSchedule"

    values = await rig.connector.get_configuration(STATION, (key,))
    status = await rig.connector.change_configuration(STATION, "SmartChargingCtrlr.Enabled", "true")

    assert values[key] == "12"
    assert status == "RebootRequired"


async def test_a_message_is_triggered(rig: Rig) -> None:
    rig.answers["TriggerMessage"] = ACCEPTED

    status = await rig.connector.trigger(STATION, "MeterValues", 1)

    assert status == "Accepted"
    assert rig.asked[-1][1]["requestedMessage"] == "MeterValues"


async def test_a_transaction_is_started_and_stopped_from_afar(rig: Rig) -> None:
    rig.answers |= {rig.words.remote_start: ACCEPTED, rig.words.remote_stop: {"status": "Rejected"}}
    started = await rig.connector.remote_start(STATION, 1, "VAN-7")
    transaction = await rig.charges()

    stopped = await rig.connector.remote_stop(STATION, transaction.transaction_id)

    assert (started, stopped) == ("Accepted", "Rejected")
    assert [action for action, _ in rig.asked] == [rig.words.remote_start, rig.words.remote_stop]
    assert rig.asked[-1][1]["transactionId"] == their_name(rig, transaction)


@pytest.mark.parametrize(("is_operative", "word"), [(False, "Inoperative"), (True, "Operative")])
async def test_an_evse_is_set_aside_and_brought_back(is_operative: bool, word: str, rig: Rig) -> None:
    rig.answers["ChangeAvailability"] = {"status": "Scheduled"}

    status = await rig.connector.change_availability(STATION, 1, is_operative=is_operative)

    assert status == "Scheduled"
    [(_, asked)] = rig.asked
    assert word in asked.values()
    assert 1 in (asked.get("connectorId"), asked.get("evse", {}).get("id"))


async def test_a_profile_for_a_transaction_names_it_as_the_station_does(rig: Rig) -> None:
    rig.answers["SetChargingProfile"] = ACCEPTED
    transaction = await rig.charges()
    profile = replace(PROFILE, purpose=Purpose.TX, transaction_id=transaction.transaction_id)

    await rig.connector.set_charging_profile(STATION, 1, profile)

    assert rig.words.profile(rig.asked[-1][1])["transactionId"] == their_name(rig, transaction)


# --- what the station says


async def test_what_a_station_says_comes_to_the_store_and_to_the_events(rig: Rig) -> None:
    await rig.says("StatusNotification", rig.words.status, {})
    transaction = await rig.charges()
    await rig.says(*rig.words.stop, {})

    (status,) = await rig.store.evse_statuses("depot")
    (stopped,) = await rig.store.transactions(station_id=STATION)
    assert (status.evse_id, status.error_code) == (1, "NoError")
    assert (stopped.transaction_id, stopped.is_running) == (transaction.transaction_id, False)
    assert of_kind(rig.seen, StatusChanged)
    (begun,) = of_kind(rig.seen, TransactionStarted)
    (ended,) = of_kind(rig.seen, TransactionStopped)
    assert (begun.transaction_id, ended.transaction_id) == (transaction.transaction_id, transaction.transaction_id)


async def test_what_is_said_twice_has_happened_once(rig: Rig) -> None:
    for _ in range(2):
        await rig.says(*rig.words.start, rig.words.their_answer)
    for _ in range(2):
        await rig.says(*rig.words.stop, {})

    assert len(await rig.store.transactions(station_id=STATION)) == 1
    assert len(of_kind(rig.seen, TransactionStarted)) == 1
    assert len(of_kind(rig.seen, TransactionStopped)) == 1


def their_name(rig: Rig, transaction: Transaction) -> Any:
    is_ours = rig.name == "gateway 1.6"  # the gateway numbers 1.6 transactions itself
    return transaction.transaction_id if is_ours else rig.words.their_transaction
