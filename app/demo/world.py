"""Base load and PV as they really are at the demo's site: made up, seeded, minute by minute.

The shapes are those of an office with a roof; the noise sees to it that no forecast is ever quite right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from app.demo.physics import Surroundings
from app.site import PvArrayDocument, Site

BASE_LOAD_PHASE_SHARE = (0.36, 0.33, 0.31)
# kW of a working day by local hour, and of a day off: a small office building with a canteen
WORKDAY_KW = (13, 13, 13, 13, 13, 14, 19, 28, 38, 44, 47, 49, 48, 46, 46, 44, 41, 35, 26, 20, 17, 15, 14, 13)
DAY_OFF_KW = (12, 12, 12, 12, 12, 12, 12, 13, 14, 15, 15, 16, 16, 15, 15, 14, 14, 13, 13, 13, 12, 12, 12, 12)
DAY_SPREAD = 0.05  # of a whole day's level around the usual
WANDER_KW = 1.4  # of the load around its day, with a memory of half an hour
PERFORMANCE = 0.86  # of a PV system between its modules' rating and its meter

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """kW of every minute from `start` (aware UTC) on."""

    start: datetime
    base_load_kw: Values
    pv_kw: Values

    def surroundings(self, start: datetime, end: datetime) -> Surroundings:
        """Second by second, interpolated."""
        seconds = np.arange(int((end - start).total_seconds())) + (start - self.start).total_seconds()
        minute = np.arange(len(self.base_load_kw)) * 60.0
        return Surroundings(
            start,
            np.interp(seconds, minute, self.base_load_kw),
            np.interp(seconds, minute, self.pv_kw),
            BASE_LOAD_PHASE_SHARE,
        )

    def means(self, start: datetime, end: datetime, minutes: int) -> list[tuple[datetime, float, float]]:
        """(interval start, mean base load kW, mean PV kW) of the whole intervals in [start, end)."""
        rows = []
        step = timedelta(minutes=minutes)
        while start + step <= end:
            first = int((start - self.start) / timedelta(minutes=1))
            window = slice(first, first + minutes)
            rows.append((start, float(self.base_load_kw[window].mean()), float(self.pv_kw[window].mean())))
            start += step
        return rows


def make_world(site: Site, first_day: date, days: int, seed: int) -> World:
    """`days` local days from `first_day` on. The same arguments give the same world."""
    start = datetime.combine(first_day, datetime.min.time(), site.zone).astimezone(UTC)
    minutes = days * 24 * 60
    random = np.random.default_rng(seed)
    hour_of_day, day, is_workday = _local(start, minutes, site.zone)
    level = 1 + DAY_SPREAD * random.standard_normal(day.max() + 1)
    shape = np.where(is_workday, _daily(WORKDAY_KW, hour_of_day), _daily(DAY_OFF_KW, hour_of_day))
    base_load_kw = np.maximum(shape * level[day] + WANDER_KW * _wander(random, minutes, memory_minutes=30), 6.0)
    cloudiness = random.beta(1.6, 1.9, day.max() + 1)[day]
    shadow = np.clip(cloudiness * (1 + 0.55 * _wander(random, minutes, memory_minutes=20)), 0.0, 1.0)
    clear_kw = sum((_clear_sky_kw(array, site, start, minutes) for array in site.pv_arrays), np.zeros(minutes))
    return World(start, base_load_kw, clear_kw * (1 - 0.8 * shadow))


def _local(start: datetime, minutes: int, zone: ZoneInfo) -> tuple[Values, NDArray[np.int64], NDArray[np.bool_]]:
    """Local hour of the day, number of the local day, and whether it is a weekday, minute by minute."""
    hours = [(start + timedelta(hours=hour)).astimezone(zone) for hour in range(minutes // 60)]
    first = hours[0].date()
    hour_of_day = np.repeat([float(hour.hour) for hour in hours], 60) + np.tile(np.arange(60) / 60, len(hours))
    day = np.repeat([(hour.date() - first).days for hour in hours], 60)
    is_workday = np.repeat([hour.weekday() < 5 for hour in hours], 60)
    return hour_of_day, day, is_workday


def _daily(kw_by_hour: Sequence[float], hour_of_day: Values) -> Values:
    return np.interp(hour_of_day, np.arange(24) + 0.5, kw_by_hour, period=24)


def _wander(random: np.random.Generator, minutes: int, *, memory_minutes: float) -> Values:
    """Noise of variance 1 that forgets in `memory_minutes` (AR(1))."""
    keep = math.exp(-1 / memory_minutes)
    steps = random.standard_normal(minutes) * math.sqrt(1 - keep**2)
    values = np.empty(minutes)
    value = float(random.standard_normal())
    for minute, step in enumerate(steps):
        value = keep * value + float(step)
        values[minute] = value
    return values


def _clear_sky_kw(array: PvArrayDocument, site: Site, start: datetime, minutes: int) -> Values:
    """Power under a clear sky: sun position by Cooper's declination, irradiance by one air-mass exponential.

    Coarse on purpose: the service forecasts with pvlib, and must not be handed its own formula back.
    """
    latitude = math.radians(site.latitude or 0.0)
    moment = start.timestamp() + 60.0 * np.arange(minutes)
    day_of_year = (moment / 86400 + 1) % 365.25
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day_of_year) / 365)
    hour_angle = np.radians(((moment % 86400) / 3600 - 12) * 15 + (site.longitude or 0.0))
    # direction to the sun: up, south, west
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    south = np.sin(latitude) * np.cos(declination) * np.cos(hour_angle) - np.cos(latitude) * np.sin(declination)
    west = np.cos(declination) * np.sin(hour_angle)
    tilt, azimuth = math.radians(array.tilt_deg), math.radians(array.azimuth_deg - 180)
    facing = up * math.cos(tilt) + math.sin(tilt) * (south * math.cos(azimuth) + west * math.sin(azimuth))
    height = np.maximum(up, 0.02)
    direct = np.where(up > 0, 1.1 * np.exp(-0.22 / height), 0.0)
    diffuse = np.where(up > 0, 0.1 * np.sqrt(height), 0.0) * (1 + math.cos(tilt)) / 2
    power_kw = array.peak_kw * PERFORMANCE * (direct * np.maximum(facing, 0.0) + diffuse)
    limited_kw: Values = np.minimum(power_kw, array.inverter_kw or math.inf)
    return limited_kw
