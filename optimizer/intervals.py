"""Metering intervals: which part of which slot is measured together by a demand charge.

An interval is aligned to the local clock. Intervals are told apart by the UTC moment at which they begin, so that the
hour which a clock change repeats counts twice, as the meter does.
"""

from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np

from optimizer.arrays import Floats, Ints, sum_by
from optimizer.domain import DemandCharge, Problem
from optimizer.presence import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """The intervals of one demand charge that still count, and the pieces of slots they are made of.

    One entry an interval: `length_h`, and `so_far_kwh` that the running one has already imported. One entry a piece:
    `interval`, `slot` (from `Grid.first`), `hours`. The last interval is as long as the horizon shows of it.
    """

    length_h: Floats
    so_far_kwh: Floats
    interval: Ints
    slot: Ints
    hours: Floats

    def peak_kw(self, import_kw: Floats) -> float:
        """The highest mean import; `import_kw` has one value a slot of the grid."""
        if not self.length_h.size:
            return 0.0
        energy_kwh = sum_by(self.interval, import_kw[self.slot] * self.hours, self.length_h.size)
        return float(np.max((energy_kwh + self.so_far_kwh) / self.length_h))


def intervals_of(problem: Problem, charge: DemandCharge, grid: Grid) -> Intervals:
    """Cut the slots at the interval boundaries of the local clock; an interval counts when any of its slots does."""
    length_s = charge.interval_minutes * 60.0
    start = problem.horizon.start
    zone = ZoneInfo(problem.time_zone)

    def begin_of(moment_s: Floats) -> Floats:
        """Start of the interval that holds each moment, in seconds since the start of the horizon."""
        local = [(start + timedelta(seconds=second)).astimezone(zone) for second in moment_s.tolist()]
        into = np.array([clock.minute * 60 + clock.second + clock.microsecond / 1e6 for clock in local]) % length_s
        return moment_s - np.round(into, 6)

    cut_s = begin_of(grid.start_s) + length_s
    crossing = cut_s < grid.end_s - 1e-6
    from_s = np.concatenate([grid.start_s, cut_s[crossing]])
    to_s = np.concatenate([np.minimum(cut_s, grid.end_s), grid.end_s[crossing]])
    slot = np.concatenate([np.arange(grid.slots), np.flatnonzero(crossing)])
    begin, interval = np.unique(np.round(begin_of(from_s), 3), return_inverse=True)

    active = np.ones(grid.slots, dtype=np.bool_) if charge.active is None else np.array(charge.active)[grid.first :]
    counts = sum_by(interval, active[slot], begin.size) > 0
    so_far = np.where(np.arange(begin.size) == 0, charge.interval_energy_so_far_kwh, 0.0)
    number = np.cumsum(counts) - 1
    kept = counts[interval]
    return Intervals(
        length_h=((np.minimum(begin + length_s, grid.end_s[-1]) - begin) / 3600)[counts],
        so_far_kwh=so_far[counts],
        interval=number[interval[kept]],
        slot=slot[kept],
        hours=((to_s - from_s) / 3600)[kept],
    )
