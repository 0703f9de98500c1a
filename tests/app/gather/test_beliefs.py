"""From a site's transactions to what is believed of the car that is there."""

from datetime import UTC, datetime, timedelta

import pytest

from app.db.records import Transaction, Wish
from app.gather.beliefs import arrived, history, scenarios
from app.gather.sessions import Seen, running_session
from app.site import Site
from forecasts.sessions import SessionModel
from optimizer.domain import Scenario

NOW = datetime(2024, 3, 18, 10, 0, tzinfo=UTC)
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "Europe/Berlin",
        "connection": {"max_import_kw": 100},
        "charging_stations": [{"id": "cs01", "evses": [{"id": 1}]}],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        "session_defaults": {"wishes_bind": False},
    }
)
RUNNING = Transaction(99, "depot", "cs01", 1, "ada", NOW - timedelta(hours=2), 0.0)
WISH = Wish("w", "depot", NOW + timedelta(hours=8), 30.0, NOW - timedelta(hours=2), id_tag="ada")


def past(day: int, hours: float, kwh: float) -> Transaction:
    started = RUNNING.started_at - timedelta(days=day)
    return Transaction(
        day, "depot", "cs01", 1, "ada", started, 1000.0, stopped_at=started + timedelta(hours=hours),
        meter_stop_wh=1000.0 + 1000 * kwh,
    )  # fmt: skip


def model(transactions: list[Transaction]) -> SessionModel:
    return SessionModel(history(transactions, []), time_zone="Europe/Berlin", issued_at=NOW)


def test_a_session_that_is_not_over_or_not_metered_is_no_history() -> None:
    assert history([RUNNING], []).empty


def test_energy_is_the_difference_of_the_registers() -> None:
    rows = history([past(3, 5.0, 12.5)], [])

    assert rows["energy_kwh"].to_list() == [12.5]
    assert rows["user_id"].to_list() == ["ada"]


def test_a_wish_is_a_feature_of_its_session() -> None:
    said = arrived(RUNNING, WISH)

    assert said.stated_departure == WISH.departure
    assert said.requested_kwh == 30.0


def test_scenarios_begin_after_now_and_owe_only_what_is_missing() -> None:
    known = model([past(day, 5.0, 12.5) for day in range(1, 12)])

    found = scenarios(known, RUNNING, WISH, Seen(delivered_kwh=8.0), NOW)

    assert sum(one.probability for one in found) == pytest.approx(1.0)
    assert all(one.departure > NOW for one in found)
    assert all(one.required_energy_kwh >= 0 for one in found)


def test_a_belief_becomes_a_session_with_scenarios() -> None:
    found = scenarios(model([]), RUNNING, WISH, Seen(delivered_kwh=8.0), NOW)

    session = running_session(SITE, RUNNING, WISH, Seen(delivered_kwh=8.0), NOW, found)

    assert session.scenarios == found
    assert session.departure == max(one.departure for one in found)


def test_what_a_belief_leaves_below_one_slot_at_the_minimum_is_asked_for_as_one_such_slot() -> None:
    """A car that is given none of its last part is not ready, whether its driver is believed or obeyed."""
    little, noise, much = (Scenario(1 / 3, NOW + timedelta(hours=3), kwh) for kwh in (0.27, 0.02, 12.0))

    session = running_session(SITE, RUNNING, WISH, Seen(29.7, 3), NOW, (little, noise, much))

    slot_kwh = 6 * 3 * 0.230 / 4
    assert [one.required_energy_kwh for one in session.scenarios] == pytest.approx([slot_kwh, 0.02, 12.0])
    assert session.required_energy_kwh == 12.0


def test_a_car_that_takes_nothing_is_planned_as_before() -> None:
    found = scenarios(model([]), RUNNING, WISH, Seen(), NOW)

    session = running_session(SITE, RUNNING, WISH, Seen(takes_none=True), NOW, found)

    assert session.scenarios == ()


def test_wishes_bind_unless_the_site_says_otherwise() -> None:
    document = SITE.model_dump(mode="json") | {"session_defaults": {}}

    assert Site.model_validate(document).session_defaults.wishes_bind
