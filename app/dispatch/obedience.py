"""Does an EVSE draw what it was allowed? Counts samples in a row, and says when that changes.

Pure. A vehicle needs seconds to follow a new limit, and drawing less is never a fault.
"""

from dataclasses import dataclass

SAMPLES = 3  # in a row; one sample may be a start-up peak
TOLERANCE_A = 1.0
TOLERANCE_SHARE = 0.05
REACTION_S = 5.0  # IEC 61851 gives the vehicle so long: a sample before that is of the old limit
GRACE_S = 30.0  # after a change of the limit nobody is accused: meters average over longer than a vehicle needs


@dataclass(frozen=True, slots=True)
class Fault:
    """An EVSE that drew more than it may, `SAMPLES` times in a row."""

    reason: str
    drawn_a: float

    @property
    def reserved_a(self) -> float:
        """What to count it with: measured plus the tolerance."""
        return self.drawn_a + max(TOLERANCE_A, TOLERANCE_SHARE * self.drawn_a)


class Obedience:
    """By EVSE key."""

    def __init__(self) -> None:
        self._above: dict[str, list[float]] = {}
        self._within: dict[str, int] = {}
        self.faults: dict[str, Fault] = {}

    def observe(self, key: str, drawn_a: float, allowed_a: float) -> bool:
        """Take one sample; True when the verdict on this EVSE has changed or its fault has grown."""
        highest_a = allowed_a + max(TOLERANCE_A, TOLERANCE_SHARE * allowed_a)
        if drawn_a <= highest_a:
            self._above.pop(key, None)
            fault = self.faults.get(key)
            if fault is not None and highest_a >= fault.drawn_a:
                return False  # its limit has risen to what it draws anyway: that is no proof that it obeys
            self._within[key] = self._within.get(key, 0) + 1
            return self._within[key] >= SAMPLES and self.faults.pop(key, None) is not None
        self._within.pop(key, None)
        samples = [*self._above.get(key, []), drawn_a][-SAMPLES:]
        self._above[key] = samples
        known = self.faults.get(key)
        if len(samples) < SAMPLES or (known is not None and max(samples) <= known.reserved_a):
            return False
        self.faults[key] = Fault(f"draws {max(samples):.1f} A where {allowed_a:.1f} A are allowed", max(samples))
        return True

    def agrees(self, drawn_a: float, allowed_a: float) -> bool:
        """Whether a current says that this limit holds: it flows, and is not above it."""
        return TOLERANCE_A < drawn_a <= allowed_a + max(TOLERANCE_A, TOLERANCE_SHARE * allowed_a)

    def is_within(self, key: str) -> bool:
        """Whether the last sample was within what is allowed."""
        return self._within.get(key, 0) > 0

    def forget(self, key: str) -> None:
        """Samples so far say nothing about a new limit; a fault stays until it is disproved."""
        self._above.pop(key, None)
        self._within.pop(key, None)
