"""What operators do and are told, as the store keeps it: overrides, the audit, alarms and their notices."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from app.db.records import Json

OverrideKind = Literal["boost", "pause", "limit"]
AlarmKind = Literal["not_ready", "disobedient", "mode", "stale_source", "actuator"]
Occasion = Literal["raised", "resolved"]
NoticeState = Literal["pending", "sent", "failed"]
CommandState = Literal["sent", "verified", "ignored", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator has set by hand, until `expires_at`, or until it was ended.

    `station_id` None is the whole site, `evse_id` None the whole station. A limit has exactly one of the two maxima.
    """

    override_id: str
    site_id: str
    kind: OverrideKind
    created_at: datetime
    expires_at: datetime
    created_by: str
    station_id: str | None = None
    evse_id: int | None = None
    max_current_a: float | None = None  # per phase
    max_power_kw: float | None = None
    reason: str | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None

    @property
    def until(self) -> datetime:
        """When it ends, or did."""
        return self.expires_at if self.ended_at is None else min(self.ended_at, self.expires_at)

    def holds_at(self, moment: datetime) -> bool:
        return self.created_at <= moment < self.until

    def means(self, station_id: str, evse_id: int) -> bool:
        """Whether the EVSE is in its scope."""
        return self.station_id in (None, station_id) and self.evse_id in (None, evse_id)

    def __str__(self) -> str:
        where = "the site" if self.station_id is None else self.station_id
        where += "" if self.evse_id is None else f"/{self.evse_id}"
        most = "" if self.max_current_a is None else f" to {self.max_current_a:g} A"
        most += "" if self.max_power_kw is None else f" to {self.max_power_kw:g} kW"
        return f"{self.kind} of {where}{most} until {self.expires_at.isoformat()} by {self.created_by}"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that was done or has changed at a site, and by whom: a key's name, or the service itself."""

    site_id: str
    at: datetime
    action: str
    actor: str
    detail: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator should know of; open until `resolved_at`. `subject` tells alarms of a kind apart."""

    alarm_id: str
    site_id: str
    kind: AlarmKind
    subject: str
    detail: str
    raised_at: datetime
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlarmNotice:
    """One message about an alarm on its way: `next_at` is when it is tried (again).

    `channel` is ``webhook:NAME`` or ``email:NAME`` of an alarm target in the settings.
    """

    alarm_id: str
    channel: str
    occasion: Occasion
    state: NoticeState
    attempts: int
    next_at: datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GridLimit:
    """What a site may draw at most over [start, end), by order of its grid operator. `end` None: until cancelled.

    `applies_to` ``charging`` is what all charging stations draw together, ``import`` the whole site at its meter.
    Natural key: site, source, reference.
    """

    limit_id: str
    site_id: str
    source: str
    reference: str
    applies_to: Literal["charging", "import"]
    max_kw: float
    start: datetime
    end: datetime | None
    received_at: datetime
    cancelled_at: datetime | None = None

    def holds_within(self, start: datetime, end: datetime) -> bool:
        """Whether it holds at any moment of [start, end)."""
        return self.cancelled_at is None and self.start < end and (self.end is None or self.end > start)


@dataclass(frozen=True, slots=True)
class GridLimitEntry:
    """One line of the proof: received, changed, planned, begun, ended or cancelled."""

    limit_id: str
    at: datetime
    what: str
    detail: Json


@dataclass(frozen=True, slots=True)
class ActuatorCommand:
    """One command to a battery or an inverter; `device_id` is ``battery/ID`` or ``pv/ID``.

    `power_kw` as in `app.actuators.actuator.Command`. `owner` is the service that sent it. `state` ``sent`` is
    accepted, or on its way when the process ended; ``verified`` and ``ignored`` are the word of the read-back.
    """

    command_id: str
    site_id: str
    device_id: str
    owner: str
    plan_id: str | None
    at: datetime
    valid_until: datetime
    power_kw: float | None
    reason: str
    state: CommandState = "sent"
    read_back_kw: float | None = None
    detail: str | None = None
