"""Late, repeated and shuffled messages: the store holds the same in the end as after the sorted log. A law."""

import asyncio
import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.db.store import Store
from app.imports.ocpp_log import import_ocpp_log
from tests.stores import a_store

Row = dict[str, Any]


def row(number: int, kind: int, action: str, minute: int, station: str, **body: Any) -> Row:
    at = f"2026-04-27T{8 + minute // 60:02}:{minute % 60:02}:00+00:00"
    return {
        "message_id": f"m{number}", "message_type": kind, "charge_point_id": station, "action": action,
        "write_timestamp": at, "body": json.dumps(body | ({"timestamp": at} if kind == 2 else {})),
    }  # fmt: skip


def a_log() -> list[Row]:
    """Two stations, three transactions, one of them with a spike, a reset and a value that is none."""
    rows = [row(0, 2, "BootNotification", 0, "cp-1", charge_point_vendor="Acme", charge_point_model="One")]
    number = 0
    for station, start, transaction in (("cp-1", 0, 7), ("cp-1", 60, 8), ("cp-2", 10, 7)):
        number += 10
        begun = {"connector_id": 1, "id_tag": f"tag-{transaction}", "meter_start": 0}
        rows.append(row(number, 2, "StartTransaction", start, station, **begun))
        rows.append(row(number, 3, "StartTransaction", start, station, transaction_id=transaction))
        for minute in range(start, start + 40, 10):
            watt, register = "11000", (minute - start) * 11_000 // 60
            if (station, minute) == ("cp-2", 20):
                watt = "9e7"
            if (station, minute) == ("cp-2", 30):
                watt, register = "lots", 5
            sampled = [
                {"value": watt, "measurand": "Power.Active.Import", "unit": "W"},
                {"value": str(register), "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
            ]
            at = f"2026-04-27T{8 + minute // 60:02}:{minute % 60:02}:00+00:00"
            values = [{"timestamp": at, "sampled_value": sampled}]
            rows.append(
                row(
                    1, 2, "MeterValues", minute, station, connector_id=1, transaction_id=transaction, meter_value=values
                )
            )
        rows.append(row(number + 1, 2, "StopTransaction", start + 40, station, transaction_id=transaction,
                        meter_stop=7_333))  # fmt: skip
    rows.append(row(99, 2, "StatusNotification", 90, "cp-1", connector_id=1, status="Available", error_code="NoError"))
    return rows


async def state(store: Store) -> Any:
    """What is stored, without the numbers that a database gives and the moment of receipt."""
    names = {tx.transaction_id: (tx.station_id, tx.ocpp_transaction_id) for tx in await store.transactions()}
    cdrs = [
        {field: getattr(cdr, field) for field in cdr.__dataclass_fields__ if field != "transaction_id"}
        for cdr in await store.cdrs()
    ]
    values = sorted(
        (value.station_id, value.at, value.measurand, value.value, names.get(value.transaction_id or 0))
        for value in await store.meter_values()
    )
    found = sorted((row.reason, row.detail, str(row.at), row.station_id or "") for row in await store.suspects("depot"))
    station = await store.station("cp-1")
    return sorted(cdrs, key=str), values, found, (station.vendor, station.last_seen_at)


async def imported(parts: list[list[Row]]) -> Any:
    with TemporaryDirectory(prefix="smartcharge-order-") as folder:
        async with a_store(directory=Path(folder)) as store:
            for part in parts:
                path = Path(folder) / "log.jsonl"
                path.write_text("\n".join(json.dumps(one) for one in part), encoding="utf-8")
                await import_ocpp_log(store, path, site_id="depot")
            return await state(store)


SORTED: list[Any] = []  # what the sorted log makes, once


@given(random=st.randoms(use_true_random=False), repeats=st.integers(0, 10))
@settings(max_examples=8, deadline=None)
def test_a_shuffled_log_with_repeats_makes_the_same_as_the_sorted_one(random: Random, repeats: int) -> None:
    log = a_log()
    if not SORTED:
        SORTED.append(asyncio.run(imported([log])))
    shuffled = [*log, *random.sample(log, repeats)]
    random.shuffle(shuffled)

    assert asyncio.run(imported([shuffled])) == SORTED[0]


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=6, deadline=None)
def test_meter_values_that_come_in_a_later_log_make_the_same(random: Random) -> None:
    log = a_log()
    if not SORTED:
        SORTED.append(asyncio.run(imported([log])))
    values = [one for one in log if one["action"] == "MeterValues"]
    late = random.sample(values, random.randint(1, len(values)))
    in_time = [one for one in log if one not in late]

    assert asyncio.run(imported([in_time, late])) == SORTED[0]


async def test_the_law_is_about_something() -> None:
    cdrs, values, found, _ = await imported([a_log()])

    assert [cdr["energy_kwh"] for cdr in cdrs] == [7.333] * 3
    assert len(values) == 23
    assert {reason for reason, *_ in found} >= {"unreadable", "power_above_limit", "register_reset"}
