"""How far each EVSE is held below its plan: lowered at once, given back slowly. Pure.

What is given back is less than what was found free for the whole of the waiting time, at every moment of it: a load
that comes and goes every half minute is not followed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

SAME_A = 0.1  # what a charging profile can say; a smaller difference is no reason to send one
SMALL_A = 2.0  # what is left to give back is given in one step from here on


@dataclass(frozen=True, slots=True)
class _Better:
    """Since when an EVSE could have had more than its ceiling, and the least that it could have had since."""

    since: datetime
    least_a: float


@dataclass(frozen=True, slots=True)
class Offer:
    """What one EVSE wants, may have at most, and may have with a margin that is worth giving back for. A per phase."""

    wanted_a: float
    allowed_a: float
    comfortable_a: float
    minimum_a: float = 6.0


class Ceilings:
    """By EVSE key, A per phase. An EVSE without one follows its plan."""

    def __init__(self, give_back_after: timedelta) -> None:
        self._after = give_back_after
        self._better: dict[str, _Better] = {}
        self.values: dict[str, float] = {}

    def lower(self, offers: Mapping[str, Offer], planned: Collection[str]) -> dict[str, float]:
        """Put down whatever is above what is allowed; the ceilings that are new or lower.

        EVSEs that are not in `planned` have no plan any more, and so no ceiling. One that has a plan and cannot be
        told of a new ceiling keeps the one it has.
        """
        for key in set(self.values) - set(planned):
            self.drop(key)
        lowered = {
            key: offer.allowed_a
            for key, offer in offers.items()
            if offer.allowed_a < min(offer.wanted_a, self.values.get(key, float("inf"))) - SAME_A
        }
        self.values |= lowered
        for key in lowered:
            self._better.pop(key, None)
        return lowered

    def due(self, offers: Mapping[str, Offer], now: datetime) -> dict[str, float | None]:
        """What may be given back now; None: the ceiling may go. Nothing is changed until `give`."""
        found: dict[str, float | None] = {}
        for key, ceiling_a in self.values.items():
            offer = offers.get(key)
            if offer is None or offer.comfortable_a < min(offer.wanted_a, ceiling_a + SAME_A):
                self._better.pop(key, None)
                continue
            known = self._better.get(key, _Better(now, offer.comfortable_a))
            self._better[key] = known = _Better(known.since, min(known.least_a, offer.comfortable_a))
            if now - known.since >= self._after:
                found[key] = _step(ceiling_a, known.least_a, offer)
        return found

    def give(self, key: str, ceiling_a: float | None) -> None:
        """Raise a ceiling, or take it away; the wait for the next step begins."""
        self._better.pop(key, None)
        if ceiling_a is None:
            self.values.pop(key, None)
        else:
            self.values[key] = ceiling_a

    def drop(self, key: str) -> None:
        """Nobody is there any more."""
        self.give(key, None)


def _step(ceiling_a: float, free_a: float, offer: Offer) -> float | None:
    """Half of what is free, and all of it once that is little; from a pause at once to the minimum."""
    if free_a >= offer.wanted_a - SAME_A and free_a - ceiling_a <= SMALL_A:
        return None
    if free_a - ceiling_a <= SMALL_A:
        return free_a
    half_a = ceiling_a + (free_a - ceiling_a) / 2
    least_a = min(offer.minimum_a, free_a)
    return max(half_a, least_a)
