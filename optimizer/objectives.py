"""The terms of the objective, one function each: a price for every column. Money and preference are kept apart.

`MONEY` and `PREFERENCE` are the tables of contents. A preference is weighed in a second solve, under a bound on cost.
"""

from collections.abc import Callable

import numpy as np

from optimizer.arrays import Floats
from optimizer.program import Site, Variables

HEAD_START = 0.01  # of the mean price: what waiting for the whole horizon costs while money is looked for

Term = Callable[[Site, Variables], Floats]


def energy_and_carbon(site: Site, v: Variables) -> Floats:
    """Import at its price with carbon, less export at its price. Currency per kW: the price times the slot's hours."""
    cost = np.zeros(v.columns)
    cost[v.imported] = site.buy_price * site.grid.hours
    cost[v.exported] = -site.sell_price * site.grid.hours
    return cost


def demand(site: Site, v: Variables) -> Floats:
    """Each kW of a billed peak. What is already known to be billed is constant and taken off in `constant_money`."""
    cost = np.zeros(v.columns)
    cost[v.peak] = [charge.price_per_kw for charge in site.problem.demand_charges]
    return cost


def wear(site: Site, v: Variables) -> Floats:
    """Battery wear, per kWh that is stored; a vehicle's, per kWh that it gives."""
    cost = np.zeros(v.columns)
    cost[v.store] = np.array([battery.wear_price_per_kwh for battery in site.batteries])[:, None] * site.grid.hours
    given = site.vehicles.column[site.vehicles.giving]
    given_h = (site.grid.hours[site.charge.slot] * site.charge.present)[given]
    cost[v.give] = site.vehicles.wear_price[site.vehicles.giving] * given_h
    return cost


def expected_unmet(site: Site, v: Variables) -> Floats:
    """What a belief is expected to miss, at the site's price: each scenario by its probability. Nobody pays it."""
    cost = np.zeros(v.columns)
    cost[v.behind] = site.milestones.probability * (site.problem.unmet_price_per_kwh or 0.0)
    return cost


def delay(site: Site, v: Variables) -> Floats:
    """Earlier rather than later: kWh into vehicles times the hours that they wait for it, weighed by their turn.

    Hours of one vehicle weigh a little less than those of the one before it. With equal weights it would not matter who
    of two waits for the other, and they would take turns by the slot; so each charges in one block.
    """
    cost = np.zeros(v.columns)
    charge = site.charge
    cost[v.charge] = (site.grid.delay_h * site.grid.hours)[charge.slot] * charge.present * _turn(site)
    return cost


def _turn(site: Site) -> Floats:
    """The weight of every charge column: 2 for the session that goes first, towards 1 for the last.

    By service class, then by departure, then by arrival. A column that two sessions share has the larger weight.
    """
    sessions = site.problem.sessions
    order = sorted(
        range(len(sessions)),
        key=lambda one: (site.needs.service_class[one], sessions[one].departure, sessions[one].arrival, one),
    )
    weight = np.empty(len(sessions))
    weight[order] = 2.0 - np.arange(len(sessions)) / max(len(sessions), 1)
    turn = np.ones(site.charge.columns)
    np.maximum.at(turn, site.charge.column, weight[site.charge.session])
    return turn


MONEY: tuple[Term, ...] = (energy_and_carbon, demand, wear, expected_unmet)
PREFERENCE: tuple[Term, ...] = (delay,)


def money(site: Site, v: Variables) -> Floats:
    """All terms that are paid or have a price."""
    cost: Floats = np.sum([term(site, v) for term in MONEY], axis=0)
    return cost


def preference(site: Site, v: Variables) -> Floats:
    """All terms that are wished for."""
    cost: Floats = np.sum([term(site, v) for term in PREFERENCE], axis=0)
    return cost


def head_start(site: Site, v: Variables) -> Floats:
    """Preference at a price so low that it moves next to no money: where the solving of money begins, not its answer.

    The cheapest plan is proven without it. Where what it found is as cheap, it is also the preferred one of the
    cheapest: whoever is preferred more would cost less with it, too.
    """
    weight: Floats = preference(site, v) * (HEAD_START * mean_price(site) / site.grid.hours.sum())
    return weight


def mean_price(site: Site) -> float:
    """What a kWh costs about, and 1 where it costs nothing: the scale of prices that only break ties."""
    return float(np.abs(site.buy_price).mean()) or 1.0


def constant_money(site: Site) -> float:
    """What `demand` counts although it does not cost: the peaks that are free."""
    return -sum(charge.price_per_kw * charge.free_peak_kw for charge in site.problem.demand_charges)


def unmet_price(site: Site) -> float:
    """A price per kWh that no delivery within reach can cost: going without never pays.

    One more kWh costs at most its import or lost export, the peak of one interval, a detour through batteries, and
    what a belief misses in its place.
    """
    charges = site.problem.demand_charges
    peaks = sum(charge.price_per_kw * 60 / charge.interval_minutes for charge in charges)
    wears = sum(battery.wear_price_per_kwh for battery in site.batteries)
    wears += float(site.vehicles.wear_price.max(initial=0.0))
    dearest = np.abs(site.buy_price).max() + np.abs(site.sell_price).max()
    beliefs = site.problem.unmet_price_per_kwh or 0.0
    return float(10 * (dearest + peaks + wears + beliefs) + 1)


def gross_ev_money(site: Site, power_kw: Floats) -> float:
    """Σ |import price| · energy into vehicles: the scale on which gaps and budgets are measured."""
    price = np.abs(np.array(site.problem.import_price_per_kwh)[site.grid.first :])
    charge = site.charge
    return float(np.sum((price * site.grid.hours)[charge.slot] * charge.present * np.maximum(power_kw, 0.0)))
