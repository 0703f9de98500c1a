"""What a site did: meter readings and meter values as pandas series of mean kW per slot, on a UTC index.

Building load is without EVs and without PV. A `base_load` meter measures it; behind a `grid` meter alone it is
net import plus PV production less EV charging. Nothing missing becomes 0: a gap stays NaN.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.db.store import Store
from app.site import Site
from forecasts.series import slot_length

POWER = "Power.Active.Import"
SAMPLE_HOLDS_AT_MOST = timedelta(minutes=15)  # what a station said longer ago says nothing about now


async def metered(store: Store, site: Site, measures: str, index: pd.DatetimeIndex) -> pd.Series:
    """Sum of the site's meters of one kind; NaN where one of them is missing, everywhere when there is none."""
    meters = [meter for meter in site.meters if meter.measures == measures]
    if not meters:
        return pd.Series(np.nan, index=index)
    columns = []
    for meter in meters:
        rows = await store.readings(site.id, meter.id, *span(index))
        stamps = pd.DatetimeIndex([at for at, _ in rows], tz="UTC").floor(slot_length(index))
        raw = pd.Series([kw for _, kw in rows], index=stamps, dtype=float)
        columns.append(raw.groupby(level=0).mean().reindex(index))
    return pd.concat(columns, axis=1).sum(axis=1, skipna=False)


async def charging(store: Store, site: Site, index: pd.DatetimeIndex) -> pd.Series:
    """EV charging power of all EVSEs by integrating their power samples; 0 where no station reported any."""
    start, end = span(index)
    energy_kwh = np.zeros(len(index))
    for station in site.charging_stations:
        rows = await store.meter_values(station_id=station.id, start=start, end=end, measurands=(POWER,))
        by_evse: dict[int, list[tuple[datetime, float]]] = {}
        for row in rows:
            if row.phase == "":
                by_evse.setdefault(row.evse_id, []).append((row.at, row.value))
        for samples in by_evse.values():
            _add_energy(energy_kwh, samples, start, (end - start) / len(index))
    return pd.Series(energy_kwh / ((end - start) / len(index) / timedelta(hours=1)), index=index)


async def base_load(store: Store, site: Site, index: pd.DatetimeIndex) -> pd.Series:
    """The building without EVs and PV."""
    if any(meter.measures == "base_load" for meter in site.meters):
        return await metered(store, site, "base_load", index)
    grid_kw = await metered(store, site, "grid", index)
    return (grid_kw + await _produced(store, site, index) - await charging(store, site, index)).clip(lower=0.0)


async def net_import(store: Store, site: Site, index: pd.DatetimeIndex) -> pd.Series:
    """Mean power drawn from the grid, never negative; by the grid meter, else building plus EVs less PV."""
    if any(meter.measures == "grid" for meter in site.meters):
        return (await metered(store, site, "grid", index)).clip(lower=0.0)
    base_kw = await metered(store, site, "base_load", index)
    return (base_kw - await _produced(store, site, index) + await charging(store, site, index)).clip(lower=0.0)


async def _produced(store: Store, site: Site, index: pd.DatetimeIndex) -> pd.Series:
    if not any(meter.measures == "pv" for meter in site.meters):
        return pd.Series(0.0, index=index)  # a site without a PV meter is measured net of its PV
    return await metered(store, site, "pv", index)


def span(index: pd.DatetimeIndex) -> tuple[datetime, datetime]:
    """Half-open: from the first slot's start to the last slot's end."""
    return index[0].to_pydatetime(), (index[-1] + slot_length(index)).to_pydatetime()


def _add_energy(
    energy_kwh: NDArray[np.float64], samples: Sequence[tuple[datetime, float]], start: datetime, step: timedelta
) -> None:
    """Add to each slot what the samples say; a sample holds until the next one, but not for ever."""
    followers = [at for at, _ in samples[1:]] + [samples[-1][0] + SAMPLE_HOLDS_AT_MOST]
    for (at, power_w), following in zip(samples, followers, strict=True):
        until = min(following, at + SAMPLE_HOLDS_AT_MOST)
        slot = max(0, int((at - start) / step))
        while slot < len(energy_kwh) and start + slot * step < until:
            present = min(until, start + (slot + 1) * step) - max(at, start + slot * step)
            energy_kwh[slot] += power_w / 1000 * max(0.0, present / timedelta(hours=1))
            slot += 1
