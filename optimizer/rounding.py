"""Powers in whole steps: rounded down, and what that takes from a session given back where every fuse has room."""

import numpy as np

from optimizer.arrays import Flags, Floats, Ints
from optimizer.directions import net_vehicle_kw
from optimizer.fill import ENERGY_NOISE_KWH, Choices, fill
from optimizer.moments import Moments
from optimizer.program import Site, Variables
from optimizer.room import Meter, Room, mean_kw
from optimizer.vehicles import Levels

STEP_NOISE = 1e-3  # of a step: what a solver may miss a bound by. What that tips over a fuse is taken back
MONEY_NOISE = 1e-9
IMPROVED_AT_MOST = 50  # sessions a class: a millisecond each
SERVED_KWH = 1e-2  # less than this is worth a step where there is room, but neither a new peak nor a new plan


class Rounding:
    """Powers in whole steps: rounded down, and what was lost given back where it is cheapest."""

    def __init__(self, site: Site, v: Variables, x: Floats, target_kwh: Floats, floors_kwh: Floats) -> None:
        """`target_kwh` is what each session shall get, `floors_kwh` what each milestone that is a floor shall."""
        charge = site.charge
        self._site, self._charge, self._target_kwh = site, charge, target_kwh
        planned_kw = net_vehicle_kw(site, v, x)
        steps = np.floor(np.abs(planned_kw) / charge.step_kw + STEP_NOISE).astype(np.int64)
        steps = np.where(planned_kw > 0, np.minimum(steps, charge.max_steps), steps)
        steps = np.where(steps < charge.min_steps, 0, np.where(planned_kw < 0, -steps, steps))
        self._levels = Levels(site.vehicles, charge)
        self._steps = self._levels.keep_within(steps, site.needs.required_kwh)
        self._room = Room(site)
        self._room.take_batteries(site, x[v.store])
        change_kw = mean_kw(site, self._steps * charge.step_kw - planned_kw)
        self._meter = Meter(site, x[v.imported] - x[v.exported] + change_kw, x[v.peak])
        order = np.argsort(charge.session, kind="stable")
        first = np.searchsorted(charge.session[order], np.arange(site.sessions + 1))
        self._pairs = [order[first[session] : first[session + 1]] for session in range(site.sessions)]
        giving = site.vehicles.giving
        self._loss = dict(zip(site.vehicles.session[giving].tolist(), site.vehicles.loss[giving].tolist(), strict=True))
        self._moments = Moments(site, floors_kwh)
        self._shared = np.bincount(charge.column, minlength=charge.columns) > 1
        self._class = np.full(charge.columns, site.needs.classes)
        np.minimum.at(self._class, charge.column, site.needs.service_class[charge.session])

    def steps(self, *, keep_peak: bool) -> Ints:
        """The steps of every column: inside every rule, and with as little unmet as can be reached from here.

        With `keep_peak` a step that raises a billed peak is the last resort. Class after class: what rounding takes
        from those who are served first is given back before anybody later has a place.
        """
        for number in range(self._site.needs.classes):
            self._serve(number, keep_peak=keep_peak)
        return self._steps

    def _serve(self, number: int, *, keep_peak: bool) -> None:
        members = self._class == number
        self._room.take_all(self._site, np.maximum(self._steps, 0) * self._charge.step_kw * members)
        self._lower_what_overloads(members)
        missing_kwh = self._missing_kwh()
        short = np.flatnonzero((missing_kwh > ENERGY_NOISE_KWH) & (self._site.needs.service_class == number))
        order = np.lexsort((short, -missing_kwh[short]))
        for session in self._moments.with_floor(self._site.needs.service_class, number):
            self._raise_floors(session, keep_peak=keep_peak)
        for session in short[order].tolist():
            self._raise(session, keep_peak=keep_peak)
            if self._site.needs.is_belief[session]:  # it is promised nothing: only what pays is worth a new plan
                continue
            for remedy, keep in ((self._refill, True), (self._spread, False), (self._refill, False)):
                if self._missing_of(session) > SERVED_KWH and (keep_peak or not keep):
                    remedy(session, keep_peak=keep)
        if keep_peak:
            self._improve(number)

    def _improve(self, number: int) -> None:
        """Sessions that draw their minimum somewhere may fit better elsewhere. Prices are exact without batteries."""
        lowest = (self._steps > 0) & (self._steps == self._charge.min_steps)
        sessions = np.unique(self._charge.session[lowest[self._charge.column]])
        sessions = sessions[self._site.needs.service_class[sessions] == number]
        for session in sessions[:IMPROVED_AT_MOST].tolist():
            self._refill(session, keep_peak=True)

    def _missing_kwh(self) -> Floats:
        return self._target_kwh - self._site.delivered_kwh(self._steps * self._charge.step_kw)

    def _missing_of(self, session: int) -> float:
        pairs = self._pairs[session]
        column = self._charge.column[pairs]
        got_kwh = self._steps[column] * self._charge.step_kw[column] * self._charge.overlap_h[pairs]
        if session in self._loss:
            got_kwh = np.where(got_kwh < 0, got_kwh * self._loss[session], got_kwh)
        return float(self._target_kwh[session] - np.sum(got_kwh))

    def _set(self, column: int, steps: int) -> None:
        if steps == self._steps[column]:
            return
        change_kw = (steps - self._steps[column]) * self._charge.step_kw[column]
        self._steps[column] = steps
        self._room.take(column, change_kw)
        self._meter.add(int(self._charge.slot[column]), float(change_kw * self._charge.present[column]))

    def _lower_what_overloads(self, members: Flags) -> None:
        """Where classes before took the room, or the solver's noise tipped a rounding over a fuse, take steps back."""
        while True:
            columns = self._room.overloaded(self._site)
            columns = columns[members[columns] & (self._steps[columns] > 0)]
            if not columns.size:
                return
            column = int(columns[np.argmax(self._steps[columns])])
            fewer = self._steps[column] - 1
            self._set(column, int(fewer if fewer >= self._charge.min_steps[column] else 0))

    def _free_steps(self, column: int, *, keep_peak: bool) -> int:
        """Steps that the column can have on top: by every fuse, by its own maximum, and by the billed peak."""
        charge = self._charge
        free_kw = self._room.room_kw(column)
        if keep_peak:
            free_kw = min(free_kw, self._meter.slack_kw(int(charge.slot[column])) / charge.present[column])
        most = int(charge.max_steps[column] - self._steps[column])
        free = max(0, min(most, int(np.floor(min(free_kw / charge.step_kw[column], most) + STEP_NOISE))))
        return self._levels.free_steps(column, self._steps, free)

    def _by_price(self, session: int) -> list[tuple[int, float]]:
        """The session's own columns with its hours there, cheapest first; a shared column is left alone."""
        pairs = self._pairs[session]
        own = pairs[~self._shared[self._charge.column[pairs]]]
        columns, hours = self._charge.column[own].tolist(), self._charge.overlap_h[own].tolist()
        price = [self._meter.price(slot) for slot in self._charge.slot[columns].tolist()]
        order = np.lexsort((columns, price))
        return [(columns[place], hours[place]) for place in order.tolist()]

    def _raise_floors(self, session: int, *, keep_peak: bool) -> None:
        """Give back what rounding took from a floor, before its moment."""
        for missing_kwh, hours_of in self._moments.floors_missing(session, self._steps):
            choices = [(column, hours_of[column]) for column, _ in self._by_price(session) if column in hours_of]
            self._add(choices, missing_kwh, keep_peak=keep_peak)

    def _raise(self, session: int, *, keep_peak: bool) -> None:
        """Give back what rounding took, in steps on top of powers that are on."""
        self._add(self._by_price(session), self._missing_of(session), keep_peak=keep_peak)

    def _add(self, choices: list[tuple[int, float]], missing_kwh: float, *, keep_peak: bool) -> None:
        for column, hours in choices:
            if missing_kwh <= ENERGY_NOISE_KWH:
                return
            if self._steps[column] <= 0:
                continue
            step_kw = self._charge.step_kw[column]
            wanted = int(np.ceil((missing_kwh - ENERGY_NOISE_KWH) / (step_kw * hours)))
            more = min(wanted, self._free_steps(column, keep_peak=keep_peak))
            self._set(column, int(self._steps[column]) + more)
            missing_kwh -= more * step_kw * hours

    def _spread(self, session: int, *, keep_peak: bool) -> None:
        """Give back what is missing step by step, each where the billed peak is exceeded least."""
        columns = [(column, hours) for column, hours in self._by_price(session) if self._steps[column] > 0]
        while self._missing_of(session) > SERVED_KWH:
            free = [(column, hours) for column, hours in columns if self._free_steps(column, keep_peak=keep_peak) > 0]
            if not free:
                return
            column, _ = max(free, key=lambda one: self._meter.slack_kw(int(self._charge.slot[one[0]])))
            self._set(column, int(self._steps[column]) + 1)

    def _refill(self, session: int, *, keep_peak: bool) -> None:
        """Plan one session anew in the room that the others leave, if that serves it better, or as well for less."""
        if session in self._loss:  # what it gives at one time it takes at another: one slot cannot move alone
            return
        columns = [column for column, _ in self._by_price(session)]
        hours = np.array([hours for _, hours in self._by_price(session)])
        before, slots = self._steps[columns], self._charge.slot[columns].tolist()
        money_before = self._money(session, slots)
        for column in columns:
            self._set(column, 0)
        need_kwh = self._missing_of(session)
        choices = Choices(
            price=np.array([self._meter.price(slot) for slot in slots]),
            step_kwh=self._charge.step_kw[columns] * hours,
            least=np.maximum(self._charge.min_steps[columns], 1),
            most=np.array([self._free_steps(column, keep_peak=keep_peak) for column in columns], dtype=np.int64),
        )
        for column, steps in zip(columns, fill(need_kwh, choices).tolist(), strict=True):
            # Slots of one metering interval share its slack: look again.
            fewer = min(steps, self._free_steps(column, keep_peak=keep_peak)) if steps else 0
            self._set(column, fewer if fewer >= self._charge.min_steps[column] else 0)
        now_missing, was_missing = (choices.missing_kwh(one, need_kwh) for one in (self._steps[columns], before))
        if self._site.needs.is_belief[session]:  # what it misses is in the money
            now_missing = was_missing
        if (now_missing, self._money(session, slots) + MONEY_NOISE) >= (was_missing, money_before):
            for column, steps in zip(columns, before.tolist(), strict=True):
                self._set(column, steps)

    def _money(self, session: int, slots: list[int]) -> float:
        """What the energy of these slots costs, and what the session's milestones miss."""
        return self._meter.money(slots) + self._moments.money(session, self._steps)
