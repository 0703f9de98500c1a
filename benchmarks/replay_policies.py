"""The policies of a replay, and the loop in which they meet the cars. A policy sees `Present` and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from math import ceil, sqrt
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.gather.best_cap import FULL_DAYS, best_cap_kw, share_per_kw
from app.gather.expected_peak import (
    Stay,
    WeekPeak,
    best_peak_kw,
    expected_peak_kw,
    least_peak_kw,
    week_price_per_kw,
    with_reserve,
)
from app.gather.sessions import DECLINED_FOR
from benchmarks.replayed import DEMAND_PRICE_PER_KW, MOST_KW, SLOT, SLOT_H, USUAL_KW, Floats, Month, Outcome, price
from forecasts.local_days import is_off_day
from forecasts.sessions import SessionModel, StayBelief
from optimizer.domain import Connection, DemandCharge, Evse, Horizon, Problem, Scenario, Session
from optimizer.solve import solve

WEEK_SLOTS = 7 * 96
WEEKS = 5
MOST_SLOTS = 2 * 96  # a plan looks two days ahead at the most
SCENARIOS = 8
FULL_SEEN_H = DECLINED_FOR / timedelta(hours=1)  # as in the service
MOMENT_H = 1e-3  # too little of a quarter hour to plan for
LEAST_NEED_KWH = 1e-6  # who has all that it wants is offered nothing; what sums leave over is no need
NEW_UNMET_PRICE = (
    2.0  # per kWh, on the last workday; times the root of the workdays left that a higher peak would serve
)
UNMET_PRICE = 3.0  # per kWh, where the peak to keep to is known from the weeks before
LEAST_DAYS = 3  # as in the service; before that weeks are planned with foresight, with a reserve


@dataclass(frozen=True)
class Present:
    """A car that is there and not full as far as anybody knows: its number in the month, and what it has taken."""

    car: int
    taken_kwh: float


@dataclass(frozen=True)
class Wanted:
    """What a policy asks the optimiser for."""

    sessions: tuple[Session, ...]
    expected_peak_kw: float | None  # None: nothing is known, what those who are there need is a start
    unmet_price_per_kwh: float | None  # None: they are promises


class Policy(Protocol):
    """What is believed of the cars that are there."""

    def wants(self, now: datetime, present: Sequence[Present]) -> Wanted: ...

    def left(self, car: int, taken_kwh: float, full: bool) -> None:
        """A car has gone; `full` when it took less than it was offered."""
        ...


def replay(
    month: Month, policy: Policy, progress: Callable[[str], None] = lambda _: None, *, full_seen_h: float = FULL_SEEN_H
) -> Outcome:
    """Quarter hour by quarter hour: plan, let the first slot happen, see who is full and who leaves.

    A car that is full is seen after `full_seen_h`, and those that are left are planned anew for the rest of the quarter
    hour; by the next one it is seen at any rate.
    """
    power_kw, taken = np.zeros(month.slots), np.zeros(month.size)
    full = np.zeros(month.size, dtype=bool)
    peak_kw = 0.0
    for slot in range(month.slots):
        if slot and slot % WEEK_SLOTS == 0:
            progress(f"week {slot // WEEK_SLOTS} of {ceil(month.slots / WEEK_SLOTS)}, peak {peak_kw:.0f} kW")
        for car in np.flatnonzero(month.departure == slot):
            policy.left(int(car), float(taken[car]), bool(full[car]))
        into_h, drawn_kwh = 0.0, 0.0
        while into_h < SLOT_H - MOMENT_H:
            offers = _planned(month, policy, slot, into_h, drawn_kwh, peak_kw, taken, full)
            if not offers:
                break
            cars, offered_kw = np.array(list(offers)), np.array(list(offers.values()))
            missing_kwh = month.energy_kwh[cars] - taken[cars]
            full_at_h = into_h + missing_kwh / np.maximum(offered_kw, 1e-9)
            until_h = min(SLOT_H, float(full_at_h.min(initial=SLOT_H)) + full_seen_h)
            took_kwh = np.minimum(offered_kw * (until_h - into_h), missing_kwh)
            taken[cars] += took_kwh
            drawn_kwh += float(took_kwh.sum())
            seen_h = full_at_h if until_h == SLOT_H else full_at_h + full_seen_h - 1e-6
            full[cars] |= seen_h < until_h
            into_h = until_h
        power_kw[slot] = drawn_kwh / SLOT_H
        peak_kw = max(peak_kw, power_kw[slot])
    return Outcome(power_kw, taken)


def _planned(
    month: Month,
    policy: Policy,
    slot: int,
    into_h: float,
    drawn_kwh: float,
    peak_kw: float,
    taken: Floats,
    full: NDArray[np.bool_],
) -> dict[int, float]:
    """kW by car for the rest of a quarter hour; empty where nobody who is there wants anything."""
    there = np.flatnonzero((month.arrival <= slot) & (slot < month.departure) & ~full)
    if not there.size:
        return {}
    now = month.moment(slot) + timedelta(seconds=round(3600 * into_h))
    wanted = policy.wants(now, [Present(int(car), float(taken[car])) for car in there])
    sessions = tuple(one for one in wanted.sessions if one.required_energy_kwh > LEAST_NEED_KWH)
    return _offers(month, slot, now, drawn_kwh, peak_kw, replace(wanted, sessions=sessions)) if sessions else {}


class Known:
    """The truth of those who are there: what a perfect forecast at plug-in would know. Later arrivals are unknown."""

    def __init__(self, month: Month) -> None:
        self._month = month

    def wants(self, now: datetime, present: Sequence[Present]) -> Wanted:
        month = self._month
        sessions = [
            _promise(one, now, month.moment(month.departure[one.car]), month.energy_kwh[one.car]) for one in present
        ]
        return Wanted(tuple(sessions), 0.0, None)

    def left(self, car: int, taken_kwh: float, full: bool) -> None:
        pass


class Stated(Known):
    """What drivers stated, taken as truth; the truth of those who stated nothing."""

    def wants(self, now: datetime, present: Sequence[Present]) -> Wanted:
        month, sessions = self._month, []
        for one in present:
            said = month.arrived[one.car]
            departure = said.stated_departure or month.moment(month.departure[one.car])
            energy_kwh = month.energy_kwh[one.car] if said.requested_kwh is None else said.requested_kwh
            sessions.append(_promise(one, now, max(departure, now + SLOT), energy_kwh))
        return Wanted(tuple(sessions), 0.0, None)


class Beliefs:
    """Scenarios from similar past sessions, given what is seen of each car, and the peak that past weeks needed."""

    def __init__(self, month: Month, past: pd.DataFrame, country: str | None, subdivision: str | None) -> None:
        self._month, self._past, self._place = month, past, (country, subdivision)
        self._needs_kwh: dict[int, float] = {}  # of those who left
        self._stays: dict[int, StayBelief] = {}
        self._weeks: dict[tuple[int, int], WeekPeak] = {}
        self._today: date | None = None
        self._expected_peak_kw: float | None = None
        self._known_days = 0
        days = pd.date_range(month.moment(0), month.moment(month.slots - 1), freq="D").tz_convert(month.time_zone)
        self._dates = np.array([day.date() for day in days], dtype="datetime64[D]")
        self._old = month_of_history(past, month)

    def wants(self, now: datetime, present: Sequence[Present]) -> Wanted:
        today = pd.Timestamp(now).tz_convert(self._month.time_zone).date()
        if today != self._today:
            self._today = today
            self._learn((now - self._month.start) // SLOT, now)
        days_left = max(1, self._workdays(self._dates[self._dates >= np.datetime64(today)]))
        return Wanted(
            tuple(_belief(one, now, self._stay(one.car).given(now, one.taken_kwh)) for one in present),
            self._expected_peak_kw,
            UNMET_PRICE if self._known_days >= LEAST_DAYS else NEW_UNMET_PRICE * sqrt(days_left),
        )

    def left(self, car: int, taken_kwh: float, full: bool) -> None:
        """Who left before it was full wanted more: as much as the others like it, given that it took so much."""
        need_kwh = taken_kwh
        if not full and car in self._stays:
            belief = self._stays[car].given(self._month.moment(self._month.departure[car] - 1), taken_kwh)
            need_kwh = max(taken_kwh, float(belief.energy_kwh @ belief.weight))
        self._needs_kwh[car] = need_kwh

    def _stay(self, car: int) -> StayBelief:
        if car not in self._stays:
            self._stays[car] = self._model.belief(self._month.arrived[car])
        return self._stays[car]

    def _learn(self, slot: int, now: datetime) -> None:
        cars = list(self._needs_kwh)
        ended = self._month.rows.iloc[cars].assign(energy_kwh=[self._needs_kwh[car] for car in cars])
        country, subdivision = self._place
        self._model = SessionModel(
            pd.concat([self._past, ended]) if len(self._past) else ended,
            time_zone=self._month.time_zone,
            issued_at=now,
            country=country,
            subdivision=subdivision,
        )
        stays = self._stays_before(slot)
        self._known_days = ceil((now - min(stay.arrival for stay in stays)) / timedelta(days=1)) if stays else 0
        if self._known_days >= LEAST_DAYS:
            self._expected_peak_kw = self._best_cap_kw(stays, slot)
        else:
            self._expected_peak_kw = expected_peak_kw(self._past_weeks(slot, now), USUAL_KW)

    def _stays_before(self, slot: int) -> list[Stay]:
        """Those of the last four weeks that had ended by the beginning of this local day."""
        month, since = self._month, self._month.moment(slot - 96 * FULL_DAYS)
        stays = [stay for stay in self._old if stay.arrival >= since]
        return stays + [self._stay_of(car) for car in self._needs_kwh if month.arrival[car] >= slot - 96 * FULL_DAYS]

    def _stay_of(self, car: int) -> Stay:
        month = self._month
        return Stay(
            month.moment(month.arrival[car]),
            month.moment(month.departure[car]),
            self._needs_kwh[car],
            float(month.max_kw[car]),
        )

    def _best_cap_kw(self, stays: list[Stay], slot: int) -> float:
        """The days that are known pay of the demand charge what is not left for the days of the month to come."""
        month = self._month
        first = slot - 96 * self._known_days
        days_left = max(1, (month.slots - slot) // 96 - 1)
        return best_cap_kw(
            stays,
            start=month.moment(first),
            slot_minutes=15,
            import_price_per_kwh=tuple(price(month.moment(first), slot - first, month.time_zone)),
            price_per_kw=share_per_kw(DEMAND_PRICE_PER_KW, self._known_days, days_left),
            unmet_price_per_kwh=UNMET_PRICE,
        )

    def _past_weeks(self, slot: int, now: datetime) -> list[WeekPeak]:
        """This week so far and the weeks before; a week that is over is planned once."""
        month = self._month
        local = pd.Timestamp(now).tz_convert(month.time_zone)
        monday = slot - (96 * local.dayofweek + (local.hour * 60 + local.minute) // 15)
        found = []
        for week in range(WEEKS):
            first = monday - week * WEEK_SLOTS
            last = min(first + WEEK_SLOTS, slot)
            if last > first and (first, last) not in self._weeks:
                self._weeks[first, last] = self._week(first, last)
            if last > first:
                found.append(self._weeks[first, last])
        return found

    def _week(self, first: int, last: int) -> WeekPeak:
        month = self._month
        start, end = month.moment(first), month.moment(last)
        stays = [stay for stay in self._old if start <= stay.arrival < end]
        stays += [self._stay_of(car) for car in self._needs_kwh if first <= month.arrival[car] < last]
        local = pd.DatetimeIndex([stay.arrival for stay in stays], tz="UTC").tz_convert(month.time_zone)
        workdays = self._workdays(np.unique(np.array(local.date, dtype="datetime64[D]")))
        if workdays == 0:
            return WeekPeak(0.0, 0)
        peak_kw = best_peak_kw(
            stays,
            start=start,
            slot_minutes=15,
            import_price_per_kwh=tuple(price(start, last - first, month.time_zone)),
            price_per_kw=week_price_per_kw(DEMAND_PRICE_PER_KW, workdays, self._workdays(self._dates)),
        )
        return WeekPeak(peak_kw, workdays)

    def _workdays(self, dates: NDArray[np.datetime64]) -> int:
        return int((~is_off_day(dates, *self._place)).sum()) if len(dates) else 0


def month_of_history(past: pd.DataFrame, month: Month) -> list[Stay]:
    """The sessions of the weeks before, as stays on whole quarter hours."""
    recent = past[past["arrival"] >= pd.Timestamp(month.start) - (WEEKS + 1) * pd.Timedelta(weeks=1)]
    max_kw = np.minimum(recent["max_kw"].fillna(USUAL_KW).to_numpy(dtype=float), MOST_KW)
    arrival, departure = recent["arrival"].dt.ceil("15min"), recent["departure"].dt.floor("15min")
    return [
        Stay(came.to_pydatetime(), went.to_pydatetime(), float(energy_kwh), float(kw))
        for came, went, energy_kwh, kw in zip(arrival, departure, recent["energy_kwh"], max_kw, strict=True)
    ]


def _belief(one: Present, now: datetime, stay: StayBelief) -> Session:
    """What the car may still want, by when it may leave."""
    scenarios = tuple(
        Scenario(way.probability, max(way.departure, now + SLOT), max(0.0, way.energy_kwh - one.taken_kwh))
        for way in stay.outcomes(SCENARIOS, taken_kwh=one.taken_kwh)
    )
    return Session(
        f"{one.car}",
        f"{one.car}",
        now,
        max(scenario.departure for scenario in scenarios),
        max(scenario.required_energy_kwh for scenario in scenarios),
        scenarios=scenarios,
    )


def _promise(one: Present, now: datetime, departure: datetime, energy_kwh: float) -> Session:
    return Session(f"{one.car}", f"{one.car}", now, departure, max(0.0, energy_kwh - one.taken_kwh))


def _offers(
    month: Month, slot: int, now: datetime, drawn_kwh: float, peak_kw: float, wanted: Wanted
) -> dict[int, float]:
    """kW in this slot by car. Power is free from 0 on, as in the reference: perfect foresight knows no minimum."""
    longest = max((session.departure - now) / SLOT for session in wanted.sessions)
    slots = min(MOST_SLOTS, max(1, ceil(longest)))
    cars = [int(session.session_id) for session in wanted.sessions]
    zeros = (0.0,) * slots
    problem = Problem(
        horizon=Horizon(month.moment(slot), 15, slots, now),
        connection=Connection(),
        circuits=(),
        evses=tuple(
            Evse(f"{car}", "connection", max_power_kw=float(month.max_kw[car]), min_current_a=0) for car in cars
        ),
        sessions=wanted.sessions,
        base_load_kw=zeros,
        base_load_high_kw=zeros,
        pv_kw=zeros,
        import_price_per_kwh=tuple(month.price[slot : slot + slots]),
        export_price_per_kwh=zeros,
        demand_charges=(
            DemandCharge(
                "month", DEMAND_PRICE_PER_KW, 15, peak_so_far_kw=peak_kw, interval_energy_so_far_kwh=drawn_kwh
            ),
        ),
        unmet_price_per_kwh=wanted.unmet_price_per_kwh,
    )
    expected_kw = wanted.expected_peak_kw
    if expected_kw is None:
        expected_kw = with_reserve(least_peak_kw(problem), USUAL_KW)
    charge = replace(problem.demand_charges[0], expected_peak_kw=expected_kw)
    schedule = solve(replace(problem, demand_charges=(charge,)))
    return {car: schedule.power_kw[f"{car}"][0] for car in cars}
