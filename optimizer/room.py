"""What is left while powers are given out one by one: of every fuse (`Room`), and of the billed peak (`Meter`)."""

from math import inf

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.program import Site

POWER_NOISE_KW = 1e-6


def mean_kw(site: Site, power_kw: Floats) -> Floats:
    """Mean power of each slot from the power of every charge column."""
    return sum_by(site.charge.slot, power_kw * site.charge.present, site.grid.slots)


class Room:
    """What every fuse can still carry, while powers are given out one by one."""

    def __init__(self, site: Site) -> None:
        self._charge = site.charge
        self._left_kw = site.headroom.draw_kw.copy()
        self._left_a = site.headroom.draw_a.copy()
        self._nodes = [np.flatnonzero(holds) for holds in site.headroom.holds_evse.T]
        self.paths = _padded(self._nodes)  # (EVSE, depth): the fuses above each EVSE, the last one repeated
        self._safe_kw = site.charge.amps_per_kw.sum(axis=1) * site.problem.connection.voltage_v / 1000

    def take_batteries(self, site: Site, store_kw: Floats) -> None:
        """Batteries keep what they were planned to draw; `store_kw` (battery, slot)."""
        for index, power_kw in enumerate(store_kw):
            nodes = np.flatnonzero(site.holds_battery[:, index])
            self._left_kw[nodes] -= power_kw
            self._left_a[nodes] -= power_kw / site.headroom.battery_kw_per_a

    def take_all(self, site: Site, power_kw: Floats) -> None:
        """Every charge column at once."""
        charge, shape = site.charge, self._left_kw.shape
        drawing = np.flatnonzero(power_kw)
        drawn_kw, evse, slot = power_kw[drawing], charge.evse[drawing], charge.slot[drawing]
        for depth in range(self.paths.shape[1]):
            node = self.paths[evse, depth]
            # A padded path names its last fuse again: that counts once.
            counts = node != self.paths[evse, depth - 1] if depth else np.ones(node.size, dtype=np.bool_)
            place = (node * shape[1] + slot)[counts]
            taken_kw = (drawn_kw * self._safe_kw[drawing])[counts]
            self._left_kw -= sum_by(place, taken_kw, self._left_kw.size).reshape(shape)
            for phase in range(self._left_a.shape[1]):
                amps = (drawn_kw * charge.amps_per_kw[drawing, phase])[counts]
                self._left_a[:, phase] -= sum_by(place, amps, self._left_kw.size).reshape(shape)

    def full(self) -> Flags:
        """(fuse, slot): nothing more fits through."""
        full: Flags = (self._left_kw < POWER_NOISE_KW) | (self._left_a < POWER_NOISE_KW).any(axis=1)
        return full

    def room_kw(self, columns: Ints) -> Floats:
        """The power that each column can have on top, by every fuse above its EVSE."""
        if not columns.size:
            return np.zeros(0)
        nodes, slots = self.paths[self._charge.evse[columns]], self._charge.slot[columns][:, None]
        amps = self._charge.amps_per_kw[columns]
        loads = amps > 0
        least_a = self._left_a[nodes, :, slots].min(axis=1)
        by_current = np.where(loads, least_a / np.where(loads, amps, 1.0), inf).min(axis=1)
        safe_kw = self._safe_kw[columns]
        drawn = safe_kw > 0  # else an unverified limit is counted in its place
        by_power = self._left_kw[nodes, slots].min(axis=1) / np.where(drawn, safe_kw, 1.0)
        return np.where(drawn, np.minimum(by_current, by_power), inf)

    def take(self, columns: Ints, power_kw: Floats) -> None:
        """Some of one EVSE's columns draw so much more."""
        nodes, slots = self._nodes[self._charge.evse[columns[0]]][:, None], self._charge.slot[columns]
        self._left_a[nodes, :, slots] -= power_kw[:, None] * self._charge.amps_per_kw[columns]
        self._left_kw[nodes, slots] -= power_kw * self._safe_kw[columns]

    def overloaded(self) -> Ints:
        """Columns that draw through a fuse which carries too much."""
        over = (self._left_kw < -POWER_NOISE_KW) | (self._left_a < -POWER_NOISE_KW).any(axis=1)
        if not over.any():
            return np.zeros(0, dtype=np.int64)
        charge = self._charge
        return np.flatnonzero(over[self.paths[charge.evse], charge.slot[:, None]].any(axis=1))


def _padded(nodes: list[Ints]) -> Ints:
    depth = max(map(len, nodes), default=0)
    rows = [[*path.tolist(), *[int(path[-1])] * (depth - len(path))] for path in nodes]
    return np.array(rows, dtype=np.int64).reshape(len(nodes), depth)


class Meter:
    """What the connection imports while powers are given out, and what it may import without a higher billed peak."""

    def __init__(self, site: Site, net_kw: Floats, peak_kw: Floats) -> None:
        self._net_kw = net_kw.copy()
        self._buy, self._sell, self._hours = site.buy_price, site.sell_price, site.grid.hours
        left_kwh = []  # by interval, those of all demand charges one after the other
        pieces: list[list[tuple[int, float]]] = [[] for _ in range(site.grid.slots)]  # interval and hours
        first = 0
        for intervals, billed_kw in zip(site.intervals, peak_kw.tolist(), strict=True):
            used_kwh = sum_by(
                intervals.interval, np.maximum(net_kw, 0.0)[intervals.slot] * intervals.hours, intervals.length_h.size
            )
            left_kwh.append(billed_kw * intervals.length_h - intervals.so_far_kwh - used_kwh)
            numbers, hours = (intervals.interval + first).tolist(), intervals.hours.tolist()
            for slot, piece in zip(intervals.slot.tolist(), zip(numbers, hours, strict=True), strict=True):
                pieces[slot].append(piece)
            first += intervals.length_h.size
        most = max(map(len, pieces), default=0)
        self._left_kwh = np.concatenate([*left_kwh, [inf]])  # the last one pads slots that have fewer pieces
        padded = [[*of_slot, *[(first, 1.0)] * (most - len(of_slot))] for of_slot in pieces]
        self._interval = np.array([[number for number, _ in row] for row in padded], dtype=np.int64)
        self._piece_h = np.array([[hours for _, hours in row] for row in padded], dtype=float)

    def add(self, slots: Ints, change_kw: Floats) -> None:
        """The mean power of some slots, each named once, changes."""
        before_kw = self._net_kw[slots]
        after_kw = before_kw + change_kw
        self._net_kw[slots] = after_kw
        imported_kw = np.maximum(after_kw, 0.0) - np.maximum(before_kw, 0.0)
        np.subtract.at(self._left_kwh, self._interval[slots], imported_kw[:, None] * self._piece_h[slots])

    def price(self, slots: Ints) -> Floats:
        """Money per kWh more: import, or export that is lost."""
        price: Floats = np.where(self._net_kw[slots] > -POWER_NOISE_KW, self._buy[slots], self._sell[slots])
        return price

    def money(self, slots: Ints) -> float:
        """What the energy of these slots costs, without peaks."""
        net_kw = self._net_kw[slots]
        price = np.where(net_kw > 0, self._buy[slots], self._sell[slots])
        return float(np.sum(net_kw * self._hours[slots] * price))

    def slack_kw(self, slots: Ints) -> Floats:
        """Mean power that each slot can have on top before a metering interval exceeds the billed peak."""
        left_kw = (self._left_kwh[self._interval[slots]] / self._piece_h[slots]).min(axis=1, initial=inf)
        slack_kw: Floats = left_kw + np.maximum(-self._net_kw[slots], 0.0)
        return slack_kw
