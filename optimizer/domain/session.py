"""One vehicle's stay and need."""

from dataclasses import dataclass
from datetime import datetime

from optimizer.domain.quantities import require_at_least, require_utc
from optimizer.errors import InvalidProblemError


@dataclass(frozen=True, slots=True)
class Session:
    """One vehicle's stay at one EVSE, and what it needs before it leaves.

    It may draw power while present: ``arrival <= time < departure``, both aware UTC.
    `required_energy_kwh` is what is still to be delivered from `Horizon.now` on, at the EVSE's meter.
    """

    session_id: str
    evse_id: str
    arrival: datetime
    departure: datetime
    required_energy_kwh: float
    max_power_kw: float | None = None  # of the vehicle; None: only the EVSE limits it
    vehicle_phases: int | None = None  # None: unknown. Safety counts every wired phase, energy counts one
    priority: int = 1  # 1 is served first
    min_current_a: float | None = None  # the vehicle's own; the larger of it and the EVSE's holds

    def __post_init__(self) -> None:
        where = f"sessions[{self.session_id}]"
        require_utc(f"{where}.arrival", self.arrival)
        require_utc(f"{where}.departure", self.departure)
        if self.departure <= self.arrival:
            raise InvalidProblemError(
                f"{where}.departure",
                f"{self.departure.isoformat()} is not after the arrival {self.arrival.isoformat()}",
            )
        require_at_least(f"{where}.required_energy_kwh", self.required_energy_kwh, 0)
        require_at_least(f"{where}.max_power_kw", self.max_power_kw, 0)
        require_at_least(f"{where}.min_current_a", self.min_current_a, 0)
        if self.vehicle_phases not in (None, 1, 2, 3):
            raise InvalidProblemError(f"{where}.vehicle_phases", f"{self.vehicle_phases} is none of 1, 2, 3 or null")
        if self.priority < 1:
            raise InvalidProblemError(f"{where}.priority", f"{self.priority} is not at least 1")
