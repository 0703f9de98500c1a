"""What was believed of past sessions, on histories small enough to check by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasts.errors import SeriesError
from forecasts.past_beliefs import arrived_of, beliefs_at_arrival

MONDAY = datetime(2024, 3, 4, 8, 0, tzinfo=UTC)


def history(*stays: tuple[float, float, float]) -> pd.DataFrame:
    """(days after `MONDAY`, hours, kWh)."""
    arrival = pd.DatetimeIndex([MONDAY + timedelta(days=day) for day, _, _ in stays])
    departure = arrival + pd.to_timedelta([hours for _, hours, _ in stays], unit="h")
    return pd.DataFrame({"arrival": arrival, "departure": departure, "energy_kwh": [kwh for _, _, kwh in stays]})


def believed(past: pd.DataFrame, since_day: float = 0.0) -> list[tuple[int, float]]:
    """Row and median stay."""
    found = beliefs_at_arrival(past, since=MONDAY + timedelta(days=since_day), time_zone="UTC")
    return [(one.row, one.belief.stay_quantile_h(0.5)) for one in found]


def test_a_session_is_believed_by_those_of_the_days_before() -> None:
    past = history(*[(day, 8.0, 12.0) for day in (0, 1, 2, 3, 4)], (7, 3.0, 5.0), (8, 3.0, 5.0))

    assert believed(past, 7.0) == [(5, 8.0), (6, 8.0)]


def test_what_a_session_became_and_what_came_later_changes_nothing() -> None:
    past = history(*[(day, 8.0, 12.0) for day in (0, 1, 2, 3, 4)], (7, 3.0, 5.0))
    other = pd.concat([past.assign(energy_kwh=[12.0] * 5 + [50.0]), history((8, 1.0, 1.0))], ignore_index=True)

    before = beliefs_at_arrival(past, since=MONDAY, time_zone="UTC")
    after = beliefs_at_arrival(other, since=MONDAY, time_zone="UTC")

    for one, two in zip(before, after, strict=False):
        np.testing.assert_array_equal(one.belief.energy_kwh, two.belief.energy_kwh)
        np.testing.assert_allclose(one.belief.weight, two.belief.weight)


def test_the_first_session_of_all_is_believed_by_the_prior() -> None:
    (first,) = beliefs_at_arrival(history((0, 8.0, 12.0)), since=MONDAY, time_zone="UTC")

    assert first.belief.prior_share == 1.0


def test_nothing_before_is_asked_for() -> None:
    assert believed(history((0, 8.0, 12.0), (1, 8.0, 12.0)), since_day=2.0) == []


def test_empty_and_missing_values_are_unknown() -> None:
    said = arrived_of({"arrival": pd.Timestamp(MONDAY), "user_id": "", "requested_kwh": float("nan"), "evse_id": "e1"})

    assert (said.user_id, said.requested_kwh, said.stated_departure, said.evse_id) == (None, None, None, "e1")
    assert said.arrival == MONDAY


def test_an_arrival_that_is_no_time_is_an_error_that_names_it() -> None:
    with pytest.raises(SeriesError, match="noon"):
        arrived_of({"arrival": "noon"})
