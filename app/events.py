"""What happens at the stations and to the plans, told to whoever listens in this process.

Events are notices, never the record: the store is written before an event is published.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StationConnected:
    station_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StationDisconnected:
    station_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StationFlapping:
    """It connects again and again, and is kept out until it has calmed down: a bad line, or two with one name."""

    station_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StationMisread:
    """Something in a message was read with a guess, or not at all; each text once a connection."""

    station_id: str
    action: str
    violation: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StationClockChanged:
    """Its clock was found to be fast (slow: `ahead_s` is negative); profiles are written for that from now on."""

    station_id: str
    ahead_s: float
    at: datetime


@dataclass(frozen=True, slots=True)
class ClockJumped:
    """The service's own clock was set: what was sent by it before is in other times than what is sent from now on."""

    by_s: float
    at: datetime


@dataclass(frozen=True, slots=True)
class StationBooted:
    station_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StatusChanged:
    station_id: str
    evse_id: int
    status: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TransactionStarted:
    station_id: str
    evse_id: int
    transaction_id: int
    at: datetime  # by the station's clock
    live: bool  # False: a message from the station's offline queue, never acted upon


@dataclass(frozen=True, slots=True)
class TransactionStopped:
    station_id: str
    evse_id: int
    transaction_id: int
    at: datetime
    live: bool


@dataclass(frozen=True, slots=True)
class MeterValuesReceived:
    """Live values only. Power and per-phase current where the station sent them; phases it left out are absent."""

    station_id: str
    evse_id: int
    transaction_id: int | None
    at: datetime
    power_w: float | None
    current_a: dict[str, float]
    energy_wh: float | None


@dataclass(frozen=True, slots=True)
class ChargingNeedsReceived:
    """A vehicle has said over ISO 15118 what it needs, and waits for a schedule; its wish is stored."""

    station_id: str
    evse_id: int
    transaction_id: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class ChargingLimitChanged:
    """Somebody else has set a limit at a station, or lifted it; `evse_id` 0 is the whole station."""

    station_id: str
    evse_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class PriorityChargingChanged:
    """A driver charges with priority, so that no TxProfile holds at the EVSE, or does no more."""

    station_id: str
    evse_id: int
    transaction_id: int
    active: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class StationNoticed:
    """A station told something of itself that is kept as a notice: an event, an alarm, the state of an update."""

    station_id: str
    action: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ObedienceChanged:
    """An EVSE draws more than it may, or obeys again: the others' room has changed."""

    station_id: str
    evse_id: int
    obeys: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class WishChanged:
    site_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SiteChanged:
    """Its document, tariff or mode was changed."""

    site_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class GridLimitChanged:
    """A grid operator's limit has come, begun, ended or been cancelled; `GridLimits.in_force` says what holds."""

    site_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OverridesChanged:
    """Something was set by hand at the site, or has ended."""

    site_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ModeChanged:
    """The site is controlled in another way from now on: see `app.modes`."""

    site_id: str
    mode: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AlarmChanged:
    """An alarm was raised, or is over."""

    site_id: str
    alarm_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReadingsArrived:
    site_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SignalsArrived:
    """A source has published; its values are stored. New prices make a new plan."""

    site_id: str
    source: str
    kind: str  # of the series
    at: datetime


@dataclass(frozen=True, slots=True)
class SourcePolled:
    """A provider was asked; `outcome` is ``delivered``, ``not_published`` or ``failed``."""

    site_id: str
    source: str
    type: str
    outcome: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SiteMeasured:
    """What a meter of the site shows now, whether it could be stored or not; phases it does not name are absent."""

    site_id: str
    meter_id: str
    at: datetime
    power_kw: float | None
    current_a: dict[str, float]


@dataclass(frozen=True, slots=True)
class GuardChanged:
    """The fuse guard holds EVSEs below their plan, or another set of them, or none any more."""

    site_id: str
    lowered_kw: float
    at: datetime


@dataclass(frozen=True, slots=True)
class PlanMade:
    site_id: str
    plan_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryChanged:
    site_id: str
    plan_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ActuatorChanged:
    """A battery or an inverter does what it is told, or does no more; `device_id` is ``battery/ID`` or ``pv/ID``."""

    site_id: str
    device_id: str
    state: str
    detail: str | None
    at: datetime


Event = (
    StationConnected
    | StationDisconnected
    | StationFlapping
    | StationMisread
    | StationClockChanged
    | ClockJumped
    | StationBooted
    | StatusChanged
    | TransactionStarted
    | TransactionStopped
    | MeterValuesReceived
    | ChargingNeedsReceived
    | ChargingLimitChanged
    | PriorityChargingChanged
    | StationNoticed
    | ObedienceChanged
    | WishChanged
    | SiteChanged
    | GridLimitChanged
    | OverridesChanged
    | ModeChanged
    | AlarmChanged
    | ReadingsArrived
    | SignalsArrived
    | SourcePolled
    | SiteMeasured
    | GuardChanged
    | PlanMade
    | DeliveryChanged
    | ActuatorChanged
)


class Events:
    """In-process publish and subscribe. Listeners are plain functions and must not block or raise."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every later event; returns the function that ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)

    def queue(self, size: int = 256) -> tuple[asyncio.Queue[Event], Callable[[], None]]:
        """A bounded queue of later events, oldest dropped first, and the function that ends it."""
        events: asyncio.Queue[Event] = asyncio.Queue(size)

        def put(event: Event) -> None:
            if events.full():
                events.get_nowait()
            events.put_nowait(event)

        return events, self.subscribe(put)
