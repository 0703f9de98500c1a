"""`smartcharge backtest pv`: PV forecasts on a plain file of power and weather."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import pandas as pd

from app.backtest.file import not_negative, read_columns
from app.backtest.load import COLUMNS, require_scores, scored_days
from app.backtest.pictures import pictures_of, rows_of
from app.backtest.report import Backtest
from app.errors import InvalidInputError
from app.imports.rows import Progress, no_progress
from forecasts.backtest import INTRADAY, Backtested, Horizon, Model, backtest_horizons
from forecasts.clear_sky import PvArray, clear_sky_kw
from forecasts.errors import SeriesError
from forecasts.naive import LastWholeDay, same_weekday
from forecasts.pv import PvForecast, pv
from forecasts.pv_weather import Weather, pv_from_weather

HORIZONS = (Horizon.day(1), Horizon.day(2), *INTRADAY)
KNOWN_DAYS = 30
MOST_GHI_W_M2 = 2000.0  # above what reaches the atmosphere
MOST_OF_PEAK = 5.0  # a nameplate may be guessed, but not like that
COLDEST_DEG_C, HOTTEST_DEG_C = -95.0, 65.0  # a little beyond what was ever measured
UNITS = {"kW": 1.0, "W": 1e-3}
PV_COLUMNS = tuple(
    replace(column, label="nRMSE", key="nrmse", percent=True) if column.key == "rmse" else column for column in COLUMNS
)


@dataclass(frozen=True, slots=True)
class Roof:
    """Where the modules are and how they stand."""

    latitude: float
    longitude: float
    arrays: tuple[PvArray, ...]


def roof_of(
    latitude: float,
    longitude: float,
    tilt_deg: Sequence[float],
    azimuth_deg: Sequence[float],
    peak_kw: Sequence[float],
    inverter_kw: float | None,
) -> Roof:
    """One array for each tilt, azimuth and peak; the inverter's limit is shared by their peaks."""
    if not len(tilt_deg) == len(azimuth_deg) == len(peak_kw):
        counts = f"{len(tilt_deg)} tilts, {len(azimuth_deg)} azimuths and {len(peak_kw)} peaks"
        raise InvalidInputError("arrays", f"{counts}: each array has one of each")
    total_kw = sum(peak_kw)
    try:
        arrays = tuple(
            PvArray(
                f"{number + 1}",
                peak,
                tilt,
                azimuth % 360,
                None if inverter_kw is None or total_kw <= 0 else inverter_kw * peak / total_kw,
            )
            for number, (tilt, azimuth, peak) in enumerate(zip(tilt_deg, azimuth_deg, peak_kw, strict=True))
        )
        clear_sky_kw(arrays, latitude, longitude, pd.date_range("2026-06-21T12:00Z", periods=2, freq="h"))
    except SeriesError as error:
        raise InvalidInputError(error.field, error.message) from error
    return Roof(latitude, longitude, arrays)


def backtest_pv_file(
    file: Path,
    roof: Roof,
    time_zone: str | None,
    first_day: datetime | None = None,
    end_day: datetime | None = None,
    *,
    time_column: str = "time",
    value_column: str = "kw",
    unit: str = "kW",
    progress: Progress = no_progress,
) -> Backtest:
    """Raises `InvalidInputError` for a file that cannot be meant, and where no day is left to score."""
    if unit not in UNITS:
        raise InvalidInputError("unit", f"{unit!r} is none of {', '.join(UNITS)}")
    table = read_columns(file, (value_column, "ghi", "temp_air"), time_zone, time_column=time_column)
    power_kw, noise = not_negative(table[value_column], value_column, "PV delivers; export is not its sign")
    ghi, _ = not_negative(table["ghi"], "ghi", "irradiance is not")
    if (ghi > MOST_GHI_W_M2).any():
        at = ghi[ghi > MOST_GHI_W_M2].index[0]
        raise InvalidInputError("ghi", f"{ghi[at]:g} W/m² at {at.isoformat()} is more than the sun has")
    air = table["temp_air"]
    wrong = air[(air < COLDEST_DEG_C) | (air > HOTTEST_DEG_C)]
    if len(wrong):
        raise InvalidInputError(
            "temp_air", f"{wrong.iloc[0]:g} at {wrong.index[0].isoformat()} is no air temperature in degrees Celsius"
        )
    power_kw = power_kw * UNITS[unit]
    peak_kw = sum(array.peak_kw for array in roof.arrays)
    if power_kw.max() > MOST_OF_PEAK * peak_kw:
        at = power_kw.index[int(power_kw.argmax())]
        raise InvalidInputError(
            value_column, f"{power_kw.max():g} kW at {at.isoformat()} of {peak_kw:g} kWp: is it W? There is --unit"
        )
    weather = Weather(ghi, table["temp_air"])
    zone = time_zone or "UTC"
    days = scored_days(power_kw, zone, first_day, end_day, KNOWN_DAYS)
    try:
        result, top_kw = score_pv(power_kw, roof, weather, zone, days, HORIZONS, progress)
    except SeriesError as error:
        raise InvalidInputError("file", str(error)) from error
    require_scores(result, days)
    about: dict[str, str | int | float | None] = {
        "file": file.name,
        "time zone": zone,
        "scored": f"{days[0]} to {days[-1]}, in daylight",
        "issued": "at 12:00 for whole days, at 6, 9, 12, 15 and 18 o'clock for hours; with what was measured by then",
        "weather": "that of the file, also for the time to come: a perfect forecast of what it holds",
        "nMAE and nRMSE": f"of {top_kw:.2f} kW, the 99.5 percentile of power",
        "gaps": int(power_kw.isna().sum()),
        "values just below zero, read as 0": noise,
    }
    return Backtest("pv", f"PV of {file.name}", about, PV_COLUMNS, rows_of(result), pictures_of(result))


def score_pv(
    power_kw: pd.Series,
    roof: Roof,
    weather: Weather | None,
    time_zone: str,
    days: Sequence[date],
    horizons: Sequence[Horizon],
    progress: Progress = no_progress,
) -> tuple[Backtested, float]:
    """Every model in daylight, and the power [kW] that errors are shares of; without weather, those that need none."""
    place = (roof.arrays, roof.latitude, roof.longitude)
    models: dict[str, Model] = {
        "last whole day": LastWholeDay(time_zone),
        "same weekday": same_weekday(time_zone),
        "clear sky, own clearness": _model(
            lambda known, index, at: pv(*place, index, history=known, issued_at=at),
        ),
    }
    if weather is not None:
        models["weather, nameplate"] = _model(
            lambda _, index, at: pv_from_weather(*place, index, weather=weather, issued_at=at)
        )
        models["weather, learned"] = _model(
            lambda known, index, at: pv_from_weather(*place, index, weather=weather, history=known, issued_at=at)
        )
    top_kw = float(power_kw.quantile(0.995))
    result = backtest_horizons(
        models,
        power_kw,
        time_zone=time_zone,
        days=days,
        horizons=horizons,
        scored=clear_sky_kw(*place, pd.DatetimeIndex(power_kw.index)) > 0,
        normaliser=top_kw,
        progress=progress,
    )
    return result, top_kw


def _model(forecast: Callable[[pd.Series, pd.DatetimeIndex, datetime], PvForecast]) -> Model:
    def quantiles(known: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        said = forecast(known, index, issued_at)
        return pd.DataFrame({0.1: said.low, 0.5: said.expected, 0.9: said.high})

    return quantiles
