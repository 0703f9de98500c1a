"""How each site is controlled at this moment, and why: degradation that everybody can see.

`shadow` sends nothing, by the site's document. `failsafe`: there is no plan, and charging stations are on their way to
their fallback. `manual`: an operator has set something by hand. `optimised`, `last_plan` and `rule_based` say what the
plan in force is: an optimum, an earlier one that goes on, or an equal share. The first of these that is true is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import structlog

from app.clock import Clock
from app.db.operating_records import AuditEntry, Override
from app.db.records import Plan
from app.db.store import Store
from app.errors import AppError, NotFoundError
from app.events import Events, ModeChanged
from app.site import Site

log = structlog.get_logger()

Mode = Literal["optimised", "last_plan", "rule_based", "failsafe", "manual", "shadow"]
MODES: tuple[Mode, ...] = get_args(Mode)
DEGRADED: frozenset[Mode] = frozenset({"last_plan", "rule_based", "failsafe"})
NOTHING_PLANNED = "nothing was planned yet: charging stations keep their fallback"
SERVICE = "service"  # who changed it, where no person did


@dataclass(frozen=True, slots=True)
class ModeNow:
    """The mode of a site, the reason in words, and since when it is both."""

    mode: Mode
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the last attempt to plan: a plan that says something until `until`, or none."""

    mode: Mode
    reason: str
    until: datetime


class Modes:
    """By site. Told of every attempt to plan; looks at everything else itself."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._outcomes: dict[str, Outcome] = {}
        self._now: dict[str, ModeNow] = {}

    def of(self, site_id: str) -> ModeNow | None:
        """As it was last looked at; None before that."""
        return self._now.get(site_id)

    def counts(self) -> dict[Mode, int]:
        """How many sites are in each mode."""
        modes = [now.mode for now in self._now.values()]
        return {mode: modes.count(mode) for mode in MODES}

    async def planned(self, site: Site, plan: Plan) -> None:
        """A plan was made, and sent where it was to be."""
        await self._note(site, _outcome(plan))

    async def failed(self, site: Site, reason: str) -> None:
        """No plan could be made, or the one that was made may not be sent."""
        outcome = Outcome("failsafe", reason, datetime.max.replace(tzinfo=self._clock.now().tzinfo))
        await self._note(site, outcome)

    async def look(self, site_id: str) -> ModeNow | None:
        """Look again; None for a site that is gone. What changed is audited and published. Raises `AppError`."""
        with self._clock.hold():
            try:
                site = await self._store.site(site_id)
            except NotFoundError:
                self._now.pop(site_id, None)
                self._outcomes.pop(site_id, None)
                return None
            if site_id not in self._outcomes and (last := await self._store.latest_plan(site_id)) is not None:
                self._outcomes.setdefault(site_id, _outcome(last))
            now = self._clock.now()
            overrides = await self._store.overrides(site_id, active_at=now)
            mode, reason = _judged(site, self._outcomes.get(site_id), overrides, now)
            return await self._become(site_id, mode, reason, now)

    async def _note(self, site: Site, outcome: Outcome) -> None:
        """Whatever becomes of the record, the plan stands."""
        self._outcomes[site.id] = outcome
        try:
            await self.look(site.id)
        except AppError as error:
            log.error("mode not looked at", site=site.id, error=str(error))

    async def _become(self, site_id: str, mode: Mode, reason: str, now: datetime) -> ModeNow:
        before = self._now.get(site_id)
        if before is not None and (before.mode, before.reason) == (mode, reason):
            return before
        is_new = before is None or before.mode != mode
        becomes = ModeNow(mode, reason, now if is_new or before is None else before.since)
        self._now[site_id] = becomes
        if is_new:
            was = None if before is None else before.mode
            log.info("mode", site=site_id, mode=mode, was=was, reason=reason)
            await self._store.add_audit(
                AuditEntry(site_id, now, "mode.changed", SERVICE, {"mode": mode, "was": was, "reason": reason})
            )
            self._events.publish(ModeChanged(site_id, mode, reason, now))
        return becomes


def _outcome(plan: Plan) -> Outcome:
    said = plan.provenance.get("basis")
    if said is not None:
        return Outcome(said["basis"], str(said["reason"]), plan.end)
    if plan.status == "fallback":
        return Outcome("rule_based", str(plan.reason), plan.end)
    return Outcome("optimised", "the plan in force is an optimum that was checked", plan.end)


def _judged(site: Site, outcome: Outcome | None, overrides: Sequence[Override], now: datetime) -> tuple[Mode, str]:
    if site.mode == "shadow":
        return "shadow", "the site's document says so: plans are made, and nothing is sent"
    if outcome is None:
        return "failsafe", NOTHING_PLANNED
    if outcome.mode == "failsafe":
        return "failsafe", outcome.reason
    if now >= outcome.until:
        return "failsafe", f"the last plan ended at {outcome.until.isoformat()}: charging stations keep their fallback"
    if overrides:
        return "manual", "; ".join(str(override) for override in reversed(overrides))
    return outcome.mode, outcome.reason
