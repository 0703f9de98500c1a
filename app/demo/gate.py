"""What a simulated station lets through: the least of its hardware and its profiles, and what its faults make of it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from app.demo.car import MIN_CURRENT_A
from app.demo.faults import Fault, Faults
from app.demo.physics import Offer, Outlet
from app.demo.profiles_held import ProfilesHeld, Unit
from app.demo.transaction import Running

STATION_PHASES = 3  # a limit of the whole station is shared out as of a three-phase supply


class Gate:
    """Of one station. Moments are aware UTC by the station's own clock, which is `offset()` ahead of the true one."""

    def __init__(
        self,
        outlets: Mapping[int, Outlet],
        profiles: ProfilesHeld,
        faults: Faults,
        running: Mapping[int, Running],
        offset: Callable[[], timedelta],
    ) -> None:
        self._outlets = outlets
        self._profiles = profiles
        self._faults = faults
        self._running = running
        self._offset = offset
        self._paused: set[int] = set()
        self._unlimited: set[int] = set()  # resumed after a pause, by fault

    def offers(self, connector_id: int, begin: datetime, end: datetime) -> list[Offer]:
        """Of true time [begin, end), what the socket offers from when on."""
        offset = self._offset()
        moments = self._boundaries(connector_id, begin + offset, end + offset)
        return [Offer(moment - offset, self._let_through_a(connector_id, moment)) for moment in moments]

    def offered_a(self, connector_id: int, moment: datetime) -> float:
        """A per phase; 0 without a transaction that is authorised."""
        running = self._running.get(connector_id)
        if running is None or not running.authorised:
            return 0.0
        allowed_a = self.allowed(connector_id, moment, "A")
        resumed_free = connector_id in self._unlimited and allowed_a >= MIN_CURRENT_A  # it does keep a pause
        if resumed_free or Fault.REPORTS_AND_IGNORES in self._faults:
            return self._outlets[connector_id].max_current_a
        return allowed_a

    def told_anew(self, connector_id: int) -> None:
        """A profile came: what had resumed without a limit has one again."""
        for number in self._outlets if connector_id == 0 else (connector_id,):
            self._unlimited.discard(number)

    def forget(self, connector_id: int) -> None:
        """The transaction is over."""
        self._paused.discard(connector_id)
        self._unlimited.discard(connector_id)

    def composite(self, connector_id: int, start: datetime, end: datetime, unit: Unit) -> list[tuple[datetime, float]]:
        """What it says it will let through in [start, end); connector 0 is the sum of all."""
        connectors = list(self._outlets) if connector_id == 0 else [connector_id]
        moments = sorted({moment for number in connectors for moment in self._boundaries(number, start, end)})
        steps: list[tuple[datetime, float]] = []
        for moment in moments:
            limit = sum(self.allowed(number, moment, unit) for number in connectors)
            if not steps or steps[-1][1] != limit:
                steps.append((moment, limit))
        return steps

    def allowed(self, connector_id: int, moment: datetime, unit: Unit) -> float:
        """The least of the hardware, the connector's profile and its share of the station's, in `unit`."""
        outlet = self._outlets[connector_id]
        wired = len(outlet.evse.phases)
        allowed = outlet.max_current_a * (1.0 if unit == "A" else outlet.voltage_v * wired)
        own = self._profiles.limit_at(connector_id, moment, self._started_at(connector_id))
        if own is not None:
            value = own.current_a(outlet.voltage_v, wired) if unit == "A" else own.power_w(outlet.voltage_v, wired)
            allowed = min(allowed, value)
        station_w = self._profiles.station_power_w(moment, outlet.voltage_v, STATION_PHASES)
        if station_w is not None:
            share_w = station_w / max(1, len(self._running))
            allowed = min(allowed, share_w / (outlet.voltage_v * STATION_PHASES) if unit == "A" else share_w)
        return allowed

    def _let_through_a(self, connector_id: int, moment: datetime) -> float:
        """As `offered_a`, and remembers the pauses on the way."""
        offered_a = self.offered_a(connector_id, moment)
        if Fault.RESUMES_UNLIMITED in self._faults and connector_id in self._running:
            if offered_a < MIN_CURRENT_A:
                self._paused.add(connector_id)
            elif connector_id in self._paused:
                self._paused.discard(connector_id)
                self._unlimited.add(connector_id)
                return self._outlets[connector_id].max_current_a
        return offered_a

    def _boundaries(self, connector_id: int, begin: datetime, end: datetime) -> list[datetime]:
        return self._profiles.boundaries(connector_id, begin, end, self._started_at(connector_id))

    def _started_at(self, connector_id: int) -> datetime | None:
        running = self._running.get(connector_id)
        return running.started_at if running else None
