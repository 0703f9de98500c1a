"""What stations of 2.x report of themselves, in the store."""

from dataclasses import replace
from typing import Any

import pytest

from app.db.records import ChargingLimit, StationNotice, StationVariable
from app.db.store import Store
from app.errors import NotFoundError
from tests.app.db.builders import NOON, a_site, at


@pytest.fixture
async def depot(store: Store) -> Store:
    await store.save_site(a_site())
    return store


def a_limit(**changes: Any) -> ChargingLimit:
    fields: dict[str, Any] = {"station_id": "cs01", "evse_id": 1, "source": "SO", "at": NOON, "schedules": [{"id": 1}]}
    return ChargingLimit(**(fields | changes))


async def test_a_source_has_one_limit_at_an_evse(depot: Store) -> None:
    await depot.save_charging_limit(a_limit())
    await depot.save_charging_limit(a_limit(source="EMS", evse_id=0))

    await depot.save_charging_limit(a_limit(at=at(5), is_grid_critical=True))

    newer = a_limit(at=at(5), is_grid_critical=True)
    assert await depot.charging_limits(site_id="depot") == [a_limit(source="EMS", evse_id=0), newer]
    assert await depot.charging_limits(station_id="cs02") == []


async def test_limits_are_cleared_by_source_and_by_evse(depot: Store) -> None:
    for limit in (a_limit(), a_limit(evse_id=2), a_limit(source="EMS")):
        await depot.save_charging_limit(limit)

    assert await depot.clear_charging_limits("cs01", evse_id=2, source="SO") == 1
    assert await depot.clear_charging_limits("cs01", evse_id=None, source="SO") == 1
    assert await depot.clear_charging_limits("cs01", evse_id=None, source="SO") == 0
    assert await depot.charging_limits() == [a_limit(source="EMS")]


async def test_limits_of_strangers_are_refused_and_those_that_left_are_not_listed(depot: Store) -> None:
    await depot.save_charging_limit(a_limit())
    with pytest.raises(NotFoundError):
        await depot.save_charging_limit(a_limit(station_id="cs99"))

    await depot.save_site(a_site(stations=("cs02",)))

    assert await depot.charging_limits() == []


def a_variable(**changes: Any) -> StationVariable:
    fields: dict[str, Any] = {
        "station_id": "cs01",
        "component": "SmartChargingCtrlr",
        "variable": "RateUnit",
        "at": NOON,
        "value": "A",
    }
    return StationVariable(**(fields | changes))


async def test_a_device_model_is_kept_variable_by_variable(depot: Store) -> None:
    power = a_variable(component="EVSE", evse_id=1, variable="Power", value=None, unit="W", max_limit=22000.0)

    await depot.save_variables([a_variable(), power, a_variable(value="W")])
    await depot.save_variables([a_variable(value="A,W", at=at(5))])

    assert await depot.variables("cs01") == [power, a_variable(value="A,W", at=at(5))]
    assert await depot.variables("cs01", component="evse") == [power]
    assert await depot.variables("cs02") == []


async def test_no_variables_are_none(depot: Store) -> None:
    await depot.save_variables([])

    assert await depot.variables("cs01") == []


async def test_the_newest_notices_of_each_station_are_kept(depot: Store) -> None:
    notice = StationNotice("cs01", NOON, "NotifyEvent", {"seqNo": 0})
    await depot.add_notice(replace(notice, station_id="cs02"))

    for number in range(5):
        await depot.add_notice(replace(notice, payload={"seqNo": number}), keep=3)

    assert [kept.payload["seqNo"] for kept in await depot.notices("cs01")] == [4, 3, 2]
    assert len(await depot.notices("cs01", limit=2)) == 2
    assert len(await depot.notices("cs02")) == 1
    numbered = await depot.numbered_notices("cs01", limit=2)
    assert [kept.payload["seqNo"] for _, kept in numbered] == [4, 3]
    rest = await depot.numbered_notices("cs01", before=numbered[-1][0])
    assert [kept.payload["seqNo"] for _, kept in rest] == [2]
    assert await depot.numbered_notices("cs01", action="operator:") == []


async def test_notices_of_strangers_are_refused(depot: Store) -> None:
    with pytest.raises(NotFoundError):
        await depot.add_notice(StationNotice("cs99", NOON, "NotifyEvent", {}))
