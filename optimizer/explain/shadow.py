"""Shadow prices: the money program with the plan's unmet energy, solved once more for its duals.

Duals are prices at the margin. Where several plans cost the same they are one consistent set among several.
"""

from dataclasses import dataclass, replace

import numpy as np

from optimizer.arrays import Flags, Floats, Ints
from optimizer.constraints import ALL
from optimizer.directions import is_circular
from optimizer.domain import PHASES, Phase, Schedule
from optimizer.doors import Duals, HighsDoor
from optimizer.objectives import money
from optimizer.program import Program, Site, Variables, assemble
from optimizer.service import UNMET_NOISE_KWH

PRICE_NOISE = 1e-7  # currency per kWh: the noise of duals, far below any tariff's last digit
ROUNDED_KWH = 1e-8  # the numbers of a schedule have nine digits
NEXT_KW = 1e-4  # more base load in every slot: the duals are then those of the next kWh, not of the last one


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """A solved money program: its values, its duals, and where its non-zeros are (entry: `row`, `column`)."""

    program: Program
    x: Floats
    duals: Duals
    row: Ints

    @property
    def column(self) -> Ints:
        return self.program.matrix.index

    def price_of_entries(self) -> Floats:
        """What each non-zero adds to the price of its column: positive makes it dearer."""
        return -self.duals.rows[self.row] * self.program.matrix.value

    def rows_of(self, *names: str) -> Flags:
        """Which rows belong to some rules, all of their blocks."""
        chosen = np.zeros(self.program.matrix.rows, dtype=np.bool_)
        for rule, _, first, end in self.program.blocks:
            chosen[first:end] |= rule in names
        return chosen


@dataclass(frozen=True, slots=True)
class RowName:
    """What a row is about, in the words of the problem."""

    rule: str
    where: str
    slot: int | None = None
    phase: Phase | None = None


def shadow_of(site: Site, v: Variables, schedule: Schedule, *, time_limit_s: float) -> Shadow:
    """The duals of the cheapest plan that leaves unmet what `schedule` leaves unmet.

    Where a slot neither imports nor exports, energy has two prices: a kWh more is imported, a kWh less is not exported.
    `NEXT_KW` tells the duals that the question is about more. Flows keep the schedule's directions where a circle
    would pay. Raise `SolverError` when the schedule breaks a rule
    that the program knows, as a fallback may.
    """
    program = at_unmet(site, v, schedule)
    upper, first = program.upper.copy(), site.grid.first
    row_lower, row_upper = program.row_lower.copy(), program.row_upper.copy()
    balance = program.rows("power_balance")
    row_lower[balance] += NEXT_KW
    row_upper[balance] += NEXT_KW
    # A column's bound that other bounds imply would share their price: only the limits of the connection stay.
    upper[v.imported] = site.max_import_kw + NEXT_KW
    upper[v.exported] = site.max_export_kw
    crossed = site.sell_price > site.buy_price
    exporting = np.array(schedule.export_kw[first:]) > NEXT_KW
    upper[v.imported[crossed & exporting]] = 0.0
    upper[v.exported[crossed & ~exporting]] = 0.0
    program = replace(program, upper=upper, row_lower=row_lower, row_upper=row_upper)
    chosen = HighsDoor()
    solution = chosen.solve(program, time_limit_s=time_limit_s)
    if is_circular(site, v, solution.x):
        program = _batteries_one_way(site, v, program, schedule)
        solution = chosen.solve(program, time_limit_s=time_limit_s)
    row = np.repeat(np.arange(program.matrix.rows), np.diff(program.matrix.start))
    return Shadow(program, solution.x, chosen.duals(), row)


def at_unmet(site: Site, v: Variables, schedule: Schedule) -> Program:
    """The money program in which every session goes without what it does in the schedule, neither more nor less.

    Give or take what a schedule's numbers are rounded by: a vehicle that is there for seconds gets little more.
    """
    program = assemble(site, v, ALL, money(site, v))
    results = [schedule.sessions[session.session_id] for session in site.problem.sessions]
    unmet_kwh = np.minimum(np.array([result.unmet_kwh for result in results], dtype=float), site.needs.owed_kwh)
    floor_kwh = np.array([result.floor_unmet_kwh for result in results], dtype=float)
    lower, upper = program.lower.copy(), program.upper.copy()
    lower[v.unmet] = np.maximum(unmet_kwh - UNMET_NOISE_KWH, 0.0)
    upper[v.unmet] = np.minimum(unmet_kwh + ROUNDED_KWH, site.needs.owed_kwh)
    floors = site.milestones.floors
    upper[v.behind[floors]] = floor_kwh[site.milestones.session[floors]] + UNMET_NOISE_KWH
    return replace(program, lower=lower, upper=upper)


def row_name(site: Site, rule: str, key: tuple[int, ...]) -> RowName:
    """The name of a row. A rule that this module does not know is named by the numbers of its key."""
    slot = site.grid.first + key[-1]
    if rule in ("circuit_power", "circuit_feed"):
        return RowName(rule, site.headroom.names[key[0]], slot)
    if rule == "circuit_current":
        return RowName(rule, site.headroom.names[key[0]], slot, PHASES[key[1]])
    if rule == "demand_peak":
        return RowName(rule, site.problem.demand_charges[key[0]].charge_id)
    if rule in ("energy_by_departure", "energy_by_moment"):
        return RowName(rule, site.problem.sessions[key[0]].session_id)
    if rule in ("vehicle_energy", "taper"):
        return RowName(rule, site.problem.sessions[key[0]].session_id, slot)
    return RowName(rule, " ".join(map(str, key)))


def names_of(site: Site, program: Program, rows: Ints) -> dict[int, RowName]:
    """The names of some rows."""
    names: dict[int, RowName] = {}
    for rule, key, first, end in program.blocks:
        for row in rows[(rows >= first) & (rows < end)].tolist():
            names[row] = row_name(site, rule, tuple(int(part[row - first]) for part in key))
    return names


def _batteries_one_way(site: Site, v: Variables, program: Program, schedule: Schedule) -> Program:
    upper = program.upper.copy()
    for index, battery in enumerate(site.batteries):
        power_kw = np.array(schedule.batteries[battery.battery_id].power_kw[site.grid.first :])
        upper[v.store[index][power_kw < 0]] = 0.0
        upper[v.draw[index][power_kw >= 0]] = 0.0
    return replace(program, upper=upper)
