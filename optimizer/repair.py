"""From the powers of the linear program to powers that a charger can deliver: 0 or at least the minimum, in steps.

First a dive: powers below the minimum are decided to be 0 or at least the minimum, and the linear program is solved
again around the decision, until none is left. Then `rounding` brings every power to its step.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optimizer.answer import cost_of, flows
from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.directions import net_vehicle_kw
from optimizer.errors import SolverError
from optimizer.fill import ENERGY_NOISE_KWH
from optimizer.objectives import money, unmet_price
from optimizer.program import Program, Site, Variables
from optimizer.room import POWER_NOISE_KW, Meter, Room, mean_kw
from optimizer.rounding import Rounding

ROUNDS = 5  # of deciding and solving again; more gain nothing (benchmarks/optimizer_solve.py)
ENERGY_SLACK_KWH = 1e-6  # the minima that are decided may miss a need by the solver's own noise
PEAK_NOISE = 1e-6  # currency

Run = Callable[[Program], Floats]


def repair(
    site: Site, v: Variables, program: Program, x: Floats, *, wish: Floats, run: Run, settle: Run
) -> tuple[Ints, Floats]:
    """Whole steps for every charge column, and the columns of the program that they were rounded from.

    `program` is the money program with its directions fixed, `x` its solution; `wish` is the price of every column
    beside its money; `run` solves a program on the same matrix, `settle` one in which no flow may go in a circle. What
    `x` leaves unmet may stay unmet; anything more is avoided at any price.
    """
    promised_kwh = site.needs.owed_kwh - x[v.unmet]
    floors_kwh = site.milestones.owed_kwh - x[v.behind]
    x = _dive(site, v, program, x, wish, run)
    target_kwh = np.where(_wants_more(site), site.delivered_kwh(net_vehicle_kw(site, v, x)), promised_kwh)
    target_kwh = np.maximum(target_kwh, promised_kwh)

    def rounded(*, keep_peak: bool) -> tuple[float, float, Ints, Floats]:
        steps = Rounding(site, v, x, target_kwh, floors_kwh).steps(keep_peak=keep_peak)
        settled = _settle(site, v, program, x, steps, settle) if site.batteries else x
        power_kw = steps * site.charge.step_kw
        missing_kwh = np.maximum(promised_kwh - site.delivered_kwh(power_kw), 0.0).sum()
        missing_kwh += _floors_missed_kwh(site, floors_kwh, power_kw)
        cost = cost_of(site, flows(site, v, settled, power_kw), power_kw)
        return cost.minimised + unmet_price(site) * float(missing_kwh), cost.demand, steps, settled

    # Batteries can take up what a step adds to a peak; without them it is the last resort.
    paid, demand, steps, settled = rounded(keep_peak=not site.batteries)
    planned = sum(
        charge.price_per_kw * (peak_kw - charge.free_peak_kw)
        for charge, peak_kw in zip(site.problem.demand_charges, x[v.peak].tolist(), strict=True)
    )
    if site.batteries and demand > planned + PEAK_NOISE:
        other = rounded(keep_peak=True)
        if other[0] < paid:
            _, _, steps, settled = other
    return steps, settled


def _wants_more(site: Site) -> Flags:
    """Sessions that take what pays, not only what they are owed: beliefs, and those that may go beyond their need."""
    beyond = np.array([session.max_energy_kwh is not None for session in site.problem.sessions], dtype=np.bool_)
    return site.needs.is_belief | beyond


def _floors_missed_kwh(site: Site, floors_kwh: Floats, power_kw: Floats) -> float:
    """What is missing of floors beyond what the program left unmet."""
    floors = site.milestones.floors
    missing_kwh = site.milestones.missing_kwh(power_kw, site.vehicles) - (site.milestones.owed_kwh - floors_kwh)
    return float(np.maximum(missing_kwh[floors], 0.0).sum())


def _settle(site: Site, v: Variables, program: Program, x: Floats, steps: Ints, settle: Run) -> Floats:
    """Let batteries make the best of the rounded powers: they can take up what a step adds to a peak."""
    lower, upper, row_lower = program.lower.copy(), program.upper.copy(), program.row_lower.copy()
    row_upper = program.row_upper.copy()
    power_kw = steps * site.charge.step_kw
    lower[v.charge] = upper[v.charge] = np.maximum(power_kw, 0.0)
    lower[v.give] = upper[v.give] = np.maximum(-power_kw[site.vehicles.column[site.vehicles.giving]], 0.0)
    lower[v.level], upper[v.level] = -np.inf, np.inf
    row_upper[program.rows("taper")] = np.inf
    upper[v.behind] = site.milestones.most_kwh
    row_upper[program.rows("floor_shortfall")] = np.inf
    energy = program.rows("energy_by_departure")
    row_lower[energy], row_upper[energy] = -np.inf, np.inf
    cost = money(site, v)
    try:
        return settle(replace(program, cost=cost, lower=lower, upper=upper, row_lower=row_lower, row_upper=row_upper))
    except SolverError:  # a direction that was fixed no longer holds: the connection takes up the difference
        return x


def _dive(site: Site, v: Variables, program: Program, x: Floats, wish: Floats, run: Run) -> Floats:
    """Decide every power that lies between 0 and its minimum, and move the others around the decisions."""
    charge = site.charge
    lower, upper = program.lower.copy(), program.upper.copy()
    upper[v.unmet] = site.needs.owed_kwh
    upper[v.behind] = site.milestones.most_kwh
    row_lower, row_upper = program.row_lower.copy(), program.row_upper.copy()
    energy = program.rows("energy_by_departure")
    row_lower[energy] -= x[v.unmet] + ENERGY_SLACK_KWH
    row_upper[energy] += ENERGY_SLACK_KWH
    row_upper[program.rows("shortfall")] = np.inf
    row_upper[program.rows("floor_shortfall")] = np.inf
    cost = money(site, v) + wish
    weight = unmet_price(site) * (1.0 + site.needs.classes - site.needs.service_class)
    floors = site.milestones.floors
    cost[v.unmet] = weight
    cost[v.behind[floors]] = weight[site.milestones.session[floors]] + 0.5 * unmet_price(site)
    others_kw = x[v.imported] - x[v.exported] - mean_kw(site, net_vehicle_kw(site, v, x))
    room, meter = Room(site), Meter(site, others_kw, x[v.peak])
    on = np.zeros(charge.columns, dtype=np.bool_)
    for turn in range(ROUNDS + 1):
        power_kw = x[v.charge]
        below = (power_kw > POWER_NOISE_KW) & (power_kw < charge.min_kw - POWER_NOISE_KW)
        if not below.any():
            return x
        chosen = _choose(site, power_kw, below & ~_too_full(site, v, x), on, room, meter)
        on |= chosen
        off = below & ~chosen
        if turn >= ROUNDS - 1:  # nothing new may come up
            on |= power_kw >= np.maximum(charge.min_kw - POWER_NOISE_KW, POWER_NOISE_KW)
            off = ~on
        lower[v.charge[on]] = charge.min_kw[on]
        upper[v.charge[off]] = 0.0
        decided = replace(
            program, cost=cost, lower=lower.copy(), upper=upper.copy(), row_lower=row_lower, row_upper=row_upper
        )
        try:
            x = run(decided)
        except SolverError:  # a battery or a fixed direction leaves no room for these minima
            x = x.copy()
            x[v.charge[below]] = 0.0
            return x
    return x


def _too_full(site: Site, v: Variables, x: Floats) -> Flags:
    """The columns in which a vehicle that is nearly full takes less than the minimum."""
    vehicles, charge = site.vehicles, site.charge
    entries = vehicles.tapering
    column, slope, hours = vehicles.column[entries], vehicles.slope[entries], vehicles.hours[entries]
    before_kwh = x[v.level[entries]] - hours * x[v.charge[column]]
    most_kw = slope * (vehicles.zero_kwh[entries] - before_kwh) / (1 + slope * hours)
    full = np.zeros(charge.columns, dtype=np.bool_)
    full[column[most_kw < charge.min_kw[column] - POWER_NOISE_KW]] = True
    return full


def _choose(site: Site, power_kw: Floats, below: Flags, on: Flags, room: Room, meter: Meter) -> Flags:
    """Which of the powers below their minimum are raised to it: per session as few as can hold the same energy.

    The fullest come first. A power is raised only where its minimum fits beside the minima that are decided already,
    under every fuse and under the billed peak, and where the minima of a session do not add up to more than it needs.
    """
    charge = site.charge
    decided_kwh = sum_by(charge.session, (charge.min_kw * on)[charge.column] * charge.overlap_h, site.sessions)
    pairs = np.flatnonzero(below[charge.column])
    energy_kwh = power_kw[charge.column[pairs]] * charge.overlap_h[pairs]
    order = np.lexsort(
        (charge.slot[charge.column[pairs]], -energy_kwh, site.needs.service_class[charge.session[pairs]])
    )
    missing_kwh = sum_by(charge.session[pairs], energy_kwh, site.sessions)
    shared = np.bincount(charge.column, minlength=charge.columns) > 1
    chosen = np.zeros(charge.columns, dtype=np.bool_)
    for pair in pairs[order].tolist():
        session, column = charge.session[pair], charge.column[pair]
        least_kwh = charge.min_kw[column] * charge.overlap_h[pair]
        enough = missing_kwh[session] <= ENERGY_NOISE_KWH
        too_much = decided_kwh[session] + least_kwh > site.needs.required_kwh[session]
        if enough or too_much or shared[column] or not room.fits(column, charge.min_kw[column]):
            continue
        slot, mean_kw = int(charge.slot[column]), float(charge.min_kw[column] * charge.present[column])
        if meter.slack_kw(slot) < mean_kw - POWER_NOISE_KW:
            continue
        room.take(column, charge.min_kw[column])
        meter.add(slot, mean_kw)
        chosen[column] = True
        decided_kwh[session] += least_kwh
        missing_kwh[session] -= charge.max_kw[column] * charge.overlap_h[pair]
    return chosen
