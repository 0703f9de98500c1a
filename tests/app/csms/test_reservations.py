"""What a station says of reservations and of itself, over sockets."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.clock import SystemClock
from app.csms.gateway import Gateway
from app.csms.reservations import wish_id_of
from app.db.records import Wish
from app.db.store import Store
from app.errors import NotFoundError
from app.events import Events, StationNoticed, WishChanged
from tests.app.csms.stations import STATION, a_gateway, connected, of_kind, recorded


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
async def gateway(store: Store, events: Events) -> AsyncIterator[Gateway]:
    async with a_gateway(store, events=events) as running:
        yield running


async def a_reservation(store: Store) -> None:
    now = SystemClock().now()
    await store.save_wish(Wish(wish_id_of(STATION, 7), "depot", now + timedelta(hours=8), 20.0, now))


@pytest.mark.parametrize("subprotocol", ["ocpp2.0.1", "ocpp2.1"])
@pytest.mark.parametrize("status", ["Expired", "Removed"])
async def test_a_reservation_that_ends_at_the_station_is_expected_no_more(
    gateway: Gateway, store: Store, events: Events, subprotocol: str, status: str
) -> None:
    await a_reservation(store)
    seen = recorded(events)
    update = {"reservationId": 7, "reservationUpdateStatus": status}

    async with connected(gateway, subprotocols=(subprotocol,)) as station:
        assert await station.call("ReservationStatusUpdate", update) == {}
        assert await station.call("ReservationStatusUpdate", update) == {}  # again

    with pytest.raises(NotFoundError):
        await store.wish(wish_id_of(STATION, 7))
    assert [event.site_id for event in of_kind(seen, WishChanged)] == ["depot"]
    assert [notice.action for notice in await store.notices(STATION)] == ["ReservationStatusUpdate"] * 2


@pytest.mark.parametrize("number", [8, None, "7", True])
async def test_another_reservation_is_left_alone(gateway: Gateway, store: Store, number: Any) -> None:
    await a_reservation(store)

    async with connected(gateway, subprotocols=("ocpp2.0.1",)) as station:
        update = {"reservationId": number, "reservationUpdateStatus": "Expired"}
        assert await station.call("ReservationStatusUpdate", update) == {}

    assert (await store.wish(wish_id_of(STATION, 7))).site_id == "depot"


async def test_what_a_station_of_1_6_tells_of_itself_is_kept_as_a_notice(
    gateway: Gateway, store: Store, events: Events
) -> None:
    seen = recorded(events)
    told = {
        "DiagnosticsStatusNotification": {"status": "Uploaded"},
        "FirmwareStatusNotification": {"status": "Installed"},
        "LogStatusNotification": {"status": "UploadFailure", "requestId": 3},
        "SecurityEventNotification": {"type": "TamperDetectionActivated", "timestamp": "2026-01-01T00:00:00Z"},
        "SignedFirmwareStatusNotification": {"status": "InvalidSignature", "requestId": 4},
    }
    async with connected(gateway) as station:
        for action, payload in told.items():
            assert await station.call(action, payload) == {}

    assert {notice.action: notice.payload for notice in await store.notices(STATION)} == told
    assert [event.action for event in of_kind(seen, StationNoticed)] == list(told)
