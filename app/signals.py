"""Prices, base load and PV of a site on the slots of a horizon, with where each comes from and how old it is.

A day-ahead forecast is made once an hour and then only read: a re-plan two minutes later must not cost a fit.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from app import history
from app.db.records import Json, StoredSeries
from app.db.store import Store
from app.site import FixedTariff, SeriesTariff, Site, TimeOfUseTariff
from forecasts import tariff
from forecasts.base_load import BaseLoadForecast, base_load
from forecasts.pv import PvArray, PvForecast, pv
from forecasts.series import Provenance, utc_index
from optimizer.domain import Horizon, Series

BASE_LOAD_HISTORY = timedelta(weeks=8)
PV_HISTORY = timedelta(days=30)
FORECAST_AGE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Signals:
    """Everything a problem knows of the world, one value per slot: kW, currency/kWh."""

    base_load_kw: Series
    base_load_high_kw: Series
    base_load_low_kw: Series
    pv_kw: Series
    pv_low_kw: Series
    pv_high_kw: Series
    import_price_per_kwh: Series
    export_price_per_kwh: Series
    demand_charge_active: tuple[bool, ...] | None
    provenance: Json


@dataclass(frozen=True, slots=True)
class _Forecasts:
    site: Site
    made_at: datetime
    until: datetime
    base_load: BaseLoadForecast
    pv: PvForecast | None


class SignalSource:
    """Reads history and uploaded series, asks the forecasts, and remembers them for an hour."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: dict[str, _Forecasts] = {}

    async def of(self, site: Site, horizon: Horizon, now: datetime) -> Signals:
        """Raises `ForecastError` where neither history nor the site's document tells enough."""
        index = utc_index(horizon.start, horizon.slot_minutes, horizon.slots)
        forecasts = await self._forecasts(site, horizon, now)
        uploaded = {
            kind: await self._store.series(site.id, kind, horizon.start - timedelta(days=8), horizon.end)
            for kind in ("import_price", "export_price")
        }
        prices = _prices(site, index, uploaded, now)
        base = forecasts.base_load
        produced = forecasts.pv
        nothing = tuple(0.0 for _ in index)
        return Signals(
            base_load_kw=_values(base.expected, index),
            base_load_high_kw=_values(_safe_base_load(site, base), index),
            base_load_low_kw=_values(base.quantiles[0.1], index),
            pv_kw=_values(produced.expected, index) if produced else nothing,
            pv_low_kw=_values(produced.low, index) if produced else nothing,
            pv_high_kw=_values(produced.high, index) if produced else nothing,
            import_price_per_kwh=prices.import_price_per_kwh,
            export_price_per_kwh=prices.export_price_per_kwh,
            demand_charge_active=_demand_charge_active(site, index),
            provenance={
                "base_load": _described(base.provenance, now),
                **({"pv": _described(produced.provenance, now)} if produced else {}),
                **prices.provenance,
            },
        )
