"""Commands the batteries and inverters of every site: each slot, with each plan, and before what it sent has ended.

What is sent ends by itself, so that a device falls back without us. Beside that, it is told its safe value when the
plan is too old, when the site is in failsafe, and when this service ends. A site in shadow mode is sent nothing.
"""

import asyncio
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import httpx
import structlog

from app.actuators.access import Access, SocReader
from app.actuators.actuator import Actuator, ActuatorError, Command, Shown
from app.actuators.devices import Device, devices_of
from app.actuators.fleet import Fleet, fleet_of
from app.actuators.holding import restored
from app.actuators.post import AHEAD, Post, Surroundings
from app.actuators.setpoints import SetPoints, set_points
from app.actuators.unit import SILENT_FROM, Unit, Wish
from app.clock import Clock
from app.db.store import Store
from app.errors import AppError
from app.events import (
    ActuatorChanged,
    ClockJumped,
    Event,
    Events,
    GridLimitChanged,
    GuardChanged,
    ModeChanged,
    SiteChanged,
)
from app.settings import Settings
from app.site import Site
from optimizer.domain import Problem, Schedule

log = structlog.get_logger()

PERIOD_S = 5.0
FRESH = timedelta(seconds=20)  # what was read so lately is not read again for a plan
LONGEST_SURVEY_S = 8.0
LONGEST_FAREWELL_S = 4.0
KEPT_FOR = timedelta(days=30)  # commands, in the store
LOOKS_AGAIN_S = 3600.0


class Actuators:
    """`run` works until it is cancelled. A device that fails never stops another."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        events: Events,
        settings: Settings,
        around: Surroundings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._settings = settings
        self._around = around
        self._owner = uuid.uuid4().hex
        self._posts: dict[str, Post] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._soc_readers: list[SocReader] = []
        self._changed = asyncio.Event()
        self._told: dict[tuple[str, str], tuple[str, bool]] = {}  # by device: its state, and whether plans may have it

    # --- for those who watch

    def units(self, site_id: str) -> list[Unit]:
        post = self._posts.get(site_id)
        return [] if post is None else list(post.units.values())

    def all_units(self) -> list[Unit]:
        return [unit for post in self._posts.values() for unit in post.units.values()]

    def wish(self, site_id: str, unit: Unit) -> Wish | None:
        """What the device is to do now, and why; None: it is told nothing."""
        post = self._posts.get(site_id)
        return None if post is None else post.wish(unit, self._clock.now())

    def sites(self) -> set[str]:
        """Those with something to command: they are planned even where no car stands."""
        return {site_id for site_id, post in self._posts.items() if post.units}

    def charging_kw(self, site: Site) -> dict[str | None, float]:
        """The most that batteries may be charging with now, by the circuit they hang on; None is the connection."""
        now = self._clock.now()
        charging: dict[str | None, float] = {}
        for unit in self.units(site.id):
            if unit.device.kind == "battery":
                kw = unit.holding.most_charge_kw(unit.device, now, now + AHEAD)
                charging[unit.device.circuit_id] = charging.get(unit.device.circuit_id, 0.0) + kw
        return charging

    # --- for plans

    async def fleet(self, site: Site, end: datetime) -> Fleet:
        """What a plan of the site may count on until `end`, as its devices say now."""
        now, post = self._clock.now(), self._posts.get(site.id)
        if post is not None and post.site.mode != site.mode:  # another service was told, and this one heard nothing
            self._changed.set()
        old = [  # who is not reached is tried all the time: no plan waits for it
            unit
            for unit in self.units(site.id)
            if unit.failing_since is None and (unit.read_at is None or now - unit.read_at > FRESH)
        ]
        if old:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_SURVEY_S):
                    await asyncio.gather(*(unit.read() for unit in old))
        return fleet_of(site, {unit.device.device_id: unit for unit in self.units(site.id)}, self._clock.now(), end)

    async def make_room(self, site: Site, plan_id: str, problem: Problem, schedule: Schedule) -> bool:
        """Have batteries charge no more than the coming plan says; whether every one of them certainly does.

        Before any EVSE gets more: of a battery that does not answer nobody knows what it draws.
        """
        post, now = self._posts.get(site.id), self._clock.now()
        if post is None or site.mode != "optimised":
            return True
        post.coming = plan = self._as_planned(site, plan_id, problem, schedule)
        lowering = []
        for unit in post.units.values():
            if unit.device.kind != "battery" or not plan.plans(unit.device.device_id, now):
                continue
            wish = post.wish_under(plan, unit, now)
            then_kw = unit.device.max_charge_kw if wish is None or wish.power_kw is None else wish.power_kw
            may_kw = unit.holding.most_charge_kw(unit.device, now, now + AHEAD)
            if wish is not None and may_kw > max(then_kw, 0.0) + unit.device.tolerance_kw:
                lowering.append(unit.tell(wish))
        return all(await asyncio.gather(*lowering))

    def follow(self, site: Site, plan_id: str, problem: Problem, schedule: Schedule) -> None:
        """From now on the site's devices do what this plan says."""
        post = self._posts.get(site.id)
        if post is None or site.mode != "optimised":
            return
        post.plan, post.coming = self._as_planned(site, plan_id, problem, schedule), None
        self._wake(site.id)

    def let_go(self, site_id: str, plan_id: str) -> None:
        """A plan that room was made for is not on its way any more."""
        post = self._posts.get(site_id)
        if post is not None and post.coming is not None and post.coming.plan_id == plan_id:
            post.coming = None

    def _as_planned(self, site: Site, plan_id: str, problem: Problem, schedule: Schedule) -> SetPoints:
        return set_points(site, plan_id, self._clock.now(), problem, schedule)

    def replan(self, site_id: str) -> None:
        """Have the site planned anew, with what is known of its devices now."""
        self._around.replan(site_id)

    # --- the loop

    async def run(self) -> None:
        unsubscribe = self._events.subscribe(self._hear)
        client = httpx.AsyncClient(trust_env=False)
        access = Access(self._settings, client, self._clock)
        try:
            while True:
                self._changed.clear()
                with self._clock.hold():
                    failed = not await self._look_up(access)
                await self._until_changed(PERIOD_S if failed else LOOKS_AGAIN_S)
        finally:
            unsubscribe()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._say_farewell()
            await asyncio.gather(*(unit.close() for unit in self.all_units()), return_exceptions=True)
            await asyncio.gather(*(reader.close() for reader in self._soc_readers), return_exceptions=True)
            await client.aclose()

    async def _look_up(self, access: Access) -> bool:
        """What the sites' documents say now; False while there is no database."""
        try:
            sites = await self._store.sites()
            for site in sites:
                await self._take_up(site, access)
            for site_id in set(self._posts) - {site.id for site in sites}:
                await self._give_up(site_id)
            await self._store.drop_actuator_commands(self._clock.now() - KEPT_FOR)
        except AppError as error:
            log.error("actuators go on as they were", error=str(error))
            return False
        return True

    async def _take_up(self, site: Site, access: Access) -> None:
        devices = {device.device_id: device for device in devices_of(site)}
        known = self._posts.get(site.id)
        if known is None and not devices:
            return
        if known is not None and {key: unit.device for key, unit in known.units.items()} == devices:
            known.site = site
            self._wake(site.id)
            return
        if known is not None:
            await self._give_up(site.id)
        now = self._clock.now()
        units = {}
        for key, device in devices.items():
            units[key] = unit = self._unit(device, access)
            before = await self._store.actuator_commands(site.id, device_id=key, limit=8)
            unit.holding = restored(before, now)
        self._posts[site.id] = post = Post(site, units, self._around)
        for key, unit in units.items():
            task = asyncio.create_task(self._serve(post, unit), name=f"actuator {site.id} {key}")
            self._tasks[site.id, key] = task

    def _unit(self, device: Device, access: Access) -> Unit:
        """One that may not be spoken to is there all the same, and says why."""
        actuator: Actuator
        read_soc = None
        try:
            actuator = access.actuator(device)
            if device.soc is not None:
                reader = access.soc_reader(device.soc)
                self._soc_readers.append(reader)
                read_soc = reader.read
        except ActuatorError as error:
            actuator = _Unspoken(str(error))
        return Unit(
            device, actuator, self._store, self._clock, self._owner, read_soc=read_soc, changed=self._unit_changed
        )

    async def _give_up(self, site_id: str) -> None:
        """The document does not name these devices any more, or names them otherwise."""
        post = self._posts.pop(site_id)
        for key, unit in post.units.items():
            task = self._tasks.pop((site_id, key), None)
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self._make_safe(post, unit, "the site's document has changed")
            await unit.close()
            self._told.pop((site_id, key), None)

    async def _serve(self, post: Post, unit: Unit) -> None:
        while True:
            unit.wake.clear()
            try:
                await self._work(post, unit)
            except AppError as error:
                log.error("device not served", site=post.site.id, device=unit.device.device_id, error=str(error))
            except Exception:  # one device's bug must not end the others
                log.exception("device not served", site=post.site.id, device=unit.device.device_id)
            await self._until_due(post, unit)

    async def _work(self, post: Post, unit: Unit) -> None:
        if not unit.is_reached:  # what is sent to nobody may still arrive: of that there must not be more and more
            await unit.read()
        now = self._clock.now()
        wish = post.wish(unit, now)
        if not unit.is_reached:
            return
        if wish is not None and unit.is_due(wish, now):
            if not await self._is_overtaken(post, unit):
                await unit.tell(wish)
        elif unit.read_is_due(now):
            await unit.read()

    async def _is_overtaken(self, post: Post, unit: Unit) -> bool:
        """Whether another service commands the device by a newer plan: then this one stands back."""
        if post.plan is None:
            return True
        try:
            newest = await self._store.actuator_commands(post.site.id, device_id=unit.device.device_id, limit=1)
        except AppError as error:
            log.error("not known who commands", device=unit.device.device_id, error=str(error))
            return False
        if any(row.owner != self._owner and row.at > post.plan.made_at for row in newest):
            log.warning("another service commands", site=post.site.id, device=unit.device.device_id)
            post.plan = None
            return True
        return False

    async def _until_due(self, post: Post, unit: Unit) -> None:
        now = self._clock.now()
        change = post.next_change(now)
        wait_s = PERIOD_S if change is None else min(PERIOD_S, (change - now).total_seconds())
        await _first_of(unit.wake.wait(), self._clock.sleep(max(wait_s, 0.05)))

    async def _until_changed(self, longest_s: float) -> None:
        await _first_of(self._changed.wait(), self._clock.sleep(longest_s))

    # --- safe values

    async def _say_farewell(self) -> None:
        """The safe value to every device that this service commands; it ends with what is sent, whether that came."""
        posts = [(post, unit) for post in self._posts.values() for unit in post.units.values()]
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_FAREWELL_S):
                await asyncio.gather(
                    *(self._make_safe(post, unit, "the service ends") for post, unit in posts), return_exceptions=True
                )

    async def _make_safe(self, post: Post, unit: Unit, why: str) -> None:
        now = self._clock.now()
        if post.plan is None or post.site.mode != "optimised" or unit.last is None:
            return
        command, _ = unit.last
        if now < command.valid_until and not await self._is_overtaken(post, unit):
            until = now + timedelta(seconds=unit.device.actuator.valid_s)
            await unit.tell(Wish(unit.device.safe_kw, until, why))

    # --- what is told and heard

    def _unit_changed(self, unit: Unit) -> None:
        device, now = unit.device, self._clock.now()
        key = (device.site_id, device.device_id)
        is_silent = unit.failing_since is not None and now - unit.failing_since >= SILENT_FROM
        state = "unreachable" if is_silent else unit.fault(now) or unit.state
        may_be_planned = unit.not_planned(now) is None
        before = self._told.get(key)
        self._told[key] = (state, may_be_planned)
        if before is None or before[0] != state:
            self._events.publish(ActuatorChanged(device.site_id, device.device_id, state, unit.detail, now))
        if before is None or before[1] != may_be_planned:
            self.replan(device.site_id)

    def _hear(self, event: Event) -> None:
        match event:
            case SiteChanged():
                self._changed.set()
            case ClockJumped():
                for unit in self.all_units():
                    unit.clock_was_set(timedelta(seconds=event.by_s))
                    unit.wake.set()
            case GuardChanged() | GridLimitChanged() | ModeChanged():
                self._wake(event.site_id)
            case _:
                pass

    def _wake(self, site_id: str) -> None:
        for unit in self.units(site_id):
            unit.wake.set()


class _Unspoken:
    """In the place of a device that may not be spoken to."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def command(self, _: Command) -> None:
        raise ActuatorError(self._why)

    async def shown(self) -> Shown:
        raise ActuatorError(self._why)

    async def close(self) -> None:
        pass


async def _first_of(*waits: Any) -> None:
    tasks: Iterable[asyncio.Task[Any]] = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
