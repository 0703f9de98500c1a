"""How far the charging of the coming day could be raised or lowered for the grid."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.flexibility import flexibility
from optimizer.baseline import equal_share
from optimizer.domain import Circuit, Connection, Evse, Horizon, Problem, Schedule, Session
from optimizer.optimise import optimise

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_problem(
    *, prices: tuple[float, ...] = (0.3, 0.1, 0.2, 0.4), needs: tuple[float, ...] = (11.0,), max_import_kw: float = 99.0
) -> Problem:
    """One EVSE of 11 kW for each need, there for the whole horizon; slots of an hour."""
    slots = len(prices)
    return Problem(
        horizon=Horizon(NOW, 60, slots),
        connection=Connection(max_import_kw=max_import_kw),
        circuits=(Circuit("main"),),
        evses=tuple(
            Evse(f"cs{number}/1", "main", max_power_kw=11.0, max_current_a=None, min_current_a=0.0)
            for number in range(len(needs))
        ),
        sessions=tuple(
            Session(f"s{number}", f"cs{number}/1", NOW, NOW + slots * HOUR, need) for number, need in enumerate(needs)
        ),
        base_load_kw=(0.0,) * slots,
        import_price_per_kwh=prices,
        export_price_per_kwh=(0.0,) * slots,
        pv_kw=(0.0,) * slots,
    )


def test_one_car_in_the_cheapest_hour_can_go_before_and_after() -> None:
    problem = a_problem()

    found = flexibility(problem, optimise(problem), NOW)

    assert [slot.planned_kw for slot in found.slots] == pytest.approx([0, 11, 0, 0])
    assert [slot.up_kw for slot in found.slots] == pytest.approx([11, 0, 0, 0])
    assert [slot.down_kw for slot in found.slots] == pytest.approx([0, 11, 0, 0])
    assert [slot.up_kwh for slot in found.slots] == pytest.approx([11, 0, 0, 0])
    assert [slot.down_kwh for slot in found.slots] == pytest.approx([0, 11, 11, 0])
    assert (found.planned_kwh, found.up_kwh, found.down_kwh) == pytest.approx((11, 11, 11))


def test_a_car_that_needs_every_hour_can_give_nothing() -> None:
    problem = a_problem(needs=(44.0,))

    found = flexibility(problem, optimise(problem), NOW)

    assert found.planned_kwh == pytest.approx(44)
    assert (found.up_kwh, found.down_kwh) == pytest.approx((0, 0))
    assert all((slot.up_kw, slot.down_kw) == pytest.approx((0, 0)) for slot in found.slots)


def test_the_fuse_bounds_what_can_be_raised_and_what_can_be_made_good() -> None:
    problem = a_problem(needs=(11.0, 11.0), max_import_kw=11.0)

    found = flexibility(problem, optimise(problem), NOW)

    assert all(slot.planned_kw + slot.up_kw <= 11.0 + 1e-6 for slot in found.slots)
    cheapest = found.slots[1]
    assert cheapest.planned_kw == pytest.approx(11.0)
    assert cheapest.down_kw == pytest.approx(11.0)  # the last hour has room for one car
    assert found.slots[2].down_kw == pytest.approx(11.0)


def test_without_sessions_there_is_nothing_to_give() -> None:
    problem = replace(a_problem(), sessions=())

    found = flexibility(problem, optimise(problem), NOW)

    assert [slot.up_kw + slot.down_kw for slot in found.slots] == [0, 0, 0, 0]


def test_what_is_over_is_not_offered_nor_what_is_more_than_a_day_ahead() -> None:
    problem = a_problem(prices=(0.1, 0.2) * 20)

    found = flexibility(problem, optimise(problem), NOW + HOUR * 1.5)

    assert found.slots[0].start == NOW + HOUR
    assert found.slots[-1].start == NOW + 25 * HOUR


def lowered(problem: Problem, slot: int, power_kw: float) -> Schedule:
    """The best that can be done when the site may draw no more than so much in this slot."""
    base = [0.0] * problem.horizon.slots
    base[slot] = (problem.connection.max_import_kw or 0.0) - power_kw
    return optimise(replace(problem, base_load_kw=tuple(base), base_load_high_kw=tuple(base)))


@settings(max_examples=12, deadline=None)
@example(needs=[4.0, 30.0], prices=[0.5] * 4, max_import_kw=11.0)  # equal prices: nothing is where it has to be
@given(
    needs=st.lists(st.floats(1.0, 30.0), min_size=1, max_size=3),
    prices=st.lists(st.floats(0.05, 0.5), min_size=4, max_size=5),
    max_import_kw=st.floats(11.0, 30.0),
)
def test_what_is_offered_downwards_costs_nobody_energy(
    needs: list[float], prices: list[float], max_import_kw: float
) -> None:
    problem = a_problem(prices=tuple(prices), needs=tuple(needs), max_import_kw=max_import_kw)
    schedule = optimise(problem)

    found = flexibility(problem, schedule, NOW)

    unmet_kwh = sum(session.unmet_kwh for session in schedule.sessions.values())
    for number, slot in enumerate(found.slots):
        assert 0 <= slot.down_kw <= slot.planned_kw + 1e-6
        assert slot.planned_kw + slot.up_kw <= max_import_kw + 1e-6
        if slot.down_kw > 1e-3:
            without = lowered(problem, number, slot.planned_kw - slot.down_kw)
            assert sum(row.unmet_kwh for row in without.sessions.values()) <= unmet_kwh + 0.05


def test_a_plan_that_charges_at_once_has_nothing_ahead_of_it() -> None:
    problem = a_problem(needs=(11.0, 22.0))

    found = flexibility(problem, equal_share(problem), NOW)

    assert found.up_kwh == pytest.approx(0.0)
    assert found.down_kwh > 10
