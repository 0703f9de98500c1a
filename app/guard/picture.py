"""One look at a site: who must be held below its plan so that no fuse carries more than its rating. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.dispatch.fuses import Floats, Fuses
from app.dispatch.restraint import Standing
from app.guard.burden import Burden
from app.guard.ceilings import SAME_A, Offer
from app.guard.sharing import Claim, shared
from app.guard.watch import Watch, margin_a
from app.site import Site, evse_key
from optimizer.domain import CONNECTION

CLOSE = 0.05  # A or kW: limits are written with one decimal, rounded down
COMFORT = 0.02  # of a rating: so much of what a building leaves is not given back, for it moves


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """`offers` by EVSE key, of those that can be lowered. The rest is for people and for the last resort.

    `overloaded` names fuses that stay above their rating though everyone has made room; `culprits` are EVSEs above
    their limit by their own meter that such a fuse feeds.
    """

    offers: Mapping[str, Offer]
    overloaded: tuple[str, ...]
    culprits: tuple[str, ...]


def picture(
    fuses: Fuses,
    standings: Sequence[Standing],
    load: Floats,
    burden: Burden,
    watch: Watch,
    *,
    can_be_lowered: Sequence[bool],
    ceilings_a: Mapping[str, float],
) -> Picture:
    """`load` (fuse, standing) is `fuses.load` of these standings. One that cannot be lowered counts with all it may
    be drawing, and one that draws more than it may with that and a margin. `ceilings_a` are those in force."""
    counted_a = np.array([_counted(one, watch) for one in standings])
    free = np.array(can_be_lowered, dtype=bool)
    known = np.isfinite(burden.other)
    burdened = burden.other[known] + burden.batteries[known]
    room = fuses.ratings[known] - burdened - load[known][:, ~free] @ counted_a[~free]
    below = load[known][:, free]
    claims = [
        Claim(one.key, one.planned_a or 0.0, one.minimum_a, one.floor_a, one.rank)
        for one, is_free in zip(standings, can_be_lowered, strict=True)
        if is_free
    ]
    recent_a = np.array([watch.recent_a(claim.key) for claim in claims])
    loads, rooms = _with_suspects(
        below, room + CLOSE, burden.other[known], burden.measured[known], recent_a, fuses, known
    )
    allowed_a = shared(claims, loads, rooms)
    is_building = np.array([row.circuit_id == CONNECTION for row in fuses.rows])[known]
    margin = np.where(is_building & (burden.other[known] > 0), COMFORT * fuses.ratings[known], 0.0)
    margins = np.concatenate([margin, np.zeros(len(rooms) - len(margin))])
    # On top of what each has: what one could have if another had less is nothing to give back.
    held = [replace(claim, floor_a=min(claim.wanted_a, ceilings_a.get(claim.key, claim.wanted_a))) for claim in claims]
    comfortable_a = shared(held, loads, rooms - margins) if ceilings_a else allowed_a  # nobody is held: none to give
    over = below @ allowed_a > room + CLOSE + 1e-6
    return Picture(
        offers={
            claim.key: Offer(claim.wanted_a, float(allowed_a[i]), float(comfortable_a[i]), claim.minimum_a)
            for i, claim in enumerate(claims)
        },
        overloaded=tuple(
            f"{row.circuit_id} {row.phase or row.unit}"
            for row, is_over in zip([row for row, has in zip(fuses.rows, known, strict=True) if has], over, strict=True)
            if is_over
        ),
        culprits=tuple(
            one.key
            for i, one in enumerate(standings)
            if one.key in watch.above and bool(np.any(over & (load[known][:, i] > 0)))
        ),
    )


def load_of(fuses: Fuses, site: Site, standings: Sequence[Standing]) -> Floats:
    """(fuse, standing): what one ampere there puts on each fuse, with the phases that its vehicle uses."""
    load = fuses.load[:, fuses.columns([one.key for one in standings])]
    rotations = {
        evse_key(station.id, evse.id): evse.phases for station in site.charging_stations for evse in station.evses
    }
    for column, one in enumerate(standings):
        if one.phases_in_use == one.wiring.phases:
            continue
        used = rotations[one.key][: one.phases_in_use]
        share = one.phases_in_use / one.wiring.phases
        load[:, column] *= [share if row.phase is None else row.phase in used for row in fuses.rows]
    return load


def holds(one: Standing, ceiling_a: float | None) -> bool:
    """Whether an EVSE may be drawing no more than it is to."""
    if one.planned_a is None:
        return False
    return one.in_force_a <= min(one.planned_a, np.inf if ceiling_a is None else ceiling_a) + SAME_A


def _counted(one: Standing, watch: Watch) -> float:
    seen = watch.above.get(one.key)
    return max(one.in_force_a, seen.drawn_a + margin_a(seen.drawn_a)) if seen else one.in_force_a


def _with_suspects(
    load: Floats, room: Floats, other: Floats, measured: Floats, recent_a: Floats, fuses: Fuses, known: Floats
) -> tuple[Floats, Floats]:
    """Current that nobody explains, on a circuit of EVSEs alone, is one of theirs, and nobody knows whose.

    Whoever it is does not follow a new limit either. So for each of them there is one more limit: it goes on drawing
    as it may now, and the others make room. One round is enough, whichever it was.
    """
    rows = [row for row, has in zip(fuses.rows, known, strict=True) if has]
    loads, rooms = [load], [room]
    for index, row in enumerate(rows):
        if row.circuit_id == CONNECTION or not measured[index] or other[index] <= margin_a(row.rating):
            continue
        for suspect in np.flatnonzero(load[index] > 0):
            alone = load[index].copy()
            alone[suspect] = 0.0
            loads.append(alone[None, :])
            rooms.append(np.array([room[index] - load[index][suspect] * recent_a[suspect]]))
    return np.concatenate(loads), np.concatenate(rooms)
