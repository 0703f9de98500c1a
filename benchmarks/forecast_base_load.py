"""What the forecasts are worth: day-ahead base load of an office and PV of a roof, against naive models.

Run it from the repository: `python benchmarks/forecast_base_load.py`. The samples lie beside the repository; where
they are absent it says so and ends.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from forecasts.backtest import Model, backtest
from forecasts.base_load import base_load
from forecasts.clear_sky import PvArray, clear_sky_kw
from forecasts.naive import same_weekday, two_days_before
from forecasts.pv import pv
from forecasts.series import utc_index

SAMPLES = Path(__file__).parents[2] / "shared" / "data"
OFFICE = SAMPLES / "load_office_lbnl_b59_2018-09_10_15min.csv.gz"
ROOF = SAMPLES / "pv_serf_east_2016_15min.csv.gz"
LOS_ANGELES, COLORADO = "America/Los_Angeles", "Etc/GMT+7"
LATITUDE, LONGITUDE = 39.742, -105.173
ARRAYS = [PvArray("roof", peak_kw=6.0, tilt_deg=45.0, azimuth_deg=158.0)]  # the nameplate is not published: a guess
STEP = timedelta(minutes=15)


def days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def office_forecast(history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
    return base_load(
        history, index, time_zone=LOS_ANGELES, issued_at=issued_at, country="US", subdivision="CA"
    ).quantiles


def roof_forecast(history: pd.Series | None, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
    result = pv(ARRAYS, LATITUDE, LONGITUDE, index, history=history, issued_at=issued_at)
    return pd.DataFrame({0.1: result.low, 0.5: result.expected, 0.9: result.high})


def roof_without_history(_: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
    return roof_forecast(None, index, issued_at)


def show(title: str, table: pd.DataFrame) -> None:
    percent = ["nmae", "coverage", "skill"]
    shown = table.assign(**{name: 100 * table[name] for name in percent})
    print(f"\n{title}\n{shown.rename(columns={name: f'{name} %' for name in percent}).round(2).to_string()}")


def intraday(
    history: pd.Series, time_zone: str, on: list[date], hours: list[int], models: Mapping[str, Model]
) -> pd.DataFrame:
    """Mean absolute error in the first hours of forecasts issued during the day."""
    spans = {"1st hour": (0, 4), "2nd hour": (4, 8), "3rd and 4th": (8, 16), "5th to 8th": (16, 32)}
    errors: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for day in on:
        for hour in hours:
            issued_at = (pd.Timestamp(day) + timedelta(hours=hour)).tz_localize(time_zone).to_pydatetime()
            index = utc_index(issued_at, 15, 32)
            truth = history.reindex(index).to_numpy()
            known = history[history.index + STEP <= issued_at]
            for name, model in models.items():
                errors[name].append(np.abs(model(known, index, issued_at)[0.5].to_numpy() - truth))
    mean = {name: np.nanmean(np.stack(rows), axis=0) for name, rows in errors.items()}
    return pd.DataFrame({span: {name: mean[name][a:b].mean() for name in models} for span, (a, b) in spans.items()})


def held_back(model: Model, gap: timedelta) -> Model:
    """`model` without the last measurements: nothing to anchor to."""

    def without(history: pd.Series, index: pd.DatetimeIndex, issued_at: datetime) -> pd.DataFrame:
        return model(history[history.index + gap <= issued_at], index, issued_at)

    return without


def timed(forecast: Callable[[], object]) -> float:
    forecast()
    started = perf_counter()
    for _ in range(5):
        forecast()
    return (perf_counter() - started) / 5 * 1000


def office() -> None:
    load_kw = pd.read_csv(OFFICE, parse_dates=["time"], index_col="time")["kw"]
    models = {
        "two days before": two_days_before(LOS_ANGELES),
        "same weekday": same_weekday(LOS_ANGELES),
        "similar days": office_forecast,
    }
    scored = days(date(2018, 9, 20), date(2018, 10, 30))
    table = backtest(models, load_kw, time_zone=LOS_ANGELES, days=scored)
    show("Base load of an office, day-ahead, issued at 12:00, kW (2018-09-20 to 10-30)", table)
    anchored = {"anchored": office_forecast, "not anchored": held_back(office_forecast, timedelta(hours=2))}
    table = intraday(load_kw, LOS_ANGELES, scored[10:], [6, 9, 12, 15, 18], anchored)
    print(f"\nThe same during the day, mean absolute error in kW\n{table.round(2).to_string()}")
    index = utc_index(datetime.fromisoformat("2018-10-30T12:00-07:00"), 15, 192)
    took_ms = timed(lambda: office_forecast(load_kw, index, index[0].to_pydatetime()))
    print(f"\n{took_ms:.0f} ms for 192 slots from {len(load_kw)} measured ones")


def roof() -> None:
    power_kw = pd.read_csv(ROOF, parse_dates=["measured_on"], index_col="measured_on")["ac_w"].clip(lower=0) / 1000
    models = {
        "two days before": two_days_before(COLORADO),
        "same weekday": same_weekday(COLORADO),
        "clear sky, no history": roof_without_history,
        "clear sky, own clearness": roof_forecast,
    }
    scored = days(date(2016, 8, 1), date(2016, 10, 11))
    daylight = clear_sky_kw(ARRAYS, LATITUDE, LONGITUDE, pd.DatetimeIndex(power_kw.index)) > 0
    top_kw = float(power_kw.quantile(0.995))
    table = backtest(models, power_kw, time_zone=COLORADO, days=scored, scored=daylight, normaliser=top_kw)
    show(
        f"PV of a roof, day-ahead, issued at 12:00, daylight, kW, nMAE of {top_kw:.2f} kW (2016-08-01 to 10-11)", table
    )
    sky = {"current sky carried on": roof_forecast, "not carried on": held_back(roof_forecast, timedelta(hours=2))}
    table = intraday(power_kw, COLORADO, scored[::2], [9, 12, 14], sky)
    print(f"\nThe same during the day, mean absolute error in kW\n{table.round(2).to_string()}")
    index = utc_index(datetime.fromisoformat("2016-10-01T06:00-07:00"), 15, 192)
    took_ms = timed(lambda: roof_forecast(power_kw, index, index[0].to_pydatetime()))
    print(f"\n{took_ms:.0f} ms for 192 slots from 28 days, pvlib already loaded")


def main() -> None:
    for sample, run in ((OFFICE, office), (ROOF, roof)):
        if sample.exists():
            run()
        else:
            print(f"skipped: the sample {sample.name} is not beside this repository")


if __name__ == "__main__":
    main()
