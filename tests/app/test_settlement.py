"""Every completed transaction gets its charge detail record, and a lost stop is made good."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.cdr import STOP_LOST
from app.clock import SteppedClock
from app.db.records import Cdr, MeterValue, Transaction
from app.db.store import Store
from app.errors import StoreUnavailableError
from app.events import Event, Events, StationMisread, TransactionStarted, TransactionStopped
from app.settlement import Settlement
from app.site import Site
from tests.stores import a_store

START = datetime(2026, 4, 27, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SITE = Site.model_validate(
    {
        "id": "depot",
        "name": "Depot",
        "time_zone": "UTC",
        "connection": {},
        "charging_stations": [{"id": "cs01", "evses": [{"id": 1}, {"id": 2}]}],
        "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
    }
)


class World:
    def __init__(self, store: Store, clock: SteppedClock) -> None:
        self.store, self.clock, self.events = store, clock, Events()
        self.heard: list[Event] = []
        self.events.subscribe(self.heard.append)

    async def starts(self, minute: int, evse_id: int = 1) -> Transaction:
        transaction, _ = await self.store.start_transaction(
            station_id="cs01", evse_id=evse_id, id_tag="tag", started_at=START + minute * MINUTE, meter_start_wh=1_000
        )
        self.events.publish(TransactionStarted("cs01", evse_id, transaction.transaction_id, START, live=True))
        return transaction

    async def stops(self, transaction: Transaction, minute: int, meter_stop_wh: float) -> None:
        stopped_at = START + minute * MINUTE
        await self.store.stop_transaction(
            transaction.transaction_id, stopped_at=stopped_at, meter_stop_wh=meter_stop_wh, reason="Local"
        )
        self.events.publish(TransactionStopped("cs01", 1, transaction.transaction_id, stopped_at, live=True))

    async def meters(self, transaction: Transaction, minute: int, energy_wh: float) -> None:
        at = START + minute * MINUTE
        register = "Energy.Active.Import.Register"
        value = MeterValue("cs01", transaction.evse_id, at, register, energy_wh, "Wh", transaction.transaction_id)
        await self.store.add_meter_values([value])

    @asynccontextmanager
    async def settling(self, store: Any = None) -> AsyncIterator[None]:
        task = asyncio.create_task(Settlement(store or self.store, self.clock, self.events).run())
        await self.clock.settle()
        try:
            yield
            await self.clock.run_until(self.clock.now() + MINUTE)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def a_world(directory: Path) -> AsyncIterator[World]:
    clock = SteppedClock(START)
    async with a_store(clock, directory=directory) as store:
        await store.save_site(SITE)
        yield World(store, clock)


async def cdr_of_only(store: Store) -> Cdr:
    [cdr] = await store.cdrs()
    return cdr


async def test_a_transaction_that_stops_has_its_record_at_once(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.settling():
        transaction = await world.starts(0)

        await world.stops(transaction, 60, 8_000)
        await world.clock.settle()

        assert (await cdr_of_only(world.store)).energy_kwh == 7.0


async def test_what_stopped_while_the_service_was_down_is_settled_at_the_start(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.stops(await world.starts(0), 60, 8_000)

        async with world.settling():
            pass

        assert (await cdr_of_only(world.store)).energy_kwh == 7.0


async def test_a_transaction_whose_stop_was_lost_ends_when_its_evse_starts_another(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        async with world.settling():
            lost = await world.starts(0)
            await world.meters(lost, 40, 6_000)
            elsewhere = await world.starts(10, evse_id=2)
            successor = await world.starts(90)

        cdr = await cdr_of_only(world.store)
        running = await world.store.transactions(running=True)
        assert (cdr.transaction_id, cdr.energy_kwh, cdr.stop) == (lost.transaction_id, 5.0, START + 40 * MINUTE)
        assert STOP_LOST in cdr.flags
        assert {row.transaction_id for row in running} == {elsewhere.transaction_id, successor.transaction_id}
        stopped = [event for event in world.heard if isinstance(event, TransactionStopped)]
        assert [(event.transaction_id, event.live) for event in stopped] == [(lost.transaction_id, False)]


async def test_a_stop_that_was_lost_before_the_service_started_is_made_good_then(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        lost = await world.starts(0)
        await world.starts(90)

        async with world.settling():
            pass

        cdr = await cdr_of_only(world.store)
        assert (cdr.transaction_id, cdr.energy_kwh, cdr.stop) == (lost.transaction_id, 0.0, START)


async def test_a_late_start_from_an_offline_queue_does_not_end_a_newer_transaction(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        async with world.settling():
            newer = await world.starts(90)
            late = await world.starts(0)

        assert [row.transaction_id for row in await world.store.transactions(running=True)] == [newer.transaction_id]
        assert (await cdr_of_only(world.store)).transaction_id == late.transaction_id


async def test_a_database_that_does_not_answer_for_a_moment_loses_no_record(tmp_path: Path) -> None:
    class Faulty:
        def __init__(self, store: Store) -> None:
            self._store = store
            self.failures = 2

        def __getattr__(self, name: str) -> Any:
            if name in ("transaction", "transactions_without_cdr") and self.failures:
                self.failures -= 1
                raise StoreUnavailableError("the disk is full")
            return getattr(self._store, name)

    async with a_world(tmp_path) as world:
        await world.stops(await world.starts(0), 60, 8_000)
        async with world.settling(Faulty(world.store)):
            await world.stops(await world.starts(90), 120, 9_000)
            await world.clock.run_until(START + timedelta(hours=1))

        assert [cdr.energy_kwh for cdr in await world.store.cdrs()] == [7.0, 8.0]


async def test_what_a_station_said_of_its_meter_and_nobody_could_read_is_in_the_quarantine(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        async with world.settling():
            for action in ("MeterValues", "MeterValues", "BootNotification"):
                world.events.publish(StationMisread("cs01", action, "value 'much' is no number", START))
            world.events.publish(StationMisread("nobody", "MeterValues", "value 'x' is no number", START))

        [found] = await world.store.suspects("depot")
        assert (found.reason, found.station_id, found.source) == ("unreadable", "cs01", "MeterValues of cs01")


async def test_samples_from_an_offline_queue_are_counted_within_the_hour(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.settling():
        transaction = await world.starts(0)
        await world.stops(transaction, 60, 8_000)
        await world.clock.settle()
        value = MeterValue("cs01", 1, START, "Power.Active.Import", 7_000, "W", transaction.transaction_id)
        await world.store.add_meter_values([value])

        await world.clock.run_until(START + timedelta(hours=2))

        assert (await cdr_of_only(world.store)).integrated_energy_kwh == 7.0
