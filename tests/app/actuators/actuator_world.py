"""A site with one battery on a real socket, the service's `Actuators`, a real store, and a clock that the test moves.

    async with a_world() as world:
        await world.plan(5.0, -5.0)
        await world.pass_time(minutes=15)
        assert world.device.power_kw == -5.0

The device's own clock moves with the test's: its revert timer is a real one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.actuators.actuators import Actuators
from app.actuators.fleet import Fleet
from app.actuators.post import Surroundings
from app.actuators.unit import Unit
from app.clock import SteppedClock
from app.db.operating_records import ActuatorCommand, GridLimit
from app.db.store import Store
from app.dispatch.restraint import Standing
from app.events import ActuatorChanged, Event, Events, SiteChanged
from app.guard import Look
from app.modes import ModeNow
from app.settings import Settings
from app.site import Site
from optimizer.domain import BatteryResult, Cost, Problem, Schedule
from tests.app.actuators.sunspec_device import Served, SunSpecDevice, a_battery, served
from tests.optimizer.builders import a_battery as battery_in_problem
from tests.optimizer.builders import a_problem
from tests.stores import a_store

Json = dict[str, Any]

START = datetime(2026, 6, 2, 12, tzinfo=UTC)
STEP_S = 1.0


def battery_document(port: int, **changes: Any) -> Json:
    target = {"kind": "modbus", "host": "127.0.0.1", "port": port, "timeout_s": 1.0}
    usual: Json = {
        "id": "store",
        "capacity_kwh": 20,
        "max_charge_kw": 10,
        "max_discharge_kw": 10,
        "actuator": {"target": target, "valid_s": 120} | changes.pop("actuator", {}),
    }
    return usual | changes


def site_document(*batteries: Json, **changes: Any) -> Json:
    usual: Json = {
        "id": "depot",
        "name": "Depot",
        "time_zone": "UTC",
        "connection": {"max_import_kw": 30},
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        "batteries": list(batteries),
    }
    return usual | changes


def a_schedule(problem: Problem, batteries: Mapping[str, Sequence[float]], curtail_kw: Sequence[float]) -> Schedule:
    nothing = (0.0,) * problem.horizon.slots
    return Schedule(
        status="optimal",
        power_kw={evse.evse_id: nothing for evse in problem.evses},
        current_a={evse.evse_id: nothing for evse in problem.evses},
        sessions={},
        batteries={name: BatteryResult(tuple(kw), tuple(kw)) for name, kw in batteries.items()},
        import_kw=nothing,
        export_kw=nothing,
        curtail_kw=tuple(curtail_kw),
        peak_kw={},
        cost=Cost(),
    )


@dataclass
class World:
    store: Store
    clock: SteppedClock
    line: Served
    site: Site
    settings: Settings
    events: Events = field(default_factory=Events)
    mode: ModeNow | None = None
    look: Look | None = None
    standings: list[Standing] = field(default_factory=list)
    limits: list[GridLimit] = field(default_factory=list)
    replans: list[str] = field(default_factory=list)
    heard: list[Event] = field(default_factory=list)
    plans: int = 0
    actuators: Actuators = field(init=False)
    running: asyncio.Task[None] | None = None

    @property
    def device(self) -> SunSpecDevice:
        return self.line.device

    @property
    def unit(self) -> Unit:
        [unit] = self.actuators.units("depot")
        return unit

    async def start(self) -> None:
        """A service begins."""
        around = Surroundings(
            mode=lambda _: self.mode,
            look=lambda _: self.look,
            standings=lambda *_: self.standings,
            limits=lambda *_: self.limits,
            replan=self.replans.append,
        )
        self.actuators = Actuators(self.store, self.clock, self.events, self.settings, around)
        self.running = asyncio.create_task(self.actuators.run())
        await self.pass_time(seconds=1)

    async def end(self) -> None:
        """It ends in good order."""
        if self.running is not None:
            self.running.cancel()
            with suppress(asyncio.CancelledError):
                await self.running
            self.running = None

    async def die(self) -> None:
        """It is killed: nothing more is sent."""
        self.actuators._posts.clear()
        await self.end()

    async def save(self, site: Site) -> None:
        self.site = site
        await self.store.save_site(site)
        self.events.publish(SiteChanged(site.id, self.clock.now()))
        await self.pass_time(seconds=1)

    def problem(self, slots: int, **more: Any) -> Problem:
        now = self.clock.now()
        start = now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)
        has: Json = {"prices": [0.3] * slots, "slot_minutes": 15, "start": start, "now": now}
        return a_problem(**has | {"batteries": [battery_in_problem("store", max_charge_kw=10)]} | more)

    async def plan(
        self, *power_kw: float, curtail_kw: Sequence[float] | None = None, has_battery: bool = True, **more: Any
    ) -> bool:
        """Whether a plan was sent: one value for each quarter of an hour, from the one that is running."""
        self.plans += 1
        problem = self.problem(len(power_kw), **more)
        batteries = {"store": power_kw} if has_battery else {}
        schedule = a_schedule(problem, batteries, curtail_kw or [0.0] * len(power_kw))
        sent = await self.actuators.make_room(self.site, f"plan-{self.plans}", problem, schedule)
        if sent:
            self.actuators.follow(self.site, f"plan-{self.plans}", problem, schedule)
        await self.pass_time(seconds=1)
        return sent

    async def pass_time(self, *, seconds: float = 0, minutes: float = 0) -> None:
        """Second by second, or in steps of five, for the service and for the device."""
        left = seconds + 60 * minutes
        step_s = STEP_S if minutes < 5 else 5 * STEP_S
        while left > 0:
            await self.clock.run_until(self.clock.now() + timedelta(seconds=step_s))
            self.device.pass_time(step_s)
            left -= step_s
        await self.clock.settle()

    async def fleet(self, *, hours: float = 6) -> Fleet:
        return await self.actuators.fleet(self.site, self.clock.now() + timedelta(hours=hours))

    async def commands(self) -> list[ActuatorCommand]:
        """Oldest first."""
        return list(reversed(await self.store.actuator_commands("depot")))

    def states(self) -> list[str]:
        return [event.state for event in self.heard if isinstance(event, ActuatorChanged)]


@asynccontextmanager
async def a_world(
    device: SunSpecDevice | None = None, *, directory: Path | None = None, site: Json | None = None, **battery: Any
) -> AsyncIterator[World]:
    clock = SteppedClock(START)
    async with a_store(clock, directory=directory) as store, served(device or a_battery()) as line:
        document = site_document(battery_document(line.port, **battery), **(site or {}))
        settings = Settings(actuator_hosts=("127.0.0.1",))
        world = World(store, clock, line, Site.model_validate(document), settings)
        world.events.subscribe(world.heard.append)
        await store.save_site(world.site)
        await world.start()
        try:
            yield world
        finally:
            await world.end()
