"""Conformal correction: intervals that were too narrow lately are widened by what they missed.

Conformalised quantile regression (Romano, Patterson, Candès 2019, arXiv:1905.03222): the score of a past interval is
how far the truth lay outside of it, negative inside. Adding the right quantile of past scores at both ends gives the
interval the coverage that it claims, as far as the days to come are like the days scored.
"""

import numpy as np

from forecasts.series import FloatArray


def scores(low: FloatArray, high: FloatArray, truth: FloatArray) -> FloatArray:
    """How far each truth lies outside its interval; negative inside; NaN where anything is unknown."""
    return np.fmax(low - truth, truth - high) + 0.0 * (low + high + truth)


def correction(past_scores: FloatArray, coverage: float) -> float:
    """What to add at both ends so that a share `coverage` (0 to 1) of the scored intervals would have held.

    The finite-sample quantile ⌈(n + 1) · coverage⌉ / n. 0 where nothing was scored.
    """
    known = past_scores[~np.isnan(past_scores)]
    if len(known) == 0:
        return 0.0
    level = min(1.0, np.ceil((len(known) + 1) * coverage) / len(known))
    return float(np.quantile(known, level, method="higher"))
