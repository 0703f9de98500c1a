"""A site whose stations live in memory, with a dispatcher: `a_world(2)`, `await world.send({1: 16, 2: [6] * 8})`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.clock import SteppedClock
from app.csms.profiles import profile_from_json
from app.db.records import Delivery, Station, Transaction
from app.db.store import Store
from app.dispatch import Dispatcher
from app.events import Events, MeterValuesReceived, TransactionStopped
from app.site import Site, evse_key
from optimizer.domain import (
    PHASES,
    Circuit,
    Connection,
    Cost,
    Evse,
    Horizon,
    Problem,
    Schedule,
    Session,
)
from tests.fakes_connector import FULL_PASSPORT, FakeConnector, FakeStation

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
SLOTS = 8
FUSE_A = 32.0


class FakeStore(Store):
    """Remembers what a dispatcher reads and writes."""

    def __init__(self) -> None:
        self.rows: dict[str, Station] = {}
        self.running: list[Transaction] = []
        self.saved: dict[tuple[str, str, int], Delivery] = {}
        self.history: list[Delivery] = []
        self.overtaken: set[str] = set()  # plans of which newer ones were sent

    async def transactions(self, **_: Any) -> list[Transaction]:
        return list(self.running)

    async def stations(self, site_id: str | None = None) -> list[Station]:
        return list(self.rows.values())

    async def station(self, station_id: str) -> Station:
        return self.rows[station_id]

    async def update_station(self, station_id: str, **columns: Any) -> None:
        self.rows[station_id] = replace(self.rows[station_id], **columns)

    async def admit_plan(self, plan_id: str) -> bool:
        return plan_id not in self.overtaken

    async def save_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self.saved[delivery.plan_id, delivery.station_id, delivery.evse_id] = delivery
            self.history.append(delivery)

    async def highest_readings(self, site_id: str) -> dict[str, float]:
        return {}

    async def deliveries_in_force(self, site_id: str) -> list[Delivery]:
        reached = ("accepted", "applied", "contradicted", "unknown")
        newest: dict[tuple[str, int], Delivery] = {}
        for delivery in self.saved.values():
            if delivery.state in reached:
                newest[delivery.station_id, delivery.evse_id] = delivery
        return list(newest.values())


@dataclass
class World:
    """One site with one fuse of 32 A over single-EVSE stations cs1, cs2, ..., a transaction running at each."""

    site: Site
    clock: SteppedClock
    events: Events
    store: FakeStore
    connector: FakeConnector
    dispatcher: Dispatcher
    transactions: dict[str, Transaction]
    plans: int = 0

    def station(self, number: int) -> FakeStation:
        return self.connector.stations[f"cs{number}"]

    def problem(self, **more: Any) -> Problem:
        start = self.clock.now()
        zeros = (0.0,) * SLOTS
        arguments: dict[str, Any] = {
            "horizon": Horizon(start, 15, SLOTS),
            "connection": Connection(),
            "circuits": (Circuit("fuse", max_current_a=FUSE_A),),
            "evses": tuple(
                Evse(evse_key(station.id, 1), "fuse", PHASES, max_current_a=32.0)
                for station in self.site.charging_stations
            ),
            "sessions": tuple(
                Session(key, key, START, START + timedelta(days=1), 50, vehicle_phases=3) for key in self.transactions
            ),
            "base_load_kw": zeros,
            "import_price_per_kwh": zeros,
            "export_price_per_kwh": zeros,
            "pv_kw": zeros,
        }
        return Problem(**(arguments | more))

    async def send(self, currents_a: Mapping[int, float | Sequence[float]], **more: Any) -> dict[int, Delivery]:
        """Send a plan: A per slot, or in every slot, of each station by number."""
        self.plans += 1
        by_key = {
            f"cs{number}/1": (float(value),) * SLOTS if isinstance(value, int | float) else tuple(map(float, value))
            for number, value in currents_a.items()
        }
        schedule = Schedule(
            status="optimal",
            power_kw={key: tuple(a * 0.69 for a in series) for key, series in by_key.items()},
            current_a=by_key,
            sessions={},
            batteries={},
            import_kw=(0.0,) * SLOTS,
            export_kw=(0.0,) * SLOTS,
            curtail_kw=(0.0,) * SLOTS,
            peak_kw={},
            cost=Cost(),
        )
        transactions = {key: self.transactions[key] for key in by_key if key in self.transactions}
        deliveries = await self.dispatcher.send(
            self.site, f"plan-{self.plans}", self.problem(**more), schedule, transactions
        )
        return {int(delivery.station_id[2:]): delivery for delivery in deliveries}

    def leave(self, number: int) -> None:
        """The vehicle drives away."""
        transaction = self.transactions.pop(f"cs{number}/1")
        self.store.running.remove(transaction)
        self.station(number).stop_transaction(1)
        self.events.publish(
            TransactionStopped(f"cs{number}", 1, transaction.transaction_id, self.clock.now(), live=True)
        )

    def restarted(self) -> Dispatcher:
        """A new process over the same store and stations."""
        self.events = Events()
        self.dispatcher = Dispatcher(self.connector, self.store, self.events, self.clock)
        return self.dispatcher

    def draw(self, number: int, *currents_a: float, every: timedelta = timedelta(seconds=60)) -> None:
        for current_a in currents_a:
            event = MeterValuesReceived(
                f"cs{number}", 1, number, self.clock.now(), None, dict.fromkeys(PHASES, current_a), None
            )
            self.dispatcher.measured(event)
            self.clock._now += every  # nothing sleeps here: time may jump

    def pass_time(self, **span: float) -> None:
        self.clock._now += timedelta(**span)

    def total_a(self, moment: datetime) -> float:
        return sum(station.limit_a(1, moment) for station in self.connector.stations.values())


def a_world(
    stations: int = 2, *, fallback_a: float = 0.0, site_has: Mapping[str, Any] | None = None, **passport: Any
) -> World:
    clock, events, store = SteppedClock(START), Events(), FakeStore()
    connector = FakeConnector(clock)
    site = Site.model_validate(
        {
            "id": "depot",
            "name": "Depot",
            "time_zone": "UTC",
            "connection": {},
            "circuits": [{"id": "fuse", "max_current_a": FUSE_A}],
            "charging_stations": [
                {"id": f"cs{number}", "evses": [{"id": 1, "circuit": "fuse"}]} for number in range(1, stations + 1)
            ],
            "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
            "fallback_current_a": fallback_a,
        }
        | dict(site_has or {})
    )
    transactions = {}
    for number in range(1, stations + 1):
        station_id = f"cs{number}"
        connector.add(station_id, passport=replace(FULL_PASSPORT, **passport), transactions={1: number})
        store.rows[station_id] = Station(station_id, "depot")
        transactions[evse_key(station_id, 1)] = Transaction(number, "depot", station_id, 1, "tag", START, 0.0)
    store.running = list(transactions.values())
    dispatcher = Dispatcher(connector, store, events, clock)
    return World(site, clock, events, store, connector, dispatcher, transactions)


def limits(delivery: Delivery) -> list[float]:
    assert delivery.profile is not None
    return [period.limit for period in profile_from_json(delivery.profile).periods]
