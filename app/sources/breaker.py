"""How long a provider that fails is left alone: longer each time, and never all callers at the same second."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
LONGEST_ASKED_PAUSE = timedelta(hours=6)  # a provider that asks for more is asked again all the same
OPENS_AFTER = 5  # failures in a row: from then on one trial after each pause, and nothing else


@dataclass(slots=True)
class Breaker:
    """Counts failures in a row. Closed: asks, and backs off between failures; open: rests, then tries once."""

    failures: int = 0
    until: datetime | None = None

    def worked(self) -> None:
        self.failures, self.until = 0, None

    def failed(self, now: datetime, jitter: float, asked_pause: timedelta | None = None) -> None:
        """`jitter` in [0, 1) stretches the pause to between once and one and a half times itself."""
        self.failures += 1
        pause = min(FIRST_PAUSE * 2 ** min(self.failures - 1, 10), LONGEST_PAUSE)
        if asked_pause is not None:
            pause = max(pause, min(asked_pause, LONGEST_ASKED_PAUSE))
        self.until = now + pause * (1 + jitter / 2)

    def allows(self, now: datetime) -> bool:
        return self.until is None or now >= self.until

    def state(self, now: datetime) -> Literal["closed", "open", "half_open"]:
        if self.failures < OPENS_AFTER:
            return "closed"
        return "half_open" if self.allows(now) else "open"
