"""Powers in whole steps: rounded down, and what that takes from a session given back where every fuse has room."""

from collections.abc import Callable

import numpy as np

from optimizer.arrays import Flags, Floats, Ints
from optimizer.directions import net_vehicle_kw
from optimizer.fill import ENERGY_NOISE_KWH, Choices, fill
from optimizer.moments import Moments
from optimizer.program import Site, Variables
from optimizer.room import POWER_NOISE_KW, Meter, Room, mean_kw
from optimizer.vehicles import Levels

STEP_NOISE = 1e-3  # of a step: what a solver may miss a bound by. What that tips over a fuse is taken back
MONEY_NOISE = 1e-9
IMPROVED_AT_MOST = 50  # sessions a class: half a millisecond each
TAPERED_AT_MOST = 20  # sessions a class, for which slots make way: ten milliseconds each
SERVED_KWH = 1e-2  # less than this is worth a step where there is room, but neither a new peak nor a new plan

IsOver = Callable[[], bool]  # whether time is up


class Rounding:
    """Powers in whole steps: rounded down, and what was lost given back where it is cheapest."""

    def __init__(
        self,
        site: Site,
        v: Variables,
        x: Floats,
        target_kwh: Floats,
        floors_kwh: Floats,
        is_over: IsOver = lambda: False,
    ) -> None:
        """`target_kwh` is what each session shall get, `floors_kwh` what each milestone that is a floor shall.

        Once time `is_over` the sessions that are left stay as they are, inside every rule.
        """
        charge = site.charge
        self._is_over = is_over
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
        self._tapered = set(site.vehicles.session[site.vehicles.tapering].tolist()) - set(self._loss)
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
        self._raise_together(np.setdiff1d(short, self._levels.sessions), keep_peak=keep_peak)
        tapered_left = TAPERED_AT_MOST
        still = self._missing_kwh()[short[order]] > ENERGY_NOISE_KWH
        for session in short[order][still].tolist():
            if self._is_over():
                return
            self._raise(session, keep_peak=keep_peak)
            if self._site.needs.is_belief[session]:  # it is promised nothing: only what pays is worth a new plan
                continue
            if self._missing_of(session) > SERVED_KWH and session in self._tapered and tapered_left > 0:
                self._make_way(session, keep_peak=keep_peak)
                tapered_left -= 1
            for remedy, keep in ((self._refill, True), (self._spread, False), (self._refill, False)):
                if (keep_peak or not keep) and self._missing_of(session) > SERVED_KWH:
                    remedy(session, keep_peak=keep)

    def improve(self) -> Ints:
        """Sessions that draw their minimum somewhere may fit better elsewhere. Prices are exact without batteries."""
        charge = self._charge
        lowest = (self._steps > 0) & (self._steps == charge.min_steps)
        sessions = np.unique(charge.session[lowest[charge.column]])
        for number in range(self._site.needs.classes):
            members = sessions[self._site.needs.service_class[sessions] == number]
            for session in members[:IMPROVED_AT_MOST].tolist():
                if self._is_over():
                    return self._steps
                self._refill(session, keep_peak=True)
        return self._steps

    def _missing_kwh(self) -> Floats:
        return self._target_kwh - self._site.delivered_kwh(self._steps * self._charge.step_kw)

    def _missing_of(self, session: int) -> float:
        pairs = self._pairs[session]
        column = self._charge.column[pairs]
        got_kwh = self._steps[column] * self._charge.step_kw[column] * self._charge.overlap_h[pairs]
        if session in self._loss:
            got_kwh = np.where(got_kwh < 0, got_kwh * self._loss[session], got_kwh)
        return float(self._target_kwh[session] - np.sum(got_kwh))

    def _set(self, columns: Ints, steps: Ints) -> None:
        """New steps for some of one EVSE's columns."""
        if not columns.size:
            return
        change_kw = (steps - self._steps[columns]) * self._charge.step_kw[columns]
        self._steps[columns] = steps
        self._room.take(columns, change_kw)
        self._meter.add(self._charge.slot[columns], change_kw * self._charge.present[columns])

    def _lower_what_overloads(self, members: Flags) -> None:
        """Where classes before took the room, or the solver's noise tipped a rounding over a fuse, take steps back."""
        while True:
            columns = self._room.overloaded()
            columns = columns[members[columns] & (self._steps[columns] > 0)]
            if not columns.size:
                return
            column = columns[[np.argmax(self._steps[columns])]]
            fewer = self._steps[column] - 1
            self._set(column, np.where(fewer >= self._charge.min_steps[column], fewer, 0))

    def _free_steps(self, columns: Ints, *, keep_peak: bool) -> Ints:
        """Steps that each column can have on top: by every fuse, its own maximum, and the billed peak."""
        charge = self._charge
        free_kw = self._room.room_kw(columns)
        if keep_peak:
            free_kw = np.minimum(free_kw, self._meter.slack_kw(charge.slot[columns]) / charge.present[columns])
        most = charge.max_steps[columns] - self._steps[columns]
        free = np.floor(np.minimum(free_kw / charge.step_kw[columns], most) + STEP_NOISE)
        return self._levels.free_steps(columns, self._steps, np.clip(free, 0, np.maximum(most, 0)).astype(np.int64))

    def _by_price(self, session: int) -> tuple[Ints, Floats]:
        """The session's own columns with its hours there, cheapest first; a shared column is left alone."""
        pairs = self._pairs[session]
        own = pairs[~self._shared[self._charge.column[pairs]]]
        columns = self._charge.column[own]
        order = np.lexsort((columns, self._meter.price(self._charge.slot[columns])))
        return columns[order], self._charge.overlap_h[own[order]]

    def _raise_floors(self, session: int, *, keep_peak: bool) -> None:
        """Give back what rounding took from a floor, before its moment, and take it from the rest of the stay.

        In a slot that the floor's moment cuts a step counts little for the floor and in full for the need: what
        would be more than is needed is not given.
        """
        for missing_kwh, hours_of in self._moments.floors_missing(session, self._steps):
            columns, stay_h = self._by_price(session)
            before, counts = self._steps[columns], np.isin(columns, list(hours_of))
            hours = np.array([hours_of[column] for column in columns[counts].tolist()])
            self._add(columns[counts], hours, missing_kwh, keep_peak=keep_peak)
            least = np.where(counts, before, 0)
            for some in (~counts, counts):
                if session not in self._loss or some is counts:  # what it gives later it must have taken
                    self._take_back(session, columns[some], stay_h[some], least[some])

    def _take_back(self, session: int, columns: Ints, hours: Floats, least: Ints) -> None:
        """Whole steps that the session has beyond its target, from the last column on, none below `least`."""
        step_kwh = self._charge.step_kw[columns] * hours
        for place in reversed(range(columns.size)):
            column, kwh = columns[place : place + 1], float(step_kwh[place])
            surplus = int(np.floor(-self._missing_of(session) / kwh + STEP_NOISE))
            if surplus < 1:
                continue
            fewer = np.maximum(self._steps[column] - surplus, least[place])
            too_few = (fewer > 0) & (fewer < self._charge.min_steps[column])
            self._set(column, np.where(too_few, np.minimum(self._charge.min_steps[column], self._steps[column]), fewer))

    def _raise_together(self, sessions: Ints, *, keep_peak: bool) -> None:
        """Each session at once gets what it misses in the cheapest slot that is on and can hold all of it.

        Where those of several sessions do not fit together, they are left to be raised one by one.
        """
        charge = self._charge
        members = np.zeros(self._site.sessions, dtype=np.bool_)
        members[sessions] = True
        could = (self._steps > 0) & (self._steps < charge.max_steps) & ~self._shared
        pairs = np.flatnonzero(members[charge.session] & could[charge.column])
        columns, session = charge.column[pairs], charge.session[pairs]
        step_kwh = charge.step_kw[columns] * charge.overlap_h[pairs]
        missing_kwh = self._missing_kwh()[session]  # after what floors got
        wanted = np.ceil((missing_kwh - ENERGY_NOISE_KWH) / step_kwh).astype(np.int64)
        holds = (wanted > 0) & (self._free_steps(columns, keep_peak=keep_peak) >= wanted)
        order = np.lexsort((columns, self._meter.price(charge.slot[columns]), session))
        order = order[holds[order]]
        _, first = np.unique(session[order], return_index=True)
        more = np.zeros_like(self._steps)
        more[columns[order[first]]] = wanted[order[first]]
        power_kw = more * charge.step_kw
        self._take(power_kw)
        crowded = np.zeros(charge.columns, dtype=np.bool_)
        crowded[self._room.overloaded()] = True
        if keep_peak:
            crowded |= (self._meter.slack_kw(np.arange(self._site.grid.slots)) < -POWER_NOISE_KW)[charge.slot]
        self._take(-np.where(crowded, power_kw, 0.0))
        self._steps = self._steps + np.where(crowded, 0, more)

    def _take(self, power_kw: Floats) -> None:
        """Power of any columns, from the fuses and from the meter."""
        self._room.take_all(self._site, power_kw)
        self._meter.add(np.arange(self._site.grid.slots), mean_kw(self._site, power_kw))

    def _raise(self, session: int, *, keep_peak: bool) -> None:
        """Give back what rounding took, in steps on top of powers that are on."""
        self._add(*self._by_price(session), self._missing_of(session), keep_peak=keep_peak)

    def _make_way(self, session: int, *, keep_peak: bool) -> None:
        """What a nearly full vehicle takes in one slot limits the others: a slot may start, another one give way.

        The latest slot first loses a step, or starts anew; what brings the vehicle nearer to its need is kept.
        """
        columns, hours = self._by_price(session)
        self._add(columns, hours, self._missing_of(session), keep_peak=keep_peak, start=True)
        for column in columns[np.argsort(-self._charge.slot[columns])]:
            missing_kwh, before = self._missing_of(session), self._steps[columns]
            if missing_kwh <= SERVED_KWH:
                return
            place = np.array([column])
            fewer = self._steps[place] - 1
            if fewer[0] < 0:
                continue
            self._set(place, np.where(fewer >= self._charge.min_steps[place], fewer, 0))
            others = columns != column
            for some in (others, ~others):
                self._add(columns[some], hours[some], self._missing_of(session), keep_peak=keep_peak, start=True)
            if self._missing_of(session) >= missing_kwh - ENERGY_NOISE_KWH:
                self._set(columns, before)

    def _add(self, columns: Ints, hours: Floats, missing_kwh: float, *, keep_peak: bool, start: bool = False) -> None:
        """Steps on top, in the order of the columns; with `start` also where nothing is drawn yet."""
        if not start:
            on = self._steps[columns] > 0
            columns, hours = columns[on], hours[on]
        free = self._free_steps(columns, keep_peak=keep_peak) > 0
        columns, hours = columns[free], hours[free]
        step_kwh = self._charge.step_kw[columns] * hours
        for place, kwh in enumerate(step_kwh.tolist()):
            if missing_kwh <= ENERGY_NOISE_KWH:
                return
            column = columns[place : place + 1]
            wanted = int(np.ceil((missing_kwh - ENERGY_NOISE_KWH) / kwh))
            more = np.minimum(wanted, self._free_steps(column, keep_peak=keep_peak))  # the ones before took room
            if self._steps[column[0]] + more[0] < self._charge.min_steps[column[0]]:
                continue
            self._set(column, self._steps[column] + more)
            missing_kwh -= int(more[0]) * kwh

    def _spread(self, session: int, *, keep_peak: bool) -> None:
        """Give back what is missing step by step, each where the billed peak is exceeded least."""
        columns, _ = self._by_price(session)
        columns = columns[self._steps[columns] > 0]
        while self._missing_of(session) > SERVED_KWH:
            free = columns[self._free_steps(columns, keep_peak=keep_peak) > 0]
            if not free.size:
                return
            column = free[[np.argmax(self._meter.slack_kw(self._charge.slot[free]))]]
            self._set(column, self._steps[column] + 1)

    def _refill(self, session: int, *, keep_peak: bool) -> None:
        """Plan one session anew in the room that the others leave, if that serves it better, or as well for less."""
        if session in self._loss:  # what it gives at one time it takes at another: one slot cannot move alone
            return
        columns, hours = self._by_price(session)
        if not columns.size:
            return
        before, slots = self._steps[columns], self._charge.slot[columns]
        money_before = self._money(session, slots)
        self._set(columns, np.zeros_like(before))
        need_kwh = self._missing_of(session)
        choices = Choices(
            price=self._meter.price(slots),
            step_kwh=self._charge.step_kw[columns] * hours,
            least=np.maximum(self._charge.min_steps[columns], 1),
            most=self._free_steps(columns, keep_peak=keep_peak),
        )
        self._set_what_fits(columns, fill(need_kwh, choices), keep_peak=keep_peak)
        now_missing, was_missing = (choices.missing_kwh(one, need_kwh) for one in (self._steps[columns], before))
        if self._site.needs.is_belief[session]:  # what it misses is in the money
            now_missing = was_missing
        if (now_missing, self._money(session, slots) + MONEY_NOISE) >= (was_missing, money_before):
            self._set(columns, before)

    def _set_what_fits(self, columns: Ints, steps: Ints, *, keep_peak: bool) -> None:
        """Steps for columns that have none: each has room alone, but slots of one metering interval share its slack."""
        on = steps > 0
        columns, steps = columns[on], steps[on]
        self._set(columns, steps)
        alone = not self._levels.follows(columns)
        if alone and not (keep_peak and (self._meter.slack_kw(self._charge.slot[columns]) < -POWER_NOISE_KW).any()):
            return
        self._set(columns, np.zeros_like(steps))
        for place in range(columns.size):
            column = columns[place : place + 1]
            fewer = np.minimum(steps[place : place + 1], self._free_steps(column, keep_peak=keep_peak))
            self._set(column, np.where(fewer >= self._charge.min_steps[column], fewer, 0))

    def _money(self, session: int, slots: Ints) -> float:
        """What the energy of these slots costs, and what the session's milestones miss."""
        return self._meter.money(slots) + self._moments.money(session, self._steps)
