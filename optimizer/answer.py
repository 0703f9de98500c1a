"""From the steps of every charge column to a `Schedule`: what the meter will see, what it costs, who gets what.

Everything is computed from the final powers, expected base load and PV, not read off the solver: the balance holds
exactly, and import and export are never both above 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.arrays import Floats, Ints, sum_by
from optimizer.directions import net_battery_kw, net_vehicle_kw
from optimizer.domain import BatteryResult, Cost, Problem, Series, SessionResult
from optimizer.program import Site, Variables

DECIMALS = 9  # of kW, A and kWh: below it lies the noise of floating point
FLOW_NOISE_KW = 1e-7
UNMET_NOISE_KWH = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Mean powers at the connection in each slot of the grid, kW; `battery_kw` (battery, slot), charging positive."""

    imported_kw: Floats
    exported_kw: Floats
    curtail_kw: Floats
    battery_kw: Floats


def flows(site: Site, v: Variables, x: Floats, power_kw: Floats) -> Flows:
    """What flows when vehicles draw `power_kw` (charge column) and batteries keep to the program's `x`.

    Where curtailment was used, or exporting costs money, it takes up what rounding changed; else the connection does.
    """
    charge, slots = site.charge, site.grid.slots
    change_kw = sum_by(charge.slot, (power_kw - net_vehicle_kw(site, v, x)) * charge.present, slots)
    battery_kw = _quiet(net_battery_kw(site, v, x))
    most_kw = site.pv_kw if site.problem.pv_curtailable else np.zeros(slots)
    fed_kw = np.maximum(-power_kw, 0.0) * site.feed_weight(np.arange(charge.columns))
    drawn_kw = -np.minimum(battery_kw, 0).sum(axis=0) + sum_by(
        charge.slot, fed_kw, slots
    )  # the safety row at the connection: what must be curtailed
    least_kw = np.clip(drawn_kw - site.headroom.feed_kw[0], 0.0, most_kw)
    planned_kw = np.clip(_quiet(x[v.curtail]), least_kw, most_kw)
    follows = (site.sell_price < 0) | (planned_kw > least_kw + FLOW_NOISE_KW)
    curtail_kw = np.where(follows, np.clip(planned_kw - change_kw, least_kw, most_kw), planned_kw)
    drawn = sum_by(charge.slot, power_kw * charge.present, slots)
    net_kw = site.base_load_kw - site.pv_kw + curtail_kw + drawn + battery_kw.sum(axis=0)
    return Flows(
        imported_kw=np.maximum(_quiet(net_kw), 0.0),
        exported_kw=np.maximum(_quiet(-net_kw), 0.0),
        curtail_kw=curtail_kw,
        battery_kw=battery_kw,
    )


def cost_of(site: Site, seen: Flows, power_kw: Floats) -> Cost:
    """The site's money from now to the end of the horizon, cause by cause; `ev` is left open.

    `power_kw` (charge column) says what beliefs are expected to miss.
    """
    problem, hours, first = site.problem, site.grid.hours, site.grid.first
    buy = np.array(problem.import_price_per_kwh)[first:]
    wears = np.array([battery.wear_price_per_kwh for battery in site.batteries])[:, None]
    return Cost(
        energy=float(np.sum(hours * (seen.imported_kw * buy - seen.exported_kw * site.sell_price))),
        demand=sum(
            (
                charge.price_per_kw * max(intervals.peak_kw(seen.imported_kw) - charge.free_peak_kw, 0.0)
                for charge, intervals in zip(problem.demand_charges, site.intervals, strict=True)
            ),
            start=0.0,
        ),
        carbon=float(np.sum(hours * seen.imported_kw * (site.buy_price - buy))),
        wear=float(np.sum(np.maximum(seen.battery_kw, 0.0) * wears * hours)) + _vehicle_wear(site, power_kw),
        unmet=float(site.milestones.probability @ site.milestones.missing_kwh(power_kw, site.vehicles))
        * (problem.unmet_price_per_kwh or 0.0),
    )


def _vehicle_wear(site: Site, power_kw: Floats) -> float:
    vehicles, charge = site.vehicles, site.charge
    column = vehicles.column[vehicles.giving]
    given_kwh = np.maximum(-power_kw[column], 0.0) * charge.present[column] * site.grid.hours[charge.slot[column]]
    return float(given_kwh @ vehicles.wear_price[vehicles.giving])


def peaks(site: Site, seen: Flows) -> Mapping[str, float]:
    """The highest mean import of each demand charge's intervals, or the peak so far where that is higher."""
    return {
        charge.charge_id: max(intervals.peak_kw(seen.imported_kw), charge.peak_so_far_kw)
        for charge, intervals in zip(site.problem.demand_charges, site.intervals, strict=True)
    }


def evse_series(site: Site, steps: Ints) -> tuple[Mapping[str, Series], Mapping[str, Series | None]]:
    """Power and current per EVSE over the whole horizon; no current for DC."""
    problem, charge = site.problem, site.charge
    shape = (len(problem.evses), problem.horizon.slots)
    power_kw, current_a = np.zeros(shape), np.zeros(shape)
    slot = charge.slot + site.grid.first
    power_kw[charge.evse, slot] = np.round(steps * charge.step_kw, DECIMALS)
    current_a[charge.evse, slot] = np.round(steps * charge.step_kw / charge.kw_per_a, DECIMALS)
    return (
        {evse.evse_id: tuple(row) for evse, row in zip(problem.evses, power_kw.tolist(), strict=True)},
        {
            evse.evse_id: None if evse.is_dc else tuple(row)
            for evse, row in zip(problem.evses, current_a.tolist(), strict=True)
        },
    )


def session_results(site: Site, steps: Ints) -> Mapping[str, SessionResult]:
    """What each session gets, and what it lacks of what it is owed within the horizon."""
    charge = site.charge
    power_kw = steps * charge.step_kw
    planned_kwh = site.delivered_kwh(power_kw)
    unmet_kwh = np.maximum(site.needs.owed_kwh - planned_kwh, 0.0)
    unmet_kwh[(unmet_kwh < UNMET_NOISE_KWH) | site.needs.is_belief] = 0.0  # a belief is owed nothing, even if it gave
    milestones = site.milestones
    behind_kwh = milestones.missing_kwh(power_kw, site.vehicles)
    behind_kwh[behind_kwh < UNMET_NOISE_KWH] = 0.0
    floor_kwh = sum_by(milestones.session, behind_kwh * milestones.is_floor, site.sessions)
    expected_kwh = sum_by(milestones.session, behind_kwh * milestones.probability, site.sessions)
    owes = site.needs.owed_kwh > 0
    met_share = 1 - np.divide(unmet_kwh, site.needs.owed_kwh, out=np.zeros(site.sessions), where=owes)
    least_kwh = np.full(site.sessions, np.inf)
    np.minimum.at(least_kwh, charge.session, charge.min_kw[charge.column] * charge.overlap_h)
    windows = np.bincount(charge.session, minlength=site.sessions)
    return {
        session.session_id: SessionResult(
            planned, unmet, _note(unmet, least, count), floor, expected, share if owed else None
        )
        for session, planned, unmet, least, count, floor, expected, share, owed in zip(
            site.problem.sessions,
            np.round(planned_kwh, DECIMALS).tolist(),
            np.round(unmet_kwh, DECIMALS).tolist(),
            least_kwh.tolist(),
            windows.tolist(),
            np.round(floor_kwh, DECIMALS).tolist(),
            np.round(expected_kwh, DECIMALS).tolist(),
            np.round(met_share, DECIMALS).tolist(),
            owes.tolist(),
            strict=True,
        )
    }


def _note(unmet_kwh: float, least_kwh: float, columns: int) -> str | None:
    if unmet_kwh == 0:
        return None
    if columns == 0:
        return "it is never there within the horizon at a power that its EVSE and vehicle share"
    if unmet_kwh < least_kwh:
        return f"a remainder: the minimum current delivers at least {least_kwh:.3f} kWh in a slot"
    return None


def battery_results(site: Site, seen: Flows) -> Mapping[str, BatteryResult]:
    """Power and energy of every battery over the whole horizon; what cannot be controlled rests."""
    first, slots = site.grid.first, site.problem.horizon.slots
    rests = np.zeros(slots)
    powers = {battery.battery_id: row for battery, row in zip(site.batteries, seen.battery_kw, strict=True)}
    results = {}
    for battery in site.problem.batteries:
        power_kw = np.concatenate([rests[:first], powers.get(battery.battery_id, rests[first:])])
        gain_kw = np.where(power_kw > 0, power_kw * battery.charge_efficiency, power_kw / battery.discharge_efficiency)
        change_kwh = gain_kw * np.concatenate([rests[:first], site.grid.hours])
        energy_kwh = battery.energy_kwh + np.cumsum(change_kwh)
        results[battery.battery_id] = BatteryResult(_series(power_kw), _series(energy_kwh))
    return results


def warnings(site: Site) -> tuple[str, ...]:
    """What an operator should know about the problem: overloads, stand-ins, and goals that are out of reach."""
    unreachable = [
        f"{battery.battery_id} cannot hold {battery.final_floor_kwh:.2f} kWh at the end: {floor_kwh:.2f} kWh at most"
        for battery, floor_kwh in zip(site.batteries, site.battery_floor_kwh[:, -1].tolist(), strict=True)
        if floor_kwh < max(battery.final_floor_kwh, battery.min_energy_kwh) - UNMET_NOISE_KWH
    ]
    return (*site.headroom.warnings, *unreachable)


def over_horizon(problem: Problem, site: Site, seen: Flows) -> tuple[Series, Series, Series]:
    """Import, export and curtailment over the whole horizon; in slots that are over, as expected without vehicles."""
    first = site.grid.first
    past_kw = np.array(problem.base_load_kw)[:first] - np.array(problem.pv_kw)[:first]
    return (
        _series(np.concatenate([np.maximum(past_kw, 0.0), seen.imported_kw])),
        _series(np.concatenate([np.maximum(-past_kw, 0.0), seen.exported_kw])),
        _series(np.concatenate([np.zeros(first), seen.curtail_kw])),
    )


def _quiet(power_kw: Floats) -> Floats:
    """Without the noise that solvers leave behind, and without a negative 0."""
    return np.where(np.abs(power_kw) < FLOW_NOISE_KW, 0.0, power_kw)


def _series(values: Floats | Sequence[float]) -> Series:
    return tuple((np.round(values, DECIMALS) + 0.0).tolist())
