"""What Prometheus may know: counts and times, no names of stations, drivers or sites (labels stay few).

Every label has a bounded set of values: kinds of events, states of deliveries, routes, kinds of series.
"""

import asyncio
import re
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from app.clock import Clock
from app.csms.connector import CsmsConnector
from app.db.store import Store
from app.errors import AppError
from app.events import Event, Events, StationConnected

__all__ = ["CONTENT_TYPE", "Metrics"]

PATIENCE_S = 2.0  # for what the database is asked when the figures are fetched; the others do not wait longer


class Metrics:
    """One registry of its own: two services in one process (tests, the demo) do not meet."""

    def __init__(self, events: Events, connector: CsmsConnector) -> None:
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
        self._reconnects = Counter(
            "smartcharge_reconnects", "Connections of stations that had been connected before.", registry=self.registry
        )
        self.gauge(
            "charging_stations_connected", "Charging stations with a connection.", lambda: len(connector.connected())
        )
        self.gauge("tasks", "Tasks of the event loop.", _tasks)
        ProcessCollector(registry=self.registry)
        self._seen: set[str] = set()
        self._store: tuple[Store, Clock] | None = None
        self._oldest_plan = self._slow_gauge(
            "oldest_plan_age_seconds",
            "Of sites where somebody charges: the age of the oldest plan in force; 0: nobody does.",
        )
        self._running = self._slow_gauge("transactions_running", "Transactions that have not ended.")
        self._sites = Gauge("smartcharge_sites", "Sites, by mode.", ["mode"], registry=self.registry)
        self._series = Gauge(
            "smartcharge_series_age_seconds",
            "Since the newest forecast or price series of this kind was issued, whatever the site.",
            ["kind"],
            registry=self.registry,
        )
        self.close = events.subscribe(self._count)

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A figure that is read whenever somebody asks: `read` neither waits nor raises."""
        Gauge(f"smartcharge_{name}", meaning, registry=self.registry).set_function(read)

    def outcomes(self, states: Mapping[str, int]) -> None:
        """Count what became of profiles, by state, as `states` has it whenever somebody asks."""
        self.registry.register(_Outcomes(states))

    def watch(self, store: Store, clock: Clock) -> None:
        """The store's own figures, and those that only it knows."""
        self._store = (store, clock)
        self.gauge("store_up", "1: the last attempt to write succeeded.", lambda: float(store.cannot_write is None))
        self.gauge("store_write_lag_seconds", "How long meter values have waited.", lambda: store.write_lag_s)
        self.gauge("meter_values_waiting", "Meter values in memory alone.", lambda: store.waiting_meter_values)
        self.gauge("meter_values_dropped", "Meter values lost since the start.", lambda: store.dropped_meter_values)

    async def text(self) -> bytes:
        """In Prometheus' text format. What the database does not tell in time stays as it was."""
        if self._store is not None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._refresh(*self._store)
            except (AppError, TimeoutError):
                pass  # `smartcharge_store_up` says so
        return generate_latest(self.registry)

    async def _refresh(self, store: Store, clock: Clock) -> None:
        now = clock.now()
        modes = Tally(site.mode for site in await store.sites())
        for mode in ("optimised", "shadow", *modes):
            self._sites.labels(mode).set(modes[mode])
        running, oldest = await store.plans_in_use()
        self._running.set(running)
        self._oldest_plan.set(0 if oldest is None else (now - oldest).total_seconds())
        for kind, issued_at in (await store.newest_issues()).items():
            self._series.labels(kind).set((now - issued_at).total_seconds())

    def _slow_gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"smartcharge_{name}", meaning, registry=self.registry)

    def _count(self, event: Event) -> None:
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
