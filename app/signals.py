"""Prices, base load and PV of a site on the slots of a horizon, with where each comes from and how old it is.

A forecast is made once an hour and then only read: a re-plan two minutes later must not cost a fit. Series that were
uploaded for a slot overrule what is forecast for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from app import history
from app.db.records import Json, StoredSeries
from app.db.store import Store
from app.prices import Priced, PriceSource
from app.site import Site
from forecasts.base_load import BaseLoadForecast, base_load
from forecasts.clear_sky import PvArray
from forecasts.pv import PvForecast, pv
from forecasts.series import Provenance, slot_length, utc_index
from optimizer.domain import Horizon, Series

BASE_LOAD_HISTORY = timedelta(weeks=8)
PV_HISTORY = timedelta(days=30)
FORECAST_HOLDS = timedelta(hours=1)


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
    site: Site
    made_at: datetime
    index: pd.DatetimeIndex
    base_load: BaseLoadForecast
    pv: PvForecast | None


class SignalSource:
    """Reads history and uploaded series, asks the forecasts, and remembers them for an hour."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prices = PriceSource(store)
        self._made: dict[str, _Forecasts] = {}

    async def of(self, site: Site, horizon: Horizon, now: datetime) -> Signals:
        """Raises `ForecastError` where neither history nor the site's document tells enough."""
        index = utc_index(horizon.start, horizon.slot_minutes, horizon.slots)
        made = await self._forecasts(site, horizon, now)
        priced = await self._prices.of(site, index, now)
        base_kw, base_from = await self._overruled(site, "base_load", made.base_load.expected, index)
        base_high_kw, _ = await self._overruled(site, "base_load_high", _safe_base_load(site, made.base_load), index)
        base_low_kw, _ = await self._overruled(site, "base_load_low", made.base_load.quantiles[0.1], index)
        nothing = pd.Series(0.0, index=made.index)
        produced = made.pv
        pv_kw, pv_from = await self._overruled(site, "pv", produced.expected if produced else nothing, index)
        pv_low_kw, _ = await self._overruled(site, "pv_low", produced.low if produced else nothing, index)
        pv_high_kw, _ = await self._overruled(site, "pv_high", produced.high if produced else nothing, index)
        provenance = {"base_load": base_from or described(made.base_load.provenance, now), **priced.provenance}
        if produced is not None or pv_from is not None:
            provenance["pv"] = pv_from or described(produced.provenance, now) if produced else pv_from
        return Signals(
            base_load_kw=base_kw,
            base_load_high_kw=tuple(map(max, base_kw, base_high_kw)),
            base_load_low_kw=tuple(map(min, base_kw, base_low_kw)),
            pv_kw=pv_kw,
            pv_low_kw=tuple(map(min, pv_kw, pv_low_kw)),
            pv_high_kw=tuple(map(max, pv_kw, pv_high_kw)),
            priced=priced,
            provenance=provenance,
        )

    async def _forecasts(self, site: Site, horizon: Horizon, now: datetime) -> _Forecasts:
        made = self._made.get(site.id)
        if made is None or made.site != site or now - made.made_at >= FORECAST_HOLDS or made.made_at > now:
            made = await self._forecast(site, horizon, now)
            self._made[site.id] = made
        return made

    async def _forecast(self, site: Site, horizon: Horizon, now: datetime) -> _Forecasts:
        # A little longer than asked, so that it can be read for an hour without being made again.
        extra = int(FORECAST_HOLDS / timedelta(minutes=horizon.slot_minutes)) + 1
        index = utc_index(horizon.start, horizon.slot_minutes, horizon.slots + extra)
        load_index = _past_index(horizon, BASE_LOAD_HISTORY)
        load_kw = await history.base_load(self._store, site, load_index)
        base = await asyncio.to_thread(
            base_load,
            load_kw,
            index,
            time_zone=site.time_zone,
            issued_at=now,
            country=site.country,
            annual_energy_kwh=site.base_load.annual_energy_kwh,
            profile=site.base_load.profile,
        )
        return _Forecasts(site, now, index, base, await self._pv(site, index, horizon, now))

    async def _pv(self, site: Site, index: pd.DatetimeIndex, horizon: Horizon, now: datetime) -> PvForecast | None:
        if not site.pv_arrays or site.latitude is None or site.longitude is None:
            return None
        produced_kw = await history.metered(self._store, site, "pv", _past_index(horizon, PV_HISTORY))
        arrays = [
            PvArray(array.id, array.peak_kw, array.tilt_deg, array.azimuth_deg, array.inverter_kw)
            for array in site.pv_arrays
        ]
        return await asyncio.to_thread(
            pv, arrays, site.latitude, site.longitude, index, history=produced_kw, issued_at=now
        )

    async def _overruled(
        self, site: Site, kind: str, forecast: pd.Series, index: pd.DatetimeIndex
    ) -> tuple[Series, Json | None]:
        """The forecast on `index`, replaced wherever an uploaded series says something; and that series' provenance."""
        uploaded = await self._store.series(site.id, kind, *history.span(index))
        values = forecast.reindex(index)
        if not uploaded:
            return tuple(values.to_list()), None
        said = spread(uploaded, index)
        newest = uploaded[-1]
        described_as = {"source": newest.source, "issued_at": newest.issued_at.isoformat(), "estimated": False}
        return tuple(said.fillna(values).to_list()), described_as


def spread(uploaded: Sequence[StoredSeries], index: pd.DatetimeIndex) -> pd.Series:
    """Uploaded series on a slot index, later issues over earlier ones; NaN where none says anything."""
    said = pd.Series(float("nan"), index=index)
    for series in uploaded:
        step = pd.Timedelta(minutes=series.resolution_minutes)
        stamps = pd.date_range(series.start, periods=len(series.values), freq=step)
        raw = pd.Series(series.values, index=stamps)
        if step < slot_length(index):
            on_slots = raw.groupby(stamps.floor(slot_length(index))).mean().reindex(index)
        else:
            on_slots = raw.reindex(index, method="ffill", tolerance=step - pd.Timedelta(seconds=1))
        said = on_slots.fillna(said)
    return said


def described(provenance: Provenance, now: datetime) -> Json:
    return {
        "source": provenance.source,
        "issued_at": provenance.issued_at.astimezone(UTC).isoformat(),
        "age_s": (now - provenance.issued_at).total_seconds(),
        "detail": provenance.detail,
        "estimated": provenance.estimated,
    }


def _safe_base_load(site: Site, forecast: BaseLoadForecast) -> pd.Series:
    """The site's quantile of the base load, between the forecast's own by straight lines, plus its margin."""
    known = sorted(float(column) for column in forecast.quantiles.columns)
    wanted = min(max(site.base_load.safety_quantile, known[0]), known[-1])
    above = next(quantile for quantile in known if quantile >= wanted)
    below = max(quantile for quantile in known if quantile <= wanted)
    share = 0.0 if above == below else (wanted - below) / (above - below)
    value = forecast.quantiles[below] * (1 - share) + forecast.quantiles[above] * share
    return value * (1 + site.base_load.safety_margin)


def _past_index(horizon: Horizon, length: timedelta) -> pd.DatetimeIndex:
    slots = int(length / timedelta(minutes=horizon.slot_minutes))
    return utc_index(horizon.start - length, horizon.slot_minutes, slots)
