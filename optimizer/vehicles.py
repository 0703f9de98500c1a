"""Vehicles whose energy has to be followed slot by slot: those that take less when nearly full, and those that give.

Energy is counted at the EVSE's meter from `Horizon.now` on, so that it adds up with what a session needs. With
efficiency η a battery gains η kWh per kWh taken and loses 1/η per kWh given: one kWh given costs 1/η² kWh taken.
"""

from dataclasses import dataclass
from math import inf

import numpy as np

from optimizer.arrays import Flags, Floats, Ints, sum_by
from optimizer.domain import Evse, Problem, Session, room_in_vehicle_kwh
from optimizer.presence import Charge, evse_limit_kw, full_power_kw

STEP_KWH_PER_A = 1.3  # three phases of 400 V and more, for an hour
EXCESS_NOISE_KWH = 1e-3
ATTEMPTS = 4  # to make what is taken fit what is given; then nothing is given


@dataclass(frozen=True, slots=True, eq=False)
class Vehicles:
    """One entry for each slot of each stay that is followed, stay by stay in the order of time.

    `column` (of `Charge`), `hours` there, `begins` where a stay starts. `least_kwh` and `most_kwh` bound the energy at
    the slot's end. `slope` (kW per kWh, 0 without a taper) and `zero_kwh`: power ≤ slope · (zero − energy at the end).
    `give_kw` is what may be given, 0 in most entries, `loss` what a kWh given costs, `wear_price` its wear.
    """

    session: Ints
    column: Ints
    hours: Floats
    begins: Flags
    least_kwh: Floats
    most_kwh: Floats
    slope: Floats
    zero_kwh: Floats
    give_kw: Floats
    loss: Floats
    wear_price: Floats

    @property
    def giving(self) -> Ints:
        """The entries in which energy may be given."""
        return np.flatnonzero(self.give_kw > 0)

    @property
    def gives(self) -> Flags:
        """For each entry, whether its session gives somewhere: its energy goes both ways, and has columns."""
        return np.isin(self.session, self.session[self.giving])

    def before_kwh(self, power_kw: Floats) -> Floats:
        """Energy at the start of each entry when the charge columns have these powers; below 0 is giving."""
        entry_kw = power_kw[self.column]
        gain_kwh = np.where(entry_kw < 0, entry_kw * self.loss, entry_kw) * self.hours
        before_kwh = np.cumsum(gain_kwh) - gain_kwh
        begin = np.flatnonzero(self.begins)
        return before_kwh - before_kwh[begin][np.cumsum(self.begins) - 1] if begin.size else before_kwh

    @property
    def tapering(self) -> Ints:
        """The entries whose power the vehicle itself limits."""
        return np.flatnonzero(self.slope > 0)

    def extra_kwh(self, power_kw: Floats, sessions: int) -> Floats:
        """What giving takes from each session beyond the energy given; `power_kw` by charge column, giving below 0."""
        entries = self.giving
        given_kwh = np.maximum(-power_kw[self.column[entries]], 0.0) * self.hours[entries]
        return sum_by(self.session[entries], given_kwh * (self.loss[entries] - 1), sessions)


def vehicles_of(problem: Problem, charge: Charge) -> Vehicles:
    """Follow every vehicle with a taper or with leave to give."""
    evses = {evse.evse_id: evse for evse in problem.evses}
    followed = np.array([s.v2g is not None or _can_bind(s, evses[s.evse_id]) for s in problem.sessions], dtype=np.bool_)
    pair = np.flatnonzero(followed[charge.session]) if followed.any() else np.zeros(0, dtype=np.int64)
    session, column = charge.session[pair], charge.column[pair]
    full_kw = full_power_kw(problem) if followed.any() else np.zeros(0)
    least, most, slope, zero, give, loss, wear = (np.zeros(len(problem.sessions)) for _ in range(7))
    for number in np.flatnonzero(followed).tolist():
        one = problem.sessions[number]
        efficiency = evses[one.evse_id].efficiency
        least[number], most[number] = _bounds_kwh(one, efficiency), room_in_vehicle_kwh(one, evses[one.evse_id])
        slope[number], zero[number] = _taper(one, efficiency, float(full_kw[number]))
        loss[number] = 1 / efficiency**2
        if one.v2g is not None and least[number] < 0:
            give[number], wear[number] = one.v2g.max_discharge_kw, one.v2g.wear_price_per_kwh
    shared = np.bincount(charge.column, minlength=charge.columns) > 1
    unverified = ~charge.amps_per_kw.any(axis=1)
    limit_kw = evse_limit_kw(problem, charge.evse[column], charge.kw_per_a[column])
    may_give = ~(shared | unverified)[column]
    return Vehicles(
        session=session,
        column=column,
        hours=charge.overlap_h[pair],
        begins=np.diff(session, prepend=-1) != 0,
        least_kwh=least[session],
        most_kwh=most[session],
        slope=slope[session],
        zero_kwh=zero[session],
        give_kw=np.where(may_give, np.minimum(give[session], limit_kw), 0.0),
        loss=loss[session],
        wear_price=wear[session],
    )


def _can_bind(session: Session, evse: Evse) -> bool:
    """Whether the vehicle can come into its taper with what it may take; one step of an hour beyond included."""
    if session.taper is None or session.soc is None or session.capacity_kwh is None:
        return False
    most_kwh = (session.max_energy_kwh or session.required_energy_kwh) + max(evse.current_step_a, 1.0) * STEP_KWH_PER_A
    return session.soc + most_kwh * evse.efficiency / session.capacity_kwh > session.taper.from_soc


def _bounds_kwh(session: Session, efficiency: float) -> float:
    """How far the energy may fall: not below the floor, and not at all where the vehicle starts below it."""
    if session.v2g is None or session.soc is None or session.capacity_kwh is None:
        return 0.0
    return min((session.v2g.floor_energy_kwh - session.soc * session.capacity_kwh) * efficiency, 0.0)


def _taper(session: Session, efficiency: float, full_kw: float) -> tuple[float, float]:
    """Slope in kW per kWh at the meter, and the energy at which nothing is taken any more."""
    if session.taper is None or session.soc is None or session.capacity_kwh is None or full_kw == inf:
        return 0.0, inf
    per_soc_kwh = session.capacity_kwh / efficiency
    slope = full_kw / ((session.taper.zero_at_soc - session.taper.from_soc) * per_soc_kwh)
    return slope, max(session.taper.zero_at_soc - session.soc, 0.0) * per_soc_kwh


class Levels:
    """The energy of followed vehicles while the steps of their columns are moved about."""

    def __init__(self, vehicles: Vehicles, charge: Charge) -> None:
        self._vehicles, self._charge = vehicles, charge
        sessions, begin = np.unique(vehicles.session, return_index=True)
        entries = np.split(np.arange(vehicles.session.size), begin[1:])
        self._entries = dict(zip(sessions.tolist(), entries, strict=False))
        self._places: dict[int, list[int]] = {}  # a column that two stays share is followed for both
        for entry, column in enumerate(vehicles.column.tolist()):
            self._places.setdefault(column, []).append(entry)

    def keep_within(self, steps: Ints, required_kwh: Floats) -> Ints:
        """The steps, lowered where a vehicle would not take, or could not give, that much; no more than is required.

        What rounding takes from giving is energy that stays in the vehicle: taking is lowered by it, the latest first.
        Where that cannot be made to fit, the vehicle gives nothing.
        """
        steps = self._follow(steps)
        for session in np.unique(self._vehicles.session[self._vehicles.giving]).tolist():
            columns = self._vehicles.column[self._entries[session]]
            for attempt in range(ATTEMPTS + 1):
                excess_kwh = self._net_kwh(session, steps) - float(required_kwh[session])
                if excess_kwh <= EXCESS_NOISE_KWH:
                    break
                if attempt >= ATTEMPTS - 1:
                    steps[columns] = np.maximum(steps[columns], 0)
                self._lower(session, steps, excess_kwh)
                if attempt < ATTEMPTS - 1:
                    steps = self._follow(steps)
        return steps

    def _net_kwh(self, session: int, steps: Ints) -> float:
        entries = self._entries[session]
        column = self._vehicles.column[entries]
        power_kw = steps[column] * self._charge.step_kw[column]
        metered_kw = np.where(power_kw < 0, power_kw * self._vehicles.loss[entries], power_kw)
        return float(metered_kw @ self._vehicles.hours[entries])

    def _lower(self, session: int, steps: Ints, excess_kwh: float) -> None:
        """Take steps from the slots in which the vehicle takes energy, the latest first."""
        for entry in self._entries[session][::-1].tolist():
            column = self._vehicles.column[entry]
            if excess_kwh <= EXCESS_NOISE_KWH or steps[column] <= 0:
                continue
            step_kwh = float(self._charge.step_kw[column] * self._vehicles.hours[entry])
            fewer = max(int(steps[column]) - int(np.ceil(excess_kwh / step_kwh)), 0)
            fewer = fewer if fewer >= self._charge.min_steps[column] else 0
            excess_kwh -= (int(steps[column]) - fewer) * step_kwh
            steps[column] = fewer

    def _follow(self, steps: Ints) -> Ints:
        """The steps, lowered from the first slot on where a vehicle would not take, or could not give, that much."""
        vehicles, charge = self._vehicles, self._charge
        steps = steps.copy()
        level_kwh = 0.0
        for entry, column in enumerate(vehicles.column.tolist()):
            level_kwh = 0.0 if vehicles.begins[entry] else level_kwh
            hours, slope, loss = vehicles.hours[entry], vehicles.slope[entry], vehicles.loss[entry]
            most_kw = (vehicles.most_kwh[entry] - level_kwh) / hours
            if slope > 0:
                most_kw = min(most_kw, slope * (vehicles.zero_kwh[entry] - level_kwh) / (1 + slope * hours))
            give_kw = (level_kwh - vehicles.least_kwh[entry]) / (hours * loss)
            step_kw, least = charge.step_kw[column], charge.min_steps[column]
            wanted = int(steps[column])
            within = min(abs(wanted), int(max(most_kw if wanted > 0 else give_kw, 0.0) / step_kw + 1e-6))
            steps[column] = 0 if within < least else within if wanted > 0 else -within
            power_kw = steps[column] * step_kw
            level_kwh += hours * (power_kw if power_kw > 0 else power_kw * loss)
        return steps

    def follows(self, columns: Ints) -> bool:
        """Whether some of these columns are a followed vehicle's: what it takes in one limits the others."""
        return bool(self._places) and any(column in self._places for column in columns.tolist())

    @property
    def sessions(self) -> Ints:
        """The sessions that are followed."""
        return np.array(list(self._entries), dtype=np.int64)

    def free_steps(self, columns: Ints, steps: Ints, most: Ints) -> Ints:
        """Steps that each column can have on top: what the vehicle takes there, and leaves for its later slots."""
        if not self._places:
            return most
        most = most.copy()
        free: dict[int, Ints] = {}
        for place, column in enumerate(columns.tolist()):
            for entry in self._places.get(column, ()):
                session = int(self._vehicles.session[entry])
                if session not in free:
                    free[session] = self._free_of(session, steps)
                most[place] = min(most[place], free[session][entry - self._entries[session][0]])
        return most

    def _free_of(self, session: int, steps: Ints) -> Ints:
        """Steps that each of a session's entries can have on top, one at a time."""
        vehicles, charge = self._vehicles, self._charge
        entries = self._entries[session]
        columns, hours, slope = vehicles.column[entries], vehicles.hours[entries], float(vehicles.slope[entries[0]])
        step_kw = charge.step_kw[columns]
        power_kw = steps[columns] * step_kw
        level_kwh = np.cumsum(np.where(power_kw < 0, power_kw * vehicles.loss[entries], power_kw) * hours)
        free = _least_from_here_on(vehicles.most_kwh[entries] - level_kwh) / (step_kw * hours)
        if slope > 0:
            slack_kw = slope * (vehicles.zero_kwh[entries] - level_kwh) - np.maximum(power_kw, 0.0)
            later_kw = _least_from_here_on(np.where(power_kw > 0, slack_kw, np.inf))
            later_kw = np.append(later_kw[1:], np.inf)
            here_kw = slack_kw / (1 + slope * hours)
            free = np.minimum(free, np.minimum(here_kw, later_kw / (slope * hours)) / step_kw)
        enough = np.minimum(np.maximum(free, 0.0), charge.max_steps[columns])
        return np.floor(enough + 1e-6).astype(np.int64)


def _least_from_here_on(values: Floats) -> Floats:
    least: Floats = np.minimum.accumulate(values[::-1])[::-1]
    return least
