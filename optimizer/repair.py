"""From the powers of the linear program to powers that a charger can deliver: 0 or at least the minimum, in steps.

First `dive` decides the powers below the minimum, then `rounding` brings every power to its step. Where that loses
too much on a small site, `polish` searches for better.
"""

from dataclasses import replace

import numpy as np

from optimizer.answer import cost_of, flows
from optimizer.arrays import Flags, Floats, Ints
from optimizer.directions import net_vehicle_kw
from optimizer.dive import Run, dive, forgiving
from optimizer.domain import Cost
from optimizer.errors import SolverError
from optimizer.objectives import constant_money, gross_ev_money, money, unmet_price
from optimizer.polish import Search, is_small, polished
from optimizer.program import Program, Site, Variables
from optimizer.rounding import SERVED_KWH, IsOver, Rounding

PEAK_NOISE = 1e-6  # currency
POLISH_GAP = 3e-3  # of the vehicles' money: what a small site may lose before it is polished
POLISH_MONEY = 0.1  # currency: less is not worth seconds
SETTLED_GAP = 1e-3  # of it: what deciding the minima may lose, so that only steps are worth a search
GOOD_GAP = 1e-3  # of the vehicles' money: nearer to the bound, looking for more takes longer than it brings


def repair(
    site: Site,
    v: Variables,
    program: Program,
    x: Floats,
    *,
    wish: Floats,
    run: Run,
    run_part: Run,
    settle: Run,
    search: Search | None = None,
    is_over: IsOver = lambda: False,
) -> tuple[Ints, Floats]:
    """Whole steps for every charge column, and the columns of the program that they were rounded from.

    `program` is the money program with its directions fixed, `x` its solution; `wish` is the price of every column
    beside its money; `run` solves a program on the same matrix, `run_part` one on another, `settle` one in which no
    flow may go in a circle, `search` one in whole numbers; once time `is_over`, nobody is looked at any more. What `x`
    leaves unmet may stay unmet; anything more is avoided at any price.
    """
    promised_kwh = site.needs.owed_kwh - x[v.unmet]
    floors_kwh = site.milestones.owed_kwh - x[v.behind]
    gross, cheapest = gross_ev_money(site, x[v.charge]), program.value(x)
    good = cheapest + constant_money(site) + GOOD_GAP * gross
    polishes = search is not None and is_small(site)
    forgives = forgiving(site, v, program, x, wish) if polishes else program
    x = dive(site, v, program, x, wish=wish, run=run, run_part=run_part)
    target_kwh = np.where(_wants_more(site), site.delivered_kwh(net_vehicle_kw(site, v, x)), promised_kwh)
    target_kwh = np.maximum(target_kwh, promised_kwh)

    def paid(steps: Ints, settled: Floats) -> tuple[Cost, float]:
        """What a plan costs, and the energy that it leaves unmet beyond what the program does, kWh."""
        power_kw = steps * site.charge.step_kw
        missing_kwh = np.maximum(promised_kwh - site.delivered_kwh(power_kw), 0.0)
        missing_kwh[missing_kwh <= SERVED_KWH] = 0.0
        unmet_kwh = float(missing_kwh.sum()) + _floors_missed_kwh(site, floors_kwh, power_kw)
        return cost_of(site, flows(site, v, settled, power_kw), power_kw), unmet_kwh

    def rounded(*, keep_peak: bool) -> tuple[float, float, Ints, Floats]:
        rounding = Rounding(site, v, x, target_kwh, floors_kwh, is_over)
        steps = rounding.steps(keep_peak=keep_peak)
        if keep_peak:
            cost, unmet_kwh = paid(steps, x)
            if cost.minimised > good or unmet_kwh > SERVED_KWH:
                steps = rounding.improve()
        settled = _settle(site, v, program, x, steps, settle) if site.batteries else x
        cost, unmet_kwh = paid(steps, settled)
        return cost.minimised + unmet_price(site) * unmet_kwh, cost.demand, steps, settled

    # Batteries can take up what a step adds to a peak; without them it is the last resort.
    money_paid, demand, steps, settled = rounded(keep_peak=not site.batteries)
    planned = sum(
        charge.price_per_kw * (peak_kw - charge.free_peak_kw)
        for charge, peak_kw in zip(site.problem.demand_charges, x[v.peak].tolist(), strict=True)
    )
    if site.batteries and not is_over() and demand > planned + PEAK_NOISE:
        other = rounded(keep_peak=True)
        if other[0] < money_paid:
            money_paid, _, steps, settled = other
    if search is None or not polishes:
        return steps, settled
    for is_settled in (True, False):
        enough = money_paid <= cheapest + constant_money(site) + max(POLISH_GAP * gross, POLISH_MONEY)
        if enough or (is_settled and program.value(x) > cheapest + SETTLED_GAP * gross):
            continue
        try:
            found = polished(site, v, forgives, x, settled=is_settled, search=search)
        except SolverError:  # nothing found, or no time: what is there is a plan as well
            continue
        if found is not None:
            now = _settle(site, v, program, x, found, settle) if site.batteries else x
            cost, unmet_kwh = paid(found, now)
            worth = cost.minimised + unmet_price(site) * unmet_kwh
            if worth < money_paid - PEAK_NOISE:
                money_paid, steps, settled = worth, found, now
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
