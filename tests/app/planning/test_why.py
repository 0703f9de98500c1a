"""Why an EVSE charges at a moment, or does not: words and numbers that agree with the plan."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db.records import Delivery, Plan
from app.errors import InvalidInputError
from app.planning.solving import by_rules, solve
from app.planning.why import WhyOut, why
from app.problem_json import problem_to_json, schedule_to_json
from optimizer.domain import Circuit, Problem, Reservation
from tests.optimizer.builders import START, a_problem, a_session, an_evse


def a_plan_of(problem: Problem, **changes: Any) -> Plan:
    schedule = schedule_to_json(solve(problem, baselines=()).schedule)
    horizon = problem.horizon
    fields: dict[str, Any] = {
        "plan_id": "p1",
        "site_id": "depot",
        "kind": "request",
        "created_at": horizon.start,
        "start": horizon.start,
        "end": horizon.end,
        "status": schedule["status"],
        "reason": schedule["reason"],
        "problem": problem_to_json(problem),
        "schedule": schedule,
        "provenance": {},
    }
    return Plan(**(fields | changes))


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


CHEAP_IN_THE_MIDDLE = a_problem(prices=[0.30, 0.10, 0.40], sessions=[a_session(required_energy_kwh=5, hours=3)])


def asked(problem: Problem, number: float, evse_id: str = "evse-1", **changes: Any) -> WhyOut:
    return why(a_plan_of(problem, **changes), evse_id, hour(number))


def test_it_charges_in_the_cheapest_hour_and_says_what_would_move_it() -> None:
    answer = asked(CHEAP_IN_THE_MIDDLE, 1.5)

    assert answer.does == "charges"
    assert answer.power_kw == pytest.approx(5.0, abs=0.1)
    assert answer.price_per_kwh == pytest.approx(0.10)
    assert answer.next_best is not None
    assert answer.next_best.start == hour(0)
    assert answer.next_best.price_per_kwh == pytest.approx(0.30)
    [change] = [one for one in answer.changes if one.what == "price"]
    assert change.amount == pytest.approx(0.20)
    assert "evse-1 charges" in answer.text


def test_it_rests_where_a_kwh_is_dearer_and_says_by_how_much() -> None:
    answer = asked(CHEAP_IN_THE_MIDDLE, 2.0)

    assert answer.does == "rests"
    [change] = [one for one in answer.changes if one.what == "price"]
    assert change.amount == pytest.approx(0.30)
    assert "does not charge" in answer.text


def test_a_fuse_that_holds_it_back_is_named_with_its_shadow_price() -> None:
    sessions = [a_session(f"tx-{n}", evse_id=f"evse-{n}", required_energy_kwh=9, hours=3) for n in (1, 2)]
    problem = a_problem(
        prices=[0.10, 0.30, 0.40],
        circuits=[Circuit("row", max_power_kw=11.04)],
        evses=[an_evse(f"evse-{n}", circuit_id="row") for n in (1, 2)],
        sessions=sessions,
    )

    answers = [asked(problem, 0.5, f"evse-{n}") for n in (1, 2)]

    named = [one for answer in answers for one in answer.binding]
    assert {(one.rule, one.where) for one in named} == {("circuit_power", "row")}
    assert named[0].shadow_price_per_kwh == pytest.approx(0.20)
    changes = [one for answer in answers for one in answer.changes if one.what == "limit"]
    assert "circuit_power at row" in changes[0].text


def test_a_wish_that_is_not_met_names_what_would_meet_it() -> None:
    problem = a_problem(prices=[0.30, 0.10, 0.40], sessions=[a_session(required_energy_kwh=40, hours=3)])

    answer = asked(problem, 1.0)

    assert answer.stay is not None
    assert answer.stay.unmet_kwh == pytest.approx(40 - 3 * 11.04, abs=0.05)
    assert {one.what for one in answer.changes} & {"stay", "need"}
    assert "kWh short" in answer.text


def test_where_nobody_is_it_says_so_and_who_comes_next() -> None:
    problem = a_problem(prices=[0.3] * 6, sessions=[a_session(after_hours=3, hours=3, required_energy_kwh=5)])

    answer = asked(problem, 1.0)

    assert (answer.does, answer.stay, answer.price_per_kwh) == ("nobody_there", None, None)
    assert "no vehicle was expected" in answer.text
    assert "next one" in answer.text


def test_within_a_slot_it_is_the_moment_that_counts() -> None:
    problem = a_problem(prices=[0.3] * 4, sessions=[a_session(after_hours=0.5, hours=2, required_energy_kwh=5)])

    assert [asked(problem, number).does != "nobody_there" for number in (0.4, 0.6, 2.4, 2.6)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_slot_that_costs_the_same_is_as_good() -> None:
    problem = a_problem(prices=[0.2, 0.2], sessions=[a_session(required_energy_kwh=5, hours=2)])

    texts = [change.text for number in (0.5, 1.5) for change in asked(problem, number).changes]

    assert any("It might as well charge at" in text for text in texts)


def test_an_evse_that_is_not_controlled_says_what_it_is_counted_with_and_why() -> None:
    problem = a_problem(evses=[an_evse()], reservations=[Reservation((16.0, 16.0, 16.0), evse_id="evse-1")])

    answer = asked(problem, 1.0, provenance={"uncontrollable": {"evse-1": "it draws 32 A, and may 6 A"}})

    assert answer.does == "not_controlled"
    assert "it draws 32 A, and may 6 A" in answer.text
    assert "up to 16 A" in answer.text
    assert [one.what for one in answer.changes] == ["control"]


def test_a_plan_by_rules_says_so_and_has_no_prices() -> None:
    schedule = schedule_to_json(by_rules(CHEAP_IN_THE_MIDDLE, "planning this site has ended 2 processes"))

    answer = asked(CHEAP_IN_THE_MIDDLE, 0.5, schedule=schedule, status="fallback")

    assert (answer.does, answer.price_per_kwh, answer.binding) == ("charges", None, [])
    assert "by rules: equal share, because" in answer.text
    assert "has ended 2 processes" in answer.text


def test_what_the_station_made_of_it_is_part_of_the_answer() -> None:
    problem = a_problem(
        prices=[0.30, 0.10, 0.40],
        evses=[an_evse("cs1/1")],
        sessions=[a_session(evse_id="cs1/1", required_energy_kwh=5)],
    )
    withheld = Delivery("p1", "depot", "cs1", 1, "withheld", START, detail="cs2/1 did not verifiably lower")

    answer = why(a_plan_of(problem), "cs1/1", hour(1), [withheld], drawn_kw=4.1)

    assert answer.delivery == "withheld: cs2/1 did not verifiably lower"
    assert "does not hold this: withheld" in answer.text
    assert answer.drawn_kw == 4.1


def test_what_the_plan_does_not_cover_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match="evse: 'evse-9'"):
        asked(CHEAP_IN_THE_MIDDLE, 1, "evse-9")
    for number in (-0.1, 3.0):
        with pytest.raises(InvalidInputError, match="at: "):
            asked(CHEAP_IN_THE_MIDDLE, number)


def test_words_are_in_the_sites_own_time() -> None:
    problem = a_problem(
        prices=[0.30, 0.10, 0.40],
        sessions=[a_session(required_energy_kwh=5, start=datetime(2026, 7, 1, 20, tzinfo=UTC))],
        start=datetime(2026, 7, 1, 20, tzinfo=UTC),
        time_zone="Europe/Berlin",
    )

    answer = why(a_plan_of(problem), "evse-1", datetime(2026, 7, 1, 21, 30, tzinfo=UTC))

    assert "Wed 01 Jul 23:30" in answer.text
