"""Energy by a moment within a stay: the floor of a promise, and the scenarios of a belief.

Both say that by some moment so many kWh have been delivered, or are missing. What a floor misses is a wish that
failed, like a promise; what a scenario misses has a price, weighed by the scenario's probability.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.domain import Problem
from optimizer.presence import Charge, Grid, later_kwh, seconds_of
from optimizer.vehicles import Vehicles


@dataclass(frozen=True, slots=True, eq=False)
class Milestones:
    """One entry a milestone: `session`, `owed_kwh` at the EVSE's meter, `probability` (0 for a floor), `is_floor`.

    `most_kwh` is what can be missing at most: what is owed, and what the vehicle may have given by then.

    One entry a non-zero: `milestone`, `column` (of `Charge`), and `hours` of presence in its slot before the moment.
    """

    session: Ints
    owed_kwh: Floats
    most_kwh: Floats
    probability: Floats
    is_floor: Flags
    milestone: Ints
    column: Ints
    hours: Floats

    @property
    def count(self) -> int:
        return self.session.size

    @property
    def floors(self) -> Ints:
        """The numbers of the milestones that are floors."""
        return np.flatnonzero(self.is_floor)

    def missing_kwh(self, power_kw: Floats, vehicles: Vehicles) -> Floats:
        """What each milestone lacks when the charge columns have these powers; below 0 is giving."""
        got_kwh = sum_by(self.milestone, power_kw[self.column] * self.hours, self.count)
        if vehicles.give_kw.any():
            entry, given, loss = self.giving(vehicles, power_kw.size)
            lost_kw = np.maximum(-power_kw[vehicles.column[vehicles.giving[given]]], 0.0) * (loss - 1)
            got_kwh -= sum_by(self.milestone[entry], lost_kw * self.hours[entry], self.count)
        missing_kwh: Floats = np.maximum(self.owed_kwh - got_kwh, 0.0)
        return missing_kwh

    def giving(self, vehicles: Vehicles, columns: int) -> tuple[Ints, Ints, Floats]:
        """The non-zeros whose column may give: their numbers, the number in `vehicles.giving`, and the loss."""
        place = np.full(columns, -1)
        place[vehicles.column[vehicles.giving]] = np.arange(vehicles.giving.size)
        entry = np.flatnonzero(place[self.column] >= 0)
        given = place[self.column[entry]]
        return entry, given, vehicles.loss[vehicles.giving[given]]


def milestones_of(problem: Problem, grid: Grid, charge: Charge, vehicles: Vehicles) -> Milestones:
    """Every floor and every scenario; one whose moment lies after the horizon owes what cannot be got later."""
    stated = [
        (number, session.floor_by, session.floor_energy_kwh, 0.0, True)
        for number, session in enumerate(problem.sessions)
        if session.floor_by is not None and session.floor_energy_kwh > 0
    ]
    stated += [
        (number, scenario.departure, scenario.required_energy_kwh, scenario.probability, False)
        for number, session in enumerate(problem.sessions)
        for scenario in session.scenarios
    ]
    session = np.array([number for number, *_ in stated], dtype=np.int64)
    moment_s = seconds_of((moment for _, moment, *_ in stated), problem.horizon)
    owed_kwh = np.array([energy_kwh for _, _, energy_kwh, *_ in stated], dtype=float)
    if stated:
        owed_kwh = np.maximum(owed_kwh - later_kwh(problem, session, moment_s), 0.0)

    least_kwh = np.zeros(len(problem.sessions))
    least_kwh[vehicles.session] = vehicles.least_kwh

    order = np.argsort(charge.session, kind="stable")
    first = np.searchsorted(charge.session[order], np.arange(len(problem.sessions) + 1))
    count = (first[1:] - first[:-1])[session]
    milestone = np.repeat(np.arange(session.size), count)
    begin = first[session] - (np.cumsum(count) - count)
    pair = order[np.arange(milestone.size) + np.repeat(begin, count)]
    slot = charge.slot[charge.column[pair]]
    arrival_s = seconds_of((one.arrival for one in problem.sessions), problem.horizon)
    from_s = np.maximum(grid.start_s[slot], arrival_s[session[milestone]])
    hours = np.clip((np.minimum(moment_s[milestone], grid.end_s[slot]) - from_s) / 3600, 0.0, charge.overlap_h[pair])
    counts = hours > 0
    return Milestones(
        session=session,
        owed_kwh=owed_kwh,
        most_kwh=owed_kwh - least_kwh[session],
        probability=np.array([probability for *_, probability, _ in stated], dtype=float),
        is_floor=np.array([is_floor for *_, is_floor in stated], dtype=np.bool_),
        milestone=milestone[counts],
        column=charge.column[pair[counts]],
        hours=hours[counts],
    )
