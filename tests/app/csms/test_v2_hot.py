"""TransactionEvents that are read into structs make the same rows as those that take the long way."""

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from app.clock import SystemClock
from app.csms.frames import Call
from app.csms.session import Session
from app.csms.v2_held import HeldProfiles
from app.csms.v2_messages import StationMessages
from app.csms.v2_reports import Reports
from app.csms.v2_version import V201
from app.db.records import TransactionEvent
from app.db.store import Store
from app.errors import StoreUnavailableError
from app.events import Event, MeterValuesReceived
from app.settings import Settings
from tests.app.csms.stations import STATION
from tests.app.csms.v2_stations import Json, a_start, ago, an_event, metered, power, sampled


@dataclass
class FakeSession:
    station_id: str = STATION
    violations: list[str] = field(default_factory=list)

    def note_time(self, _reported: object, _received: object) -> None:
        pass

    def note_violations(self, violations: list[str], _action: str) -> None:
        self.violations += violations


@dataclass
class Line:
    """One EVSE's station messages, by the short way where that is open, or by the long way alone."""

    store: Store
    evse_id: int
    messages: StationMessages
    session: FakeSession

    @property
    def name(self) -> str:
        return f"tx-{self.evse_id}"

    async def long(self, payload: Json) -> tuple[Event, ...]:
        call = Call("m", "TransactionEvent", payload)
        return (await self.messages.answer(call, SystemClock().now())).events

    async def short(self, payload: Json) -> tuple[Event, ...] | None:
        """None for what must take the long way."""
        raw = json.dumps([2, "m", "TransactionEvent", payload]).encode()
        answered = self.messages.answer_now(raw, SystemClock().now())
        if answered is None:
            return None
        message_id, answer = answered
        assert (message_id, answer.payload) == ("m", {})
        assert answer.after is not None
        await answer.after()
        return answer.events

    async def begin(self, at: datetime | None = None) -> None:
        evse = {"id": self.evse_id, "connectorId": 1}
        start = a_start(transaction=self.name, evse=evse, at=at or ago(seconds=50))
        await self.long(start)


def a_line(store: Store, evse_id: int) -> Line:
    session = FakeSession()
    messages = StationMessages(
        cast(Session, session),
        store,
        SystemClock(),
        Settings(),
        V201,
        held=HeldProfiles(),
        reports=Reports(first_id=1),
        resend=lambda *_: None,
    )
    return Line(store, evse_id, messages, session)


def an_update(line: Line, number: int = 1, **fields: Any) -> Json:
    return an_event("Updated", number, transaction=line.name, **fields)


UPDATES: list[Json] = [
    {"register_wh": 1500},
    {"meterValue": metered(sampled(1.5, unitOfMeasure={"unit": "kWh"}), power(7200), sampled(16, "Current.Import"))},
    {"meterValue": metered(*[sampled(500, phase=phase) for phase in ("L1", "L2", "L3")])},
    {"meterValue": metered(sampled(1200), at=ago(seconds=9)) + metered(sampled(1300), at=ago(seconds=3))},
    {"meterValue": metered(sampled(1300), at=ago(seconds=3)) + metered(sampled(1200), at=ago(seconds=9))},
    {"meterValue": metered(sampled(7, "Power.Active.Import", unitOfMeasure={"unit": "W", "multiplier": 3}))},
    {"info": {"chargingState": "Charging"}, "triggerReason": "ChargingRateChanged"},
    {"evse": {"id": 9}, "register_wh": 1400},
    {"numberOfPhasesUsed": 3, "cableMaxCurrent": 32, "customData": {"vendorId": "x", "more": [1]}},
]


async def rows(line: Line) -> tuple[list[Any], list[Any]]:
    """Events and meter values, without what differs from one EVSE to the other."""
    await line.store.flush()
    transaction = await line.store.transaction_named(STATION, line.name)
    assert transaction is not None
    events = [
        replace(event, ocpp_transaction_id="", received_at=event.at, evse_id=event.evse_id and 0)
        for event in await line.store.transaction_events(STATION, line.name)
    ]
    values = [
        (value.at, value.measurand, value.value, value.unit, value.phase, value.context, value.evse_id == line.evse_id)
        for value in await line.store.meter_values(transaction_id=transaction.transaction_id)
    ]
    return events, values


@pytest.mark.parametrize("update", UPDATES)
async def test_both_ways_make_the_same_rows_and_the_same_events(update: Json, store: Store) -> None:
    short, long = a_line(store, 1), a_line(store, 2)
    begun_at, at = ago(seconds=50), ago(seconds=1)
    for line in (short, long):
        await line.begin(begun_at)

    heard = await short.short(an_update(short, at=at, **update))
    heard_long = await long.long(an_update(long, at=at, **update))

    assert heard is not None
    assert await rows(short) == await rows(long)
    assert [replace(cast(Any, event), evse_id=0, transaction_id=0) for event in heard] == [
        replace(cast(Any, event), evse_id=0, transaction_id=0)
        for event in heard_long
        if isinstance(event, MeterValuesReceived)
    ]
    assert short.session.violations == long.session.violations == []


@pytest.mark.parametrize(
    "update",
    [
        {"idToken": {"idToken": "TAG", "type": "ISO14443"}},
        {"info": {"chargingState": "SuspendedEV"}},
        {"info": {"chargingState": "charging"}},
        {"offline": True},
        {"at": ago(minutes=9)},
        {"timestamp": "yesterday"},
        {"timestamp": "2026-06-01T11:59:30"},
        {"seqNo": 0},
        {"seqNo": -1},
        {"seqNo": "1"},
        {"eventType": "Ended"},
        {"eventType": "updated"},
        {"transactionInfo": {"transactionId": "another"}},
        {"transactionInfo": {}},
        {"triggerReason": ""},
        {"meterValue": metered(sampled(1, "Request.Energy"))},
        {"meterValue": [{"timestamp": "2026-06-01T11:59:30Z", "sampledValue": [{"value": "1,5"}]}]},
        {"evse": {}},
        {"evse": 1},
    ],
)
async def test_what_says_more_than_that_takes_the_long_way(update: Json, store: Store) -> None:
    line = a_line(store, 1)
    await line.begin()

    assert await line.short(an_update(line) | an_update(line, **update)) is None


async def test_an_event_that_was_told_already_takes_the_long_way(store: Store) -> None:
    line = a_line(store, 1)
    await line.begin()
    assert await line.short(an_update(line, 4)) is not None

    assert await line.short(an_update(line, 4)) is None
    assert await line.short(an_update(line, 3)) is None


async def test_an_event_is_not_answered_before_it_is_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    line = a_line(store, 1)
    await line.begin()

    async def fails(_event: TransactionEvent) -> bool:
        raise StoreUnavailableError("does not answer")

    monkeypatch.setattr(store, "add_transaction_update", fails)

    with pytest.raises(StoreUnavailableError):
        await line.short(an_update(line, register_wh=1500))


async def test_heartbeats_and_meter_values_go_the_short_way_too(store: Store) -> None:
    line = a_line(store, 1)
    await line.begin()
    values = {"evseId": 1, "meterValue": metered(power(7000))}

    beat = line.messages.answer_now(b'[2,"a","Heartbeat",{}]', SystemClock().now())
    measured = line.messages.answer_now(
        json.dumps([2, "b", "MeterValues", values]).encode(), SystemClock().now() + timedelta(seconds=1)
    )

    assert beat is not None
    assert measured is not None
    (heard,) = measured[1].events
    transaction = await store.transaction_named(STATION, line.name)
    assert isinstance(heard, MeterValuesReceived)
    assert transaction is not None
    assert (heard.transaction_id, heard.power_w) == (transaction.transaction_id, 7000)


async def test_a_state_that_goes_on_is_as_old_as_it_is(store: Store) -> None:
    """A vehicle that takes nothing is told apart by since when; each update once moved that time."""
    line = a_line(store, 1)
    await line.begin()
    since = ago(seconds=40)
    await line.long(an_update(line, 1, info={"chargingState": "SuspendedEV"}, at=since))

    await line.long(an_update(line, 2, info={"chargingState": "SuspendedEV"}, at=ago(seconds=20)))
    await line.short(an_update(line, 3, info={"chargingState": "SuspendedEV"}, at=ago(seconds=1)))

    (status,) = [status for status in await store.evse_statuses() if status.evse_id == 1]
    assert (status.status, status.at) == ("SuspendedEV", since)
