"""Who may draw how much when not everyone may draw all: by priority, fairly, and never above a fuse. Pure.

Plain arithmetic that always ends: as many steps as there are EVSEs and fuses. What fits is left as it is, so the
answer to an answer is the same answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Claim:
    """What one EVSE would draw if nothing were in the way, A per phase.

    It is given `floor_a`, or at least `minimum_a`, or `wanted_a` where that is less. `floor_a` is 0 where the station
    can be paused. The smaller the `rank`, the earlier it is served; equal ranks share.
    """

    key: str
    wanted_a: float
    minimum_a: float = 6.0
    floor_a: float = 0.0
    rank: int = 1


def shared(claims: Sequence[Claim], load: Floats, room: Floats) -> Floats:
    r"""A per phase for each claim, with ``load @ answer <= room`` wherever the floors alone allow it.

    `load` (limit, claim) is what one ampere at a claim puts on a limit, `room` (limit,) what that limit has left, in
    its own unit. First the minimum currents are given, by rank and then in the order of `claims`: nobody is paused as
    long as all fit at their minimum. Then every rank in turn is raised evenly (max-min fair, progressive filling: D.
    Bertsekas and R. Gallager, Data Networks, 2nd edition, section 6.5.2) until each of its members has what it wants
    or is below a limit that is full.
    """
    wanted_a = np.array([max(claim.wanted_a, 0.0) for claim in claims])
    floor_a = np.array([max(claim.floor_a, 0.0) for claim in claims])
    given_a: Floats = np.minimum(floor_a, wanted_a)
    left: Floats = room - load @ given_a
    ranks = [claim.rank for claim in claims]
    in_turn = sorted(range(len(claims)), key=lambda one: ranks[one])
    for one in in_turn:
        least_a = min(max(claims[one].minimum_a, floor_a[one]), wanted_a[one])
        need = load[:, one] * (least_a - given_a[one])
        if bool(np.all((need <= left + EPSILON) | (need <= 0))):
            given_a[one] = least_a
            left = left - need
    served = [one for one in in_turn if given_a[one] > 0]
    for rank in sorted(set(ranks)):
        _fill([one for one in served if ranks[one] == rank], given_a, wanted_a, load, left)
    return given_a


def _fill(members: list[int], given_a: Floats, wanted_a: Floats, load: Floats, left: Floats) -> None:
    """Raise the members evenly until nobody can be raised further. Writes into `given_a` and `left`."""
    while True:
        full = left <= EPSILON
        members = [
            one
            for one in members
            if wanted_a[one] - given_a[one] > EPSILON and not bool(np.any(full & (load[:, one] > 0)))
        ]
        if not members:
            return
        growth = load[:, members].sum(axis=1)
        grows = growth > 0
        step_a = min(
            float((wanted_a[members] - given_a[members]).min()),
            float((left[grows] / growth[grows]).min(initial=np.inf)),
        )
        given_a[members] += step_a
        left -= growth * step_a
