"""The overload release of a miniature circuit breaker of type B: how near it was to opening.

IEC 60898-1 (table 7, time-current operating characteristics) allows a band. At 1.13 times the rated current it must
not open within an hour, at 1.45 times it must (breakers up to 63 A); at 2.55 times, from cold, it opens after more than
1 s and less than 60 s (up to 32 A; 120 s above). The magnetic release of type B begins at 3 times the rated current.
Between these points the bimetal is taken as a body with one time constant, heated by the square of the current.
"""

from dataclasses import dataclass
from math import exp, log

from app.demo.physics import Power

MAGNETIC_FROM = 3.0  # type B: 3 to 5 times the rated current, within 0.1 s from 5 on


@dataclass(frozen=True, slots=True)
class Release:
    """One edge of the band. `holds` is the multiple of the rated current that never opens it."""

    holds: float
    opens_at_2_55_after_s: float

    @property
    def time_constant_s(self) -> float:
        return -self.opens_at_2_55_after_s / log(1 - (self.holds / 2.55) ** 2)

    def opens_after_s(self, multiple: float) -> float | None:
        """At a constant multiple of the rated current, from cold; None: never."""
        return None if multiple <= self.holds else -self.time_constant_s * log(1 - (self.holds / multiple) ** 2)

    def heat(self, multiples: Power) -> float:
        """The highest temperature reached, as a share of that at which it opens.

        `multiples` of the rated current, one each second; it is as warm as the first of them makes it for good.
        """
        kept, warm = exp(-1 / self.time_constant_s), float(multiples[0]) ** 2
        hottest = warm
        for multiple in multiples:
            warm = kept * warm + (1 - kept) * float(multiple) ** 2
            hottest = max(hottest, warm)
        return hottest / self.holds**2


EARLIEST = Release(holds=1.13, opens_at_2_55_after_s=1.0)
LATEST = Release(holds=1.45, opens_at_2_55_after_s=60.0)
