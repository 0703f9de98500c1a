"""What operators set by hand bounds the plan, and never lifts a fuse."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.db.operating_records import Override, OverrideKind
from app.gather.by_hand import WHOLE_SITE, ByHand
from optimizer.check import violations
from optimizer.domain import Circuit, Problem, Scenario, Schedule
from optimizer.optimise import optimise
from tests.optimizer.builders import START, a_problem, a_session, an_evse

HOUR = timedelta(hours=1)


def an_override(kind: OverrideKind, hours: float, station_id: str | None = "cs01", **more: Any) -> Override:
    return Override("one", "depot", kind, START - HOUR, START + hours * HOUR, "operator", station_id=station_id, **more)


def two_cars(*, row_a: float = 32, **more: Any) -> Problem:
    """Each needs two hours at 16 A of eight; it is cheap at the end. Their row carries both."""
    evses = [an_evse(f"cs0{number}/1", circuit_id="row") for number in (1, 2)]
    sessions = [
        a_session(f"tx-{number}", evse_id=f"cs0{number}/1", hours=8, required_energy_kwh=22.08, **more)
        for number in (1, 2)
    ]
    prices = [0.4] * 4 + [0.1] * 4
    return a_problem(prices=prices, circuits=[Circuit("row", max_current_a=row_a)], evses=evses, sessions=sessions)


def planned(problem: Problem, *overrides: Override) -> Schedule:
    bounded, _ = ByHand(overrides).applied(problem, START)
    schedule = optimise(bounded)
    assert not violations(bounded, schedule).all
    assert schedule.status != "fallback"
    return schedule


def test_nothing_changes_where_nothing_is_set() -> None:
    problem = two_cars()

    assert ByHand([]).applied(problem, START) == (problem, {})


def test_a_paused_evse_charges_after_the_pause_and_the_others_meanwhile() -> None:
    expensive_later = replace(two_cars(), import_price_per_kwh=(0.1,) * 4 + (0.4,) * 4)

    schedule = planned(expensive_later, an_override("pause", 3, evse_id=1))

    assert schedule.power_kw["cs01/1"][:3] == pytest.approx([0, 0, 0])
    assert sum(schedule.power_kw["cs01/1"]) == pytest.approx(22.08)
    assert sum(schedule.power_kw["cs02/1"][:4]) == pytest.approx(22.08)


def test_who_leaves_before_the_pause_ends_gets_nothing_and_the_plan_says_so() -> None:
    schedule = planned(two_cars(), an_override("pause", 9))

    assert max(schedule.power_kw["cs01/1"]) == pytest.approx(0)
    assert schedule.sessions["tx-1"].unmet_kwh == pytest.approx(22.08)
    assert schedule.sessions["tx-2"].unmet_kwh == pytest.approx(0, abs=1e-3)


def test_a_pause_longer_than_a_believed_stay_leaves_it_out() -> None:
    problem = two_cars()
    early, late = (Scenario(0.5, START + hours * HOUR, 22.08) for hours in (2, 8))
    believed = replace(problem.sessions[0], scenarios=(early, late))

    bounded, _ = ByHand([an_override("pause", 3)]).applied(
        replace(problem, sessions=(believed, problem.sessions[1]), unmet_price_per_kwh=4.0), START
    )

    assert bounded.sessions[0].max_power_kw == 0


def test_a_boost_charges_at_once_although_it_is_dear() -> None:
    schedule = planned(two_cars(), an_override("boost", 2))

    assert schedule.power_kw["cs01/1"][:2] == pytest.approx([11.04, 11.04], rel=0.01)
    assert schedule.power_kw["cs02/1"][:2] == pytest.approx([0, 0])


def test_a_boost_goes_on_beyond_what_was_asked_for() -> None:
    schedule = planned(two_cars(), an_override("boost", 4))

    assert sum(schedule.power_kw["cs01/1"][:4]) == pytest.approx(44.16, rel=0.01)


def test_boosts_share_a_fuse_that_does_not_carry_them() -> None:
    schedule = planned(two_cars(row_a=16), an_override("boost", 2, station_id=None))

    assert [sum(hour) for hour in zip(*schedule.power_kw.values(), strict=True)][:2] == pytest.approx(
        [11.04, 11.04], rel=0.01
    )


def test_a_boosted_car_comes_before_one_of_the_first_class() -> None:
    schedule = planned(two_cars(row_a=16, priority=1), an_override("boost", 8))

    assert schedule.sessions["tx-1"].unmet_kwh < 1
    assert schedule.sessions["tx-2"].unmet_kwh > 20


def test_limits_in_amperes_and_in_kilowatts_hold_for_the_whole_horizon() -> None:
    in_a = planned(two_cars(), an_override("limit", 1, evse_id=1, max_current_a=8.0))
    in_kw = planned(two_cars(), an_override("limit", 1, evse_id=1, max_power_kw=6.0))

    assert max(in_a.power_kw["cs01/1"]) <= 8 * 0.69 + 1e-6
    assert max(in_kw.power_kw["cs01/1"]) <= 6 + 1e-6
    assert max(in_a.power_kw["cs02/1"]) == pytest.approx(11.04)


def test_a_limit_below_the_least_current_stops_the_evse() -> None:
    schedule = planned(two_cars(), an_override("limit", 1, evse_id=1, max_current_a=5.0))

    assert max(schedule.power_kw["cs01/1"]) == pytest.approx(0)


def test_a_stations_limit_is_shared_by_its_evses() -> None:
    evses = [an_evse("cs01/1"), an_evse("cs01/2")]
    sessions = [a_session(f"tx-{n}", evse_id=f"cs01/{n}", hours=4, required_energy_kwh=11.04) for n in (1, 2)]
    problem = a_problem(prices=[0.1, 0.4, 0.4, 0.4], evses=evses, sessions=sessions)

    schedule = planned(problem, an_override("limit", 1, max_current_a=16.0))

    assert max(sum(hour) for hour in zip(*schedule.power_kw.values(), strict=True)) <= 11.04 + 1e-6
    assert schedule.unmet_kwh == pytest.approx(0, abs=1e-3)


def test_a_limit_of_the_site_is_one_more_circuit_above_all() -> None:
    problem = two_cars()
    bounded, said = ByHand([an_override("limit", 1, station_id=None, max_power_kw=8.0)]).applied(problem, START)
    schedule = optimise(bounded)

    assert bounded.ancestors("row") == ("row", WHOLE_SITE)
    assert max(sum(hour) for hour in zip(*schedule.power_kw.values(), strict=True)) <= 8 + 1e-6
    assert said["manual"]["overrides"] == ["limit of the site to 8 kW until 2026-03-02T01:00:00+00:00 by operator"]


def test_a_pause_comes_before_a_boost() -> None:
    schedule = planned(two_cars(), an_override("boost", 8), an_override("pause", 2))

    assert schedule.power_kw["cs01/1"][:2] == pytest.approx([0, 0])


kinds = st.sampled_from(["boost", "pause", "limit"])


@settings(max_examples=25, deadline=None)
@given(
    kind=kinds,
    other=kinds,
    hours=st.floats(0.1, 12),
    amperes=st.floats(0, 40),
    station=st.sampled_from([None, "cs01"]),
    row_a=st.floats(6, 40),
)
def test_nothing_set_by_hand_breaks_a_rule_of_the_site(
    kind: OverrideKind, other: OverrideKind, hours: float, amperes: float, station: str | None, row_a: float
) -> None:
    def limit(one: OverrideKind) -> dict[str, Any]:
        return {"max_current_a": amperes} if one == "limit" else {}

    problem = two_cars(row_a=row_a)
    by_hand = ByHand(
        [an_override(kind, hours, station_id=station, **limit(kind)), an_override(other, 3, **limit(other))]
    )

    bounded, _ = by_hand.applied(problem, START)
    schedule = optimise(bounded, baselines=False)

    assert not violations(bounded, schedule).caused
    assert schedule.status != "fallback"
    on_row_a = [sum(hour) for hour in zip(*schedule.current_a.values(), strict=True)]
    assert max(on_row_a) <= row_a + 1e-6
