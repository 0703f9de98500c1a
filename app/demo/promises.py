"""Which promises could have been kept by somebody who had known everything: load, clouds, cars and faults.

One program over the whole day, with the building and the roof as they really were, the fuses of the site, and the true
stay of each car. Faults of stations hinder it in nothing, since it could have told all of them in time: it is an upper
bound.
"""

from datetime import timedelta

from app.demo.physics import Power, Surroundings
from app.demo.policies import MET_WITHIN_KWH, Outcome, most_kwh
from app.demo.scenario import Scenario
from optimizer.domain import Circuit, Connection, Evse, Horizon, Problem, Series, Session
from optimizer.foresight import perfect_foresight

SLOT_MINUTES = 15


def kept(outcome: Outcome) -> frozenset[str]:
    """Sessions that had what they needed when they left."""
    return frozenset(session.session_id for session in outcome.sessions if session.departure_met)


def possible(scenario: Scenario, surroundings: Surroundings) -> frozenset[str]:
    """Sessions that perfect foresight serves."""
    schedule = perfect_foresight(day_in_hindsight(scenario, surroundings))
    return frozenset(key for key, result in schedule.sessions.items() if result.unmet_kwh <= MET_WITHIN_KWH)


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
