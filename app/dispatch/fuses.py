"""A site's fuses as arrays: what loads them, and how much of them the building may take.

One row is one limit: a circuit's rating on one phase in A, or its power in kW. Pure; the optimizer's own rows are not
shared on purpose, so that a mistake in one is not a mistake in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.dispatch.in_force import Wiring, wiring_of
from app.site import Site, evse_key
from optimizer.domain import CONNECTION, PHASES, Phase

Floats = NDArray[np.float64]

PHASE_MARGIN = 0.1  # how much more than a third of the building's load one phase may carry


@dataclass(frozen=True, slots=True)
class Fuse:
    """One limit. `phase` None: a power limit, and `rating` and `base` are kW; else they are A.

    `base` is what the building draws here at most; None: nobody knows.
    """

    circuit_id: str
    phase: Phase | None
    rating: float
    base: float | None

    @property
    def unit(self) -> str:
        return "kW" if self.phase is None else "A"


@dataclass(frozen=True, slots=True, eq=False)
class Fuses:
    """All limits of a site. `load` (fuse, EVSE): what one ampere per phase at that EVSE puts on that fuse."""

    rows: tuple[Fuse, ...]
    evses: tuple[str, ...]
    wirings: Mapping[str, Wiring]
    load: Floats

    @property
    def ratings(self) -> Floats:
        return np.array([row.rating for row in self.rows])

    @property
    def rooms(self) -> Floats:
        """What the building leaves to charging, in each fuse's own unit.

        Negative where it leaves less than nothing, minus infinity where nobody knows what it draws.
        """
        bases = np.array([np.inf if row.base is None else row.base for row in self.rows])
        room: Floats = self.ratings - bases
        return room

    def columns(self, keys: Sequence[str]) -> list[int]:
        number = {key: index for index, key in enumerate(self.evses)}
        return [number[key] for key in keys]


def fuses_of(site: Site, max_base_load_kw: float | None) -> Fuses:
    """The site's limits, with the building at its maximum; None: not known."""
    a_per_kw = 1000 / site.connection.voltage_v * (1 + PHASE_MARGIN) / len(PHASES)
    base_a = None if max_base_load_kw is None else max_base_load_kw * a_per_kw
    rows = _rows(CONNECTION, site.connection.max_current_a, site.connection.max_import_kw, base_a, max_base_load_kw)
    for circuit in site.circuits:
        rows += _rows(circuit.id, circuit.max_current_a, circuit.max_power_kw, 0.0, 0.0)
    parents = {circuit.id: circuit.parent for circuit in site.circuits}
    evses, wirings, columns = [], {}, []
    for station in site.charging_stations:
        for evse in station.evses:
            wiring = wiring_of(site, station.id, evse.id)
            if wiring is None:
                continue
            key, above = evse_key(station.id, evse.id), {CONNECTION}
            circuit_id = evse.circuit
            while circuit_id is not None:
                above.add(circuit_id)
                circuit_id = parents[circuit_id]
            kw_per_a = wiring.voltage_v * wiring.phases / 1000
            columns.append(
                [
                    0.0 if row.circuit_id not in above else kw_per_a if row.phase is None else row.phase in evse.phases
                    for row in rows
                ]
            )
            evses.append(key)
            wirings[key] = wiring
    load = np.array(columns, dtype=float).reshape(len(evses), len(rows)).T
    return Fuses(tuple(rows), tuple(evses), wirings, load)


def alone_kw(site: Site) -> dict[str | None, float]:
    """What commanded batteries may charge with once nobody commands them, by circuit; None is the connection."""
    found: dict[str | None, float] = {}
    for battery in site.batteries:
        if battery.actuator is not None and battery.actuator.on_loss == "own_control":
            found[battery.circuit] = found.get(battery.circuit, 0.0) + battery.max_charge_kw
    return found


def with_batteries_alone(fuses: Fuses, site: Site) -> Fuses:
    """The limits with less room: a battery that is left to its own controls counts like the building."""
    added: Floats = np.zeros(len(fuses.rows))
    for circuit_id, charge_kw in alone_kw(site).items():
        added = added + charge_kw * load_per_kw(site, fuses.rows, circuit_id)
    rows = tuple(
        row if row.base is None else replace(row, base=row.base + float(more))
        for row, more in zip(fuses.rows, added, strict=True)
    )
    return replace(fuses, rows=rows)


def load_per_kw(site: Site, rows: Sequence[Fuse], circuit_id: str | None) -> Floats:
    """(fuse): what one kW at a circuit (None: the connection) puts on each, in its own unit, evenly on three phases."""
    parents = {circuit.id: circuit.parent for circuit in site.circuits}
    above = {CONNECTION}
    while circuit_id is not None:
        above.add(circuit_id)
        circuit_id = parents[circuit_id]
    a_per_kw = 1000 / site.connection.voltage_v / len(PHASES)
    return np.array([0.0 if row.circuit_id not in above else 1.0 if row.phase is None else a_per_kw for row in rows])


def _rows(
    circuit_id: str, current_a: float | None, power_kw: float | None, base_a: float | None, base_kw: float | None
) -> list[Fuse]:
    by_phase = [] if current_a is None else [Fuse(circuit_id, phase, current_a, base_a) for phase in PHASES]
    return by_phase + ([] if power_kw is None else [Fuse(circuit_id, None, power_kw, base_kw)])
