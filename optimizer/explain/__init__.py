"""Why a schedule is as it is: binding rules by name, shadow prices, next-best slots, and what unmet wishes need.

On request only: it solves the money program once more for its duals, and a few programs for each unmet wish.
"""

from collections import defaultdict
from collections.abc import Collection
from math import inf
from time import perf_counter

import numpy as np

from optimizer.arrays import Floats
from optimizer.domain import Problem, Schedule, Session
from optimizer.explain.prices import Prices, headroom_kw, planned_kw, prices_of, site_binding
from optimizer.explain.reasons import (
    Binding,
    Explanation,
    NextBest,
    Repair,
    RepairKind,
    SessionReason,
    SlotReason,
    UnmetWish,
)
from optimizer.explain.remedy import Plan, repairs
from optimizer.explain.shadow import shadow_of
from optimizer.explain.why import POWER_NOISE_KW, why
from optimizer.program import Site, Variables

__all__ = [
    "Binding",
    "Explanation",
    "NextBest",
    "Repair",
    "RepairKind",
    "SessionReason",
    "SlotReason",
    "UnmetWish",
    "explain",
]

UNMET_WISH_KWH = 0.01  # less is no wish that failed, but rounding
MOST_REPAIRED = 10  # each takes a dozen solves; ask by EVSE for the others


def explain(
    problem: Problem,
    schedule: Schedule,
    *,
    evse_id: str | None = None,
    sought: Collection[str] | None = None,
    patience_s: float = inf,
) -> Explanation:
    """The reasons of a plan, for one EVSE or for all; unmet wishes with what would meet them, the largest first.

    Repairs are sought for the `MOST_REPAIRED` largest, or for those of the sessions that `sought` names; after
    `patience_s` seconds none but the first is begun. `Explanation.sought` says for which they were. Raise
    `SolverError` when the schedule breaks the problem's rules, or the solver gives no answer in time; `KeyError` when
    the problem has no such EVSE.
    """
    if evse_id is not None and evse_id not in schedule.power_kw:
        raise KeyError(evse_id)
    began = perf_counter()
    site = Site.of(problem)
    variables = Variables.of(site)
    shadow = shadow_of(site, variables, schedule, time_limit_s=problem.settings.time_limit_s)
    prices = prices_of(site, variables, shadow)
    binding = site_binding(site, variables, shadow)
    room_kw = headroom_kw(site, variables, shadow, schedule)
    power_kw = planned_kw(site, schedule)
    evses = {
        evse.evse_id: _slots(site, power_kw, prices, binding, number)
        for number, evse in enumerate(problem.evses)
        if evse_id in (None, evse.evse_id)
    }
    sessions = {
        session.session_id: SessionReason(
            session.session_id,
            session.evse_id,
            float(prices.need[number]),
            _next_best(site, prices, np.where(np.abs(power_kw) > POWER_NOISE_KW, 0.0, room_kw), number),
        )
        for number, session in enumerate(problem.sessions)
        if evse_id in (None, session.evse_id)
    }
    short = _short(problem, schedule, evse_id)
    wanted = short[:MOST_REPAIRED] if sought is None else [one for one in short if one.session_id in sought]
    found = _remedies(problem, schedule, wanted, until=began + patience_s)
    unmet = tuple(
        UnmetWish(one.session_id, schedule.sessions[one.session_id].unmet_kwh, found.get(one.session_id, ()))
        for one in short
    )
    return Explanation(problem.currency, evses, sessions, binding, unmet, tuple(found))


def _slots(
    site: Site, power_kw: Floats, prices: Prices, binding: tuple[Binding, ...], evse: int
) -> tuple[SlotReason, ...]:
    """One reason for each slot in which somebody is there and needs something."""
    charge = site.charge
    at_site: dict[int, list[Binding]] = defaultdict(list)
    for one in binding:
        if one.rule in ("demand_peak", "max_import_kw") and one.slot is not None:
            at_site[one.slot].append(one)
    reasons = []
    for column in np.flatnonzero(charge.evse == evse).tolist():
        slot = site.grid.first + int(charge.slot[column])
        held_by = prices.binding.get(column, ())
        energy, price, worth = (float(one[column]) for one in (prices.energy, prices.total, prices.worth))
        power, most = float(power_kw[column]), float(charge.max_kw[column])
        text = why(
            power_kw=power,
            max_power_kw=most,
            energy_price=energy,
            price=price,
            worth=worth,
            binding=held_by,
            at_site=at_site[slot],
            currency=site.problem.currency,
        )
        reasons.append(SlotReason(slot, power, most, energy, price, worth, held_by, text))
    return tuple(reasons)


def _next_best(site: Site, prices: Prices, room_kw: Floats, session: int) -> NextBest | None:
    """Among the session's slots with `room_kw`; the earlier one among equal prices."""
    columns = site.charge.column[site.charge.session == session]
    columns = columns[room_kw[columns] > np.maximum(POWER_NOISE_KW, site.charge.step_kw[columns])]
    if not columns.size:
        return None
    best = columns[np.argmin(np.round(prices.total[columns], 9))]
    price = float(prices.total[best])
    return NextBest(
        slot=site.grid.first + int(site.charge.slot[best]),
        headroom_kw=float(room_kw[best]),
        price_per_kwh=price,
        more_per_kwh=max(price - float(prices.need[session]), 0.0),
    )


def _short(problem: Problem, schedule: Schedule, evse_id: str | None) -> list[Session]:
    """Who goes short, the largest unmet wish first."""
    unmet_kwh = {name: result.unmet_kwh for name, result in schedule.sessions.items()}
    there = (one for one in problem.sessions if evse_id in (None, one.evse_id))
    return sorted(
        (one for one in there if unmet_kwh[one.session_id] > UNMET_WISH_KWH), key=lambda one: -unmet_kwh[one.session_id]
    )


def _remedies(
    problem: Problem, schedule: Schedule, short: list[Session], *, until: float
) -> dict[str, tuple[Repair, ...]]:
    """By session, of these in turn, the first in any case; no further one once `perf_counter` is beyond `until`."""
    if not short:
        return {}
    plan = Plan.of(problem, schedule)
    found: dict[str, tuple[Repair, ...]] = {}
    for session in short:
        if found and perf_counter() > until:
            break
        found[session.session_id] = repairs(plan, session)
    return found
