"""EVSEs of a site's document as the optimizer knows them. Pure."""

from collections.abc import Mapping

from app.csms.connector import Passport, PauseMethod
from app.csms.limits import LEAST_CURRENT_A
from app.site import EvseDocument, evse_key
from optimizer.domain import PHASES, Evse, PhaseCurrents, Series


def evse_of(station_id: str, evse: EvseDocument, in_force: Mapping[str, Series], passport: Passport) -> Evse:
    least_a = max(evse.min_current_a, passport.min_limit_a)
    return Evse(
        evse_id=evse_key(station_id, evse.id),
        circuit_id=evse.circuit or "connection",
        phases=evse.phases,
        max_current_a=None if evse.max_power_kw is not None else evse.max_current_a,
        max_power_kw=evse.max_power_kw,
        min_current_a=least_a if evse.max_current_a is None else min(least_a, evse.max_current_a),
        current_step_a=max(1.0, evse.current_step_a) if passport.decimals == 0 else evse.current_step_a,
        efficiency=evse.efficiency,
        planned_kw=in_force.get(evse_key(station_id, evse.id)),
    )


def while_paused_a(evse: EvseDocument, passport: Passport) -> float:
    """What a station that takes no limit of 0 is told where the plan is 0."""
    if passport.pause is PauseMethod.ZERO:
        return 0.0
    least_a = passport.min_limit_a or LEAST_CURRENT_A
    return least_a if evse.max_current_a is None else min(least_a, evse.max_current_a)


def on_phases(evse: EvseDocument, current_a: float) -> PhaseCurrents:
    on_l1, on_l2, on_l3 = (current_a if phase in evse.phases else 0.0 for phase in PHASES)
    return on_l1, on_l2, on_l3
