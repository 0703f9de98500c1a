"""What every EVSE may draw when nobody speaks to it, and which part of a plan is safe without anybody watching.

Pure arithmetic over the site's fuses with the building at its maximum. Two questions are answered: who gets the
site's fallback current if it does not fit for all, and how much of a plan may stay in force however many links drop.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

import numpy as np

from app.csms.steps import Steps, evaluated
from app.dispatch.fuses import Floats, Fuses

EPSILON = 1e-9
SAME_A = 0.05  # what flooring in W or in A may differ


def fallback_currents(fuses: Fuses, current_a: float, unable: Collection[str] = ()) -> dict[str, float]:
    """A per phase by EVSE: `current_a`, or 0 for those whom no fuse has room for.

    In the order of the site's document, so that the same ones are served every time. EVSEs in `unable` hold no
    fallback: each counts with all its hardware can draw, before anyone gets anything. Where the building alone
    overloads a fuse, everyone below it gets 0; where nobody knows its maximum, the operator's wish stands and the
    certificate says that it proves nothing.
    """
    left = np.where(np.isfinite(fuses.rooms), fuses.rooms, fuses.ratings).tolist()
    loads = [[(row, load) for row, load in enumerate(column) if load] for column in fuses.load.T.tolist()]
    for key, load in zip(fuses.evses, loads, strict=True):
        if key in unable:
            _take(left, load, fuses.wirings[key].max_a)
    currents_a = {}
    for key, load in zip(fuses.evses, loads, strict=True):
        if key in unable:
            continue
        wanted_a = min(current_a, fuses.wirings[key].max_a)
        fits = all(per_a * wanted_a <= left[row] + EPSILON for row, per_a in load)
        currents_a[key] = wanted_a if fits else 0.0
        if fits:
            _take(left, load, wanted_a)
    return currents_a


def _take(left: list[float], load: Sequence[tuple[int, float]], current_a: float) -> None:
    for row, per_a in load:
        left[row] -= per_a * current_a


def guarded(
    fuses: Fuses,
    plans: Mapping[str, Steps],
    fallbacks_a: Mapping[str, float],
    others: Mapping[str, Steps],
    min_current_a: Mapping[str, float],
    watched_until: datetime,
    held: Mapping[str, Steps] | None = None,
) -> dict[str, Steps]:
    """The plans, with no more from `watched_until` on than is safe whichever links are lost; each over its own time.

    What is above that is refreshed before then, by a service that watches; without one it runs out.

    `held` is what EVSEs certainly hold over the time of their plan. Who holds the plan already up to `watched_until`
    keeps what follows it too: all share the room of a fuse, and a car that comes would have everybody written anew
    for the sake of hours that are planned again before they come. Where all that does not fit, nobody keeps anything.
    """
    kept = {key: curve for key, curve in (held or {}).items() if _goes_on(curve, plans[key], watched_until)}
    end = max((plan.end for plan in plans.values()), default=watched_until)
    fixed = {key: _beside_fallback(curve, fallbacks_a[key], end) for key, curve in kept.items()}
    open_plans = {key: plan for key, plan in plans.items() if key not in kept}
    safe = covered(fuses, open_plans, fallbacks_a, {**others, **fixed}, min_current_a)

    def limit(key: str, moment: datetime) -> float:
        wanted_a = plans[key].at(moment)
        if moment < watched_until:
            return wanted_a
        return kept[key].at(moment) if key in kept else min(wanted_a, safe[key].at(moment))

    answer = {
        key: evaluated(
            partial(limit, key),
            (*plan.moments, *(kept[key] if key in kept else safe[key]).moments, watched_until),
            plan.start,
            plan.end,
        )
        for key, plan in plans.items()
    }
    if kept and not _fits(
        fuses, {**others, **{key: _beside_fallback(answer[key], fallbacks_a[key], end) for key in plans}}, watched_until
    ):
        return guarded(fuses, plans, fallbacks_a, others, min_current_a, watched_until)
    return answer


def _goes_on(held: Steps, plan: Steps, until: datetime) -> bool:
    """Whether what is held is the plan up to `until`: nowhere above it, and no more than rounding below."""
    knots = [moment for moment in {plan.start, *plan.moments, *held.moments} if plan.start <= moment < until]
    return all(-EPSILON <= plan.at(moment) - held.at(moment) <= SAME_A for moment in knots)


def _beside_fallback(curve: Steps, fallback_a: float, end: datetime) -> Steps:
    """The larger of a curve and the fallback, which holds alone when the curve has ended."""
    moments, values = [*curve.moments], [max(value, fallback_a) for value in curve.values]
    if curve.end < end:
        moments.append(curve.end)
        values.append(fallback_a)
    return Steps(tuple(moments), tuple(values), max(curve.end, end))


def _fits(fuses: Fuses, curves: Mapping[str, Steps], since: datetime) -> bool:
    """Whether every fuse carries all curves together from `since` on."""
    moments = sorted({since, *(moment for curve in curves.values() for moment in curve.moments if moment > since)})
    drawn_a = np.array([[curve.at(moment) for moment in moments] for curve in curves.values()])
    loads = fuses.load[:, fuses.columns(list(curves))] @ drawn_a
    return bool(np.all(loads <= fuses.rooms[:, None] + EPSILON))


def covered(
    fuses: Fuses,
    plans: Mapping[str, Steps],
    fallbacks_a: Mapping[str, float],
    others: Mapping[str, Steps],
    min_current_a: Mapping[str, float],
) -> dict[str, Steps]:
    """The part of each plan that stays within every fuse whichever links are lost: A per phase, by EVSE.

    At each moment an EVSE counts with the larger of its plan and its fallback, and with the fallback alone once its
    plan has ended; `others` are the curves of EVSEs without a plan here. What a plan asks above the fallback is
    scaled to the room of the tightest fuse above the EVSE; what then is below its minimum current becomes its
    fallback. The answers all cover the time from the first plan's start to the last one's end, half-open.
    """
    if not plans:
        return {}
    keys = list(plans)
    start, end = min(plan.start for plan in plans.values()), max(plan.end for plan in plans.values())
    knots = {moment for curve in (*plans.values(), *others.values()) for moment in (*curve.moments, curve.end)}
    moments = sorted({start, *(moment for moment in knots if start <= moment < end)})
    fallback_a = np.array([fallbacks_a[key] for key in keys])[:, None]
    wanted_a = np.array(
        [
            [plan.at(moment) if moment < plan.end else fallbacks_a[key] for moment in moments]
            for key, plan in plans.items()
        ]
    )
    load = fuses.load[:, fuses.columns(keys)]
    room = fuses.rooms[:, None] - load @ np.broadcast_to(fallback_a, wanted_a.shape)
    if others:
        drawn_a = np.array([[curve.at(moment) for moment in moments] for curve in others.values()])
        room = room - fuses.load[:, fuses.columns(list(others))] @ drawn_a
    above_a = np.maximum(wanted_a - fallback_a, 0.0)
    share = _share_of_the_tightest(load, room, above_a)
    least_a = np.array([min_current_a[key] for key in keys])[:, None]
    kept_a = fallback_a + share * above_a
    kept_a = np.where((above_a > 0) & (kept_a < least_a), fallback_a, kept_a)
    kept_a = np.minimum(kept_a, wanted_a)
    return {
        key: Steps(tuple(moments), tuple(float(value) for value in kept_a[row]), end).merged()
        for row, key in enumerate(keys)
    }


def _share_of_the_tightest(load: Floats, room: Floats, above_a: Floats) -> Floats:
    """(EVSE, moment): of what is asked above the fallback, what every fuse above the EVSE has room for."""
    asked = load @ above_a
    with np.errstate(divide="ignore", invalid="ignore"):
        of_fuse = np.where(asked > EPSILON, np.clip(room / asked, 0.0, 1.0), 1.0)
    below = load.T[:, :, None] > 0
    share: Floats = np.where(below, of_fuse[None, :, :], 1.0).min(axis=1, initial=1.0)
    return share
