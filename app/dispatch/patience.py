"""How long to wait before the same thing is tried again: longer each time it did not help."""

from datetime import datetime, timedelta

FIRST = timedelta(seconds=30)
LONGEST = timedelta(minutes=15)


class Patience:
    """Doubling waits by name, from `FIRST` to `LONGEST`."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[datetime, timedelta]] = {}  # when it is due again, and the wait after that

    def is_due(self, name: str, now: datetime) -> bool:
        """Whether it may be tried now; asking counts as trying."""
        due, wait = self._waits.get(name, (now, FIRST))
        if now < due:
            return False
        self._waits[name] = (now + wait, min(2 * wait, LONGEST))
        return True

    def forget(self, name: str) -> None:
        """It helped: the next time is the first again."""
        self._waits.pop(name, None)
