from datetime import datetime, timedelta

import pytest

from app.api.site_now import site_now
from app.db.records import MeterValue, Reading, Transaction
from app.site import Site
from tests.app.api.builders import NOW, SITE, an_api

RECENT, OLD = NOW - timedelta(minutes=2), NOW - timedelta(minutes=20)
DEPOT = Site.model_validate(SITE)


def a_power(station_id: str, watt: float, at: datetime = RECENT, phase: str = "") -> MeterValue:
    return MeterValue(station_id, 1, at, "Power.Active.Import", watt, "W", phase=phase)


def a_transaction(station_id: str = "cs01") -> Transaction:
    return Transaction(7, "depot", station_id, 1, "TAG", OLD, 0.0)


def test_base_load_is_what_remains_of_the_grid_meter() -> None:
    readings = {"grid": (RECENT, 20.0), "roof": (NOW, 5.0)}
    values = {("cs01", 1): [a_power("cs01", 11_000)]}

    now = site_now(DEPOT, NOW, readings, values, [a_transaction()])

    assert now.charging.kw == pytest.approx(11)
    assert now.base_load.kw == pytest.approx(20 + 5 - 11)
    assert (now.connection.kw, now.connection.source) == (20, "measured")
    assert (now.base_load.source, now.base_load.age_s) == ("computed", 120)
    assert now.connection.max_import_kw == 100


def test_the_connection_is_computed_where_only_the_building_is_metered() -> None:
    site = Site.model_validate(SITE | {"meters": [{"id": "building", "measures": "base_load"}], "pv_arrays": []})

    now = site_now(site, NOW, {"building": (RECENT, 30.0)}, {("cs01", 1): [a_power("cs01", 7_400)]}, [a_transaction()])

    assert now.connection.kw == pytest.approx(37.4)
    assert now.connection.source == "computed"


def test_phases_are_added_where_no_total_was_sent() -> None:
    values = {("cs01", 1): [a_power("cs01", 3_600, phase=phase) for phase in ("L1", "L2", "L3")]}

    assert site_now(DEPOT, NOW, {}, values, [a_transaction()]).charging.kw == pytest.approx(10.8)


def test_an_old_value_is_unknown_while_a_transaction_runs_and_no_power_after_it() -> None:
    values = {("cs01", 1): [a_power("cs01", 11_000, at=OLD)]}

    running = site_now(DEPOT, NOW, {}, values, [a_transaction()])
    idle = site_now(DEPOT, NOW, {}, values, [])

    assert (running.charging.kw, running.charging.source) == (None, "unknown")
    assert idle.charging.kw == 0


def test_nothing_measured_is_unknown_and_not_zero() -> None:
    now = site_now(DEPOT, NOW, {"roof": (OLD, 5.0)}, {}, [])

    assert (now.connection.kw, now.base_load.kw, now.pv.kw) == (None, None, None)
    assert now.battery.kw == 0  # there is none


async def test_the_route_reads_what_was_stored() -> None:
    async with an_api() as api:
        await api.store.add_readings([Reading("depot", "grid", RECENT, 12.5), Reading("depot", "roof", RECENT, 2.5)])

        now = (await api.client.get("/v1/sites/depot/now")).json()

        assert now["connection"]["kw"] == 12.5
        assert now["base_load"]["kw"] == 15
        assert now["base_load"]["age_s"] == 120
        assert [evse["power"]["kw"] for evse in now["evses"]] == [0, 0]
