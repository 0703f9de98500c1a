"""The correction gives an interval the coverage that it claims."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasts.conformal import correction, scores


def test_a_score_is_how_far_the_truth_lies_outside() -> None:
    low, high, truth = np.array([1.0, 1.0, 1.0]), np.array([3.0, 3.0, 3.0]), np.array([0.5, 2.0, 7.0])

    assert scores(low, high, truth).tolist() == [0.5, -1.0, 4.0]


def test_what_is_unknown_has_no_score() -> None:
    assert np.isnan(scores(np.array([1.0]), np.array([3.0]), np.array([np.nan]))).all()
    assert correction(np.array([np.nan]), 0.8) == 0.0


def test_an_interval_that_is_always_too_wide_is_narrowed() -> None:
    assert correction(np.full(100, -2.0), 0.8) == -2.0


@settings(deadline=None)
@given(
    st.lists(st.floats(-50, 50), min_size=10, max_size=200),
    st.sampled_from([0.5, 0.8]),
)
def test_the_corrected_interval_would_have_held_what_it_claims(truth: list[float], coverage: float) -> None:
    past = scores(np.zeros(len(truth)), np.ones(len(truth)), np.array(truth))

    added = correction(past, coverage)

    assert np.mean(past <= added) >= coverage


def test_a_band_that_held_half_holds_four_fifths_afterwards() -> None:
    rng = np.random.default_rng(1)
    past, future = rng.normal(size=2000), rng.normal(size=2000)

    added = correction(scores(np.full(2000, -0.67), np.full(2000, 0.67), past), 0.8)

    assert np.mean(np.abs(future) <= 0.67 + added) == pytest.approx(0.8, abs=0.03)
