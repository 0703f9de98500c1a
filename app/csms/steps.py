"""A limit over time, as steps: what plans, charging profiles and reports have in common.

Pure arithmetic. The unit is the caller's; inside the service it is A per phase, and infinity where nothing limits.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import lt

TOLERANCE = 1e-6  # float noise; far below the 0.1 A that a charging profile can say


@dataclass(frozen=True, slots=True)
class Steps:
    """`values[i]` holds from `moments[i]` (aware) to the next moment, the last one to `end`: half-open throughout."""

    moments: tuple[datetime, ...]
    values: tuple[float, ...]
    end: datetime

    def __post_init__(self) -> None:
        if not self.moments or len(self.moments) != len(self.values):
            raise ValueError(f"{len(self.values)} values do not fit {len(self.moments)} moments")
        if not all(map(lt, self.moments, (*self.moments[1:], self.end))):
            raise ValueError("moments do not increase up to the end")

    @property
    def start(self) -> datetime:
        return self.moments[0]

    @property
    def highest(self) -> float:
        return max(self.values)

    def at(self, moment: datetime) -> float:
        """The value at `moment`; before the start it is the first one, from the end on the last one."""
        return self.values[max(0, bisect_right(self.moments, moment) - 1)]

    def merged(self) -> "Steps":
        """The same curve without moments at which nothing changes."""
        kept = [0] + [i for i in range(1, len(self.values)) if self.values[i] != self.values[i - 1]]
        if len(kept) == len(self.values):
            return self
        return Steps(tuple(self.moments[i] for i in kept), tuple(self.values[i] for i in kept), self.end)

    def exceeds(self, other: "Steps", tolerance: float = TOLERANCE) -> bool:
        """Whether this curve lies above `other` at any moment of their common window."""
        return pointwise(lambda pair: pair[0] - pair[1] if pair[0] != pair[1] else 0.0, self, other).highest > tolerance


def evaluated(
    value_at: Callable[[datetime], float], knots: Iterable[datetime], start: datetime, end: datetime
) -> Steps:
    """The curve of `value_at` over [start, end), which changes at no other moments than `knots`."""
    moments = tuple(sorted({start, *(knot for knot in knots if start < knot < end)}))
    return Steps(moments, tuple(value_at(moment) for moment in moments), end).merged()


def pointwise(pick: Callable[[tuple[float, ...]], float], *curves: Steps) -> Steps:
    """`pick` (min, max, sum, ...) of the curves' values at each moment. Raises `ValueError` on different windows."""
    start, end = curves[0].start, curves[0].end
    if any(curve.start != start or curve.end != end for curve in curves):
        raise ValueError("the curves do not cover the same time")
    moments = sorted({moment for curve in curves for moment in curve.moments})
    columns = ([curve.values[bisect_right(curve.moments, moment) - 1] for moment in moments] for curve in curves)
    return Steps(tuple(moments), tuple(map(pick, zip(*columns, strict=True))), end).merged()
