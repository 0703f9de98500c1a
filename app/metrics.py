"""What Prometheus may know: counts and times, no names of stations, drivers or sites (labels stay few)."""

import re
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.csms.connector import CsmsConnector
from app.events import Event, Events
from app.modes import MODES, Mode, Modes

__all__ = ["CONTENT_TYPE", "Metrics"]


class Metrics:
    """One registry of its own: two services in one process (tests, the demo) do not meet."""

    def __init__(self, events: Events, connector: CsmsConnector, modes: Modes | None = None) -> None:
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
        if modes is not None:
            sites = Gauge("smartcharge_sites", "Sites by mode.", ["mode"], registry=self.registry)
            for mode in MODES:
                sites.labels(mode).set_function(partial(_count_of, modes, mode))
        self.close = events.subscribe(self._count)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _count(self, event: Event) -> None:
        self._events.labels(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()).inc()


def _count_of(modes: Modes, mode: Mode) -> float:
    return modes.counts()[mode]
