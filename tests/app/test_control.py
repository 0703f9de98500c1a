"""When sites are planned anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from app.clock import SteppedClock
from app.control import Control
from app.db.records import Json, Plan, Reading
from app.db.store import Store
from app.errors import AlreadyPlannedError, ConflictError, StationOfflineError, StoreUnavailableError
from app.events import (
    ClockJumped,
    Events,
    MeterValuesReceived,
    ObedienceChanged,
    ReadingsArrived,
    StationBooted,
    StationConnected,
    StatusChanged,
    TransactionStarted,
    TransactionStopped,
    WishChanged,
)
from app.gather.sessions import DECLINED_FOR
from app.planning.planner import Kind
from app.site import Site
from tests.stores import a_store

START = datetime(2026, 4, 27, 8, 1, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def a_site(site_id: str, *stations: str, mode: str = "optimised") -> Site:
    return Site.model_validate(
        {
            "id": site_id,
            "name": site_id,
            "time_zone": "UTC",
            "mode": mode,
            "connection": {},
            "charging_stations": [{"id": station, "evses": [{"id": 1}]} for station in stations],
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
        }
    )


class Recorder:
    """Planner and dispatcher that note what they were asked for, and fail where they are told to."""

    def __init__(self, clock: SteppedClock) -> None:
        self._clock = clock
        self.planned: list[tuple[str, datetime]] = []
        self.windows: list[datetime | None] = []
        self.prepared: list[str] = []
        self.measured_events: list[MeterValuesReceived] = []
        self.broken: dict[str, Exception] = {}
        self.takes = timedelta(0)
        self.problem: Json = {}

    async def plan(self, site_id: str, *, kind: Kind = "request", window: datetime | None = None) -> Plan:
        if site_id in self.broken:
            raise self.broken[site_id]
        now = self._clock.now()
        self.planned.append((site_id, now))
        self.windows.append(window)
        await self._clock.sleep(self.takes.total_seconds())
        return Plan("p", site_id, kind, now, now, now, "optimal", None, self.problem, {})

    async def prepare(self, site: Site, station_id: str) -> None:
        if station_id in self.broken:
            raise self.broken[station_id]
        self.prepared.append(station_id)

    def measured(self, event: MeterValuesReceived) -> None:
        if "measured" in self.broken:
            raise self.broken["measured"]
        self.measured_events.append(event)


class Faulty:
    """A store whose queries fail, each as often as it is told to, before they reach the real one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failures: dict[str, list[Exception]] = {}

    def __getattr__(self, name: str) -> Any:
        if self.failures.get(name):
            raise self.failures[name].pop()
        return getattr(self._store, name)


class World:
    """A stepped clock, a real store with two sites, and a control loop that runs."""

    def __init__(self, store: Store, clock: SteppedClock) -> None:
        self.store, self.clock, self.events = store, clock, Events()
        self.asked, self.faulty = Recorder(clock), Faulty(store)
        failing: Any = self.faulty  # in the store's place
        self.control = Control(failing, self.asked, self.asked, clock, self.events, replan_minutes=15, debounce_s=2.0)

    async def after(self, elapsed: timedelta) -> None:
        await self.clock.run_until(START + elapsed)


@asynccontextmanager
async def a_world(directory: Path) -> AsyncIterator[World]:
    clock = SteppedClock(START)
    async with a_store(clock, directory=directory) as store:
        await store.save_site(a_site("depot", "cs01", "cs02"))
        await store.save_site(a_site("office", "cs03", mode="shadow"))
        world = World(store, clock)
        task = asyncio.create_task(world.control.run())
        await world.after(timedelta(0))
        yield world
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_row_of_cars_makes_one_plan(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for number, station in enumerate(("cs01", "cs02")):
            world.events.publish(TransactionStarted(station, 1, number, START, live=True))

        await world.after(MINUTE)

        assert world.asked.planned == [("depot", START + 2 * SECOND)]


async def test_the_room_of_a_car_that_is_full_goes_to_others_before_the_next_slot(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.events.publish(StatusChanged("cs01", 1, "SuspendedEV", START))

        await world.after(5 * MINUTE)

        assert world.asked.planned == [("depot", START + DECLINED_FOR + 2 * SECOND)]


async def test_a_full_car_that_every_plan_offers_a_little_makes_one_plan_a_stay(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        for pause in range(3):
            world.events.publish(StatusChanged("cs01", 1, "SuspendedEV", START))
            world.events.publish(StatusChanged("cs01", 1, "Charging", START))
            await world.after(4 * (pause + 1) * MINUTE)
        planned = list(world.asked.planned)
        world.events.publish(TransactionStopped("cs01", 1, 1, START, live=False))
        world.events.publish(StatusChanged("cs01", 1, "SuspendedEV", START))

        await world.after(16 * MINUTE)

        assert len(planned) == 1
        assert len(world.asked.planned) == 2


async def test_a_pause_of_the_station_s_own_making_makes_no_plan(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.events.publish(StatusChanged("cs01", 1, "SuspendedEVSE", START))

        await world.after(5 * MINUTE)

        assert world.asked.planned == []


async def test_a_message_from_an_offline_queue_is_never_acted_upon(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.events.publish(TransactionStarted("cs01", 1, 1, START - timedelta(days=1), live=False))

        await world.after(MINUTE)

        assert world.asked.planned == []


async def test_a_wish_and_a_station_that_disobeys_make_a_plan(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.events.publish(WishChanged("office", START))
        world.events.publish(ObedienceChanged("cs01", 1, False, START))

        await world.after(MINUTE)

        assert {site for site, _ in world.asked.planned} == {"depot", "office"}


async def test_a_station_that_connects_is_prepared_before_its_site_is_planned(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.events.publish(StationConnected("cs01", START))

        await world.after(MINUTE)

        assert world.asked.prepared == ["cs01"]
        assert [site for site, _ in world.asked.planned] == ["depot"]


async def test_nothing_is_sent_to_a_station_in_shadow_mode(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.events.publish(StationBooted("cs03", START))

        await world.after(MINUTE)

        assert world.asked.prepared == []


async def test_sites_with_a_running_transaction_are_planned_at_every_quarter_of_an_hour(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.store.start_transaction(
            station_id="cs01", evse_id=1, id_tag="tag", started_at=START, meter_start_wh=0
        )
        await world.store.update_station("cs01", connected=True)

        await world.after(timedelta(minutes=35))

        quarters = [START.replace(minute=minute) + 2 * SECOND for minute in (15, 30)]
        assert world.asked.planned == [("depot", quarter) for quarter in quarters]


async def test_a_slot_is_one_window_for_all_services_and_whatever_else_happens_is_another(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.store.start_transaction(
            station_id="cs01", evse_id=1, id_tag="tag", started_at=START, meter_start_wh=0
        )
        await world.store.update_station("cs01", connected=True)
        quarter = START.replace(minute=15)

        await world.after(quarter - START + MINUTE)
        await world.after(START.replace(minute=30) - START + SECOND)  # its moment of gathering has begun
        world.events.publish(WishChanged("depot", world.clock.now()))
        await world.after(timedelta(minutes=35))

        assert world.asked.windows == [quarter, None]


async def test_a_slot_that_another_service_has_planned_is_no_error(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.asked.broken = {"depot": AlreadyPlannedError("planned already")}
        with capture_logs() as logged:
            world.control.replan("depot", START)
            await world.after(MINUTE)

        assert [entry["log_level"] for entry in logged] == ["debug"]


async def test_a_service_plans_slots_only_for_sites_whose_stations_it_can_send_to(tmp_path: Path) -> None:
    clock = SteppedClock(START)
    async with a_store(clock, directory=tmp_path) as store:
        await store.save_site(a_site("depot", "cs01", "cs02"))
        await store.start_transaction(station_id="cs01", evse_id=1, id_tag="tag", started_at=START, meter_start_wh=0)
        await store.update_station("cs01", connected=True)  # to another service
        asked, connected = Recorder(clock), set[str]()
        control = Control(
            store, asked, asked, clock, Events(), replan_minutes=15, debounce_s=2.0, connected=lambda: connected
        )
        task = asyncio.create_task(control.run())

        await clock.run_until(START + timedelta(minutes=20))
        assert asked.planned == []
        connected.add("cs01")
        await clock.run_until(START + timedelta(minutes=35))
        task.cancel()

        assert len(asked.planned) == 1


async def test_one_sites_error_never_stops_another(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.asked.broken = {
            "depot": ZeroDivisionError("a bug"),
            "office": ConflictError("no prices"),
            "cs01": StationOfflineError("cs01"),
        }
        for site in ("depot", "office"):
            world.events.publish(WishChanged(site, START))
        world.events.publish(StationConnected("cs01", START))
        await world.after(MINUTE)
        world.asked.broken = {}

        world.events.publish(WishChanged("depot", START + MINUTE))
        await world.after(2 * MINUTE)

        assert [site for site, _ in world.asked.planned] == ["depot"]


async def test_what_a_station_measured_goes_straight_to_the_dispatcher(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        event = MeterValuesReceived("cs01", 1, 1, START, 3680.0, {"L1": 16.0}, 1000.0)

        world.events.publish(event)

        assert world.asked.measured_events == [event]
        assert world.asked.planned == []


async def test_what_happens_while_a_plan_is_made_is_in_one_more_plan(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.asked.takes = timedelta(seconds=60)
        for second in range(40):
            await world.after(second * SECOND)
            world.events.publish(WishChanged("depot", world.clock.now()))

        await world.after(5 * MINUTE)

        assert [at - START for _, at in world.asked.planned] == [2 * SECOND, 62 * SECOND]


async def test_a_database_that_does_not_answer_for_a_moment_ends_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.store.start_transaction(
            station_id="cs01", evse_id=1, id_tag="tag", started_at=START, meter_start_wh=0
        )
        await world.store.update_station("cs01", connected=True)
        failure = StoreUnavailableError("the disk is full")
        world.faulty.failures = {"station": [failure], "transactions": [failure]}

        world.events.publish(ObedienceChanged("cs01", 1, False, START))
        await world.after(timedelta(minutes=31))

        assert world.faulty.failures == {"station": [], "transactions": []}
        assert world.asked.planned == [("depot", START.replace(minute=30) + 2 * SECOND)]


async def test_a_bug_met_while_a_station_is_prepared_ends_nothing_and_its_site_is_planned(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.asked.broken = {"cs01": KeyError("a bug")}

        world.events.publish(StationConnected("cs01", START))
        await world.after(MINUTE)
        world.events.publish(WishChanged("office", START))
        await world.after(2 * MINUTE)

        assert [site for site, _ in world.asked.planned] == ["depot", "office"]


async def test_a_bug_met_in_a_measurement_does_not_reach_the_station_that_sent_it(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.asked.broken = {"measured": ZeroDivisionError("a bug")}

        world.events.publish(MeterValuesReceived("cs01", 1, 1, START, 3680.0, {"L1": 16.0}, 1000.0))
        world.events.publish(WishChanged("depot", START))
        await world.after(MINUTE)

        assert [site for site, _ in world.asked.planned] == ["depot"]


async def test_a_site_whose_stations_are_all_away_is_not_planned_at_every_quarter(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.store.start_transaction(
            station_id="cs01", evse_id=1, id_tag="imported", started_at=START, meter_start_wh=0
        )

        await world.after(timedelta(minutes=35))

        assert world.asked.planned == []


async def test_the_first_event_after_a_quiet_time_is_planned_at_once_and_the_next_ones_together(tmp_path: Path) -> None:
    clock = SteppedClock(START)
    async with a_store(clock, directory=tmp_path) as store:
        await store.save_site(a_site("depot", "cs01"))
        asked, events = Recorder(clock), Events()
        control = Control(store, asked, asked, clock, events, replan_minutes=15, debounce_s=2.0, first_s=0.2)
        task = asyncio.create_task(control.run())
        for after_s in (0.0, 0.5, 1.0, 30.0):
            await clock.run_until(START + timedelta(seconds=after_s))
            events.publish(WishChanged("depot", clock.now()))
        await clock.run_until(START + MINUTE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert asked.planned == [("depot", START + timedelta(seconds=after_s)) for after_s in (0.2, 2.2, 30.2)]


async def test_a_roof_away_from_the_plan_makes_another_every_five_minutes_at_most(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        document = a_site("depot", "cs01", "cs02").model_dump(mode="json")
        roof = {"meters": [{"id": "roof", "measures": "pv"}]}
        await world.store.save_site(Site.model_validate(document | roof))
        world.asked.problem = {"slot_minutes": 15, "base_load_kw": 5.0, "pv_kw": 20.0, "sessions": [{}]}
        world.events.publish(WishChanged("depot", START))
        await world.after(MINUTE)
        for minute, kw in ((2, 3.0), (6, 19.0), (7, 3.0), (8, 3.0)):  # too soon, as expected, away, and made already
            await world.after(minute * MINUTE)
            await world.store.add_readings([Reading("depot", "roof", world.clock.now(), kw)])
            world.events.publish(ReadingsArrived("depot", world.clock.now()))
        await world.after(10 * MINUTE)

        assert world.asked.planned == [("depot", START + 2 * SECOND), ("depot", START + 7 * MINUTE + 2 * SECOND)]


async def test_a_site_with_a_battery_to_command_is_planned_at_every_slot_though_no_car_is_there(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.control._actuated = lambda: {"office"}
        await world.after(31 * MINUTE)

        assert [(site, at.minute) for site, at in world.asked.planned] == [("office", 15), ("office", 30)]


async def test_a_clock_that_was_set_has_sites_with_devices_to_command_planned_anew(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.control._actuated = lambda: {"office"}
        world.events.publish(ClockJumped(3600.0, START))

        await world.after(MINUTE)

        assert [site for site, _ in world.asked.planned] == ["office"]
