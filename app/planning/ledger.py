"""The run ledger in use: a planning is claimed, renewed while it lasts, and ended with its reason.

The claim is counted before the work begins. So a site whose problem ends the process that solves it is known by the
runs that were never ended, whoever comes after: it is charged by rules then, until it has been left alone for a while.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import structlog

from app.clock import Clock
from app.db.ledger_records import Claim, Decision, PoisonedSite, RunState
from app.db.records import Plan, PlanKind
from app.db.store import Store
from app.errors import AlreadyPlannedError, AppError, OvertakenError

log = structlog.get_logger()

LEASE = timedelta(minutes=2)  # above what a solve may take; renewed three times in it, for a queue may be long
MOST_DEATHS = 2  # of processes, in a row
QUARANTINE = timedelta(hours=6)  # after it one more attempt is made: prices and cars are others by then
RESOLUTION = timedelta(microseconds=1)


class Turn:
    """One planning of one site, in the caller's hands."""

    def __init__(self, store: Store, claim: Claim, now: datetime) -> None:
        self._store = store
        self._poisoned = claim.poisoned
        self.run = claim.run
        self.quarantined = why_quarantined(claim.poisoned, now)
        self.state: RunState = "done"
        self.reason: str | None = None

    async def save(self, plan: Plan, decision: Decision) -> None:
        """Raises `OvertakenError` where another has claimed the run meanwhile: nothing is saved then."""
        await self._store.save_plan_of_run(plan, self.run, decision)
        self.reason = plan.reason

    async def went_well(self) -> None:
        """The solver answered: whatever was held against the site is forgiven."""
        if self._poisoned is not None:
            await self._store.forgive_site(self.run.site_id)

    async def died(self, now: datetime) -> None:
        """The site's problem has ended the processes that solved it, as often as it is allowed to."""
        await self._store.add_deaths(self.run.site_id, MOST_DEATHS, now)

    def by_rules(self, reason: str) -> None:
        self.state, self.reason = "quarantined", reason


class Ledger:
    """Claims runs in the name of one process."""

    def __init__(self, store: Store, clock: Clock, *, owner: str | None = None, lease: timedelta = LEASE) -> None:
        self._store = store
        self._clock = clock
        self._lease = lease
        self.owner = owner or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    @asynccontextmanager
    async def turn(self, site_id: str, kind: PlanKind, window: datetime | None = None) -> AsyncIterator[Turn]:
        """While the body runs, nobody else plans this site for this window; None is a window of its own.

        Raises `AlreadyPlannedError` where somebody has, or does. What ends the body ends the run; one that is
        cancelled at night is left for others to continue.
        """
        claim = await self._claim(site_id, kind, window)
        turn, renewing = Turn(self._store, claim, self._clock.now()), asyncio.create_task(self._renew(claim))
        try:
            yield turn
        except asyncio.CancelledError:
            await self._leave(turn)
            raise
        except OvertakenError as error:
            await self._end(turn, "overtaken", str(error))
            raise
        except Exception as error:
            await self._end(
                turn, "failed", str(error) if isinstance(error, AppError) else f"{type(error).__name__}: {error}"
            )
            raise
        else:
            await self._end(turn, turn.state, turn.reason)
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def _claim(self, site_id: str, kind: PlanKind, window: datetime | None) -> Claim:
        now = self._clock.now()
        wanted = now if window is None else window
        while True:
            claim = await self._store.claim_run(
                site_id, kind, wanted, owner=self.owner, now=now, lease_until=now + self._lease
            )
            if claim is not None:
                return claim
            if window is not None:
                raise AlreadyPlannedError(
                    f"site {site_id!r} is planned already for {window:%Y-%m-%d %H:%M} UTC ({kind})"
                )
            wanted += RESOLUTION  # somebody else asked in the same instant

    async def _renew(self, claim: Claim) -> None:
        """Until it is cancelled, or somebody else has the run: what is made of it is dropped when it is saved."""
        while True:
            await self._clock.sleep(self._lease.total_seconds() / 3)
            try:
                if not await self._store.renew_run(claim.run, self._clock.now() + self._lease):
                    return
            except AppError as error:  # the plan may still be made in time
                log.warning("lease not renewed", site=claim.run.site_id, run=claim.run.run_id, error=str(error))

    async def _leave(self, turn: Turn) -> None:
        if turn.run.kind != "nightly":
            await self._end(turn, "lost", "the service ended")
            return
        with suppress(AppError):  # the lease ends by itself
            await self._store.release_run(turn.run)

    async def _end(self, turn: Turn, state: RunState, reason: str | None) -> None:
        """A run whose end cannot be written is found by its lease; the plan stands."""
        try:
            await self._store.end_run(turn.run, state, reason, self._clock.now())
        except AppError as error:
            log.error("run not ended", site=turn.run.site_id, run=turn.run.run_id, error=str(error))


def why_quarantined(poisoned: PoisonedSite | None, now: datetime) -> str | None:
    """In words, or None: the site's problems are solved."""
    if poisoned is None or poisoned.deaths < MOST_DEATHS:
        return None
    until = poisoned.last_at + QUARANTINE
    if now >= until:
        return None
    return f"planning this site has ended {poisoned.deaths} processes: not solved before {until:%Y-%m-%d %H:%M} UTC"
