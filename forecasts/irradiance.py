"""From weather to power: global horizontal irradiance and air temperature through pvlib's chain.

Erbs decomposition, Hay–Davies transposition, Ross cell temperature, PVWatts DC and losses, and the inverter's limit.
What the constants get wrong is a factor, which `forecasts.pv_weather` learns.
"""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil

import numpy as np
import pandas as pd

from forecasts.clear_sky import AIR_C, GAMMA_PER_K, ROSS_K_M2_PER_W, SAMPLE, SYSTEM_EFFICIENCY, PvArray
from forecasts.series import FloatArray, slot_length, validated_index

LEAST_ELEVATION_DEG = 1.0  # below it a horizontal surface says nothing about a tilted one
MAX_CLEARNESS = 1.5  # of irradiance over that of a clear sky: cloud edges


def weather_kw(
    arrays: Sequence[PvArray],
    latitude: float,
    longitude: float,
    ghi_w_m2: pd.Series,
    air_c: pd.Series | None = None,
) -> pd.Series:
    """Mean AC power of all arrays over each slot of `ghi_w_m2` [kW]; NaN where the irradiance is not known.

    Both series are means over slots that are labelled by their start. Within a slot the irradiance follows the clear
    sky's, in steps of five minutes or less, so that an hour in the morning is not taken for its middle. An air
    temperature that is not known is 20 °C. Each array is clipped at its inverter.
    """
    index = validated_index(ghi_w_m2.index, "ghi")
    if len(index) == 0:
        return pd.Series(dtype="float64", index=index, name="pv_kw")
    ghi = np.maximum(ghi_w_m2.to_numpy(dtype="float64"), 0.0)
    air = np.full(len(index), AIR_C)
    if air_c is not None:
        air = air_c.reindex(index).fillna(AIR_C).to_numpy(dtype="float64")
    slot = slot_length(index)
    samples = ceil(slot / SAMPLE)
    offsets_us = (np.arange(samples) + 0.5) / samples * (slot / timedelta(microseconds=1))
    moments_us = index.as_unit("us").asi8[:, None] + np.round(offsets_us).astype(np.int64)
    moments = pd.DatetimeIndex(moments_us.ravel().view("datetime64[us]")).tz_localize("UTC")
    power_kw = _power_kw(arrays, latitude, longitude, moments, ghi, np.repeat(air, samples), samples)
    mean_kw = power_kw.reshape(len(index), samples).mean(axis=1)
    mean_kw[np.isnan(ghi)] = np.nan
    return pd.Series(mean_kw, index=index, name="pv_kw")


def _power_kw(
    arrays: Sequence[PvArray],
    latitude: float,
    longitude: float,
    moments: pd.DatetimeIndex,
    slot_ghi: FloatArray,
    air_c: FloatArray,
    samples: int,
) -> FloatArray:
    from pvlib import clearsky, irradiance, pvsystem, solarposition  # 0.7 s and 175 MB: only where PV is forecast

    sun = solarposition.ephemeris(moments, latitude, longitude)
    total_kw = np.zeros(len(moments))
    up = (sun["apparent_elevation"] > LEAST_ELEVATION_DEG).to_numpy()
    if not up.any():
        return total_kw
    sun = sun[up]
    extra = irradiance.get_extra_radiation(sun.index)
    sky = clearsky.simplified_solis(sun["apparent_elevation"], dni_extra=extra)
    clear = np.zeros(len(moments))
    clear[up] = sky["ghi"].to_numpy()
    clear_mean = np.repeat(clear.reshape(-1, samples).mean(axis=1), samples)
    with np.errstate(invalid="ignore", divide="ignore"):
        clearness = np.clip(np.nan_to_num(np.repeat(slot_ghi, samples) / clear_mean), 0.0, MAX_CLEARNESS)
    ghi = pd.Series((clearness * clear)[up], index=sun.index)
    parts = irradiance.erbs(ghi, sun["zenith"], sun.index)
    cell_air_c = air_c[up]
    for array in arrays:
        plane = irradiance.get_total_irradiance(
            array.tilt_deg,
            array.azimuth_deg,
            sun["apparent_zenith"],
            sun["azimuth"],
            parts["dni"],
            ghi,
            parts["dhi"],
            dni_extra=extra,
            model="haydavies",
        )["poa_global"].to_numpy()
        plane = np.maximum(np.nan_to_num(plane), 0.0)
        dc_kw = pvsystem.pvwatts_dc(plane, cell_air_c + ROSS_K_M2_PER_W * plane, array.peak_kw, GAMMA_PER_K)
        limit_kw = np.inf if array.inverter_kw is None else array.inverter_kw
        total_kw[up] += np.clip(dc_kw * SYSTEM_EFFICIENCY, 0.0, limit_kw)
    return total_kw
