"""Any other CSMS: what its answers mean, and what of its events is believed, taken, repeated or late."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.csms.connector import CsmsConnector
from app.csms.remote.road import Courier
from app.db.store import Store
from app.errors import CallFailedError, NotFoundError, OutcomeUnknownError, StationError, StationOfflineError
from app.events import Events, StationConnected, StationDisconnected, TransactionStarted
from tests.app.csms.other_csms import OtherCsms, behind_another
from tests.app.csms.stations import STATION, Json, eventually, of_kind, recorded

ACCEPTED = {"status": "Accepted"}
NOW = datetime.now(UTC)
STATUS = {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}
NESTED: Json = json.loads('{"a":' * 40 + "1" + "}" * 40)
START = {"connectorId": 1, "idTag": "VAN-7", "meterStart": 0, "timestamp": "2026-06-01T12:00:00Z"}


@asynccontextmanager
async def a_csms(
    store: Store, *, events: Events | None = None, timeout_s: float = 5.0
) -> AsyncIterator[tuple[OtherCsms, CsmsConnector]]:
    async with behind_another(store, "webhook", "1.6", events=events, timeout_s=timeout_s) as (csms, remotes):
        connector = remotes.by_station()[STATION]
        await eventually(connector.connected)
        csms.station.asked.clear()
        yield csms, connector


def a_message(action: str = "StatusNotification", payload: Json = STATUS, **more: Any) -> Json:
    return {"type": "message", "action": action, "payload": payload} | more


# --- commands


async def test_a_command_says_until_when_it_is_worth_doing(store: Store) -> None:
    async with a_csms(store, timeout_s=30.0) as (csms, connector):
        await connector.trigger(STATION, "MeterValues", 1)

        command = csms.commands[-1]
        assert command.keys() == {"command_id", "station_id", "ocpp_version", "action", "payload", "expires_at"}
        assert command["payload"] == {"requestedMessage": "MeterValues", "connectorId": 1}
        assert timedelta(0) < datetime.fromisoformat(command["expires_at"]) - datetime.now(UTC) <= timedelta(seconds=31)


@pytest.mark.parametrize(
    ("status", "error", "is_still_there"),
    [
        (409, StationOfflineError, False),
        (429, StationOfflineError, True),
        (400, CallFailedError, True),
        (401, CallFailedError, True),
        (404, CallFailedError, True),
        (408, OutcomeUnknownError, True),
        (500, OutcomeUnknownError, True),
        (502, OutcomeUnknownError, True),
        (301, OutcomeUnknownError, True),
    ],
)
async def test_the_status_says_whether_anything_was_sent(
    store: Store, status: int, error: type[StationError], is_still_there: bool
) -> None:
    async with a_csms(store) as (csms, connector):
        csms.silent_status = status

        with pytest.raises(error):
            await connector.trigger(STATION, "Heartbeat")

        await asyncio.sleep(0.02)
        assert (STATION in connector.connected()) == is_still_there
        assert csms.station.asked == []


@pytest.mark.parametrize("reply", [None, [], {}, {"result": "Accepted"}, {"outcome": "done"}, "x" * 2_000_000])
async def test_an_answer_that_says_nothing_is_an_unknown_outcome(store: Store, reply: Any) -> None:
    async with a_csms(store) as (csms, connector):
        csms.raw_reply = reply

        with pytest.raises(OutcomeUnknownError):
            await connector.trigger(STATION, "Heartbeat")


async def test_a_reply_may_say_that_the_station_is_gone(store: Store) -> None:
    async with a_csms(store) as (csms, connector):
        csms.raw_reply = {"offline": True}

        with pytest.raises(StationOfflineError):
            await connector.trigger(STATION, "Heartbeat")

        await eventually(lambda: not connector.connected())


async def test_a_csms_that_cannot_be_reached_was_sent_nothing() -> None:
    async with Courier(1.0) as courier:
        with pytest.raises(StationOfflineError, match="its CSMS cannot be reached"):
            await courier.post(STATION, "http://127.0.0.1:9/commands", b"{}", {})


async def test_a_redirect_is_not_followed(store: Store) -> None:
    async with a_csms(store) as (csms, connector):
        csms.redirect_to = f"{csms.url}/theirs/commands"
        csms.commands.clear()

        with pytest.raises(OutcomeUnknownError):
            await connector.trigger(STATION, "Heartbeat")

        assert len(csms.commands) == 1


# --- events


async def test_an_event_that_is_not_signed_with_the_secret_is_not_believed(store: Store) -> None:
    async with a_csms(store) as (csms, connector):
        forged = await csms.tell({"type": "disconnected"}, secret="another secret of thirty-two characters")
        played_again = await csms.tell({"type": "disconnected"}, at=NOW - timedelta(minutes=6))
        unsigned = await csms.post_unsigned({"type": "disconnected"})

        assert [forged.status_code, played_again.status_code, unsigned.status_code] == [401, 401, 401]
        assert connector.connected() == {STATION}


async def test_the_same_event_again_changes_nothing(store: Store) -> None:
    events = Events()
    seen = recorded(events)
    async with a_csms(store, events=events) as (csms, _):
        event = a_message("StartTransaction", START, answer={"transactionId": 9}, event_id="event-0001")

        answers = [(await csms.tell(event)).json() for _ in range(2)]

        assert answers == [{"outcome": "taken"}, {"outcome": "repeated"}]
        assert len(of_kind(seen, TransactionStarted)) == 1


async def test_an_event_that_failed_may_be_sent_again(store: Store) -> None:
    async with a_csms(store) as (csms, _):
        stop = {"transactionId": 9, "meterStop": 10, "timestamp": "2026-06-01T13:00:00Z"}
        event = a_message("StopTransaction", stop, event_id="event-0001")
        too_early = await csms.tell(event)
        await csms.tell(a_message("StartTransaction", START, answer={"transactionId": 9}))

        in_order = await csms.tell(event)

        assert (too_early.status_code, in_order.json()) == (422, {"outcome": "taken"})
        (transaction,) = await store.transactions(station_id=STATION)
        assert not transaction.is_running


async def test_a_number_of_theirs_is_never_taken_for_one_of_ours(store: Store) -> None:
    async with a_csms(store) as (csms, _):
        await csms.tell(a_message("StartTransaction", START, answer={"transactionId": 4711}))
        (transaction,) = await store.transactions(station_id=STATION)
        stop = {
            "transactionId": transaction.transaction_id,
            "meterStop": 10,
            "timestamp": "2026-06-01T13:00:00Z",
        }

        told = await csms.tell(a_message("StopTransaction", stop))

        assert told.status_code == 422
        assert (await store.transaction(transaction.transaction_id)).is_running


async def test_a_csms_that_counts_anew_gives_the_number_to_the_newer_transaction(store: Store) -> None:
    later = START | {"timestamp": "2026-06-02T12:00:00Z"}
    async with a_csms(store) as (csms, connector):
        await csms.tell(a_message("StartTransaction", START, answer={"transactionId": 1}))
        await csms.tell(a_message("StartTransaction", later, answer={"transactionId": 1}))
        csms.station.answers["RemoteStopTransaction"] = ACCEPTED
        newest = max(await store.transactions(station_id=STATION), key=lambda one: one.started_at)

        await connector.remote_stop(STATION, newest.transaction_id)

        assert csms.station.asked[-1] == ("RemoteStopTransaction", {"transactionId": 1})
        assert newest.ocpp_transaction_id == "1"


async def test_meter_values_of_an_unknown_transaction_are_those_of_the_one_that_runs_there(store: Store) -> None:
    now = datetime.now(UTC).isoformat()
    sample = {"timestamp": now, "sampledValue": [{"value": "7200", "measurand": "Power.Active.Import", "unit": "W"}]}
    values = {"connectorId": 1, "transactionId": 77, "meterValue": [sample]}
    async with a_csms(store) as (csms, _):
        await csms.tell(a_message("StartTransaction", START, answer={"transactionId": 9}))

        told = await csms.tell(a_message("MeterValues", values))

        await store.flush()
        (transaction,) = await store.transactions(station_id=STATION)
        stored = await store.meter_values(transaction_id=transaction.transaction_id)
        assert told.status_code == 200
        assert [value.value for value in stored] == [7200.0]


async def test_an_older_word_on_presence_does_not_count(store: Store) -> None:
    events = Events()
    seen = recorded(events)
    async with a_csms(store, events=events) as (csms, connector):
        await csms.tell({"type": "connected", "at": "2026-06-01T12:00:10Z"})

        await csms.tell({"type": "disconnected", "at": "2026-06-01T12:00:05Z"})

        assert connector.connected() == {STATION}
        assert len(of_kind(seen, StationConnected)) == 1
        assert of_kind(seen, StationDisconnected) == []


async def test_a_station_that_speaks_is_there(store: Store) -> None:
    async with a_csms(store) as (csms, connector):
        await csms.tell({"type": "disconnected"})
        assert not connector.connected()

        await csms.tell(a_message())

        assert connector.connected() == {STATION}


async def test_a_reply_for_which_nobody_waits_is_late(store: Store) -> None:
    async with a_csms(store) as (csms, _):
        told = await csms.tell({"type": "reply", "command_id": "long ago", "result": ACCEPTED})

        assert told.json() == {"outcome": "late"}


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"type": "exploded"}, 422),
        ({"type": "connected", "station_id": "cs99"}, 404),
        ({"type": "connected", "at": "2026-06-01T12:00:00"}, 422),
        ({"type": "connected", "event_id": "short"}, 422),
        ({"type": "message", "action": "StatusNotification"}, 422),
        (a_message("TurnIntoGold"), 422),
        (a_message(payload={"connectorId": float("nan")}), 422),
        (a_message(payload=NESTED), 422),
        (a_message("Reset", {"type": "Hard"}), 422),
        (a_message("StartTransaction", START), 422),
        (a_message("StartTransaction", START, answer={"transactionId": "one"}), 422),
        ({"type": "reply", "command_id": "c1"}, 422),
        ({"type": "reply", "command_id": "c1", "result": {}, "offline": True}, 422),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_a_reason(store: Store, event: Json, status: int) -> None:
    async with a_csms(store) as (csms, connector):
        told = await csms.tell(event)

        assert told.status_code == status, told.text
        assert told.headers["content-type"] == "application/problem+json"
        assert connector.connected() == {STATION}


async def test_a_csms_that_the_settings_do_not_name_is_unknown(store: Store) -> None:
    async with behind_another(store, "webhook", "1.6") as (_, remotes):
        with pytest.raises(NotFoundError):
            remotes.webhook("nobody")
        with pytest.raises(NotFoundError):
            remotes.citrineos_events("other", "it is no CitrineOS")
