"""Which promises could have been kept by somebody who had known everything: load, clouds, cars and faults.

One program over the whole day, with the building and the roof as they really were, the fuses of the site, and the true
stay of each car. Faults of stations hinder it in nothing, since it could have told all of them in time: no car comes to
a station while that fails. It is an upper bound, and on the demo's day one that is reached: an equal share without
faults keeps the same promises on the simulated cars.

A promise is what a driver was told to get by the departure that he stated, and before it by as much as the site wants
cars to be ready early. To who leaves sooner still nothing was promised; he counts on neither side.
"""

from datetime import timedelta

from app.demo.physics import Power, Surroundings
from app.demo.policies import MET_WITHIN_KWH, Outcome, most_kwh
from app.demo.scenario import Scenario
from optimizer.domain import Circuit, Connection, Evse, Horizon, Problem, Series, Session
from optimizer.foresight import perfect_foresight

SLOT_MINUTES = 15


def promised(scenario: Scenario) -> frozenset[str]:
    """Sessions that stayed about as long as their drivers said."""
    early = timedelta(hours=scenario.site.session_defaults.ready_before_h)
    return frozenset(visit.session_id for visit in scenario.visits if visit.departure >= visit.stated_departure - early)


def kept(scenario: Scenario, outcome: Outcome) -> frozenset[str]:
    """Of the promises, those that had what they needed when they left."""
    met = {session.session_id for session in outcome.sessions if session.departure_met}
    return promised(scenario) & met


def possible(scenario: Scenario, surroundings: Surroundings) -> frozenset[str]:
    """Of the promises, those that perfect foresight keeps."""
    schedule = perfect_foresight(day_in_hindsight(scenario, surroundings))
    met = {key for key, result in schedule.sessions.items() if result.unmet_kwh <= MET_WITHIN_KWH}
    return promised(scenario) & met


def day_in_hindsight(scenario: Scenario, surroundings: Surroundings) -> Problem:
    """The building at its highest of each slot, for its fuse must hold in every second, and the roof at its mean."""
    site, slot = scenario.site, timedelta(minutes=SLOT_MINUTES)
    slots = int((scenario.end - scenario.start) / slot)
    building_kw = _series(_of_slots(surroundings.base_load_kw, slots).max(axis=1))
    pv_kw = _series(_of_slots(surroundings.pv_kw, slots).mean(axis=1))
    evses = {
        f"{station.id}/{evse.id}": Evse(
            f"{station.id}/{evse.id}",
            evse.circuit or "connection",
            evse.phases,
            max_current_a=evse.max_current_a,
            max_power_kw=evse.max_power_kw,
            min_current_a=evse.min_current_a,
        )
        for station in site.charging_stations
        for evse in station.evses
    }
    return Problem(
        horizon=Horizon(scenario.start, SLOT_MINUTES, slots),
        connection=Connection(
            site.connection.max_import_kw,
            site.connection.max_export_kw,
            site.connection.max_current_a,
            site.connection.voltage_v,
        ),
        circuits=tuple(
            Circuit(circuit.id, circuit.parent, circuit.max_power_kw, circuit.max_current_a)
            for circuit in site.circuits
        ),
        evses=tuple(evses.values()),
        sessions=tuple(
            Session(
                visit.session_id,
                visit.outlet,
                visit.arrival,
                visit.departure,
                min(visit.asked_kwh, most_kwh(site, visit)),
                max_power_kw=visit.vehicle.max_power_kw(),
                vehicle_phases=visit.vehicle.phases,
            )
            for visit in scenario.visits
        ),
        base_load_kw=building_kw,
        base_load_high_kw=building_kw,
        base_load_low_kw=building_kw,
        base_load_phase_share=surroundings.base_load_phase_share,
        pv_kw=pv_kw,
        pv_low_kw=pv_kw,
        pv_high_kw=pv_kw,
        import_price_per_kwh=scenario.import_price_per_kwh(),
        export_price_per_kwh=(scenario.site.tariff.export_price_per_kwh or 0.0,) * slots,
        time_zone=site.time_zone,
    )


def _of_slots(power_kw: Power, slots: int) -> Power:
    """(slot, second)."""
    return power_kw[: slots * SLOT_MINUTES * 60].reshape(slots, -1)


def _series(values: Power) -> Series:
    return tuple(float(value) for value in values)
