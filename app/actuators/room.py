"""How much a battery may charge with at a moment so that every fuse above it holds. Pure.

Beside the linear program and its checker on purpose: what EVSEs may be drawing now comes from the dispatcher's book,
what the building counts with from the plan. A mistake in the plan is not one here.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from app.actuators.devices import Device
from app.dispatch.fuses import Floats, Fuse, fuses_of
from app.dispatch.restraint import Standing
from app.site import Site
from optimizer.domain import CONNECTION, PHASES

CLOSE = 1e-6  # kW or A: floating point


def circuits_above(site: Site, circuit_id: str | None) -> set[str]:
    """What a load at `circuit_id` goes through, the connection too."""
    parents = {circuit.id: circuit.parent for circuit in site.circuits}
    above = {CONNECTION}
    while circuit_id is not None:
        above.add(circuit_id)
        circuit_id = parents[circuit_id]
    return above


def load_of_kw(site: Site, rows: Sequence[Fuse], circuit_id: str | None) -> Floats:
    """(fuse): what one kW there puts on each, in its own unit; a battery's inverter draws evenly from three phases."""
    above = circuits_above(site, circuit_id)
    a_per_kw = 1000 / site.connection.voltage_v / len(PHASES)
    return np.array([0.0 if row.circuit_id not in above else 1.0 if row.phase is None else a_per_kw for row in rows])


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
        left -= load_of_kw(site, fuses.rows, other.circuit_id) * charge_kw
    load = load_of_kw(site, fuses.rows, device.circuit_id)
    mine = load > 0
    return max(0.0, float(np.min(left[mine] / load[mine], initial=np.inf)) + CLOSE)
