"""Past stays served again under many caps at once, by what was believed of each when it came.

A plan for every quarter hour of four weeks and for each cap would take hours. A rule in its place comes within one
or two points of regret of the plans: under a cap those are served first that are likeliest to leave before they would
be full, by the same outcomes that a plan sees; an outcome is out once the car stays longer or takes more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from app.gather.expected_peak import Stay
from forecasts.sessions import Outcome
from optimizer.domain import Series

Floats = NDArray[np.float64]

LONGEST_STAY = timedelta(days=3)  # a car that is left standing for weeks says nothing about a cap
SPARE_H = 1.0  # who can wait for so long is sure of its energy only by half
LEAST_LEFT_KWH = 0.5  # what a car may still take that has had all that was believed
TAKEN_NOISE_KWH = 0.1


@dataclass(frozen=True, slots=True)
class BelievedStay:
    """A session that is over, and the ways it might have gone when it came."""

    stay: Stay
    ways: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CapCosts:
    """By cap: what the energy cost, and kWh that cars left without."""

    energy: Floats
    unmet_kwh: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Stays:
    """Stays on whole slots, in order of arrival. Belief: (stay, way), hours after arrival and kWh of the whole stay."""

    came: NDArray[np.int64]
    went: NDArray[np.int64]
    need_kwh: Floats
    max_kw: Floats
    way_h: Floats
    way_kwh: Floats

    @classmethod
    def of(cls, stays: Sequence[BelievedStay], start: datetime, slots: int, slot: timedelta) -> "Stays":
        """What of them lies in `slots` from `start` (aware UTC) on; needs are cut to what fits at full power."""
        came = np.array([-((start - one.stay.arrival) // slot) for one in stays], dtype=np.int64)
        ends = [min(one.stay.departure, one.stay.arrival + LONGEST_STAY) for one in stays]
        went = np.minimum(np.array([(end - start) // slot for end in ends], dtype=np.int64), slots)
        came = np.maximum(came, 0)
        order = np.argsort(came, kind="stable")
        order = order[((went > came) & (np.array([one.stay.max_kw for one in stays]) > 0))[order]]
        chosen = [stays[number] for number in order]
        most = max((len(one.ways) for one in chosen), default=1)
        way_h, way_kwh = np.zeros((len(chosen), most)), np.zeros((len(chosen), most))
        for row, one in enumerate(chosen):
            ways = [one.ways[number * len(one.ways) // most] for number in range(most)]
            way_h[row] = [(way.departure - one.stay.arrival) / timedelta(hours=1) for way in ways]
            way_kwh[row] = [way.energy_kwh for way in ways]
        max_kw = np.array([one.stay.max_kw for one in chosen], dtype=float)
        need_kwh = np.array([one.stay.energy_kwh for one in chosen], dtype=float)
        fits_kwh = max_kw * (went - came)[order] * (slot / timedelta(hours=1))
        return cls(came[order], went[order], np.minimum(need_kwh, fits_kwh), max_kw, way_h, way_kwh)


def under_caps(
    stays: Stays, caps_kw: Floats, *, slot_h: float, import_price_per_kwh: Series, base_load_kw: Floats
) -> CapCosts:
    """What each cap (base load included) would have cost in energy and left unmet."""
    taken_kwh = np.zeros((len(stays.came), len(caps_kw)))
    energy = np.zeros(len(caps_kw))
    for now in range(int(stays.came.min()), int(stays.went.max())):
        there = np.flatnonzero((stays.came <= now) & (now < stays.went))
        missing_kwh = stays.need_kwh[there, None] - taken_kwh[there]
        is_open = (missing_kwh > 0).any(axis=1)
        there, missing_kwh = there[is_open], missing_kwh[is_open]
        if not there.size:
            continue
        drawn_kw = np.minimum(stays.max_kw[there, None], missing_kwh / slot_h)
        room_kw = np.maximum(caps_kw - base_load_kw[now], 0.0)
        tight = drawn_kw.sum(axis=0) > room_kw
        if tight.any():
            elapsed_h = np.asarray((now - stays.came[there]) * slot_h, dtype=np.float64)
            urgency = _urgency(stays, there, elapsed_h, taken_kwh[np.ix_(there, tight)])
            drawn_kw[:, tight] = _in_order(
                drawn_kw[:, tight], np.argsort(-urgency, axis=0, kind="stable"), room_kw[tight]
            )
        taken_kwh[there] += drawn_kw * slot_h
        energy += import_price_per_kwh[now] * slot_h * drawn_kw.sum(axis=0)
    return CapCosts(energy, np.maximum(stays.need_kwh[:, None] - taken_kwh, 0.0).sum(axis=0))


def _urgency(stays: Stays, there: NDArray[np.int64], elapsed_h: Floats, taken_kwh: Floats) -> Floats:
    """(stay, cap): how likely it is that a car leaves before it would be full if it was charged from now on."""
    left_h = stays.way_h[there] - elapsed_h[:, None]
    stays_on = left_h > 0
    stays_on[~stays_on.any(axis=1), -1] = True  # who outstays all that was believed may leave at any moment
    left_h = np.maximum(left_h, 0.0)[:, :, None]
    left_kwh = stays.way_kwh[there][:, :, None] - taken_kwh[:, None, :]
    possible = stays_on[:, :, None] & (left_kwh > TAKEN_NOISE_KWH)
    possible = np.where(possible.any(axis=1, keepdims=True), possible, stays_on[:, :, None])
    needed_h = np.maximum(left_kwh, LEAST_LEFT_KWH) / stays.max_kw[there][:, None, None]
    too_late = np.clip((needed_h - left_h) / SPARE_H + 1.5, 0.0, 1.0)
    return np.asarray((possible * too_late).sum(axis=1) / possible.sum(axis=1))


def _in_order(wanted_kw: Floats, order: NDArray[np.int64], room_kw: Floats) -> Floats:
    """(stay, cap): the room goes to one after the other."""
    sorted_kw = np.take_along_axis(wanted_kw, order, axis=0)
    before_kw = np.cumsum(sorted_kw, axis=0) - sorted_kw
    drawn_kw = np.zeros_like(wanted_kw)
    np.put_along_axis(drawn_kw, order, np.clip(room_kw - before_kw, 0.0, sorted_kw), axis=0)
    return drawn_kw
