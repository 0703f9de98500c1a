"""What a stationary battery may do: its power, and the energy that follows from it."""

from collections.abc import Iterator

from optimizer.check.plan import Plan, slack
from optimizer.domain import Battery, Violation


def power(plan: Plan) -> Iterator[Violation]:
    """Within the charge and discharge limits; nothing before `now`, and nothing at all if it is not controllable.

    One signed number per slot: it cannot charge and discharge at once.
    """
    for battery in plan.problem.batteries:
        for slot, power_kw in enumerate(plan.schedule.batteries[battery.battery_id].power_kw):
            free = battery.controllable and plan.hours[slot] > 0
            excess_kw = max(
                power_kw - (battery.max_charge_kw if free else 0.0),
                -power_kw - (battery.max_discharge_kw if free else 0.0),
            )
            if excess_kw > slack(power_kw):
                yield Violation("battery_power", battery.battery_id, excess_kw, "kW", slot)


def energy(plan: Plan) -> Iterator[Violation]:
    """Energy follows from power and losses, stays within its bounds, and ends with what it has to hold.

    A battery that starts below a floor cannot be blamed on the schedule as long as it does not sink further.
    """
    for battery in plan.problem.batteries:
        result = plan.schedule.batteries[battery.battery_id]
        held_kwh = battery.energy_kwh
        tolerance_kwh = slack(battery.capacity_kwh)
        for slot, (power_kw, energy_kwh) in enumerate(zip(result.power_kw, result.energy_kwh, strict=True)):
            stored_kw = max(0.0, power_kw) * battery.charge_efficiency
            taken_kw = max(0.0, -power_kw) / battery.discharge_efficiency
            held_kwh += (stored_kw - taken_kw) * plan.hours[slot]
            off_kwh = abs(held_kwh - energy_kwh)
            if off_kwh > tolerance_kwh:
                yield Violation("battery_energy", battery.battery_id, off_kwh, "kWh", slot)
            if held_kwh - battery.capacity_kwh > tolerance_kwh:
                yield Violation("battery_full", battery.battery_id, held_kwh - battery.capacity_kwh, "kWh", slot)
            if plan.hours[slot] > 0:
                yield from _below("battery_empty", battery, held_kwh, battery.min_energy_kwh, slot)
        yield from _below("battery_final", battery, held_kwh, battery.final_floor_kwh)


def _below(
    rule: str, battery: Battery, held_kwh: float, floor_kwh: float, slot: int | None = None
) -> Iterator[Violation]:
    tolerance_kwh = slack(battery.capacity_kwh)
    short_kwh = max(0.0, floor_kwh - held_kwh)
    short_at_rest_kwh = max(0.0, floor_kwh - battery.energy_kwh)
    if min(short_kwh, short_at_rest_kwh) > tolerance_kwh:
        excess_kwh = min(short_kwh, short_at_rest_kwh)
        yield Violation(rule, battery.battery_id, excess_kwh, "kWh", slot, unavoidable=True)
    if short_kwh - short_at_rest_kwh > tolerance_kwh:
        yield Violation(rule, battery.battery_id, short_kwh - short_at_rest_kwh, "kWh", slot)
