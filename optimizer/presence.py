"""Who can charge when: sessions and slots as arrays, one charge column for each EVSE and slot.

Two stays may follow one another within a slot. The EVSE's limit in that slot is one number for both, so the column
belongs to the EVSE and carries the limits of everybody who is there during the slot.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from operator import attrgetter

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.domain import PHASES, Horizon, Problem, Session, room_in_vehicle_kwh
from optimizer.errors import InvalidProblemError

__all__ = [
    "Charge",
    "Flags",
    "Floats",
    "Grid",
    "Ints",
    "Needs",
    "charge_of",
    "evse_limit_kw",
    "full_power_kw",
    "later_kwh",
    "needs_of",
    "refuse_overlapping_stays",
    "same_charge",
    "seconds",
    "seconds_of",
]

MIN_OVERLAP_H = 1e-6  # 4 ms: shorter presence is rounding of the clock, and a coefficient that solvers drop
DC_STEP_KW = 0.001  # a DC limit is sent in watts
STEP_NOISE = 1e-6  # of a step: 32 A / 0.1 A is 319.99999999999994


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The slots in which something can still be decided; `first` is the number of the first in the horizon.

    `hours` is what is left of each slot from `Horizon.now` on: only the first can be shorter than the others.
    `start_s` and `end_s` are seconds since `Horizon.start`, half-open.
    """

    first: int
    start_s: Floats
    end_s: Floats

    @classmethod
    def of(cls, horizon: Horizon) -> "Grid":
        slot_s = horizon.slot_minutes * 60.0
        now_s = seconds(horizon.first_moment, horizon)
        first = int(now_s // slot_s)
        edges: Floats = np.arange(first, horizon.slots + 1, dtype=np.float64) * slot_s
        edges[0] = now_s
        return cls(first=first, start_s=edges[:-1], end_s=edges[1:])

    @property
    def slots(self) -> int:
        return self.start_s.size

    @property
    def hours(self) -> Floats:
        return (self.end_s - self.start_s) / 3600

    @property
    def delay_h(self) -> Floats:
        """Hours from now to the middle of each slot."""
        delay_h: Floats = (self.start_s + self.end_s) / 7200 - self.start_s[0] / 3600
        return delay_h


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """One entry a session: what is owed within the horizon and what it may take at most, kWh at the EVSE's meter.

    A session that leaves after the horizon's end owes, by the end, what it cannot still get afterwards at full power.
    A belief owes nothing: what it misses has a price instead. `required_kwh` is what it may take at most.
    """

    owed_kwh: Floats
    required_kwh: Floats
    is_belief: Flags
    service_class: Ints  # 0 is served first: by priority, plugged in before expected

    @property
    def classes(self) -> int:
        return int(self.service_class.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Charge:
    """The charge columns, and which session gets energy from which.

    One entry a column: EVSE, slot (from `Grid.first`), and the powers that can be asked for, in whole steps of
    `step_kw`: 0, or from `min_steps` to `max_steps`. `kw_per_a` is what energy counts: an unknown vehicle counts one
    phase. `amps_per_kw` (column, phase) is what safety counts: an unknown vehicle loads every wired phase; 0 where
    an unverified limit is counted in its place. `present` is the share of the slot's hours in which somebody is
    there, an expected vehicle by its probability: what money counts. One entry a pair of session and column:
    `session`, `column`, `overlap_h`.
    """

    evse: Ints
    slot: Ints
    step_kw: Floats
    min_steps: Ints
    max_steps: Ints
    kw_per_a: Floats
    amps_per_kw: Floats
    present: Floats
    session: Ints
    column: Ints
    overlap_h: Floats

    @property
    def columns(self) -> int:
        return self.evse.size

    @property
    def min_kw(self) -> Floats:
        return self.min_steps * self.step_kw

    @property
    def max_kw(self) -> Floats:
        return self.max_steps * self.step_kw

    def delivered_kwh(self, power_kw: Floats, sessions: int) -> Floats:
        """Energy of each session from the power of each column."""
        return sum_by(self.session, power_kw[self.column] * self.overlap_h, sessions)


def seconds(moment: datetime, horizon: Horizon) -> float:
    """Seconds since the start of the horizon."""
    return (moment - horizon.start) / timedelta(seconds=1)


def seconds_of(moments: Iterable[datetime], horizon: Horizon) -> Floats:
    """Seconds since the start of the horizon, of each moment."""
    start = horizon.start
    return np.array([(moment - start).total_seconds() for moment in moments], dtype=float)


def refuse_overlapping_stays(problem: Problem) -> None:
    """Raise `InvalidProblemError` when two sessions are at one EVSE at the same time, naming both."""
    latest: dict[str, Session] = {}
    for session in sorted(problem.sessions, key=lambda session: (session.arrival, session.departure)):
        before = latest.get(session.evse_id)
        if before is not None and session.arrival < before.departure:
            raise InvalidProblemError(
                f"sessions[{session.session_id}].arrival",
                f"{session.arrival.isoformat()} lies within the stay of {before.session_id!r} at the same EVSE "
                f"{session.evse_id!r}, which ends {before.departure.isoformat()}",
            )
        latest[session.evse_id] = session


def needs_of(problem: Problem) -> Needs:
    """What every session is owed, and in which order they are served."""
    horizon = problem.horizon
    required = np.array([session.required_energy_kwh for session in problem.sessions], dtype=float)
    owed = np.array([0.0 if s.scenarios else s.required_energy_kwh for s in problem.sessions], dtype=float)
    if problem.sessions:
        departure_s = seconds_of((session.departure for session in problem.sessions), horizon)
        owed = np.maximum(owed - later_kwh(problem, np.arange(owed.size), departure_s), 0.0)
    first_moment = horizon.first_moment
    rank = [(session.priority, session.arrival > first_moment) for session in problem.sessions]
    order = {key: number for number, key in enumerate(sorted(set(rank)))}
    return Needs(
        owed_kwh=owed,
        required_kwh=_most_kwh(problem, required),
        is_belief=np.array([bool(session.scenarios) for session in problem.sessions], dtype=np.bool_),
        service_class=np.array([order[key] for key in rank], dtype=np.int64),
    )


def later_kwh(problem: Problem, session: Ints, moment_s: Floats) -> Floats:
    """What each session can still get at full power from the horizon's end to a moment, in seconds from its start."""
    horizon = problem.horizon
    end_s = seconds(horizon.end, horizon)
    later: Floats = np.zeros(moment_s.size)
    after = np.flatnonzero(moment_s > end_s)
    if after.size:
        arrival_s = seconds_of((one.arrival for one in problem.sessions), horizon)[session[after]]
        left_s = np.maximum(moment_s[after] - np.maximum(arrival_s, end_s), 0.0)
        later[after] = left_s / 3600 * full_power_kw(problem)[session[after]]
    return later


def _most_kwh(problem: Problem, required: Floats) -> Floats:
    """What a session may take: what it needs, or more where it says so, and never more than fits."""
    most = required.copy()
    evses = {evse.evse_id: evse for evse in problem.evses}
    for number, session in enumerate(problem.sessions):
        if session.max_energy_kwh is not None:
            room_kwh = room_in_vehicle_kwh(session, evses[session.evse_id])
            most[number] = max(min(session.max_energy_kwh, room_kwh), session.required_energy_kwh)
    return most


def charge_of(problem: Problem, grid: Grid) -> Charge:
    """Every column in which some session can draw power. No loop over sessions × slots."""
    session, slot, overlap_h = _pairs(problem, grid)
    evse_ids = {evse.evse_id: number for number, evse in enumerate(problem.evses)}
    evse_of = np.array([evse_ids[session.evse_id] for session in problem.sessions], dtype=np.int64)
    kw_per_a, drawn = _phases(problem, evse_of)
    key, column = np.unique(evse_of[session] * grid.slots + slot, return_inverse=True)
    evse = key // grid.slots
    slot_of = key % grid.slots

    unit = np.full(key.size, inf)
    np.minimum.at(unit, column, kw_per_a[session])
    is_dc = np.array([evse.is_dc for evse in problem.evses])[evse]
    step_kw = np.where(is_dc, DC_STEP_KW, np.array([evse.current_step_a for evse in problem.evses])[evse] * unit)

    most_drawn = np.zeros(key.size, dtype=np.int64)  # at one EVSE, more phases hold all that fewer do
    np.maximum.at(most_drawn, column, drawn[session])
    minimum_a = np.zeros(key.size)
    np.maximum.at(minimum_a, column, _minimum_current_a(problem, evse_of)[session])
    limit_kw = evse_limit_kw(problem, evse, unit)
    np.minimum.at(limit_kw, column, _vehicle_limit_kw(problem)[session])
    open_a = _open_limit_a(problem)[evse]  # what an unverified EVSE may still be drawing
    is_open = (slot_of == 0) & np.isfinite(open_a)
    limit_kw = np.where(is_open, np.minimum(limit_kw, open_a * unit), limit_kw)
    most_drawn[is_open] = 0  # safety counts that limit instead: `headroom`
    min_steps = np.ceil(np.where(is_dc, 0.0, minimum_a * unit) / step_kw - STEP_NOISE).astype(np.int64)
    max_steps = np.floor(limit_kw / step_kw + STEP_NOISE).astype(np.int64)

    # Whoever is there and wants nothing would draw all the same; and a power below the minimum cannot be asked for.
    idle = np.zeros(key.size, dtype=np.bool_)
    wants = np.array([_wants(session) for session in problem.sessions], dtype=np.bool_)
    np.logical_or.at(idle, column, ~wants[session])
    keep = ~idle & (max_steps >= np.maximum(min_steps, 1))
    number = np.cumsum(keep) - 1
    pair, kept = np.flatnonzero(keep[column]), np.flatnonzero(keep)
    probability = np.array([s.probability for s in problem.sessions], dtype=float)
    present = sum_by(column, overlap_h * probability[session], key.size) / grid.hours[slot_of]
    return Charge(
        evse=evse[kept],
        slot=slot_of[kept],
        step_kw=step_kw[kept],
        min_steps=min_steps[kept],
        max_steps=max_steps[kept],
        kw_per_a=unit[kept],
        amps_per_kw=(_rank(problem)[evse[kept]] < most_drawn[kept, None]) / unit[kept, None],
        present=np.minimum(present[kept], 1.0),
        session=session[pair],
        column=number[column[pair]],
        overlap_h=overlap_h[pair],
    )


_READS = attrgetter("horizon", "evses", "connection.voltage_v")
_READS_OF_SESSION = attrgetter(
    "evse_id", "arrival", "departure", "max_power_kw", "vehicle_phases", "min_current_a", "probability", "v2g"
)


def same_charge(one: Problem, other: Problem) -> bool:
    """Whether `charge_of` reads the same of both problems: all but how much energy each session wants."""
    return (
        len(one.sessions) == len(other.sessions)
        and _READS(one) == _READS(other)
        and all(
            a is b or (_READS_OF_SESSION(a) == _READS_OF_SESSION(b) and _wants(a) == _wants(b))
            for a, b in zip(one.sessions, other.sessions, strict=True)
        )
    )


def _wants(session: Session) -> bool:
    """Whether it takes, or gives, anything at all."""
    return session.v2g is not None or (session.max_energy_kwh or session.required_energy_kwh) > 0


def _pairs(problem: Problem, grid: Grid) -> tuple[Ints, Ints, Floats]:
    """Session, slot and hours of presence, for every slot of every stay."""
    horizon = problem.horizon
    arrival = seconds_of((session.arrival for session in problem.sessions), horizon)
    departure = seconds_of((session.departure for session in problem.sessions), horizon)
    from_s = np.clip(arrival, grid.start_s[0], grid.end_s[-1])
    to_s = np.clip(departure, grid.start_s[0], grid.end_s[-1])
    first = np.searchsorted(grid.end_s, from_s, side="right")
    count = np.where(to_s > from_s, np.searchsorted(grid.start_s, to_s, side="left") - first, 0)
    session = np.repeat(np.arange(count.size), count)
    slot = np.arange(session.size) + np.repeat(first - (np.cumsum(count) - count), count)
    overlap_h = (np.minimum(to_s[session], grid.end_s[slot]) - np.maximum(from_s[session], grid.start_s[slot])) / 3600
    seen = overlap_h > MIN_OVERLAP_H
    return session[seen], slot[seen], overlap_h[seen]


def _phases(problem: Problem, evse_of: Ints) -> tuple[Floats, Ints]:
    """kW per A of each session, and how many phases safety counts."""
    wired = np.array([len(evse.phases) for evse in problem.evses], dtype=np.int64)[evse_of]
    is_dc = np.array([evse.is_dc for evse in problem.evses], dtype=np.bool_)[evse_of]
    known = np.array([session.vehicle_phases or 0 for session in problem.sessions], dtype=np.int64)
    counted = np.where(is_dc, wired, np.minimum(np.maximum(known, 1), wired))
    drawn = np.where(is_dc | (known == 0), wired, np.minimum(known, wired))
    return counted * problem.connection.voltage_v / 1000, drawn


def _rank(problem: Problem) -> Ints:
    """The place of each site phase at each EVSE; 3 where it is not wired."""
    wirings = {evse.phases for evse in problem.evses}
    rank = {wired: [wired.index(phase) if phase in wired else len(PHASES) for phase in PHASES] for wired in wirings}
    return np.array([rank[evse.phases] for evse in problem.evses], dtype=np.int64).reshape(-1, len(PHASES))


def _minimum_current_a(problem: Problem, evse_of: Ints) -> Floats:
    at_evse = np.array([evse.min_current_a for evse in problem.evses], dtype=float)[evse_of]
    of_vehicle = np.array([session.min_current_a or 0.0 for session in problem.sessions], dtype=float)
    larger: Floats = np.maximum(at_evse, of_vehicle)
    return larger


def _vehicle_limit_kw(problem: Problem) -> Floats:
    return np.array([inf if s.max_power_kw is None else s.max_power_kw for s in problem.sessions], dtype=float)


def evse_limit_kw(problem: Problem, evse: Ints, kw_per_a: Floats) -> Floats:
    """What each of these EVSEs can deliver at most, whoever is there."""
    current_a = np.array([inf if evse.max_current_a is None else evse.max_current_a for evse in problem.evses])[evse]
    power_kw = np.array([inf if evse.max_power_kw is None else evse.max_power_kw for evse in problem.evses])[evse]
    smaller: Floats = np.minimum(current_a * kw_per_a, power_kw)
    return smaller


def _open_limit_a(problem: Problem) -> Floats:
    """A per phase that each EVSE may still be drawing because its limit is not verified; infinite for all others."""
    forces = [evse.in_force for evse in problem.evses]
    return np.array([inf if one is None or one.verified else one.limit_a for one in forces], dtype=float)


def full_power_kw(problem: Problem) -> Floats:
    """The most that each session can draw."""
    evse_ids = {evse.evse_id: number for number, evse in enumerate(problem.evses)}
    evse_of = np.array([evse_ids[session.evse_id] for session in problem.sessions], dtype=np.int64)
    kw_per_a, _ = _phases(problem, evse_of)
    return np.minimum(evse_limit_kw(problem, evse_of, kw_per_a), _vehicle_limit_kw(problem))
