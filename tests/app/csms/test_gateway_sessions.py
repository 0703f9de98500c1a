"""Connections: the newest counts, its end is told once, and what was last heard is remembered."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from app.clock import SteppedClock
from app.csms.gateway import Gateway
from app.db.store import Store
from app.errors import OutcomeUnknownError
from app.events import Events, SiteChanged, StationConnected, StationDisconnected
from tests.app.csms.stations import STATION, a_gateway, a_site, connected, eventually, furnish, of_kind, recorded
from tests.stores import a_store

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ACCEPTED = {"status": "Accepted"}


async def test_a_connection_is_stored_and_told_from_open_to_close(store: Store) -> None:
    events = Events()
    seen = recorded(events)
    async with a_gateway(store, events=events) as gateway:
        async with connected(gateway):
            await eventually(lambda: of_kind(seen, StationConnected))
            assert gateway.connected() == {STATION}
            assert (await store.station(STATION)).connected

        await eventually(lambda: of_kind(seen, StationDisconnected))
        assert gateway.connected() == frozenset()
        assert not (await store.station(STATION)).connected


async def test_the_newest_connection_wins_and_the_end_of_the_old_one_is_no_news(store: Store) -> None:
    events = Events()
    seen = recorded(events)
    async with a_gateway(store, events=events) as gateway, connected(gateway) as old:
        await eventually(lambda: of_kind(seen, StationConnected))
        async with connected(gateway) as new:
            new.answers["TriggerMessage"] = ACCEPTED
            await old.connection.wait_closed()

            assert old.connection.close_code == 4001
            assert await gateway.trigger(STATION, "Heartbeat") == "Accepted"
            assert old.asked == []
            assert of_kind(seen, StationDisconnected) == []
            assert (await store.station(STATION)).connected
        await eventually(lambda: of_kind(seen, StationDisconnected))

    assert len(of_kind(seen, StationConnected)) == 2
    assert len(of_kind(seen, StationDisconnected)) == 1


async def test_a_call_to_the_old_connection_fails_when_the_new_one_takes_over(store: Store) -> None:
    async with a_gateway(store, call_timeout_s=60) as gateway, connected(gateway) as old:
        old.answers["TriggerMessage"] = None
        asking = asyncio.create_task(gateway.trigger(STATION, "Heartbeat"))
        await eventually(lambda: old.asked)

        async with connected(gateway):
            async with asyncio.timeout(2):
                outcome = (await asyncio.gather(asking, return_exceptions=True))[0]

    assert isinstance(outcome, OutcomeUnknownError)


async def test_an_impostor_without_the_password_takes_nothing_over(store: Store) -> None:
    async with a_gateway(store) as gateway, connected(gateway) as station:
        with pytest.raises(InvalidStatus, match="401"):
            async with connected(gateway, password="wrong"):
                pass

        assert "currentTime" in await station.call("Heartbeat", {})


async def test_what_was_connected_when_the_service_went_down_is_disconnected_when_it_starts(store: Store) -> None:
    await store.update_station(STATION, connected=True)

    async with a_gateway(store):
        assert not (await store.station(STATION)).connected


async def test_closing_the_gateway_closes_every_connection_and_stores_it(store: Store) -> None:
    await furnish(store, STATION, "cs02")
    async with a_gateway(store) as gateway, connected(gateway) as one, connected(gateway, "cs02") as other:
        await eventually(lambda: len(gateway.connected()) == 2)

        await gateway.close()

        assert {one.connection.close_code, other.connection.close_code} == {1001}
        assert not any(station.connected for station in await store.stations())


async def test_what_was_last_heard_is_in_memory_at_once_and_in_the_store_within_a_minute() -> None:
    clock = SteppedClock(NOON)
    async with a_store(clock) as store:
        await furnish(store)
        async with a_gateway(store, clock=clock) as gateway:
            async with connected(gateway) as station:
                for seconds in (0, 30, 59):
                    await clock.run_until(NOON + timedelta(seconds=seconds))
                    await station.call("Heartbeat", {})
                assert gateway.last_seen(STATION) == NOON + timedelta(seconds=59)
                assert (await store.station(STATION)).last_seen_at == NOON

                await clock.run_until(NOON + timedelta(seconds=61))
                await station.call("Heartbeat", {})
                await _stored_as_seen(store, NOON + timedelta(seconds=61))

                await clock.run_until(NOON + timedelta(seconds=70))
                await station.call("Heartbeat", {})
            await _stored_as_seen(store, NOON + timedelta(seconds=70))


async def _stored_as_seen(store: Store, at: datetime) -> None:
    for _ in range(500):
        if (await store.station(STATION)).last_seen_at == at:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{at} was not stored")


async def test_simulated_time_stands_still_while_a_call_is_unanswered() -> None:
    clock = SteppedClock(NOON)
    async with a_store(clock) as store:
        await furnish(store)
        async with a_gateway(store, clock=clock) as gateway, connected(gateway) as station:
            station.answers["TriggerMessage"] = None
            asking = asyncio.create_task(gateway.trigger(STATION, "Heartbeat"))
            await eventually(lambda: station.asked)
            running = asyncio.create_task(clock.run_until(NOON + timedelta(hours=1)))
            await asyncio.sleep(0.05)
            assert clock.now() == NOON

            message_id = await _pending_id(gateway)
            await station.send([3, message_id, ACCEPTED])

            assert await asking == "Accepted"
            await running
            assert clock.now() == NOON + timedelta(hours=1)


async def _pending_id(gateway: Gateway) -> str:
    session, _ = gateway._sessions[STATION]
    assert session._pending is not None
    return session._pending[0]


async def test_a_station_that_leaves_its_site_loses_its_connection(store: Store) -> None:
    await furnish(store, STATION, "cs02")
    events = Events()
    async with a_gateway(store, events=events) as gateway, connected(gateway), connected(gateway, "cs02") as removed:
        await eventually(lambda: len(gateway.connected()) == 2)
        await store.save_site(a_site(STATION))

        events.publish(SiteChanged("depot", NOON))

        await removed.connection.wait_closed()
        assert removed.connection.close_code == 1008
        await eventually(lambda: gateway.connected() == {STATION})


async def test_many_stations_connect_at_once(store: Store) -> None:
    names = [f"cs{number:03}" for number in range(60)]
    await furnish(store, *names)

    async with a_gateway(store) as gateway:

        async def visit(name: str) -> None:
            async with connected(gateway, name) as station:
                await station.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})

        await asyncio.gather(*map(visit, names))
        await eventually(lambda: not gateway.connected())

    assert {station.vendor for station in await store.stations()} == {"V"}


async def test_nothing_is_left_unretrieved_or_logged_as_a_failure(store: Store) -> None:
    with capture_logs() as logs:
        async with a_gateway(store) as gateway, connected(gateway) as station:
            station.connection.transport.abort()
            await eventually(lambda: not gateway.connected())

    assert [entry for entry in logs if entry["log_level"] == "error"] == []
