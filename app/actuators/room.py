"""How much a battery may charge with at a moment so that every fuse above it holds. Pure.

Beside the linear program and its checker on purpose: what EVSEs may be drawing now comes from the dispatcher's book,
what the building counts with from the plan. A mistake in the plan is not one here.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from app.actuators.devices import Device
from app.dispatch.fuses import Floats, fuses_of, load_per_kw
from app.dispatch.restraint import Standing
from app.site import Site
from optimizer.domain import CONNECTION, PHASES

CLOSE = 1e-6  # kW or A: floating point


def charge_room_kw(
    site: Site,
    device: Device,
    standings: Sequence[Standing],
    building: tuple[float, tuple[float, float, float]],
    others_kw: Mapping[Device, float],
) -> float:
    """The most that `device` may charge with beside the building (kW, share of each phase), every EVSE at what it may
    be drawing, and `others_kw`, what the site's other batteries may. Infinite where nothing limits it; never below 0.
    """
    fuses = fuses_of(site, None)
    building_kw, shares = building
    by_phase_a = dict(
        zip(PHASES, (building_kw * share * 1000 / site.connection.voltage_v for share in shares), strict=True)
    )
    drawn_a = np.array([one.in_force_a for one in standings])
    left: Floats = fuses.ratings - fuses.load[:, fuses.columns([one.key for one in standings])] @ drawn_a
    for index, row in enumerate(fuses.rows):
        if row.circuit_id == CONNECTION:
            left[index] -= building_kw if row.phase is None else by_phase_a[row.phase]
    for other, charge_kw in others_kw.items():
        left -= load_per_kw(site, fuses.rows, other.circuit_id) * charge_kw
    load = load_per_kw(site, fuses.rows, device.circuit_id)
    mine = load > 0
    return max(0.0, float(np.min(left[mine] / load[mine], initial=np.inf)) + CLOSE)
