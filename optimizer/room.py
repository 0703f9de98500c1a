"""What is left while powers are given out one by one: of every fuse (`Room`), and of the billed peak (`Meter`)."""

from math import inf

import numpy as np

from optimizer.arrays import Floats, Ints, sum_by
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
        self._safe_kw = site.charge.amps_per_kw.sum(axis=1) * site.problem.connection.voltage_v / 1000

    def take_batteries(self, site: Site, store_kw: Floats) -> None:
        """Batteries keep what they were planned to draw; `store_kw` (battery, slot)."""
        for index, power_kw in enumerate(store_kw):
            nodes = np.flatnonzero(site.holds_battery[:, index])
            self._left_kw[nodes] -= power_kw
            self._left_a[nodes] -= power_kw / site.headroom.battery_kw_per_a

    def take_all(self, site: Site, power_kw: Floats) -> None:
        """Every charge column at once."""
        charge, slots = site.charge, site.grid.slots
        for node, holds in enumerate(site.headroom.holds_evse):
            member = holds[charge.evse]
            self._left_kw[node] -= sum_by(charge.slot[member], (power_kw * self._safe_kw)[member], slots)
            for phase in range(self._left_a.shape[1]):
                amps = (power_kw * charge.amps_per_kw[:, phase])[member]
                self._left_a[node, phase] -= sum_by(charge.slot[member], amps, slots)

    def room_kw(self, column: int) -> float:
        """The power that the column can have on top, by every fuse above its EVSE."""
        nodes, slot = self._nodes[self._charge.evse[column]], self._charge.slot[column]
        amps = self._charge.amps_per_kw[column]
        if not amps.any():  # an unverified limit is counted in its place
            return inf
        by_current = (self._left_a[nodes, :, slot][:, amps > 0] / amps[amps > 0]).min()
        return float(min(by_current, (self._left_kw[nodes, slot] / self._safe_kw[column]).min()))

    def fits(self, column: int, power_kw: float) -> bool:
        return self.room_kw(column) >= power_kw - POWER_NOISE_KW

    def take(self, column: int, power_kw: float) -> None:
        nodes, slot = self._nodes[self._charge.evse[column]], self._charge.slot[column]
        self._left_a[nodes, :, slot] -= power_kw * self._charge.amps_per_kw[column]
        self._left_kw[nodes, slot] -= power_kw * self._safe_kw[column]

    def overloaded(self, site: Site) -> Ints:
        """Columns that draw through a fuse which carries too much."""
        slots = np.zeros((len(self._nodes), site.grid.slots), dtype=np.bool_)
        node_over = (self._left_kw < -POWER_NOISE_KW) | (self._left_a < -POWER_NOISE_KW).any(axis=1)
        for evse, nodes in enumerate(self._nodes):
            slots[evse] = node_over[nodes].any(axis=0)
        return np.flatnonzero(slots[self._charge.evse, self._charge.slot])


class Meter:
    """What the connection imports while powers are given out, and what it may import without a higher billed peak."""

    def __init__(self, site: Site, net_kw: Floats, peak_kw: Floats) -> None:
        self._net_kw: list[float] = net_kw.tolist()
        self._buy: list[float] = site.buy_price.tolist()
        self._sell: list[float] = site.sell_price.tolist()
        self._hours: list[float] = site.grid.hours.tolist()
        self._left_kwh: list[float] = []  # by interval, those of all demand charges one after the other
        self._pieces: list[list[tuple[int, float]]] = [[] for _ in range(site.grid.slots)]  # interval and hours
        for intervals, billed_kw in zip(site.intervals, peak_kw.tolist(), strict=True):
            used_kwh = sum_by(
                intervals.interval, np.maximum(net_kw, 0.0)[intervals.slot] * intervals.hours, intervals.length_h.size
            )
            first = len(self._left_kwh)
            self._left_kwh += (billed_kw * intervals.length_h - intervals.so_far_kwh - used_kwh).tolist()
            pieces = zip(intervals.slot.tolist(), intervals.interval.tolist(), intervals.hours.tolist(), strict=True)
            for slot, interval, hours in pieces:
                self._pieces[slot].append((first + interval, hours))

    def add(self, slot: int, change_kw: float) -> None:
        """The mean power of a slot changes."""
        before_kw = self._net_kw[slot]
        self._net_kw[slot] = before_kw + change_kw
        imported_kw = max(before_kw + change_kw, 0.0) - max(before_kw, 0.0)
        for interval, hours in self._pieces[slot]:
            self._left_kwh[interval] -= imported_kw * hours

    def price(self, slot: int) -> float:
        """Money per kWh more: import, or export that is lost."""
        return self._buy[slot] if self._net_kw[slot] > -POWER_NOISE_KW else self._sell[slot]

    def money(self, slots: list[int]) -> float:
        """What the energy of these slots costs, without peaks."""
        return sum(
            self._net_kw[slot] * self._hours[slot] * (self._buy[slot] if self._net_kw[slot] > 0 else self._sell[slot])
            for slot in slots
        )

    def slack_kw(self, slot: int) -> float:
        """Mean power that the slot can have on top before a metering interval exceeds the billed peak."""
        slack_kw = min((self._left_kwh[interval] / hours for interval, hours in self._pieces[slot]), default=inf)
        return slack_kw + max(-self._net_kw[slot], 0.0)
