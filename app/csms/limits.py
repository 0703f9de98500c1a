"""How a limit in A per phase is written for one station: its unit, phases, decimals, and what it takes for a pause."""

from dataclasses import dataclass
from math import floor

from app.csms.connector import Passport, PauseMethod, RateUnit
from app.csms.steps import TOLERANCE

LEAST_CURRENT_A = 6.0  # IEC 61851-1


@dataclass(frozen=True, slots=True)
class Electrics:
    """How amperes become watts at one EVSE. `phases` None: not known.

    W is the sum of all phases, and a one-phase vehicle puts all of it on one. So an unknown number counts one:
    whatever the vehicle uses, no phase carries more than was planned. DC draws evenly from its wired phases.
    """

    voltage_v: float = 230.0  # line to neutral
    phases: int | None = None
    is_dc: bool = False

    @property
    def watts_per_ampere(self) -> float:
        return self.voltage_v * (self.phases or 1)


def preferred_unit(passport: Passport, *, is_dc: bool = False) -> RateUnit:
    """A where the station takes it, because it means the same whatever the vehicle; W for DC."""
    wished = RateUnit.W if is_dc else RateUnit.A
    return wished if wished in passport.units or not passport.units else next(iter(passport.units))


def floored(limit: float, decimals: int = 1) -> float:
    """Never more than `limit`: 1.6 refuses a second decimal, and some stations the first."""
    scale = 10.0**decimals
    return floor(limit * scale + 1e-6) / scale  # 16.1 is 16.1 and not 16.0, whatever its nearest float


def written(limit_a: float, unit: RateUnit, electrics: Electrics, passport: Passport) -> float:
    """The limit in `unit`, floored to the station's decimals."""
    return floored(limit_a if unit is RateUnit.A else limit_a * electrics.watts_per_ampere, min(passport.decimals, 1))


def written_or_paused(limit_a: float, unit: RateUnit, electrics: Electrics, passport: Passport) -> float:
    """As `written`; where the station takes nothing so low it is a pause: 0, or where that is refused the least."""
    is_pause = limit_a <= 0 or limit_a < passport.min_limit_a - TOLERANCE
    if is_pause:
        limit_a = 0.0 if passport.pause is PauseMethod.ZERO else passport.min_limit_a or LEAST_CURRENT_A
    return written(limit_a, unit, electrics, passport)


def number_phases(unit: RateUnit, electrics: Electrics) -> int | None:
    """Said only where it is known and turns W into A: A is per phase whatever their number."""
    return None if unit is RateUnit.A or electrics.is_dc else electrics.phases
