"""The peak that past weeks should have kept to, had nobody known what came: what the rest of a month is planned for.

Foresight needs less than a site that learns of each stay as it comes. So the past is replayed with what was believed of
each car when it came: under each of many caps those are served first that are likeliest to leave before they are full;
what a cap costs is its energy, what it leaves unmet, and its share of the demand charge. The cheapest cap is the peak
to expect. The fewer days of the month are left to use a higher peak, the less of one is worth its price.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import sqrt

import numpy as np

from app.gather.under_caps import BelievedStay, Stays, under_caps
from optimizer.domain import Series

CAPS = 64  # as many are tried, evenly between none and what nobody would notice
LEAST_DELIVERED = 0.99  # of all that past cars needed: what leaves more unmet is not looked at, however cheap
FULL_DAYS = 28  # that are looked back on; of fewer a kW that helped is less sure to help again


def share_per_kw(price_per_kw: float, known_days: float, days_left: float) -> float:
    """What the known days have to pay of a demand charge for the days to come; more than their share if they are few.

    The uncertainty of a mean falls with the root of the days; with `FULL_DAYS` of them it is left to the caps.
    """
    doubt = (1 + 1 / sqrt(max(known_days, 1.0))) / (1 + 1 / sqrt(FULL_DAYS))
    return price_per_kw * known_days / max(days_left, 1.0) * max(doubt, 1.0)


def best_cap_kw(
    stays: Sequence[BelievedStay],
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
    known = Stays.of(stays, start, slots, slot)
    if not known.came.size:
        return 0.0
    base_kw = np.zeros(slots) if base_load_kw is None else np.array(base_load_kw, dtype=float)
    caps_kw = _caps(known, base_kw, slot_h)
    costs = under_caps(known, caps_kw, slot_h=slot_h, import_price_per_kwh=import_price_per_kwh, base_load_kw=base_kw)
    money = price_per_kw * np.maximum(caps_kw, base_kw.max())
    money += costs.energy + unmet_price_per_kwh * costs.unmet_kwh
    money[costs.unmet_kwh > (1 - LEAST_DELIVERED) * known.need_kwh.sum()] += np.ptp(money) + 1.0
    return float(caps_kw[np.argmin(money)])


def _caps(stays: Stays, base_kw: np.ndarray, slot_h: float) -> np.ndarray:
    """From the least base load to what would be drawn if every car charged at once on its arrival."""
    uncontrolled_kw = base_kw.copy()
    for first, kwh, kw in zip(stays.came, stays.need_kwh, stays.max_kw, strict=True):
        last = min(len(base_kw), first + max(1, int(np.ceil(kwh / (kw * slot_h))))) if kw > 0 else first
        uncontrolled_kw[first:last] += kw
    return np.linspace(base_kw.min(), uncontrolled_kw.max(), CAPS)
