"""The time grid."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from optimizer.domain.quantities import require_utc
from optimizer.errors import InvalidProblemError

SLOT_MINUTES = (5, 10, 15, 30, 60)
MAX_HORIZON = timedelta(days=7, hours=1)  # a week with the longer DST day


@dataclass(frozen=True, slots=True)
class Horizon:
    """The time grid: `slots` slots of `slot_minutes`, the first starting at `start` (aware UTC).

    Slots that end at or before `now` are over: nothing is planned in them. The slot that holds `now` counts its
    remaining length only. `now` None means `start`.
    """

    start: datetime
    slot_minutes: int
    slots: int
    now: datetime | None = None

    def __post_init__(self) -> None:
        require_utc("start", self.start)
        if self.slot_minutes not in SLOT_MINUTES:
            raise InvalidProblemError("slot_minutes", f"{self.slot_minutes} is none of {SLOT_MINUTES}")
        if self.slots < 1:
            raise InvalidProblemError("slots", f"{self.slots} is not at least 1")
        if self.end - self.start > MAX_HORIZON:
            raise InvalidProblemError("slots", f"{self.slots} of {self.slot_minutes} minutes are more than 7 days")
        if self.now is not None:
            require_utc("now", self.now)
            if not self.start <= self.now < self.end:
                raise InvalidProblemError("now", f"{self.now.isoformat()} is not within the horizon")

    @property
    def slot_hours(self) -> float:
        return self.slot_minutes / 60

    @property
    def end(self) -> datetime:
        return self.start + timedelta(minutes=self.slot_minutes) * self.slots

    @property
    def first_moment(self) -> datetime:
        """The moment from which power can still be chosen."""
        return self.now or self.start

    def slot_start(self, slot: int) -> datetime:
        return self.start + timedelta(minutes=self.slot_minutes) * slot
