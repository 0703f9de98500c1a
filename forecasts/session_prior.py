"""What is assumed of a stay before a site has any history.

Joint quantiles of stay and energy as shares of what the driver stated, or of the site's defaults. Medians and spread
are those of two workplaces in ACN-Data, May to August 2019 (Lee, Li, Low 2019), rounded.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from forecasts.series import FloatArray

STATED_STAY = np.array([0.5, 0.85, 1.0, 1.07, 1.2, 1.5, 2.2])  # of the stated stay
STATED_STAY_WEIGHT = np.array([0.1, 0.12, 0.18, 0.2, 0.2, 0.12, 0.08])
REQUESTED = np.array([0.25, 0.45, 0.6, 0.75, 1.0])  # of the requested energy
REQUESTED_WEIGHT = np.array([0.15, 0.2, 0.25, 0.25, 0.15])
UNSTATED_STAY = np.array([0.15, 0.35, 0.6, 0.9, 1.05, 1.2, 1.5])  # of the default stay
UNSTATED_STAY_WEIGHT = np.array([0.1, 0.12, 0.18, 0.2, 0.2, 0.12, 0.08])
UNREQUESTED = np.array([0.15, 0.35, 0.5, 0.75, 1.3])  # of the default energy
UNREQUESTED_WEIGHT = np.array([0.15, 0.2, 0.25, 0.25, 0.15])


@dataclass(frozen=True, slots=True, eq=False)
class PriorOutcomes:
    """Outcomes whose weights add up to 1: hours and kWh since arrival."""

    stay_h: FloatArray
    energy_kwh: FloatArray
    weight: FloatArray


def prior_outcomes(
    arrival: datetime,
    stated_departure: datetime | None,
    requested_kwh: float | None,
    default_stay_h: float,
    default_energy_kwh: float,
) -> PriorOutcomes:
    """Every stay with every energy: nothing is known of how they hang together."""
    if stated_departure is not None and stated_departure > arrival:
        stay_h = STATED_STAY * ((stated_departure - arrival) / timedelta(hours=1))
        stay_weight = STATED_STAY_WEIGHT
    else:
        stay_h, stay_weight = UNSTATED_STAY * default_stay_h, UNSTATED_STAY_WEIGHT
    if requested_kwh is not None and requested_kwh > 0:
        energy_kwh, energy_weight = REQUESTED * requested_kwh, REQUESTED_WEIGHT
    else:
        energy_kwh, energy_weight = UNREQUESTED * default_energy_kwh, UNREQUESTED_WEIGHT
    weight = np.outer(stay_weight, energy_weight).ravel()
    return PriorOutcomes(np.repeat(stay_h, len(energy_kwh)), np.tile(energy_kwh, len(stay_h)), weight / weight.sum())
