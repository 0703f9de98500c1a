"""The linear program as named blocks of arrays: columns (`Variables`), rows (`Rows`), and both put together.

`Site` is the problem as arrays. A rule of `constraints` turns it into `Rows`, a term of `objectives` into a price for
each column, and `assemble` stacks them into one `Program` that a door of `doors` can solve.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.domain import Battery, Problem
from optimizer.headroom import Headroom, headroom_of, same_headroom
from optimizer.intervals import Intervals, intervals_of
from optimizer.members import Members
from optimizer.milestones import Milestones, milestones_of
from optimizer.presence import Charge, Grid, Needs, charge_of, needs_of, refuse_overlapping_stays, same_charge
from optimizer.vehicles import Vehicles, vehicles_of


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The problem as arrays over the slots that are still to come. Powers are kW, prices currency per kWh.

    `buy_price` holds the import price with its carbon. `battery_floor_kwh` (battery, slot) is the least
    energy at each slot's end: a floor that cannot be reached in time is lowered to what can. Below each node of the
    circuit tree: `charging` the charge columns, `giving` those that may give, `storing` the (battery, slot) cells.
    """

    problem: Problem
    grid: Grid
    needs: Needs
    charge: Charge
    milestones: Milestones
    vehicles: Vehicles
    headroom: Headroom
    charging: Members
    storing: Members
    giving: Members
    intervals: tuple[Intervals, ...]
    batteries: tuple[Battery, ...]
    holds_battery: Flags
    battery_floor_kwh: Floats
    base_load_kw: Floats
    pv_kw: Floats
    buy_price: Floats
    sell_price: Floats

    @classmethod
    def of(cls, problem: Problem, last: "Site | None" = None) -> "Site":
        """Raise `InvalidProblemError` when two sessions are at one EVSE at once.

        `last` is a site that was built before: what depends on nothing that is different now is taken from it.
        """
        refuse_overlapping_stays(problem)
        grid = Grid.of(problem.horizon)
        charge = last.charge if last and same_charge(last.problem, problem) else charge_of(problem, grid)
        vehicles = vehicles_of(problem, charge)
        headroom = last.headroom if last and same_headroom(last.problem, problem) else headroom_of(problem, grid)
        controllable = [battery.controllable for battery in problem.batteries]
        batteries = tuple(battery for battery in problem.batteries if battery.controllable)
        holds_battery = headroom.holds_battery[:, np.array(controllable, dtype=np.bool_)]
        given = vehicles.column[vehicles.giving]
        cells, slots = np.arange(len(batteries) * grid.slots), grid.slots
        buy_price = np.array(problem.import_price_per_kwh)[grid.first :]
        if problem.carbon_kg_per_kwh is not None:
            buy_price = buy_price + np.array(problem.carbon_kg_per_kwh)[grid.first :] * problem.carbon_price_per_kg
        return cls(
            problem=problem,
            grid=grid,
            needs=needs_of(problem),
            charge=charge,
            milestones=milestones_of(problem, grid, charge, vehicles),
            vehicles=vehicles,
            headroom=headroom,
            charging=(
                last.charging
                if last and last.charge is charge and last.headroom is headroom
                else Members.of(headroom.holds_evse, charge.evse, charge.slot)
            ),
            storing=Members.of(holds_battery, cells // slots, cells % slots),
            giving=Members.of(headroom.holds_evse, charge.evse[given], charge.slot[given]),
            intervals=tuple(intervals_of(problem, one, grid) for one in problem.demand_charges),
            batteries=batteries,
            holds_battery=holds_battery,
            battery_floor_kwh=_battery_floor_kwh(batteries, holds_battery, headroom, grid),
            base_load_kw=np.array(problem.base_load_kw)[grid.first :],
            pv_kw=np.array(problem.pv_kw)[grid.first :],
            buy_price=buy_price,
            sell_price=np.array(problem.export_price_per_kwh)[grid.first :],
        )

    @property
    def sessions(self) -> int:
        return len(self.problem.sessions)

    def delivered_kwh(self, power_kw: Floats) -> Floats:
        """Energy of each session from the power of each column, less what giving loses; below 0 is giving."""
        got_kwh = self.charge.delivered_kwh(power_kw, self.sessions)
        return got_kwh - self.vehicles.extra_kwh(power_kw, self.sessions) if self.vehicles.give_kw.any() else got_kwh

    def feed_weight(self, column: Ints) -> Floats:
        """What a kW that a charge column gives counts where limits are meant for three even phases."""
        phases = (self.charge.amps_per_kw[column] > 0).sum(axis=1)
        weight: Floats = 3.0 / np.maximum(phases, 1)
        return weight

    @property
    def max_import_kw(self) -> Floats:
        """The limit of the connection, or what base load makes unavoidable where that is more.

        PV that has to be curtailed, lest it export too much when base load is low, does not help base load.
        """
        limit_kw = self.problem.connection.max_import_kw
        curtailed_kw = np.maximum(-self.headroom.feed_kw[0], 0.0)
        forced_kw = self.base_load_kw - self.pv_kw + curtailed_kw
        most_kw: Floats = np.maximum(inf if limit_kw is None else limit_kw, forced_kw)
        return most_kw

    @property
    def max_export_kw(self) -> Floats:
        """The limit of the connection, or what PV that cannot be curtailed makes unavoidable where that is more."""
        limit_kw = self.problem.connection.max_export_kw
        forced_kw = np.zeros(self.grid.slots) if self.problem.pv_curtailable else self.pv_kw - self.base_load_kw
        most_kw: Floats = np.maximum(inf if limit_kw is None else limit_kw, forced_kw)
        return most_kw


@dataclass(frozen=True, slots=True, eq=False)
class Variables:
    """Where each quantity's columns are, and their bounds.

    `charge` (charge column) kW · `unmet` (session) kWh · `imported`, `exported`, `curtail` (slot) kW · `store`, `draw`
    (battery, slot) kW on the AC side · `stored` (battery, slot) kWh at the slot's end · `peak` (demand charge) kW ·
    `share` one column: the smallest share of need that is met · `behind` (milestone) kWh that a floor or a scenario
    misses · `level` (entry of `Vehicles`) kWh at the slot's end · `give` (giving entry) kW · `importing` (slot),
    `storing` (battery, slot), `taking` (giving entry): 1 or 0, empty unless directions are asked for.
    """

    charge: Ints
    unmet: Ints
    imported: Ints
    exported: Ints
    curtail: Ints
    store: Ints
    draw: Ints
    stored: Ints
    peak: Ints
    share: Ints
    behind: Ints
    level: Ints
    give: Ints
    importing: Ints
    storing: Ints
    taking: Ints
    lower: Floats
    upper: Floats

    @classmethod
    def of(cls, site: Site, *, directions: bool = False) -> "Variables":
        slots, batteries = site.grid.slots, len(site.batteries)
        per_battery = (batteries, slots)
        charges, vehicles = site.problem.demand_charges, site.vehicles
        binary = (
            {"importing": (slots,), "storing": per_battery, "taking": (vehicles.giving.size,)}
            if directions
            else {"importing": (0,), "storing": (0, slots), "taking": (0,)}
        )
        shapes: dict[str, tuple[int, ...]] = {
            "charge": (site.charge.columns,),
            "unmet": (site.sessions,),
            "imported": (slots,),
            "exported": (slots,),
            "curtail": (slots,),
            "store": per_battery,
            "draw": per_battery,
            "stored": per_battery,
            "peak": (len(charges),),
            "share": (1,),
            "behind": (site.milestones.count,),
            "level": (vehicles.session.size,),
            "give": (vehicles.giving.size,),
            **binary,
        }
        blocks: dict[str, Ints] = {}
        columns = 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            blocks[name] = np.arange(columns, columns + size).reshape(shape)
            columns += size
        lower, upper = np.zeros(columns), np.ones(columns)
        can_draw_kw = sum_by(site.charge.slot, site.charge.max_kw * site.charge.present, slots)
        store_kw = np.array([battery.max_charge_kw for battery in site.batteries])
        draw_kw = np.array([battery.max_discharge_kw for battery in site.batteries])
        give_kw, give_slot = vehicles.give_kw[vehicles.giving], site.charge.slot[vehicles.column[vehicles.giving]]
        lower[blocks["level"]], upper[blocks["level"]] = vehicles.least_kwh, vehicles.most_kwh
        upper[blocks["give"]] = give_kw
        upper[blocks["charge"]] = site.charge.max_kw
        upper[blocks["unmet"]] = site.needs.owed_kwh
        upper[blocks["behind"]] = site.milestones.most_kwh
        upper[blocks["imported"]] = np.minimum(site.max_import_kw, site.base_load_kw + can_draw_kw + store_kw.sum())
        upper[blocks["exported"]] = np.minimum(
            site.max_export_kw, site.pv_kw + draw_kw.sum() + sum_by(give_slot, give_kw, slots)
        )
        upper[blocks["curtail"]] = site.pv_kw if site.problem.pv_curtailable else 0.0
        upper[blocks["store"]] = store_kw[:, None]
        upper[blocks["draw"]] = draw_kw[:, None]
        lower[blocks["stored"]] = site.battery_floor_kwh
        upper[blocks["stored"]] = np.array([battery.capacity_kwh for battery in site.batteries])[:, None]
        lower[blocks["peak"]] = [charge.free_peak_kw for charge in charges]
        upper[blocks["peak"]] = inf
        return cls(**blocks, lower=lower, upper=upper)

    @property
    def columns(self) -> int:
        return self.lower.size


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One rule: ``lower ≤ Σ coefficient · column ≤ upper`` for each row.

    One entry a non-zero: `row` (from 0 within the block), `column`, `coefficient`; no pair twice. One entry a row:
    `lower`, `upper`, and each array of `key`, which say in the rule's own terms what the row is about.
    """

    name: str
    key: tuple[Ints, ...]
    row: Ints
    column: Ints
    coefficient: Floats
    lower: Floats
    upper: Floats


Rule = Callable[[Site, Variables], Iterable[Rows]]


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Row-wise sparse, as HiGHS takes it: the entries of row r are `start[r]` to `start[r + 1]`."""

    start: Ints
    index: Ints
    value: Floats
    columns: int

    @property
    def rows(self) -> int:
        return self.start.size - 1

    def dot(self, x: Floats) -> Floats:
        """What each row sums up to."""
        row = np.repeat(np.arange(self.rows), np.diff(self.start))
        return sum_by(row, self.value * x[self.index], self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Minimise ``cost · x`` over ``lower ≤ x ≤ upper`` and ``row_lower ≤ matrix · x ≤ row_upper``.

    `blocks` names the rows: (rule, key, first row, end). `integer` marks columns that must be whole numbers, None
    when there is none. Programs that share one `matrix` object differ in numbers only: a door may start warm.
    """

    matrix: Matrix
    cost: Floats
    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    blocks: tuple[tuple[str, tuple[Ints, ...], int, int], ...]
    integer: Flags | None = None

    def value(self, x: Floats) -> float:
        """What `x` costs. Not `cost @ x`: its bits, and on a busy machine its time, depend on the threads of BLAS."""
        return float(np.sum(self.cost * x))

    def rows(self, name: str) -> slice:
        """The rows of a rule, the first block of them; an empty slice when it binds nobody."""
        return next((slice(first, end) for rule, _, first, end in self.blocks if rule == name), slice(0, 0))


def assemble(site: Site, variables: Variables, rules: Sequence[Rule], cost: Floats) -> Program:
    """Stack the rows of `rules` in their order; bounds come from `variables`."""
    blocks = [rows for rule in rules for rows in rule(site, variables)]
    counts = np.array([rows.lower.size for rows in blocks], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(counts)])
    row = np.concatenate([rows.row + offset for rows, offset in zip(blocks, first, strict=False)])
    order = np.argsort(row, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=int(first[-1])))])
    integer = np.zeros(variables.columns, dtype=np.bool_)
    integer[variables.importing] = True
    integer[variables.storing] = True
    integer[variables.taking] = True
    return Program(
        matrix=Matrix(
            start=start,
            index=np.concatenate([rows.column for rows in blocks])[order],
            value=np.concatenate([rows.coefficient for rows in blocks])[order],
            columns=variables.columns,
        ),
        cost=cost,
        lower=variables.lower,
        upper=variables.upper,
        row_lower=np.concatenate([rows.lower for rows in blocks]),
        row_upper=np.concatenate([rows.upper for rows in blocks]),
        blocks=tuple(
            (rows.name, rows.key, int(begin), int(begin) + rows.lower.size)
            for rows, begin in zip(blocks, first, strict=False)
        ),
        integer=integer if integer.any() else None,
    )


def _battery_floor_kwh(batteries: Sequence[Battery], holds_battery: Flags, headroom: Headroom, grid: Grid) -> Floats:
    """Minimum energy at each slot's end, final energy at the last, lowered to what charging at once can reach."""
    left_kw, left_a = headroom.draw_kw.copy(), headroom.draw_a.copy()
    floor_kwh = np.zeros((len(batteries), grid.slots))
    for index, battery in enumerate(batteries):
        nodes = np.flatnonzero(holds_battery[:, index])
        free_kw = np.minimum(left_kw[nodes].min(axis=0), left_a[nodes].min(axis=(0, 1)) * headroom.battery_kw_per_a)
        free_kw = np.minimum(free_kw, battery.max_charge_kw)
        goal_kwh = max(battery.min_energy_kwh, battery.final_floor_kwh, battery.energy_kwh)
        gain_kwh = np.cumsum(free_kw * battery.charge_efficiency * grid.hours)
        reach_kwh = np.minimum(battery.energy_kwh + gain_kwh, goal_kwh)
        taken_kw = np.diff(reach_kwh, prepend=battery.energy_kwh) / (battery.charge_efficiency * grid.hours)
        left_kw[nodes] -= taken_kw
        left_a[nodes] -= taken_kw / headroom.battery_kw_per_a
        floor_kwh[index] = np.minimum(battery.min_energy_kwh, reach_kwh)
        floor_kwh[index, -1] = min(max(battery.min_energy_kwh, battery.final_floor_kwh), reach_kwh[-1])
    return floor_kwh
