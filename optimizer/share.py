"""Dividing what a slot can carry: the common current rises until a circuit, a phase or a vehicle stops it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from optimizer.presence import Flags, Floats, Ints
from optimizer.program import Site

HALVINGS = 50  # of the common current: 1000 A / 2⁵⁰ is far below every step
ROOM = 1e-9  # kW or A: rounding of sums
STEP_NOISE = 1e-6  # of a step


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One slot of a site: its charge columns, the stays they serve, and the limits they share.

    `number` counts from `Grid.first`. One entry a column: `column` (its number in `Charge`), steps and `kw_per_a`.
    One entry a stay: `session`, `at` (the index of its column here), `hours`. One entry a limit, in kW or A: `room`;
    `load` (limit, column) is what 1 kW takes of it.
    """

    number: int
    column: Ints
    step_kw: Floats
    kw_per_a: Floats
    min_steps: Ints
    max_steps: Ints
    session: Ints
    at: Ints
    hours: Floats
    room: Floats
    load: Floats

    def wanted_kw(self, left_kwh: Floats) -> Floats:
        """The power of each column that just fills the vehicle with the smallest need among those it serves."""
        wanted_kw = self.max_steps * self.step_kw
        np.minimum.at(wanted_kw, self.at, np.maximum(left_kwh[self.session], 0.0) / self.hours)
        return wanted_kw

    def delivered_kwh(self, power_kw: Floats, sessions: int) -> Floats:
        """Energy of each session."""
        energy_kwh = np.zeros(sessions)
        np.add.at(energy_kwh, self.session, power_kw[self.at] * self.hours)
        return energy_kwh

    def least(self, of_stay: Floats) -> Floats:
        """The smallest value among the stays that each column serves."""
        smallest = np.full(self.column.size, np.inf)
        np.minimum.at(smallest, self.at, of_stay)
        return smallest

    def fits(self, power_kw: Floats) -> bool:
        return bool(np.all(self.load @ power_kw <= self.room + ROOM))

    def equal_steps(self, wanted_steps: Ints, turn: Ints) -> Ints:
        """Steps of each column, at most `wanted_steps`, 0 or at least the minimum, within every limit.

        `turn` orders the columns for the case that not even the minimum fits for all who want something.
        """
        wanted_kw = wanted_steps * self.step_kw
        if self.fits(wanted_kw):
            return wanted_steps
        admitted = self._admitted(wanted_steps > 0, turn)
        least_kw = np.where(admitted, self.min_steps * self.step_kw, 0.0)
        power_kw = self._filled(least_kw, np.where(admitted, wanted_kw, 0.0))
        steps = np.floor(power_kw / self.step_kw + STEP_NOISE).astype(np.int64)
        return np.where(steps >= self.min_steps, steps, 0)

    def steps_in_turn(self, wanted_steps: Ints, turn: Ints) -> Ints:
        """One column after the other, in the order of `turn`, takes all that it wants and the limits still have.

        At most `wanted_steps`, 0 or at least the minimum: what is too little for one goes to those behind it.
        """
        steps = np.zeros_like(wanted_steps)
        room = self.room + ROOM
        for column in turn[wanted_steps[turn] > 0]:
            one_step = self.load[:, column] * self.step_kw[column]
            loaded = one_step > 0
            fitting = np.floor((room[loaded] / one_step[loaded]).min(initial=np.inf) + STEP_NOISE)
            count = int(min(fitting, wanted_steps[column]))
            if count >= max(self.min_steps[column], 1):
                steps[column] = count
                room = room - one_step * count
        return steps

    def _admitted(self, hungry: Flags, turn: Ints) -> Flags:
        """Who gets the minimum current: all if it fits, else one after the other as long as it does."""
        least_kw = self.min_steps * self.step_kw
        if self.fits(np.where(hungry, least_kw, 0.0)):
            return hungry
        admitted = np.zeros_like(hungry)
        room = self.room + ROOM
        for column in turn[hungry[turn]]:
            taken = self.load[:, column] * least_kw[column]
            if np.all(taken <= room):
                admitted[column] = True
                room = room - taken
        return admitted

    def _filled(self, least_kw: Floats, most_kw: Floats) -> Floats:
        """Raise one current for all from `least_kw`; whoever shares a limit that is reached stops, the others go on."""
        power_kw, rising = least_kw, most_kw > least_kw
        while rising.any():
            low, high = 0.0, float((most_kw / self.kw_per_a).max())
            if self.fits(self._at_level(high, rising, power_kw, most_kw)):
                return self._at_level(high, rising, power_kw, most_kw)
            for _ in range(HALVINGS):
                level = (low + high) / 2
                if self.fits(self._at_level(level, rising, power_kw, most_kw)):
                    low = level
                else:
                    high = level
            too_much = self._at_level(high, rising, power_kw, most_kw)
            reached = self.load @ too_much > self.room + ROOM
            power_kw = self._at_level(low, rising, power_kw, most_kw)
            stopped = (self.load[reached] > 0).any(axis=0) | (power_kw >= most_kw)
            rising = rising & ~stopped
        return power_kw

    def _at_level(self, current_a: float, rising: Flags, power_kw: Floats, most_kw: Floats) -> Floats:
        return np.where(rising, np.clip(current_a * self.kw_per_a, power_kw, most_kw), power_kw)


def slots_of(site: Site) -> Iterator[Slot]:
    """Every slot in which something can charge, in the order of time."""
    charge, headroom = site.charge, site.headroom
    safe_kw = charge.amps_per_kw.sum(axis=1) * site.problem.connection.voltage_v / 1000
    weights = np.concatenate([safe_kw[None, :], charge.amps_per_kw.T])  # kW, then A on L1, L2, L3
    stay_slot = charge.slot[charge.column]
    for number in range(site.grid.slots):
        column = np.flatnonzero(charge.slot == number)
        if not column.size:
            continue
        stay = np.flatnonzero(stay_slot == number)
        below = headroom.holds_evse[:, charge.evse[column]]
        load = (below[:, None, :] * weights[None, :, column]).reshape(-1, column.size)
        room = np.concatenate([headroom.draw_kw[:, None, number], headroom.draw_a[:, :, number]], axis=1).ravel()
        binding = np.isfinite(room) & load.any(axis=1)
        yield Slot(
            number=number,
            column=column,
            step_kw=charge.step_kw[column],
            kw_per_a=charge.kw_per_a[column],
            min_steps=charge.min_steps[column],
            max_steps=charge.max_steps[column],
            session=charge.session[stay],
            at=np.searchsorted(column, charge.column[stay]),
            hours=charge.overlap_h[stay],
            room=room[binding],
            load=load[binding],
        )
