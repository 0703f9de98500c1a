"""Who is there and what they need."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.csms.paused_stays import paused_stay
from app.db.records import EvseStatus, Transaction, Wish
from app.gather.sessions import Seen, declines_energy, expected_sessions, phases_in_use, running_session, wish_of
from app.site import Site

NOW = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {},
        "charging_stations": [{"id": "cs01", "evses": [{"id": 1}]}, {"id": "cs02", "evses": [{"id": 1}]}],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        "session_defaults": {"stay_h": 8, "required_energy_kwh": 20},
    }
)


def a_transaction(
    started_at: datetime = NOW - HOUR, number: int = 1, station: str = "cs01", tag: str = "t"
) -> Transaction:
    return Transaction(number, "depot", station, 1, tag, started_at, 1000.0)


def a_wish(created_at: datetime = NOW, **changes: object) -> Wish:
    columns: dict[str, object] = {
        "wish_id": "w1",
        "site_id": "depot",
        "departure": NOW + 6 * HOUR,
        "required_energy_kwh": 30.0,
        "created_at": created_at,
        "station_id": "cs01",
        "evse_id": 1,
    }
    return Wish(**(columns | changes))  # type: ignore[arg-type]  # columns of one dataclass, chosen by the test


def test_a_wish_said_while_the_car_is_there_is_its_wish() -> None:
    transaction = a_transaction()

    assert wish_of(transaction, [a_wish()], [transaction]) == a_wish()


def test_a_wish_said_for_another_station_is_not() -> None:
    assert wish_of(a_transaction(), [a_wish(station_id="cs02")], []) is None


def test_what_is_left_below_one_slot_at_the_minimum_is_asked_for_as_one_such_slot() -> None:
    """No plan can give less than 6 A for a slot, and a car that is given none of its last part is not ready."""
    nearly = running_session(SITE, a_transaction(), a_wish(), Seen(29.4, 3), NOW)
    noise = running_session(SITE, a_transaction(), a_wish(), Seen(29.98, 3), NOW)
    done = running_session(SITE, a_transaction(), a_wish(), Seen(30.5, 3), NOW)

    assert nearly.required_energy_kwh == pytest.approx(6 * 3 * 0.230 / 4)
    assert noise.required_energy_kwh == pytest.approx(0.02)
    assert done.required_energy_kwh == 0.0


def test_a_wish_said_before_belongs_to_the_first_car_that_comes() -> None:
    first = a_transaction(NOW - 3 * HOUR, 1)
    second = a_transaction(NOW - HOUR, 2)
    early = a_wish(NOW - 4 * HOUR)

    assert wish_of(first, [early], [first, second]) == early
    assert wish_of(second, [early], [first, second]) is None


def test_the_newest_wish_overrules_the_older() -> None:
    older, newer = a_wish(NOW - HOUR / 2), a_wish(NOW, wish_id="w2", required_energy_kwh=5.0)

    assert wish_of(a_transaction(), [older, newer], []) == newer


def test_a_wish_by_id_tag_finds_its_car_at_any_station() -> None:
    wish = a_wish(station_id=None, evse_id=None, id_tag="fleet-7")

    assert wish_of(a_transaction(station="cs02", tag="fleet-7"), [wish], []) == wish
    assert wish_of(a_transaction(station="cs02", tag="other"), [wish], []) is None


def test_a_wish_for_the_evening_is_not_the_wish_of_the_car_that_stands_there_in_the_morning() -> None:
    morning = a_transaction(NOW - HOUR, 1)
    for_the_evening = a_wish(NOW, arrival=NOW + 9 * HOUR, departure=NOW + 12 * HOUR)

    assert wish_of(morning, [for_the_evening], [morning]) is None


def test_a_car_that_comes_long_before_an_announced_one_does_not_take_its_wish() -> None:
    announced = a_wish(NOW - 3 * HOUR, arrival=NOW + 9 * HOUR, departure=NOW + 12 * HOUR)
    other = a_transaction(NOW - 2 * HOUR, 1)
    later = NOW + 9 * HOUR
    awaited = a_transaction(later, 2)

    assert wish_of(other, [announced], [other]) is None
    assert [session.session_id for session in expected_sessions([announced], [other], NOW, NOW + 24 * HOUR)] == [
        "wish-w1"
    ]
    assert wish_of(awaited, [announced], [other, awaited]) == announced


def test_an_announced_id_tag_is_known_however_early_it_comes() -> None:
    announced = a_wish(NOW - 5 * HOUR, id_tag="fleet-7", arrival=NOW + 9 * HOUR, departure=NOW + 12 * HOUR)
    early = a_transaction(NOW - HOUR, tag="fleet-7")

    assert wish_of(early, [announced], [early]) == announced
    assert expected_sessions([announced], [early], NOW, NOW + 24 * HOUR) == []


def test_what_a_car_got_before_its_driver_spoke_does_not_count_towards_the_wish() -> None:
    said_late = a_wish(NOW - HOUR / 2, required_energy_kwh=20.0)

    session = running_session(SITE, a_transaction(), said_late, Seen(12.0, 3, before_wish_kwh=8.0), NOW)

    assert session.required_energy_kwh == pytest.approx(16.0)


def test_what_was_delivered_is_no_longer_needed() -> None:
    session = running_session(SITE, a_transaction(), a_wish(), Seen(12.5, 3), NOW)

    assert session.required_energy_kwh == pytest.approx(17.5)
    assert session.departure == NOW + 4.5 * HOUR  # an hour and a half before the stated departure
    assert session.vehicle_phases == 3


def test_a_car_that_would_have_to_hurry_is_planned_until_it_leaves() -> None:
    session = running_session(SITE, a_transaction(), a_wish(required_energy_kwh=36.0), Seen(0.0, 1), NOW)

    assert session.departure == NOW + 6 * HOUR


def test_without_a_wish_the_defaults_of_the_site_stand_in_and_something_is_kept_open() -> None:
    fresh = running_session(SITE, a_transaction(), None, Seen(), NOW)
    long_served = running_session(SITE, a_transaction(), None, Seen(45.0), NOW)

    assert (fresh.required_energy_kwh, fresh.departure) == (20.0, NOW + 7 * HOUR)
    assert long_served.required_energy_kwh == 2.0


def test_a_car_that_outstays_its_departure_is_planned_for_another_hour() -> None:
    session = running_session(SITE, a_transaction(), a_wish(departure=NOW - HOUR), Seen(), NOW)

    assert session.departure == NOW + HOUR


def test_an_announced_car_is_expected_until_it_is_half_an_hour_late() -> None:
    wish = a_wish(NOW - HOUR, arrival=NOW + HOUR)

    [session] = expected_sessions([wish], [], NOW, NOW + 24 * HOUR)

    assert (session.evse_id, session.arrival, session.priority) == ("cs01/1", NOW + HOUR, 2)
    assert expected_sessions([wish], [], NOW + 2 * HOUR, NOW + 24 * HOUR) == []
    assert expected_sessions([wish], [a_transaction(NOW)], NOW, NOW + 24 * HOUR) == []


def test_a_car_whose_transaction_was_stopped_for_a_pause_is_expected_until_it_is_started_again() -> None:
    stopped, again = a_transaction(NOW - HOUR, 1), a_transaction(NOW + 2 * HOUR, 2)
    wish = replace(paused_stay(stopped, NOW, NOW + 6 * HOUR, 12.0), vehicle_phases=3)

    [session] = expected_sessions([wish], [stopped], NOW + HOUR, NOW + 24 * HOUR)

    assert (session.session_id, session.arrival, session.priority) == ("wish-pause-cs01-1-1", NOW + HOUR, 1)
    assert expected_sessions([wish], [stopped, again], NOW + 3 * HOUR, NOW + 24 * HOUR) == []
    assert wish_of(again, [wish], [stopped, again]) == wish
    assert wish_of(stopped, [wish], [stopped, again]) is None


def test_who_is_planned_ready_early_is_not_planned_earlier_still_after_a_pause() -> None:
    stopped, again = a_transaction(NOW - HOUR, 1), a_transaction(NOW + HOUR, 2)
    wish = paused_stay(stopped, NOW, NOW + 6 * HOUR, 2.0)

    assert running_session(SITE, again, wish, Seen(), NOW + HOUR).departure == NOW + 6 * HOUR


def test_a_pause_says_nothing_about_the_phases_of_a_car() -> None:
    assert phases_in_use({"L1": 0.0, "L2": 0.1, "L3": 0.0}) is None
    assert phases_in_use({"L1": 15.9, "L2": 0.1, "L3": 0.0}) == 1


def test_a_car_that_takes_nothing_of_what_it_is_offered_leaves_its_room_to_others() -> None:
    transaction = a_transaction()
    paused = EvseStatus("cs01", 1, "SuspendedEV", "NoError", NOW - timedelta(minutes=15))

    session = running_session(SITE, transaction, a_wish(), Seen(takes_none=True), NOW)

    assert session.required_energy_kwh == 2.0
    assert declines_energy(paused, transaction, NOW)
    assert not declines_energy(paused, transaction, NOW - timedelta(minutes=13))
    assert not declines_energy(replace(paused, status="SuspendedEVSE"), transaction, NOW)
    assert not declines_energy(paused, a_transaction(started_at=NOW), NOW)
    assert not declines_energy(None, transaction, NOW)
