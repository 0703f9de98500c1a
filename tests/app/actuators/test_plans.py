"""What the gatherer makes of batteries and PV: variables only where somebody commands them, and room where not."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.actuators.fleet import Fleet
from app.actuators.setpoints import set_points
from app.clock import SteppedClock
from app.db.operating_records import GridLimit, GridLimitEntry
from app.db.records import Reading
from app.db.store import Store
from app.gather import FallbackOnly, Gatherer
from app.gather.history import History
from app.gather.live import without_batteries
from app.planning.solving import by_rules
from app.site import Site
from forecasts.series import utc_index
from optimizer.check import violations
from optimizer.domain import Battery, Reservation
from optimizer.optimise import optimise
from tests.app.actuators.actuator_world import battery_document, site_document
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, 5, tzinfo=UTC)
STORE = Battery("store", capacity_kwh=20, energy_kwh=10, max_charge_kw=10, max_discharge_kw=10)
SERIES: dict[str, Any] = {
    "kind": "time_of_use",
    "periods": [
        {
            "steps": [
                {"start": "00:00", "price_per_kwh": 0.1},
                {"start": "17:00", "price_per_kwh": 0.5},
                {"start": "20:00", "price_per_kwh": 0.2},
            ]
        }
    ],
}


class Knows:
    """In the place of the service's actuators."""

    def __init__(self, fleet: Fleet) -> None:
        self.answer = fleet

    async def fleet(self, *_: object) -> Fleet:
        return self.answer


def a_site(**changes: Any) -> Site:
    has = {"base_load": {"annual_energy_kwh": 40_000, "max_kw": 20}, "tariff": SERIES} | changes
    return Site.model_validate(site_document(battery_document(502), **has))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        yield store


def a_gatherer(store: Store, fleet: Fleet | None) -> Gatherer:
    return Gatherer(
        store,
        SteppedClock(NOW),
        FallbackOnly(),
        connected=frozenset,
        horizon=timedelta(hours=24),
        fleet=None if fleet is None else Knows(fleet),
    )


async def test_a_battery_that_is_commanded_is_planned_and_the_plan_passes_the_checker(store: Store) -> None:
    site = a_site()
    await store.save_site(site)

    problem = (await a_gatherer(store, Fleet(batteries=(STORE,))).gather(site)).problem
    schedule = optimise(problem)

    assert problem.batteries == (STORE,)
    assert violations(problem, schedule).caused == ()
    assert min(schedule.batteries["store"].power_kw) < -1  # in the dear evening
    assert max(schedule.batteries["store"].power_kw) > 1


async def test_without_anybody_who_commands_it_a_battery_is_a_forecast(store: Store) -> None:
    site = a_site()
    await store.save_site(site)

    gathered = await a_gatherer(store, None).gather(site)

    assert gathered.problem.batteries == ()
    assert gathered.warnings == ("battery store is not planned: this service does not command it",)


async def test_what_a_battery_may_draw_is_reserved_and_said(store: Store) -> None:
    site = a_site()
    await store.save_site(site)
    reservation = Reservation((14.5, 14.5, 14.5), circuit_id="connection")
    fleet = Fleet(reservations=(reservation,), warnings=("why",), said={"battery/store": "why"})

    gathered = await a_gatherer(store, fleet).gather(site)

    assert reservation in gathered.problem.reservations
    assert "why" in gathered.warnings
    assert gathered.provenance["not_commanded"] == {"battery/store": "why"}


async def test_pv_is_curtailed_only_where_it_can_be_commanded(store: Store) -> None:
    site = a_site(pv_arrays=[{"id": "roof", "peak_kw": 20}], pv_curtailable=True, latitude=52, longitude=13)
    await store.save_site(site)

    alone = (await a_gatherer(store, None).gather(site)).problem
    commanded = (await a_gatherer(store, Fleet(pv_curtailable=True)).gather(site)).problem

    assert not alone.pv_curtailable
    assert commanded.pv_curtailable


async def test_batteries_charge_within_a_grid_operators_limit(store: Store) -> None:
    site = a_site()
    await store.save_site(site)
    end = NOW + timedelta(hours=6)
    limit = GridLimit("l", "depot", "dso", "1", "import", 18.0, NOW, end, NOW)
    await store.save_grid_limit(limit, GridLimitEntry("l", NOW, "received", {}))

    problem = (await a_gatherer(store, Fleet(batteries=(replace(STORE, energy_kwh=1.0),))).gather(site)).problem
    schedule = optimise(problem)

    limited_kw = [
        kw + problem.safe_base_load_kw[slot]
        for slot, kw in enumerate(schedule.batteries["store"].power_kw)
        if problem.horizon.slot_start(slot) < end and kw > 0.01
    ]
    assert violations(problem, schedule).caused == ()
    assert limited_kw
    assert max(limited_kw) <= 18.0 + 1e-3


async def test_a_building_behind_a_grid_meter_is_forecast_without_the_battery_that_is_commanded(store: Store) -> None:
    meters = [{"id": "grid", "measures": "grid"}, {"id": "bat", "measures": "battery"}]
    site = a_site(meters=meters)
    await store.save_site(site)
    index = utc_index(NOW - timedelta(hours=1), 15, 4)
    moments = [NOW - timedelta(hours=1) + timedelta(minutes=5 * number) for number in range(12)]
    await store.add_readings([Reading("depot", "grid", at, 12.0) for at in moments])
    await store.add_readings([Reading("depot", "bat", at, 5.0) for at in moments])

    commanded_kw = await History(store).base_load(site, index)
    plain = Site.model_validate(site.model_dump(mode="json") | {"batteries": []})
    forecast_kw = await History(store).base_load(plain, index)

    assert commanded_kw.dropna().unique() == pytest.approx([7.0])
    assert forecast_kw.dropna().unique() == pytest.approx([12.0])


def test_what_a_grid_meter_shows_is_the_building_and_the_batteries() -> None:
    behind_grid = a_site(meters=[{"id": "grid", "measures": "grid", "interval_s": 2}])
    nobody_commands = a_site(
        batteries=[{"id": "store", "capacity_kwh": 20, "max_charge_kw": 10, "max_discharge_kw": 10}],
        meters=[{"id": "grid", "measures": "grid", "interval_s": 2}, {"id": "bat", "measures": "battery"}],
    )
    own_meter = a_site(meters=[{"id": "building", "measures": "base_load", "interval_s": 2}])

    assert without_batteries(behind_grid, 12.0, {}, NOW, otherwise_kw=5.0) == 7.0
    assert without_batteries(behind_grid, 12.0, {}, NOW, otherwise_kw=-5.0) == 17.0
    assert without_batteries(nobody_commands, 12.0, {"bat": (NOW, 9.0)}, NOW, otherwise_kw=0.0) == 12.0
    assert without_batteries(own_meter, 12.0, {}, NOW, otherwise_kw=5.0) == 12.0
    assert without_batteries(behind_grid, None, {}, NOW, otherwise_kw=5.0) is None


def test_a_batterys_own_meter_is_believed_before_its_set_point() -> None:
    site = a_site(
        meters=[{"id": "grid", "measures": "grid", "interval_s": 2}, {"id": "bat", "measures": "battery"}],
    )
    fresh, old = {"bat": (NOW - timedelta(minutes=1), 2.0)}, {"bat": (NOW - timedelta(minutes=9), 2.0)}

    assert without_batteries(site, 12.0, fresh, NOW, otherwise_kw=5.0) == 10.0
    assert without_batteries(site, 12.0, old, NOW, otherwise_kw=5.0) == 7.0


async def test_a_plan_by_rules_leaves_batteries_at_rest(store: Store) -> None:
    site = a_site()
    await store.save_site(site)
    problem = (await a_gatherer(store, Fleet(batteries=(STORE,))).gather(site)).problem

    schedule = by_rules(problem, "the solver died", baselines=())
    plan = set_points(site, "p", NOW, problem, schedule)

    assert set(plan.by_device["battery/store"]) == {0.0}
