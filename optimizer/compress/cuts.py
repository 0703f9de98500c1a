r"""Where one stretch is cut, and how high each segment is: what is best for one EVSE while all others stay.

Within a segment the limit is one number, at most the smallest that its slots have room for. With a value λ of a kWh, a
segment from i to j is worth

.. math:: S_{ij}(\lambda) = \min\bigl(0,\; U_{ij} \textstyle\sum_{t=i}^{j} (m_t - \lambda h_t)\bigr),
          \quad U_{ij} = \min_{i \le t \le j} u_t

and the best cuts into k segments follow from those into k - 1: dynamic programming, in a few array operations. λ is not
known, because the energy has to add up to the need: every λ at which a slot begins to pay gives a candidate, and each
candidate is filled with the energy exactly, the cheapest segment first, 0 or at least the minimum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from optimizer.arrays import Flags, Floats, Ints

VALUES = 12  # of a kWh that are tried: more find nothing better (benchmarks/profile_compression.py)
NOISE = 1e-9
DELAY = 1e-6  # currency per kWh and slot: among equal prices the earlier, so that λ can part them
SHORT_KWH = 1e-3  # less than this is no reason to raise a billed peak


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One stretch as its own EVSE sees it, one entry a slot; slots in which nothing may be drawn hold 0.

    `money` is the price of a kW in a slot, `hours` the kWh that it delivers. `most_kw` is the room that the fuses and
    the vehicle have, `least_kw` the minimum that is not 0, `plan_kw` what was planned last, `need_kwh` what is to be
    delivered in all. A level above `free_kw` raises a billed peak, by `peak_price` per kW.
    """

    money: Floats
    hours: Floats
    most_kw: Floats
    least_kw: Floats
    plan_kw: Floats
    free_kw: Floats
    need_kwh: float
    peak_price: float
    unmet_price: float


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Where segments begin, the first at 0, the power of each, and what that costs seen from this EVSE."""

    begins: Ints
    level_kw: Floats
    cost: float
    missing_kwh: float


def best_choice(view: View, budget: int) -> Choice:
    """The cheapest of all candidates with at most `budget` segments: below the billed peak if the energy fits there."""
    best = _best_below(view, np.minimum(view.most_kw, view.free_kw), budget)
    if best.missing_kwh > SHORT_KWH:
        best = min(best, _best_below(view, view.most_kw, budget), key=_cost)
    return best


def cuts_below(plan: Floats, hours: Floats, budget: int) -> Ints:
    """The cuts that keep most energy when every segment is held at its lowest planned power. Both one entry a slot."""
    return _partition(_lost_below(plan, _sums(hours))[None], budget)[0]


def _lost_below(plan: Floats, hours: Floats) -> Floats:
    return -(_lowest(plan) * hours)


def _best_below(view: View, most_kw: Floats, budget: int) -> Choice:
    most = np.where(most_kw < view.least_kw - NOISE, 0.0, most_kw)
    tried: dict[bytes, Ints] = {begins.tobytes(): begins for begins in _candidates(view, most, budget)}
    return min((_filled(view, most, begins) for begins in tried.values()), key=_cost)


def _cost(choice: Choice) -> float:
    return choice.cost


def _candidates(view: View, most_kw: Floats, budget: int) -> Iterator[Ints]:
    own = np.concatenate([[0], np.flatnonzero(np.abs(np.diff(view.plan_kw)) > NOISE) + 1])
    if own.size <= budget:
        yield own
    limit = _lowest(most_kw)
    limit[limit < _highest(view.least_kw) - NOISE] = 0.0
    hours = _sums(view.hours)
    money = view.money + DELAY * view.hours * np.arange(view.hours.size)
    loss = _sums(money) - _values(money, view.hours)[:, None, None] * hours
    as_planned = _lost_below(np.maximum(view.plan_kw, 0.0), hours)
    yield from _partition(np.stack([as_planned, -(limit * hours), *np.minimum(0.0, limit * loss)]), budget)


def _filled(view: View, most_kw: Floats, begins: Ints) -> Choice:
    """The need in these segments, cheapest first; each is off, or at least at its minimum."""
    least = np.maximum.reduceat(view.least_kw, begins)
    most = np.minimum.reduceat(most_kw, begins)
    most = np.where(most < least - NOISE, 0.0, most)
    money, hours = np.add.reduceat(view.money, begins), np.add.reduceat(view.hours, begins)
    pays = (most > 0) & (hours > NOISE)
    price = np.divide(money, hours, out=np.zeros(begins.size), where=pays)
    order = np.flatnonzero(pays)[np.argsort(price[pays], kind="stable")]
    enough = int(np.searchsorted(np.cumsum((most * hours)[order]), view.need_kwh - NOISE)) + 1
    on = order[:enough]
    while on.size and float((least * hours)[on].sum()) > view.need_kwh + NOISE:
        on = _without_one(on, least * hours, most * hours, view.need_kwh)
    level = np.zeros(begins.size)
    level[on] = least[on]
    left_kwh = view.need_kwh - float(level @ hours)
    for segment in on.tolist():
        more_kw = min(float(most[segment] - least[segment]), max(left_kwh, 0.0) / float(hours[segment]))
        level[segment] += more_kw
        left_kwh -= more_kw * float(hours[segment])
    raised_kw = max(0.0, float((level - np.minimum.reduceat(view.free_kw, begins)).max()))
    cost = float(money @ level) + view.peak_price * raised_kw + view.unmet_price * max(left_kwh, 0.0)
    return Choice(begins, level, cost, max(left_kwh, 0.0))


def _without_one(on: Ints, least_kwh: Floats, most_kwh: Floats, need_kwh: float) -> Ints:
    """One segment fewer, as the minima add up to too much: the one whose absence costs the least energy."""
    reach = np.minimum(most_kwh[on].sum() - most_kwh[on], need_kwh)
    fits = least_kwh[on].sum() - least_kwh[on] <= need_kwh + NOISE
    score = np.where(fits, reach, -least_kwh[on].sum() + least_kwh[on])
    best = np.flatnonzero(score >= score.max() - NOISE)[-1]  # the dearest of equals
    return np.delete(on, best)


def _values(money: Floats, hours: Floats) -> Floats:
    """The values of a kWh at which slots begin to pay, thinned out evenly; just above each."""
    pays = hours > NOISE
    if not pays.any():
        return np.zeros(1)
    prices = np.unique(money[pays] / hours[pays])
    if prices.size > VALUES:
        prices = prices[np.round(np.linspace(0, prices.size - 1, VALUES)).astype(np.int64)]
    return np.append(prices + DELAY / 2, prices[-1] + 1.0)


@lru_cache(maxsize=32)
def _backwards(slots: int) -> Flags:
    """(first, last): where the last comes before the first."""
    return np.tri(slots, k=-1, dtype=np.bool_)


def _sums(values: Floats) -> Floats:
    """(first, last): the sum from one slot to the other; nothing below the diagonal."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    sums: Floats = total[None, 1:] - total[:-1, None]
    sums[_backwards(values.size)] = 0.0
    return sums


def _lowest(values: Floats) -> Floats:
    """(first, last): the lowest from one slot to the other; 0 below the diagonal."""
    lowest: Floats = np.where(_backwards(values.size), np.inf, values[None])
    np.minimum.accumulate(lowest, axis=1, out=lowest)
    lowest[_backwards(values.size)] = 0.0
    return lowest


def _highest(values: Floats) -> Floats:
    return -_lowest(-values)


def _partition(loss: Floats, budget: int) -> list[Ints]:
    """For each of the losses (case, first, last) the beginnings of at most `budget` segments with the least total."""
    cases, slots, _ = loss.shape
    by_last = np.ascontiguousarray(np.where(_backwards(slots), np.inf, loss).transpose(0, 2, 1))  # argmin goes along it
    reach, ends = np.empty_like(by_last), np.arange(cases * slots)
    best = np.full((cases, slots + 1), np.inf)
    best[:, 0] = 0.0
    back: list[Ints] = []
    total: list[Floats] = []
    for _ in range(min(budget, slots)):
        np.add(best[:, None, :-1], by_last, out=reach)  # one more segment from `first` to `last`
        where = reach.argmin(axis=2)
        best[:, 0] = np.inf
        best[:, 1:] = reach.reshape(-1, slots)[ends, where.ravel()].reshape(cases, slots)
        back.append(where)
        total.append(best[:, -1].copy())
    segments = np.argmin(np.round(np.array(total), 12), axis=0)  # the fewest that are as good
    return [_begins(back, case, int(segments[case]), slots) for case in range(cases)]


def _begins(back: list[Ints], case: int, last: int, slots: int) -> Ints:
    end, begins = slots, []
    for turn in range(last, -1, -1):
        end = int(back[turn][case, end - 1])
        begins.append(end)
    return np.array(begins[::-1], dtype=np.int64)
