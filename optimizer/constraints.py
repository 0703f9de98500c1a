"""The rules, one function each: in words, in maths, in arrays. `ALL` is the table of contents.

A rule yields its rows; rows that no choice can break are left out. p is charging power, i import, e export, c
curtailment, b⁺ and b⁻ what batteries draw and feed; t is a slot, h its hours.
"""

from collections.abc import Iterator
from math import inf

import numpy as np

from optimizer.arrays import Floats, Ints, sum_by
from optimizer.domain import PHASES
from optimizer.objectives import money
from optimizer.program import Rows, Site, Variables
from optimizer.vehicle_rules import taper, vehicle_energy


def power_balance(site: Site, v: Variables) -> Iterator[Rows]:
    r"""What flows in flows out, in every slot, with expected base load and PV. Hard.

    .. math:: i_t - e_t - c_t + \sum_b (b^-_{b,t} - b^+_{b,t}) - \sum_s f_{s,t} (p_{s,t} - g_{s,t}) = load_t - pv_t

    g is what a vehicle gives, f the share of the slot in which it is there: a fuse sees p, the meter its mean. An
    expected vehicle is there by its probability. Unit: kW.
    """
    slots = np.arange(site.grid.slots)
    charge = site.charge
    net_kw = site.base_load_kw - site.pv_kw
    batteries = len(site.batteries)
    given = site.vehicles.column[site.vehicles.giving]
    yield Rows(
        name="power_balance",
        key=(slots,),
        row=np.concatenate([slots, slots, slots, np.tile(slots, 2 * batteries), charge.slot, charge.slot[given]]),
        column=np.concatenate([v.imported, v.exported, v.curtail, v.store.ravel(), v.draw.ravel(), v.charge, v.give]),
        coefficient=np.concatenate(
            [
                np.repeat([1.0, -1.0, -1.0], slots.size),
                np.repeat([-1.0, 1.0], batteries * slots.size),
                -charge.present,
                charge.present[given],
            ]
        ),
        lower=net_kw,
        upper=net_kw,
    )


def energy_by_departure(site: Site, v: Variables) -> Iterator[Rows]:
    r"""Every session gets what it is owed, less what is openly unmet, and never more than it asked for.

    .. math:: owed_s \le \sum_t h_{s,t} (p_{s,t} - \tfrac{1}{\eta^2} g_{s,t}) + unmet_s \le required_s

    h is how long the vehicle is there in the slot, g what it gives there. Soft: `unmet` is a wish that failed.
    A belief owes nothing, and may even be left with less than it came with: its scenarios have the price of that.
    Unit: kWh.
    """
    sessions = np.arange(site.sessions)
    charge, vehicles = site.charge, site.vehicles
    giving = vehicles.giving
    yield Rows(
        name="energy_by_departure",
        key=(sessions,),
        row=np.concatenate([charge.session, vehicles.session[giving], sessions]),
        column=np.concatenate([v.charge[charge.column], v.give, v.unmet]),
        coefficient=np.concatenate(
            [charge.overlap_h, -(vehicles.hours * vehicles.loss)[giving], np.ones(site.sessions)]
        ),
        lower=np.where(site.needs.is_belief, -inf, site.needs.owed_kwh),
        upper=site.needs.required_kwh,
    )


def energy_by_moment(site: Site, v: Variables) -> Iterator[Rows]:
    r"""A floor by its moment, a scenario by its departure: so much is delivered, or openly behind.

    .. math:: \sum_t h_{m,t} (p_{s,t} - \tfrac{1}{\eta^2} g_{s,t}) + behind_m \ge owed_m

    h is how long the vehicle is there in the slot before the moment. Soft. Unit: kWh.
    """
    milestones = site.milestones
    entry, given, loss = milestones.giving(site.vehicles, site.charge.columns)
    if not milestones.count:
        return
    numbers = np.arange(milestones.count)
    yield Rows(
        name="energy_by_moment",
        key=(milestones.session, numbers),
        row=np.concatenate([milestones.milestone, milestones.milestone[entry], numbers]),
        column=np.concatenate([v.charge[milestones.column], v.give[given], v.behind]),
        coefficient=np.concatenate([milestones.hours, -milestones.hours[entry] * loss, np.ones(milestones.count)]),
        lower=milestones.owed_kwh,
        upper=np.full(milestones.count, inf),
    )


def circuit_power(site: Site, v: Variables) -> Iterator[Rows]:
    r"""No circuit, nor the connection, draws more power than its limit. Hard: a fuse does not negotiate.

    .. math:: \sum_{s \in c} p_{s,t} + \sum_{b \in c} b^+_{b,t} \le P_c - load^{high}_{c,t} - reserved_c

    PV counts 0 and batteries do not help: both can fail. An unknown vehicle counts every wired phase. Unit: kW.
    """
    kw_per_a = site.problem.connection.voltage_v / 1000
    safe = site.charge.amps_per_kw.sum(axis=1) * kw_per_a
    limited = site.headroom.draw_kw.min(axis=1) < inf
    charging, storing = site.charging.below(limited), site.storing.below(limited)
    yield _at_most(
        "circuit_power",
        v,
        at=(np.append(charging.node, storing.node), np.append(charging.slot, storing.slot)),
        column=np.append(v.charge[charging.member], v.store.ravel()[storing.member]),
        coefficient=np.append(safe[charging.member], np.ones(storing.node.size)),
        upper=site.headroom.draw_kw,
    )


def circuit_current(site: Site, v: Variables) -> Iterator[Rows]:
    r"""No circuit, nor the connection, carries more than its rating on any phase. Hard.

    .. math:: \sum_{s \in c} a_{s,\varphi} p_{s,t} + \sum_{b \in c} a_b b^+_{b,t}
              \le I_c - i^{high}_{c,\varphi,t} - i^{reserved}_{c,\varphi}

    a is A per kW on the site's phase after rotation. Unit: A.
    """
    limited = site.headroom.draw_a.min(axis=(1, 2)) < inf
    charging, storing = site.charging.below(limited), site.storing.below(limited)
    amps = site.charge.amps_per_kw[charging.member]
    entry, phase = np.nonzero(amps)
    battery, on_phase = np.divmod(np.arange(storing.node.size * len(PHASES)), len(PHASES))
    yield _at_most(
        "circuit_current",
        v,
        at=(
            np.append(charging.node[entry], storing.node[battery]),
            np.append(phase, on_phase),
            np.append(charging.slot[entry], storing.slot[battery]),
        ),
        column=np.append(v.charge[charging.member[entry]], v.store.ravel()[storing.member[battery]]),
        coefficient=np.append(amps[entry, phase], np.full(battery.size, 1 / site.headroom.battery_kw_per_a)),
        upper=site.headroom.draw_a,
    )


def circuit_feed(site: Site, v: Variables) -> Iterator[Rows]:
    r"""No circuit feeds more than its limit, nor the connection more than it may export. Hard.

    .. math:: \sum_{b \in c} b^-_{b,t} + \sum_{s \in c} w_s g_{s,t} - c_t \le P_c,
              \quad at the connection P_c = E + load^{low}_t - pv^{high}_t

    Vehicles that charge do not help: they can leave. What they give counts, on fewer than three phases by w for the
    phase it loads. Curtailment is controllable and counts. Unit: kW.
    """
    slots, storing, giving = np.arange(site.grid.slots), site.storing, site.giving
    weight = site.feed_weight(site.vehicles.column[site.vehicles.giving])
    yield _at_most(
        "circuit_feed",
        v,
        at=(
            np.concatenate([storing.node, giving.node, np.zeros_like(slots)]),
            np.concatenate([storing.slot, giving.slot, slots]),
        ),
        column=np.concatenate([v.draw.ravel()[storing.member], v.give[giving.member], v.curtail]),
        coefficient=np.concatenate([np.ones(storing.node.size), weight[giving.member], np.full(slots.size, -1.0)]),
        upper=site.headroom.feed_kw,
    )


def battery_energy(site: Site, v: Variables) -> Iterator[Rows]:
    r"""A battery holds what it held, plus what is stored, less what is drawn. Hard, with `stored` within its bounds.

    .. math:: x_{t} - x_{t-1} - \eta^+ h_t b^+_t + \frac{h_t}{\eta^-} b^-_t = 0, \quad x_{-1} = energy now

    Unit: kWh.
    """
    slots = np.arange(site.grid.slots)
    for index, battery in enumerate(site.batteries):
        start_kwh = np.zeros(slots.size)
        start_kwh[0] = battery.energy_kwh
        yield Rows(
            name="battery_energy",
            key=(np.full(slots.size, index), slots),
            row=np.concatenate([slots, slots[1:], slots, slots]),
            column=np.concatenate([v.stored[index], v.stored[index][:-1], v.store[index], v.draw[index]]),
            coefficient=np.concatenate(
                [
                    np.ones(slots.size),
                    np.full(slots.size - 1, -1.0),
                    -battery.charge_efficiency * site.grid.hours,
                    site.grid.hours / battery.discharge_efficiency,
                ]
            ),
            lower=start_kwh,
            upper=start_kwh,
        )


def demand_peak(site: Site, v: Variables) -> Iterator[Rows]:
    r"""The billed peak is at least the mean import of every metering interval in which the charge applies.

    .. math:: \sum_{t \in k} h_{k,t} i_t - H_k\, peak_d \le -so\_far_k

    Hard by nature; `peak` starts at what is already known and costs above that alone. Unit: kWh.
    """
    for number, intervals in enumerate(site.intervals):
        every = np.arange(intervals.length_h.size)
        yield _at_most(
            "demand_peak",
            v,
            at=(np.append(intervals.interval, every),),
            column=np.append(v.imported[intervals.slot], np.full(every.size, v.peak[number])),
            coefficient=np.append(intervals.hours, -intervals.length_h),
            upper=-intervals.so_far_kwh,
            where=(number,),
        )


def shortfall(site: Site, v: Variables) -> Iterator[Rows]:
    """What each service class goes without, together. Free until it is proven what is unavoidable. Unit: kWh."""
    classes = np.arange(site.needs.classes)
    yield Rows(
        name="shortfall",
        key=(classes,),
        row=site.needs.service_class,
        column=v.unmet,
        coefficient=np.ones(site.sessions),
        lower=np.full(classes.size, -inf),
        upper=np.full(classes.size, inf),
    )


def floor_shortfall(site: Site, v: Variables) -> Iterator[Rows]:
    """What each service class misses of its floors, together. Free until the least is proven. Unit: kWh."""
    floors = site.milestones.floors
    if not floors.size:
        return
    classes = np.arange(site.needs.classes)
    yield Rows(
        name="floor_shortfall",
        key=(classes,),
        row=site.needs.service_class[site.milestones.session[floors]],
        column=v.behind[floors],
        coefficient=np.ones(floors.size),
        lower=np.full(classes.size, -inf),
        upper=np.full(classes.size, inf),
    )


def cost_bound(site: Site, v: Variables) -> Iterator[Rows]:
    """All money of the plan. Free until a preference is asked for, which may not cost more than its budget."""
    cost = money(site, v)
    column = np.flatnonzero(cost)
    yield Rows(
        name="cost_bound",
        key=(np.zeros(1, dtype=np.int64),),
        row=np.zeros(column.size, dtype=np.int64),
        column=column,
        coefficient=cost[column],
        lower=np.array([-inf]),
        upper=np.array([inf]),
    )


def fair_share(site: Site, v: Variables) -> Iterator[Rows]:
    r"""Nobody's met share of need is below `share`. Only where a class is being divided; free for everybody else.

    .. math:: unmet_s + owed_s\, share \le owed_s
    """
    sessions = np.arange(site.sessions)
    yield Rows(
        name="fair_share",
        key=(sessions,),
        row=np.concatenate([sessions, sessions]),
        column=np.concatenate([v.unmet, np.repeat(v.share, site.sessions)]),
        coefficient=np.concatenate([np.ones(site.sessions), site.needs.owed_kwh]),
        lower=np.full(site.sessions, -inf),
        upper=np.full(site.sessions, inf),
    )


def one_direction(site: Site, v: Variables) -> Iterator[Rows]:
    """Import or export, store or draw, never both at once. Only in the mixed-integer program, where both would pay."""
    pairs = [("one_direction", v.imported, v.exported, v.importing)]
    pairs += [
        ("one_battery_direction", v.store[index], v.draw[index], v.storing[index])
        for index in range(len(site.batteries))
    ]
    given = site.vehicles.column[site.vehicles.giving]
    pairs.append(("one_vehicle_direction", v.charge[given], v.give, v.taking))
    for name, one, other, binary in pairs:
        for column, sign, upper in ((one, -1.0, 0.0), (other, 1.0, 1.0)):
            most, rows = v.upper[column], np.arange(column.size)
            yield Rows(
                name=name,
                key=(rows,),
                row=np.concatenate([rows, rows]),
                column=np.concatenate([column, binary]),
                coefficient=np.concatenate([np.ones(rows.size), sign * most]),
                lower=np.full(rows.size, -inf),
                upper=upper * most,
            )


def _at_most(
    name: str,
    v: Variables,
    *,
    at: tuple[Ints, ...],
    column: Ints,
    coefficient: Floats,
    upper: Floats,
    where: tuple[int, ...] = (),
) -> Rows:
    """Rows with an upper side only, without those that the bounds of their columns keep anyway.

    `upper` has one entry a row, `at` says for each non-zero where in it its row is, `where` what
    comes before that in the key.
    """
    row = np.ravel_multi_index(at, upper.shape)
    extreme = np.where(coefficient > 0, v.upper[column], v.lower[column]) * coefficient
    most = sum_by(row, extreme, upper.size)
    binding = most > upper.ravel()
    rows = np.flatnonzero(binding)
    number = np.cumsum(binding) - 1
    kept = binding[row] & (coefficient != 0)
    return Rows(
        name=name,
        key=(*(np.full(rows.size, part) for part in where), *np.unravel_index(rows, upper.shape)),
        row=number[row[kept]],
        column=column[kept],
        coefficient=coefficient[kept],
        lower=np.full(rows.size, -inf),
        upper=upper.ravel()[rows],
    )


ALL = (
    power_balance,
    energy_by_departure,
    energy_by_moment,
    vehicle_energy,
    taper,
    circuit_power,
    circuit_current,
    circuit_feed,
    battery_energy,
    demand_peak,
    floor_shortfall,
    shortfall,
    cost_bound,
)
SERVICE = (*ALL, fair_share)  # to divide what is not enough for everybody
DIRECTED = (*ALL, one_direction)  # to forbid circular flows where they would pay
