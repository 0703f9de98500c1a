"""From duals to prices: what a kWh costs in each charge column, and which rules make it dear.

At the optimum of a linear program the price of a column is its cost less what its rows pay for it. Sorted by rule, the
rows of a charge column say what energy costs at the site, what the vehicle's need is worth, and whom it displaces.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.arrays import Flags, Floats, sum_by
from optimizer.domain import CONNECTION, Schedule
from optimizer.explain.reasons import Binding
from optimizer.explain.shadow import PRICE_NOISE, Shadow, names_of
from optimizer.program import Site, Variables

NEEDS = ("energy_by_departure", "energy_by_moment", "vehicle_energy")  # what a vehicle's kWh are worth
BALANCE = "power_balance"
NO_LIMIT = frozenset({*NEEDS, BALANCE, "battery_energy", "shortfall", "floor_shortfall", "cost_bound"})


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """One entry a charge column, currency per kWh at the EVSE: what energy costs, with displacement, and is worth.

    `binding` holds the rules that displace somebody in a column; `need` (session) is the price of a session's next kWh,
    in time for all that it is needed for.
    """

    energy: Floats
    total: Floats
    worth: Floats
    need: Floats
    binding: dict[int, tuple[Binding, ...]]


def prices_of(site: Site, v: Variables, shadow: Shadow) -> Prices:
    """Sort what the rows of every charge column pay."""
    charge, matrix = site.charge, shadow.program.matrix
    kwh_per_kw = charge.present * site.grid.hours[charge.slot]
    place = np.full(matrix.columns, -1)
    place[v.charge] = np.arange(charge.columns)
    entries = np.flatnonzero((place[shadow.column] >= 0) & (shadow.duals.rows[shadow.row] != 0))
    column, row = place[shadow.column[entries]], shadow.row[entries]
    paid = shadow.price_of_entries()[entries] / kwh_per_kw[column]
    of_need, of_balance = shadow.rows_of(*NEEDS)[row], shadow.rows_of(BALANCE)[row]
    displaces = ~of_need & ~of_balance

    def total(chosen: Flags) -> Floats:
        return sum_by(column, np.where(chosen, paid, 0.0), charge.columns)

    energy = total(of_balance) + shadow.program.cost[v.charge] / kwh_per_kw
    seen = displaces & (paid > PRICE_NOISE)
    names = names_of(site, shadow.program, np.unique(row[seen]))
    binding: dict[int, tuple[Binding, ...]] = {}
    for at, number, price in zip(column[seen].tolist(), row[seen].tolist(), paid[seen].tolist(), strict=True):
        name = names[number]
        binding[at] = (*binding.get(at, ()), Binding(name.rule, name.where, price, name.slot, name.phase))
    return Prices(energy, energy + total(displaces), -total(of_need), _needs(site, shadow), binding)


def site_binding(site: Site, v: Variables, shadow: Shadow) -> tuple[Binding, ...]:
    """Every limit of the site that costs money, with the price of one kWh through it; a demand charge by slot.

    The row's dual divided by the slot's hours. Where amperes limit, it is a kWh on that one phase.
    """
    hours, first = site.grid.hours, site.grid.first
    kw_per_a = site.problem.connection.voltage_v / 1000
    found: list[Binding] = []
    for rule, key, begin, end in shadow.program.blocks:
        if rule in NO_LIMIT or rule == "demand_peak":
            continue
        duals = np.abs(shadow.duals.rows[begin:end])
        rows = np.flatnonzero(duals > PRICE_NOISE)
        names = names_of(site, shadow.program, begin + rows)
        for row in rows.tolist():
            name, price = names[begin + row], float(duals[row])
            price /= float(hours[key[-1][row]]) if name.slot is not None else 1.0
            price /= kw_per_a if name.phase is not None else 1.0
            found.append(Binding(name.rule, name.where, price, name.slot, name.phase))
    found += _peaks(site, v, shadow)
    for rule, columns in (("max_import_kw", v.imported), ("max_export_kw", v.exported)):
        price_at = -shadow.duals.columns[columns] / hours
        binds = (price_at > PRICE_NOISE) & (shadow.program.upper[columns] > 0)
        found += [
            Binding(rule, CONNECTION, float(price_at[slot]), first + slot) for slot in np.flatnonzero(binds).tolist()
        ]
    return tuple(found)


def headroom_kw(site: Site, v: Variables, shadow: Shadow, schedule: Schedule) -> Floats:
    """How much more each charge column could take beside the plan as it is, on every limit of the site."""
    charge, first, program = site.charge, site.grid.first, shadow.program
    x = np.zeros(program.matrix.columns)
    x[v.charge] = np.maximum(planned_kw(site, schedule), 0.0)
    x[v.imported], x[v.curtail] = schedule.import_kw[first:], schedule.curtail_kw[first:]
    for index, battery in enumerate(site.batteries):
        power_kw = np.array(schedule.batteries[battery.battery_id].power_kw[first:])
        x[v.store[index]], x[v.draw[index]] = np.maximum(power_kw, 0), np.maximum(-power_kw, 0)
    room = program.row_upper - program.matrix.dot(x)
    limits = np.zeros(program.matrix.rows, dtype=np.bool_)
    for rule, _, begin, end in program.blocks:
        limits[begin:end] = rule not in NO_LIMIT and rule != "demand_peak"
    place = np.full(program.matrix.columns, -1)
    place[v.charge] = np.arange(charge.columns)
    value = program.matrix.value
    entries = np.flatnonzero((place[shadow.column] >= 0) & limits[shadow.row] & (value > 0))
    least = charge.max_kw - x[v.charge]
    np.minimum.at(least, place[shadow.column[entries]], room[shadow.row[entries]] / value[entries])
    import_room_kw = site.max_import_kw - x[v.imported] + np.array(schedule.export_kw[first:])
    room_kw: Floats = np.maximum(np.minimum(least, import_room_kw[charge.slot] / charge.present), 0.0)
    return room_kw


def planned_kw(site: Site, schedule: Schedule) -> Floats:
    """The schedule's power of every charge column; below 0 a vehicle gives."""
    power_kw = np.array([schedule.power_kw[evse.evse_id] for evse in site.problem.evses])
    planned: Floats = power_kw[site.charge.evse, site.charge.slot + site.grid.first]
    return planned


def _needs(site: Site, shadow: Shadow) -> Floats:
    needs = np.zeros(site.sessions)
    for rule, key, first, end in shadow.program.blocks:
        if rule in NEEDS[:2]:
            np.add.at(needs, key[0], shadow.duals.rows[first:end])
    return needs


def _peaks(site: Site, v: Variables, shadow: Shadow) -> list[Binding]:
    """What demand charges add to a kWh that is imported in a slot."""
    slot_of = np.full(shadow.program.matrix.columns, -1)
    slot_of[v.imported] = np.arange(site.grid.slots)
    paid = shadow.price_of_entries()
    peak = shadow.rows_of("demand_peak")[shadow.row] & (slot_of[shadow.column] >= 0)
    entries = np.flatnonzero(peak & (paid > PRICE_NOISE))
    names = names_of(site, shadow.program, np.unique(shadow.row[entries]))
    return [
        Binding(
            "demand_peak",
            names[int(shadow.row[entry])].where,
            float(paid[entry] / site.grid.hours[slot]),
            site.grid.first + slot,
        )
        for entry, slot in ((entry, int(slot_of[shadow.column[entry]])) for entry in entries)
    ]
