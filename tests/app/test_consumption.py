"""Sums over charge detail records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounting import COST_ESTIMATED
from app.consumption import by_driver, consumption_of
from app.db.records import Cdr
from tests.app.db.builders import a_cdr


def priced(number: int, energy_kwh: float, cost: float, uncontrolled: float, **changes: object) -> Cdr:
    return a_cdr(number, energy_kwh=energy_kwh, cost=cost, uncontrolled_cost=uncontrolled, currency="EUR", **changes)


def test_what_was_saved_is_the_difference_to_no_control() -> None:
    sums = consumption_of([priced(1, 10, 2.0, 3.5), priced(2, 5, 2.0, 1.5)])

    assert sums.saved == {"EUR": pytest.approx(1.0)}
    assert (sums.sessions, sums.energy_kwh, sums.cost) == (2, 15, {"EUR": 4.0})


def test_what_is_not_known_is_in_no_sum_and_said() -> None:
    unknown = a_cdr(3, energy_kwh=7.0)
    known = priced(1, 10, 2.0, 3.5, co2_kg=4.0, pv_share=0.25, flags=(COST_ESTIMATED,))

    sums = consumption_of([known, unknown])

    assert (sums.energy_kwh, sums.priced_kwh, sums.estimated_kwh) == (17.0, 10, 10)
    assert (sums.co2_kg, sums.weighed_kwh, sums.pv_kwh, sums.traced_kwh) == (4.0, 10, 2.5, 10)
    assert sums.flags == {COST_ESTIMATED: 1}


def test_of_nothing_known_the_sum_is_unknown_and_not_0() -> None:
    sums = consumption_of([a_cdr(1)])

    assert (sums.co2_kg, sums.pv_kwh, sums.cost, sums.peak_power_kw) == (None, None, {}, None)


def test_currencies_are_not_added_up() -> None:
    swiss = a_cdr(2, cost=1.0, uncontrolled_cost=1.0, currency="CHF")

    assert consumption_of([priced(1, 1, 2.0, 2.0), swiss]).cost == {"EUR": 2.0, "CHF": 1.0}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100)), max_size=8))
def test_the_drivers_are_the_whole(charges: list[tuple[str, float]]) -> None:
    rows = [priced(number, kwh, kwh, kwh, id_tag=tag) for number, (tag, kwh) in enumerate(charges, start=1)]

    total, parts = consumption_of(rows), by_driver(rows).values()

    assert sum(part.energy_kwh for part in parts) == pytest.approx(total.energy_kwh)
    assert sum(part.sessions for part in parts) == total.sessions
    assert consumption_of(rows[::-1]) == total
