"""`smartcharge backtest site` and `GET .../forecast-quality`: what a site's own forecasts have been worth."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from app.backtest.file import zone_of
from app.backtest.load import COLUMNS, Place, score_load
from app.backtest.pictures import pictures_of, rows_of
from app.backtest.pv import Roof, score_pv
from app.backtest.report import Backtest, Column, Picture, Scores
from app.backtest.sessions import COLUMNS as SESSION_COLUMNS
from app.backtest.sessions import LEAST_KWH, picture_of
from app.backtest.site_sessions import sessions_of
from app.db.store import Store
from app.errors import InvalidInputError
from app.gather.history import History, pv_arrays
from app.gather.signals import weather_of
from app.imports.rows import Progress, no_progress
from app.site import Site
from forecasts.backtest import INTRADAY, Backtested, Horizon
from forecasts.pv_weather import Weather
from forecasts.series import utc_index

SCORED_DAYS = 28
KNOWN = timedelta(days=70)  # before the first scored day
MOST_DAYS = 366
HORIZONS = (Horizon.day(1), *INTRADAY)
SITE_COLUMNS = (
    Column("signal", "Signal"),
    *(
        replace(column, label="nRMSE", key="nrmse", percent=True) if column.key == "rmse" else column
        for column in COLUMNS
    ),
)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a site's meters and series say, on its own slots."""

    load_kw: pd.Series
    pv_kw: pd.Series
    weather: Weather | None


async def backtest_site(
    store: Store,
    site: Site,
    now: datetime,
    *,
    first_day: date | None = None,
    end_day: date | None = None,
    time_zone: str | None = None,
    horizons: Sequence[Horizon] = HORIZONS,
    with_trees: bool = True,
    progress: Progress = no_progress,
) -> Backtest:
    """Score base load, PV and sessions, what there is of them, on local days [first_day, end_day), by default 28.

    The present day is never scored. The weather of a site is the last that was stored for each slot. Raises
    `InvalidInputError` when the days cannot be meant or nothing was measured in them.
    """
    zone = zone_of(time_zone) or site.zone
    end = min(end_day or date.max, now.astimezone(zone).date())
    start = end - timedelta(days=SCORED_DAYS) if first_day is None else first_day
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    if not 0 < len(days) <= MOST_DAYS:
        raise InvalidInputError("from", f"{start} to {end} are not 1 to {MOST_DAYS} days before today")
    measured = await _measured(store, site, _midnight(start, zone) - KNOWN, _midnight(end, zone))
    sessions = await sessions_of(store, site, _midnight(start, zone), _midnight(end, zone))

    def work() -> tuple[list[Mapping[str, Any]], list[dict[str, Any]], list[Picture]]:
        rows: list[Mapping[str, Any]] = []
        pictures: list[Picture] = []

        def add(signal: str, result: Backtested) -> None:
            rows.extend({"signal": signal, **row} for row in rows_of(result))
            pictures.extend(pictures_of(result, f"{signal}: "))

        if measured.load_kw.notna().any():
            place = Place(str(zone), site.country, site.subdivision)
            known = measured.load_kw
            add("base load", score_load(known, place, days, horizons, progress, with_trees=with_trees)[0])
        if measured.pv_kw.notna().any() and site.latitude is not None and site.longitude is not None:
            roof = Roof(site.latitude, site.longitude, tuple(pv_arrays(site)))
            add("PV", score_pv(measured.pv_kw, roof, measured.weather, str(zone), days, horizons, progress)[0])
        stays = sessions.scores(days, str(zone), progress)
        if stays:
            pictures.append(picture_of(stays, "sessions: "))
        return rows, stays, pictures

    rows, stays, pictures = await asyncio.to_thread(work)
    if not stays and not any(row["slots"] for row in rows):
        raise InvalidInputError("site", f"{site.id!r} has no base load, PV or session measured from {start} to {end}")
    about: dict[str, str | int | float | None] = {
        "site": site.id,
        "time zone": str(zone),
        "scored": f"{days[0]} to {days[-1]}",
        "issued": "at 12:00 for whole days, at 6, 9, 12, 15 and 18 o'clock for hours; with what was measured by then",
        "PV is scored": "in daylight, as a share of the 99.5 percentile of power",
        "sessions are scored": f"from {LEAST_KWH} kWh, with what was said and measured of them by then",
    }
    more = (
        Scores("sessions", "Sessions: stay and energy, believed so many hours after plug-in", SESSION_COLUMNS, stays),
    )
    return Backtest("site", f"Forecasts of {site.name}", about, SITE_COLUMNS, rows, pictures, more=more)


async def _measured(store: Store, site: Site, start: datetime, end: datetime) -> _Measured:
    minutes = site.slot_minutes
    index = utc_index(start, minutes, ceil((end - start) / timedelta(minutes=minutes)))
    history = History(store)
    load_kw = await history.base_load(site, index)
    pv_kw = await history.metered(site, "pv", index) if site.pv_arrays else pd.Series(float("nan"), index=index)
    weather = await weather_of(store, site, index)
    return _Measured(load_kw, pv_kw.clip(lower=0.0), weather if len(weather.ghi_w_m2) else None)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
