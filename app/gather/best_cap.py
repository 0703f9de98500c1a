"""The peak that past weeks should have kept to, had nobody known what came: what the rest of a month is planned for.

Foresight needs less than a site that learns of each stay as it comes. So the past is replayed without any: under each
of many caps those who are there and not full share it equally; what a cap costs is its energy, what it leaves unmet,
and its share of the demand charge. The cheapest cap is the peak to expect. The fewer days of the month are left to use
a higher peak, the less of one is worth its price.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import sqrt

import numpy as np

from app.gather.expected_peak import Stay
from optimizer.domain import Series

CAPS = 64  # as many are tried, evenly between none and what nobody would notice
FULL_DAYS = 28  # that are looked back on; of fewer a kW that helped is less sure to help again
UNMET_BY_BELIEFS = 2 / 3  # of what equal shares leave unmet under a cap, plans by beliefs leave about so much
LONGEST_STAY = timedelta(days=3)  # a car that is left standing for weeks says nothing about a cap


def share_per_kw(price_per_kw: float, known_days: float, days_left: float) -> float:
    """What the known days have to pay of a demand charge for the days to come; more than their share if they are few.

    The uncertainty of a mean falls with the root of the days; with `FULL_DAYS` of them it is left to the caps.
    """
    doubt = (1 + 1 / sqrt(max(known_days, 1.0))) / (1 + 1 / sqrt(FULL_DAYS))
    return price_per_kw * known_days / max(days_left, 1.0) * max(doubt, 1.0)


def best_cap_kw(
    stays: Sequence[Stay],
    *,
    start: datetime,
    slot_minutes: int,
    import_price_per_kwh: Series,
    price_per_kw: float,
    unmet_price_per_kwh: float,
    base_load_kw: Series | None = None,
) -> float:
    """The cap in kW, base load included, that costs least over these days; 0 where nobody came.

    The series have one value a slot from `start` (aware UTC) on. `price_per_kw` is what these days have to pay of the
    demand charge: of ten days known and twenty left in the month, half of it. A stay counts by its whole slots.
    """
    slot, slots = timedelta(minutes=slot_minutes), len(import_price_per_kwh)
    slot_h = slot / timedelta(hours=1)
    came = np.array([-((start - stay.arrival) // slot) for stay in stays], dtype=np.int64)
    went = np.array([(min(stay.departure, stay.arrival + LONGEST_STAY) - start) // slot for stay in stays], np.int64)
    max_kw = np.array([stay.max_kw for stay in stays], dtype=float)
    need_kwh = np.array([stay.energy_kwh for stay in stays], dtype=float)
    came, went = np.maximum(came, 0), np.minimum(went, slots)
    order = np.argsort(came, kind="stable")
    order = order[(went > came)[order]]
    came, went, max_kw = came[order], went[order], max_kw[order]
    if not order.size:
        return 0.0
    need_kwh = np.minimum(need_kwh[order], max_kw * (went - came) * slot_h)
    base_kw = np.zeros(slots) if base_load_kw is None else np.array(base_load_kw, dtype=float)
    caps_kw = _caps(came, need_kwh, max_kw, base_kw, slot_h)
    missing_kwh = np.repeat(need_kwh[:, None], len(caps_kw), axis=1)
    money = price_per_kw * np.maximum(caps_kw, base_kw.max())
    for now in range(int(came.min()), int(went.max())):
        there = np.flatnonzero((came <= now) & (now < went))
        if not there.size:
            continue
        wanted_kw = np.minimum(max_kw[there, None], missing_kwh[there] / slot_h)
        drawn_kw = equal_shares(wanted_kw, np.maximum(caps_kw - base_kw[now], 0.0))
        missing_kwh[there] -= drawn_kw * slot_h
        money += import_price_per_kwh[now] * slot_h * drawn_kw.sum(axis=0)
    money += UNMET_BY_BELIEFS * unmet_price_per_kwh * missing_kwh.sum(axis=0)
    return float(caps_kw[np.argmin(money)])


def equal_shares(wanted_kw: np.ndarray, room_kw: np.ndarray) -> np.ndarray:
    """(vehicle, cap) kW: each takes what it wants, at most a level that is the same for all and uses up the room.

    `wanted_kw` is of shape (vehicle, cap), `room_kw` of shape (cap,).
    """
    ordered_kw = np.sort(wanted_kw, axis=0)
    count, up_to_kw = len(ordered_kw), np.cumsum(ordered_kw, axis=0)
    at_its_level_kw = up_to_kw + ordered_kw * (count - 1 - np.arange(count))[:, None]
    content = (at_its_level_kw < room_kw).sum(axis=0)  # so many take all that they want
    taken_kw = np.vstack([np.zeros_like(room_kw), up_to_kw])[content, np.arange(len(room_kw))]
    level_kw = np.where(content < count, (room_kw - taken_kw) / np.maximum(count - content, 1), np.inf)
    shared_kw: np.ndarray = np.minimum(wanted_kw, level_kw)
    return shared_kw


def _caps(came: np.ndarray, need_kwh: np.ndarray, max_kw: np.ndarray, base_kw: np.ndarray, slot_h: float) -> np.ndarray:
    """From the least base load to what would be drawn if every car charged at once on its arrival."""
    uncontrolled_kw = base_kw.copy()
    for first, kwh, kw in zip(came, need_kwh, max_kw, strict=True):
        last = min(len(base_kw), first + max(1, int(np.ceil(kwh / (kw * slot_h))))) if kw > 0 else first
        uncontrolled_kw[first:last] += kw
    return np.linspace(base_kw.min(), uncontrolled_kw.max(), CAPS)
