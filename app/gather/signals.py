"""Prices, base load and PV of a site on the slots of a horizon, with where each comes from and how old it is.

A forecast is made once an hour and then only read: a re-plan two minutes later must not cost a fit. Series that were
uploaded for a slot overrule what is forecast for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import NormalDist

import pandas as pd

from app.db.records import Json, StoredSeries
from app.db.store import Store
from app.gather.history import History, pv_arrays, span
from app.gather.load_fits import LoadFits
from app.gather.prices import Priced, PriceSource, unpriced
from app.site import BaseLoadDocument, Site
from forecasts.base_load import OLDEST_DAYS, BaseLoadForecast, base_load
from forecasts.errors import ForecastError
from forecasts.pv import PvForecast
from forecasts.pv_weather import Weather, pv_from_weather
from forecasts.series import Provenance, on_grid, utc_index
from optimizer.domain import BASE_LOAD_MARGIN, Horizon, Series

BASE_LOAD_HISTORY = timedelta(days=OLDEST_DAYS)
PV_HISTORY = timedelta(days=30)
FORECAST_HOLDS = timedelta(hours=1)
ESTIMATE_HOLDS = timedelta(minutes=5)  # made without a history, which may be imported at any moment
UPLOADED = ("base_load", "base_load_high", "base_load_low", "pv", "pv_low", "pv_high")


@dataclass(frozen=True, slots=True)
class Signals:
    """Everything a problem knows of the world, one value per slot: kW, currency/kWh."""

    base_load_kw: Series
    base_load_high_kw: Series
    base_load_low_kw: Series
    pv_kw: Series
    pv_low_kw: Series
    pv_high_kw: Series
    priced: Priced
    provenance: Json


@dataclass(frozen=True, slots=True)
class _Forecasts:
    of: Json  # what of the site's document it was made from
    made_at: datetime
    index: pd.DatetimeIndex
    base_load: BaseLoadForecast
    pv: PvForecast | None

    def holds(self, of: Json, index: pd.DatetimeIndex, now: datetime) -> bool:
        age = now - self.made_at
        most = ESTIMATE_HOLDS if self.base_load.provenance.estimated else FORECAST_HOLDS
        return self.of == of and timedelta(0) <= age < most and bool(index.isin(self.index).all())


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What series of one kind say on an index: NaN where they say nothing. `newest` is the last one issued."""

    values: pd.Series
    newest: StoredSeries | None = None

    def over(self, forecast: pd.Series) -> pd.Series:
        return self.values.fillna(forecast)

    def described(self, now: datetime, otherwise: Json | None) -> Json | None:
        """Its provenance, or that of the forecast where no slot is overruled."""
        known = int(self.values.notna().sum())
        if self.newest is None or known == 0:
            return otherwise
        continued = otherwise if known < len(self.values) else None
        return {
            "source": self.newest.source,
            "issued_at": self.newest.issued_at.astimezone(UTC).isoformat(),
            "age_s": (now - self.newest.issued_at).total_seconds(),
            "detail": f"{known} of {len(self.values)} slots" + (f", then {continued['source']}" if continued else ""),
            "estimated": self.newest.estimated or bool(continued and continued["estimated"]),
        }


class SignalSource:
    """Reads history and uploaded series, asks the forecasts, and remembers them for an hour."""

    def __init__(self, store: Store, history: History, fits: LoadFits | None = None) -> None:
        self._store = store
        self._fits = fits
        self._history = history
        self._prices = PriceSource(store)
        self._made: dict[str, _Forecasts] = {}

    async def of(self, site: Site, horizon: Horizon, now: datetime) -> Signals:
        """Raises `ForecastError` where neither history nor the site's document tells enough."""
        index = utc_index(horizon.start, horizon.slot_minutes, horizon.slots)
        return await self._of(site, horizon, now, await self._prices.of(site, index, now))

    async def by_rules(self, site: Site, horizon: Horizon, now: datetime) -> Signals:
        """For a plan without prices. Without a forecast too: the building at its maximum, and no PV to rely upon.

        Raises `ForecastError` where there is no forecast and the operator has not said what the building draws.
        """
        priced = unpriced(horizon.slots)
        try:
            return await self._of(site, horizon, now, priced)
        except ForecastError:
            most_kw = site.base_load.max_kw
            if most_kw is None:
                raise
        building, nothing = (most_kw,) * horizon.slots, (0.0,) * horizon.slots
        peak_kw = sum(array.peak_kw for array in site.pv_arrays)
        source: Json = {"source": "base_load.max_kw", "detail": f"{most_kw:g} kW throughout", "estimated": True}
        return Signals(
            base_load_kw=building,
            base_load_high_kw=building,
            base_load_low_kw=nothing,
            pv_kw=nothing,
            pv_low_kw=nothing,
            pv_high_kw=(peak_kw,) * horizon.slots,
            priced=priced,
            provenance={"base_load": source, **priced.provenance},
        )

    async def _of(self, site: Site, horizon: Horizon, now: datetime, priced: Priced) -> Signals:
        index = utc_index(horizon.start, horizon.slot_minutes, horizon.slots)
        made = await self._forecasts(site, horizon, index, now)
        load, pv_made = made.base_load, made.pv
        stored = await self._store.series_of_kinds(site.id, UPLOADED, *span(index))
        said = {
            kind: Uploaded(spread(series, index), series[-1] if series else None) for kind, series in stored.items()
        }
        said_load, said_pv = said["base_load"], said["pv"]
        base_kw = said_load.over(load.expected.reindex(index))
        # What was uploaded without a quantile of its own has the margin that stands in for one.
        high_kw = safe_base_load_kw(site.base_load, load).reindex(index)
        high_kw = high_kw.where(said_load.values.isna(), high_kw.clip(lower=said_load.values * (1 + BASE_LOAD_MARGIN)))
        low_kw = load.quantiles[0.1].reindex(index)
        low_kw = low_kw.where(said_load.values.isna(), low_kw.clip(upper=said_load.values * (1 - BASE_LOAD_MARGIN)))
        high_kw = said["base_load_high"].over(high_kw)
        low_kw = said["base_load_low"].over(low_kw)

        none_kw = pd.Series(0.0, index=index)
        pv_kw = said_pv.over(pv_made.expected.reindex(index) if pv_made else none_kw)
        pv_low_kw = pv_made.low.reindex(index) if pv_made else none_kw
        pv_high_kw = pv_made.high.reindex(index) if pv_made else none_kw
        pv_low_kw = said["pv_low"].over(pv_low_kw)
        pv_high_kw = said["pv_high"].over(pv_high_kw)

        provenance: Json = {"base_load": said_load.described(now, described(load.provenance, now)), **priced.provenance}
        pv_provenance = said_pv.described(now, described(pv_made.provenance, now) if pv_made else None)
        if pv_provenance is not None:
            provenance["pv"] = pv_provenance
        return Signals(
            base_load_kw=tuple(base_kw),
            base_load_high_kw=tuple(_at_most(high_kw, site.base_load.max_kw).clip(lower=base_kw)),
            base_load_low_kw=tuple(low_kw.clip(upper=base_kw)),
            pv_kw=tuple(pv_kw),
            pv_low_kw=tuple(pv_low_kw.clip(upper=pv_kw)),
            pv_high_kw=tuple(pv_high_kw.clip(lower=pv_kw)),
            priced=priced,
            provenance=provenance,
        )

    async def _forecasts(self, site: Site, horizon: Horizon, index: pd.DatetimeIndex, now: datetime) -> _Forecasts:
        # A tariff or a limit that changed, as in a simulation, costs no new forecast.
        of = site.model_dump(
            include={"time_zone", "country", "subdivision", "latitude", "longitude", "pv_arrays", "meters", "base_load"}
        )
        made = self._made.get(site.id)
        if made is None or not made.holds(of, index, now):
            made = await self._forecast(site, of, horizon, now)
            self._made[site.id] = made
        return made

    async def _forecast(self, site: Site, of: Json, horizon: Horizon, now: datetime) -> _Forecasts:
        # A little longer than asked, so that it can be read for an hour without being made again.
        extra = int(FORECAST_HOLDS / timedelta(minutes=horizon.slot_minutes)) + 1
        index = utc_index(horizon.start, horizon.slot_minutes, horizon.slots + extra)
        load_kw = await self._history.base_load(site, _past_index(horizon, BASE_LOAD_HISTORY))
        base = await asyncio.to_thread(
            base_load,
            load_kw,
            index,
            time_zone=site.time_zone,
            issued_at=now,
            country=site.country,
            subdivision=site.subdivision,
            annual_energy_kwh=site.base_load.annual_energy_kwh,
            profile=site.base_load.profile,
            fit=None if self._fits is None else await asyncio.to_thread(self._fits.of, site.id),
        )
        return _Forecasts(of, now, index, base, await self._pv(site, index, horizon, now))

    async def _pv(self, site: Site, index: pd.DatetimeIndex, horizon: Horizon, now: datetime) -> PvForecast | None:
        if not site.pv_arrays or site.latitude is None or site.longitude is None:
            return None
        past = _past_index(horizon, PV_HISTORY)
        whole = utc_index(past[0], horizon.slot_minutes, len(past) + len(index))
        return await asyncio.to_thread(
            pv_from_weather,
            pv_arrays(site),
            site.latitude,
            site.longitude,
            index,
            weather=await weather_of(self._store, site, whole),
            history=await self._history.metered(site, "pv", past),
            issued_at=now,
        )


async def weather_of(store: Store, site: Site, index: pd.DatetimeIndex) -> Weather:
    """What is stored of irradiance and air temperature on the slots of `index`, the last issued for each slot."""
    ghi = spread(await store.series(site.id, "ghi", *span(index)), index)
    air = spread(await store.series(site.id, "temp_air", *span(index)), index)
    return Weather(ghi if ghi.count() > 1 else ghi[:0], air if air.count() > 1 else None)


def spread(uploaded: Sequence[StoredSeries], index: pd.DatetimeIndex) -> pd.Series:
    """Uploaded series on a slot index, later issues over earlier ones; NaN where none says anything.

    A slot takes the mean of what one series says of it, if that series says something of all of it.
    """
    said = pd.Series(float("nan"), index=index)
    for series in uploaded:
        step = timedelta(minutes=series.resolution_minutes)
        stamps = pd.date_range(series.start, periods=len(series.values), freq=step)
        said = on_grid(pd.Series(series.values, index=stamps), index, hold=step).fillna(said)
    return said


def described(provenance: Provenance, now: datetime) -> Json:
    return {
        "source": provenance.source,
        "issued_at": provenance.issued_at.astimezone(UTC).isoformat(),
        "age_s": (now - provenance.issued_at).total_seconds(),
        "detail": provenance.detail,
        "estimated": provenance.estimated,
    }


def safe_base_load_kw(document: BaseLoadDocument, forecast: BaseLoadForecast) -> pd.Series:
    """The site's quantile of the base load, between the forecast's own by straight lines, plus its margin.

    Above the highest one it goes on as a normal distribution would: further from the median, never nearer.
    """
    known = sorted(float(column) for column in forecast.quantiles.columns)
    wanted = max(document.safety_quantile, known[0])
    if wanted > known[-1]:
        normal = NormalDist()
        reach = normal.inv_cdf(wanted) / normal.inv_cdf(known[-1])
        value = forecast.expected + (forecast.quantiles[known[-1]] - forecast.expected) * reach
    else:
        above = next(quantile for quantile in known if quantile >= wanted)
        below = max(quantile for quantile in known if quantile <= wanted)
        share = 0.0 if above == below else (wanted - below) / (above - below)
        value = forecast.quantiles[below] * (1 - share) + forecast.quantiles[above] * share
    return value * (1 + document.safety_margin)


def _past_index(horizon: Horizon, length: timedelta) -> pd.DatetimeIndex:
    slots = int(length / timedelta(minutes=horizon.slot_minutes))
    return utc_index(horizon.start - length, horizon.slot_minutes, slots)


def _at_most(high_kw: pd.Series, max_kw: float | None) -> pd.Series:
    """No cautious load is above what the operator says that the building draws at most."""
    return high_kw if max_kw is None else high_kw.clip(upper=max_kw)
