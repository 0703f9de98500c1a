"""A grid operator's limits in the problem: a circuit above all others, with a cap that changes with time. Hard."""

from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import timedelta

from app.db.operating_records import GridLimit
from app.db.records import Json
from optimizer.domain import CONNECTION, Circuit, Problem

GRID_LIMIT = "grid operator's limit"  # with a space: no circuit of a site's document has such a name
UNCAPPED_KW = 100_000.0  # in slots without a limit: above any site


def under_grid_limits(problem: Problem, limits: Sequence[GridLimit], idle: Container[str]) -> Problem:
    """The problem with what its charging may draw in each slot: the lowest limit that holds at any moment of it.

    A limit of the import leaves to charging what the building does not need at its high quantile, PV not counted. An
    EVSE of `idle` stands free and does what it is told: a car that comes makes a new plan, so what is kept for it
    under the fuses does not count here. Batteries charge within the limit, too.
    """
    caps_kw = [_cap_kw(problem, limits, slot) for slot in range(problem.horizon.slots)]
    if all(cap_kw is None for cap_kw in caps_kw):
        return problem
    voltage_v = problem.connection.voltage_v
    idle_kw = sum(
        sum(reservation.current_a) * voltage_v / 1000
        for reservation in problem.reservations
        if reservation.evse_id is not None and reservation.evse_id in idle
    )
    cap = Circuit(
        GRID_LIMIT, power_cap_kw=tuple(UNCAPPED_KW if cap_kw is None else cap_kw + idle_kw for cap_kw in caps_kw)
    )
    return replace(
        problem,
        circuits=(
            cap,
            *(
                replace(circuit, parent=GRID_LIMIT) if circuit.parent in (None, CONNECTION) else circuit
                for circuit in problem.circuits
            ),
        ),
        evses=tuple(
            replace(evse, circuit_id=GRID_LIMIT) if evse.circuit_id == CONNECTION else evse for evse in problem.evses
        ),
        batteries=tuple(
            replace(battery, circuit_id=GRID_LIMIT) if battery.circuit_id in (None, CONNECTION) else battery
            for battery in problem.batteries
        ),
    )


def limits_provenance(limits: Sequence[GridLimit]) -> Json:
    """For the plan: which limits it keeps."""
    return {
        limit.limit_id: {
            "source": limit.source,
            "reference": limit.reference,
            "applies_to": limit.applies_to,
            "max_kw": limit.max_kw,
            "start": limit.start.isoformat(),
            "end": None if limit.end is None else limit.end.isoformat(),
        }
        for limit in limits
    }


def _cap_kw(problem: Problem, limits: Sequence[GridLimit], slot: int) -> float | None:
    start = problem.horizon.slot_start(slot)
    end = start + timedelta(minutes=problem.horizon.slot_minutes)
    left_kw = [
        limit.max_kw if limit.applies_to == "charging" else max(0.0, limit.max_kw - problem.safe_base_load_kw[slot])
        for limit in limits
        if limit.holds_within(max(start, problem.horizon.first_moment), end)
    ]
    return min(left_kw, default=None)
