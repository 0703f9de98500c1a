"""How long a car will stay and how much it will take: past sessions like this one, given what is seen of it by now.

What a driver states is a feature and not the truth. Each past session weighs by how alike its arrival was: time and
type of day, driver, stated stay, requested energy. The weighted outcomes are the belief; a car that is still there
rules out those that had left by then, and energy taken rules out those that took less. Before there is history, the
same is done with `forecasts.session_prior`: it fades as sessions become known.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasts.errors import SeriesError
from forecasts.local_days import is_off_day, local_dates, local_times
from forecasts.series import FloatArray
from forecasts.session_prior import prior_outcomes

COLUMNS = ("arrival", "departure", "energy_kwh")
HOUR_SCALE_H = 1.2  # of arrival by the local clock
STAY_SCALE_H = 2.0  # of the stay that a driver states
ENERGY_SCALE = 0.4  # of the logarithm of the energy that a driver asks for
UNLIKE = 4.0  # squared distance where one driver said something and the other nothing
OTHER_DAY_TYPE = 0.2  # weight of a workday's session on a day off, and the other way round
SAME_USER = 30.0  # how much more a driver's own sessions weigh
SAME_REQUEST = 8.0  # and those of whoever asked for the same energy to the digit: often the same driver
SAME_WISH = 5.0  # on top, where the stay that was stated is the same to the minute too
SAME_EVSE = 3.0  # people have their places
HALF_LIFE_D = 60.0
FAR = 1e-6  # weight of a session that only shares the time of day: it counts where nothing nearer is left
FAR_SCALE_H = 3.0
PRIOR_WEIGHT = 0.5  # of all prior outcomes together, in sessions exactly alike
SAME_KWH, SAME_H = 1e-6, 1 / 120  # said to the digit, and to the minute
LEAST_REMAINING_H = 0.25
TAKEN_NOISE_KWH = 0.1
OPEN_NEED_KWH = 2.0  # what a car that still draws may take beyond all that is known: a quarter hour of 8 kW


@dataclass(frozen=True, slots=True)
class Arrived:
    """What is known of a car when it is plugged in. None is unknown, never 0."""

    arrival: datetime
    user_id: str | None = None
    evse_id: str | None = None
    stated_departure: datetime | None = None
    requested_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way a stay may go; `energy_kwh` is that of the whole stay."""

    probability: float
    departure: datetime
    energy_kwh: float


@dataclass(frozen=True, slots=True, eq=False)
class StayBelief:
    """Weighted outcomes of one stay, in order of duration: hours and kWh since arrival. Weights add up to 1.

    `effective_sessions` says how many sessions are behind it, `prior_share` how much of it is assumption.
    """

    arrival: datetime
    stay_h: FloatArray
    energy_kwh: FloatArray
    weight: FloatArray
    effective_sessions: float
    prior_share: float

    def given(self, now: datetime, taken_kwh: float = 0.0) -> "StayBelief":
        """The belief in a car that is still there at `now` and has taken `taken_kwh`.

        Where no outcome is left, the car is believed to stay for as long again as the site's stays are apart, and to
        take nothing that is known.
        """
        elapsed_h = max(0.0, (now - self.arrival) / timedelta(hours=1))
        stays = self.stay_h > elapsed_h + 1e-9
        takes = self.energy_kwh > taken_kwh + TAKEN_NOISE_KWH if taken_kwh > 0 else np.ones_like(stays)
        both = stays & takes
        if self.weight[both].sum() > FAR:
            stay_h, energy_kwh, weight = self.stay_h[both], self.energy_kwh[both], self.weight[both]
        else:
            stay_h, weight = self.stay_h[stays], self.weight[stays]
            if weight.sum() <= 0:
                stay_h, weight = elapsed_h + np.array([0.5, 1.0, 2.0]), np.ones(3)
            energy_kwh = np.maximum(self.energy_kwh[stays] if stays.any() else np.zeros(3), taken_kwh)
        stay_h = np.maximum(stay_h, elapsed_h + LEAST_REMAINING_H)
        order = np.lexsort((energy_kwh, stay_h))
        total = weight.sum()
        return StayBelief(
            self.arrival,
            stay_h[order],
            energy_kwh[order],
            weight[order] / total,
            self.effective_sessions,
            self.prior_share,
        )

    def stay_quantile_h(self, q: float) -> float:
        return float(weighted_quantile(self.stay_h, self.weight, q))

    def energy_quantile_kwh(self, q: float) -> float:
        return float(weighted_quantile(self.energy_kwh, self.weight, q))

    def outcomes(
        self, count: int, stay_q: float = 0.25, energy_q: float = 0.75, *, taken_kwh: float | None = None
    ) -> tuple[Outcome, ...]:
        """At most `count` outcomes of equal probability: groups by departure, each on the cautious side.

        A group leaves at the `stay_q` quantile of its departures and takes the `energy_q` quantile of its energies.
        A car that has taken `taken_kwh` and is not known to be full is not written off, however much that is: what
        takes most takes at least `OPEN_NEED_KWH` more.
        """
        ends = np.cumsum(self.weight)
        starts = ends - self.weight
        found = []
        for group in range(count):
            low, high = group / count, (group + 1) / count
            share = np.minimum(ends, high) - np.maximum(starts, low)
            inside = share > 1e-12
            stay_h = weighted_quantile(self.stay_h[inside], share[inside], stay_q)
            energy_kwh = weighted_quantile(self.energy_kwh[inside], share[inside], energy_q)
            found.append(Outcome(1 / count, self.arrival + timedelta(hours=stay_h), energy_kwh))
        if taken_kwh is None:
            return tuple(found)
        most_kwh = max(one.energy_kwh for one in found)
        open_kwh = max(most_kwh, taken_kwh + OPEN_NEED_KWH)
        return tuple(replace(one, energy_kwh=open_kwh) if one.energy_kwh == most_kwh else one for one in found)


class SessionModel:
    """Beliefs of one site, from the sessions that it knew at `issued_at`.

    `history` has a row a completed session: `arrival`, `departure` (aware), `energy_kwh`, and where known `user_id`,
    `evse_id`, `stated_departure`, `requested_kwh`. Sessions that had not ended by `issued_at` are not looked at, nor
    those of the local day that is running: of that day only the short stays have ended. Raises `SeriesError` for a
    missing column.
    """

    def __init__(
        self,
        history: pd.DataFrame,
        *,
        time_zone: str,
        issued_at: datetime,
        country: str | None = None,
        subdivision: str | None = None,
        default_stay_h: float = 8.0,
        default_energy_kwh: float = 20.0,
    ) -> None:
        for name in COLUMNS:
            if name not in history:
                raise SeriesError("history", f"has no column {name!r}")
        self.time_zone, self.issued_at = time_zone, issued_at
        self._place = (country, subdivision)
        self._defaults = (default_stay_h, default_energy_kwh)
        known = completed_before(history, issued_at, time_zone)
        arrival = pd.DatetimeIndex(known["arrival"])
        self.sessions = len(known)
        self.hour, self.off = self._when(arrival)
        self.stay_h = _hours_between(known["arrival"], known["departure"])
        self.energy_kwh = known["energy_kwh"].to_numpy(dtype=float)
        self.stated_h = (
            _hours_between(known["arrival"], known["stated_departure"])
            if "stated_departure" in known
            else np.full(len(known), np.nan)
        )
        self.requested_kwh = (
            known["requested_kwh"].to_numpy(dtype=float) if "requested_kwh" in known else np.full(len(known), np.nan)
        )
        self.user = known["user_id"].to_numpy(dtype=object) if "user_id" in known else np.full(len(known), None)
        self.evse = known["evse_id"].to_numpy(dtype=object) if "evse_id" in known else np.full(len(known), None)
        age_d = np.asarray((pd.Timestamp(issued_at) - arrival) / pd.Timedelta(days=1), dtype=float)
        self.recency = 0.5 ** (age_d / HALF_LIFE_D)

    def belief(self, arrived: Arrived) -> StayBelief:
        """What to believe of a car at the moment of its arrival."""
        prior = prior_outcomes(arrived.arrival, arrived.stated_departure, arrived.requested_kwh, *self._defaults)
        weight = self._alike(arrived)
        stay_h = np.concatenate([self.stay_h, prior.stay_h])
        energy_kwh = np.concatenate([self.energy_kwh, prior.energy_kwh])
        weights = np.concatenate([weight, PRIOR_WEIGHT * prior.weight])
        order = np.lexsort((energy_kwh, stay_h))
        total = weights.sum()
        return StayBelief(
            arrived.arrival,
            stay_h[order],
            energy_kwh[order],
            weights[order] / total,
            effective_sessions=float(weight.sum()),
            prior_share=float(PRIOR_WEIGHT / total),
        )

    def _alike(self, arrived: Arrived) -> FloatArray:
        if self.sessions == 0:
            return np.zeros(0)
        hours, offs = self._when(pd.DatetimeIndex([pd.Timestamp(arrived.arrival).tz_convert("UTC")]))
        apart_h = np.abs(self.hour - hours[0])
        apart_h = np.minimum(apart_h, 24 - apart_h)
        stated_h = (
            np.nan
            if arrived.stated_departure is None
            else (arrived.stated_departure - arrived.arrival) / timedelta(hours=1)
        )
        requested = np.nan if arrived.requested_kwh is None else arrived.requested_kwh
        distance = (apart_h / HOUR_SCALE_H) ** 2
        distance += _apart(self.stated_h, stated_h, STAY_SCALE_H)
        distance += _apart(np.log(np.maximum(self.requested_kwh, 1.0)), np.log(max(requested, 1.0)), ENERGY_SCALE)
        weight = np.exp(-distance / 2) + FAR * np.exp(-((apart_h / FAR_SCALE_H) ** 2) / 2)
        weight *= np.where(self.off == offs[0], 1.0, OTHER_DAY_TYPE) * self.recency
        same_request = np.abs(self.requested_kwh - requested) < SAME_KWH
        same_stay = np.abs(self.stated_h - stated_h) < SAME_H
        weight *= np.where(same_request, SAME_REQUEST, 1.0) * np.where(same_request & same_stay, SAME_WISH, 1.0)
        if arrived.user_id:
            weight *= np.where(self.user == arrived.user_id, SAME_USER, 1.0)
        if arrived.evse_id:
            weight *= np.where(self.evse == arrived.evse_id, SAME_EVSE, 1.0)
        return np.asarray(weight)

    def _when(self, arrival: pd.DatetimeIndex) -> tuple[FloatArray, NDArray[np.bool_]]:
        local = local_times(arrival, self.time_zone)
        hour = np.asarray(local.hour + local.minute / 60, dtype=float)
        return hour, is_off_day(local_dates(arrival, self.time_zone), *self._place)


def completed_before(history: pd.DataFrame, issued_at: datetime, time_zone: str) -> pd.DataFrame:
    """The sessions of local days before that of `issued_at` that had ended by then."""
    if history.empty:
        return history
    arrival = pd.DatetimeIndex(history["arrival"])
    today = local_dates(pd.DatetimeIndex([pd.Timestamp(issued_at).tz_convert("UTC")]), time_zone)[0]
    ended = np.asarray(pd.DatetimeIndex(history["departure"]) <= pd.Timestamp(issued_at))
    known: pd.DataFrame = history.loc[ended & (local_dates(arrival, time_zone) < today)]
    return known


def weighted_quantile(values: FloatArray, weights: FloatArray, q: float) -> float:
    """The least value at or below which a share `q` of the weight lies."""
    order = np.argsort(values, kind="stable")
    together = np.cumsum(weights[order])
    position = int(np.searchsorted(together, q * together[-1]))
    return float(values[order][min(position, len(values) - 1)])


def _apart(known: FloatArray, asked: float, scale: float) -> FloatArray:
    """Squared distance; 0 where neither said anything, `UNLIKE` where one did."""
    if np.isnan(asked):
        return np.where(np.isnan(known), 0.0, UNLIKE)
    return np.where(np.isnan(known), UNLIKE, ((known - asked) / scale) ** 2)


def _hours_between(start: pd.Series, end: pd.Series) -> FloatArray:
    """NaN where an end is not known."""
    first, last = (pd.to_datetime(moments, utc=True).reset_index(drop=True) for moments in (start, end))
    return np.asarray((last - first) / pd.Timedelta(hours=1), dtype=np.float64)
