"""The rules of a vehicle's own battery, for those that are followed slot by slot; `constraints.ALL` lists them.

p is charging power, g what the vehicle gives, x its net energy since now, h hours; see `vehicles`.
"""

from collections.abc import Iterator
from math import inf

import numpy as np

from optimizer.program import Rows, Site, Variables


def vehicle_energy(site: Site, v: Variables) -> Iterator[Rows]:
    r"""A vehicle that gives holds what it held, plus what it takes, less what it gives. Hard, within its bounds.

    .. math:: x_t - x_{t-1} - h_t p_t + \frac{h_t}{\eta^2} g_t = 0, \quad x_{-1} = 0

    Unit: kWh at the EVSE's meter, from now on.
    """
    vehicles = site.vehicles
    entries = np.flatnonzero(vehicles.gives)
    if not entries.size:
        return
    row = np.cumsum(vehicles.gives) - 1
    after, giving = entries[~vehicles.begins[entries]], vehicles.giving
    yield Rows(
        name="vehicle_energy",
        key=(vehicles.session[entries], site.charge.slot[vehicles.column[entries]]),
        row=row[np.concatenate([entries, after, entries, giving])],
        column=np.concatenate([v.level[entries], v.level[after - 1], v.charge[vehicles.column[entries]], v.give]),
        coefficient=np.concatenate(
            [
                np.ones(entries.size),
                np.full(after.size, -1.0),
                -vehicles.hours[entries],
                (vehicles.hours * vehicles.loss)[giving],
            ]
        ),
        lower=np.zeros(entries.size),
        upper=np.zeros(entries.size),
    )


def taper(site: Site, v: Variables) -> Iterator[Rows]:
    r"""A vehicle that is nearly full takes less: linear in what it holds at the slot's end. Hard.

    .. math:: p_t + k\, x_t \le k\, x_{zero}, \quad x_t = \sum_{u \le t} h_u p_u

    At the slot's end, so that the vehicle really takes this power all through the slot. Where it only takes, the sum is
    written out: five times faster than columns of its own at 200 vehicles. Unit: kW.
    """
    vehicles = site.vehicles
    entries = vehicles.tapering
    if not entries.size:
        return
    rows = np.arange(entries.size)
    slope, gives = vehicles.slope[entries], vehicles.gives[entries]
    begin = np.maximum.accumulate(np.where(vehicles.begins, np.arange(vehicles.begins.size), 0))[entries]
    count = np.where(gives, 0, entries - begin)  # slots before, for vehicles that only take
    before = np.repeat(rows, count)
    earlier = np.arange(before.size) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)
    own = np.where(gives, 1.0, 1.0 + slope * vehicles.hours[entries])
    yield Rows(
        name="taper",
        key=(vehicles.session[entries], site.charge.slot[vehicles.column[entries]]),
        row=np.concatenate([rows, before, rows[gives]]),
        column=np.concatenate(
            [v.charge[vehicles.column[entries]], v.charge[vehicles.column[earlier]], v.level[entries[gives]]]
        ),
        coefficient=np.concatenate([own, slope[before] * vehicles.hours[earlier], slope[gives]]),
        lower=np.full(rows.size, -inf),
        upper=slope * vehicles.zero_kwh[entries],
    )
