"""CitrineOS: what its message API asks for, what it does not tell, and how its stricter account of profiles is met."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from app.csms.connector import ChargingProfile, CsmsConnector, OcppVersion, Period, Purpose, RateUnit
from app.csms.remote.citrineos import without_future_validity
from app.db.store import Store
from app.errors import CallFailedError, OutcomeUnknownError, ProfileRejectedError, StationOfflineError
from tests.app.csms.other_csms import OtherCsms, behind_another
from tests.app.csms.stations import STATION, eventually

ACCEPTED = {"status": "Accepted"}
NOW = datetime.now(UTC).replace(microsecond=0)
PROFILE = ChargingProfile(
    profile_id=7,
    stack_level=1,
    purpose=Purpose.TX_DEFAULT,
    unit=RateUnit.A,
    start=NOW - timedelta(minutes=1),
    periods=(Period(0, 16.0),),
    duration_s=3600,
)
START = {"connectorId": 1, "idTag": "VAN-7", "meterStart": 0, "timestamp": "2026-06-01T12:00:00Z"}


@asynccontextmanager
async def a_citrineos(
    store: Store, version: OcppVersion = "2.0.1", timeout_s: float = 5.0
) -> AsyncIterator[tuple[OtherCsms, CsmsConnector]]:
    """With its station there, and the first question answered."""
    async with behind_another(store, "citrineos", version, timeout_s=timeout_s) as (citrineos, remotes):
        connector = remotes.by_station()[STATION]
        await eventually(connector.connected)
        citrineos.station.asked.clear()
        citrineos.station.answers |= {"SetChargingProfile": ACCEPTED, "ClearChargingProfile": ACCEPTED}
        yield citrineos, connector


async def test_a_station_that_answers_is_there_without_a_subscription(store: Store) -> None:
    async with a_citrineos(store) as (_, connector):
        assert connector.connected() == {STATION}
        assert (await store.station(STATION)).ocpp_version == "2.0.1"


async def test_a_profile_that_citrineos_would_refuse_as_a_second_one_follows_a_clearing(store: Store) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        await connector.set_charging_profile(STATION, 1, PROFILE)

        await connector.set_charging_profile(STATION, 1, replace(PROFILE, periods=(Period(0, 10.0),)))

        actions = [action for action, _ in citrineos.station.asked]
        assert actions == ["SetChargingProfile", "ClearChargingProfile", "SetChargingProfile"]
        assert citrineos.station.asked[1][1] == {"chargingProfileId": 7}


async def test_a_refusal_with_nothing_to_clear_leaves_the_station_as_it_was(store: Store) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        citrineos.active[(1, "TxDefaultProfile", 1, None)] = 99  # another's
        citrineos.station.answers["ClearChargingProfile"] = {"status": "Unknown"}

        with pytest.raises(CallFailedError, match="same stack level") as refused:
            await connector.set_charging_profile(STATION, 1, PROFILE)

        assert refused.value.code == "CsmsRefused"
        assert [action for action, _ in citrineos.station.asked] == ["ClearChargingProfile"]


async def test_a_profile_that_is_refused_after_the_clearing_is_an_unknown_outcome(store: Store) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        citrineos.active[(1, "TxDefaultProfile", 1, None)] = 99

        with pytest.raises(OutcomeUnknownError, match="the old profile was cleared"):
            await connector.set_charging_profile(STATION, 1, PROFILE)


async def test_a_profile_that_only_begins_later_is_sent_without_its_valid_from(store: Store) -> None:
    later = NOW + timedelta(hours=1)
    async with a_citrineos(store) as (citrineos, connector):
        await connector.set_charging_profile(STATION, 1, replace(PROFILE, start=later, valid_from=later))

        ((_, payload),) = citrineos.station.asked
        assert "validFrom" not in payload["chargingProfile"]


def test_a_profile_that_would_hold_before_its_time_is_not_sent() -> None:
    profile = {
        "validFrom": (NOW + timedelta(hours=1)).isoformat(),
        "chargingSchedule": [{"startSchedule": NOW.isoformat()}],
    }

    with pytest.raises(ProfileRejectedError, match="no validFrom in the future"):
        without_future_validity(STATION, {"evseId": 1, "chargingProfile": profile}, NOW)


async def test_a_station_that_citrineos_has_no_connection_of_is_offline_from_then_on(store: Store) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        citrineos.is_there = False

        with pytest.raises(StationOfflineError):
            await connector.set_charging_profile(STATION, 1, PROFILE)

        await eventually(lambda: not connector.connected())


@pytest.mark.parametrize(
    ("status", "error"), [(500, OutcomeUnknownError), (503, OutcomeUnknownError), (302, OutcomeUnknownError)]
)
async def test_a_citrineos_in_trouble_leaves_the_outcome_open(
    store: Store, status: int, error: type[Exception]
) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        citrineos.silent_status = status

        with pytest.raises(error):
            await connector.set_charging_profile(STATION, 1, PROFILE)

        assert connector.connected() == {STATION}


async def test_a_request_that_citrineos_refuses_was_not_sent(store: Store) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        citrineos.silent_status = 400

        with pytest.raises(CallFailedError, match="HTTP 400"):
            await connector.trigger(STATION, "Heartbeat")

        assert citrineos.station.asked == []


async def test_a_release_that_posts_call_errors_has_them_told(store: Store) -> None:
    async with a_citrineos(store, timeout_s=5.0) as (citrineos, connector):
        citrineos.station.answers["TriggerMessage"] = {
            "_messageId": "1",
            "_errorCode": "NotImplemented",
            "_errorDetails": {},
        }

        with pytest.raises(CallFailedError) as failed:
            await connector.trigger(STATION, "Heartbeat")

        assert failed.value.code == "NotImplemented"
        assert failed.value.station_id == STATION


async def test_each_call_has_an_address_of_its_own_that_is_good_once(store: Store) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        await connector.trigger(STATION, "Heartbeat")
        await connector.trigger(STATION, "Heartbeat")
        addresses = [query["callbackUrl"] for query in citrineos.commands]

        async with httpx.AsyncClient() as http:
            again = await http.post(addresses[-1], json=ACCEPTED)
            guessed = await http.post(f"{citrineos.url}/csms/other/callbacks/guessed", json=ACCEPTED)
            elsewhere = await http.post(f"{citrineos.url}/csms/nobody/callbacks/guessed", json=ACCEPTED)

        assert len(set(addresses)) == len(addresses)
        assert all(len(urlsplit(address).path.rpartition("/")[2]) >= 43 for address in addresses)
        assert [again.status_code, guessed.status_code, elsewhere.status_code] == [404, 404, 404]


async def test_a_long_question_that_citrineos_splits_has_one_answer(store: Store) -> None:
    async with a_citrineos(store, "1.6") as (citrineos, connector):
        citrineos.batches = 2
        citrineos.station.answers["GetConfiguration"] = lambda payload: {
            "configurationKey": [{"key": key, "readonly": True, "value": "1"} for key in payload["key"]]
        }

        values = await connector.get_configuration(STATION, ("A", "B", "C", "D"))

        assert values == {"A": "1", "B": "1", "C": "1", "D": "1"}


async def test_a_start_is_known_when_both_halves_of_it_are_in_whatever_their_order(store: Store) -> None:
    async with a_citrineos(store, "1.6") as (citrineos, _):
        call, result = json.dumps([2, "m1", "StartTransaction", START]), json.dumps([3, "m1", {"transactionId": 12}])

        await citrineos.subscription({"event": "message", "origin": "csms", "message": result})
        assert await store.transactions(station_id=STATION) == []
        await citrineos.subscription({"event": "message", "origin": "cs", "message": call})

        (transaction,) = await store.transactions(station_id=STATION)
        assert transaction.ocpp_transaction_id == "12"


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"event": "message", "origin": "cs", "message": "no json"}, 422),
        ({"event": "message", "origin": "cs", "message": "[2]"}, 422),
        ({"event": "message", "origin": "cs", "message": '[9, "1"]'}, 422),
        ({"event": "message", "origin": "cs"}, 422),
        ({"event": "message", "origin": "cs", "message": '[2, "1", "TurnIntoGold", {}]'}, 422),
        ({"event": "exploded"}, 422),
        ({"stationId": "cs99", "event": "connected"}, 404),
        ({"event": "message", "origin": "cs", "message": '[3, "1", {}]'}, 204),
        ({"event": "message", "origin": "csms", "message": '[2, "1", "Reset", {}]'}, 204),
    ],
)
async def test_what_a_subscription_tells_is_taken_or_refused_with_a_reason(
    store: Store, event: dict[str, str], status: int
) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        told = await citrineos.subscription(event)

        assert told.status_code == status
        assert connector.connected() == {STATION}


async def test_a_subscription_without_the_secret_is_not_believed(store: Store) -> None:
    async with a_citrineos(store) as (citrineos, connector):
        told = await citrineos.subscription({"event": "closed"}, secret="a guess")

        assert told.status_code == 401
        assert connector.connected() == {STATION}
