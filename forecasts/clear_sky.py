"""What PV arrays would deliver under a clear sky: geometry and physics, no weather.

Simplified Solis irradiance, Hay–Davies transposition, PVWatts DC and losses. Constants that a site does not know
(aerosols, water vapour, air temperature, losses) are standard values: what they get wrong is a factor, and
`forecasts.pv` learns that factor from the site's own measurements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, isfinite

import numpy as np
import pandas as pd

from forecasts.errors import SeriesError
from forecasts.series import FloatArray, slot_length, validated_index

SAMPLE = timedelta(minutes=5)  # the sun moves 1.25° in it
AIR_C = 20.0
ROSS_K_M2_PER_W = 0.03  # cell above air temperature per irradiance: a well ventilated array
GAMMA_PER_K = -0.0035  # crystalline silicon
SYSTEM_EFFICIENCY = 0.86 * 0.96  # PVWatts version 5: 14 % losses (NREL/TP-6A20-62641, table 6) and the inverter


@dataclass(frozen=True, slots=True)
class PvArray:
    """Modules of one orientation. `azimuth_deg` is 180 for south, `tilt_deg` 0 for flat; `inverter_kw` is the AC limit.

    `peak_kw` is the nameplate at standard test conditions.
    """

    array_id: str
    peak_kw: float
    tilt_deg: float
    azimuth_deg: float = 180.0
    inverter_kw: float | None = None

    def __post_init__(self) -> None:
        self._require("peak_kw", self.peak_kw, 0.0, float("inf"))
        self._require("tilt_deg", self.tilt_deg, 0.0, 90.0)
        self._require("azimuth_deg", self.azimuth_deg, 0.0, 360.0)
        if self.inverter_kw is not None:
            self._require("inverter_kw", self.inverter_kw, 0.0, float("inf"))

    def _require(self, name: str, value: float, least: float, most: float) -> None:
        if not isfinite(value) or not least <= value <= most:
            raise SeriesError(f"arrays[{self.array_id}].{name}", f"{value} is not within {least:g} to {most:g}")


def clear_sky_kw(arrays: Sequence[PvArray], latitude: float, longitude: float, index: pd.DatetimeIndex) -> pd.Series:
    """Mean AC power of all arrays over each slot of `index` [kW] under a clear sky; exactly 0 while the sun is down.

    Each array is clipped at its inverter. North and east are positive. Each slot is sampled every five minutes or
    less, in the middle of equal parts, so that a slot holds its mean and not the instant at its start.
    """
    if not -90 <= latitude <= 90:
        raise SeriesError("latitude", f"{latitude} is not within -90 to 90")
    if not -180 <= longitude <= 180:
        raise SeriesError("longitude", f"{longitude} is not within -180 to 180")
    index = validated_index(index)
    if len(index) == 0:
        return pd.Series(dtype="float64", index=index, name="clear_sky_kw")
    slot = slot_length(index)
    samples = ceil(slot / SAMPLE)
    offsets_us = (np.arange(samples) + 0.5) / samples * (slot / timedelta(microseconds=1))
    moments_us = index.as_unit("us").asi8[:, None] + np.round(offsets_us).astype(np.int64)
    moments = pd.DatetimeIndex(moments_us.ravel().view("datetime64[us]")).tz_localize("UTC")
    power_kw = _power_kw(arrays, latitude, longitude, moments)
    return pd.Series(power_kw.reshape(len(index), samples).mean(axis=1), index=index, name="clear_sky_kw")


def _power_kw(arrays: Sequence[PvArray], latitude: float, longitude: float, moments: pd.DatetimeIndex) -> FloatArray:
    from pvlib import clearsky, irradiance, pvsystem, solarposition  # 0.7 s and 175 MB: only where PV is forecast

    sun = solarposition.ephemeris(moments, latitude, longitude)
    total_kw = np.zeros(len(moments))
    up = (sun["apparent_elevation"] > 0).to_numpy()
    if not up.any():
        return total_kw
    sun = sun[up]
    extra = irradiance.get_extra_radiation(sun.index)
    sky = clearsky.simplified_solis(sun["apparent_elevation"], dni_extra=extra)
    for array in arrays:
        plane = irradiance.get_total_irradiance(
            array.tilt_deg,
            array.azimuth_deg,
            sun["apparent_zenith"],
            sun["azimuth"],
            sky["dni"],
            sky["ghi"],
            sky["dhi"],
            dni_extra=extra,
            model="haydavies",
        )["poa_global"].to_numpy()
        plane = np.maximum(np.nan_to_num(plane), 0.0)
        dc_kw = pvsystem.pvwatts_dc(plane, AIR_C + ROSS_K_M2_PER_W * plane, array.peak_kw, GAMMA_PER_K)
        limit_kw = np.inf if array.inverter_kw is None else array.inverter_kw
        total_kw[up] += np.clip(dc_kw * SYSTEM_EFFICIENCY, 0.0, limit_kw)
    return total_kw
