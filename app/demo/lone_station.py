"""One simulated station against any CSMS, in real time: `smartcharge simulate station`."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

from app.clock import Clock, sleep_until
from app.demo.car import Car, Vehicle
from app.demo.faults import Fault
from app.demo.physics import Outlet
from app.demo.station import SimulatedStation, StationSpec
from app.site import EvseDocument

VOLTAGE_V = 230.0
FAREWELL_S = 5.0  # for the last transaction messages
ARRIVE_APART_S = 1.0
SLACK = 1.5  # of a battery's capacity over what the car takes

_CAR = re.compile(
    r"(?P<kwh>\d+(\.\d+)?) ?kWh( by (?P<hour>\d{1,2}):(?P<minute>\d{2}))?"
    r"( (?P<phases>[123])x(?P<current_a>\d+(\.\d+)?) ?A)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class CarWish:
    """A car that comes at once. `leaves_at` None: it stays."""

    energy_kwh: float
    leaves_at: datetime | None
    phases: int
    max_current_a: float

    def car(self) -> Car:
        name = f"{self.phases}×{self.max_current_a:g} A car"
        return Car(Vehicle(name, self.phases, self.max_current_a, self.energy_kwh * SLACK), self.energy_kwh)


def read_car(text: str, now: datetime, zone: tzinfo | None) -> CarWish:
    """``40kWh``, ``40kWh by 07:00``, ``40kWh by 07:00 1x32A``; a time is the next one on a clock in `zone`.

    Raises `ValueError`.
    """
    match = _CAR.fullmatch(text.strip())
    if match is None or float(match["kwh"]) <= 0:
        raise ValueError(f"{text!r} is no car: write for example '40kWh by 07:00 3x16A'")
    leaves_at = None
    if match["hour"] is not None:
        if int(match["hour"]) > 23 or int(match["minute"]) > 59:
            raise ValueError(f"{text!r} names a time of day that there is not")
        local = now.astimezone(zone)
        leaves_at = datetime.combine(local.date(), time(int(match["hour"]), int(match["minute"])), local.tzinfo)
        if leaves_at <= local:
            leaves_at += timedelta(days=1)
    return CarWish(float(match["kwh"]), leaves_at, int(match["phases"] or 3), float(match["current_a"] or 16))


def lone_station(
    spec: StationSpec,
    clock: Clock,
    *,
    evses: int,
    max_current_a: float,
    faults: Sequence[Fault],
    tell: Callable[[str], None],
) -> SimulatedStation:
    """A three-phase station that keeps no record of its past, so that it can run for ever."""
    outlets = {
        number: Outlet(
            f"{spec.station_id}/{number}",
            EvseDocument(id=number, max_current_a=max_current_a),
            VOLTAGE_V,
            keep_traces=False,
        )
        for number in range(1, evses + 1)
    }
    station = SimulatedStation(spec, outlets, clock, tell)
    station.faults.switch_on(*faults)
    return station


async def run_station(
    station: SimulatedStation, url: str, cars: Sequence[CarWish], clock: Clock, stop: asyncio.Event
) -> None:
    """Until `stop` is set: connect, plug the cars in at EVSE 1, 2, …, let them leave in time, and say goodbye."""
    running = asyncio.create_task(station.run(url))
    visits = [
        asyncio.create_task(_visit(station, evse_id, wish, clock))
        for evse_id, wish in zip(station.outlets, cars, strict=False)
    ]
    try:
        await _first_of(stop.wait(), running)
    finally:
        for task in visits:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                for evse_id, outlet in station.outlets.items():
                    if outlet.car is not None:
                        await station.unplug(evse_id)
        running.cancel()
        await asyncio.gather(running, *visits, return_exceptions=True)


async def _visit(station: SimulatedStation, evse_id: int, wish: CarWish, clock: Clock) -> None:
    await station.booted.wait()
    await clock.sleep(ARRIVE_APART_S * evse_id)
    await station.plug_in(evse_id, wish.car(), f"car-{evse_id}")
    if wish.leaves_at is None:
        return
    await station.tell_needs(evse_id, wish.energy_kwh, wish.leaves_at)
    await sleep_until(clock, wish.leaves_at)
    await station.unplug(evse_id)


async def _first_of(waiting: Awaitable[bool], running: asyncio.Task[None]) -> None:
    stopped = asyncio.ensure_future(waiting)
    tasks: set[asyncio.Future[bool] | asyncio.Future[None]] = {stopped, running}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if running.done() and not running.cancelled():
        running.result()  # a bug is not to be waited for
