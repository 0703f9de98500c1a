"""Champions and challengers: quantile forecasts of several models become one, by how well each did lately.

A model's weight is the inverse of its mean pinball loss over the scored days, to a high power: the champion counts
most, one that is a tenth worse about a third of that, and one that is half worse next to nothing. The mean of the
quantiles of models that are about equally good is better than any of them.
"""

import numpy as np

from forecasts.series import FloatArray
from forecasts.similar_days import QUANTILES

POWER = 12.0
_LEVELS = np.array(QUANTILES)[:, None]


def pinball(forecast: FloatArray, truth: FloatArray) -> FloatArray:
    """Mean over the quantiles of each slot's pinball loss: (..., quantile, slot) and (..., slot) become (..., slot)."""
    over = truth[..., None, :] - forecast
    return np.asarray(np.maximum(_LEVELS * over, (_LEVELS - 1) * over).mean(axis=-2))


def weights(past: FloatArray, truth: FloatArray, power: float = POWER) -> FloatArray:
    """The share of each model, together 1, from (day, model, quantile, slot) and (day, slot); equal when unknown."""
    loss = pinball(past, truth[:, None])
    known = ~np.isnan(loss).any(axis=1)
    models = past.shape[1]
    if not known.any():
        return np.full(models, 1.0 / models)
    mean = loss.transpose(1, 0, 2)[:, known].mean(axis=1)
    least = mean.min()
    share = (mean <= 0.0).astype(np.float64) if least <= 0.0 else (least / mean) ** power
    return np.asarray(share / share.sum())


def blended(forecasts: FloatArray, share: FloatArray) -> FloatArray:
    """(day, model, quantile, slot) weighed over the models: (day, quantile, slot)."""
    return np.asarray(np.tensordot(share, forecasts, axes=(0, 1)))
