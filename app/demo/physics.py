"""What really happens at the site: the current at every socket and fuse, second by second.

Nothing here knows of plans or profiles: an outlet is told what it may offer, the car takes what it likes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from app.demo.car import Car, Currents
from app.site import EvseDocument, Site, evse_key
from optimizer.domain import CONNECTION, PHASES, Phase

TOLERANCE = 1.01  # a rating is exceeded by more than 1 %
QUARTER_S = 900

Power = NDArray[np.float64]  # kW of each second


@dataclass(frozen=True, slots=True)
class Offer:
    """From `since` on the socket offers `current_a` per phase."""

    since: datetime
    current_a: float


@dataclass(frozen=True, slots=True)
class Trace:
    """What one car drew from `start` on: A per phase of each second, on the site's phases that it uses."""

    outlet: str
    start: datetime
    phases: tuple[Phase, ...]
    current_a: Currents


class Outlet:
    """One EVSE and the car at it. Its register counts what went through, kWh, and never goes back."""

    def __init__(self, key: str, evse: EvseDocument, voltage_v: float, *, keep_traces: bool = True) -> None:
        self.key = key
        self.evse = evse
        self.voltage_v = voltage_v
        self.car: Car | None = None
        self.energy_kwh = 0.0
        self.current_a = 0.0  # per phase, of the last second that is over
        self.traces: list[Trace] = []
        self._keep_traces = keep_traces
        self._until: datetime | None = None

    @property
    def max_current_a(self) -> float:
        return self.evse.max_current_a or 0.0

    @property
    def phases_in_use(self) -> tuple[Phase, ...]:
        """The site's phases that the car is on: the first of the EVSE's rotation."""
        return self.evse.phases[: self.car.vehicle.phases] if self.car else ()

    @property
    def power_kw(self) -> float:
        return self.current_a * len(self.phases_in_use) * self.voltage_v / 1000

    @property
    def since(self) -> datetime | None:
        """Up to when it has been advanced; None without a car."""
        return self._until

    def connect(self, car: Car, at: datetime) -> None:
        if self.car is not None:
            raise ValueError(f"{self.key} is taken")
        self.car = car
        self._until = at

    def disconnect(self) -> None:
        """The car leaves; `advance` has been called up to now."""
        self.car = None
        self._until = None
        self.current_a = 0.0

    def advance(self, to: datetime, offers: Sequence[Offer]) -> None:
        """Let the whole seconds up to `to` pass under `offers` (in order, the first not later than the last time)."""
        if self.car is None or self._until is None:
            return
        ends = [*(offer.since for offer in offers[1:]), to]
        for offer, end in zip(offers, ends, strict=True):
            seconds = int((min(end, to) - self._until).total_seconds())
            if seconds > 0:
                self._draw(self.car, min(offer.current_a, self.max_current_a), seconds, self._until)
                self._until += timedelta(seconds=seconds)

    def _draw(self, car: Car, offered_a: float, seconds: int, start: datetime) -> None:
        drawn_a = car.draw(offered_a, seconds, self.voltage_v)
        self.current_a = float(drawn_a[-1])
        phases = self.phases_in_use
        self.energy_kwh += float(drawn_a.sum(dtype=np.float64)) * len(phases) * self.voltage_v / 1000 / 3600
        if self._keep_traces:
            self.traces.append(Trace(self.key, start, phases, drawn_a))


def outlets_of(site: Site, *, keep_traces: bool = True) -> dict[str, Outlet]:
    """Every EVSE of the site by its key (``cs01/1``); without traces it can run for ever."""
    return {
        (key := evse_key(station.id, evse.id)): Outlet(key, evse, site.connection.voltage_v, keep_traces=keep_traces)
        for station in site.charging_stations
        for evse in station.evses
    }


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Base load and PV as they really were, kW of each second from `start` (aware UTC) on."""

    start: datetime
    base_load_kw: Power
    pv_kw: Power
    base_load_phase_share: tuple[float, float, float]

    @property
    def seconds(self) -> int:
        return len(self.base_load_kw)


@dataclass(frozen=True, slots=True)
class Excess:
    """`seconds` one-second samples in which `place` (a circuit or the connection) was above its rating."""

    place: str
    measure: str  # L1, L2, L3, import_kw or export_kw
    seconds: int
    worst: float  # highest value, A or kW
    rating: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A day by its meters. `import_kw` and `export_kw` are means of quarters of an hour."""

    import_kw: Power
    export_kw: Power
    excesses: tuple[Excess, ...]

    @property
    def peak_kw(self) -> float:
        return float(self.import_kw.max())

    @property
    def violations(self) -> int:
        """One-second samples above a rating, summed over circuits, phases and the connection."""
        return sum(excess.seconds for excess in self.excesses)


def measure(site: Site, surroundings: Surroundings, traces: Iterable[Trace]) -> Measured:
    """Add up every circuit, phase and the connection, second by second, and compare with the ratings."""
    paths = circuit_paths(site)
    voltage_v = site.connection.voltage_v
    circuit_a = {circuit.id: np.zeros((3, surroundings.seconds)) for circuit in site.circuits}
    share = np.array(surroundings.base_load_phase_share)[:, None]
    net_kw = surroundings.base_load_kw - surroundings.pv_kw
    ev_a = np.zeros((3, surroundings.seconds))
    for trace in traces:
        first = int((trace.start - surroundings.start).total_seconds())
        window = slice(max(first, 0), min(first + len(trace.current_a), surroundings.seconds))
        drawn_a = trace.current_a[window.start - first : max(window.stop - first, 0)]
        for row in (PHASES.index(phase) for phase in trace.phases):
            ev_a[row, window] += drawn_a
            for circuit_id in paths[trace.outlet]:
                circuit_a[circuit_id][row, window] += drawn_a
    connection_a = ev_a + (surroundings.base_load_kw * share - surroundings.pv_kw / 3) * 1000 / voltage_v
    grid_kw = net_kw + ev_a.sum(axis=0) * voltage_v / 1000
    excesses = [
        excess
        for circuit in site.circuits
        for excess in (
            *_phase_excesses(circuit.id, circuit_a[circuit.id], circuit.max_current_a),
            _excess(circuit.id, "kW", circuit_a[circuit.id].sum(axis=0) * voltage_v / 1000, circuit.max_power_kw),
        )
    ]
    excesses += _phase_excesses(CONNECTION, np.abs(connection_a), site.connection.max_current_a)
    excesses.append(_excess(CONNECTION, "import_kw", grid_kw, site.connection.max_import_kw))
    excesses.append(_excess(CONNECTION, "export_kw", -grid_kw, site.connection.max_export_kw))
    quarters = np.array([part.mean() for part in np.split(grid_kw, range(QUARTER_S, len(grid_kw), QUARTER_S))])
    return Measured(
        np.maximum(quarters, 0.0), np.maximum(-quarters, 0.0), tuple(excess for excess in excesses if excess.seconds)
    )


def circuit_paths(site: Site) -> Mapping[str, tuple[str, ...]]:
    """Of each EVSE its circuit and every circuit above it, without the connection."""
    parents = {circuit.id: circuit.parent for circuit in site.circuits}
    paths: dict[str, tuple[str, ...]] = {}
    for station in site.charging_stations:
        for evse in station.evses:
            path, above = [], evse.circuit
            while above is not None:
                path.append(above)
                above = parents[above]
            paths[evse_key(station.id, evse.id)] = tuple(path)
    return paths


def _phase_excesses(place: str, current_a: Power, rating_a: float | None) -> list[Excess]:
    return [_excess(place, phase, current_a[row], rating_a) for row, phase in enumerate(PHASES)]


def _excess(place: str, measure_name: str, values: Power, rating: float | None) -> Excess:
    if rating is None:
        return Excess(place, measure_name, 0, 0.0, float("inf"))
    above = values > rating * TOLERANCE
    return Excess(place, measure_name, int(above.sum()), float(values.max()), rating)
