"""What the guard remembers of one site: what its meters said last, and how far its EVSEs were let in the last seconds.

Memory only, and little of it. Vehicles take seconds to follow a limit (IEC 61851-1 allows five) and meters some more
to show it: what is drawn is compared with the highest limit of the last `REACTION`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.dispatch.obedience import TOLERANCE_A, TOLERANCE_SHARE
from app.events import SiteMeasured

REACTION = timedelta(seconds=10)
SAMPLE_HOLDS = timedelta(seconds=90)  # stations sample every minute; what is older says nothing of now
SILENT_AFTER = 3  # intervals
STUCK_AFTER = timedelta(minutes=30)  # of a value other than 0 that never moves: no load is that steady
WILD = 10.0  # times what the connection carries: no load is that high, the meter is wrong


@dataclass(frozen=True, slots=True)
class Sample:
    """What an EVSE's own meter said, A per phase, when it came in."""

    at: datetime
    drawn_a: float
    transaction_id: int | None = None


class Watch:
    """Of one site."""

    def __init__(self) -> None:
        self._limits: dict[str, deque[tuple[datetime, float]]] = {}
        self._changed_at: dict[str, datetime] = {}
        self._samples: dict[str, Sample] = {}
        self._unjudged: set[str] = set()
        self._meters: dict[str, SiteMeasured] = {}
        self._same_since: dict[str, datetime] = {}
        self.above: dict[str, Sample] = {}  # EVSEs whose newest sample is above what they may

    # --- EVSEs

    def sampled(self, key: str, sample: Sample) -> None:
        self._samples[key] = sample
        self._unjudged.add(key)

    def left(self, key: str) -> None:
        """The transaction is over."""
        self._samples.pop(key, None)
        self.above.pop(key, None)
        self._unjudged.discard(key)

    def let(self, key: str, limit_a: float, now: datetime) -> None:
        """So much the EVSE may be drawing at this moment; judges the sample that came in since the last time."""
        limits = self._limits.setdefault(key, deque())
        if not limits or limits[-1][1] != limit_a:
            self._changed_at[key] = now
        limits.append((now, limit_a))
        while len(limits) > 1 and limits[1][0] <= now - REACTION:
            limits.popleft()
        if key in self._unjudged:
            self._unjudged.discard(key)
            sample, most_a = self._samples[key], self.recent_a(key)
            if sample.drawn_a > most_a + margin_a(most_a):
                self.above[key] = sample
            else:
                self.above.pop(key, None)

    def recent_a(self, key: str) -> float:
        """The most that an EVSE which obeys may be drawing now."""
        return max((limit_a for _, limit_a in self._limits.get(key, ())), default=0.0)

    def drawn_a(self, key: str, now: datetime) -> float:
        """By its own meter, where that has spoken since the limit changed; else all that it may."""
        sample = self._samples.get(key)
        if key in self.above or sample is None or now - sample.at > SAMPLE_HOLDS:
            return self.most_a(key)
        changed_at = self._changed_at.get(key)
        if changed_at is not None and sample.at < changed_at + REACTION:
            return self.most_a(key)
        return min(sample.drawn_a, self.most_a(key))

    def most_a(self, key: str) -> float:
        """The most that it draws as far as anybody can know: what it may, or what it was seen to draw above that."""
        seen = self.above.get(key)
        return max(self.recent_a(key), seen.drawn_a if seen else 0.0)

    # --- site meters

    def metered(self, event: SiteMeasured) -> None:
        known = self._meters.get(event.meter_id)
        if known is None or event.at >= known.at:
            self._meters[event.meter_id] = event
            if known is None or (known.power_kw, known.current_a) != (event.power_kw, event.current_a):
                self._same_since[event.meter_id] = event.at

    def meters(self, intervals_s: Mapping[str, float], now: datetime) -> dict[str, SiteMeasured] | None:
        """The newest of each of these meters; None as soon as one of them is silent, or shows the same for ever."""
        found = {}
        for meter_id, interval_s in intervals_s.items():
            event = self._meters.get(meter_id)
            if event is None or now - event.at > SILENT_AFTER * timedelta(seconds=interval_s):
                return None
            if event.at - self._same_since[meter_id] >= STUCK_AFTER and (
                event.power_kw or any(event.current_a.values())
            ):
                return None
            found[meter_id] = event
        return found


def margin_a(current_a: float) -> float:
    """By how much a meter may be above a limit that is kept."""
    return max(TOLERANCE_A, TOLERANCE_SHARE * current_a)
