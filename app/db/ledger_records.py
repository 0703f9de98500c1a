"""Who planned which site when, and everything that led to a plan and came of it, as the store keeps it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.db.records import Json, PlanKind

RunState = Literal[
    "open",  # nobody works on it; nightly runs are opened ahead of their hour
    "running",  # somebody has claimed it, until the lease ends
    "planned",  # its plan is in the store, and is being sent
    "done",
    "quarantined",  # its plan was made by rules, for solving it has ended processes
    "failed",
    "overtaken",  # somebody else claimed it, or a newer plan was sent first: what was left was dropped
    "lost",  # whoever ran it has ended, and its moment has passed
    "missed",  # its hour passed while nobody was there, and a later run made good for it
]
ENDED: tuple[RunState, ...] = ("done", "quarantined", "failed", "overtaken", "lost", "missed")


@dataclass(frozen=True, slots=True)
class Run:
    """One planning of one site. Natural key: site, window, kind; the window is the moment it is due for.

    `fence` grows with every claim of any run of the site: of two plans the one with the larger token is the newer.
    """

    run_id: str
    site_id: str
    kind: PlanKind
    window: datetime
    state: RunState
    opened_at: datetime
    attempts: int = 0
    fence: int = 0  # 0: never claimed
    owner: str | None = None
    lease_until: datetime | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    plan_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PoisonedSite:
    """A site whose planning has ended processes, so often in a row since it last went well."""

    site_id: str
    deaths: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that is the caller's, and what is held against its site."""

    run: Run
    poisoned: PoisonedSite | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a plan was made from and by (`app.planning.decision`), and what was measured while it was in force."""

    plan_id: str
    site_id: str
    at: datetime
    record: Json
    outcome: Json | None = None  # None: it still is in force, or nothing was measured


@dataclass(frozen=True, slots=True)
class Exchange:
    """Something that was asked of a station for a plan, and its reply or what came in the place of one."""

    plan_id: str
    site_id: str
    station_id: str
    evse_id: int
    at: datetime  # of the reply
    action: str
    request: Json
    reply: Json
