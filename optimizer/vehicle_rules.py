"""The rules of a vehicle's own battery, for those that are followed slot by slot; `constraints.ALL` lists them.

p is charging power, g what the vehicle gives, x its net energy since now, h hours; see `vehicles`.
"""

from collections.abc import Iterator
from math import inf

import numpy as np

from optimizer.program import Rows, Site, Variables


def vehicle_energy(site: Site, v: Variables) -> Iterator[Rows]:
    r"""A vehicle that is followed holds what it held, plus what it takes, less what it gives. Hard, within its bounds.

    .. math:: x_t - x_{t-1} - h_t p_t + \frac{h_t}{\eta^2} g_t = 0, \quad x_{-1} = 0

    Unit: kWh at the EVSE's meter, from now on.
    """
    vehicles = site.vehicles
    entries = np.arange(vehicles.session.size)
    if not entries.size:
        return
    after, giving = np.flatnonzero(~vehicles.begins), vehicles.giving
    yield Rows(
        name="vehicle_energy",
        key=(vehicles.session, site.charge.slot[vehicles.column]),
        row=np.concatenate([entries, after, entries, giving]),
        column=np.concatenate([v.level, v.level[after - 1], v.charge[vehicles.column], v.give]),
        coefficient=np.concatenate(
            [
                np.ones(entries.size),
                np.full(after.size, -1.0),
                -vehicles.hours,
                (vehicles.hours * vehicles.loss)[giving],
            ]
        ),
        lower=np.zeros(entries.size),
        upper=np.zeros(entries.size),
    )


def taper(site: Site, v: Variables) -> Iterator[Rows]:
    r"""A vehicle that is nearly full takes less: linear in what it holds at the slot's end. Hard.

    .. math:: p_t + k\, x_t \le k\, x_{zero}

    At the slot's end, so that the vehicle really takes this power all through the slot. Unit: kW.
    """
    vehicles = site.vehicles
    entries = vehicles.tapering
    if not entries.size:
        return
    rows = np.arange(entries.size)
    slope = vehicles.slope[entries]
    yield Rows(
        name="taper",
        key=(vehicles.session[entries], site.charge.slot[vehicles.column[entries]]),
        row=np.concatenate([rows, rows]),
        column=np.concatenate([v.charge[vehicles.column[entries]], v.level[entries]]),
        coefficient=np.concatenate([np.ones(rows.size), slope]),
        lower=np.full(rows.size, -inf),
        upper=slope * vehicles.zero_kwh[entries],
    )
