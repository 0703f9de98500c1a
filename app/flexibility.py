"""What a site could give the grid in the coming day: how far its charging could be raised or lowered without a car
missing anything that its plan gives it. Pure; conservative.

Power, slot by slot and for each slot alone: what is lowered there finds room later in the same stay, under every fuse;
what is raised there the car takes from its own later energy. Energy: how far the charging as soon as possible runs
ahead of the plan, and the charging as late as possible behind it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from optimizer.domain import Problem, Schedule
from optimizer.presence import Floats, Ints
from optimizer.program import Site

NOISE = 1e-6  # kW, kWh
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class FlexibleSlot:
    """One slot. `up_kw` and `down_kw` hold for this slot alone; energies are cumulated to its end, both >= 0."""

    start: datetime
    planned_kw: float
    up_kw: float
    down_kw: float
    up_kwh: float
    down_kwh: float


@dataclass(frozen=True, slots=True)
class Flexibility:
    """The coming day of a plan."""

    slot_minutes: int
    slots: tuple[FlexibleSlot, ...]

    @property
    def planned_kwh(self) -> float:
        return sum(slot.planned_kw for slot in self.slots) * self.slot_minutes / 60

    @property
    def up_kwh(self) -> float:
        """The most that could be drawn ahead of the plan at any moment of the day."""
        return max((slot.up_kwh for slot in self.slots), default=0.0)

    @property
    def down_kwh(self) -> float:
        """The most that could be held back behind it."""
        return max((slot.down_kwh for slot in self.slots), default=0.0)


def flexibility(problem: Problem, schedule: Schedule, now: datetime) -> Flexibility:
    """Of the slots that end after `now`, for 24 hours. `schedule` is the answer to `problem`."""
    stays = _Stays.of(problem, schedule)
    step = timedelta(minutes=problem.horizon.slot_minutes)
    up_kw, down_kw = stays.raised_kw(), stays.lowered_kw()
    planned_kwh = stays.by_slot(stays.planned_kw * stays.hours)
    soonest, latest = stays.by_slot(stays.shifted_kwh(late=False)), stays.by_slot(stays.shifted_kwh(late=True))
    planned, ahead, behind = (np.cumsum(energy) for energy in (planned_kwh, soonest, latest))
    slots = []
    for number in range(stays.slots):
        start = problem.horizon.start + (stays.first + number) * step
        if start + step <= now or start >= now + DAY:
            continue
        slots.append(
            FlexibleSlot(
                start=start,
                planned_kw=float(planned_kwh[number] / (step / timedelta(hours=1))),
                up_kw=float(up_kw[number]),
                down_kw=float(down_kw[number]),
                up_kwh=max(0.0, float(ahead[number] - planned[number])),
                down_kwh=max(0.0, float(planned[number] - behind[number])),
            )
        )
    return Flexibility(problem.horizon.slot_minutes, tuple(slots))


@dataclass(frozen=True, slots=True, eq=False)
class _Stays:
    """One entry for each slot of each stay, in order of session and time. `load` (limit, entry) is what 1 kW takes of
    a limit in kW or A; `room` (limit, slot) is what the limits have for charging."""

    first: int
    slots: int
    slot: Ints
    session: Ints
    hours: Floats
    planned_kw: Floats
    max_kw: Floats
    min_kw: Floats
    load: Floats
    room: Floats

    @classmethod
    def of(cls, problem: Problem, schedule: Schedule) -> "_Stays":
        site = Site.of(problem)
        charge, headroom, first = site.charge, site.headroom, site.grid.first
        ids = [evse.evse_id for evse in problem.evses]
        power_kw = np.array([schedule.power_kw.get(name, (0.0,) * problem.horizon.slots) for name in ids])
        in_order = np.lexsort((charge.slot[charge.column], charge.session))
        column = charge.column[in_order]
        per_kw = np.concatenate([charge.amps_per_kw.sum(axis=1)[None] * problem.connection.voltage_v / 1000,
                                 charge.amps_per_kw.T])  # fmt: skip
        below = headroom.holds_evse[:, charge.evse[column]]
        room = np.concatenate([headroom.draw_kw[:, None], headroom.draw_a], axis=1)
        for position, battery in enumerate(problem.batteries):  # what they are planned to draw is not there for cars
            planned = schedule.batteries.get(battery.battery_id)
            if battery.controllable and planned is not None:
                drawn_kw = np.maximum(0.0, np.array(planned.power_kw[first:]))
                above = headroom.holds_battery[:, position].astype(float)
                room[:, 0] -= above[:, None] * drawn_kw
                room[:, 1:] -= above[:, None, None] * drawn_kw / headroom.battery_kw_per_a
        evse, slot = charge.evse[column], charge.slot[column]
        return cls(
            first=first,
            slots=site.grid.slots,
            slot=slot,
            session=charge.session[in_order],
            hours=charge.overlap_h[in_order],
            planned_kw=np.maximum(0.0, power_kw[evse, first + slot]),
            max_kw=(charge.max_steps * charge.step_kw)[column],
            min_kw=(charge.min_steps * charge.step_kw)[column],
            load=(below[:, None] * per_kw[None, :, column]).reshape(room.shape[0] * room.shape[1], column.size),
            room=room.reshape(-1, site.grid.slots),
        )

    def by_slot(self, of_entry: Floats) -> Floats:
        return np.bincount(self.slot, of_entry, minlength=self.slots).astype(np.float64)

    def raised_kw(self) -> Floats:
        """In each slot: a car that gets more now takes it from its own later energy, and is done earlier."""
        energy_kwh = self.planned_kw * self.hours
        raised, left = np.zeros(self.slots), self._left()
        for number in range(self.slots):
            room = left[:, number]
            for entry in np.flatnonzero(self.slot == number):
                later = (self.session == self.session[entry]) & (self.slot > number)
                wanted_kw = min(self.max_kw[entry] - self.planned_kw[entry],
                                float(energy_kwh[later].sum()) / self.hours[entry])  # fmt: skip
                more_kw = min(wanted_kw, _fits_kw(self.load[:, entry], room))
                if more_kw > NOISE and self.planned_kw[entry] + more_kw >= self.min_kw[entry] - NOISE:
                    raised[number] += more_kw
                    room = room - self.load[:, entry] * more_kw
        return raised

    def lowered_kw(self) -> Floats:
        """In each slot: what a car does not get now has to find room in the rest of its stay."""
        lowered, unused = np.zeros(self.slots), self._left()
        for number in range(self.slots):
            left = unused.copy()
            for entry in np.flatnonzero((self.slot == number) & (self.planned_kw > NOISE)):
                later = np.flatnonzero((self.session == self.session[entry]) & (self.slot > number))
                put_off_kw = self._put_off(int(entry), later, left)
                rest_kw = self.planned_kw[entry] - put_off_kw
                if NOISE < rest_kw < self.min_kw[entry]:  # it may not go on with so little
                    put_off_kw = max(0.0, self.planned_kw[entry] - self.min_kw[entry])
                lowered[number] += put_off_kw
        return lowered

    def _put_off(self, entry: int, later: Ints, left: Floats) -> float:
        """How much of the entry's power the later ones take up; what they take is gone from `left`."""
        wanted_kwh = remaining_kwh = self.planned_kw[entry] * self.hours[entry]
        for other in later:
            if remaining_kwh <= NOISE:
                break
            spare_kw = self.max_kw[other] - self.planned_kw[other]
            more_kw = min(spare_kw, remaining_kwh / self.hours[other],
                          _fits_kw(self.load[:, other], left[:, self.slot[other]]))  # fmt: skip
            if more_kw > NOISE and self.planned_kw[other] + more_kw >= self.min_kw[other] - NOISE:
                left[:, self.slot[other]] -= self.load[:, other] * more_kw
                remaining_kwh -= more_kw * self.hours[other]
        return float((wanted_kwh - max(0.0, remaining_kwh)) / self.hours[entry])

    def shifted_kwh(self, *, late: bool) -> Floats:
        """The planned energy of every session as soon, or as late, as all limits allow; who leaves first, or came
        last, goes first. What finds no room so stays where the plan has it."""
        energy_kwh = self.planned_kw * self.hours
        left_kwh = np.bincount(self.session, energy_kwh) if energy_kwh.size else np.zeros(0)
        end_of = np.zeros(left_kwh.size)
        np.maximum.at(end_of, self.session, self.slot if not late else -self.slot)
        shifted, room = np.zeros_like(energy_kwh), self.room.copy()
        numbers = range(self.slots - 1, -1, -1) if late else range(self.slots)
        for number in numbers:
            entries = np.flatnonzero(self.slot == number)
            for entry in entries[np.argsort(end_of[self.session[entries]], kind="stable")]:
                session = self.session[entry]
                power_kw = min(self.max_kw[entry], left_kwh[session] / self.hours[entry],
                               _fits_kw(self.load[:, entry], room[:, number]))  # fmt: skip
                if power_kw > NOISE:
                    shifted[entry] = power_kw * self.hours[entry]
                    left_kwh[session] -= shifted[entry]
                    room[:, number] -= self.load[:, entry] * power_kw
        for session in np.flatnonzero(left_kwh > NOISE):
            own = self.session == session
            shifted[own] = energy_kwh[own]
        return shifted

    def _left(self) -> Floats:
        used = np.zeros_like(self.room)
        for number in range(self.slots):
            own = self.slot == number
            used[:, number] = self.load[:, own] @ self.planned_kw[own]
        left: Floats = self.room - used
        return left


def _fits_kw(load: Floats, room: Floats) -> float:
    """The most power that every limit it loads still has room for."""
    loaded = load > 0
    return max(0.0, float((room[loaded] / load[loaded]).min(initial=np.inf)))
