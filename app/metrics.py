"""What Prometheus may know: counts and times, no names of stations, drivers or sites (labels stay few).

Every label has a bounded set of values: kinds of events, states of deliveries, modes, routes, kinds of series.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from math import nan
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from app.actuators.actuator import Kind
from app.actuators.unit import State as ActuatorState
from app.actuators.unit import Unit
from app.clock import Clock
from app.csms.connector import CsmsConnector
from app.db.store import Store
from app.dispatch.switching import Switching
from app.events import Event, Events, SourcePolled, StationConnected
from app.guard import Guard
from app.modes import MODES, Mode, Modes
from app.sources.feed import Feed, State
from app.store_metrics import StoreMetrics

__all__ = ["CONTENT_TYPE", "Metrics"]


class Metrics:
    """One registry of its own: two services in one process (tests, the demo) do not meet."""

    def __init__(
        self,
        events: Events,
        connector: CsmsConnector,
        *,
        feeds: Callable[[], Iterable[Feed]] = tuple,
        modes: Modes | None = None,
        guard: Guard | None = None,
        switching: Switching | None = None,
        units: Callable[[], Iterable[Unit]] | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter(
            "smartcharge_events", "What happened, by kind (see app/events.py).", ["kind"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "smartcharge_http_request_seconds",
            "Time to answer an HTTP request.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        Gauge(
            "smartcharge_charging_stations_connected", "Charging stations with a connection.", registry=self.registry
        ).set_function(lambda: len(connector.connected()))
        Gauge("smartcharge_tasks", "Tasks of the event loop.", registry=self.registry).set_function(_tasks)
        Gauge(
            "smartcharge_python_blocks", "Blocks of memory that Python's objects occupy.", registry=self.registry
        ).set_function(sys.getallocatedblocks)
        ProcessCollector(registry=self.registry)
        self._store: StoreMetrics | None = None
        self._seen: set[str] = set()
        self._reconnects = Counter(
            "smartcharge_reconnects", "Connections of stations that had been connected before.", registry=self.registry
        )
        self._polls = Counter(
            "smartcharge_source_polls",
            "Polls of sources, by type and outcome: delivered, not_published or failed.",
            ["type", "outcome"],
            registry=self.registry,
        )
        states = Gauge("smartcharge_sources", "Sources of all sites, by state.", ["state"], registry=self.registry)
        for state in get_args(State):
            states.labels(state).set_function(partial(_in_state, feeds, state))
        if modes is not None:
            sites = Gauge("smartcharge_sites", "Sites by mode.", ["mode"], registry=self.registry)
            for mode in MODES:
                sites.labels(mode).set_function(partial(_count_of, modes, mode))
        if switching is not None:
            for what in ("writes", "starts", "stops"):
                name, said = f"smartcharge_profile_{what}", f"Plans sent to EVSEs: {what} since this process began."
                Gauge(name, said, registry=self.registry).set_function(partial(switching.total, what))
        if guard is not None:
            self._tell_of(guard)
        if units is not None:
            self._tell_of_actuators(units)
        self.close = events.subscribe(self._count)

    def _tell_of(self, guard: Guard) -> None:
        """By state, not by site: labels stay few however many sites there are."""
        Gauge(
            "smartcharge_guard_tick_age_seconds",
            "Since the fuse guard last looked at every site; NaN before its first look.",
            registry=self.registry,
        ).set_function(lambda: nan if (age_s := guard.age_s()) is None else age_s)
        Gauge(
            "smartcharge_guard_lowered_kw", "What the fuse guard holds back below the plans.", registry=self.registry
        ).set_function(lambda: sum(look.lowered_kw for look in guard.looks()))
        sites = Gauge("smartcharge_guard_sites", "Sites by the guard's state.", ["state"], registry=self.registry)
        for state in ("watching", "limiting", "overloaded"):
            sites.labels(state).set_function(
                lambda state=state: sum(look.state == state for look in guard.looks())  # type: ignore[misc]  # mypy infers no type for a lambda's default
            )

    def _tell_of_actuators(self, units: Callable[[], Iterable[Unit]]) -> None:
        """By kind and state, not by site or device: labels stay few."""
        gauge = Gauge(
            "smartcharge_actuators",
            "Batteries and PV inverters with an actuator, by kind and state of the last command.",
            ["kind", "state"],
            registry=self.registry,
        )
        for kind in get_args(Kind):
            for state in get_args(ActuatorState):
                gauge.labels(kind, state).set_function(partial(_units_in, units, kind, state))

    def outcomes(self, states: Mapping[str, int]) -> None:
        """Count what became of profiles, by state, as `states` has it whenever somebody asks."""
        self.registry.register(_Outcomes(states))

    def watch(self, store: Store, clock: Clock) -> None:
        """Tell of the store as well."""
        self._store = StoreMetrics(self.registry, store, clock)

    async def text(self) -> bytes:
        """In Prometheus' text format."""
        if self._store is not None:
            await self._store.refresh()
        return generate_latest(self.registry)

    def _count(self, event: Event) -> None:
        if isinstance(event, SourcePolled):
            self._polls.labels(event.type, event.outcome).inc()
        self._events.labels(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()).inc()
        if isinstance(event, StationConnected):
            if event.station_id in self._seen:
                self._reconnects.inc()
            self._seen.add(event.station_id)


class _Outcomes(Collector):
    def __init__(self, states: Mapping[str, int]) -> None:
        self._states = states

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "smartcharge_profile_outcomes", "What became of charging profiles, by state.", labels=["state"]
        )
        for state, count in self._states.items():
            family.add_metric([state], count)
        yield family


def _tasks() -> float:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # asked outside the loop
        return 0


def _units_in(units: Callable[[], Iterable[Unit]], kind: str, state: str) -> int:
    return sum(unit.device.kind == kind and unit.state == state for unit in units())


def _in_state(feeds: Callable[[], Iterable[Feed]], state: State) -> int:
    return sum(feed.state() == state for feed in feeds())


def _count_of(modes: Modes, mode: Mode) -> float:
    return modes.counts()[mode]
