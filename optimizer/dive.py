"""A dive: powers below their minimum are decided, and the linear program is solved again around the decision.

Each is decided to be 0 or at least the minimum, until none is left between. On a large site few are: then only the
EVSEs that have one move, with those that contend for the same full fuse, and everybody else's plan is kept.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optimizer.arrays import Flags, Floats, sum_by
from optimizer.directions import net_vehicle_kw
from optimizer.errors import SolverError
from optimizer.fill import ENERGY_NOISE_KWH
from optimizer.neighbourhood import Neighbourhood, free_columns, moving_evses
from optimizer.objectives import money, unmet_price
from optimizer.program import Program, Site, Variables
from optimizer.room import POWER_NOISE_KW, Meter, Room, mean_kw

ROUNDS = 5  # of deciding and solving again; more gain nothing (benchmarks/optimizer_solve.py)
ROUNDS_LARGE = 3  # each decision of theirs weighs less
RAISED_FROM = (0.0, 0.5)  # shares of the minimum that are tried: from there on what is given is raised to it
MONEY_NOISE = 1e-9
ENERGY_SLACK_KWH = 1e-6  # the minima that are decided may miss a need by the solver's own noise
FEW = 0.5  # of the EVSEs: where more move, the whole program starts warm and is as fast
LARGE = 3_000  # charge columns: below, the whole program is a matter of milliseconds

Run = Callable[[Program], Floats]


def dive(site: Site, v: Variables, program: Program, x: Floats, *, wish: Floats, run: Run, run_part: Run) -> Floats:
    """The columns of `program` with no power between 0 and its minimum, from its solution `x`.

    `wish` is the price of every column beside its money. `run` solves a program on the same matrix, `run_part` one on
    another. Where that fails, powers below the minimum
    are dropped.
    """
    below, faint = _below(site, x[v.charge]), _faint(site, v, x)
    if not below.any() and not faint.any():
        return x
    program = forgiving(site, v, program, x, wish)
    everybody = np.ones(len(site.problem.evses), dtype=np.bool_)
    moving = everybody
    afresh = site.vehicles.tapering.size > 0  # sums over a stay: a warm start takes longer than a cold one
    if site.charge.columns >= LARGE and not afresh and not faint.any():
        moving = moving_evses(site, np.maximum(net_vehicle_kw(site, v, x), 0.0), x[v.store], below)
    if afresh or moving.sum() <= FEW * moving.size:
        part = Neighbourhood.around(program, x, free_columns(site, v, moving))
        try:
            return _best(site, v, program, x, lambda decided: part.whole(run_part(part.part(decided))), moving)
        except SolverError:  # the others leave no room: let them move as well
            pass
    try:
        return _best(site, v, program, x, run, everybody, as_far_as_it_goes=True)
    except SolverError:  # a battery or a fixed direction leaves no room for these minima
        return _dropped(v, x, below, faint)


def _dropped(v: Variables, x: Floats, below: Flags, faint: Flags) -> Floats:
    """Without the powers that lie below their minimum."""
    dropped = x.copy()
    dropped[v.charge[below]] = 0.0
    dropped[v.give[faint]] = 0.0
    return dropped


def _best(
    site: Site,
    v: Variables,
    program: Program,
    x: Floats,
    run: Run,
    moving: Flags,
    *,
    as_far_as_it_goes: bool = False,
) -> Floats:
    """What is given below the minimum is dropped, or raised to it where that share is reached: as is worth most."""
    best, value = _dive(site, v, program, x, run, moving, raised_from=1.0, as_far_as_it_goes=as_far_as_it_goes)
    if _faint(site, v, x).any():
        for share in RAISED_FROM:
            try:
                other, other_value = _dive(site, v, program, x, run, moving, raised_from=share)
            except SolverError:  # nobody has that much to give
                continue
            if other_value < value - MONEY_NOISE:
                best, value = other, other_value
    return best


def _faint(site: Site, v: Variables, x: Floats) -> Flags:
    """Which vehicles' giving lies below the minimum."""
    least_kw = site.charge.min_kw[site.vehicles.column[site.vehicles.giving]]
    faint: Flags = (x[v.give] > POWER_NOISE_KW) & (x[v.give] < least_kw - POWER_NOISE_KW)
    return faint


def _below(site: Site, power_kw: Floats) -> Flags:
    below: Flags = (power_kw > POWER_NOISE_KW) & (power_kw < site.charge.min_kw - POWER_NOISE_KW)
    return below


def _dive(
    site: Site,
    v: Variables,
    program: Program,
    x: Floats,
    run: Run,
    moving: Flags,
    *,
    raised_from: float,
    as_far_as_it_goes: bool = False,
) -> tuple[Floats, float]:
    """The columns, and their cost; giving is raised to the minimum from this share of it on, below it is dropped.

    Where a decision finds no room or no time, those before it stand `as_far_as_it_goes`, and what is left is dropped.
    """
    charge = site.charge
    lower, upper, row_upper = program.lower.copy(), program.upper.copy(), program.row_upper.copy()
    energy = program.rows("energy_by_departure")
    held_kw = np.where(moving[charge.evse], 0.0, net_vehicle_kw(site, v, x))
    others_kw = x[v.imported] - x[v.exported] - mean_kw(site, net_vehicle_kw(site, v, x) - held_kw)
    room, meter = Room(site), Meter(site, others_kw, x[v.peak])
    room.take_all(site, np.maximum(held_kw, 0.0))
    may_move, least_kw = moving[charge.evse], np.maximum(charge.min_kw - POWER_NOISE_KW, POWER_NOISE_KW)
    given_from = site.vehicles.column[site.vehicles.giving]
    least_given_kw = np.maximum(charge.min_kw[given_from], POWER_NOISE_KW)
    on = np.zeros(charge.columns, dtype=np.bool_)
    rounds = ROUNDS if charge.columns < LARGE else ROUNDS_LARGE
    for turn in range(rounds + 1):
        power_kw = x[v.charge]
        below, faint = _below(site, power_kw) & may_move, _faint(site, v, x)
        if not below.any() and not faint.any():
            break
        chosen = _choose(
            site, power_kw, below & ~_too_full(site, v, x), on, room, meter, most_kwh=_most_kwh(site, v, x)
        )
        on |= chosen
        off = below & ~chosen
        if turn >= rounds - 1:  # nothing new may come up
            on |= (power_kw >= least_kw) & may_move
            off = ~on & may_move
            faint |= x[v.give] <= POWER_NOISE_KW
        lower[v.charge[on]] = charge.min_kw[on]
        upper[v.charge[off]] = 0.0
        given_kw = x[v.give]
        raised = (
            faint
            & (given_kw > POWER_NOISE_KW)
            & (given_kw >= raised_from * least_given_kw)
            & (upper[v.give] >= least_given_kw)
        )
        raised &= lower[v.charge[given_from]] <= 0
        lower[v.give[raised]] = least_given_kw[raised]
        upper[v.charge[given_from[raised]]] = 0.0
        upper[v.give[faint & ~raised]] = 0.0
        row_upper[energy] = program.row_upper[energy] + np.where(_tight(site, on, program, energy), ENERGY_SLACK_KWH, 0)
        try:
            x = run(replace(program, lower=lower.copy(), upper=upper.copy(), row_upper=row_upper.copy()))
        except SolverError:
            if turn == 0 or not as_far_as_it_goes:
                raise
            return _dropped(v, x, below, faint), program.value(x)
    return x, float(program.cost @ x)


def forgiving(site: Site, v: Variables, program: Program, x: Floats, wish: Floats) -> Program:
    """The money program where more may go unmet than in its solution `x`, at a price that nothing else can cost."""
    upper = program.upper.copy()
    upper[v.unmet] = site.needs.owed_kwh
    upper[v.behind] = site.milestones.most_kwh
    row_lower, row_upper = program.row_lower.copy(), program.row_upper.copy()
    energy = program.rows("energy_by_departure")
    followed = np.zeros(site.sessions)  # what they give and take at their minima hardly adds up to the last watt
    followed[site.vehicles.session] = ENERGY_SLACK_KWH
    row_lower[energy] -= x[v.unmet] + followed
    row_upper[energy] += followed
    row_upper[program.rows("shortfall")] = np.inf
    row_upper[program.rows("floor_shortfall")] = np.inf
    cost = money(site, v) + wish
    weight = unmet_price(site) * (1.0 + site.needs.classes - site.needs.service_class)
    floors = site.milestones.floors
    cost[v.unmet] = weight
    cost[v.behind[floors]] = weight[site.milestones.session[floors]] + 0.5 * unmet_price(site)
    return replace(program, cost=cost, upper=upper, row_lower=row_lower, row_upper=row_upper)


def _tight(site: Site, on: Flags, program: Program, energy: slice) -> Flags:
    """The sessions whose minima add up to their need. Slack for all would move every need, and cost the warm start."""
    charge = site.charge
    least_kwh = sum_by(charge.session, (charge.min_kw * on)[charge.column] * charge.overlap_h, site.sessions)
    tight: Flags = least_kwh > program.row_upper[energy] - ENERGY_SLACK_KWH
    return tight


def _too_full(site: Site, v: Variables, x: Floats) -> Flags:
    """The columns in which a vehicle that is nearly full takes less than the minimum."""
    vehicles, charge = site.vehicles, site.charge
    entries = vehicles.tapering
    column, slope, hours = vehicles.column[entries], vehicles.slope[entries], vehicles.hours[entries]
    before_kwh = vehicles.before_kwh(net_vehicle_kw(site, v, x))[entries]
    most_kw = slope * (vehicles.zero_kwh[entries] - before_kwh) / (1 + slope * hours)
    full = np.zeros(charge.columns, dtype=np.bool_)
    full[column[most_kw < charge.min_kw[column] - POWER_NOISE_KW]] = True
    return full


def _most_kwh(site: Site, v: Variables, x: Floats) -> Floats:
    """What each session may take: what it needs, and what it gives away in at least its minimum."""
    vehicles, given_kw = site.vehicles, x[v.give]
    entries = vehicles.giving
    least_kw = np.where(given_kw > POWER_NOISE_KW, site.charge.min_kw[vehicles.column[entries]], 0.0)
    lost_kwh = np.maximum(given_kw, least_kw) * vehicles.hours[entries] * vehicles.loss[entries]
    return site.needs.required_kwh + sum_by(vehicles.session[entries], lost_kwh, site.sessions)


def _choose(
    site: Site, power_kw: Floats, below: Flags, on: Flags, room: Room, meter: Meter, *, most_kwh: Floats
) -> Flags:
    """Which of the powers below their minimum are raised to it: per session as few as can hold the same energy.

    The fullest come first. A power is raised only where its minimum fits beside the minima that are decided already,
    under every fuse and under the billed peak, and where the minima of a session do not add up to more than it needs.
    """
    charge = site.charge
    min_kw, max_kw = charge.min_kw, charge.max_kw
    decided_kwh = sum_by(charge.session, (min_kw * on)[charge.column] * charge.overlap_h, site.sessions)
    pairs = np.flatnonzero(below[charge.column])
    energy_kwh = power_kw[charge.column[pairs]] * charge.overlap_h[pairs]
    order = np.lexsort(
        (charge.slot[charge.column[pairs]], -energy_kwh, site.needs.service_class[charge.session[pairs]])
    )
    missing_kwh = sum_by(charge.session[pairs], energy_kwh, site.sessions)
    shared = np.bincount(charge.column, minlength=charge.columns) > 1
    chosen = np.zeros(charge.columns, dtype=np.bool_)
    for pair in pairs[order].tolist():
        session, column = charge.session[pair], charge.column[pair]
        least_kwh = min_kw[column] * charge.overlap_h[pair]
        enough = missing_kwh[session] <= ENERGY_NOISE_KWH
        too_much = decided_kwh[session] + least_kwh > most_kwh[session] + ENERGY_SLACK_KWH
        if enough or too_much or shared[column]:
            continue
        one, least_kw = np.array([column]), min_kw[[column]]
        mean_kw, slot = least_kw * charge.present[one], charge.slot[one]
        if (room.room_kw(one) < least_kw - POWER_NOISE_KW) or (meter.slack_kw(slot) < mean_kw - POWER_NOISE_KW):
            continue
        room.take(one, least_kw)
        meter.add(slot, mean_kw)
        chosen[column] = True
        decided_kwh[session] += least_kwh
        missing_kwh[session] -= max_kw[column] * charge.overlap_h[pair]
    return chosen
