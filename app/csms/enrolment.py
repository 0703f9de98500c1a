"""Stations that knocked and that no site knows: an operator may let them in.

Kept in memory and bounded: a station that was forgotten knocks again. The key it showed is kept as a hash, so that
approving it asks nobody to type one.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

MAX_PENDING = 1_000


@dataclass(frozen=True, slots=True)
class Applicant:
    """A station that asked to be let in. `password_hash` is of the key that it showed last, None if it showed none."""

    station_id: str
    address: str
    first_seen_at: datetime
    last_seen_at: datetime
    attempts: int = 1
    has_certificate: bool = False
    password_hash: str | None = field(default=None, repr=False)


class Enrolment:
    """Who waits for an operator's word."""

    def __init__(self) -> None:
        self._pending: dict[str, Applicant] = {}

    def pending(self) -> list[Applicant]:
        """By the time they first came."""
        return list(self._pending.values())

    def note(self, applicant: Applicant) -> None:
        """Record an attempt. Beyond `MAX_PENDING` newcomers are not recorded: a flood must not push out the others."""
        known = self._pending.get(applicant.station_id)
        if known is not None:
            self._pending[applicant.station_id] = replace(
                applicant, first_seen_at=known.first_seen_at, attempts=known.attempts + 1
            )
        elif len(self._pending) < MAX_PENDING:
            self._pending[applicant.station_id] = applicant

    def take(self, station_id: str) -> Applicant | None:
        """Remove an applicant, approved or dismissed; None when nobody of that name waits."""
        return self._pending.pop(station_id, None)
