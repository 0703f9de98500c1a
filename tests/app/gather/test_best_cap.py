"""What peak to plan a month for: the past replayed without foresight, on days small enough to check by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from app.gather.best_cap import LEAST_DELIVERED, best_cap_kw, share_per_kw
from app.gather.expected_peak import Stay
from app.gather.under_caps import BelievedStay
from forecasts.sessions import Outcome

START = datetime(2024, 3, 4, tzinfo=UTC)
FLAT = (0.2,) * 96


def stay(
    first_h: float, last_h: float, energy_kwh: float, max_kw: float = 10.0, believed_h: float | None = None
) -> BelievedStay:
    """By default what was believed came true."""
    came, went = START + timedelta(hours=first_h), START + timedelta(hours=last_h)
    leaves = went if believed_h is None else came + timedelta(hours=believed_h)
    return BelievedStay(Stay(came, went, energy_kwh, max_kw), (Outcome(1.0, leaves, energy_kwh),))


def cap(stays: list[BelievedStay], price_per_kw: float = 1.0, base_kw: float = 0.0, unmet: float = 4.0) -> float:
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


def test_who_leaves_earlier_than_believed_makes_the_cap_higher_than_foresight_would_need() -> None:
    patient = stay(8, 16, 16.0, believed_h=1.0)
    early = stay(8, 10, 8.0, believed_h=8.0)  # with foresight 4 kW for it, the other one after that

    assert cap([patient, early], price_per_kw=0.01) > 8.0


def test_no_cap_leaves_more_unmet_than_drivers_may_expect_however_dear_a_peak_is() -> None:
    hurried = stay(8, 8.25, 2.0)

    assert cap([stay(8, 18, 200.0 * LEAST_DELIVERED - 2.0, 30.0), hurried], price_per_kw=50.0, unmet=0.1) >= 19.6
    assert cap([hurried], price_per_kw=50.0, unmet=0.1) == pytest.approx(8.0, abs=0.2)


def test_what_costs_more_than_it_serves_is_left_unmet() -> None:
    hurried = [stay(8, 18, 400.0, 50.0), stay(8, 8.25, 2.0, believed_h=10.0)]

    assert cap(hurried, price_per_kw=0.01) > cap(hurried, price_per_kw=50.0, unmet=1.0)


def test_base_load_is_part_of_the_cap() -> None:
    assert cap([stay(8, 18, 20.0)], base_kw=30.0) == pytest.approx(32.0, abs=0.3)


def test_a_higher_peak_is_worth_less_when_fewer_days_are_left_to_use_it() -> None:
    day = [stay(8 + 0.25 * n, 10 + 0.25 * n, 6.0, believed_h=4 - 0.5 * n) for n in range(8)]
    day.append(stay(12, 22, 400.0, 50.0))  # beside which a few kWh are less than one percent

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
