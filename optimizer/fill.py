"""One session in the room that the others leave: which slots are on, and with how many steps.

A power is 0 or between its least and its most, so the cheapest slots need not fit a need: two minima can be too much
where one maximum is too little. Every sensible number of slots is tried, each with the cheapest slots that can hold
the need; the exact problem is a knapsack.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.arrays import Floats, Ints

ENERGY_NOISE_KWH = 1e-3  # less than this is not worth a step
STEP_NOISE = 1e-6
TRIES = 24  # numbers of slots that are tried at most, from the fewest on


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """The slots of one session, one entry each: price per kWh, energy of a step, least (at least 1) and most steps."""

    price: Floats
    step_kwh: Floats
    least: Ints
    most: Ints

    @property
    def least_kwh(self) -> Floats:
        return self.least * self.step_kwh

    @property
    def most_kwh(self) -> Floats:
        return self.most * self.step_kwh

    def missing_kwh(self, steps: Ints, need_kwh: float) -> float:
        """What `steps` lack of the need; nothing when it is not worth a step."""
        missing_kwh = need_kwh - float(steps @ self.step_kwh)
        return 0.0 if missing_kwh <= ENERGY_NOISE_KWH else round(missing_kwh, 6)

    def value(self, steps: Ints, need_kwh: float) -> tuple[float, float]:
        """Energy that is missing, and money: the smaller the better, in this order."""
        return self.missing_kwh(steps, need_kwh), float((steps * self.step_kwh) @ self.price)


def fill(need_kwh: float, choices: Choices) -> Ints:
    """Steps for every slot: no more than `need_kwh` by a step, as little missing as can be found, then cheaply."""
    nothing = np.zeros(choices.price.size, dtype=np.int64)
    usable = np.flatnonzero(choices.most >= choices.least)
    fits = int(np.searchsorted(np.cumsum(np.sort(choices.least_kwh[usable])), need_kwh + ENERGY_NOISE_KWH, "right"))
    if not fits:
        return nothing
    by_price = usable[np.argsort(choices.price[usable], kind="stable")]
    by_size = by_price[np.argsort(-choices.most_kwh[by_price], kind="stable")]
    holds = np.cumsum(choices.most_kwh[by_size]) >= need_kwh - ENERGY_NOISE_KWH
    fewest = min(int(np.argmax(holds)) + 1 if holds.any() else fits, fits)
    candidates = [by_size[:fewest]]
    candidates += [
        _cheapest(need_kwh, choices, by_price, count) for count in range(fewest, min(fits, fewest + TRIES) + 1)
    ]
    tried = [_steps(need_kwh, choices, slots) for slots in candidates]
    return min(tried, key=lambda steps: choices.value(steps, need_kwh), default=nothing)


def _cheapest(need_kwh: float, choices: Choices, by_price: Ints, count: int) -> Ints:
    """The cheapest `count` slots, exchanged one by one for larger ones until they can hold the need.

    The exchange that suffices at the least extra money is taken; where none does, the one that brings the most.
    """
    chosen, others = by_price[:count].copy(), by_price[count:].copy()
    lacking_kwh = need_kwh - float(choices.most_kwh[chosen].sum())
    money = choices.price * choices.most_kwh
    while lacking_kwh > ENERGY_NOISE_KWH and others.size:
        gain_kwh = choices.most_kwh[others] - choices.most_kwh[chosen, None]
        extra = np.where(gain_kwh >= lacking_kwh - ENERGY_NOISE_KWH, money[others] - money[chosen, None], np.inf)
        best = int(np.argmin(extra) if np.isfinite(extra).any() else np.argmax(gain_kwh))
        out, into = divmod(best, others.size)
        if gain_kwh[out, into] <= 0:
            break
        lacking_kwh -= float(gain_kwh[out, into])
        chosen[out], others = others[into], np.delete(others, into)
    return chosen


def _steps(need_kwh: float, choices: Choices, slots: Ints) -> Ints:
    """All at their least, then the cheapest first; the last step goes where it is smallest."""
    least_kwh, step_kwh, price = choices.least_kwh.tolist(), choices.step_kwh.tolist(), choices.price.tolist()
    least, most = choices.least.tolist(), choices.most.tolist()
    steps = [0] * len(price)
    left_kwh = need_kwh
    for slot in sorted(slots.tolist(), key=least_kwh.__getitem__):
        if least_kwh[slot] <= left_kwh + ENERGY_NOISE_KWH:
            steps[slot] = least[slot]
            left_kwh -= least_kwh[slot]
    on = [slot for slot in slots.tolist() if steps[slot]]
    for slot in sorted(on, key=price.__getitem__):
        more = max(min(most[slot] - steps[slot], int(left_kwh / step_kwh[slot] + STEP_NOISE)), 0)
        steps[slot] += more
        left_kwh -= more * step_kwh[slot]
    if left_kwh > ENERGY_NOISE_KWH:
        open_slots = [slot for slot in on if steps[slot] < most[slot] and step_kwh[slot] >= left_kwh]
        if open_slots:
            steps[min(open_slots, key=step_kwh.__getitem__)] += 1
    return np.array(steps, dtype=np.int64)
