"""The site in operation: stations on their sockets, drivers who come and go, meters that report."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from app.clock import Clock, SteppedClock, sleep_until
from app.demo.physics import Outlet, outlets_of
from app.demo.scenario import HISTORY_DAYS, Scenario, Visit
from app.demo.service_client import ServiceClient
from app.demo.station import SimulatedStation

HISTORY_MINUTES = 15
PRICES_OF_TOMORROW = timedelta(hours=13)  # after local midnight: when the day-ahead auction is published
TRY_AGAIN = timedelta(seconds=1)  # by which time passes while a station waits to connect again


class SimulatedSite:
    """Everything of the site that is not the service. `run` works until it is cancelled."""

    def __init__(
        self,
        scenario: Scenario,
        clock: Clock,
        service: ServiceClient,
        ocpp_url: str,
        *,
        sample_interval_s: int = 60,
        keep_traces: bool = True,
    ) -> None:
        self.scenario = scenario
        self.outlets: Mapping[str, Outlet] = outlets_of(scenario.site, keep_traces=keep_traces)
        self.stations = {
            spec.station_id: SimulatedStation(
                replace(spec, sample_interval_s=sample_interval_s), self._outlets_at(spec.station_id), clock
            )
            for spec in scenario.stations
        }
        self.delivered_kwh: dict[str, float] = {}
        self._clock = clock
        self._service = service
        self._ocpp_url = ocpp_url

    async def set_up(self, now: datetime) -> None:
        """Tell the service of the site, its last weeks up to `now` and today's prices."""
        await self._service.create_site(self.scenario.site, self.scenario.stations)
        history_start = self.scenario.start - timedelta(days=HISTORY_DAYS)
        await self._report(history_start, now, HISTORY_MINUTES)
        await self._service.add_prices(self.scenario.prices[0])

    async def connect(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start every station; returns once all have booted.

        Stepped time stands still, but for a station that could not connect, or was not accepted: it waits by that clock
        before it tries again.
        """
        running = [tasks.create_task(station.run(self._ocpp_url)) for station in self.stations.values()]
        while isinstance(self._clock, SteppedClock):
            await self._clock.settle()
            if all(station.booted.is_set() for station in self.stations.values()):
                break
            await self._clock.run_until(self._clock.now() + TRY_AGAIN)
        for station in self.stations.values():
            await station.booted.wait()
        return running

    async def visit(self, visit: Visit) -> None:
        """One car's stay, from its arrival to its true departure."""
        await sleep_until(self._clock, visit.arrival)
        station, outlet = self.stations[visit.station_id], self.outlets[visit.outlet]
        before_kwh = outlet.energy_kwh
        await station.plug_in(visit.evse_id, visit.car(), visit.id_tag)
        await self._service.wish(visit)
        await sleep_until(self._clock, visit.departure)
        await station.unplug(visit.evse_id)
        self.delivered_kwh[visit.session_id] = outlet.energy_kwh - before_kwh

    async def report_meters(self, minutes: int) -> None:
        """Base load and PV, the mean of every interval when it is over."""
        step = timedelta(minutes=minutes)
        start = self.scenario.start
        while start + step <= self._clock.now():
            start += step
        while True:
            await sleep_until(self._clock, start + step)
            await self._report(start, start + step, minutes)
            start += step

    async def publish_prices_of_tomorrow(self) -> None:
        await sleep_until(self._clock, self.scenario.start + PRICES_OF_TOMORROW)
        await self._service.add_prices(self.scenario.prices[1])

    async def _report(self, start: datetime, end: datetime, minutes: int) -> None:
        means = self.scenario.world.means(start, end, minutes)
        await self._service.add_readings(
            [
                reading
                for at, base_load_kw, pv_kw in means
                for reading in (("building", at, base_load_kw), ("pv", at, pv_kw))
            ]
        )

    def _outlets_at(self, station_id: str) -> dict[int, Outlet]:
        station = self.scenario.site.station(station_id)
        return {evse.id: self.outlets[f"{station_id}/{evse.id}"] for evse in station.evses} if station else {}


SwitchFaults = Callable[[Mapping[str, SimulatedStation]], None]
