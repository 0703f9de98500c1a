"""No query reads the whole of a table that grows for ever, whatever its answer is."""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.db.store import Store
from tests.app.db.builders import NOON, POWER, a_delivery, a_plan, a_site, a_start, at
from tests.stores import a_store

GROWING = ("meter_values", "readings", "transactions", "cdrs", "plans", "deliveries", "series", "reached", "own")

QUERIES: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "start": lambda store: store.start_transaction(**a_start(ocpp_transaction_id="a")),
    "start again": lambda store: store.start_transaction(**a_start(ocpp_transaction_id="b", started_at=at(0))),
    "stop": lambda store: store.stop_transaction(1, stopped_at=at(1), meter_stop_wh=1, reason=None),
    "running": lambda store: store.transactions(site_id="depot", running=True),
    "transactions of a site": lambda store: store.transactions(site_id="depot", start=NOON),
    "transactions of a station": lambda store: store.transactions(station_id="cs01"),
    "values of a transaction": lambda store: store.meter_values(transaction_id=1),
    "values of a station": lambda store: store.meter_values(station_id="cs01", start=NOON),
    "power of a transaction": lambda store: store.meter_values(transaction_id=1, measurands=(POWER,)),
    "energy": lambda store: store.latest_energy_wh([1, 2]),
    "latest values": lambda store: store.latest_meter_values("depot"),
    "charging power": lambda store: store.charging_power("depot", NOON, at(60)),
    "readings": lambda store: store.readings("depot", "main", NOON, at(60)),
    "latest readings": lambda store: store.latest_readings("depot"),
    "series": lambda store: store.series("depot", "pv", NOON, at(60)),
    "cdrs": lambda store: store.cdrs(site_id="depot", start=NOON),
    "plan": lambda store: store.plan("p1"),
    "plans": lambda store: store.plans("depot"),
    "latest plan": lambda store: store.latest_plan("depot"),
    "deliveries": lambda store: store.deliveries("p1"),
    "deliveries in force": lambda store: store.deliveries_in_force("depot"),
    "delete a site": lambda store: store.delete_site("yard"),
}


@contextmanager
def recorded() -> Iterator[list[tuple[str, Any]]]:
    statements: list[tuple[str, Any]] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        statements.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)


@pytest.mark.parametrize("query", QUERIES)
async def test_seeks_and_does_not_scan(query: str, tmp_path: Path) -> None:
    async with a_store(directory=tmp_path) as store:
        await store.save_site(a_site())
        await store.save_site(a_site("yard", stations=()))
        await store.start_transaction(**a_start())
        await store.save_plan(a_plan())
        await store.save_deliveries([a_delivery()])

        with recorded() as statements:
            await QUERIES[query](store)

    steps = []
    with closing(sqlite3.connect(tmp_path / "smartcharge.db")) as database:
        for statement, parameters in statements:
            if not statement.startswith(("PRAGMA", "BEGIN")):
                steps += [step[3] for step in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert steps
    assert [step for step in steps if step.startswith("SCAN") and step.split()[1] in GROWING] == []


@pytest.mark.parametrize("query", ["latest values", "charging power"])
async def test_a_site_is_read_by_evse_and_time_not_by_all_that_a_station_ever_sent(query: str, tmp_path: Path) -> None:
    async with a_store(directory=tmp_path) as store:
        await store.save_site(a_site())
        with recorded() as statements:
            await QUERIES[query](store)

    steps = []
    with closing(sqlite3.connect(tmp_path / "smartcharge.db")) as database:
        for statement, parameters in statements:
            if not statement.startswith(("PRAGMA", "BEGIN")):
                steps += [step[3] for step in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    sought = [step for step in steps if step.startswith("SEARCH meter_values")]
    assert sought
    assert all("(station_id=? AND evse_id=?" in step for step in sought)
    assert any(step.startswith("MATERIALIZE") for step in steps)
