"""A plan for stations that hold few periods: who needs it, and what is said of what it costs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.csms.connector import Kind, Passport
from app.planning.few_periods import WINDOW, fits, period_limits, told_in_few_periods
from optimizer.compress import Compression, compress
from optimizer.domain import Connection, Evse, Horizon, Problem, Schedule, Session
from optimizer.optimise import optimise

START = datetime(2026, 6, 1, 8, tzinfo=UTC)
SLOTS = 16
KNOWN = Passport(known=True, max_periods=24)


def a_problem() -> Problem:
    """One van for four hours, under prices that go up and down every quarter."""
    zeros = (0.0,) * SLOTS
    return Problem(
        horizon=Horizon(START, 15, SLOTS),
        connection=Connection(),
        circuits=(),
        evses=(Evse("cs1/1", "connection", max_current_a=16.0), Evse("cs2/1", "connection", max_current_a=16.0)),
        sessions=(Session("van", "cs1/1", START, START + timedelta(hours=4), 15, vehicle_phases=3),),
        base_load_kw=zeros,
        pv_kw=zeros,
        import_price_per_kwh=tuple(0.2 + 0.1 * (slot % 2) for slot in range(SLOTS)),
        export_price_per_kwh=zeros,
    )


def a_compression(loss_kwh: float, loss_money: float) -> Compression:
    schedule = optimise(a_problem())
    return Compression(schedule, loss_kwh, loss_money, {"cs1/1": 1}, "optimised")


def told(compression: Compression) -> tuple[Schedule, dict[str, object]]:
    return told_in_few_periods(compression, {"cs1/1": 1}, START + WINDOW)


def test_only_evses_with_a_session_at_known_stations_are_limited() -> None:
    problem = a_problem()

    assert period_limits(problem, {"cs1": KNOWN, "cs2": KNOWN}) == {"cs1/1": 23}
    assert period_limits(problem, {"cs1": Passport()}) == {}


def test_one_period_is_left_for_what_holds_behind_the_watched_time() -> None:
    problem = a_problem()

    limits = [period_limits(problem, {"cs1": replace(KNOWN, max_periods=n)})["cs1/1"] for n in (1, 2, 3, 5)]

    assert limits == [1, 2, 2, 4]


def test_a_station_of_relative_profiles_holds_one_period_whatever_it_says() -> None:
    relative = replace(KNOWN, kinds=frozenset({Kind.RELATIVE}))

    assert period_limits(a_problem(), {"cs1": relative}) == {"cs1/1": 1}


def test_a_plan_that_can_be_told_as_it_is_fits() -> None:
    problem = a_problem()
    schedule = optimise(problem)

    assert fits(problem, schedule, {}, START + WINDOW)
    assert fits(problem, schedule, {"cs1/1": SLOTS}, START + WINDOW)
    assert not fits(problem, schedule, {"cs1/1": 2}, START + WINDOW)


def test_what_is_behind_the_window_is_told_by_a_later_profile() -> None:
    problem = a_problem()

    assert fits(problem, optimise(problem), {"cs1/1": 2}, START + timedelta(minutes=30))


def test_what_is_lost_is_kept_with_the_plan_and_said_where_it_is_much() -> None:
    little, much, dear = a_compression(0.05, 0.0), a_compression(0.3, 0.0), a_compression(0.0, 1.0)

    assert told(little)[0].warnings == ()
    assert told(little)[1]["compression"]["loss_kwh"] == 0.05  # type: ignore[index]  # a document
    assert told(much)[0].warnings == (
        "charging stations that hold few periods cost 0.30 kWh and 0.00 EUR against the plan without that limit",
    )
    assert "1.00 EUR" in told(dear)[0].warnings[0]


def test_a_plan_that_was_not_changed_is_not_mentioned() -> None:
    problem = a_problem()
    schedule = optimise(problem)
    unchanged = compress(problem, schedule, {"cs1/1": SLOTS})

    assert told_in_few_periods(unchanged, {"cs1/1": SLOTS}, START) == (schedule, {})
