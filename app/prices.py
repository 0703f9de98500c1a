"""What a site pays and is paid in each slot: its tariff, and the series uploaded for it. Missing is never 0."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from app.db.records import Json, StoredSeries
from app.db.store import Store
from app.history import span
from app.site import Site
from app.tariff import DemandCharge, FixedTariff, Season, SeriesTariff, TimeOfUseTariff
from forecasts import tariff
from optimizer.domain import Series

LOOK_BACK = timedelta(weeks=4)  # what estimates of unpublished prices are made from


@dataclass(frozen=True, slots=True)
class Priced:
    """Prices per slot in currency/kWh, the demand charges with the slots in which they are active, and provenance."""

    import_price_per_kwh: Series
    export_price_per_kwh: Series
    demand_charges: tuple[tuple[DemandCharge, tuple[bool, ...]], ...]
    provenance: Json


class PriceSource:
    """Turns a site's tariff into prices. Raises `UnknownPriceError` where nothing at all is known."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, site: Site, index: pd.DatetimeIndex, now: datetime) -> Priced:
        plan, uploaded = await self._contract(site, index)
        prices = tariff.prices(plan, index, site.time_zone)
        charges = tariff.demand_charges(
            [_demand_charge(charge) for charge in site.tariff.demand_charges], index, site.time_zone
        )
        estimated = int(prices["estimated"].sum())
        provenance: Json = {"source": f"{site.tariff.kind} tariff", "estimated": estimated > 0}
        if uploaded is not None:
            provenance |= {
                "source": uploaded.source,
                "issued_at": uploaded.issued_at.astimezone(UTC).isoformat(),
                "age_s": (now - uploaded.issued_at).total_seconds(),
                "detail": f"{estimated} of {len(index)} slots estimated from the prices of earlier days",
            }
        return Priced(
            import_price_per_kwh=tuple(prices["price"].to_list()),
            export_price_per_kwh=tuple(prices["export_price"].to_list()),
            demand_charges=tuple(
                (document, tuple(bool(value) for value in charge.active))
                for document, charge in zip(site.tariff.demand_charges, charges, strict=True)
            ),
            provenance={"import_price": provenance},
        )

    async def _contract(self, site: Site, index: pd.DatetimeIndex) -> tuple[tariff.TariffPlan, StoredSeries | None]:
        document = site.tariff
        match document:
            case FixedTariff():
                return tariff.FixedTariff(document.price_per_kwh, document.export_price_per_kwh), None
            case TimeOfUseTariff():
                return _time_of_use(document), None
            case SeriesTariff():
                imports = await self._uploaded(site, "import_price", index)
                exports = await self._uploaded(site, "export_price", index)
                plan = tariff.SeriesTariff(
                    prices=_joined(imports),
                    known_until=max((_end(series) for series in imports), default=None),
                    export_prices=_joined(exports) if exports else document.export_price_per_kwh,
                    surcharge_per_kwh=document.surcharge_per_kwh,
                    factor=document.factor,
                )
                return plan, imports[-1] if imports else None

    async def _uploaded(self, site: Site, kind: str, index: pd.DatetimeIndex) -> list[StoredSeries]:
        start, end = span(index)
        return await self._store.series(site.id, kind, start - LOOK_BACK, end)


def _time_of_use(document: TimeOfUseTariff) -> tariff.TimeOfUseTariff:
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
    return tariff.TimeOfUseTariff(periods, document.export_price_per_kwh)


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


def _joined(uploaded: list[StoredSeries]) -> pd.Series:
    """All series as one, later issues over earlier ones. Steps may differ: each value holds until the next one."""
    joined = pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC"))
    for series in uploaded:
        step = pd.Timedelta(minutes=series.resolution_minutes)
        stamps = pd.date_range(series.start, periods=len(series.values), freq=step)
        outside = (joined.index < stamps[0]) | (joined.index >= stamps[-1] + step)
        joined = pd.concat([joined[outside], pd.Series(series.values, index=stamps)]).sort_index()
    return joined


def _end(series: StoredSeries) -> datetime:
    return series.start + len(series.values) * timedelta(minutes=series.resolution_minutes)
