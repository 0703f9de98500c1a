"""How far a station's clock is ahead of ours, by what it says of now; and what it is sent in its own time.

Pure. A message may be late and then seems to come from a slow clock; it is never early. So of the last few the one that
seems latest is nearest to the truth, once they are spread over a minute: a backlog that is sent at once says nothing.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.csms.connector import ChargingProfile, CompositeSchedule
from app.csms.timestamps import read_timestamp

SAMPLES = 4
SPREAD = timedelta(minutes=1)
STALE = timedelta(hours=1)  # clocks drift, and are set
SLIGHT_S = 10.0  # less is the line's, and what profiles allow for anyhow
MOST_S = 310.0  # five minutes and what the line takes; more is a clock that nobody has set, or a backlog


class StationClock:
    """Of one station, over all its connections. `ahead` is what is allowed for; negative where it is slow."""

    def __init__(self) -> None:
        self._offsets: deque[tuple[datetime, float]] = deque(maxlen=SAMPLES)
        self.ahead = timedelta(0)

    def note(self, reported: datetime, received: datetime) -> bool:
        """A message that was sent at `reported` by the station's clock; whether `ahead` is another than before."""
        self._offsets.append((received, (reported - received).total_seconds()))
        recent = [(at, offset_s) for at, offset_s in self._offsets if received - at <= STALE]
        if len(recent) < SAMPLES or received - recent[0][0] < SPREAD:
            return False
        ahead_s = max(offset_s for _, offset_s in recent)
        if not SLIGHT_S <= abs(ahead_s) <= MOST_S:
            ahead_s = 0.0
        if abs(ahead_s - self.ahead.total_seconds()) < SLIGHT_S:
            return False
        self.ahead = timedelta(seconds=round(ahead_s))
        return True

    def of_station(self, profile: ChargingProfile) -> ChargingProfile:
        """A profile whose times are ours, with those at which the station's clock will show the same moments."""
        if not self.ahead:
            return profile
        return replace(
            profile,
            start=profile.start + self.ahead,
            valid_from=None if profile.valid_from is None else profile.valid_from + self.ahead,
            valid_to=None if profile.valid_to is None else profile.valid_to + self.ahead,
        )

    def of_ours(self, schedule: CompositeSchedule) -> CompositeSchedule:
        """What the station reports in its own time, in ours."""
        return replace(schedule, start=schedule.start - self.ahead) if self.ahead else schedule


def told_at(payload: Mapping[str, Any]) -> datetime | None:
    """When a call was sent by the station's clock, as far as it says: its time, or the last that it measured.

    None for one that says so itself that it is from a backlog.
    """
    if payload.get("offline") is True:
        return None
    groups = payload.get("meterValue")
    stamps = [payload.get("timestamp")]
    stamps += (
        [group.get("timestamp") for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []
    )
    moments = [moment for stamp in stamps if (moment := read_timestamp(stamp)[0]) is not None]
    return max(moments, default=None)
