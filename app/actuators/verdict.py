"""Whether a device does what it was told, by what it says of itself. Pure."""

from datetime import timedelta
from math import inf

from app.actuators.actuator import Command, Kind, Shown

SETTLES = timedelta(seconds=15)  # so long a device may take to follow, by its own meter


def contradiction(command: Command, shown: Shown, kind: Kind, tolerance_kw: float, told_for: timedelta) -> str | None:
    """In words what speaks against it; None: it agrees. While the command holds; afterwards the device is alone.

    `told_for` is how long ago it was told this power first: its meter may take a while to show it.
    Less than what was asked is no contradiction: a battery may be full or empty, and the sun may be down.
    """
    wanted_kw, held_kw = command.power_kw, shown.setpoint_kw
    if wanted_kw is None:
        return None if held_kw is None else f"holds {held_kw:g} kW, and was to be on its own"
    if held_kw is None:
        return f"is on its own, and was to hold {wanted_kw:g} kW"
    if abs(held_kw - wanted_kw) > tolerance_kw:
        return f"holds {held_kw:g} kW, and was to hold {wanted_kw:g} kW"
    if shown.power_kw is None or told_for < SETTLES:
        return None
    most_kw = wanted_kw if kind == "pv" else max(wanted_kw, 0.0)
    least_kw = -inf if kind == "pv" else min(wanted_kw, 0.0)  # at night an inverter draws a little
    is_within = least_kw - tolerance_kw <= shown.power_kw <= most_kw + tolerance_kw
    return None if is_within else f"its meter shows {shown.power_kw:g} kW, and it was to keep to {wanted_kw:g} kW"
