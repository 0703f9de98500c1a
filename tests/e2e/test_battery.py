"""A battery in the running service: charged while power is cheap, giving when it is dear, and safe when its line dies.

Real sockets, OCPP and Modbus, and a stepped clock. The battery is a SunSpec device with a revert timer of its own; it
hangs under the same fuse as the cars.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.app.actuators.sunspec_device import Served, a_battery, served
from tests.e2e.builders import Json
from tests.e2e.stepped import Model, SteppedDepot, a_stepped_depot

pytest.importorskip("pymodbus", reason="the extra modbus is not installed")

FUSE_A = 40.0  # two cars of 16 A, and 8 A for the battery
CAPACITY_KWH, MOST_KW = 20.0, 10.0
VALID_S = 60.0
A_PER_KW = 1000 / 230 / 3
STEP_S = 10.0
STATIONS = {"cs01": Model("1.6"), "cs02": Model("2.0.1")}
DEAR_FROM_LOCAL = "10:15"  # the depot's clock begins at 10:03
TARIFF: Json = {
    "kind": "time_of_use",
    "periods": [
        {
            "steps": [
                {"start": "00:00", "price_per_kwh": 0.10},
                {"start": DEAR_FROM_LOCAL, "price_per_kwh": 0.60},
                {"start": "11:15", "price_per_kwh": 0.20},
            ]
        }
    ],
}


@dataclass
class Installation:
    """The depot, and its battery: what it really does, and what goes through the fuse above both."""

    depot: SteppedDepot
    line: Served
    soc: float = 0.5
    seen: list[tuple[datetime, float, float]] = field(default_factory=list)  # moment, battery kW, A of the garage

    @property
    def power_kw(self) -> float:
        """Left alone it is idle, as its document says."""
        return self.line.device.power_kw or 0.0

    async def pass_time(self, minutes: float) -> None:
        for _ in range(round(minutes * 60 / STEP_S)):
            await self.depot.pass_time(seconds=STEP_S)
            self.line.device.pass_time(STEP_S)
            self.soc += self.power_kw * STEP_S / 3600 / CAPACITY_KWH
            self.line.device.set_point(124, 6, round(self.soc * 1000))
            fuse_a = self.depot.charging_a() + max(self.power_kw, 0.0) * A_PER_KW
            self.seen.append((self.depot.clock.now(), self.power_kw, fuse_a))

    async def actuator(self) -> Any:
        [found] = await self.depot.get(f"/v1/sites/{self.depot.site.id}/actuators")
        return found

    @property
    def most_a(self) -> float:
        """The highest current through the garage's fuse that was seen."""
        return max(current_a for _, _, current_a in self.seen)


@asynccontextmanager
async def an_installation(directory: Path) -> AsyncIterator[Installation]:
    async with served(a_battery(most_w=int(MOST_KW * 1000))) as line:
        battery = {
            "id": "store",
            "circuit": "garage",
            "capacity_kwh": CAPACITY_KWH,
            "max_charge_kw": MOST_KW,
            "max_discharge_kw": MOST_KW,
            "min_soc": 0.1,
            "actuator": {
                "target": {"kind": "modbus", "host": "127.0.0.1", "port": line.port, "timeout_s": 1.0},
                "valid_s": VALID_S,
            },
        }
        has = {"batteries": [battery], "tariff": TARIFF}
        async with a_stepped_depot(
            directory, STATIONS, fuse_a=FUSE_A, changed={"actuator_hosts": ("127.0.0.1",)}, **has
        ) as depot:
            yield Installation(depot, line)


async def test_it_charges_while_power_is_cheap_and_gives_when_it_is_dear_and_the_fuse_is_kept(tmp_path: Path) -> None:
    async with an_installation(tmp_path) as site:
        await site.pass_time(minutes=2)  # nobody is there: the battery alone has the site planned
        alone_kw = site.power_kw
        for station_id in STATIONS:
            await site.depot.arrive(station_id, wants_kwh=20, hours=3)
        await site.pass_time(minutes=9)
        cars_a = site.depot.charging_a()
        await site.pass_time(minutes=3)
        dear_kw, actuator = site.power_kw, await site.actuator()
        plan = await site.depot.get("/v1/sites/depot/schedules/latest")
        commands = await site.depot.get("/v1/sites/depot/actuators/commands")

    assert alone_kw == pytest.approx(MOST_KW, abs=0.1)
    assert cars_a > 10
    assert dear_kw < -1.0
    assert FUSE_A - 1 < site.most_a <= FUSE_A + 0.1  # it is used, and it is kept
    assert (actuator["state"], actuator["planned"]) == ("verified", True)
    assert actuator["read_back"]["setpoint_kw"] == pytest.approx(dear_kw, abs=0.01)
    assert actuator["last_command"]["plan_id"] == plan["id"]
    assert not [violation for violation in plan["schedule"]["violations"] if not violation["unavoidable"]]
    assert {row["state"] for row in commands["battery/store"]} == {"verified"}


async def test_a_battery_whose_line_dies_is_idle_by_its_own_timer_and_the_fuse_is_kept(tmp_path: Path) -> None:
    async with an_installation(tmp_path) as site:
        for station_id in STATIONS:
            await site.depot.arrive(station_id, wants_kwh=20, hours=3)
        await site.pass_time(minutes=2)
        charging_kw = site.power_kw
        await site.line.cut()
        await site.pass_time(minutes=3)
        idle_kw, actuator = site.line.device.power_kw, await site.actuator()
        plan = await site.depot.get("/v1/sites/depot/schedules/latest")
        await site.line.mend()
        await site.pass_time(minutes=2)
        again, again_kw = await site.actuator(), site.power_kw

    assert charging_kw > 1.0
    assert idle_kw is None
    assert (actuator["state"], actuator["planned"], actuator["reached"]) == ("unknown", False, False)
    assert actuator["reserved_charge_kw"] == 0.0
    assert any(
        "battery store is not planned: it was not reached" in warning for warning in plan["schedule"]["warnings"]
    )
    assert (again["state"], again["planned"]) == ("verified", True)
    assert again_kw > 1.0
    assert site.line.device.power_kw == 0.0  # the service has ended
    assert FUSE_A - 1 < site.most_a <= FUSE_A + 0.1
