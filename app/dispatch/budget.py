"""How often a charging station is written to: some keep profiles in flash memory that wears out."""

from datetime import datetime, timedelta

WRITES_A_DAY = 100  # plans to one EVSE; one at every quarter of an hour that changes every time stays below
AT_ONCE = 50  # of these, how many may follow each other without a pause
DAY = timedelta(days=1)


class WriteBudget:
    """Plans sent to each EVSE: `at_once` in a row, and what refills in between; `writes_a_day` in any 24 hours.

    A plan takes one message, or two where it must be lowered first. Lowering is never refused, but counts. Raising
    waits for the next refill, half an hour at most.
    """

    def __init__(self, writes_a_day: int = WRITES_A_DAY, at_once: int = AT_ONCE) -> None:
        self._writes_a_day = writes_a_day
        self._at_once = at_once
        self._refill = DAY / (writes_a_day - at_once)
        self._left: dict[str, tuple[float, datetime]] = {}

    def spend(self, key: str, now: datetime) -> None:
        self._left[key] = (self.left(key, now) - 1.0, now)

    def left(self, key: str, now: datetime) -> float:
        """Writes that may follow at once; below 0 after lowering more often than that."""
        left, at = self._left.get(key, (float(self._at_once), now))
        return min(float(self._at_once), left + max(timedelta(0), now - at) / self._refill)

    def allows_raising(self, key: str, now: datetime) -> bool:
        return self.left(key, now) >= 1.0

    def refusal(self) -> str:
        return f"more than its {self._writes_a_day} writes a day: it is raised a little later"
