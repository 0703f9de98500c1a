"""Simple policies: what a plan is compared with, and what is sent when no plan could be made.

`uncontrolled` is a site without any control: every vehicle draws all it can from its arrival on. It breaks fuses
where there are too many, and says so. `equal_share` divides what every circuit can carry equally, slot by slot,
knows nothing of prices, and keeps every rule. In both, batteries do nothing and PV is used as it comes.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from optimizer.check import SAFETY, violations
from optimizer.domain import Baseline, BatteryResult, Cost, Problem, Schedule, SessionResult
from optimizer.presence import Floats, Ints
from optimizer.program import Site

NEED_NOISE_KWH = 1e-6  # less is no need any more
ROUNDS = 50  # halvings of the common current: 32 A / 2⁵⁰ is far below every step


def uncontrolled(problem: Problem) -> Schedule:
    """Every vehicle takes all that it and its EVSE can, from arrival until it has what it needs.

    Limits of circuits and of the connection are ignored; what that would break is among the schedule's violations.
    In the slot in which a vehicle becomes full its power is the mean over the time it is there.
    """
    site = Site.of(problem)
    power_kw = np.zeros(site.charge.columns)
    left_kwh = site.needs.required_kwh.copy()
    for columns in _by_slot(site):
        power_kw[columns] = np.minimum(site.charge.max_kw[columns], _needed_kw(site, columns, left_kwh))
        left_kwh -= _delivered_kwh(site, columns, power_kw)
    schedule = _settle(site, power_kw, curtail=False)
    broken = violations(problem, schedule)
    return replace(schedule, violations=tuple(broken_rule for broken_rule in broken.all if broken_rule.rule in SAFETY))


def equal_share(problem: Problem) -> Schedule:
    """Every vehicle that still needs energy gets the same current, as far as all circuits and phases can carry it.

    The common current rises until a circuit, a phase or the vehicle itself stops it; the others share what is left.
    Where the minimum current does not fit for all, those with the smallest part of their need met go first, so that
    everybody has a turn. Keeps every rule that `check` knows, whatever the prices.
    """
    site = Site.of(problem)
    charge = site.charge
    power_kw = np.zeros(charge.columns)
    required_kwh = site.needs.required_kwh
    left_kwh = required_kwh.copy()
    limits = _Limits(site)
    for columns in _by_slot(site):
        wanted = _wanted_steps(site, columns, left_kwh)
        hungry = wanted > 0
        columns, wanted = columns[hungry], wanted[hungry]
        if columns.size:
            steps = limits.share(columns, wanted, _turns(site, columns, left_kwh))
            power_kw[columns] = steps * charge.step_kw[columns]
            left_kwh -= _delivered_kwh(site, columns, power_kw)
    return _settle(site, power_kw, curtail=True)


def summary(problem: Problem, schedule: Schedule) -> Baseline:
    """What a policy would have cost and broken. `peak_kw` is the highest import of a slot."""
    return Baseline(
        cost=schedule.cost,
        unmet_kwh=schedule.unmet_kwh,
        peak_kw=max(schedule.import_kw, default=0.0),
        violations=schedule.violations,
        power_kw=schedule.power_kw,
    )
