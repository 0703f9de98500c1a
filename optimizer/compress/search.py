"""The search for cuts: one stretch after the other, in the room that all others leave, then all levels together.

It starts from the plan, in which everybody fits. Each stretch is taken out and put back in few segments; the next one
sees what that has freed. After every pass one linear program sets all levels at once with the cuts fixed, and the next
pass starts from there. The best by the program's own objective is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.compress.cuts import Choice, View, best_choice
from optimizer.compress.segments import SegmentDoor, Segments
from optimizer.compress.stretches import Stretch
from optimizer.directions import net_vehicle_kw
from optimizer.domain import Schedule
from optimizer.doors import HighsDoor
from optimizer.errors import SolverError
from optimizer.objectives import unmet_price
from optimizer.program import Program, Site, Variables
from optimizer.room import Meter, mean_kw
from optimizer.service import missed
from optimizer.solve import TimeLimit

PASSES = 8  # more gain nothing (benchmarks/profile_compression.py)
STRETCHES = 2_000  # that are put back in all passes together: some seconds. Large sites do with fewer passes
PATIENCE = 2  # passes without gain
SHORT_KWH = 0.25  # of all sessions together
AFRESH = (1, 2)  # passes that begin without any of these stretches: large needs first, then small ones. It is packing
NOISE = 1e-6  # currency


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Where the segments of each stretch begin, and which charge columns are to draw at least their minimum.

    Columns of no stretch are in neither of `on` and `off`.
    """

    begins: tuple[Ints, ...]
    on: Flags
    off: Flags

    def bound(self, site: Site, v: Variables) -> Variables:
        """The columns with these decisions as their bounds."""
        lower, upper = v.lower.copy(), v.upper.copy()
        lower[v.charge] = np.where(self.on, site.charge.min_kw, lower[v.charge])
        upper[v.charge] = np.where(self.off, 0.0, upper[v.charge])
        return replace(v, lower=lower, upper=upper)

    def undecided(self) -> "Cuts":
        """The same cuts, with every level free."""
        return Cuts(self.begins, np.zeros_like(self.on), np.zeros_like(self.off))


def search_cuts(
    site: Site,
    v: Variables,
    program: Program,
    schedule: Schedule,
    plan_kw: Floats,
    stretches: Sequence[Stretch],
    limit: TimeLimit,
) -> list[Cuts]:
    """The best cuts of a few passes. `program` is the money program, `plan_kw` the powers of every charge column.

    One with the minima decided by the search. Where that leaves some energy unmet which the program could deliver, one
    more with all levels free: where a fuse is scarce, whoever came last may have been left with nothing. Raise
    `SolverError` when there is no solution in time.
    """
    cost = program.cost.copy()
    cost[missed(site, v)] = unmet_price(site)
    priced = replace(program, cost=cost)
    highs = HighsDoor()
    state = _planned(site, schedule, plan_kw)
    # A plan in whole steps may deliver a little more than is required: minima that add up to that would not fit.
    need_kwh = np.minimum(site.delivered_kwh(np.maximum(plan_kw, 0.0)), site.needs.required_kwh)
    decided, free, reserve_s = _Best(), _Best(), limit.left_s / 2
    missed_turns = 0
    for turn in range(min(PASSES, max(AFRESH[0] + 1, STRETCHES // len(stretches)))):
        if turn > 0 and limit.left_s < reserve_s:  # the rest is for the levels
            break
        crowd = Crowd(site, state)
        if turn in AFRESH:
            crowd.clear(stretches)
        cuts = crowd.compress(stretches, need_kwh, smallest_first=turn == AFRESH[-1])
        chosen = SegmentDoor.of(site, v, Segments.of(site.charge.columns, stretches, cuts.begins), highs)
        improved = False
        for one, best in ((cuts, decided), (cuts.undecided(), free)):
            bounded = one.bound(site, v)
            program = replace(priced, lower=bounded.lower, upper=bounded.upper)
            try:
                solution = chosen.solve(program, time_limit_s=limit.left_s)
            except SolverError:  # stays that share a stretch, or a vehicle nearly full: not with these minima
                continue
            if best.takes(one, solution.objective):
                improved = True
                if one is cuts or decided.cuts is None:
                    state = state.after(site, v, solution.x)
        missed_turns = 0 if improved or turn <= AFRESH[-1] else missed_turns + 1
        if missed_turns == PATIENCE:
            break
    is_short = decided.cost - free.cost > SHORT_KWH * unmet_price(site)
    found = [best.cuts for best in ((decided, free) if is_short else (decided,)) if best.cuts is not None]
    if not found:
        raise SolverError("no cuts were found")
    return found


class _Best:
    """The best cuts so far."""

    def __init__(self) -> None:
        self.cuts: Cuts | None = None
        self.cost = np.inf

    def takes(self, cuts: Cuts, cost: float) -> bool:
        """Whether these are better."""
        if cost >= self.cost - NOISE:
            return False
        self.cuts, self.cost = cuts, cost
        return True


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What flows: `power_kw` of every charge column, `others_kw` at the connection without them, what batteries take.

    `peak_kw` are the billed peaks of the plan. They stay: an EVSE that is put back sees what a pass raised as a price.
    """

    power_kw: Floats
    others_kw: Floats
    store_kw: Floats
    peak_kw: Floats

    def after(self, site: Site, v: Variables, x: Floats) -> "State":
        """The state that a solution of the program is."""
        power_kw = net_vehicle_kw(site, v, x)
        others_kw = x[v.imported] - x[v.exported] - mean_kw(site, power_kw)
        return replace(self, power_kw=power_kw, others_kw=others_kw, store_kw=x[v.store])


def _planned(site: Site, schedule: Schedule, power_kw: Floats) -> State:
    first = site.grid.first
    meter_kw = np.array(schedule.import_kw[first:]) - np.array(schedule.export_kw[first:])
    charges = site.problem.demand_charges
    store_kw = np.zeros((len(site.batteries), site.grid.slots))
    for index, battery in enumerate(site.batteries):
        store_kw[index] = np.maximum(schedule.batteries[battery.battery_id].power_kw[first:], 0.0)
    return State(
        power_kw=power_kw,
        others_kw=meter_kw - mean_kw(site, power_kw),
        store_kw=store_kw,
        peak_kw=np.array([max(schedule.peak_kw[one.charge_id], one.free_peak_kw) for one in charges]),
    )


class Crowd:
    """All EVSEs at their powers: one after the other is taken out and put back in few segments."""

    def __init__(self, site: Site, state: State) -> None:
        self._site, self._power_kw = site, state.power_kw.copy()
        self._left = _left(site, state)
        charge = site.charge
        self._per_kw = _per_kw(site)
        self._meter = Meter(site, state.others_kw + mean_kw(site, state.power_kw), state.peak_kw)
        self._hours = sum_by(charge.column, charge.overlap_h, charge.columns)
        self._peak_price = sum(one.price_per_kw for one in site.problem.demand_charges)
        self._unmet_price = unmet_price(site)
        self._gives = np.zeros(charge.columns, dtype=np.bool_)
        self._gives[site.vehicles.column[site.vehicles.giving]] = True
        self._session = np.full(charge.columns, -1)
        self._session[charge.column] = charge.session

    def clear(self, stretches: Sequence[Stretch]) -> None:
        """Take all of them out at once."""
        for stretch in stretches:
            columns = stretch.column[stretch.is_open]
            self._set(columns, np.zeros(columns.size))

    def compress(self, stretches: Sequence[Stretch], need_kwh: Floats, *, smallest_first: bool = False) -> Cuts:
        """Cuts for every stretch; first those that are served first, of these the ones that change most often."""
        site = self._site
        on, off = np.zeros(site.charge.columns, dtype=np.bool_), np.zeros(site.charge.columns, dtype=np.bool_)
        begins: dict[int, Ints] = {}
        sign = -1.0 if smallest_first else 1.0
        for number in sorted(range(len(stretches)), key=lambda one: self._rank(stretches[one], sign * need_kwh)):
            stretch = stretches[number]
            columns = stretch.column[stretch.is_open]
            sessions = np.unique(self._session[columns])
            window_kwh = self._due_kwh(columns, sessions, need_kwh)
            choice = self._replace(stretch, columns, window_kwh)
            begins[number] = choice.begins
            if not self._gives[columns].any():
                on[columns] = self._power_kw[columns] > 0
                off[columns] = ~on[columns]
        return Cuts(tuple(begins[number] for number in range(len(stretches))), on, off)

    def _rank(self, stretch: Stretch, need_kwh: Floats) -> tuple[int, int, float]:
        """Who is served first comes first; of these the ones that change most often, then the largest need."""
        sessions = np.unique(self._session[stretch.column[stretch.is_open]])
        first = int(self._site.needs.service_class[sessions].min())
        changes = int(np.count_nonzero(np.diff(stretch.of_columns(self._power_kw))))
        return first, -changes, -float(need_kwh[sessions].sum())

    def _due_kwh(self, columns: Ints, sessions: Ints, need_kwh: Floats) -> float:
        """What is left for this stretch to deliver: the need, less what its sessions get in other columns."""
        charge = self._site.charge
        own = np.zeros(charge.columns, dtype=np.bool_)
        own[columns] = True
        elsewhere = np.isin(charge.session, sessions) & ~own[charge.column]
        got_kwh = float(np.maximum(self._power_kw[charge.column[elsewhere]], 0.0) @ charge.overlap_h[elsewhere])
        return max(float(need_kwh[sessions].sum()) - got_kwh, 0.0)

    def _replace(self, stretch: Stretch, columns: Ints, need_kwh: float) -> Choice:
        site, charge = self._site, self._site.charge
        plan_kw = stretch.of_columns(self._power_kw)
        self._set(columns, np.zeros(columns.size))
        slots = charge.slot[columns]
        price, free_kw, room_kw = (np.zeros(charge.columns) for _ in range(3))
        price[columns] = self._meter.price(slots)
        slack_kw = self._meter.slack_kw(slots)
        free_kw[columns] = np.maximum(slack_kw, 0.0) / np.maximum(charge.present[columns], 1e-6)
        room_kw[columns] = np.clip(self._room_kw(columns), 0.0, charge.max_kw[columns])
        view = View(
            money=stretch.of_columns(price * site.grid.hours[charge.slot] * charge.present),
            hours=stretch.of_columns(self._hours),
            most_kw=stretch.of_columns(room_kw),
            least_kw=stretch.of_columns(charge.min_kw),
            plan_kw=plan_kw,
            free_kw=stretch.of_columns(free_kw),
            need_kwh=need_kwh,
            peak_price=self._peak_price,
            unmet_price=self._unmet_price,
        )
        choice = best_choice(view, stretch.budget)
        length = np.diff(choice.begins, append=stretch.slots)
        self._set(columns, np.repeat(choice.level_kw, length)[stretch.is_open])
        return choice

    def _room_kw(self, columns: Ints) -> Floats:
        """What each of one EVSE's columns can have on top, by every fuse above it."""
        nodes = np.flatnonzero(self._site.headroom.holds_evse[:, self._site.charge.evse[columns[0]]])
        left = self._left[nodes[:, None], :, self._site.charge.slot[columns]]  # (node, column, phase or power)
        per_kw = np.broadcast_to(self._per_kw[columns], left.shape)
        room_kw: Floats = np.divide(left, per_kw, out=np.full(left.shape, np.inf), where=per_kw > 0).min(axis=(0, 2))
        return room_kw

    def _set(self, columns: Ints, power_kw: Floats) -> None:
        """Give one EVSE's columns other powers."""
        charge, old_kw = self._site.charge, self._power_kw[columns]
        nodes = np.flatnonzero(self._site.headroom.holds_evse[:, charge.evse[columns[0]]])
        slots, present = charge.slot[columns], charge.present[columns]
        drawn_kw = np.maximum(power_kw, 0.0) - np.maximum(old_kw, 0.0)
        self._left[nodes[:, None], :, slots] -= self._per_kw[columns] * drawn_kw[:, None]
        self._meter.add(slots, (power_kw - old_kw) * present)
        self._power_kw[columns] = power_kw


def _left(site: Site, state: State) -> Floats:
    """(node, phase or power, slot): what every fuse still carries, three phases in A and then all of them in kW."""
    charge, headroom, slots = site.charge, site.headroom, site.grid.slots
    left = np.concatenate([headroom.draw_a, headroom.draw_kw[:, None]], axis=1)
    drawn_kw = np.maximum(state.power_kw, 0.0)
    per_kw = _per_kw(site)
    for node, holds in enumerate(headroom.holds_evse):
        member = holds[charge.evse]
        for part in range(per_kw.shape[1]):
            left[node, part] -= sum_by(charge.slot[member], (per_kw[:, part] * drawn_kw)[member], slots)
    for index, store_kw in enumerate(state.store_kw):
        nodes = np.flatnonzero(site.holds_battery[:, index])
        left[nodes, -1] -= store_kw
        left[nodes, :-1] -= store_kw / headroom.battery_kw_per_a
    return left


def _per_kw(site: Site) -> Floats:
    """(column, phase or power): what a kW in each charge column draws, A on three phases and then kW."""
    amps = site.charge.amps_per_kw
    return np.column_stack([amps, amps.sum(axis=1) * site.problem.connection.voltage_v / 1000])
