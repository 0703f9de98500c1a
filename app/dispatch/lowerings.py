"""Who was told to draw less than it was drawing, and whose meter has not shown it yet.

Pure. A limit that is read back says what a station holds; only its meter says what flows. Where a station's meter is
known to speak, the room that its lower limit frees counts once the meter has shown it, or has had the time to and has
shown nothing else.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.dispatch.obedience import GRACE_S, TOLERANCE_A, TOLERANCE_SHARE

LONGEST_INTERVAL = timedelta(minutes=5)  # a meter that speaks less often is not waited for
SILENT_AFTER = 3  # intervals; then a meter has stopped to speak, and nothing is known of what flows
GRACE = timedelta(seconds=GRACE_S)


@dataclass(frozen=True, slots=True)
class Lowering:
    """Until proven it counts with `drawn_a`, per phase. `until` None: its meter still shows more than `limit_a`."""

    drawn_a: float
    limit_a: float
    since: datetime
    until: datetime | None


class Lowerings:
    """By EVSE key, with the pace of each meter."""

    def __init__(self) -> None:
        self._samples: dict[str, tuple[float, datetime]] = {}
        self._intervals: dict[str, timedelta] = {}
        self._open: dict[str, Lowering] = {}

    def begin(self, key: str, *, from_a: float, to_a: float, was_read_back: bool, now: datetime) -> None:
        """Its limit has fallen. Nothing is open where it drew no more than that, or its meter's pace is not known.

        A station that does not say what it holds is given longer: only its meter speaks for it.
        """
        self._open.pop(key, None)
        interval = self._intervals.get(key)
        if interval is None:
            return
        drawn_a, at = self._samples[key]
        if at < now - SILENT_AFTER * interval:
            drawn_a = from_a  # silence: it may draw all that it was allowed
        if drawn_a > _highest(to_a):
            patience = interval if was_read_back else SILENT_AFTER * interval
            self._open[key] = Lowering(drawn_a, to_a, now, now + GRACE + patience)

    def take(self, key: str, drawn_a: float, at: datetime) -> bool:
        """One sample; whether it has closed a lowering, or shown that it is not followed yet."""
        last = self._samples.get(key)
        if last is not None and at <= last[1]:
            return False
        if last is not None and at - last[1] <= LONGEST_INTERVAL:
            self._intervals[key] = at - last[1]
        self._samples[key] = drawn_a, at
        lowering = self._open.get(key)
        if lowering is None or at < lowering.since + GRACE:
            return False
        if drawn_a <= _highest(lowering.limit_a):
            del self._open[key]
            return True
        self._open[key] = replace(lowering, drawn_a=drawn_a, until=None)
        return False

    def open_a(self, key: str, now: datetime) -> float | None:
        """A per phase that it may still draw, above its limit; None where its lower limit is proven."""
        lowering = self._open.get(key)
        if lowering is not None and lowering.until is not None and lowering.until <= now:
            del self._open[key]
            return None
        return None if lowering is None else lowering.drawn_a

    def forget(self, key: str) -> None:
        """Its vehicle has left: nothing flows, and the next one's meter keeps its own pace."""
        for known in (self._samples, self._intervals, self._open):
            known.pop(key, None)


def _highest(limit_a: float) -> float:
    return limit_a + max(TOLERANCE_A, TOLERANCE_SHARE * limit_a)
