"""The coming hours start from what was measured last: its deviation is carried on, fading, and the bands are narrower.

Both are learned from the site: how deviations from its own past forecasts faded, and how good forecasts were that
carried them on.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from forecasts.series import FloatArray

ANCHOR_WITHIN = timedelta(hours=1)  # an older measurement says nothing about the coming slots
MAX_HOURLY_PERSISTENCE = 0.8  # above it a residual would reach into the next day
NARROWER_UP_TO_H = 8


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    r"""What the last measured hour's mean residual :math:`r` says about a slot :math:`h` hours on: :math:`r \varphi^h`.

    :math:`\varphi` is the regression of residuals on the mean residual of the hour that ended an hour before. `width`
    is by whole hours ahead the mean absolute error that is left, as a share of that without an anchor.
    """

    residual_kw: float
    persistence: float
    width: FloatArray

    @classmethod
    def learned(cls, residuals_kw: FloatArray, *, now_kw: FloatArray, said_kw: FloatArray, age: timedelta) -> "Anchor":
        """From past residuals by (day, slot), the last measured hour, what is forecast for it, and how old it is."""
        residual_kw = residuals_kw.ravel()
        slots_per_hour = residuals_kw.shape[1] // 24
        missed = now_kw - said_kw
        if age > ANCHOR_WITHIN or np.isnan(missed).all():
            return cls(0.0, 0.0, np.ones(1))
        hour_mean = _rolling_mean(residual_kw, slots_per_hour)
        before, after = _apart(hour_mean, residual_kw, slots_per_hour)
        square = float(before @ before)
        persistence = float(before @ after) / square if square > 0 else 0.0
        persistence = min(max(persistence, 0.0), MAX_HOURLY_PERSISTENCE)
        usual_kw = float(np.nanmean(np.abs(residual_kw))) if (~np.isnan(residual_kw)).any() else 0.0
        width = np.ones(NARROWER_UP_TO_H)
        for hours in range(1, NARROWER_UP_TO_H + 1):
            before, after = _apart(hour_mean, residual_kw, slots_per_hour * hours)
            if len(after) and usual_kw > 0:
                width[hours - 1] = min(1.0, float(np.abs(after - before * persistence**hours).mean()) / usual_kw)
        return cls(float(np.nanmean(missed)), persistence, np.maximum.accumulate(width))

    def applied(self, power_kw: FloatArray, ahead_h: FloatArray) -> FloatArray:
        """`power_kw` (quantile, slot) moved and narrowed; `ahead_h` counts from the last measured slot."""
        ahead_h = np.maximum(ahead_h, 0.0)
        middle = power_kw[len(power_kw) // 2]
        width = np.interp(ahead_h, np.arange(1, len(self.width) + 2), np.append(self.width, 1.0))
        return np.asarray(middle + (power_kw - middle) * width + self.residual_kw * self.persistence**ahead_h)


def _rolling_mean(values: FloatArray, length: int) -> FloatArray:
    """The mean of the last `length` values at each place, of those that are known."""
    known = ~np.isnan(values)
    totals = np.cumsum(np.concatenate([np.zeros(length), np.where(known, values, 0.0)]))
    counts = np.cumsum(np.concatenate([np.zeros(length), known]))
    with np.errstate(invalid="ignore"):
        return np.asarray((totals[length:] - totals[:-length]) / (counts[length:] - counts[:-length]))


def _apart(before: FloatArray, after: FloatArray, slots: int) -> tuple[FloatArray, FloatArray]:
    """Pairs that lie `slots` apart, both known."""
    first, second = before[:-slots], after[slots:]
    both = ~np.isnan(first) & ~np.isnan(second)
    return first[both], second[both]
