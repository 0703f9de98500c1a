"""The plan in force finds its way into the next problem, and the next plan keeps to it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.clock import SteppedClock
from app.db.records import Plan, Wish
from app.db.store import Store
from app.gather import FallbackOnly, Gatherer, WhatIf
from app.gather.in_force import planned_kw
from app.problem_json import problem_to_json, schedule_to_json
from app.site import Site
from optimizer.domain import Horizon
from optimizer.optimise import optimise
from tests.optimizer.builders import START, a_session
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, 5, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
DOCUMENT: dict[str, Any] = {
    "id": "depot",
    "name": "Depot",
    "time_zone": "Europe/Berlin",
    "connection": {"max_import_kw": 60},
    "circuits": [{"id": "row", "max_current_a": 32}],
    "charging_stations": [{"id": f"cs{n}", "evses": [{"id": 1, "circuit": "row"}]} for n in (1, 2)],
    "base_load": {"annual_energy_kwh": 60_000},
    "tariff": {"kind": "fixed", "price_per_kwh": 0.3},
}


def a_plan(power_kw: list[float], *, session_id: str = "tx-1", start: datetime = START) -> Plan:
    """An hourly plan of one EVSE."""
    return Plan(
        plan_id="p1",
        site_id="depot",
        kind="request",
        created_at=start,
        start=start,
        end=start + timedelta(hours=len(power_kw)),
        status="optimal",
        reason=None,
        problem={"slot_minutes": 60, "sessions": [{"id": session_id, "evse": "evse-1"}]},
        schedule={"evses": {"evse-1": {"power_kw": power_kw}}},
    )


def test_a_plan_is_read_slot_by_slot_and_is_zero_after_its_end() -> None:
    horizon = Horizon(START + timedelta(hours=1), 60, 3)

    assert planned_kw(a_plan([1, 2, 3]), horizon, [a_session()]) == {"evse-1": (2, 3, 0)}


def test_shorter_slots_have_the_power_of_the_longer_one_that_they_lie_in() -> None:
    horizon = Horizon(START + timedelta(minutes=30), 30, 4)

    assert planned_kw(a_plan([1, 2, 3]), horizon, [a_session()]) == {"evse-1": (1, 2, 2, 3)}


def test_another_vehicle_is_not_bound_by_the_plan_of_the_one_before() -> None:
    assert planned_kw(a_plan([1, 2, 3], session_id="tx-0"), Horizon(START, 60, 3), [a_session()]) == {}


def test_a_plan_that_is_over_says_nothing() -> None:
    assert planned_kw(a_plan([1, 2, 3]), Horizon(START + timedelta(hours=3), 60, 3), [a_session()]) == {}


def test_without_a_plan_nothing_is_in_force() -> None:
    horizon = Horizon(START, 60, 3)

    assert planned_kw(None, horizon, [a_session()]) == {}
    assert planned_kw(replace(a_plan([1]), problem={}, schedule={}), horizon, [a_session()]) == {}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(SteppedClock(NOW), directory=tmp_path) as store:
        await store.save_site(Site.model_validate(DOCUMENT))
        for number in (1, 2):
            await store.start_transaction(
                station_id=f"cs{number}", evse_id=1, id_tag="tag", started_at=NOW - QUARTER, meter_start_wh=0
            )
            until = NOW + timedelta(hours=5 + number)
            await store.save_wish(Wish(f"w{number}", "depot", until, 20.0, NOW, f"cs{number}", 1, vehicle_phases=3))
        yield store


def a_gatherer(store: Store, now: datetime) -> Gatherer:
    reachable = frozenset({"cs1", "cs2"})
    clock, horizon = SteppedClock(now), timedelta(hours=12)
    return Gatherer(store, clock, FallbackOnly(), connected=lambda: reachable, horizon=horizon)


async def test_a_plan_made_again_a_slot_later_changes_next_to_nothing(store: Store) -> None:
    site = await store.site("depot")
    problem = (await a_gatherer(store, NOW).gather(site)).problem
    before = optimise(problem, baselines=False)
    plan = Plan(
        plan_id="p1",
        site_id="depot",
        kind="request",
        created_at=NOW,
        start=problem.horizon.start,
        end=problem.horizon.end,
        status=before.status,
        reason=None,
        problem=problem_to_json(problem),
        schedule=schedule_to_json(before),
    )
    await store.save_plan(plan)

    again = (await a_gatherer(store, NOW + QUARTER).gather(site)).problem
    after = optimise(again, baselines=False)

    assert all(evse.planned_kw is None for evse in problem.evses)
    for evse in again.evses:
        assert evse.planned_kw == (*before.power_kw[evse.evse_id][1:], 0.0)
    changed = sum(
        abs(one - other) > 1e-6
        for evse in again.evses
        for one, other in zip(evse.planned_kw or (), after.power_kw[evse.evse_id], strict=True)
    )
    # Nobody has charged in between: each is to get elsewhere what the slot that is over was to bring.
    assert changed <= 4


async def test_a_what_if_is_not_bound_by_todays_plan(store: Store) -> None:
    site = await store.site("depot")
    gatherer = a_gatherer(store, NOW)
    problem = (await gatherer.gather(site)).problem
    number = problem.sessions[0].session_id
    plan = replace(a_plan([1.0] * 6, session_id=number, start=problem.horizon.start))
    plan.problem["sessions"][0]["evse"] = problem.sessions[0].evse_id
    plan.schedule["evses"] = {problem.sessions[0].evse_id: {"power_kw": [1.0] * 6}}
    await store.save_plan(plan)

    bound, free = (await gatherer.gather(site)).problem, (await gatherer.gather(site, WhatIf())).problem

    assert any(evse.planned_kw is not None for evse in bound.evses)
    assert all(evse.planned_kw is None for evse in free.evses)
