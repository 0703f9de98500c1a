"""What a site did: meter readings and meter values as pandas series of mean kW per slot, on a UTC index.

Building load is without EVs and without PV. A `base_load` meter measures it; behind a `grid` meter alone it is
net import plus PV production less EV charging. Nothing missing becomes 0: a gap stays NaN.
"""

import asyncio
from datetime import datetime, timedelta
from math import ceil

import numpy as np
import pandas as pd

from app.actuators.devices import is_planned
from app.db.store import Store
from app.gather.charged import ChargedEnergy
from app.site import Site
from forecasts.clear_sky import PvArray
from forecasts.pv import pv
from forecasts.series import on_grid, resolution, slot_length, utc_index

MINUTE = timedelta(minutes=1)
LONGEST_READING = timedelta(hours=1)  # of a meter; one that began before the first slot may reach into it
STEP_SEEN_IN = timedelta(hours=6)  # before the first slot: how far apart a meter's readings usually are
KNOWN_SHARE = 0.5  # half a slot says enough about its mean power; a slot that is less known is a gap


class History:
    """Reads the past of sites, and remembers what is expensive to read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._charged = ChargedEnergy(store)

    async def metered(self, site: Site, measures: str, index: pd.DatetimeIndex) -> pd.Series:
        """Sum of the site's meters of one kind; NaN where one of them is missing, everywhere when there is none."""
        meters = [meter for meter in site.meters if meter.measures == measures]
        if not meters:
            return pd.Series(np.nan, index=index)
        start, end = span(index)
        columns = []
        for meter in meters:
            rows = await self._store.readings(site.id, meter.id, start - STEP_SEEN_IN, end)
            stamps = pd.DatetimeIndex([at for at, _ in rows], tz="UTC")
            read_kw = pd.Series([kw for _, kw in rows], index=stamps, dtype=float)
            step = resolution(read_kw) if len(rows) > 1 else slot_length(index)
            hold = min(step, LONGEST_READING)  # of readings further apart nobody knows how long they are
            columns.append(on_grid(read_kw, index, hold=hold, min_coverage=KNOWN_SHARE))
        return pd.concat(columns, axis=1).sum(axis=1, skipna=False)

    async def charging(self, site: Site, index: pd.DatetimeIndex) -> pd.Series:
        """EV charging power of all EVSEs; 0 where no station reported any."""
        return await self._charged.power_kw(site.id, index)

    async def base_load(self, site: Site, index: pd.DatetimeIndex) -> pd.Series:
        """The building without EVs and PV."""
        if any(meter.measures == "base_load" for meter in site.meters):
            return await self.metered(site, "base_load", index)
        if not any(meter.measures == "grid" for meter in site.meters):
            return pd.Series(np.nan, index=index)
        grid_kw = await self.metered(site, "grid", index)
        produced_kw = await self._produced(site, index)
        building_kw = grid_kw + produced_kw - await self.charging(site, index)
        if any(is_planned(battery) for battery in site.batteries):  # a forecast of it would be one of our own plans
            metered_kw = await self.metered(site, "battery", index)
            building_kw = building_kw - metered_kw if metered_kw.notna().any() else building_kw
        return building_kw.clip(lower=0.0)

    async def net_import(self, site: Site, index: pd.DatetimeIndex) -> pd.Series:
        """Mean power drawn from the grid, never negative; by the grid meter, else building plus EVs less PV."""
        if any(meter.measures == "grid" for meter in site.meters):
            return (await self.metered(site, "grid", index)).clip(lower=0.0)
        base_kw = await self.metered(site, "base_load", index)
        if base_kw.isna().all():
            return base_kw
        produced_kw = await self._produced(site, index)
        return (base_kw - produced_kw + await self.charging(site, index)).clip(lower=0.0)

    async def imported_kwh(self, site: Site, start: datetime, end: datetime, *, base_kw: float, pv_kw: float) -> float:
        """Energy drawn from the grid in [start, end), a short time that ends now.

        `base_kw` and `pv_kw` are what is expected: they stand in for meters that have not spoken of it yet.
        """
        index = utc_index(start, 1, max(1, ceil((end - start) / MINUTE)))
        charging_kw = await self._charged.energy_kwh(site.id, index) * 60
        if any(meter.measures == "grid" for meter in site.meters):
            net_kw = (await self.metered(site, "grid", index)).fillna(base_kw - pv_kw + charging_kw)
        else:
            building_kw = (await self.metered(site, "base_load", index)).fillna(base_kw)
            net_kw = building_kw - (await self._produced(site, index)).fillna(pv_kw) + charging_kw
        passed_h = np.clip((pd.Timestamp(end) - index) / MINUTE, 0.0, 1.0) / 60
        return float((net_kw.clip(lower=0.0) * passed_h).sum())

    async def _produced(self, site: Site, index: pd.DatetimeIndex) -> pd.Series:
        """PV production; 0 while the sun is down, when many inverters do not answer.

        PV without a meter is believed to have produced what a forecast that knows no measurement expects: the same
        that such a site's forecast takes off again.
        """
        if not site.pv_arrays:
            if any(meter.measures == "pv" for meter in site.meters):
                return await self.metered(site, "pv", index)
            return pd.Series(0.0, index=index)
        believed_kw = await asyncio.to_thread(_believed_pv_kw, site, index)
        if not any(meter.measures == "pv" for meter in site.meters):
            return believed_kw
        produced_kw = await self.metered(site, "pv", index)
        return produced_kw.mask(produced_kw.isna() & (believed_kw == 0.0), 0.0)


def pv_arrays(site: Site) -> list[PvArray]:
    """The site's arrays as the forecasts know them."""
    return [
        PvArray(array.id, array.peak_kw, array.tilt_deg, array.azimuth_deg, array.inverter_kw)
        for array in site.pv_arrays
    ]


def span(index: pd.DatetimeIndex) -> tuple[datetime, datetime]:
    """Half-open: from the first slot's start to the last slot's end."""
    return index[0].to_pydatetime(), (index[-1] + slot_length(index)).to_pydatetime()


def _believed_pv_kw(site: Site, index: pd.DatetimeIndex) -> pd.Series:
    latitude, longitude = site.latitude or 0.0, site.longitude or 0.0  # a site with PV has both
    return pv(pv_arrays(site), latitude, longitude, index, issued_at=span(index)[0]).expected
