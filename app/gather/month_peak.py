"""What peak to plan the rest of a month for, by charge: from a site's own last four weeks, made anew each local day."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pandas as pd

from app.db.records import Transaction
from app.db.store import Store
from app.gather.best_cap import FULL_DAYS, best_cap_kw, share_per_kw
from app.gather.demand import floored
from app.gather.expected_peak import Stay
from app.gather.history import History
from app.gather.prices import PriceSource, active_slots
from app.months import month_of
from app.site import Site
from forecasts.series import utc_index
from optimizer.domain import DemandCharge, Series

PAST = timedelta(days=FULL_DAYS)
LEAST_DAYS = 3  # that are known of a site's sessions
MONTH_DAYS = 30
SLOT_MINUTES = 15
MOST_SESSIONS = 5_000


@dataclass(frozen=True, slots=True)
class _Made:
    site: Site
    day: date
    peaks_kw: Mapping[str, float]


class MonthPeaks:
    """`expected_peak_kw` of a site's demand charges, by the ids that `app.gather.demand` gives them."""

    def __init__(self, store: Store, history: History) -> None:
        self._store, self._history, self._prices = store, history, PriceSource(store)
        self._made: dict[str, _Made] = {}

    async def onto(self, charges: tuple[DemandCharge, ...], site: Site, now: datetime) -> tuple[DemandCharge, ...]:
        """The charges with what to expect; as they are where what drivers state binds."""
        if site.session_defaults.wishes_bind:
            return charges
        peaks_kw = await self.of(site, now)
        return tuple(replace(charge, expected_peak_kw=peaks_kw.get(charge.charge_id, 0.0)) for charge in charges)

    async def of(self, site: Site, now: datetime) -> Mapping[str, float]:
        """Empty with less than three days of sessions. A charge that does not apply around the clock has none."""
        today, made = now.astimezone(site.zone).date(), self._made.get(site.id)
        if made is None or made.site != site or made.day != today:
            made = self._made[site.id] = _Made(site, today, await self._peaks_kw(site, now))
        return made.peaks_kw

    async def _peaks_kw(self, site: Site, now: datetime) -> dict[str, float]:
        if not site.tariff.demand_charges:
            return {}
        rows = await self._store.transactions(site_id=site.id, start=now - PAST, end=now, limit=MOST_SESSIONS)
        stays = stays_of(site, rows)
        if not stays:
            return {}
        first = floored(min(stay.arrival for stay in stays), SLOT_MINUTES, site.zone)
        known_days = (now - first) / timedelta(days=1)
        if known_days < LEAST_DAYS:
            return {}
        index = utc_index(first, SLOT_MINUTES, int((now - first) / timedelta(minutes=SLOT_MINUTES)))
        prices = await self._prices.of(site, index, now)
        base_load_kw = await self._without_vehicles(site, index)
        _, next_month = month_of(now, site.zone)
        days_left = (next_month - now) / timedelta(days=1)
        peaks_kw = {}
        for charge in site.tariff.demand_charges:
            if not active_slots(charge, index, site.time_zone).all():
                continue
            later = f"{charge.id}.{next_month.astimezone(site.zone):%Y-%m}"
            for charge_id, days in ((charge.id, days_left), (later, MONTH_DAYS)):
                peaks_kw[charge_id] = await asyncio.to_thread(
                    best_cap_kw,
                    stays,
                    start=first,
                    slot_minutes=SLOT_MINUTES,
                    import_price_per_kwh=prices.import_price_per_kwh,
                    price_per_kw=share_per_kw(charge.price_per_kw, known_days, days),
                    unmet_price_per_kwh=site.session_defaults.unmet_price_per_kwh,
                    base_load_kw=base_load_kw,
                )
        return peaks_kw

    async def _without_vehicles(self, site: Site, index: pd.DatetimeIndex) -> Series | None:
        """Net import without EVs. A gap is believed to be like the rest; None where nothing was measured."""
        import_kw = await self._history.net_import(site, index)
        if import_kw.isna().all():
            return None
        rest_kw = (import_kw - await self._history.charging(site, index)).clip(lower=0.0)
        return tuple(rest_kw.fillna(rest_kw.mean()).to_list())


def stays_of(site: Site, rows: list[Transaction]) -> list[Stay]:
    """Sessions that are over and metered. What a vehicle can take is not known: its EVSE's power stands in."""
    stays = []
    for row in rows:
        station = site.station(row.station_id)
        evse = next((evse for evse in station.evses if evse.id == row.evse_id), None) if station else None
        if evse is None or row.stopped_at is None or row.meter_stop_wh is None or row.stopped_at <= row.started_at:
            continue
        max_kw = evse.max_power_kw or (evse.max_current_a or 0.0) * len(evse.phases) * site.connection.voltage_v / 1000
        energy_kwh = max(0.0, row.meter_stop_wh - row.meter_start_wh) / 1000
        stays.append(Stay(row.started_at, row.stopped_at, energy_kwh, max_kw))
    return stays
