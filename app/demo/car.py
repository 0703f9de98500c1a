"""A simulated electric car: it knows its own battery and what the socket offers, and nothing of any plan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_CURRENT_A = 6.0  # IEC 61851-1: what a socket offers is 0 or at least this
TRICKLE = 0.1  # of the maximum current: what a full battery still takes in the end
FULL_WITHIN_KWH = 0.005  # the last watt-hours would take for ever

Currents = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Vehicle:
    """The model: phases it charges on, what it draws at most, and where its battery begins to slow it down."""

    name: str
    phases: int
    max_current_a: float
    capacity_kwh: float
    taper_from_soc: float = 0.96  # on AC: the few kW do not trouble a battery before it is all but full
    follows_after_s: int = 0  # how late it follows a lower offer; IEC 61851-1 allows 5 s

    def max_power_kw(self, voltage_v: float = 230.0) -> float:
        return self.phases * self.max_current_a * voltage_v / 1000


class Car:
    """One car with a battery to fill. `room_kwh` is what still fits in, at the socket's meter."""

    def __init__(self, vehicle: Vehicle, room_kwh: float) -> None:
        if not 0 <= room_kwh <= vehicle.capacity_kwh:
            raise ValueError(f"{room_kwh} kWh do not fit into a battery of {vehicle.capacity_kwh} kWh")
        self.vehicle = vehicle
        self.room_kwh = room_kwh
        self._slows_below_kwh = vehicle.capacity_kwh * (1 - vehicle.taper_from_soc)
        self._drawn_a = 0.0  # in the last second
        self._late_s = 0  # how long it has drawn more than it is offered

    @property
    def is_full(self) -> bool:
        return self.room_kwh <= FULL_WITHIN_KWH

    def accepts_a(self) -> float:
        """What the battery takes now, A per phase: all, then falling with the room that is left, then nothing."""
        if self.is_full:
            return 0.0
        share = min(1.0, self.room_kwh / self._slows_below_kwh) if self._slows_below_kwh > 0 else 1.0
        return self.vehicle.max_current_a * (TRICKLE + (1 - TRICKLE) * share)

    def draw(self, offered_a: float, seconds: int, voltage_v: float) -> Currents:
        """Charge for `seconds` at `offered_a` per phase; the current of each second, A per phase."""
        still_s = 0
        if offered_a < self._drawn_a:
            still_s = min(seconds, self.vehicle.follows_after_s - self._late_s)
            self._late_s += still_s
        else:
            self._late_s = 0
        parts = [self._follow(self._drawn_a, still_s, voltage_v)] if still_s > 0 else []
        if still_s < seconds:
            parts.append(self._follow(offered_a, seconds - still_s, voltage_v))
            self._late_s = 0
        drawn_a = np.concatenate(parts)
        self._drawn_a = float(drawn_a[-1])
        return drawn_a

    def _follow(self, offered_a: float, seconds: int, voltage_v: float) -> Currents:
        """As offered, and as the battery takes it."""
        drawn_a = np.zeros(seconds, np.float32)
        if offered_a < MIN_CURRENT_A:
            return drawn_a
        kwh_per_ampere = self.vehicle.phases * voltage_v / 1000 / 3600  # in one second
        second = self._draw_evenly(drawn_a, min(offered_a, self.vehicle.max_current_a), kwh_per_ampere)
        while second < seconds and not self.is_full:
            current_a = min(offered_a, self.accepts_a())
            drawn_a[second] = current_a
            self.room_kwh -= current_a * kwh_per_ampere
            second += 1
        return drawn_a

    def _draw_evenly(self, drawn_a: Currents, current_a: float, kwh_per_ampere: float) -> int:
        """The seconds before the battery slows the car down, at once; how many they are."""
        step_kwh = current_a * kwh_per_ampere
        seconds = min(
            len(drawn_a), max(0, int((self.room_kwh - max(self._slows_below_kwh, FULL_WITHIN_KWH)) / step_kwh))
        )
        drawn_a[:seconds] = current_a
        self.room_kwh -= seconds * step_kwh
        return seconds
