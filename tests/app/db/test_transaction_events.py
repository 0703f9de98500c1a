"""Transactions of 2.x in the store: whatever the order and number of their events, one record comes of them."""

import asyncio
from dataclasses import replace
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.clock import SystemClock
from app.db.records import Transaction, TransactionEvent
from app.db.store import Store
from app.db.transaction_event_rows import Values, amounts_to
from app.errors import NotFoundError
from tests.app.db.builders import NOON, a_site, at
from tests.stores import a_store

STARTED, UPDATED, ENDED = "Started", "Updated", "Ended"


def an_event(kind: Any, number: int, minutes: float | None = None, **changes: Any) -> TransactionEvent:
    """The event of a transaction of station cs01, at as many minutes after noon as its number."""
    fields: dict[str, Any] = {"station_id": "cs01", "ocpp_transaction_id": "tx-1", "received_at": at(500)}
    if kind == ENDED:
        fields["stop_reason"] = "Local"
    return TransactionEvent(
        seq_no=number, event_type=kind, at=at(number if minutes is None else minutes), **(fields | changes)
    )


def a_register(wh: float) -> dict[str, float]:
    return {"first_register_wh": wh, "last_register_wh": wh}


WHOLE = (
    an_event(STARTED, 0, evse_id=2, **a_register(1000)),
    an_event(UPDATED, 1, id_tag="van-7"),
    an_event(UPDATED, 2, **a_register(1500)),
    an_event(ENDED, 3, **a_register(1800)),
)


@pytest.fixture
async def depot(store: Store) -> Store:
    await store.save_site(a_site())
    return store


async def test_a_transaction_is_what_its_events_amount_to(depot: Store) -> None:
    for event in WHOLE:
        recorded = await depot.record_transaction_event(event)

    assert recorded.has_ended
    assert recorded.after == Transaction(
        transaction_id=recorded.after.transaction_id,
        site_id="depot",
        station_id="cs01",
        evse_id=2,
        id_tag="van-7",
        started_at=NOON,
        meter_start_wh=1000,
        ocpp_transaction_id="tx-1",
        stopped_at=at(3),
        meter_stop_wh=1800,
        stop_reason="Local",
    )
    assert await depot.transaction_events("cs01", "tx-1") == list(WHOLE)


async def test_every_order_of_the_events_makes_the_same_record(depot: Store) -> None:
    records: list[Transaction] = []
    for position, order in enumerate(permutations(WHOLE)):
        station_id = "cs01" if position % 2 else "cs02"
        name = f"tx-{position}"
        for event in order:
            renamed = replace(event, station_id=station_id, ocpp_transaction_id=name, at=_moved(event, position))
            recorded = await depot.record_transaction_event(renamed)
        records.append(recorded.after)

    for position, record in enumerate(records):
        assert (record.evse_id, record.id_tag, record.meter_start_wh, record.meter_stop_wh) == (2, "van-7", 1000, 1800)
        assert (record.started_at, record.stopped_at) == (_moved(WHOLE[0], position), _moved(WHOLE[3], position))
    assert len({record.transaction_id for record in records}) == len(records)


def _moved(event: TransactionEvent, hours: int) -> datetime:
    return at(60 * hours + event.seq_no)


async def test_a_repeated_event_changes_nothing(depot: Store) -> None:
    first = await depot.record_transaction_event(WHOLE[0])

    again = await depot.record_transaction_event(replace(WHOLE[0], evse_id=1, at=at(7)))

    assert (first.has_begun, again.has_begun, again.is_new) == (True, False, False)
    assert again.after == first.after
    assert await depot.transactions() == [first.after]


async def test_a_transaction_begins_once_its_evse_is_known(depot: Store) -> None:
    lost = await depot.record_transaction_event(an_event(UPDATED, 5))
    found = await depot.record_transaction_event(an_event(UPDATED, 6, evse_id=2))
    late = await depot.record_transaction_event(an_event(STARTED, 0, evse_id=2))

    assert (lost.has_begun, found.has_begun, late.has_begun) == (False, True, False)
    assert (lost.after.evse_id, found.after.evse_id) == (0, 2)
    assert (found.after.started_at, late.after.started_at) == (at(5), at(0))


async def test_the_only_evse_needs_no_name(store: Store) -> None:
    await store.save_site(a_site(charging_stations=[{"id": "cs01", "evses": [{"id": 3}]}]))

    recorded = await store.record_transaction_event(an_event(UPDATED, 5))

    assert (recorded.after.evse_id, recorded.has_begun) == (3, True)


async def test_what_was_measured_before_the_first_register_is_nobodys(depot: Store) -> None:
    await depot.record_transaction_event(an_event(STARTED, 0, evse_id=1))
    await depot.record_transaction_event(an_event(UPDATED, 1, **a_register(5_000_000)))

    ended = await depot.record_transaction_event(an_event(ENDED, 2))

    assert (ended.after.meter_start_wh, ended.after.meter_stop_wh) == (5_000_000, 5_000_000)


async def test_the_end_that_comes_late_replaces_the_one_that_was_guessed(depot: Store) -> None:
    """A lost stop is made up when the EVSE starts anew; an offline queue may still hold the real one."""
    started = await depot.record_transaction_event(WHOLE[0])
    number = started.after.transaction_id
    await depot.stop_transaction(number, stopped_at=at(1), meter_stop_wh=1000, reason="StopLost")

    between = await depot.record_transaction_event(WHOLE[2])
    ended = await depot.record_transaction_event(WHOLE[3])

    assert between.after.stop_reason == "StopLost"
    assert ended.has_ended
    assert (ended.after.stop_reason, ended.after.meter_stop_wh, ended.after.stopped_at) == ("Local", 1800, at(3))


async def test_two_transactions_that_look_the_same_are_two(depot: Store) -> None:
    first = await depot.record_transaction_event(WHOLE[0])
    second = await depot.record_transaction_event(replace(WHOLE[0], ocpp_transaction_id="tx-2"))

    assert first.after.transaction_id != second.after.transaction_id
    assert second.after.started_at > first.after.started_at
    assert (second.after.started_at - first.after.started_at).total_seconds() < 1e-3


async def test_an_unknown_station_has_no_transactions(depot: Store) -> None:
    with pytest.raises(NotFoundError):
        await depot.record_transaction_event(replace(WHOLE[0], station_id="cs99"))

    assert await depot.transaction_events("cs99", "tx-1") == []


async def test_updates_of_many_stations_are_written_together_and_each_once(depot: Store) -> None:
    await depot.record_transaction_event(WHOLE[0])
    updates = [an_event(UPDATED, number) for number in range(1, 60)]

    new = await asyncio.gather(*[depot.add_transaction_update(event) for event in updates])
    again = await asyncio.gather(*[depot.add_transaction_update(event) for event in updates])

    assert all(new)
    assert not any(again)
    assert await depot.transaction_events("cs01", "tx-1") == [WHOLE[0], *updates]


registers = st.none() | st.floats(0, 1e6, allow_nan=False)
updates = st.builds(
    lambda number, evse_id, id_tag, register: an_event(
        UPDATED, number, evse_id=evse_id, id_tag=id_tag, first_register_wh=register, last_register_wh=register
    ),
    st.integers(1, 8),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, "", "van-7", "van-8"]),
    registers,
)


@st.composite
def transactions(draw: st.DrawFn) -> list[TransactionEvent]:
    """One transaction's events: a start, some updates with different numbers, an end; any of them may be missing."""
    events = draw(st.lists(updates, max_size=6, unique_by=lambda event: event.seq_no))
    if draw(st.booleans()):
        events.append(
            an_event(STARTED, 0, evse_id=draw(st.sampled_from([None, 1])), first_register_wh=1.0, last_register_wh=2.0)
        )
    if draw(st.booleans()) or not events:
        events.append(an_event(ENDED, 9, first_register_wh=draw(registers), last_register_wh=3.0))
    return events


@settings(max_examples=25, deadline=None)
@given(transactions(), st.randoms(use_true_random=False))
async def test_late_and_repeated_events_make_the_record_of_ordered_ones(
    events: list[TransactionEvent], random: Any
) -> None:
    async with a_store(SystemClock()) as store:
        await store.save_site(a_site())
        shuffled = [*events, *random.choices(events, k=3)]
        random.shuffle(shuffled)

        for event in shuffled:
            recorded = await store.record_transaction_event(replace(event, ocpp_transaction_id="tx"))

        expected = _expected(events)
        assert {name: getattr(recorded.after, name) for name in expected} == expected


def _expected(events: list[TransactionEvent]) -> Values:
    """Of all events at once, in order."""
    return amounts_to(sorted(events, key=lambda event: event.seq_no))
