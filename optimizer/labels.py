"""Names that outlive a problem: which column or row of one program is the same one in the next.

A label is a whole number: what kind of thing, which one (by its id), and in which slot of the clock. Labels only match
things up. Whoever uses them compares the numbers as well, so a wrong match costs time and never changes an answer.
"""

from collections.abc import Iterable
from dataclasses import fields

import numpy as np

from optimizer.arrays import Ints
from optimizer.program import Program, Site, Variables

CLOCK_S = 300  # no slot is shorter, so slots of one clock never share a number
KIND, WHICH = 1 << 48, 1 << 24

_BY_SLOT = frozenset({"imported", "exported", "curtail"})
_BY_BATTERY = frozenset({"store", "draw", "stored"})


class Labels:
    """Labels of columns and rows; one instance numbers the ids of all problems that are compared."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}  # by kind of thing, and its id

    def columns(self, site: Site, v: Variables) -> Ints:
        """One label a column of the program."""
        labels = np.zeros(v.columns, dtype=np.int64)
        slot = self._slots(site)
        for name in (field.name for field in fields(v) if field.name not in ("lower", "upper")):
            block: Ints = getattr(v, name)
            kind = self._number("column", name) * KIND
            if name == "charge":
                labels[block] = kind + self._evses(site)[site.charge.evse] * WHICH + slot[site.charge.slot]
            elif name in ("level", "give"):
                vehicles = site.vehicles
                followed = self._sessions(site)[vehicles.session] * WHICH + slot[site.charge.slot[vehicles.column]]
                labels[block] = kind + (followed if name == "level" else followed[vehicles.giving])
            elif name == "unmet":
                labels[block] = kind + self._sessions(site) * WHICH
            elif name in _BY_SLOT:
                labels[block] = kind + slot
            elif name in _BY_BATTERY:
                labels[block] = kind + self._batteries(site)[:, None] * WHICH + slot
            elif name == "peak":
                labels[block] = kind + self._charges(site) * WHICH
            else:
                labels[block.ravel()] = kind + np.arange(block.size)
        return labels

    def rows(self, site: Site, program: Program) -> Ints:
        """One label a row of the program."""
        labels = np.zeros(program.matrix.rows, dtype=np.int64)
        slot, nodes = self._slots(site), self._all("node", site.headroom.names)
        sessions, batteries, charges = self._sessions(site), self._batteries(site), self._charges(site)
        intervals = [self._intervals(site, number) for number in range(charges.size)]
        seen: dict[str, int] = {}
        for rule, key, first, end in program.blocks:
            kind = self._number("row", rule) * KIND
            match rule, key:
                case "power_balance", (at,):
                    labels[first:end] = kind + slot[at]
                case "energy_by_departure", (session,):
                    labels[first:end] = kind + sessions[session] * WHICH
                case "vehicle_energy" | "taper", (session, at):
                    labels[first:end] = kind + sessions[session] * WHICH + slot[at]
                case "circuit_power" | "circuit_feed", (node, at):
                    labels[first:end] = kind + nodes[node] * WHICH + slot[at]
                case "circuit_current", (node, phase, at):
                    labels[first:end] = kind + (nodes[node] * 3 + phase) * WHICH + slot[at]
                case "battery_energy", (battery, at):
                    labels[first:end] = kind + batteries[battery] * WHICH + slot[at]
                case "demand_peak", (charge, interval) if charge.size:
                    number = int(charge[0])
                    labels[first:end] = kind + charges[number] * WHICH + intervals[number][interval]
                case _:  # by its place among the rows of its rule
                    labels[first:end] = kind + np.arange(end - first) + seen.get(rule, 0)
            seen[rule] = seen.get(rule, 0) + end - first
        return labels

    def _number(self, kind: str, which: str) -> int:
        numbers = self._numbers.setdefault(kind, {})
        return numbers.setdefault(which, len(numbers))

    def _all(self, kind: str, ids: Iterable[str]) -> Ints:
        numbers = self._numbers.setdefault(kind, {})
        return np.array([numbers.setdefault(one, len(numbers)) for one in ids], dtype=np.int64)

    def _evses(self, site: Site) -> Ints:
        return self._all("evse", (evse.evse_id for evse in site.problem.evses))

    def _sessions(self, site: Site) -> Ints:
        return self._all("session", (session.session_id for session in site.problem.sessions))

    def _batteries(self, site: Site) -> Ints:
        return self._all("battery", (battery.battery_id for battery in site.batteries))

    def _charges(self, site: Site) -> Ints:
        return self._all("charge", (charge.charge_id for charge in site.problem.demand_charges))

    def _slots(self, site: Site) -> Ints:
        horizon = site.problem.horizon
        begin_s = horizon.start.timestamp() + (site.grid.first + np.arange(site.grid.slots)) * horizon.slot_minutes * 60
        return (begin_s // CLOCK_S).astype(np.int64)

    def _intervals(self, site: Site, number: int) -> Ints:
        """First and last slot together tell metering intervals apart, also those that begin within a slot."""
        intervals, slot = site.intervals[number], self._slots(site)
        count = intervals.length_h.size
        first, last = np.full(count, np.iinfo(np.int64).max), np.zeros(count, dtype=np.int64)
        np.minimum.at(first, intervals.interval, slot[intervals.slot])
        np.maximum.at(last, intervals.interval, slot[intervals.slot])
        return first + last
