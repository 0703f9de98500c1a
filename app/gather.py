"""Store and forecasts become a Problem: the only place where pandas meets the optimizer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pandas as pd

from app import history
from app.clock import Clock
from app.db.records import Json, Transaction, Wish
from app.db.store import Store
from app.sessions import Seen, expected_sessions, phases_in_use, running_session, wish_of
from app.signals import Signals, SignalSource
from app.site import EvseDocument, Site, evse_key
from forecasts.series import utc_index
from optimizer.domain import (
    PHASES,
    Battery,
    Circuit,
    Connection,
    DemandCharge,
    Evse,
    Horizon,
    PhaseCurrents,
    Problem,
    Reservation,
    Session,
)

RECENT = timedelta(hours=48)


class KnowsLimits(Protocol):
    """What a station may be executing, and which EVSEs no plan should count on: the dispatcher knows."""

    def worst_case_a(self, site: Site, station_id: str, evse_id: int, start: datetime, end: datetime) -> float: ...

    def uncontrollable(self) -> Mapping[str, str]: ...


class FallbackOnly:
    """For what-if: an EVSE that is not planned draws its fallback at the most."""

    def worst_case_a(self, site: Site, *_: object) -> float:
        return site.fallback_current_a

    def uncontrollable(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class Gathered:
    """A problem, where its series come from, and the running transaction of each EVSE it plans."""

    problem: Problem
    provenance: Json
    transactions: Mapping[str, Transaction]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a simulation puts in place of what the store knows; None leaves it."""

    sessions: tuple[Session, ...] | None = None
    batteries: tuple[Battery, ...] = ()
    base_load_factor: float = 1.0
    pv_factor: float = 1.0


class Gatherer:
    """Builds the problem of a site at the clock's now.

    `connected` names the stations that a plan can reach. The others, and EVSEs that do not do as they are told,
    are not planned: what they may be executing is reserved.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: KnowsLimits,
        *,
        connected: Callable[[], frozenset[str]],
        horizon: timedelta,
    ) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._connected = connected
        self._horizon = horizon
        self._signals = SignalSource(store)
        self._peaks = MonthlyPeaks(store)

    async def gather(self, site: Site, what_if: WhatIf | None = None) -> Gathered:
        """Raises `ForecastError` where prices or base load are not known in any way."""
        what_if = what_if or WhatIf()
        now = self._clock.now()
        horizon = _horizon(now, site.slot_minutes, self._horizon)
        signals = await self._signals.of(site, horizon, now)
        running, sessions = await self._sessions(site, now, horizon.end)
        if what_if.sessions is not None:
            sessions = list(what_if.sessions)
        planned = {session.evse_id for session in sessions}
        problem = Problem(
            horizon=horizon,
            connection=Connection(
                site.connection.max_import_kw,
                site.connection.max_export_kw,
                site.connection.max_current_a,
                site.connection.voltage_v,
            ),
            circuits=tuple(
                Circuit(circuit.id, circuit.parent, circuit.max_power_kw, circuit.max_current_a)
                for circuit in site.circuits
            ),
            evses=tuple(_evse(station.id, evse) for station in site.charging_stations for evse in station.evses),
            sessions=tuple(sessions),
            base_load_kw=_scaled(signals.base_load_kw, what_if.base_load_factor),
            base_load_high_kw=_scaled(signals.base_load_high_kw, what_if.base_load_factor),
            base_load_low_kw=_scaled(signals.base_load_low_kw, what_if.base_load_factor),
            pv_kw=_scaled(signals.pv_kw, what_if.pv_factor),
            pv_low_kw=_scaled(signals.pv_low_kw, what_if.pv_factor),
            pv_high_kw=_scaled(signals.pv_high_kw, what_if.pv_factor),
            pv_curtailable=site.pv_curtailable,
            import_price_per_kwh=signals.priced.import_price_per_kwh,
            export_price_per_kwh=signals.priced.export_price_per_kwh,
            batteries=what_if.batteries,
            demand_charges=await self._demand_charges(site, signals, now),
            reservations=tuple(self._reservations(site, planned, now, horizon.end)),
            currency=site.currency,
            time_zone=site.time_zone,
        )
        transactions = {key: row for row in running if (key := evse_key(row.station_id, row.evse_id)) in planned}
        own = {evse.evse_id for evse in problem.evses}
        lost = {key: reason for key, reason in self._limits.uncontrollable().items() if key in own}
        return Gathered(problem, signals.provenance | ({"uncontrollable": lost} if lost else {}), transactions)

    async def _sessions(self, site: Site, now: datetime, end: datetime) -> tuple[list[Transaction], list[Session]]:
        recent = await self._store.transactions(site_id=site.id, start=now - RECENT)
        running = [row for row in await self._store.transactions(site_id=site.id, running=True) if _is_at(site, row)]
        lost = self._limits.uncontrollable()
        reachable = [
            row
            for row in _newest_of_each_evse(running)
            if row.station_id in self._connected() and evse_key(row.station_id, row.evse_id) not in lost
        ]
        wishes = await self._store.wishes(site.id)
        seen = await self._seen(site, reachable)
        sessions = [
            running_session(site, row, wish_of(row, wishes, recent), seen[row.transaction_id], now) for row in reachable
        ]
        there = {evse_key(row.station_id, row.evse_id) for row in running}
        announced = [wish for wish in wishes if _is_free(site, wish, there)]
        return reachable, sessions + expected_sessions(announced, recent, now, end)

    async def _seen(self, site: Site, running: Sequence[Transaction]) -> dict[int, Seen]:
        energies = await self._store.latest_energy_wh([row.transaction_id for row in running])
        latest = await self._store.latest_meter_values(site.id)
        seen = {}
        for row in running:
            _, register_wh = energies.get(row.transaction_id, (row.started_at, row.meter_start_wh))
            current_a = {
                value.phase: value.value
                for value in latest.get((row.station_id, row.evse_id), [])
                if value.measurand == "Current.Import" and value.phase and value.transaction_id == row.transaction_id
            }
            delivered_kwh = max(0.0, register_wh - row.meter_start_wh) / 1000
            seen[row.transaction_id] = Seen(delivered_kwh, phases_in_use(current_a))
        return seen

    def _reservations(self, site: Site, planned: set[str], now: datetime, end: datetime) -> list[Reservation]:
        """Current that EVSEs outside this plan may draw: offline, unverified, or idle with a fallback."""
        reservations = []
        for station in site.charging_stations:
            for evse in station.evses:
                if evse_key(station.id, evse.id) in planned:
                    continue
                worst_a = self._limits.worst_case_a(site, station.id, evse.id, now, end)
                if worst_a > 0:
                    reservations.append(Reservation(_on_phases(evse, worst_a), evse_id=evse_key(station.id, evse.id)))
        return reservations

    async def _demand_charges(self, site: Site, signals: Signals, now: datetime) -> tuple[DemandCharge, ...]:
        return tuple(
            [
                DemandCharge(
                    charge_id=charge.id,
                    price_per_kw=charge.price_per_kw,
                    interval_minutes=charge.interval_minutes,
                    active=active,
                    peak_so_far_kw=await self._peaks.so_far_kw(site, charge.interval_minutes, now),
                )
                for charge, active in signals.priced.demand_charges
            ]
        )


class MonthlyPeaks:
    """The highest mean import of each site's current month, read once and then only continued."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, int], tuple[datetime, datetime, float]] = {}  # month, looked up to, kW

    async def so_far_kw(self, site: Site, interval_minutes: int, now: datetime) -> float:
        """Over the intervals that have ended. Where nothing was measured there is no peak: 0."""
        local = now.astimezone(site.zone)
        month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
        until = _floored(now, interval_minutes)
        known_month, looked_to, peak_kw = self._known.get((site.id, interval_minutes), (month, month, 0.0))
        if known_month != month:
            looked_to, peak_kw = month, 0.0
        if until > looked_to:
            slots = int((until - looked_to) / timedelta(minutes=interval_minutes))
            measured_kw = await history.net_import(self._store, site, utc_index(looked_to, interval_minutes, slots))
            highest_kw = measured_kw.max()
            peak_kw = peak_kw if pd.isna(highest_kw) else max(peak_kw, float(highest_kw))
            self._known[site.id, interval_minutes] = (month, until, peak_kw)
        return peak_kw


def _horizon(now: datetime, slot_minutes: int, length: timedelta) -> Horizon:
    slot = timedelta(minutes=slot_minutes)
    return Horizon(_floored(now, slot_minutes), slot_minutes, max(1, int(length / slot)), now)


def _floored(moment: datetime, minutes: int) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    step = timedelta(minutes=minutes)
    return midnight + step * int((moment - midnight) / step)


def _evse(station_id: str, evse: EvseDocument) -> Evse:
    return Evse(
        evse_id=evse_key(station_id, evse.id),
        circuit_id=evse.circuit or "connection",
        phases=evse.phases,
        max_current_a=None if evse.max_power_kw is not None else evse.max_current_a,
        max_power_kw=evse.max_power_kw,
        min_current_a=evse.min_current_a,
        current_step_a=evse.current_step_a,
    )


def _on_phases(evse: EvseDocument, current_a: float) -> PhaseCurrents:
    on_l1, on_l2, on_l3 = (current_a if phase in evse.phases else 0.0 for phase in PHASES)
    return on_l1, on_l2, on_l3


def _newest_of_each_evse(running: Sequence[Transaction]) -> list[Transaction]:
    """A transaction whose stop was lost is over as soon as its EVSE starts another."""
    newest: dict[tuple[str, int], Transaction] = {}
    for row in sorted(running, key=lambda row: (row.started_at, row.transaction_id)):
        newest[row.station_id, row.evse_id] = row
    return list(newest.values())


def _is_at(site: Site, row: Transaction) -> bool:
    station = site.station(row.station_id)
    return station is not None and any(evse.id == row.evse_id for evse in station.evses)


def _is_free(site: Site, wish: Wish, occupied: set[str]) -> bool:
    """Whether a wish names an EVSE of this site that no car stands at."""
    if wish.station_id is None or wish.evse_id is None:
        return False
    station = site.station(wish.station_id)
    known = station is not None and any(evse.id == wish.evse_id for evse in station.evses)
    return known and evse_key(wish.station_id, wish.evse_id) not in occupied


def _scaled(series: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return series if factor == 1.0 else tuple(value * factor for value in series)
