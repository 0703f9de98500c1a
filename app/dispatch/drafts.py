"""A schedule becomes jobs: for each EVSE what it is to be sent, and the forms in which that may be written."""

from collections.abc import Mapping, Set
from datetime import datetime

from app.clock import Clock
from app.db.records import Transaction
from app.dispatch.delivery import Job, expected_soon, job_of, planned_steps
from app.dispatch.fuses import Fuses
from app.dispatch.guarantee import Guarantee
from app.dispatch.in_force import Book
from app.dispatch.ladder import Recipe, ladder
from app.dispatch.passports import Passports
from app.site import Site, split_evse_key
from optimizer.domain import Problem, Schedule


class Drafts:
    """Writes jobs; sends nothing."""

    def __init__(self, clock: Clock, book: Book, guarantee: Guarantee, passports: Passports) -> None:
        self._clock = clock
        self._book = book
        self._guarantee = guarantee
        self._passports = passports

    async def jobs(
        self,
        site: Site,
        problem: Problem,
        schedule: Schedule,
        transactions: Mapping[str, Transaction],
        *,
        able: Set[str],
    ) -> list[Job]:
        """For each transaction (EVSE key -> transaction), and for vehicles that are expected at stations in `able`."""
        now = self._clock.now()
        if problem.horizon.end <= now:
            return []
        fuses, valid_until = await self._guarantee.fuses(site), self._guarantee.watched_until(now)
        recipes = {
            key: rungs
            for key, rungs in self._recipes(fuses, problem, transactions, able, valid_until).items()
            if key in schedule.power_kw
        }
        planned = {
            key: planned_steps(key, fuses.wirings[key], problem, schedule, now=now, valid_until=valid_until)
            for key in recipes
        }
        return [
            job_of(
                key,
                transactions.get(key),
                fuses.wirings[key],
                self._passports[split_evse_key(key)[0]],
                problem,
                plan,
                recipes[key],
                fallback_a=self._book.fallback_a(key),
                now=now,
            )
            for key, plan in self._guarantee.guarded(site, fuses, planned, now).items()
        ]

    def _recipes(
        self,
        fuses: Fuses,
        problem: Problem,
        transactions: Mapping[str, Transaction],
        able: Set[str],
        until: datetime,
    ) -> dict[str, tuple[Recipe, ...]]:
        """A vehicle that is expected before `until` is told of only where there is a level above the fallback's."""
        soon = expected_soon(problem, self._clock.now(), until)
        expected = sorted(key for key in soon - transactions.keys() if split_evse_key(key)[0] in able)
        recipes = {
            key: ladder(
                self._passports[split_evse_key(key)[0]],
                is_dc=fuses.wirings[key].is_dc,
                has_transaction=key in transactions,
            )
            for key in (*transactions, *expected)
            if key in fuses.wirings
        }
        return {key: rungs for key, rungs in recipes.items() if rungs}
