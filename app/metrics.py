"""What Prometheus may know: counts and times, no names of stations, drivers or sites (labels stay few)."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from math import nan
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.csms.connector import CsmsConnector
from app.dispatch.switching import Switching
from app.events import Event, Events, SourcePolled
from app.guard import Guard
from app.modes import MODES, Mode, Modes
from app.sources.feed import Feed, State

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

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _count(self, event: Event) -> None:
        if isinstance(event, SourcePolled):
            self._polls.labels(event.type, event.outcome).inc()
        self._events.labels(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()).inc()


def _in_state(feeds: Callable[[], Iterable[Feed]], state: State) -> int:
    return sum(feed.state() == state for feed in feeds())


def _count_of(modes: Modes, mode: Mode) -> float:
    return modes.counts()[mode]
