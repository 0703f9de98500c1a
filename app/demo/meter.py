"""What a station's meter shows: the truth with a little noise, in OCPP's words and units."""

import numpy as np

from app.demo.physics import Outlet

NOISE = 0.003  # of power, current and voltage: a class-1 meter and a grid that breathes


def sampled_values(outlet: Outlet, context: str, noise: np.random.Generator) -> list[dict[str, str]]:
    """The `sampledValue` list of one outlet: register Wh, total W, and A and V of each of its terminals.

    L1 to L3 are the outlet's own terminals; which phase of the site each hangs on is its rotation.
    """
    wobble = noise.normal(1.0, NOISE, 2)
    values: list[tuple[str, str, str, str | None]] = [
        ("Energy.Active.Import.Register", f"{outlet.energy_kwh * 1000:.0f}", "Wh", None),
        ("Power.Active.Import", f"{outlet.power_kw * 1000 * wobble[0]:.0f}", "W", None),
    ]
    in_use = len(outlet.phases_in_use)
    for terminal in range(len(outlet.evse.phases)):
        current_a = outlet.current_a if terminal < in_use else 0.0
        values.append(("Current.Import", f"{current_a * wobble[0]:.2f}", "A", f"L{terminal + 1}"))
        values.append(("Voltage", f"{outlet.voltage_v * wobble[1]:.1f}", "V", f"L{terminal + 1}-N"))
    return [
        {"value": value, "context": context, "measurand": measurand, "unit": unit} | ({"phase": phase} if phase else {})
        for measurand, value, unit, phase in values
    ]
