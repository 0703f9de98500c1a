"""The replay on a made month of a few days: its ends hold every policy, and no policy sees what it may not."""

from collections.abc import Sequence
from dataclasses import replace as replaced
from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest

from benchmarks.replay_policies import Beliefs, Known, Policy, Present, Stated, Wanted, replay
from benchmarks.replayed import Month, month_of, perfect_foresight, uncontrolled


def made(days: int = 4, cars: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    rows = []
    for day in range(days):
        for car in range(cars):
            arrival = pd.Timestamp("2024-03-04 08:00", tz="UTC") + pd.Timedelta(days=day, minutes=20 * car)
            stay_h = 6 + 3 * rng.random()
            rows.append(
                {
                    "session_id": f"{day}-{car}",
                    "evse_id": f"e{car}",
                    "user_id": None,
                    "arrival": arrival,
                    "departure": arrival + pd.Timedelta(hours=stay_h),
                    "energy_kwh": 6 + 10 * rng.random(),
                    "max_kw": 6.6,
                    "requested_kwh": 20.0,
                    "stated_departure": arrival + pd.Timedelta(hours=8),
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def month() -> Month:
    return month_of(made(), date(2024, 3, 4), date(2024, 3, 9), "UTC")


def test_perfect_foresight_serves_everybody_at_the_least_cost(month: Month) -> None:
    best, worst = perfect_foresight(month), uncontrolled(month)

    np.testing.assert_allclose(best.delivered_kwh, month.energy_kwh)
    assert best.score(month).total < worst.score(month).total


@pytest.mark.parametrize("name", ["truth", "stated", "beliefs"])
def test_no_policy_beats_foresight_or_gives_more_than_is_wanted(month: Month, name: str) -> None:
    policies: dict[str, Policy] = {
        "truth": Known(month),
        "stated": Stated(month),
        "beliefs": Beliefs(month, made().iloc[:0], None, None),
    }

    outcome = replay(month, policies[name])

    assert outcome.score(month).total >= perfect_foresight(month).score(month).total - 1e-6
    assert (outcome.delivered_kwh <= month.energy_kwh + 1e-6).all()
    assert outcome.power_kw.sum() / 4 == pytest.approx(outcome.delivered_kwh.sum())


def test_what_comes_later_changes_nothing_before(month: Month) -> None:
    rows = made()
    later = rows["arrival"] >= pd.Timestamp("2024-03-06", tz="UTC")
    changed = rows.assign(energy_kwh=rows["energy_kwh"].where(~later, 2 * rows["energy_kwh"]))
    other = month_of(changed, date(2024, 3, 4), date(2024, 3, 9), "UTC")

    one = replay(month, Beliefs(month, rows.iloc[:0], None, None))
    two = replay(other, Beliefs(other, rows.iloc[:0], None, None))

    np.testing.assert_array_equal(one.power_kw[: 2 * 96], two.power_kw[: 2 * 96])


def test_what_a_car_that_is_full_leaves_goes_to_the_others_within_the_quarter_hour() -> None:
    """Two cars under a cap of one: the first is full after five minutes and noticed after three more."""
    cars = pd.DataFrame(
        {
            "arrival": pd.Timestamp("2024-03-04 08:00", tz="UTC"),
            "departure": pd.Timestamp("2024-03-04 08:15", tz="UTC"),
            "energy_kwh": [0.5, 1.5],
            "max_kw": 6.0,
            "evse_id": ["e0", "e1"],
            "requested_kwh": [10.0, 1.0],
            "stated_departure": pd.Timestamp("2024-03-04 08:15", tz="UTC"),
        }
    )
    month = month_of(cars, date(2024, 3, 4), date(2024, 3, 6), "UTC")

    at_once = replay(month, Capped(month, 6.0), full_seen_h=0.05)
    later = replay(month, Capped(month, 6.0), full_seen_h=0.25)

    assert later.delivered_kwh.tolist() == pytest.approx([0.5, 0.0])
    assert at_once.delivered_kwh.tolist() == pytest.approx([0.5, 6.0 * (0.25 - 0.5 / 6.0 - 0.05)], abs=1e-3)
    assert at_once.power_kw.max() <= 6.0


class Capped(Known):
    """The first car wants all that there is, as far as anybody knows."""

    def __init__(self, month: Month, cap_kw: float) -> None:
        super().__init__(month)
        self._month, self._cap_kw = month, cap_kw

    def wants(self, now: datetime, present: Sequence[Present]) -> Wanted:
        first, second = (min(one.car for one in present), max(one.car for one in present))
        sessions = super().wants(now, present).sessions
        greedy = [replaced(one, required_energy_kwh=10.0 if int(one.session_id) == 0 else 1.5) for one in sessions]
        return Wanted(tuple(greedy[:1] if first != second else greedy), self._cap_kw, None)
