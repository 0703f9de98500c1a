"""Stretches: the times in which an EVSE's limit matters without a break, each to be told in so many periods.

A stretch is an unbroken run of slots in which some vehicle is at an EVSE. A profile says nothing before the first of
them, because no transaction runs yet. Behind the last one the plan counts the EVSE with 0: the profile falls to 0 where
it has a period left, else it ends there and leaves a vehicle that stays to the fallback.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from optimizer.arrays import Flags, Floats, Ints
from optimizer.domain import Problem
from optimizer.errors import InvalidProblemError
from optimizer.presence import MIN_OVERLAP_H, Grid, seconds
from optimizer.program import Site

NOBODY = -1  # a slot in which nothing can be drawn


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive slots at one EVSE, which are to be told in at most `budget` periods.

    `slot` counts from `Grid.first`. `column` is the charge column of each slot, `NOBODY` where a vehicle is there and
    may draw nothing, so that the limit is 0 whatever is chosen.
    """

    evse: int
    slot: Ints
    column: Ints
    budget: int

    @property
    def slots(self) -> int:
        return self.column.size

    @property
    def is_open(self) -> Flags:
        """In which slots something can be drawn."""
        open_slots: Flags = self.column != NOBODY
        return open_slots

    def of_columns(self, values: Floats) -> Floats:
        """One value a slot from one a charge column; 0 where nothing can be drawn."""
        return np.where(self.is_open, values[np.maximum(self.column, 0)], 0.0) if values.size else np.zeros(self.slots)

    def runs(self, steps: Ints) -> int:
        """In how many periods these steps (of every charge column) can be told."""
        return 1 + int(np.count_nonzero(np.diff(self.of_columns(steps.astype(float)))))


def stretches_of(site: Site, max_periods: Mapping[str, int], until: datetime | None = None) -> tuple[Stretch, ...]:
    """The stretches of every EVSE that `max_periods` names, up to the slot that holds `until`.

    Raise `InvalidProblemError` for an EVSE that does not exist and a number below 1.
    """
    problem, grid = site.problem, site.grid
    known = {evse.evse_id for evse in problem.evses}
    for evse_id, periods in max_periods.items():
        if evse_id not in known:
            raise InvalidProblemError(f"max_periods[{evse_id}]", "does not exist")
        if periods < 1:
            raise InvalidProblemError(f"max_periods[{evse_id}]", f"{periods} is not at least 1")
    slots = grid.slots if until is None else int(np.searchsorted(grid.start_s, seconds(until, problem.horizon)))
    column = np.full((len(problem.evses), grid.slots), NOBODY, dtype=np.int64)
    column[site.charge.evse, site.charge.slot] = np.arange(site.charge.columns)
    there = _there(problem, grid)
    return tuple(
        stretch
        for number, evse in enumerate(problem.evses)
        if evse.evse_id in max_periods
        for stretch in _of_evse(number, there[number, :slots], column[number], max_periods[evse.evse_id])
    )


def _there(problem: Problem, grid: Grid) -> Flags:
    """(EVSE, slot): whether some vehicle is there."""
    evses = {evse.evse_id: number for number, evse in enumerate(problem.evses)}
    there = np.zeros((len(evses), grid.slots), dtype=np.bool_)
    for session in problem.sessions:
        arrival_s, departure_s = (seconds(one, problem.horizon) for one in (session.arrival, session.departure))
        overlap_s = np.minimum(grid.end_s, departure_s) - np.maximum(grid.start_s, arrival_s)
        there[evses[session.evse_id]] |= overlap_s > MIN_OVERLAP_H * 3600
    return there


def _of_evse(evse: int, there: Flags, column: Ints, budget: int) -> Iterator[Stretch]:
    edges = np.flatnonzero(np.diff(there, prepend=False, append=False))
    for first, last in edges.reshape(-1, 2).tolist():
        slot = np.arange(first, last)
        own = column[slot]
        if (own != NOBODY).any():
            yield Stretch(evse, slot, own, budget)
