"""What a charge cost, what it would have cost without control, its CO2 and its share of PV.

Slot by slot, on five minutes: the energy of the register, spread as the power was, at the tariff that was in force.
What is not known stays unknown: a record without a price has no cost, not a cost of nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from app.db.records import Cdr, TariffInForce
from app.db.store import Store
from app.gather.charged import CELL, Curve, Floats, from_register
from app.gather.history import History
from app.gather.prices import PriceSource, joined
from app.plausibility import Metered
from app.site import Site
from app.tariff import Tariff
from forecasts.errors import ForecastError
from forecasts.series import utc_index

COST_ESTIMATED = "cost_estimated"  # a price was estimated, or the tariff of that time is not known
NO_PRICE = "no_price"
LONGEST = timedelta(days=60)  # of a stay that is priced slot by slot
_TARIFF: TypeAdapter[Tariff] = TypeAdapter(Tariff)


class Accounts:
    """Puts a price on records. One for many: what it reads of a site's past it remembers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prices = PriceSource(store)
        self._history = History(store)
        self._tariffs: dict[str, list[TariffInForce]] = {}

    async def priced(self, site: Site, cdr: Cdr, meter: Metered) -> Cdr:
        """The record with its cost, CO2 and share of PV, as far as they are known."""
        if cdr.stop - cdr.start > LONGEST or cdr.energy_kwh < 0:
            return replace(cdr, flags=(*cdr.flags, NO_PRICE))
        index = _slots(cdr.start, cdr.stop)
        energy_kwh = _spread(cdr, meter, index)
        prices = await self._prices_per_kwh(site, index)
        flags = list(cdr.flags)
        cost = uncontrolled_cost = None
        if prices is None:
            flags.append(NO_PRICE)
        else:
            price = prices["price"].to_numpy()
            cost = float(energy_kwh @ price)
            uncontrolled_cost = float(_uncontrolled(cdr, index) @ price)
            if bool(prices["estimated"].to_numpy()[energy_kwh > 0].any()):
                flags.append(COST_ESTIMATED)
        return replace(
            cdr,
            cost=cost,
            currency=None if cost is None else site.currency,
            uncontrolled_cost=uncontrolled_cost,
            co2_kg=await self._co2_kg(site, index, energy_kwh),
            pv_share=await self._pv_share(site, index, energy_kwh),
            flags=tuple(flags),
        )

    async def _prices_per_kwh(self, site: Site, index: pd.DatetimeIndex) -> pd.DataFrame | None:
        """Columns price and estimated; None where one is missing."""
        if site.id not in self._tariffs:
            self._tariffs[site.id] = await self._store.tariffs(site.id)
        parts = []
        for then, part, is_known in _in_force(site, self._tariffs[site.id], index):
            try:
                prices = await self._prices.per_slot(then, part)
            except ForecastError:
                return None
            parts.append(prices if is_known else prices.assign(estimated=True))
        prices = pd.concat(parts)
        return None if prices["price"].isna().any() else prices

    async def _co2_kg(self, site: Site, index: pd.DatetimeIndex, energy_kwh: Floats) -> float | None:
        end = index[-1].to_pydatetime() + CELL
        series = await self._store.series(site.id, "carbon", index[0].to_pydatetime(), end)
        if not series:
            return None
        kg_per_kwh = joined(series).reindex(index).to_numpy()
        charged = energy_kwh > 0
        total_kg = float((energy_kwh[charged] * kg_per_kwh[charged]).sum())
        return None if np.isnan(total_kg) else total_kg

    async def _pv_share(self, site: Site, index: pd.DatetimeIndex, energy_kwh: Floats) -> float | None:
        """The building takes its PV first; what charges then and is not imported came from the roof, or a battery."""
        has_pv = site.pv_arrays or any(meter.measures == "pv" for meter in site.meters)
        if not has_pv or energy_kwh.sum() <= 0:
            return None
        imported_kw = (await self._history.net_import(site, index)).to_numpy()
        charging_kw = (await self._history.charging(site, index)).to_numpy()
        charged = (energy_kwh > 0) & (charging_kw > 0)
        share = 1 - imported_kw[charged] / charging_kw[charged]
        own_kwh = float((np.clip(share, 0.0, 1.0) * energy_kwh[charged]).sum())
        return None if np.isnan(own_kwh) else own_kwh / float(energy_kwh.sum())


def _slots(start: datetime, stop: datetime) -> pd.DatetimeIndex:
    first = datetime.fromtimestamp(start.timestamp() // 300 * 300, tz=start.tzinfo)
    return utc_index(first, 5, max(1, ceil((stop - first) / CELL)))


def _edges_s(index: pd.DatetimeIndex) -> Floats:
    return np.asarray(index[0].timestamp() + CELL.total_seconds() * np.arange(len(index) + 1))


def _spread(cdr: Cdr, meter: Metered, index: pd.DatetimeIndex) -> Floats:
    """The record's energy in each slot: as the power was, else as the register rose, else evenly."""
    edges_s = _edges_s(index)
    shapes = []
    if meter.power_w:
        shapes.append(_held(meter.power_w, cdr.stop))
    if len(meter.register_wh) > 1:
        shapes.append(from_register(meter.register_wh))
    stay_s = np.array([cdr.start.timestamp(), cdr.stop.timestamp()])
    shapes.append(Curve(stay_s, np.array([0.0, 1.0])))
    for shape in shapes:
        within = np.clip(edges_s, *stay_s)
        part = np.diff(np.interp(within, shape.at_s, shape.kwh))
        if part.sum() > 0:
            return np.asarray(part * (cdr.energy_kwh / part.sum()))
    spread: Floats = np.zeros(len(index))  # a stay without length
    spread[0] = cdr.energy_kwh
    return spread


def _held(power_w: Sequence[tuple[datetime, float]], stop: datetime) -> Curve:
    """As the record's own integral: each sample until the next one, the last one until the stop."""
    at_s = np.array([at.timestamp() for at, _ in power_w])
    rise = np.array([watt for _, watt in power_w]) * np.diff(np.append(at_s, max(at_s[-1], stop.timestamp())))
    return Curve(np.append(at_s, max(at_s[-1], stop.timestamp())), np.append(0.0, np.cumsum(rise)))


def _uncontrolled(cdr: Cdr, index: pd.DatetimeIndex) -> Floats:
    """The same energy from the start on, at the highest power that this charge has shown, within the stay."""
    if cdr.total_time_h <= 0:
        return _spread(cdr, Metered([], [], []), index)
    power_kw = max(cdr.peak_power_kw or 0.0, cdr.energy_kwh / cdr.total_time_h)
    if power_kw <= 0:
        return np.zeros(len(index))
    full_s = cdr.start.timestamp() + cdr.energy_kwh / power_kw * 3600
    at_s = np.array([cdr.start.timestamp(), full_s])
    return np.asarray(np.diff(np.interp(_edges_s(index), at_s, np.array([0.0, cdr.energy_kwh]))))


def _in_force(
    site: Site, tariffs: Sequence[TariffInForce], index: pd.DatetimeIndex
) -> list[tuple[Site, pd.DatetimeIndex, bool]]:
    """(site as it was, its slots, whether its tariff is known to have held then), in order of time."""
    if not tariffs:
        return [(site, index, True)]
    since = [row.since for row in tariffs]
    number = np.searchsorted(pd.DatetimeIndex(since, tz="UTC").as_unit("us"), index.as_unit("us"), side="right") - 1
    parts = []
    for position in np.unique(number):
        row = tariffs[max(0, int(position))]
        then = site.model_copy(update={"tariff": _TARIFF.validate_python(row.tariff)})
        parts.append((then, index[number == position], bool(position >= 0)))
    return parts
