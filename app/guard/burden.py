"""What loads a site's fuses beside its EVSEs: the building, and current that nobody explains.

Pure arithmetic over memory. A fuse's meter tells everything at once; what of it no EVSE may be drawing is something
else: on the connection the building, on a circuit that carries EVSEs only somebody who does not obey.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from app.dispatch.fuses import PHASE_MARGIN, Floats, Fuse, Fuses
from app.dispatch.restraint import Building, Standing
from app.events import SiteMeasured
from app.guard.watch import WILD, Watch
from app.site import Site
from optimizer.domain import CONNECTION, PHASES

CALM = timedelta(seconds=75)  # a car that wakes up within its limit is told from the building by its next sample
NOISE = 0.01  # of a rating: what a meter may show beyond what flows

Source = Literal["measured", "assumed_maximum", "planned", "unknown"]


@dataclass(frozen=True, slots=True)
class Burden:
    """In each fuse's own unit: `other` is what is no EVSE's permitted current; infinite where nobody knows.

    `measured` marks the fuses whose own meter says so. `building_kw` is for people. `batteries` is what those that are
    commanded may be charging with beside that.
    """

    other: Floats
    measured: Floats
    source: Source
    building_kw: float | None
    batteries: Floats


class Burdens:
    """Of one site. Remembers for `CALM` what the grid meter showed beyond the EVSEs' own meters."""

    def __init__(self, site: Site, fuses: Fuses) -> None:
        self._site = site
        self._fuses = fuses
        self._beyond: deque[tuple[datetime, Floats]] = deque()
        self._building = {
            meter.id: meter.interval_s
            for meter in site.meters
            if meter.measures == "base_load" and meter.interval_s is not None
        }
        self._totals: dict[str, dict[str, float]] = {}  # by circuit: its meters
        for meter in site.meters:
            if meter.interval_s is not None and meter.measures in ("grid", "circuit"):
                self._totals.setdefault(meter.circuit or CONNECTION, {})[meter.id] = meter.interval_s

    def of(
        self,
        watch: Watch,
        standings: Sequence[Standing],
        load: Floats,
        now: datetime,
        *,
        planned: Building | None,
        maximum_kw: float | None,
        batteries: Floats | None = None,
    ) -> Burden:
        """`load` (fuse, standing). `planned` is what the plan in force counts the building with, `maximum_kw` the most
        that it can draw. `batteries` (fuse) is what those that are commanded may be charging with: the grid's own meter
        shows them, everywhere else they come on top."""
        rows, voltage_v = self._fuses.rows, self._site.connection.voltage_v
        most_a = np.array([watch.most_a(one.key) for one in standings])
        drawn_a = np.array([watch.drawn_a(one.key, now) for one in standings])
        building, source = self._building_now(watch, now, planned, maximum_kw)
        other = np.array([_building_on(row, building) for row in rows])
        measured, charging = np.zeros(len(rows)), np.zeros(len(rows)) if batteries is None else batteries.copy()
        for circuit_id, meters in self._totals.items():
            totals = watch.meters(meters, now)
            mine = [index for index, row in enumerate(rows) if row.circuit_id == circuit_id]
            if totals is None or any(self._is_wild(one) for one in totals.values()):
                continue  # silent, or broken: the reservations must do, and at the connection the assumption
            shown = np.array([_shown(rows[index], totals.values(), voltage_v) for index in mine])
            sure = shown - load[mine] @ most_a
            if circuit_id == CONNECTION:
                other[mine] = np.maximum(sure, self._calm(now, shown - load[mine] @ drawn_a))
                source, charging[mine] = "measured", 0.0
                building = Building(
                    max(0.0, _kw(totals.values(), voltage_v) - self._charging_kw(standings, drawn_a)), {}
                )
            else:
                noise = NOISE * self._fuses.ratings[mine]
                unexplained = sure - charging[mine]
                other[mine] = np.where(unexplained > noise, unexplained, 0.0)
            measured[mine] = 1.0
        return Burden(np.maximum(other, 0.0), measured, source, None if building is None else building.kw, charging)

    def _building_now(
        self, watch: Watch, now: datetime, planned: Building | None, maximum_kw: float | None
    ) -> tuple[Building | None, Source]:
        """Measured; where a meter that should speak is silent the worst; where there is none what the plan assumes."""
        voltage_v = self._site.connection.voltage_v
        assumed = None if maximum_kw is None else _evenly(maximum_kw, voltage_v)
        if self._building:
            readings = watch.meters(self._building, now)
            if readings is not None and not any(self._is_wild(one) for one in readings.values()):
                kw = max(0.0, _kw(readings.values(), voltage_v))
                by_phase = {
                    phase: max(0.0, sum(_on_phase(one, phase, voltage_v) for one in readings.values()))
                    for phase in PHASES
                }
                return Building(kw, by_phase), "measured"
        elif CONNECTION not in self._totals and planned is not None:
            return planned, "planned"
        return (assumed, "assumed_maximum") if assumed else (planned, "planned") if planned else (None, "unknown")

    def _calm(self, now: datetime, beyond: Floats) -> Floats:
        self._beyond.append((now, beyond))
        while self._beyond[0][0] < now - CALM:
            self._beyond.popleft()
        least: Floats = np.min([values for _, values in self._beyond], axis=0)
        return least

    def _is_wild(self, event: SiteMeasured) -> bool:
        """More than any load: a broken meter, and as good as a silent one."""
        voltage_v = self._site.connection.voltage_v
        limits_kw = [self._site.connection.max_import_kw, *(circuit.max_power_kw for circuit in self._site.circuits)]
        ratings_a = [self._site.connection.max_current_a, *(circuit.max_current_a for circuit in self._site.circuits)]
        carried_kw = [kw for kw in limits_kw if kw is not None]
        carried_kw += [a * voltage_v * len(PHASES) / 1000 for a in ratings_a if a is not None]
        return bool(carried_kw) and abs(_kw([event], voltage_v)) > WILD * max(carried_kw)

    def _charging_kw(self, standings: Sequence[Standing], drawn_a: Floats) -> float:
        kw_per_a = [one.wiring.voltage_v * one.phases_in_use / 1000 for one in standings]
        return float(np.dot(kw_per_a, drawn_a)) if standings else 0.0


def _building_on(fuse: Fuse, building: Building | None) -> float:
    if fuse.circuit_id != CONNECTION:
        return 0.0
    if building is None:
        return np.inf
    return building.kw if fuse.phase is None else building.current_a[fuse.phase]


def _evenly(kw: float, voltage_v: float) -> Building:
    """Over the phases, each a little more than a third: nobody knows which."""
    return Building(kw, dict.fromkeys(PHASES, kw * 1000 / voltage_v * (1 + PHASE_MARGIN) / len(PHASES)))


def _shown(fuse: Fuse, events: Collection[SiteMeasured], voltage_v: float) -> float:
    if fuse.phase is None:
        return _kw(events, voltage_v)
    return sum(_on_phase(one, fuse.phase, voltage_v) for one in events)


def _kw(events: Collection[SiteMeasured], voltage_v: float) -> float:
    return sum(
        sum(one.current_a.values()) * voltage_v / 1000 if one.power_kw is None else one.power_kw for one in events
    )


def _on_phase(event: SiteMeasured, phase: str, voltage_v: float) -> float:
    if phase in event.current_a:
        return event.current_a[phase]
    if event.power_kw is None:
        return 0.0
    return event.power_kw * 1000 / voltage_v * (1 + PHASE_MARGIN) / len(PHASES)
