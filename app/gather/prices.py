"""What a site pays and is paid in each slot: its tariff, and the series uploaded for it. Missing is never 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.db.records import Json, StoredSeries
from app.db.store import Store
from app.gather.history import History, span
from app.months import month_of
from app.site import Site
from app.tariff import DemandCharge, FixedTariff, Season, SeriesTariff, TimeOfUseTariff
from forecasts import tariff
from forecasts.errors import SeriesError
from forecasts.series import slot_length, utc_index
from optimizer.domain import Series

CELL = timedelta(minutes=5)  # every resolution of a series is a whole number of them
HOUR = timedelta(hours=1)
LOOK_BACK = timedelta(weeks=4)  # what estimates of unpublished prices are made from


@dataclass(frozen=True, slots=True)
class Priced:
    """Prices per slot in currency/kWh, the demand charges with the slots in which they are active, and provenance."""

    import_price_per_kwh: Series
    export_price_per_kwh: Series
    demand_charges: tuple[tuple[DemandCharge, tuple[bool, ...]], ...]
    provenance: Json


NOMINAL_PRICE_PER_KWH = 1.0  # where none is known: no plan that counts money is made with it
UNKNOWN = "not known: the plan goes by rules, and what it says of money is at a nominal price"


def unpriced(slots: int) -> Priced:
    """For a plan that goes by rules alone. It says that it knows no price; a missing one is never 0."""
    provenance: Json = {"source": "none", "detail": UNKNOWN, "estimated": True}
    return Priced((NOMINAL_PRICE_PER_KWH,) * slots, (0.0,) * slots, (), {"import_price": provenance})


class PriceSource:
    """Turns a site's tariff into prices. Raises `UnknownPriceError` where nothing at all is known."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._history = History(store)

    async def of(self, site: Site, index: pd.DatetimeIndex, now: datetime) -> Priced:
        plan, imports, exports = await self._contract(site, index)
        prices = await self._with_tier(site, tariff.prices(plan, index, site.time_zone), now)
        charges, holidays = site.tariff.demand_charges, holidays_of(site)
        provenance: Json = {"source": f"{site.tariff.kind} tariff", "estimated": False}
        if imports:
            newest = imports[-1]
            estimated = prices["estimated"] | stood_in(imports, index) | stood_in(exports, index)
            provenance = {
                "source": newest.source,
                "issued_at": newest.issued_at.astimezone(UTC).isoformat(),
                "age_s": (now - newest.issued_at).total_seconds(),
                "detail": f"{int(estimated.sum())} of {len(index)} slots are estimated",
                "estimated": bool(estimated.any()),
            }
        return Priced(
            import_price_per_kwh=tuple(prices["price"].to_list()),
            export_price_per_kwh=tuple(prices["export_price"].to_list()),
            demand_charges=tuple(
                (charge, tuple(active_slots(charge, index, site.time_zone, holidays).to_list())) for charge in charges
            ),
            provenance={"import_price": provenance},
        )

    async def per_slot(self, site: Site, index: pd.DatetimeIndex) -> pd.DataFrame:
        """Columns price and export_price, in currency/kWh, and whether a price is estimated, slot by slot."""
        plan, imports, exports = await self._contract(site, index)
        prices = tariff.prices(plan, index, site.time_zone)
        prices = await self._with_tier(site, prices, index[-1].to_pydatetime())
        return prices.assign(estimated=prices["estimated"] | stood_in(imports, index) | stood_in(exports, index))

    async def _with_tier(self, site: Site, prices: pd.DataFrame, now: datetime) -> pd.DataFrame:
        """With what a kWh costs more where the month's import has passed a threshold: the marginal price of the tier.

        What the month will import after `now` does not count: the tier of today is that of the rest of the month.
        """
        tiers = site.tariff.tiers
        if not tiers:
            return prices
        imported_kwh = await self._imported_kwh(site, pd.DatetimeIndex(prices.index), now)
        add = np.array([0.0, *(tier.add_per_kwh for tier in tiers)])
        tier = np.searchsorted([tier.above_kwh for tier in tiers], imported_kwh, side="right")
        return prices.assign(price=prices["price"] + add[tier])

    async def _imported_kwh(self, site: Site, index: pd.DatetimeIndex, now: datetime) -> NDArray[np.float64]:
        """What the site has imported from the start of each slot's local month to the slot, or to `now` if sooner."""
        start, _ = month_of(index[0].to_pydatetime(), site.zone)
        hours = max(1, ceil((min(index[-1].to_pydatetime(), now) - start) / HOUR))
        past = utc_index(start, 60, hours)
        known_kw = (await self._history.net_import(site, past)).fillna(0.0)
        months = [month_of(at.to_pydatetime(), site.zone)[0] for at in index]
        total_kwh = np.concatenate([[0.0], np.cumsum(known_kw.to_numpy())])
        edges_s = np.append(past.as_unit("s").asi8, past[-1].timestamp() + HOUR.total_seconds())
        reach_s = np.minimum(index.as_unit("s").asi8, now.timestamp())
        at_month = np.interp([month.timestamp() for month in months], edges_s, total_kwh)
        return np.asarray(np.maximum(np.interp(reach_s, edges_s, total_kwh) - at_month, 0.0))

    async def _contract(
        self, site: Site, index: pd.DatetimeIndex
    ) -> tuple[tariff.TariffPlan, list[StoredSeries], list[StoredSeries]]:
        """The contract, and the uploaded import and export prices that it is made of."""
        document = site.tariff
        match document:
            case FixedTariff():
                return tariff.FixedTariff(document.price_per_kwh, document.export_price_per_kwh), [], []
            case TimeOfUseTariff():
                return _time_of_use(document, holidays_of(site)), [], []
            case SeriesTariff():
                imports = await self._uploaded(site, "import_price", index)
                exports = await self._uploaded(site, "export_price", index)
                plan = tariff.SeriesTariff(
                    prices=joined(imports),
                    known_until=max((_end(series) for series in imports), default=None),
                    export_prices=joined(exports) if exports else document.export_price_per_kwh,
                    surcharge_per_kwh=document.surcharge_per_kwh,
                    factor=document.factor,
                )
                return plan, imports, exports

    async def _uploaded(self, site: Site, kind: str, index: pd.DatetimeIndex) -> list[StoredSeries]:
        start, end = span(index)
        return await self._store.series(site.id, kind, start - LOOK_BACK, end)


def _time_of_use(document: TimeOfUseTariff, holidays: tariff.Holidays | None) -> tariff.TimeOfUseTariff:
    periods = tuple(
        tariff.TimeOfUsePeriod(
            steps=tuple(
                tariff.TimeOfUseStep(step.start, step.price_per_kwh, step.export_price_per_kwh) for step in period.steps
            ),
            season=_season(period),
            name=period.name,
        )
        for period in document.periods
    )
    return tariff.TimeOfUseTariff(periods, document.export_price_per_kwh, holidays=holidays)


def holidays_of(site: Site) -> tariff.Holidays | None:
    """What the tariff makes of holidays; None where they are days like others."""
    document = site.tariff
    if not isinstance(document, TimeOfUseTariff) or document.holidays_as is None:
        return None
    return tariff.Holidays(document.holidays_as, site.country, frozenset(site.holidays), site.subdivision)


def active_slots(
    document: DemandCharge, index: pd.DatetimeIndex, time_zone: str, holidays: tariff.Holidays | None = None
) -> pd.Series:
    """Whether the charge applies, slot by slot."""
    [charge] = tariff.demand_charges([_demand_charge(document)], index, time_zone, holidays)
    return charge.active.astype(bool)


def _demand_charge(document: DemandCharge) -> tariff.DemandCharge:
    return tariff.DemandCharge(
        document.id,
        document.price_per_kw,
        document.interval_minutes,
        _season(document),
        document.start,
        document.end,
    )


def _season(document: Season) -> tariff.Season:
    return tariff.Season(_month_day(document.first_day), _month_day(document.last_day), frozenset(document.weekdays))


def _month_day(text: str) -> tuple[int, int]:
    return int(text[:2]), int(text[3:])


def joined(uploaded: Sequence[StoredSeries]) -> pd.Series:
    """All series as one, in order of issue: later ones overrule. Every five minutes a value; a gap has none.

    Raises `SeriesError` for one that is not on five minutes.
    """
    return _on_cells(uploaded, [series.values for series in uploaded]).dropna()


def stood_in(uploaded: Sequence[StoredSeries], index: pd.DatetimeIndex) -> pd.Series:
    """The slots in which a value counts that its source calls an estimate."""
    flags = _on_cells(uploaded, [(float(series.estimated),) * len(series.values) for series in uploaded])
    cells = pd.DatetimeIndex(flags.index[(flags == 1.0).to_numpy()])
    slot_of = index.searchsorted(cells, side="right") - 1
    in_a_slot = (slot_of >= 0) & np.asarray(cells < index[-1] + slot_length(index))
    estimated = np.zeros(len(index), dtype=np.bool_)
    estimated[slot_of[in_a_slot]] = True
    return pd.Series(estimated.tolist(), index=index, dtype=bool)


def _on_cells(uploaded: Sequence[StoredSeries], values: Sequence[Sequence[float]]) -> pd.Series:
    if not uploaded:
        return pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC"))
    first, end = min(series.start for series in uploaded), max(_end(series) for series in uploaded)
    cells = np.full((end - first) // CELL, np.nan)
    for series, said in zip(uploaded, values, strict=True):
        steps, odd_minutes = divmod(series.resolution_minutes, 5)
        begin, odd = divmod(series.start - first, CELL)
        if odd or odd_minutes:
            raise SeriesError(series.kind, f"of {series.start.isoformat()} is not on five minutes")
        cells[begin : begin + steps * len(said)] = np.repeat(said, steps)
    return pd.Series(cells, index=pd.date_range(first, periods=len(cells), freq=CELL))


def _end(series: StoredSeries) -> datetime:
    return series.start + len(series.values) * timedelta(minutes=series.resolution_minutes)
