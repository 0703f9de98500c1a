"""Past stays served again under caps, on hours small enough to check by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gather.expected_peak import Stay
from app.gather.under_caps import BelievedStay, CapCosts, Stays, under_caps
from forecasts.sessions import Outcome

START = datetime(2024, 3, 4, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
SLOTS = 48


def stay(
    first_h: float, last_h: float, energy_kwh: float, *, ways: list[tuple[float, float]] | None = None, kw: float = 10.0
) -> BelievedStay:
    """`ways`: hours after the arrival and kWh; by default what came true."""
    came = START + timedelta(hours=first_h)
    believed = ways or [(last_h - first_h, energy_kwh)]
    outcomes = [Outcome(1 / len(believed), came + timedelta(hours=hours), kwh) for hours, kwh in believed]
    return BelievedStay(Stay(came, START + timedelta(hours=last_h), energy_kwh, kw), tuple(outcomes))


def served(stays: list[BelievedStay], *caps_kw: float, base_kw: float = 0.0) -> CapCosts:
    return under_caps(
        Stays.of(stays, START, SLOTS, QUARTER),
        np.array(caps_kw),
        slot_h=0.25,
        import_price_per_kwh=(0.2,) * SLOTS,
        base_load_kw=np.full(SLOTS, base_kw),
    )


def test_a_cap_that_does_not_bind_leaves_nothing_unmet() -> None:
    costs = served([stay(1, 3, 10.0), stay(1, 4, 12.0)], 20.0)

    assert costs.unmet_kwh == pytest.approx([0.0])
    assert costs.energy == pytest.approx([0.2 * 22.0])


def test_who_is_likelier_to_leave_unserved_goes_first() -> None:
    patient, hurried = stay(1, 9, 10.0), stay(1, 2, 10.0)

    assert served([patient, hurried], 10.0).unmet_kwh == pytest.approx([0.0])


def test_a_belief_that_was_wrong_costs_energy() -> None:
    looks_patient = stay(1, 2, 10.0, ways=[(8.0, 10.0)])
    looks_hurried = stay(1, 9, 10.0, ways=[(1.0, 10.0)])

    assert served([looks_patient, looks_hurried], 10.0).unmet_kwh == pytest.approx([10.0])


def test_who_outstays_all_that_was_believed_may_leave_at_any_moment() -> None:
    overdue = stay(1, 5, 10.0, ways=[(1.0, 10.0)])
    patient = stay(1, 9, 20.0)
    hurried = stay(1, 2, 10.0)

    assert served([hurried, overdue, patient], 10.0).unmet_kwh == pytest.approx([0.0])


def test_base_load_takes_its_part_of_the_cap() -> None:
    assert served([stay(1, 3, 20.0)], 10.0, base_kw=5.0).unmet_kwh == pytest.approx([10.0])
    assert served([stay(1, 3, 20.0)], 10.0, base_kw=15.0).unmet_kwh == pytest.approx([20.0])


def test_a_car_counts_by_its_whole_slots_and_one_that_can_draw_nothing_not_at_all() -> None:
    known = Stays.of([stay(1.1, 1.9, 20.0), stay(1, 2, 5.0, kw=0.0), stay(1.1, 1.2, 5.0)], START, SLOTS, QUARTER)

    assert known.came.tolist() == [5]
    assert known.went.tolist() == [7]
    assert known.need_kwh == pytest.approx([5.0])


hours = st.integers(0, 40).map(lambda quarter: quarter / 4)
ways = st.lists(st.tuples(st.floats(0.25, 12.0), st.floats(0.0, 40.0)), min_size=1, max_size=4)


@st.composite
def stays(draw: st.DrawFn) -> BelievedStay:
    first_h = draw(hours)
    last_h = first_h + draw(st.integers(1, 16)) / 4
    return stay(first_h, last_h, draw(st.floats(0.1, 40.0)), ways=draw(ways), kw=draw(st.floats(1.0, 11.0)))


@given(st.lists(stays(), min_size=1, max_size=6), st.floats(0.0, 30.0))
@settings(max_examples=60, deadline=None)
def test_what_is_paid_for_is_what_was_delivered_and_nobody_gets_more_than_it_needs(
    found: list[BelievedStay], cap_kw: float
) -> None:
    known = Stays.of(found, START, SLOTS, QUARTER)

    costs = served(found, 0.0, cap_kw, 1000.0)

    need_kwh = known.need_kwh.sum()
    assert costs.energy == pytest.approx(0.2 * (need_kwh - costs.unmet_kwh), abs=1e-6)
    assert costs.unmet_kwh[0] == pytest.approx(need_kwh)
    assert costs.unmet_kwh[2] == pytest.approx(0.0, abs=1e-6)
    assert (costs.unmet_kwh >= 0).all()
    busy_h = (known.went.max() - known.came.min()) * 0.25
    assert need_kwh - costs.unmet_kwh[1] <= cap_kw * busy_h + 1e-6


@given(st.lists(stays(), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_caps_do_not_see_one_another(found: list[BelievedStay]) -> None:
    caps_kw = (0.0, 3.0, 7.0, 12.0)

    together = served(found, *caps_kw)

    for number, cap_kw in enumerate(caps_kw):
        assert served(found, cap_kw).unmet_kwh[0] == pytest.approx(together.unmet_kwh[number])
