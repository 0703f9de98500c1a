"""How often EVSEs are written to, and how often writing makes them start and stop: counted, and bounded.

A contactor and a vehicle's charger wear with every start; a plan that changes its mind costs both. Stopping is never
refused, as lowering is not; a start too many waits for the next refill.
"""

from collections import Counter, defaultdict
from datetime import datetime

from app.dispatch.budget import AT_ONCE, WRITES_A_DAY, WriteBudget
from app.dispatch.delivery import Job
from app.dispatch.in_force import Book

STARTS_A_DAY = 48


class Switching:
    """By EVSE: `writes`, `starts` and `stops` since this process began, and the budgets of the first two."""

    def __init__(self, writes_a_day: int = WRITES_A_DAY, starts_a_day: int = STARTS_A_DAY) -> None:
        self.budget = WriteBudget(writes_a_day, min(AT_ONCE, writes_a_day // 2))
        self._starts = WriteBudget(starts_a_day, starts_a_day // 2)
        self._starts_a_day = starts_a_day
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def refusal(self, job: Job, book: Book, now: datetime) -> str | None:
        """Why a plan may not be raised now; None where it may."""
        if not job.raises(book):
            return None
        if not self.budget.allows_raising(job.key, now):
            return self.budget.refusal()
        if self._switch(job, book) == "starts" and not self._starts.allows_raising(job.key, now):
            return f"more than its {self._starts_a_day} starts a day: it starts a little later"
        return None

    def note(self, job: Job, book: Book, now: datetime) -> None:
        """The plan is sent now: called before the book knows of it."""
        self.budget.spend(job.key, now)
        self.counts[job.key]["writes"] += 1
        if (switch := self._switch(job, book)) is not None:
            self.counts[job.key][switch] += 1
        if switch == "starts":
            self._starts.spend(job.key, now)

    def total(self, what: str) -> int:
        """Over all EVSEs."""
        return sum(counts[what] for counts in self.counts.values())

    def _switch(self, job: Job, book: Book) -> str | None:
        """What the plan does at this moment to an EVSE that was in the middle of a transaction."""
        if job.transaction is None or job.transaction.transaction_id not in book.holding(job.key).transaction_ids:
            return None  # the first plan of a transaction starts nothing anew
        before_a, after_a = book.limit(job.key, job.wiring, job.now).current_a, job.plan.at(job.now)
        if (before_a > 0) == (after_a > 0):
            return None
        return "starts" if after_a > 0 else "stops"
