"""Is there an answer at all: every output present, of the right length, and finite?"""

from collections.abc import Iterator, Sequence
from math import isfinite

from optimizer.domain import CONNECTION, Problem, Schedule, SessionResult, Violation

Named = Iterator[tuple[str, str, Sequence[float] | None]]  # output, place, values


def shape(problem: Problem, schedule: Schedule) -> Iterator[Violation]:
    """Every output is there, has one value per slot, and every value is a finite number."""
    slots = problem.horizon.slots
    for name, where, values in _series(problem, schedule):
        if values is None:
            yield Violation(f"missing_{name}", where, slots, "values")
        elif len(values) != slots:
            yield Violation(f"length_of_{name}", where, abs(len(values) - slots), "values")
        elif not all(map(isfinite, values)):
            for slot, value in enumerate(values):
                if not isfinite(value):
                    yield Violation(f"finite_{name}", where, value, "value", slot)
    for name, where, values in _numbers(problem, schedule):
        if values is None:
            yield Violation(f"missing_{name}", where, 1, "value")
        elif not all(map(isfinite, values)):
            yield Violation(f"finite_{name}", where, next(value for value in values if not isfinite(value)), "value")
    for evse_id in sorted(schedule.power_kw.keys() - {evse.evse_id for evse in problem.evses}):
        yield Violation("unknown_evse", evse_id, 1, "series")
    for evse in problem.evses:
        if evse.is_dc and schedule.current_a.get(evse.evse_id) is not None:
            yield Violation("current_of_dc", evse.evse_id, 1, "series")


def _series(problem: Problem, schedule: Schedule) -> Named:
    yield "import_kw", CONNECTION, schedule.import_kw
    yield "export_kw", CONNECTION, schedule.export_kw
    yield "curtail_kw", CONNECTION, schedule.curtail_kw
    for evse in problem.evses:
        yield "power_kw", evse.evse_id, schedule.power_kw.get(evse.evse_id)
        if not evse.is_dc:
            yield "current_a", evse.evse_id, schedule.current_a.get(evse.evse_id)
    for battery in problem.batteries:
        result = schedule.batteries.get(battery.battery_id)
        yield "battery_power_kw", battery.battery_id, None if result is None else result.power_kw
        yield "battery_energy_kwh", battery.battery_id, None if result is None else result.energy_kwh


def _numbers(problem: Problem, schedule: Schedule) -> Named:
    cost = schedule.cost
    yield "cost", CONNECTION, (cost.energy, cost.demand, cost.carbon, cost.wear, cost.unmet)
    for session in problem.sessions:
        result = schedule.sessions.get(session.session_id)
        yield "energy", session.session_id, None if result is None else _energies(result)
    for charge in problem.demand_charges:
        peak_kw = schedule.peak_kw.get(charge.charge_id)
        yield "peak_kw", charge.charge_id, None if peak_kw is None else (peak_kw,)


def _energies(result: SessionResult) -> tuple[float, ...]:
    energies = (result.planned_energy_kwh, result.unmet_kwh, result.floor_unmet_kwh, result.expected_unmet_kwh)
    return energies if result.met_share is None else (*energies, result.met_share)
