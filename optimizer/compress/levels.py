"""One number of steps for each segment: 0 or at least the minimum, inside every rule in every one of its slots.

The same two moves as `optimizer.repair`, by segment in place of slot: powers below the minimum are decided and the
program is solved again around the decision, then powers go down to whole steps, and what that takes from a session is
given back where every slot of a segment has room.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.compress.segments import Segments
from optimizer.directions import net_vehicle_kw
from optimizer.errors import SolverError
from optimizer.fill import ENERGY_NOISE_KWH
from optimizer.objectives import money, unmet_price
from optimizer.program import Program, Site, Variables
from optimizer.room import Meter, Room, mean_kw
from optimizer.vehicles import Levels

ROUNDS = 4  # of deciding minima and solving again
STEP_NOISE = 1e-3  # of a step: what a solver may miss a bound by
SLACK_KWH = 1e-6  # the solver's own noise
WORTH_KWH = 0.5  # less than this, the grain of a level, is not worth a new billed peak

Run = Callable[[Program], Floats]


@dataclass(frozen=True)
class Frame:
    """What the moves work on: a site with its columns, cut into segments."""

    site: Site
    v: Variables
    segments: Segments

    @cached_property
    def members(self) -> list[Ints]:
        return self.segments.members()

    @cached_property
    def least(self) -> Ints:
        """Steps of each segment's minimum."""
        return self.segments.highest(self.site.charge.min_steps)

    @cached_property
    def most(self) -> Ints:
        """Steps that every slot of a segment takes; 0 where that is less than the minimum."""
        most = self.segments.lowest(self.site.charge.max_steps)
        return np.where(self.segments.is_shut | (most < self.least), 0, most)

    def steps_of(self, power_kw: Floats) -> Floats:
        """Steps of each segment from the power of each column, which agree but for noise."""
        first = np.array([member[0] for member in self.members], dtype=np.int64)
        return power_kw[first] / self.site.charge.step_kw[first]


def relaxed(frame: Frame, program: Program, x: Floats) -> Program:
    """The program with a price on unmet energy in place of its bounds: decisions may cost some of what `x` serves."""
    site, v = frame.site, frame.v
    upper, row_lower, row_upper = program.upper.copy(), program.row_lower.copy(), program.row_upper.copy()
    upper[v.unmet] = site.needs.owed_kwh
    upper[v.behind] = site.milestones.most_kwh
    energy = program.rows("energy_by_departure")
    row_lower[energy] -= x[v.unmet] + SLACK_KWH
    row_upper[energy] += SLACK_KWH
    row_upper[program.rows("shortfall")] = np.inf
    row_upper[program.rows("floor_shortfall")] = np.inf
    cost = money(site, v)
    weight = unmet_price(site) * (1.0 + site.needs.classes - site.needs.service_class)
    floors = site.milestones.floors
    cost[v.unmet] = weight
    cost[v.behind[floors]] = weight[site.milestones.session[floors]] + 0.5 * unmet_price(site)
    return replace(program, cost=cost, upper=upper, row_lower=row_lower, row_upper=row_upper)


def decide_minima(frame: Frame, program: Program, x: Floats, run: Run) -> Floats:
    """The columns of `program`, solved again until no segment lies between 0 and its minimum."""
    site, v = frame.site, frame.v
    free = relaxed(frame, program, x)
    lower, upper = free.lower.copy(), free.upper.copy()
    on = np.zeros(frame.segments.count, dtype=np.bool_)
    for turn in range(ROUNDS + 1):
        steps = frame.steps_of(x[v.charge])
        below = (steps > STEP_NOISE) & (steps < frame.least - STEP_NOISE)
        if not below.any():
            return x
        chosen = _raised(frame, steps, below, on)
        on |= chosen
        off = below & ~chosen
        if turn >= ROUNDS - 1:  # nothing new may come up
            on |= (steps >= frame.least - STEP_NOISE) & (frame.least > 0)
            off = ~on & (frame.least > 0)
        by_column = frame.segments.of_column
        lower[v.charge] = np.where(on[by_column], (frame.least[by_column] * site.charge.step_kw), lower[v.charge])
        upper[v.charge] = np.where(off[by_column], 0.0, upper[v.charge])
        try:
            x = run(replace(free, lower=lower.copy(), upper=upper.copy()))
        except SolverError:  # a battery or a fixed direction leaves no room for these minima
            x = x.copy()
            x[v.charge[below[by_column]]] = 0.0
            return x
    return x


def _raised(frame: Frame, steps: Floats, below: Flags, on: Flags) -> Flags:
    """Which segments below their minimum are raised to it, the fullest first: where it fits, and as few as will do."""
    site, charge = frame.site, frame.site.charge
    by_column = frame.segments.of_column
    room = Room(site)
    room.take_all(site, (frame.least * on)[by_column] * charge.step_kw)
    session, segment = charge.session, by_column[charge.column]
    step_kwh = charge.step_kw[charge.column] * charge.overlap_h
    decided_kwh = sum_by(session, (frame.least * on)[segment] * step_kwh, site.sessions)
    missing_kwh = sum_by(session, np.where(below, steps, 0.0)[segment] * step_kwh, site.sessions)
    chosen = np.zeros(below.size, dtype=np.bool_)
    for one in sorted(
        np.flatnonzero(below).tolist(), key=lambda one: (-float(steps[one]) / max(int(frame.least[one]), 1), one)
    ):
        pairs = np.flatnonzero(segment == one)
        owners = np.unique(session[pairs])
        least_kwh = sum_by(session[pairs], frame.least[one] * step_kwh[pairs], site.sessions)
        fits = all(
            room.fits(column, frame.least[one] * charge.step_kw[column]) for column in frame.members[one].tolist()
        )
        enough = (missing_kwh[owners] <= ENERGY_NOISE_KWH).all()
        too_much = (decided_kwh + least_kwh > site.needs.required_kwh + SLACK_KWH)[owners].any()
        if enough or too_much or not fits or frame.most[one] < frame.least[one]:
            continue
        for column in frame.members[one].tolist():
            room.take(column, frame.least[one] * charge.step_kw[column])
        chosen[one] = True
        decided_kwh += least_kwh
        missing_kwh -= sum_by(session[pairs], frame.most[one] * step_kwh[pairs], site.sessions)
    return chosen


class LevelRounding:
    """Steps of every segment: rounded down, and what was lost given back."""

    def __init__(self, frame: Frame, x: Floats, target_kwh: Floats) -> None:
        """`target_kwh` is what each session shall get."""
        site, v = frame.site, frame.v
        self._frame, self._site, self._charge, self._target_kwh = frame, site, site.charge, target_kwh
        planned_kw = net_vehicle_kw(site, v, x)
        wanted = frame.steps_of(planned_kw)
        size = np.floor(np.abs(wanted) + STEP_NOISE).astype(np.int64)
        size = np.where(wanted > 0, np.minimum(size, frame.most), np.where(frame.segments.is_shut, 0, size))
        self._steps = np.where(size < frame.least, 0, np.where(wanted < 0, -size, size))
        self._keep_vehicles_within()
        self._room = Room(site)
        self._room.take_batteries(site, x[v.store])
        self._room.take_all(site, np.maximum(self.by_column, 0) * site.charge.step_kw)
        change_kw = mean_kw(site, self.by_column * site.charge.step_kw - planned_kw)
        self._meter = Meter(site, x[v.imported] - x[v.exported] + change_kw, x[v.peak])
        order = np.argsort(site.charge.session, kind="stable")
        first = np.searchsorted(site.charge.session[order], np.arange(site.sessions + 1))
        self._pairs_of = [order[first[session] : first[session + 1]] for session in range(site.sessions)]

    @property
    def by_column(self) -> Ints:
        """Steps of every charge column."""
        return self._steps[self._frame.segments.of_column]

    def steps(self) -> Ints:
        """Steps of every charge column: inside every rule, those who are served first come first."""
        self._lower_what_overloads()
        missing_kwh = self._target_kwh - self._site.delivered_kwh(self.by_column * self._charge.step_kw)
        for session in np.lexsort((-missing_kwh, self._site.needs.service_class)).tolist():
            for keep_peak in (True, False):
                if self._missing_kwh(session) > (ENERGY_NOISE_KWH if keep_peak else WORTH_KWH):
                    self._give_back(session, keep_peak=keep_peak)
        return self.by_column

    def _missing_kwh(self, session: int) -> float:
        """What a session that only takes still lacks."""
        pairs, charge = self._pairs_of[session], self._charge
        column = charge.column[pairs]
        power_kw = self._steps[self._frame.segments.of_column[column]] * charge.step_kw[column]
        return float(self._target_kwh[session] - power_kw @ charge.overlap_h[pairs])

    def _keep_vehicles_within(self) -> None:
        """Where fewer steps leave a vehicle too little to give, or giving less leaves it too full, it does without."""
        levels, required_kwh = Levels(self._site.vehicles, self._charge), self._site.needs.required_kwh
        by_column = self._frame.segments.of_column
        for _ in range(self._frame.segments.count + 1):
            steps = self.by_column
            changed = levels.keep_within(steps, required_kwh) != steps
            if not changed.any():
                return
            sessions = np.unique(self._charge.session[changed[self._charge.column]])
            own = np.unique(by_column[self._charge.column[np.isin(self._charge.session, sessions)]])
            if (self._steps[own] < 0).any():
                self._steps[own] = np.maximum(self._steps[own], 0)
                continue
            over = np.unique(by_column[changed])
            fewer = self._steps[over] - np.maximum(self._steps[over] // 20, 1)
            self._steps[over] = np.where(fewer < self._frame.least[over], 0, fewer)

    def _set(self, segment: int, steps: int) -> None:
        change = steps - int(self._steps[segment])
        self._steps[segment] = steps
        for column in self._frame.members[segment].tolist():
            change_kw = change * float(self._charge.step_kw[column])
            self._room.take(column, change_kw)
            self._meter.add(int(self._charge.slot[column]), change_kw * float(self._charge.present[column]))

    def _lower_what_overloads(self) -> None:
        """A solver's noise may tip a rounding over a fuse: take steps back, from those who are served last first."""
        charge = self._charge
        column_class = np.full(charge.columns, -1)
        np.maximum.at(column_class, charge.column, self._site.needs.service_class[charge.session])
        while True:
            columns = self._room.overloaded(self._site)
            columns = columns[self.by_column[columns] > 0]
            if not columns.size:
                return
            last = columns[column_class[columns] == column_class[columns].max()]
            segment = int(self._frame.segments.of_column[last[np.argmax(self.by_column[last])]])
            fewer = int(self._steps[segment]) - 1
            self._set(segment, fewer if fewer >= self._frame.least[segment] else 0)

    def _give_back(self, session: int, *, keep_peak: bool) -> None:
        """Steps on top of segments that are on, the cheapest first, as far as every slot has room for them."""
        pairs, charge, of_column = self._pairs_of[session], self._charge, self._frame.segments.of_column
        if np.isin(self._site.vehicles.session, session).any():  # what it takes here it cannot take later
            return
        step_kwh = charge.step_kw[charge.column[pairs]] * charge.overlap_h[pairs]
        step_price = step_kwh * np.array(
            [self._meter.price(slot) for slot in charge.slot[charge.column[pairs]].tolist()]
        )
        segments, place = np.unique(of_column[charge.column[pairs]], return_inverse=True)
        energy_kwh, price = (sum_by(place, values, segments.size) for values in (step_kwh, step_price))
        slot_step_kwh = float(charge.step_kw[charge.column[pairs]].min()) * self._site.problem.horizon.slot_hours
        others = charge.session[np.isin(of_column[charge.column], segments)]
        if (others != session).any():  # it shares a segment with who comes before or after
            return
        for index in np.argsort(price / energy_kwh, kind="stable").tolist():
            segment, missing_kwh = int(segments[index]), self._missing_kwh(session)
            if missing_kwh <= ENERGY_NOISE_KWH or self._steps[segment] <= 0:
                continue
            wanted = int(missing_kwh / energy_kwh[index] + STEP_NOISE)
            if (wanted + 1) * energy_kwh[index] <= missing_kwh + slot_step_kwh:  # what a slot may have too much
                wanted += 1
            more = min(wanted, int(self._frame.most[segment] - self._steps[segment]), self._free(segment, keep_peak))
            if more > 0:
                self._set(segment, int(self._steps[segment]) + more)

    def _free(self, segment: int, keep_peak: bool) -> int:
        """Steps that every slot of a segment can have on top."""
        free = np.inf
        for column in self._frame.members[segment].tolist():
            free_kw = self._room.room_kw(column)
            if keep_peak and self._charge.present[column] > 0:
                free_kw = min(
                    free_kw, self._meter.slack_kw(int(self._charge.slot[column])) / self._charge.present[column]
                )
            free = min(free, free_kw / self._charge.step_kw[column])
        return max(0, int(min(free, 1e9) + STEP_NOISE))


def settle_batteries(frame: Frame, program: Program, x: Floats, steps: Ints, settle: Run) -> Floats:
    """Let batteries make the best of the rounded powers; without any, nothing changes."""
    site, v = frame.site, frame.v
    if not site.batteries:
        return x
    free = relaxed(frame, program, x)
    lower, upper, row_lower = free.lower.copy(), free.upper.copy(), free.row_lower.copy()
    row_upper = free.row_upper.copy()
    power_kw = steps * site.charge.step_kw
    lower[v.charge] = upper[v.charge] = np.maximum(power_kw, 0.0)
    lower[v.give] = upper[v.give] = np.maximum(-power_kw[site.vehicles.column[site.vehicles.giving]], 0.0)
    lower[v.level], upper[v.level] = -np.inf, np.inf
    row_upper[program.rows("taper")] = np.inf
    energy = program.rows("energy_by_departure")
    row_lower[energy], row_upper[energy] = -np.inf, np.inf
    cost = money(site, v)
    try:
        return settle(replace(free, cost=cost, lower=lower, upper=upper, row_lower=row_lower, row_upper=row_upper))
    except SolverError:  # a direction that was fixed no longer holds: the connection takes up the difference
        return x
