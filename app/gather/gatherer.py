"""Store and forecasts become a Problem: the only place where pandas meets the optimizer."""

from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np

from app.actuators.fleet import Fleet, KnowsFleet, NobodyCommands
from app.cdr import total_power_w
from app.clock import Clock
from app.csms.connector import Passport
from app.db.records import EvseStatus, Json, Transaction, Wish
from app.db.store import Store
from app.gather.away import as_metered
from app.gather.beliefs import Beliefs, scenarios
from app.gather.by_hand import ByHand
from app.gather.carbon import CarbonSource
from app.gather.charged import POWER, REGISTER, from_power
from app.gather.demand import DemandCharges, floored
from app.gather.evses import evse_of, on_phases, while_paused_a
from app.gather.external_limits import external_limits
from app.gather.grid_cap import limits_provenance, under_grid_limits
from app.gather.history import History
from app.gather.in_force import planned_kw
from app.gather.live import Live, LiveOf, Unmetered, at_least_as_measured, without_batteries
from app.gather.load_fits import LoadFits
from app.gather.month_peak import MonthPeaks
from app.gather.phases import PhasesBefore
from app.gather.sessions import Seen, declines_energy, expected_sessions, phases_in_use, running_session, wish_of
from app.gather.signals import Signals, SignalSource
from app.site import Site, evse_key
from app.tracing import traced
from optimizer.domain import (
    Battery,
    Circuit,
    Connection,
    Horizon,
    Problem,
    Reservation,
    Scenario,
    Session,
)

RECENT = timedelta(hours=48)
MAX_TRANSACTIONS = 10_000
RESOLUTION = timedelta(microseconds=1)  # of times: what was measured at a moment is known at that moment


class KnowsLimits(Protocol):
    """What a station may be executing, and which EVSEs no plan should count on: the dispatcher knows."""

    def worst_case_a(self, site: Site, station_id: str, evse_id: int, start: datetime, end: datetime) -> float: ...

    def uncontrollable(self) -> Mapping[str, str]: ...

    def passport(self, station_id: str) -> Passport: ...


class FallbackOnly:
    """For what-if: an EVSE that is not planned draws its fallback at the most, and takes every limit."""

    def passport(self, *_: object) -> Passport:
        return Passport()

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
    warnings: tuple[str, ...] = ()


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
    are not planned: what they may be executing is reserved. `fleet` knows which batteries and inverters obey.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: KnowsLimits,
        *,
        connected: Callable[[], Container[str]],
        horizon: timedelta,
        fits: LoadFits | None = None,
        live: LiveOf = lambda _: Unmetered(),
        fleet: KnowsFleet | None = None,
    ) -> None:
        self._fleet = fleet or NobodyCommands()
        self._store = store
        self._clock = clock
        self._limits = limits
        self._connected = connected
        self._horizon = horizon
        self._live = live
        history = History(store)
        self._signals = SignalSource(store, history, fits)
        self._demand_charges = DemandCharges(history)
        self._carbon = CarbonSource(store)
        self._beliefs = Beliefs(store)
        self._phases_before = PhasesBefore(store)
        self._month_peaks = MonthPeaks(store, history)
        self._phases: dict[str, dict[int, int]] = {}  # by site and transaction, as last seen

    @traced("gather")
    async def gather(self, site: Site, what_if: WhatIf | None = None) -> Gathered:
        """Raises `ForecastError` where prices or base load are not known in any way."""
        return await self._gather(site, what_if, self._signals.of)

    async def gather_by_rules(self, site: Site) -> Gathered:
        """For a plan that needs no price, and makes do with the most that the building can draw.

        Raises `ForecastError` where not even that is known.
        """
        return await self._gather(site, None, self._signals.by_rules)

    async def _gather(
        self,
        site: Site,
        what_if: WhatIf | None,
        signals_of: Callable[[Site, Horizon, datetime], Awaitable[Signals]],
    ) -> Gathered:
        is_what_if, what_if = what_if is not None, what_if or WhatIf()
        now = self._clock.now()
        slots = max(1, int(self._horizon / timedelta(minutes=site.slot_minutes)))
        horizon = Horizon(floored(now, site.slot_minutes, site.zone), site.slot_minutes, slots, now)
        signals = await signals_of(site, horizon, now)
        fleet = Fleet(pv_curtailable=site.pv_curtailable) if is_what_if else await self._fleet.fleet(site, horizon.end)
        latest = await self._store.latest_readings(site.id) if site.meters and not is_what_if else {}
        signals = as_metered(signals, site, latest, now, is_curtailed=fleet.is_curtailed)
        emissions = await self._carbon.of(site, horizon, now)
        running, sessions = await self._sessions(site, now, horizon.end)
        if what_if.sessions is not None:
            sessions = list(what_if.sessions)
        planned = {session.evse_id for session in sessions}
        # A what-if asks what would be best, not what is nearest to today's plan.
        in_force = planned_kw(None if is_what_if else await self._store.latest_plan(site.id), horizon, sessions)
        told = await self._store.charging_limits(site_id=site.id)
        live: Live = Unmetered() if is_what_if else self._live(site)
        building_kw = without_batteries(site, live.building_kw, latest, now, otherwise_kw=fleet.drawn_kw)
        kept = (*live.reservations(), *fleet.reservations)
        external = external_limits(site, told, now, horizon.start + timedelta(minutes=site.slot_minutes))
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
            evses=tuple(
                external.within(
                    evse_of(station.id, evse, in_force, self._limits.passport(station.id)), site.connection.voltage_v
                )
                for station in site.charging_stations
                for evse in station.evses
            ),
            sessions=tuple(sessions),
            base_load_kw=_scaled(signals.base_load_kw, what_if.base_load_factor),
            base_load_high_kw=at_least_as_measured(
                _scaled(signals.base_load_high_kw, what_if.base_load_factor), building_kw, horizon
            ),
            base_load_low_kw=_scaled(signals.base_load_low_kw, what_if.base_load_factor),
            pv_kw=_scaled(signals.pv_kw, what_if.pv_factor),
            pv_low_kw=_scaled(signals.pv_low_kw, what_if.pv_factor),
            pv_high_kw=_scaled(signals.pv_high_kw, what_if.pv_factor),
            pv_curtailable=fleet.pv_curtailable,
            import_price_per_kwh=signals.priced.import_price_per_kwh,
            export_price_per_kwh=signals.priced.export_price_per_kwh,
            carbon_kg_per_kwh=emissions.kg_per_kwh,
            carbon_price_per_kg=site.carbon_price_per_kg,
            batteries=(*what_if.batteries, *fleet.batteries),
            demand_charges=await self._month_peaks.onto(
                await self._demand_charges.of(site, signals, horizon), site, now
            ),
            reservations=(*self._reservations(site, planned, now, horizon.end), *kept),
            currency=site.currency,
            time_zone=site.time_zone,
            unmet_price_per_kwh=(
                site.session_defaults.unmet_price_per_kwh if any(session.scenarios for session in sessions) else None
            ),
        )
        known = await self._store.grid_limits(site.id, after=now)
        grid_limits = [limit for limit in known if limit.holds_within(now, horizon.end)]
        problem = under_grid_limits(problem, grid_limits, self._idle(site, planned))
        overrides = [] if is_what_if else await self._store.overrides(site.id, active_at=now)
        problem, set_by_hand = ByHand(overrides).applied(problem, now)
        transactions = {key: row for row in running if (key := evse_key(row.station_id, row.evse_id)) in planned}
        own = {evse.evse_id for evse in problem.evses}
        lost = {key: reason for key, reason in self._limits.uncontrollable().items() if key in own}
        lost_ones = {"uncontrollable": lost} if lost else {}
        provenance = signals.provenance | emissions.provenance | lost_ones | set_by_hand | fleet.provenance
        if grid_limits:
            provenance |= {"grid_limits": limits_provenance(grid_limits)}
        return Gathered(problem, provenance, transactions, (*_warnings(site, problem), *fleet.warnings))

    async def _sessions(self, site: Site, now: datetime, end: datetime) -> tuple[list[Transaction], list[Session]]:
        recent = await self._store.transactions(site_id=site.id, start=now - RECENT, limit=MAX_TRANSACTIONS)
        statuses = {(status.station_id, status.evse_id): status for status in await self._store.evse_statuses(site.id)}
        running = await self._running(site, statuses)
        lost = self._limits.uncontrollable()
        connected = self._connected()

        def can_be_told(station_id: str, evse_id: int) -> bool:
            return station_id in connected and evse_key(station_id, evse_id) not in lost

        reachable = [row for row in running if can_be_told(row.station_id, row.evse_id)]
        wishes = await self._store.wishes(site.id, active_at=now - RECENT)
        meant = {row.transaction_id: wish_of(row, wishes, recent) for row in reachable}
        seen = await self._seen(site, reachable, meant, statuses, now)
        believed = await self._believed(site, reachable, meant, seen, now)
        sessions = [
            running_session(
                site,
                row,
                meant[row.transaction_id],
                seen[row.transaction_id],
                now,
                believed.get(row.transaction_id, ()),
            )
            for row in reachable
        ]
        there = {evse_key(row.station_id, row.evse_id) for row in running}
        announced = [
            wish
            for wish in wishes
            if wish.station_id is not None and wish.evse_id is not None
            if _is_free(site, wish, there) and can_be_told(wish.station_id, wish.evse_id)
        ]
        return reachable, sessions + expected_sessions(announced, recent, now, end)

    async def _believed(
        self,
        site: Site,
        running: Sequence[Transaction],
        meant: Mapping[int, Wish | None],
        seen: Mapping[int, Seen],
        now: datetime,
    ) -> dict[int, tuple[Scenario, ...]]:
        """How each stay may go on, by transaction; nothing where what drivers state binds."""
        if site.session_defaults.wishes_bind or not running:
            return {}
        model = await self._beliefs.model(site, now)
        return {
            row.transaction_id: scenarios(model, row, meant[row.transaction_id], seen[row.transaction_id], now)
            for row in running
        }

    async def _running(self, site: Site, statuses: Mapping[tuple[str, int], EvseStatus]) -> list[Transaction]:
        """The transaction of each EVSE at which a car stands.

        One whose EVSE has since said that it is free is over, though its stop was lost or is still on its way.
        """
        rows = await self._store.transactions(site_id=site.id, running=True, limit=MAX_TRANSACTIONS)
        rows = _newest_of_each_evse([row for row in rows if _is_at(site, row)])
        registers = await self._store.latest_energy_wh([row.transaction_id for row in rows])
        return [
            row
            for row in rows
            if not _has_left(row, statuses.get((row.station_id, row.evse_id)), registers.get(row.transaction_id))
        ]

    async def _seen(
        self,
        site: Site,
        running: Sequence[Transaction],
        meant: Mapping[int, Wish | None],
        statuses: Mapping[tuple[str, int], EvseStatus],
        now: datetime,
    ) -> dict[int, Seen]:
        registers = await self._store.latest_energy_wh([row.transaction_id for row in running])
        latest = await self._store.latest_meter_values(site.id)
        phases, seen = self._phases.get(site.id, {}), {}
        for row in running:
            number, wish = row.transaction_id, meant[row.transaction_id]
            current_a = {
                value.phase: value.value
                for value in latest.get((row.station_id, row.evse_id), [])
                if value.measurand == "Current.Import" and value.phase and value.transaction_id == number
            }
            # A car that pauses is the car that it was.
            seen_phases = phases_in_use(current_a) or phases.get(number) or await self._phases_before.of(number)
            said_during = wish is not None and wish.arrival is None and wish.created_at > row.started_at
            seen[number] = Seen(
                delivered_kwh=(
                    max(0.0, registers[number][1] - row.meter_start_wh) / 1000
                    if number in registers
                    else await self._delivered_kwh(row, now)
                ),
                phases=seen_phases,
                before_wish_kwh=await self._delivered_kwh(row, wish.created_at) if wish and said_during else 0.0,
                takes_none=declines_energy(statuses.get((row.station_id, row.evse_id)), row, now),
            )
        self._phases[site.id] = {number: known.phases for number, known in seen.items() if known.phases is not None}
        return seen

    async def _delivered_kwh(self, transaction: Transaction, until: datetime) -> float:
        """By the last register at `until`; by integrating the power of a station that sends no register."""
        values = await self._store.meter_values(
            transaction_id=transaction.transaction_id, end=until + RESOLUTION, measurands=(POWER, REGISTER)
        )
        registers = [value.value for value in values if value.measurand == REGISTER and value.phase == ""]
        if registers:
            return max(0.0, registers[-1] - transaction.meter_start_wh) / 1000
        power_w = total_power_w(values)
        edges_s = np.array([transaction.started_at.timestamp(), until.timestamp()])
        return float(from_power(power_w).between(edges_s)[0]) if power_w else 0.0

    def _idle(self, site: Site, planned: set[str]) -> set[str]:
        """EVSEs without a car at stations that do what they are told."""
        connected, lost = self._connected(), self._limits.uncontrollable()
        keys = {evse_key(station.id, evse.id) for station in site.charging_stations if station.id in connected
                for evse in station.evses}  # fmt: skip
        return keys - planned - set(lost)

    def _reservations(self, site: Site, planned: set[str], now: datetime, end: datetime) -> list[Reservation]:
        """Current that EVSEs outside this plan may draw: offline, unverified, or idle with a fallback.

        And what an EVSE of the plan draws where it is to pause, if its station cannot be told to.
        """
        # A site in shadow mode is never sent its fallbacks; it shows what would be if it were.
        limits = self._limits if site.mode == "optimised" else FallbackOnly()
        connected = self._connected()
        reservations = []
        for station in site.charging_stations:
            if station.isolated and station.id not in connected:
                continue
            for evse in station.evses:
                if evse_key(station.id, evse.id) in planned:
                    if (pause_a := while_paused_a(evse, limits.passport(station.id))) > 0:
                        reservations.append(
                            Reservation(on_phases(evse, pause_a), evse_id=evse_key(station.id, evse.id))
                        )
                    continue
                worst_a = limits.worst_case_a(site, station.id, evse.id, now, end)
                if worst_a > 0:
                    reservations.append(Reservation(on_phases(evse, worst_a), evse_id=evse_key(station.id, evse.id)))
        return reservations


def _warnings(site: Site, problem: Problem) -> tuple[str, ...]:
    """What the person who reads the plan should know of what it was made from."""
    counted = [
        f"{reservation.evse_id or reservation.circuit_id} {max(reservation.current_a):g} A"
        for reservation in problem.reservations
        if max(reservation.current_a) > site.fallback_current_a
    ]
    unknown = [session.evse_id for session in problem.sessions if session.vehicle_phases is None]
    warnings = []
    if counted:
        warnings.append(f"not under control, so counted at what they may draw: {', '.join(counted)}")
    if unknown:
        warnings.append(
            f"phases of the vehicle unknown, so its energy counts one and the fuses all: {', '.join(sorted(unknown))}"
        )
    if site.mode == "shadow":
        warnings.append("the site is in shadow mode: nothing is sent")
    return tuple(warnings)


def _newest_of_each_evse(running: Sequence[Transaction]) -> list[Transaction]:
    """A transaction whose stop was lost is over as soon as its EVSE starts another."""
    newest: dict[tuple[str, int], Transaction] = {}
    for row in sorted(running, key=lambda row: (row.started_at, row.transaction_id)):
        newest[row.station_id, row.evse_id] = row
    return list(newest.values())


def _has_left(row: Transaction, status: EvseStatus | None, register: tuple[datetime, float] | None) -> bool:
    """Its EVSE said that it is free, after the start and after the last that was measured."""
    if status is None or status.status != "Available" or status.at <= row.started_at:
        return False
    return register is None or register[0] <= status.at


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
