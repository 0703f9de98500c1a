"""EVSEs that no plan should count on for now: how often they failed, and when they are tried again."""

from datetime import datetime, timedelta

MOST = 3  # in a row
TRIED_AGAIN_AFTER = timedelta(minutes=15)


class Failures:
    """By EVSE key. Who declines is given up until forgotten; who did not verifiably lower, for a while at a time."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[int, str, datetime]] = {}
        self._declined: dict[str, str] = {}

    def declines(self, key: str, reason: str) -> None:
        self._declined[key] = f"declines every profile: {reason}"

    def count(self, key: str, reason: str, now: datetime) -> None:
        """It did not verifiably lower once more."""
        times, _, _ = self._counted.get(key, (0, "", now))
        self._counted[key] = (times + 1, reason, now)

    def forget(self, key: str) -> None:
        self._counted.pop(key, None)
        self._declined.pop(key, None)

    def given_up(self, now: datetime) -> dict[str, str]:
        """With the reason."""
        failing = {
            key: reason
            for key, (times, reason, at) in self._counted.items()
            if times >= MOST and now < at + TRIED_AGAIN_AFTER
        }
        return failing | self._declined
