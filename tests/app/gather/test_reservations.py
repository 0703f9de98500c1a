"""A reserved EVSE in the plan: from the moment of its reservation to its end, or to the car."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db.records import Wish
from app.gather.reservations import reservation_wish
from app.gather.sessions import expected_sessions
from app.site import Site

NOW = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {},
        "charging_stations": [{"id": "cs01", "evses": [{"id": 1}]}, {"id": "cs02", "evses": [{"id": 1}, {"id": 2}]}],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        "session_defaults": {"stay_h": 8, "required_energy_kwh": 20},
    }
)


def in_1_6(connector: Any = 1, *, until: Any = "2026-04-27T11:00:00Z", **more: Any) -> dict[str, Any]:
    return {"connectorId": connector, "expiryDate": until, "idTag": "TAG", "reservationId": 7} | more


def in_2_x(**more: Any) -> dict[str, Any]:
    token = {"idToken": "TAG", "type": "ISO14443"}
    return {"id": 7, "expiryDateTime": "2026-04-27T11:00:00Z", "idToken": token, "evseId": 1} | more


def expected_at(wish: Wish | None, now: datetime) -> list[str]:
    assert wish is not None
    return [session.evse_id for session in expected_sessions([wish], [], now, now + 36 * HOUR)]


@pytest.mark.parametrize("reservation", [in_1_6(), in_2_x()])
def test_both_versions_say_the_same(reservation: dict[str, Any]) -> None:
    wish = reservation_wish(SITE, "cs01", reservation, NOW)

    assert wish == Wish(
        wish_id="reservation-cs01-7",
        site_id="depot",
        departure=NOW + 10.5 * HOUR,
        required_energy_kwh=20,
        created_at=NOW,
        station_id="cs01",
        evse_id=1,
        id_tag="TAG",
        arrival=NOW + 2.5 * HOUR,
    )


def test_its_car_is_expected_until_the_reservation_ends_and_not_a_moment_longer() -> None:
    wish = reservation_wish(SITE, "cs01", in_1_6(), NOW)

    assert expected_at(wish, NOW) == ["cs01/1"]
    assert expected_at(wish, NOW + 3 * HOUR - timedelta(seconds=1)) == ["cs01/1"]
    assert expected_at(wish, NOW + 3 * HOUR) == []


def test_one_that_ends_within_half_an_hour_may_come_at_once() -> None:
    wish = reservation_wish(SITE, "cs01", in_1_6(until="2026-04-27T08:10:00Z"), NOW)

    assert wish is not None
    assert wish.arrival == NOW


def test_the_only_evse_of_a_station_is_meant_by_none() -> None:
    of_one = reservation_wish(SITE, "cs01", in_1_6(0), NOW)
    of_two = reservation_wish(SITE, "cs02", in_1_6(0), NOW)

    assert of_one is not None
    assert of_one.evse_id == 1
    assert of_two is None


@pytest.mark.parametrize(
    "reservation",
    [
        in_1_6(9),
        in_1_6("1"),
        in_1_6(until="2026-04-27T07:59:59Z"),
        in_1_6(until="tomorrow"),
        in_1_6(reservationId="7"),
        in_1_6(reservationId=True),
        in_2_x(evseId=3),
        in_2_x(id=None),
    ],
)
def test_what_cannot_be_expected_is_no_session(reservation: dict[str, Any]) -> None:
    assert reservation_wish(SITE, "cs01", reservation, NOW) is None
