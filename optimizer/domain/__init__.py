"""The nouns of the optimisation problem: frozen, units in their names, checked on the way in.

Inside this package power is kW, energy kWh, current A per phase, time aware UTC, money the problem's currency.
A slot is half-open ``[start, end)``. A series is a tuple with exactly one value per slot of the horizon.
Power to a vehicle or a battery is positive, from it negative, on the AC side. Ids are opaque text.
"""

from optimizer.domain.assets import Battery, DemandCharge
from optimizer.domain.grid import (
    CONNECTION,
    Circuit,
    Connection,
    Evse,
    InForce,
    Reservation,
    SharedPower,
    kw_per_ampere,
)
from optimizer.domain.horizon import MAX_HORIZON, SLOT_MINUTES, Horizon
from optimizer.domain.problem import BASE_LOAD_MARGIN, Problem, Settings, room_in_vehicle_kwh
from optimizer.domain.quantities import PHASES, Phase, PhaseCurrents, Series
from optimizer.domain.schedule import Baseline, BatteryResult, Cost, Schedule, SessionResult, Status, Violation
from optimizer.domain.session import Scenario, Session, Taper, VehicleToGrid, energy_for_soc

__all__ = [
    "BASE_LOAD_MARGIN",
    "CONNECTION",
    "MAX_HORIZON",
    "PHASES",
    "SLOT_MINUTES",
    "Baseline",
    "Battery",
    "BatteryResult",
    "Circuit",
    "Connection",
    "Cost",
    "DemandCharge",
    "Evse",
    "Horizon",
    "InForce",
    "Phase",
    "PhaseCurrents",
    "Problem",
    "Reservation",
    "Scenario",
    "Schedule",
    "Series",
    "Session",
    "SessionResult",
    "Settings",
    "SharedPower",
    "Status",
    "Taper",
    "VehicleToGrid",
    "Violation",
    "energy_for_soc",
    "kw_per_ampere",
    "room_in_vehicle_kwh",
]
