"""The rules again, in plain Python: no solver, no arrays, and not a line shared with the linear program.

`violations` reads a schedule as a stranger would: from the limits that it sends to the EVSEs it works out for itself
who draws how much, on which phase, when and at what price, and names every rule that does not hold. Nothing is
shown or sent before it has agreed.

A violation that is there with every EVSE and battery at 0 (and all PV curtailed that may be) is *unavoidable*: the
base load alone is above the fuse. Whatever exceeds that is *caused* by the schedule.
"""

from dataclasses import dataclass

from optimizer.check import balance, battery, evse, money, safety, session
from optimizer.check.plan import Plan
from optimizer.check.shape import shape
from optimizer.domain import Problem, Schedule, Violation

RULES = (
    evse.limits,
    evse.only_for_a_vehicle_that_is_there,
    safety.drawing_side,
    safety.feeding_side,
    safety.shared_power,
    session.energy_agrees,
    session.floor_agrees,
    session.belief_agrees,
    session.not_more_than_required,
    session.vehicle_battery,
    battery.power,
    battery.energy,
    balance.power_balance,
    balance.curtailment,
    balance.one_direction,
    money.peaks,
    money.costs,
)
SAFETY = safety.NAMES  # the rules that protect fuses and the connection


@dataclass(frozen=True, slots=True)
class Violations:
    """Every broken rule, parted into what the schedule caused and what no schedule could avoid. False when none."""

    caused: tuple[Violation, ...] = ()
    unavoidable: tuple[Violation, ...] = ()

    @property
    def all(self) -> tuple[Violation, ...]:
        return self.caused + self.unavoidable

    def __bool__(self) -> bool:
        return bool(self.caused or self.unavoidable)


def violations(problem: Problem, schedule: Schedule) -> Violations:
    """Every rule of `problem` that `schedule` breaks, by name, place and slot.

    Where a series is missing, too short or not finite, only that is reported: nothing else would mean anything.
    """
    found = list(shape(problem, schedule))
    if not found:
        plan = Plan.read(problem, schedule)
        found = [violation for rule in RULES for violation in rule(plan)]
    return Violations(
        caused=tuple(violation for violation in found if not violation.unavoidable),
        unavoidable=tuple(violation for violation in found if violation.unavoidable),
    )


def overloads(problem: Problem, schedule: Schedule) -> tuple[Violation, ...]:
    """What `schedule` would draw through fuses, the connection and shared supplies beyond their ratings.

    Only that: the schedule need not be one that meets a need or pays a price, but has every EVSE in every slot.
    """
    plan = Plan.read(problem, schedule)
    drawing = (*safety.drawing_side(plan), *safety.shared_power(plan))
    return tuple(violation for violation in drawing if not violation.unavoidable)
