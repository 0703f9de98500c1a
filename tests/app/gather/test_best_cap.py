"""What peak to plan a month for: the past replayed without foresight, on days small enough to check by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gather.best_cap import best_cap_kw, equal_shares, share_per_kw
from app.gather.expected_peak import Stay

START = datetime(2024, 3, 4, tzinfo=UTC)
FLAT = (0.2,) * 96


def stay(first_h: float, last_h: float, energy_kwh: float, max_kw: float = 10.0) -> Stay:
    return Stay(START + timedelta(hours=first_h), START + timedelta(hours=last_h), energy_kwh, max_kw)


def cap(stays: list[Stay], price_per_kw: float = 1.0, base_kw: float = 0.0, unmet: float = 4.0) -> float:
    return best_cap_kw(
        stays,
        start=START,
        slot_minutes=15,
        import_price_per_kwh=FLAT,
        price_per_kw=price_per_kw,
        unmet_price_per_kwh=unmet,
        base_load_kw=(base_kw,) * 96,
    )


def test_a_car_with_time_is_served_at_the_power_that_just_does() -> None:
    assert cap([stay(8, 18, 20.0)]) == pytest.approx(2.0, abs=0.2)


def test_who_comes_later_makes_the_cap_higher_than_foresight_would_need() -> None:
    both = [stay(8, 12, 8.0), stay(9, 10, 8.0)]  # with foresight 8 kW for the second, the first before and after

    assert cap(both, price_per_kw=0.01) > 8.0


def test_what_costs_more_than_it_serves_is_left_unmet() -> None:
    hurried = [stay(8, 18, 20.0), stay(8, 8.25, 2.0)]

    assert cap(hurried, price_per_kw=0.01) >= 8.0
    assert cap(hurried, price_per_kw=50.0, unmet=1.0) < 1.0


def test_who_wants_little_leaves_its_part_to_the_others() -> None:
    wanted_kw = np.array([[2.0, 2.0, 2.0], [7.0, 7.0, 7.0], [7.0, 7.0, 7.0]])

    drawn_kw = equal_shares(wanted_kw, np.array([3.0, 10.0, 100.0]))

    assert drawn_kw.T.tolist() == [[1.0, 1.0, 1.0], [2.0, 4.0, 4.0], [2.0, 7.0, 7.0]]


@given(
    st.lists(st.floats(0.0, 50.0), min_size=1, max_size=8),
    st.lists(st.floats(0.0, 300.0), min_size=1, max_size=4),
)
def test_equal_shares_use_up_the_room_and_no_two_that_want_more_differ(wanted: list[float], room: list[float]) -> None:
    wanted_kw, room_kw = np.repeat(np.array(wanted)[:, None], len(room), axis=1), np.array(room)

    drawn_kw = equal_shares(wanted_kw, room_kw)

    assert (drawn_kw >= 0).all()
    assert (drawn_kw <= wanted_kw).all()
    np.testing.assert_allclose(drawn_kw.sum(axis=0), np.minimum(room_kw, wanted_kw.sum(axis=0)), atol=1e-9)
    for shares_kw, wants_kw in zip(drawn_kw.T, wanted_kw.T, strict=True):
        left_wanting = shares_kw[shares_kw < wants_kw - 1e-9]
        assert np.ptp(left_wanting) <= 1e-9 if left_wanting.size else True
        assert not left_wanting.size or left_wanting.min() >= shares_kw.max() - 1e-9


def test_base_load_is_part_of_the_cap() -> None:
    assert cap([stay(8, 18, 20.0)], base_kw=30.0) == pytest.approx(32.0, abs=0.3)


def test_a_higher_peak_is_worth_less_when_fewer_days_are_left_to_use_it() -> None:
    day = [stay(8 + 0.25 * n, 10 + 0.25 * n, 6.0) for n in range(8)]

    caps_kw = [cap(day, price_per_kw) for price_per_kw in (0.1, 1.0, 3.0, 10.0, 30.0)]

    assert caps_kw == sorted(caps_kw, reverse=True)
    assert caps_kw[0] > caps_kw[-1]


def test_nobody_needs_no_peak_and_a_car_that_leaves_at_once_counts_for_none() -> None:
    assert cap([]) == 0.0
    assert cap([stay(8, 8.1, 5.0)]) == 0.0


def test_few_days_pay_more_than_their_share() -> None:
    shares = [share_per_kw(20.0, days, 20) / days for days in (1, 7, 28)]

    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(1.0)
