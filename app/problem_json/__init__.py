"""The optimisation problem and its answer as JSON, version 1. `docs/model.md` holds the table of keys."""

from app.problem_json.problem import ProblemIn, problem_from_json, problem_to_json
from app.problem_json.schedule import ScheduleOut, schedule_from_json, schedule_to_json
from app.problem_json.site import (
    BatteryIn,
    CircuitIn,
    ConnectionIn,
    DemandChargeIn,
    EvseIn,
    ReservationIn,
    SessionIn,
    SettingsIn,
)

__all__ = [
    "BatteryIn",
    "CircuitIn",
    "ConnectionIn",
    "DemandChargeIn",
    "EvseIn",
    "ProblemIn",
    "ReservationIn",
    "ScheduleOut",
    "SessionIn",
    "SettingsIn",
    "problem_from_json",
    "problem_to_json",
    "schedule_from_json",
    "schedule_to_json",
]
