"""What each EVSE may be executing now: the book that the dispatcher keeps, and the current to reserve for it.

Pure bookkeeping, no I/O. The rule is the fuse's: a limit counts once it is confirmed; while nobody knows which of
two limits holds, the larger does; an EVSE that nothing ever limited may draw all that its hardware can.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from app.csms.composite import composite, current_at, end_of
from app.csms.connector import ChargingProfile
from app.csms.profiles import Electrics, profile_from_json
from app.csms.steps import Steps, pointwise
from app.db.records import HELD, Delivery, DeliveryState
from app.site import EvseDocument, Site, split_evse_key

Source = Literal["plan", "fallback", "hardware", "measured"]


@dataclass(frozen=True, slots=True)
class Limit:
    """The highest current per phase that an EVSE may draw, and what sets it."""

    current_a: float
    source: Source
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Wiring:
    """One EVSE's hardware: `max_a` per phase is what it draws at the very most."""

    voltage_v: float
    phases: int
    max_a: float
    is_dc: bool

    @property
    def assumed_phases(self) -> int:
        """How many phases a limit in W loads where its profile does not say: AC may put all of it on one."""
        return self.phases if self.is_dc else 1

    def electrics(self, vehicle_phases: int | None) -> Electrics:
        if self.is_dc:
            return Electrics(self.voltage_v, self.phases, is_dc=True)
        return Electrics(self.voltage_v, None if vehicle_phases is None else min(vehicle_phases, self.phases))

    def amperes(self, power_w: float, vehicle_phases: int | None) -> float:
        """A per phase of a measured power; an unknown vehicle is believed to use every phase."""
        phases = self.phases if self.is_dc or vehicle_phases is None else min(vehicle_phases, self.phases)
        return power_w / (self.voltage_v * phases)


def wiring_of(site: Site, station_id: str, evse_id: int) -> Wiring | None:
    """None for an EVSE that the site's document does not name."""
    station = site.station(station_id)
    evse = next((evse for evse in station.evses if evse.id == evse_id), None) if station else None
    return None if evse is None else wiring_in(site, evse)


def wiring_in(site: Site, evse: EvseDocument) -> Wiring:
    """Of an EVSE that is at hand: who looks at all of a site's need not search for each."""
    voltage_v, phases, is_dc = site.connection.voltage_v, len(evse.phases), evse.max_current_a is None
    max_a = evse.max_current_a or (evse.max_power_kw or 0) * 1000 / (voltage_v * phases)
    return Wiring(voltage_v, phases, max_a, is_dc)


@dataclass(frozen=True, slots=True)
class Holding:
    """What one EVSE may hold above its fallback: exactly one of `candidates`, where None is no plan at all.

    `unbounded`: it may hold something that is not in the book. `least_a`: so much it reported, or drew. `timeless`:
    the clock was set since, so it may be in any period of what it holds.
    """

    candidates: tuple[ChargingProfile | None, ...] = (None,)
    state: DeliveryState = "unknown"  # of the newest candidate
    since: datetime | None = None
    unbounded: bool = False
    least_a: float = 0.0
    vehicle_phases: int | None = None
    timeless: bool = False

    @property
    def profile(self) -> ChargingProfile | None:
        """What it holds, if that is certain."""
        certain = len(self.candidates) == 1 and not (self.unbounded or self.timeless) and self.least_a == 0
        return self.candidates[0] if certain else None

    def after_sending(self, profile: ChargingProfile, now: datetime, vehicle_phases: int | None) -> "Holding":
        """While an answer is awaited, and when none came: any of what it held, or the new one."""
        candidates = (*(held for held in self.candidates if held != profile), profile)
        return replace(self, candidates=candidates, state="unknown", since=now, vehicle_phases=vehicle_phases)

    @property
    def transaction_ids(self) -> frozenset[int]:
        return frozenset(
            held.transaction_id for held in self.candidates if held is not None and held.transaction_id is not None
        )


def restored_holding(delivery: Delivery, running: set[int]) -> Holding | None:
    """What a stored delivery says of its EVSE; None where its transaction is over, and the plan with it."""
    if delivery.profile is None:
        return None
    profile = profile_from_json(delivery.profile)
    if profile.transaction_id is not None and profile.transaction_id not in running:
        return None
    certain = delivery.state in HELD
    return Holding((profile,), delivery.state, delivery.at, unbounded=not certain)


class Book:
    """Holdings and fallbacks by EVSE key (``cs01/1``)."""

    def __init__(self) -> None:
        self._holdings: dict[str, Holding] = {}
        self._fallbacks_a: dict[str, float] = {}
        self._measured_a: dict[str, float] = {}
        self._freed: set[str] = set()

    def holding(self, key: str) -> Holding:
        return self._holdings.get(key, Holding())

    def put(self, key: str, holding: Holding) -> None:
        self._holdings[key] = holding

    def __contains__(self, key: str) -> bool:
        return key in self._holdings

    def confirm_fallback(self, key: str, current_a: float) -> None:
        self._fallbacks_a[key] = current_a

    def doubt_fallback(self, key: str) -> None:
        self._fallbacks_a.pop(key, None)

    def fallback_a(self, key: str) -> float | None:
        """None while it is not confirmed."""
        return self._fallbacks_a.get(key)

    def measure(self, key: str, current_a: float) -> None:
        """It disobeys: until further notice it counts with at least this much."""
        self._measured_a[key] = current_a

    def forgive(self, key: str) -> None:
        self._measured_a.pop(key, None)

    def free(self, key: str) -> None:
        """No profile limits it, whatever it holds: until further notice it counts with all its hardware."""
        self._freed.add(key)

    def bind(self, key: str) -> None:
        self._freed.discard(key)

    def forget_plan(self, key: str, transaction_id: int) -> None:
        """The transaction is over, and with it every TxProfile for it."""
        if transaction_id in self.holding(key).transaction_ids:
            self._holdings[key] = Holding()

    def doubt_station(self, station_id: str) -> None:
        """It came back: it may have kept what it held, or have forgotten it."""
        for key, holding in self._holdings.items():
            if split_evse_key(key)[0] == station_id and None not in holding.candidates:
                self._holdings[key] = replace(holding, candidates=(None, *holding.candidates))

    def doubt_times(self) -> None:
        """The clock was set: who holds a plan counts with the highest of all its periods until it was told anew."""
        for key in tuple(self._holdings):
            self.doubt_time(key)

    def doubt_time(self, key: str) -> None:
        self._holdings[key] = replace(self.holding(key), timeless=True)

    def distrust(self, key: str, now: datetime) -> None:
        """Somebody else may have changed what it holds: it counts with all its hardware until it was told anew."""
        holding = self.holding(key)
        candidates = (None, *(held for held in holding.candidates if held is not None))
        self._holdings[key] = replace(holding, candidates=candidates, state="contradicted", since=now, unbounded=True)
        self.doubt_fallback(key)

    def clear(self, key: str) -> None:
        """It holds no plan: its fallback is what counts."""
        self._holdings[key] = Holding()

    def limit(self, key: str, wiring: Wiring, moment: datetime) -> Limit:
        """The most that it may be drawing at `moment`."""
        holding, below = self.holding(key), self._below(key, wiring)
        limits = [below if held is None else _planned(held, wiring, moment, below) for held in holding.candidates]
        if self._is_open(key):
            limits.append(Limit(wiring.max_a, "hardware", False))
        if holding.timeless:
            limits.append(Limit(max(self._periods_a(key, wiring)), "plan", False))
        if (seen_a := self._seen_a(key)) > 0:
            limits.append(Limit(min(seen_a, wiring.max_a), "measured", False))
        highest = max(limits, key=lambda limit: limit.current_a)
        return replace(highest, confirmed=highest.confirmed and len(limits) == 1)

    def curve(self, key: str, wiring: Wiring, start: datetime, end: datetime, *, least_a: float = 0.0) -> Steps:
        """The most that it may be drawing over [start, end), A per phase, and no less than `least_a`."""
        holding = self.holding(key)
        curves = [self.curve_of(key, held, wiring, start, end) for held in holding.candidates]
        least_a = wiring.max_a if self._is_open(key) else max(self._seen_a(key), least_a)
        if holding.timeless:
            least_a = max(least_a, *self._periods_a(key, wiring))
        floor = Steps((start,), (min(least_a, wiring.max_a),), end)
        return pointwise(max, floor, *curves)

    def least_a(self, key: str, wiring: Wiring) -> float | None:
        """Where nobody knows in which period of its plan it is, the lowest of them, A per phase; None: all know."""
        return min(self._periods_a(key, wiring)) if self.holding(key).timeless else None

    def commanded_a(self, key: str, wiring: Wiring, start: datetime, end: datetime) -> float:
        """The highest current per phase over [start, end) that an EVSE which obeys may draw."""
        if self._is_open(key):
            return wiring.max_a
        if self.holding(key).timeless:
            return max(self._periods_a(key, wiring))
        return max(self.curve_of(key, held, wiring, start, end).highest for held in self.holding(key).candidates)

    def curve_of(
        self, key: str, profile: ChargingProfile | None, wiring: Wiring, start: datetime, end: datetime
    ) -> Steps:
        """What it draws at most over [start, end) if it holds `profile`: its fallback, or all it can, after that."""
        profiles = [] if profile is None else [profile]
        below_a = self._below(key, wiring).current_a
        curve = composite(
            profiles, start, end, voltage_v=wiring.voltage_v, phases=wiring.assumed_phases, otherwise_a=below_a
        )
        return Steps(curve.moments, tuple(min(value, wiring.max_a) for value in curve.values), curve.end).merged()

    def worst_case_a(self, key: str, wiring: Wiring, start: datetime, end: datetime) -> float:
        """The highest current per phase over [start, end), a change of vehicle included: then the fallback holds."""
        return max(self.curve(key, wiring, start, end).highest, self._below(key, wiring).current_a)

    def fail_safe_curve(self, key: str, wiring: Wiring, start: datetime, end: datetime) -> Steps:
        """The most that it may draw over [start, end), whether its link holds or not, whoever comes and goes."""
        return self.curve(key, wiring, start, end, least_a=self._below(key, wiring).current_a)

    def below_a(self, key: str, wiring: Wiring) -> float:
        """What holds where no plan does: the fallback that it confirmed, else all that its hardware can draw."""
        return self._below(key, wiring).current_a

    def end(self, key: str) -> datetime | None:
        """When the last of its candidates ends; None where it holds none."""
        ends = [end_of(held) for held in self.holding(key).candidates if held is not None]
        return max((end for end in ends if end is not None), default=None)

    def _is_open(self, key: str) -> bool:
        return self.holding(key).unbounded or key in self._freed

    def _periods_a(self, key: str, wiring: Wiring) -> list[float]:
        below, candidates = self._below(key, wiring), self.holding(key).candidates
        return [current_a for held in candidates for current_a in _limits_a(held, wiring, below)]

    def _below(self, key: str, wiring: Wiring) -> Limit:
        fallback_a = self._fallbacks_a.get(key)
        if fallback_a is None:
            return Limit(wiring.max_a, "hardware", False)
        return Limit(min(fallback_a, wiring.max_a), "fallback", True)

    def _seen_a(self, key: str) -> float:
        return max(self.holding(key).least_a, self._measured_a.get(key, 0.0))


def remaining(profile: ChargingProfile, now: datetime) -> timedelta:
    """How long a profile still holds; the longest possible for one without an end."""
    end = end_of(profile)
    return timedelta.max if end is None else max(timedelta(0), end - now)


def _planned(held: ChargingProfile, wiring: Wiring, moment: datetime, below: Limit) -> Limit:
    current_a = current_at(held, moment, voltage_v=wiring.voltage_v, phases=wiring.assumed_phases)
    return below if current_a is None else Limit(min(current_a, wiring.max_a), "plan", True)


def _limits_a(held: ChargingProfile | None, wiring: Wiring, below: Limit) -> list[float]:
    """Of each of its periods, and what holds where it does not."""
    if held is None:
        return [below.current_a]
    starts = (held.start + timedelta(seconds=period.start_s) for period in held.periods)
    currents_a = [_planned(held, wiring, start, below).current_a for start in starts]
    return currents_a if end_of(held) is None else [*currents_a, below.current_a]
