"""Twelve stations and one stepped clock: simulated hours in real seconds, the same every time."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from time import perf_counter

from app.clock import SteppedClock, sleep_until
from app.demo.physics import Outlet, outlets_of
from app.demo.scenario import Scenario, Visit, build_scenario
from app.demo.station import SimulatedStation
from tests.app.demo.small_csms import SmallCsms


async def test_twelve_stations_step_through_a_morning() -> None:
    began = perf_counter()

    first, heard = await _morning()
    again, heard_again = await _morning()

    assert perf_counter() - began < 45
    assert sum(first.values()) > 80
    assert first == again
    assert heard == heard_again


async def _morning() -> tuple[Mapping[str, float], list[tuple[str, int]]]:
    """From midnight to half past eight: kWh by EVSE, and how often each station was heard."""
    scenario = build_scenario()
    clock = SteppedClock(scenario.start)
    outlets = outlets_of(scenario.site)
    async with SmallCsms.open(clock) as csms, asyncio.TaskGroup() as tasks:
        stations = _stations(scenario, clock, outlets)
        running = [tasks.create_task(station.run(csms.url)) for station in stations.values()]
        running += [
            tasks.create_task(_come(clock, stations[visit.station_id], visit))
            for visit in {visit.station_id: visit for visit in reversed(scenario.visits)}.values()
        ]
        await clock.run_until(scenario.start + timedelta(hours=8, minutes=30))
        for station in stations.values():
            station.advance()
        for task in running:
            task.cancel()
    counts = {station_id: len(csms.actions(station_id)) for station_id in stations}
    return {key: outlet.energy_kwh for key, outlet in outlets.items()}, sorted(counts.items())


def _stations(scenario: Scenario, clock: SteppedClock, outlets: Mapping[str, Outlet]) -> dict[str, SimulatedStation]:
    return {
        spec.station_id: SimulatedStation(spec, {1: outlets[f"{spec.station_id}/1"]}, clock)
        for spec in scenario.stations
    }


async def _come(clock: SteppedClock, station: SimulatedStation, visit: Visit) -> None:
    await sleep_until(clock, visit.arrival)
    await station.plug_in(visit.evse_id, visit.car(), visit.id_tag)
