"""What a plan may count on of a site's batteries and inverters, and what it has to leave room for. Pure.

A battery that nobody can command is a forecast and no variable. One that cannot be commanded just now, or whose state
of charge nobody knows, is reserved with the most that it may charge with; that is nothing where it is known to be idle.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.actuators.devices import battery_key, is_planned, pv_key
from app.actuators.unit import Unit
from app.db.records import Json
from app.site import BatteryDocument, Site
from optimizer.domain import CONNECTION, PHASES, Battery, Reservation

NEARLY_FULL = 0.9  # from there on a battery may take less than it was told


@dataclass(frozen=True, slots=True)
class Fleet:
    """`drawn_kw` is what batteries draw now, as far as they say it (from them below 0).

    `is_curtailed`: an inverter is held at a limit now.
    """

    batteries: tuple[Battery, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    pv_curtailable: bool = False
    warnings: tuple[str, ...] = ()
    drawn_kw: float = 0.0
    is_curtailed: bool = False
    said: Mapping[str, str] = field(default_factory=dict)  # by device, why it is not planned

    @property
    def provenance(self) -> Json:
        """For the plan."""
        return {"not_commanded": dict(self.said)} if self.said else {}


class KnowsFleet(Protocol):
    """Who can tell of a site's batteries and inverters what they are worth now."""

    async def fleet(self, site: Site, end: datetime) -> Fleet: ...


class NobodyCommands:
    """Where nothing can be sent: batteries and PV are forecasts."""

    async def fleet(self, site: Site, end: datetime) -> Fleet:
        return fleet_of(site, {}, end, end)


def fleet_of(site: Site, units: Mapping[str, Unit], now: datetime, end: datetime) -> Fleet:
    """As `units`, by device, are known at `now`; reservations hold over [now, end)."""
    batteries: list[Battery] = []
    reservations: list[Reservation] = []
    said: dict[str, str] = {}
    warnings: list[str] = []
    for document in site.batteries:
        key = battery_key(document.id)
        if not is_planned(document):
            why = "nobody can command it" if document.actuator is None else "its document says controllable: false"
            warnings.append(f"battery {document.id} is a forecast, no variable: {why}; what it draws is base load")
            continue
        unit = units.get(key)
        why_not = "this service does not command it" if unit is None else unit.not_planned(now)
        soc = None if unit is None else unit.soc_now(now)
        if unit is not None and why_not is None and soc is not None:
            batteries.append(_battery(document, soc))
            continue
        said[key] = str(why_not)
        warnings.append(f"battery {document.id} is not planned: {why_not}")
        if unit is not None and site.mode == "optimised":
            charge_kw = unit.holding.most_charge_kw(unit.device, now, end)
            shown_kw = None if unit.shown is None else unit.shown.power_kw  # that is taken off the building
            reservations += _reserved(site, document, max(charge_kw, shown_kw or 0.0))
    warnings += _of_pv(site, units, now)
    return Fleet(
        tuple(batteries),
        tuple(reservations),
        pv_curtailable=bool(site.pv_arrays) and site.pv_curtailable and _why_not_curtailed(site, units, now) is None,
        warnings=tuple(warnings),
        drawn_kw=_drawn_kw(units.values(), now),
        is_curtailed=any(_is_curtailed(unit) for unit in units.values()),
        said=said,
    )


def _battery(document: BatteryDocument, soc: float) -> Battery:
    """Between its least and most; one that is outside stays where it is, or comes back."""
    energy_kwh = soc * document.capacity_kwh
    most_kwh = max(document.max_soc * document.capacity_kwh, energy_kwh)
    return Battery(
        document.id,
        capacity_kwh=most_kwh,
        energy_kwh=energy_kwh,
        max_charge_kw=document.max_charge_kw,
        max_discharge_kw=document.max_discharge_kw,
        min_energy_kwh=document.least_kwh,
        charge_efficiency=document.charge_efficiency,
        discharge_efficiency=document.discharge_efficiency,
        wear_price_per_kwh=document.wear_price_per_kwh,
        circuit_id=document.circuit,
    )


def _reserved(site: Site, document: BatteryDocument, charge_kw: float) -> Sequence[Reservation]:
    if charge_kw <= 0:
        return ()
    each_a = charge_kw * 1000 / site.connection.voltage_v / len(PHASES)
    return (Reservation((each_a, each_a, each_a), circuit_id=document.circuit or CONNECTION),)


def _of_pv(site: Site, units: Mapping[str, Unit], now: datetime) -> list[str]:
    why_not = _why_not_curtailed(site, units, now) if site.pv_curtailable and site.pv_arrays else None
    return [] if why_not is None else [f"PV is not curtailed: {why_not}"]


def _why_not_curtailed(site: Site, units: Mapping[str, Unit], now: datetime) -> str | None:
    for array in site.pv_arrays:
        if array.actuator is None:
            return f"nobody can command {array.id}"
        unit = units.get(pv_key(array.id))
        why_not = "this service does not command it" if unit is None else unit.not_planned(now)
        if why_not is not None:
            return f"{array.id}: {why_not}"
    return None


def _drawn_kw(units: Iterable[Unit], now: datetime) -> float:
    """By their own meters; one without any is believed to do what it verifiably holds, unless it may be full."""
    total_kw = 0.0
    for unit in units:
        if unit.device.kind != "battery" or unit.shown is None:
            continue
        if unit.shown.power_kw is not None:
            total_kw += unit.shown.power_kw
        elif unit.shown.setpoint_kw is not None:
            soc = unit.soc_now(now)
            may_be_full = soc is None or soc > NEARLY_FULL
            total_kw += min(unit.shown.setpoint_kw, 0.0) if may_be_full else unit.shown.setpoint_kw
    return total_kw


def _is_curtailed(unit: Unit) -> bool:
    limit_kw = None if unit.shown is None else unit.shown.setpoint_kw
    return unit.device.kind == "pv" and limit_kw is not None and limit_kw < unit.device.max_discharge_kw
