"""What a station's meter shows: the truth with a little noise, and with its faults; in OCPP's words and units."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from app.demo.faults import Fault, Faults
from app.demo.physics import Outlet

NOISE = 0.003  # of power, current and voltage: a class-1 meter and a grid that breathes


@dataclass(frozen=True, slots=True)
class Reading:
    """One value as the display shows it."""

    measurand: str
    value: float
    unit: str
    digits: int
    phase: str | None = None


class Meter:
    """Of one outlet. L1 to L3 are the outlet's own terminals; which phase of the site each is on is its rotation."""

    def __init__(self, outlet: Outlet, faults: Faults, noise: np.random.Generator) -> None:
        self._outlet = outlet
        self._faults = faults
        self._noise = noise
        self._stuck_at: tuple[float, float, float] | None = None  # kWh, kW, A per phase

    def register(self) -> float:
        """Wh; what a transaction begins and ends with."""
        energy_kwh, _, _ = self._shown()
        return energy_kwh if Fault.METER_KWH in self._faults else round(energy_kwh * 1000)

    def read(self) -> tuple[Reading, ...]:
        """Register, total W, and A and V of each terminal."""
        wobble = self._noise.normal(1.0, NOISE, 2)
        _, power_kw, current_a = self._shown()
        digits = 3 if Fault.METER_KWH in self._faults else 0
        readings = [
            Reading("Energy.Active.Import.Register", self.register(), "Wh", digits),
            Reading("Power.Active.Import", power_kw * 1000 * wobble[0], "W", 0),
        ]
        in_use = len(self._outlet.phases_in_use)
        for terminal in range(len(self._outlet.evse.phases)):
            terminal_a = current_a if terminal < in_use else 0.0
            readings.append(Reading("Current.Import", terminal_a * wobble[0], "A", 2, f"L{terminal + 1}"))
            readings.append(Reading("Voltage", self._outlet.voltage_v * wobble[1], "V", 1, f"L{terminal + 1}-N"))
        return tuple(readings)

    def _shown(self) -> tuple[float, float, float]:
        outlet = self._outlet
        shown = (outlet.energy_kwh, outlet.power_kw, outlet.current_a)
        if Fault.METER_STUCK not in self._faults:
            self._stuck_at = None
        else:
            self._stuck_at = shown = self._stuck_at or shown
        return (shown[0], 0.0, 0.0) if Fault.METER_ZERO in self._faults else shown


def sampled_values_16(readings: tuple[Reading, ...], context: str) -> list[dict[str, str]]:
    """The `sampledValue` list of 1.6."""
    return [
        {
            "value": f"{reading.value:.{reading.digits}f}",
            "context": context,
            "measurand": reading.measurand,
            "unit": reading.unit,
        }
        | ({"phase": reading.phase} if reading.phase else {})
        for reading in readings
    ]


def sampled_values_2x(readings: tuple[Reading, ...], context: str) -> list[dict[str, Any]]:
    """The `sampledValue` list of 2.x: numbers, and the unit in an object."""
    return [
        {
            "value": round(reading.value, reading.digits),
            "context": context,
            "measurand": reading.measurand,
            "unitOfMeasure": {"unit": reading.unit},
        }
        | ({"phase": reading.phase} if reading.phase else {})
        for reading in readings
    ]
