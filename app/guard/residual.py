"""What the guard tells the planner: load that no forecast knew of, and that the next plan must leave room for."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.dispatch.fuses import Fuses
from app.guard.burden import Burden
from optimizer.domain import CONNECTION, PHASES, PhaseCurrents, Reservation

LASTS_FROM = timedelta(seconds=20)
GONE_AFTER = timedelta(seconds=60)
GONE_SHARE = 0.2  # of what the plan was told
LITTLE_KW = 1.0  # is no reason for a plan


@dataclass(frozen=True, slots=True)
class Residual:
    """`building_kw` is measured, None where it is not; `unexplained` is A by circuit and phase."""

    building_kw: float | None = None
    unexplained: Mapping[str, PhaseCurrents] = field(default_factory=dict)

    def reservations(self) -> tuple[Reservation, ...]:
        return tuple(
            Reservation(current_a, circuit_id=circuit_id) for circuit_id, current_a in self.unexplained.items()
        )


def residual_of(fuses: Fuses, burden: Burden, building_kw: float | None) -> Residual:
    unexplained: dict[str, list[float]] = {}
    for row, other, is_measured in zip(fuses.rows, burden.other, burden.measured, strict=True):
        if is_measured and row.circuit_id != CONNECTION and row.phase is not None and other > 0:
            unexplained.setdefault(row.circuit_id, [0.0, 0.0, 0.0])[PHASES.index(row.phase)] = float(other)
    return Residual(building_kw, {circuit_id: (one[0], one[1], one[2]) for circuit_id, one in unexplained.items()})


class Persisting:
    """What of a building's load has lasted: a motor's inrush is the guard's business, and no reason for a plan."""

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, float]] = deque()
        self._told: tuple[datetime, float] | None = None  # when the planner was told last, and what
        self._lowered_at: datetime | None = None  # since the planner was asked last

    def note(self, building_kw: float | None, now: datetime) -> None:
        """At every look; None: it is not measured."""
        if building_kw is None:
            self._seen.clear()
            return
        self._seen.append((now, building_kw))
        while self._seen[0][0] < now - GONE_AFTER:
            self._seen.popleft()

    def lowered(self, now: datetime) -> None:
        """EVSEs were lowered just now."""
        self._lowered_at = now

    def tell(self, now: datetime) -> float | None:
        """What the building has drawn all the time lately, kW, for a plan that is made now; None: not measured."""
        lately = [kw for at, kw in self._seen if at >= now - LASTS_FROM]
        if not lately:
            return None
        self._told = (now, min(lately))
        return min(lately)

    def is_news(self, now: datetime, *, is_limiting: bool) -> bool:
        """Whether a new plan would count with something else: once when EVSEs have been held down for a while, and
        once when what the last plan was told of is gone."""
        if self._lowered_at is not None and now - self._lowered_at >= LASTS_FROM:
            self._lowered_at = None
            return is_limiting
        if self._told is None or not self._seen or now - self._told[0] < GONE_AFTER:
            return False
        gone_kw = self._told[1] - max(kw for _, kw in self._seen)
        if gone_kw <= max(LITTLE_KW, GONE_SHARE * self._told[1]):
            return False
        self._told = None
        return True
