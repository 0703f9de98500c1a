"""Timestamps as stations send them, and what they are worth.

Clocks of stations stand at 1970 after a power cut, run in local time without saying so, or are right. Both times are
kept: what the station reported and when we received it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_SKEW = timedelta(seconds=60)
MAX_LIVE_AGE = timedelta(minutes=5)  # older messages come from an offline queue and are never acted upon
MAX_SPAN = timedelta(days=7)  # of the samples of one message that a wrong clock stamped
FIRST_PLAUSIBLE_YEAR = 2015  # the year of OCPP 1.6: before it no clock was ever set

_LONE_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}")


@dataclass(frozen=True, slots=True)
class MessageTime:
    """When something happened. `reported` is None when the station said nothing readable."""

    reported: datetime | None
    received: datetime

    @property
    def is_plausible(self) -> bool:
        """A time that can be history: in years in which stations existed, and not in the future."""
        return (
            self.reported is not None
            and self.reported.year >= FIRST_PLAUSIBLE_YEAR
            and self.reported <= self.received + MAX_SKEW
        )

    @property
    def at(self) -> datetime:
        """For the record: as reported when that is plausible, else when received."""
        return self.reported if self.reported is not None and self.is_plausible else self.received

    @property
    def live_at(self) -> datetime:
        """For live state: as reported when it is within a minute of ours, else when received."""
        return self.at if abs(self.received - self.at) <= MAX_SKEW else self.received

    @property
    def is_live(self) -> bool:
        return self.received - self.at <= MAX_LIVE_AGE


def read_timestamp(value: Any) -> tuple[datetime | None, str | None]:
    """An aware UTC time, or None, and what was wrong with `value`, or None. A time without a zone is taken as UTC."""
    if not isinstance(value, str) or not value.strip():
        return None, "timestamp is missing" if value is None or value == "" else "timestamp is no text"
    text = value.strip().upper()
    try:
        moment = datetime.fromisoformat(text)
        if _LONE_DATE.fullmatch(text):
            return None, f"timestamp {value[:40]!r} has no time of day"
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC), f"timestamp {value[:40]!r} has no zone; taken as UTC"
        return moment.astimezone(UTC), None
    except (ValueError, OverflowError):
        return None, f"timestamp {value[:40]!r} cannot be read"


def message_time(value: Any, received_at: datetime) -> tuple[MessageTime, list[str]]:
    """`value` beside the time of its arrival (aware UTC), and what was wrong with it."""
    reported, violation = read_timestamp(value)
    time = MessageTime(reported, received_at)
    violations = [violation] if violation else []
    if reported is not None and not time.is_plausible:
        violations.append(f"timestamp {value[:40]!r} is implausible; the time of arrival is used")
    return time, violations


def recorded_times(times: Sequence[MessageTime]) -> list[datetime]:
    """`at` of each time of one message; those of a wrong clock keep their distances, the newest at the arrival."""
    wrong = [time.reported for time in times if time.reported is not None and not time.is_plausible]
    newest_wrong = max(wrong, default=None)
    return [
        time.received - (newest_wrong - time.reported)
        if newest_wrong and time.reported and not time.is_plausible and newest_wrong - time.reported < MAX_SPAN
        else time.at
        for time in times
    ]


def iso_utc(moment: datetime) -> str:
    """``2026-01-31T12:00:00Z``: whole seconds, the form that every station reads."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
