"""Beliefs about stays, on histories small enough to check by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasts.arrivals import expected_arrivals
from forecasts.errors import SeriesError
from forecasts.sessions import OPEN_NEED_KWH, Arrived, SessionModel, weighted_quantile

MONDAY = datetime(2024, 3, 4, 8, 0, tzinfo=UTC)
SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "acn_jpl_2019-09_4weeks.csv"


def history(*stays: tuple[float, float, float, str | None]) -> pd.DataFrame:
    """(days after `MONDAY`, hours, kWh, driver)."""
    arrival = [MONDAY + timedelta(days=day) for day, *_ in stays]
    return pd.DataFrame(
        {
            "arrival": pd.to_datetime(arrival, utc=True),
            "departure": pd.to_datetime(
                [at + timedelta(hours=hours) for at, (_, hours, _, _) in zip(arrival, stays, strict=True)], utc=True
            ),
            "energy_kwh": [energy_kwh for _, _, energy_kwh, _ in stays],
            "user_id": [user for *_, user in stays],
        }
    )


def model(past: pd.DataFrame, issued_at: datetime = MONDAY + timedelta(days=14)) -> SessionModel:
    return SessionModel(past, time_zone="UTC", issued_at=issued_at)


WORKDAYS = history(*[(day, 8.0, 12.0, None) for day in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)] * 5)


def test_a_site_without_history_believes_its_prior() -> None:
    stated = MONDAY + timedelta(hours=9)

    belief = model(WORKDAYS.iloc[:0]).belief(Arrived(MONDAY, stated_departure=stated, requested_kwh=20.0))

    assert belief.prior_share == 1.0
    assert 7.0 < belief.stay_quantile_h(0.5) < 12.0
    assert 5.0 <= belief.energy_quantile_kwh(0.5) <= 20.0


def test_history_takes_over_from_the_prior() -> None:
    belief = model(WORKDAYS).belief(Arrived(MONDAY + timedelta(days=14)))

    assert belief.stay_quantile_h(0.5) == 8.0
    assert belief.energy_quantile_kwh(0.5) == 12.0
    assert belief.prior_share < 0.1


def test_a_driver_s_own_sessions_outweigh_those_of_others() -> None:
    own = history(*[(day, 3.0, 30.0, "ada") for day in (0, 1, 2, 3, 4)])

    belief = model(pd.concat([WORKDAYS, own])).belief(Arrived(MONDAY + timedelta(days=14), user_id="ada"))

    assert belief.stay_quantile_h(0.5) == 3.0
    assert belief.energy_quantile_kwh(0.5) == 30.0


def test_the_day_that_is_running_says_nothing_yet() -> None:
    short_today = history((14, 0.5, 1.0, None))

    known = model(short_today, issued_at=MONDAY + timedelta(days=14, hours=2))

    assert known.sessions == 0


def test_what_had_not_ended_at_issue_is_not_known() -> None:
    assert model(history((13, 48.0, 10.0, None))).sessions == 0


def test_a_missing_column_is_named() -> None:
    with pytest.raises(SeriesError, match="energy_kwh"):
        model(WORKDAYS.drop(columns="energy_kwh"))


def test_the_weighted_quantile_is_the_value_that_reaches_the_share() -> None:
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), 0.25) == 1.0
    assert weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), 0.75) == 2.0


@settings(deadline=None)
@given(
    elapsed_h=st.floats(0, 40),
    taken_kwh=st.floats(0, 80),
    stated_h=st.one_of(st.none(), st.floats(0.1, 30)),
    requested_kwh=st.one_of(st.none(), st.floats(0, 100)),
    count=st.integers(1, 12),
)
def test_outcomes_are_a_distribution_of_what_can_still_happen(
    elapsed_h: float, taken_kwh: float, stated_h: float | None, requested_kwh: float | None, count: int
) -> None:
    arrival = MONDAY + timedelta(days=14)
    now = arrival + timedelta(hours=elapsed_h)
    stated = None if stated_h is None else arrival + timedelta(hours=stated_h)

    belief = model(WORKDAYS).belief(Arrived(arrival, stated_departure=stated, requested_kwh=requested_kwh))
    outcomes = belief.given(now, taken_kwh).outcomes(count)

    assert sum(way.probability for way in outcomes) == pytest.approx(1.0)
    assert all(way.departure > now for way in outcomes)
    assert all(way.energy_kwh >= taken_kwh - 1e-9 for way in outcomes)


@settings(deadline=None)
@given(earlier_h=st.floats(0, 20), later_h=st.floats(0, 20))
def test_a_car_that_is_still_there_is_never_believed_to_leave_earlier_than_before(
    earlier_h: float, later_h: float
) -> None:
    belief = model(WORKDAYS).belief(Arrived(MONDAY + timedelta(days=14)))
    first, second = sorted((earlier_h, later_h))

    before = belief.given(belief.arrival + timedelta(hours=first)).stay_quantile_h(0.5)
    after = belief.given(belief.arrival + timedelta(hours=second)).stay_quantile_h(0.5)

    assert after >= before - 1e-9


@given(st.floats(0.0, 200.0), st.floats(0.0, 30.0))
@settings(max_examples=40, deadline=None)
def test_a_car_that_still_draws_is_never_written_off(taken_kwh: float, elapsed_h: float) -> None:
    now = MONDAY + timedelta(days=14, hours=elapsed_h)
    belief = model(WORKDAYS).belief(Arrived(MONDAY + timedelta(days=14))).given(now, taken_kwh)

    found = belief.outcomes(8, taken_kwh=taken_kwh)

    assert max(one.energy_kwh for one in found) >= taken_kwh + OPEN_NEED_KWH - 1e-9
    assert [one.departure for one in found] == [one.departure for one in belief.outcomes(8)]


def test_what_is_believed_to_be_taken_anyway_is_left_as_it_is() -> None:
    belief = model(WORKDAYS).belief(Arrived(MONDAY + timedelta(days=14)))

    assert belief.outcomes(8, taken_kwh=3.0) == belief.outcomes(8)


def test_as_many_are_expected_as_came_on_days_of_the_same_type() -> None:
    expected = expected_arrivals(
        WORKDAYS,
        time_zone="UTC",
        issued_at=MONDAY + timedelta(days=13, hours=16),
        until=MONDAY + timedelta(days=14, hours=9),
    )

    assert sum(one.probability for one in expected) == pytest.approx(5.0)
    assert {one.arrival for one in expected} == {MONDAY + timedelta(days=14)}
    assert {one.energy_kwh for one in expected} == {12.0}


def test_who_comes_every_other_day_is_expected_with_a_probability_of_a_half() -> None:
    past = history(*[(day, 8.0, 12.0, None) for day in (0, 2, 4, 8, 10)])

    expected = expected_arrivals(
        past,
        time_zone="UTC",
        issued_at=MONDAY + timedelta(days=13, hours=16),
        until=MONDAY + timedelta(days=14, hours=9),
    )

    assert [one.probability for one in expected] == [pytest.approx(0.5)]


def test_nobody_is_expected_without_history_nor_on_a_day_off() -> None:
    saturday = MONDAY + timedelta(days=12)

    assert not expected_arrivals(WORKDAYS.iloc[:0], time_zone="UTC", issued_at=MONDAY, until=MONDAY + timedelta(days=1))
    assert not expected_arrivals(
        WORKDAYS, time_zone="UTC", issued_at=saturday - timedelta(hours=4), until=saturday + timedelta(hours=10)
    )


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample of workplace sessions is not beside this repository")
def test_three_weeks_of_a_workplace_forecast_the_fourth() -> None:
    rows = pd.read_csv(SAMPLE)
    for name in ("arrival", "departure", "stated_departure"):
        rows[name] = pd.to_datetime(rows[name], utc=True, format="ISO8601")
    rows = rows[rows["energy_kwh"] > 0.3]
    issued_at = datetime.fromisoformat("2019-09-23T00:00:00-07:00")
    known = SessionModel(rows, time_zone="America/Los_Angeles", issued_at=issued_at, country="US", subdivision="CA")
    stay_h, energy_kwh, stay_median, median_kwh, high_kwh = [], [], [], [], []

    for row in rows[rows["arrival"] >= issued_at].to_dict("records"):
        belief = known.belief(
            Arrived(
                row["arrival"].to_pydatetime(),
                stated_departure=None if pd.isna(row["stated_departure"]) else row["stated_departure"].to_pydatetime(),
                requested_kwh=None if pd.isna(row["requested_kwh"]) else row["requested_kwh"],
            )
        )
        stay_h.append((row["departure"] - row["arrival"]) / timedelta(hours=1))
        energy_kwh.append(row["energy_kwh"])
        stay_median.append(belief.stay_quantile_h(0.5))
        median_kwh.append(belief.energy_quantile_kwh(0.5))
        high_kwh.append(belief.energy_quantile_kwh(0.9))

    assert smape(stay_h, stay_median) <= 13.5
    assert smape(energy_kwh, median_kwh) <= 18.0
    assert 85.0 <= 100 * np.mean(np.array(energy_kwh) <= np.array(high_kwh)) <= 95.0


def smape(truth: list[float], forecast: list[float]) -> float:
    y, f = np.array(truth), np.array(forecast)
    return float(100 * np.mean(np.abs(y - f) / (np.abs(y) + np.abs(f))))
