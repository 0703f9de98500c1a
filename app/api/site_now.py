"""`/v1/sites/{id}/now`: what the site draws at this moment, from the newest readings and meter values, with ages."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.services import ServicesDep
from app.db.records import MeterValue, Transaction
from app.modes import Mode
from app.site import Site

router = APIRouter(prefix="/v1/sites", tags=["sites"])

POWER = "Power.Active.Import"
STALE_AFTER = timedelta(minutes=15)  # an older value says nothing about now


class PowerNow(BaseModel):
    """One power in kW. null is unknown, never 0."""

    kw: float | None
    at: datetime | None = Field(default=None, description="of the oldest value it was made of")
    age_s: float | None = None
    source: Literal["measured", "computed", "unknown"]


class EvseNow(BaseModel):
    charging_station_id: str
    evse_id: int
    transaction_id: int | None
    power: PowerNow


class ConnectionNow(PowerNow):
    """At the grid connection: import is positive, export negative."""

    max_import_kw: float | None
    max_export_kw: float | None


class ModeOut(BaseModel):
    """How the site is controlled, and why."""

    mode: Mode
    reason: str
    since: datetime


class SiteNowOut(BaseModel):
    """The site's balance: connection = base load + charging + battery - PV."""

    site_id: str
    at: datetime
    mode: ModeOut | None = Field(default=None, description="null: the service has not looked at it yet")
    connection: ConnectionNow
    base_load: PowerNow
    pv: PowerNow
    battery: PowerNow = Field(description="positive is charging")
    charging: PowerNow
    guard: Literal["watching", "limiting", "overloaded", "off"] = Field(
        default="off", description="what the fuse guard does: GET .../guard says more"
    )
    evses: list[EvseNow]


@router.get("/{site_id}/now")
async def get_site_now(site_id: str, services: ServicesDep, _: Reader) -> SiteNowOut:
    """Connection, base load, PV and charging at this moment. What is older than 15 minutes counts as unknown."""
    store = services.store
    site = await store.site(site_id)
    now = site_now(
        site,
        services.clock.now(),
        await store.latest_readings(site_id),
        await store.latest_meter_values(site_id),
        await store.transactions(site_id=site_id, running=True),
    )
    mode = None if services.modes is None else await services.modes.look(site_id)
    look = None if services.guard is None else services.guard.last(site_id)
    said = {} if mode is None else {"mode": ModeOut(**asdict(mode))}
    return now.model_copy(update=said if look is None else {**said, "guard": look.state})


def site_now(
    site: Site,
    now: datetime,
    readings: Mapping[str, tuple[datetime, float]],
    values: Mapping[tuple[str, int], list[MeterValue]],
    running: Iterable[Transaction],
) -> SiteNowOut:
    """The balance from `readings` (by meter: at, kW) and `values` (by EVSE, the newest of each)."""
    transactions = {(row.station_id, row.evse_id): row.transaction_id for row in running}
    evses = [
        EvseNow(
            charging_station_id=station.id,
            evse_id=evse.id,
            transaction_id=transactions.get((station.id, evse.id)),
            power=_evse_power(now, values.get((station.id, evse.id), []), (station.id, evse.id) in transactions),
        )
        for station in site.charging_stations
        for evse in station.evses
    ]
    charging = _sum(now, [evse.power for evse in evses], nothing_is_zero=True)
    pv = _metered(site, now, readings, "pv", absent_is_zero=not site.pv_arrays)
    battery = _metered(site, now, readings, "battery", absent_is_zero=not site.batteries)
    grid = _metered(site, now, readings, "grid")
    base = _metered(site, now, readings, "base_load")
    if base.kw is None and grid.source == "measured":
        base = _balance(now, plus=[grid, pv], minus=[charging, battery])
    if grid.kw is None:
        grid = _balance(now, plus=[base, charging, battery], minus=[pv])
    return SiteNowOut(
        site_id=site.id,
        at=now,
        connection=ConnectionNow(
            **grid.model_dump(),
            max_import_kw=site.connection.max_import_kw,
            max_export_kw=site.connection.max_export_kw,
        ),
        base_load=base,
        pv=pv,
        battery=battery,
        charging=charging,
        evses=evses,
    )


def _evse_power(now: datetime, values: list[MeterValue], is_running: bool) -> PowerNow:
    if not is_running:  # what a transaction that is over drew last says nothing about now
        values = [value for value in values if value.transaction_id is None]
    power = {value.phase: value for value in values if value.measurand == POWER}
    if "" in power:
        watt = power[""].value * (1000 if power[""].unit == "kW" else 1)
    elif power:
        watt = sum(value.value for phase, value in power.items() if "-" not in phase)
    elif not is_running:
        return PowerNow(kw=0.0, source="computed")  # no transaction, no energy
    else:
        return _UNKNOWN
    at = min(value.at for value in power.values())
    if now - at > STALE_AFTER:
        return _UNKNOWN if is_running else PowerNow(kw=0.0, source="computed")
    return PowerNow(kw=watt / 1000, at=at, age_s=(now - at).total_seconds(), source="measured")


def _metered(
    site: Site,
    now: datetime,
    readings: Mapping[str, tuple[datetime, float]],
    measures: str,
    *,
    absent_is_zero: bool = False,
) -> PowerNow:
    meters = [meter.id for meter in site.meters if meter.measures == measures]
    if not meters:
        return PowerNow(kw=0.0, source="computed") if absent_is_zero else _UNKNOWN
    parts = []
    for meter_id in meters:
        at, kw = readings.get(meter_id, (None, None))
        if at is None or kw is None or now - at > STALE_AFTER:
            return _UNKNOWN
        parts.append(PowerNow(kw=kw, at=at, age_s=(now - at).total_seconds(), source="measured"))
    return _sum(now, parts)


def _sum(now: datetime, parts: list[PowerNow], *, nothing_is_zero: bool = False) -> PowerNow:
    if not parts and not nothing_is_zero:
        return _UNKNOWN
    total = _balance(now, plus=parts, minus=[])
    is_measured = any(part.source == "measured" for part in parts) and total.kw is not None
    return total.model_copy(update={"source": "measured"}) if is_measured else total


def _balance(now: datetime, *, plus: list[PowerNow], minus: list[PowerNow]) -> PowerNow:
    """Unknown as soon as one part is."""
    if any(part.kw is None for part in plus + minus):
        return _UNKNOWN
    kw = sum(part.kw or 0.0 for part in plus) - sum(part.kw or 0.0 for part in minus)
    moments = [part.at for part in plus + minus if part.at is not None]
    at = min(moments) if moments else None
    return PowerNow(kw=kw, at=at, age_s=None if at is None else (now - at).total_seconds(), source="computed")


_UNKNOWN = PowerNow(kw=None, source="unknown")
