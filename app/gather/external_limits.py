"""Limits that somebody else has set at stations (a grid operator, an energy manager): no plan counts on more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite

from app.csms.v2_limits import limit_steps
from app.db.records import ChargingLimit
from app.site import Site, evse_key, split_evse_key
from optimizer.domain import Evse, SharedPower

WHOLE_STATION = 0


@dataclass(frozen=True, slots=True)
class ExternalLimits:
    """A per phase that is left now: by EVSE key, and by station for all of its EVSEs together."""

    by_evse_a: Mapping[str, float]
    by_station_a: Mapping[str, float]

    def within(self, evse: Evse, voltage_v: float) -> Evse:
        """The EVSE as the plan may count on it; the station keeps the limit itself, whatever it is sent."""
        station_id, _ = split_evse_key(evse.evse_id)
        left_a, shared_a = self.by_evse_a.get(evse.evse_id), self.by_station_a.get(station_id)
        if left_a is not None and evse.max_current_a is not None:
            evse = replace(evse, max_current_a=min(evse.max_current_a, left_a))
        if left_a is not None and evse.max_power_kw is not None:
            left_kw = left_a * len(evse.phases) * voltage_v / 1000
            evse = replace(evse, max_power_kw=min(evse.max_power_kw, left_kw))
        return evse if shared_a is None else replace(evse, shared_power=SharedPower(station_id, shared_a))


def external_limits(site: Site, limits: Sequence[ChargingLimit], now: datetime, until: datetime) -> ExternalLimits:
    """The least that is left over [now, until), the slot that is running; a limit that changes makes a new plan.

    It stands for the whole horizon: what a grid operator lifts at six may as well be prolonged.
    """
    by_evse_a, by_station_a = {}, {}
    voltage_v = site.connection.voltage_v
    for station in site.charging_stations:
        told = [limit for limit in limits if limit.station_id == station.id]
        if not told:
            continue
        end = max(until, now + timedelta(seconds=1))
        shared_a = min(limit_steps(told, WHOLE_STATION, now, end, voltage_v=voltage_v).values)
        if isfinite(shared_a):
            by_station_a[station.id] = max(0.0, shared_a)
        for evse in station.evses:
            left_a = min(limit_steps(told, evse.id, now, end, voltage_v=voltage_v, phases=len(evse.phases)).values)
            if isfinite(left_a):
                by_evse_a[evse_key(station.id, evse.id)] = max(0.0, left_a)
    return ExternalLimits(by_evse_a, by_station_a)
