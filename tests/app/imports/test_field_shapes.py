"""Meter values in the shapes that stations send them in become the same interval energy and power.

Each shape tells of one charge: 11 kW for half an hour, then nothing for ten minutes.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.db.records import Cdr
from app.db.store import Store
from app.imports.ocpp_log import import_ocpp_log
from app.plausibility import ASSUMED, POWER_FROM_CURRENT
from tests.stores import a_store

Sample = dict[str, Any]
PHASES = ("L1", "L2", "L3")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(directory=tmp_path) as store:
        yield store


def total(watt: float) -> list[Sample]:
    return [{"value": str(watt), "measurand": "Power.Active.Import", "unit": "W"}]


def in_kw(watt: float) -> list[Sample]:
    return [{"value": watt / 1000, "measurand": "power.active.import", "unit": "kW"}]


def by_phase(watt: float) -> list[Sample]:
    return [{"value": f"{watt / 3:.9f}", "measurand": "Power.Active.Import", "phase": phase} for phase in PHASES]


def neutral_too(watt: float) -> list[Sample]:
    named = [{"value": f"{watt / 3:.9f}", "measurand": "Power.Active.Import", "phase": f"{p}-N"} for p in PHASES]
    return [*named, {"value": "1.2", "measurand": "Current.Import", "phase": "N", "unit": "A"}]


def total_beside_phases(watt: float) -> list[Sample]:
    return [*total(watt), *by_phase(watt)]


def decimal_comma(watt: float) -> list[Sample]:
    return [{"value": f"{watt / 1000:.3f}".replace(".", ","), "measurand": "Power.Active.Import", "unit": "KW"}]


def currents(watt: float) -> list[Sample]:
    return [{"value": watt / 3 / 230, "measurand": "Current.Import", "phase": phase, "unit": "A"} for phase in PHASES]


def odd_context(watt: float) -> list[Sample]:
    return [total(watt)[0] | {"context": "", "location": "Outlet"}]


def nothing_but_value(watt: float) -> list[Sample]:
    """The default of OCPP: the energy register in Wh. 11 kW for half an hour end at 5,500 Wh."""
    return [{"value": "0" if watt else "5500"}]


SHAPES = [
    total, in_kw, by_phase, neutral_too, total_beside_phases, decimal_comma, currents, odd_context,
]  # fmt: skip


def log(shape: Any, *, zone: str = "Z", named: bool = True) -> list[dict[str, Any]]:
    def row(number: int, kind: int, action: str, minute: int, **body: Any) -> dict[str, Any]:
        at = f"2026-04-27T08:{minute:02}:00+00:00"
        return {
            "message_id": f"m{number}", "message_type": kind, "charge_point_id": "cp-1", "action": action,
            "write_timestamp": at, "body": json.dumps(body),
        }  # fmt: skip

    whose = {"connectorId": 1} | ({"transactionId": 7} if named else {})
    values = [(0, 11_000), (15, 11_000), (30, 0)]
    return [
        row(2, 2, "StartTransaction", 0, connectorId=1, idTag="t", meterStart=0, timestamp="2026-04-27T08:00:00Z"),
        row(2, 3, "StartTransaction", 0, transactionId=7),
        *[
            row(3, 2, "MeterValues", minute, **whose,
                meterValue=[{"timestamp": f"2026-04-27T08:{minute:02}:00{zone}", "sampledValue": shape(watt)}])
            for minute, watt in values
        ],
        row(4, 2, "StopTransaction", 40, transactionId=7, meterStop=5_500, timestamp="2026-04-27T08:40:00Z"),
    ]  # fmt: skip


async def told(store: Store, tmp_path: Path, rows: list[dict[str, Any]]) -> Cdr:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    await import_ocpp_log(store, path)
    [cdr] = await store.cdrs()
    return cdr


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_energy_and_power_are_the_same_in_every_shape(store: Store, tmp_path: Path, shape: Any) -> None:
    cdr = await told(store, tmp_path, log(shape))

    assert cdr.integrated_energy_kwh == pytest.approx(5.5)
    assert cdr.peak_power_kw == pytest.approx(11.0)
    assert cdr.charging_time_h == pytest.approx(0.5)
    assert cdr.parking_time_h == pytest.approx(1 / 6)
    assert set(cdr.flags) <= {POWER_FROM_CURRENT, "no_price"}


async def test_a_time_without_a_zone_is_read_with_a_word_about_it(store: Store, tmp_path: Path) -> None:
    cdr = await told(store, tmp_path, log(total, zone=""))

    assert cdr.integrated_energy_kwh == pytest.approx(5.5)
    assert await store.count_suspects("imported") == {ASSUMED: 3}


async def test_a_zone_of_two_digits_is_one(store: Store, tmp_path: Path) -> None:
    assert (await told(store, tmp_path, log(total, zone="+00"))).integrated_energy_kwh == pytest.approx(5.5)


async def test_values_that_name_no_transaction_are_those_of_the_one_that_ran(store: Store, tmp_path: Path) -> None:
    assert (await told(store, tmp_path, log(total, named=False))).integrated_energy_kwh == pytest.approx(5.5)


async def test_a_value_without_any_key_is_the_energy_register(store: Store, tmp_path: Path) -> None:
    cdr = await told(store, tmp_path, log(nothing_but_value))

    assert (cdr.energy_kwh, cdr.integrated_energy_kwh) == (5.5, None)
    assert {value.measurand for value in await store.meter_values()} == {"Energy.Active.Import.Register"}


async def test_intervals_of_energy_are_summed_where_nothing_says_power(store: Store, tmp_path: Path) -> None:
    def intervals(watt: float) -> list[Sample]:
        return [{"value": "2750" if watt else "0", "measurand": "Energy.Active.Import.Interval", "unit": "Wh"}]

    assert (await told(store, tmp_path, log(intervals))).integrated_energy_kwh == pytest.approx(5.5)


async def test_what_cannot_be_read_is_in_the_quarantine_with_its_place(store: Store, tmp_path: Path) -> None:
    def unknown(watt: float) -> list[Sample]:
        return [*total(watt), {"value": "much", "measurand": "Power.Offered"}, {"value": "1", "unit": "furlong"}]

    await told(store, tmp_path, log(unknown))

    found = await store.suspects("imported")
    assert len(found) == 6
    assert all(row.reason == "unreadable" and "log.jsonl, MeterValues of cp-1" in row.source for row in found)
    assert any("'much' is no number" in row.detail for row in found)
