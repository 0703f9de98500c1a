"""What the connection and every circuit can still carry: limits less everything that is no variable.

Import side: high base load, PV at 0, reservations, no help from batteries. Export side: low base load, high PV, no
help from vehicles. A headroom below 0 is an overload that no charging causes: it counts as 0, is named, and the rest
is planned all the same.
"""

from dataclasses import dataclass
from functools import cache
from math import inf
from operator import attrgetter

import numpy as np

from optimizer.arrays import Flags, Floats
from optimizer.domain import CONNECTION, PHASES, Evse, Problem
from optimizer.presence import Grid

OVERLOAD = -1e-9  # kW or A of headroom: less than this is more than rounding


@dataclass(frozen=True, slots=True, eq=False)
class Headroom:
    """The circuit tree as arrays. Node 0 is the connection, the circuits follow in the problem's order.

    Behind them come the groups of EVSEs that share a station's supply: a fuse like any other, beside the tree.
    `holds_evse` (node, EVSE) and `holds_battery` (node, battery) say what hangs below a node. `draw_kw` (node, slot)
    and `draw_a` (node, phase, slot) bound what EVSEs and batteries draw together; `feed_kw` (node, slot) bounds what
    batteries feed, at the connection less curtailment. Infinite where there is no limit, never below 0 on the
    drawing side.
    """

    names: tuple[str, ...]
    holds_evse: Flags
    holds_battery: Flags
    draw_kw: Floats
    draw_a: Floats
    feed_kw: Floats
    battery_kw_per_a: float  # batteries draw evenly from three phases
    warnings: tuple[str, ...]


def headroom_of(problem: Problem, grid: Grid) -> Headroom:
    """Limits less base load and reservations, for every node, phase and slot that is still to come."""
    groups = {
        f"shared_power[{evse.shared_power.group}]": evse.shared_power.max_current_a
        for evse in problem.evses
        if evse.shared_power is not None
    }
    names = (CONNECTION, *(circuit.circuit_id for circuit in problem.circuits), *groups)
    number = {name: index for index, name in enumerate(names)}
    kw_per_a = problem.connection.voltage_v / 1000

    @cache
    def above(circuit_id: str | None) -> list[int]:
        return [0, *(number[name] for name in problem.ancestors(circuit_id))]

    def above_evse(evse: Evse) -> list[int]:
        group = [] if evse.shared_power is None else [number[f"shared_power[{evse.shared_power.group}]"]]
        return above(evse.circuit_id) + group

    holds_evse = _holds(len(names), [above_evse(evse) for evse in problem.evses])
    holds_battery = _holds(len(names), [above(battery.circuit_id) for battery in problem.batteries])
    spoken_for_a = np.zeros((len(names), len(PHASES)))
    for circuit in problem.circuits:
        below_connection = above(circuit.circuit_id)[1:]  # the site's base load already holds what its circuits draw
        spoken_for_a[below_connection] += circuit.base_load_a
    evses = {evse.evse_id: evse for evse in problem.evses}
    for reservation in problem.reservations:
        nodes = above(reservation.circuit_id) if reservation.circuit_id else above_evse(evses[str(reservation.evse_id)])
        spoken_for_a[nodes] += reservation.current_a
    open_a = np.zeros_like(spoken_for_a)  # in the first slot, what an unverified limit still allows
    for evse in problem.evses:
        if evse.in_force is not None and not evse.in_force.verified:
            open_a[above_evse(evse)] += [evse.in_force.limit_a if phase in evse.phases else 0.0 for phase in PHASES]

    limits = (
        problem.connection.max_import_kw,
        *(circuit.max_power_kw for circuit in problem.circuits),
        *(None for _ in groups),
    )
    limit_kw = np.array([inf if limit is None else limit for limit in limits])
    ratings = (
        problem.connection.max_current_a,
        *(circuit.max_current_a for circuit in problem.circuits),
        *groups.values(),
    )
    limit_a = np.array([inf if rating is None else rating for rating in ratings])

    high_kw = np.array(problem.safe_base_load_kw)[grid.first :]
    share = np.array(problem.base_load_phase_share)
    draw_kw = _drawn_kw(problem, grid, limit_kw) - spoken_for_a.sum(axis=1)[:, None] * kw_per_a
    draw_kw[0] -= high_kw
    draw_kw[:, 0] -= open_a.sum(axis=1) * kw_per_a
    draw_a = np.repeat((limit_a[:, None] - spoken_for_a)[:, :, None], grid.slots, axis=2)
    draw_a[0] -= share[:, None] * high_kw / kw_per_a
    draw_a[:, :, 0] -= open_a
    return Headroom(
        names=names,
        holds_evse=holds_evse,
        holds_battery=holds_battery,
        draw_kw=np.maximum(draw_kw, 0.0),
        draw_a=np.maximum(draw_a, 0.0),
        feed_kw=_feed_kw(problem, grid, limit_kw, limit_a),
        battery_kw_per_a=3 * kw_per_a,
        warnings=(*_overloads(names, draw_kw, draw_a, grid), *_missing_quantiles(problem)),
    )


def _drawn_kw(problem: Problem, grid: Grid, limit_kw: Floats) -> Floats:
    """(node, slot): the limit of each node, and where a circuit has a cap the lower of the two."""
    drawn_kw = np.repeat(limit_kw[:, None], grid.slots, axis=1)
    for node, circuit in enumerate(problem.circuits, start=1):
        if circuit.power_cap_kw is not None:
            drawn_kw[node] = np.minimum(drawn_kw[node], np.array(circuit.power_cap_kw)[grid.first :])
    return drawn_kw


_READS = attrgetter(
    "horizon",
    "connection",
    "circuits",
    "evses",
    "batteries",
    "reservations",
    "base_load_kw",
    "base_load_high_kw",
    "base_load_low_kw",
    "base_load_phase_share",
    "pv_kw",
    "pv_high_kw",
    "pv_curtailable",
)


def same_headroom(one: Problem, other: Problem) -> bool:
    """Whether `headroom_of` reads the same of both problems."""
    return bool(_READS(one) == _READS(other))


def _holds(nodes: int, above: list[list[int]]) -> Flags:
    """(node, member): whether the member hangs below the node, from the nodes above each member."""
    holds = np.zeros((nodes, len(above)), dtype=np.bool_)
    member = np.repeat(np.arange(len(above)), [len(path) for path in above])
    holds[[node for path in above for node in path], member] = True
    return holds


def _feed_kw(problem: Problem, grid: Grid, limit_kw: Floats, limit_a: Floats) -> Floats:
    """What batteries may feed at each node; at the connection the PV that is not curtailed takes its part first.

    PV and batteries feed evenly into three phases, so a current limit per phase is a power limit, and it binds on the
    phase with the least base load.
    """
    kw_per_a = problem.connection.voltage_v / 1000
    feed_kw = np.repeat(np.minimum(limit_kw, limit_a * 3 * kw_per_a)[:, None], grid.slots, axis=1)
    low_kw = np.array(problem.low_base_load_kw)[grid.first :]
    pv_high_kw = np.array(problem.high_pv_kw)[grid.first :]
    pv_kw = np.array(problem.pv_kw)[grid.first :]
    max_export_kw = inf if problem.connection.max_export_kw is None else problem.connection.max_export_kw
    by_power = max_export_kw + low_kw
    by_current = 3 * (kw_per_a * limit_a[0] + min(problem.base_load_phase_share) * low_kw)
    unavoidable_kw = -pv_kw if problem.pv_curtailable else np.zeros(grid.slots)
    feed_kw[0] = np.maximum(np.minimum(by_power, by_current) - pv_high_kw, unavoidable_kw)
    return feed_kw


def _overloads(names: tuple[str, ...], draw_kw: Floats, draw_a: Floats, grid: Grid) -> list[str]:
    """One sentence for each limit that is exceeded before any vehicle charges."""
    found = []
    overloaded = (draw_kw < OVERLOAD).any(axis=1) | (draw_a < OVERLOAD).any(axis=(1, 2))
    for node in np.flatnonzero(overloaded).tolist():
        name = names[node]
        rows = [("kW", "", draw_kw[node]), *(("A", f" {phase}", draw_a[node, i]) for i, phase in enumerate(PHASES))]
        for unit, phase, left in rows:
            over = np.flatnonzero(left < OVERLOAD)
            if over.size:
                worst = int(over[np.argmin(left[over])])
                found.append(
                    f"{name}{phase} is overloaded without any vehicle in {over.size} slots, most in slot "
                    f"{grid.first + worst} by {-left[worst]:.2f} {unit}: nothing charges there then"
                )
    return found


def _missing_quantiles(problem: Problem) -> list[str]:
    missing = []
    if problem.base_load_high_kw is None and any(problem.base_load_kw):
        missing.append("base_load_high_kw is missing: safety counts the expected base load plus 20 %")
    return missing
