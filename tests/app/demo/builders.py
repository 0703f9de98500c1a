"""Stations, cars and outlets for the tests of the simulated site."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from app.clock import Clock, SteppedClock
from app.demo.car import Car, Vehicle
from app.demo.physics import Outlet
from app.demo.profiles_held import Capability
from app.demo.station import SimulatedStation, StationSpec
from app.site import EvseDocument
from tests.app.demo.small_csms import SmallCsms

MIDNIGHT = datetime(2025, 9, 29, 22, tzinfo=UTC)  # of Tuesday 2025-09-30 in Berlin


def a_vehicle(*, phases: int = 3, max_current_a: float = 16.0, **fields: Any) -> Vehicle:
    return Vehicle(**{"name": "test", "capacity_kwh": 60.0, **fields}, phases=phases, max_current_a=max_current_a)


def a_car(*, room_kwh: float = 30.0, **vehicle: Any) -> Car:
    return Car(a_vehicle(**vehicle), room_kwh)


def an_outlet(key: str = "cs01/1", **evse: Any) -> Outlet:
    return Outlet(key, EvseDocument(**{"id": int(key[-1]), "circuit": None, **evse}), 230.0)


def a_station(
    clock: Clock, *, station_id: str = "cs01", evses: int = 1, capability: Capability | None = None, **spec: Any
) -> SimulatedStation:
    return SimulatedStation(
        StationSpec(station_id, "password-of-a-test", capability=capability or Capability(), **spec),
        {number: an_outlet(f"{station_id}/{number}") for number in range(1, evses + 1)},
        clock,
    )


@asynccontextmanager
async def connected(station: SimulatedStation, csms: SmallCsms) -> AsyncIterator[SimulatedStation]:
    """The station on its socket, booted and quiet; it hangs up at the end."""
    task = asyncio.create_task(station.run(csms.url))
    try:
        await asyncio.wait_for(station.booted.wait(), 5)
        if isinstance(station_clock := csms.clock, SteppedClock):
            await station_clock.settle()
        yield station
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
