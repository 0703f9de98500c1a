"""Which mode a site is in, why, and who hears of it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.clock import SteppedClock
from app.db.operating_records import Override
from app.db.records import Json, Plan
from app.db.store import Store
from app.events import Event, Events, ModeChanged
from app.modes import NOTHING_PLANNED, Modes
from tests.app.db.builders import a_site
from tests.stores import a_store

NOW = datetime(2026, 4, 27, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


class World:
    def __init__(self, store: Store, clock: SteppedClock) -> None:
        self.store, self.clock, self.events, self.heard = store, clock, Events(), list[Event]()
        self.events.subscribe(self.heard.append)
        self.modes = Modes(store, clock, self.events)
        self.site = a_site()

    async def mode(self) -> str:
        now = await self.modes.look("depot")
        assert now is not None
        return now.mode


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = SteppedClock(NOW)
    async with a_store(clock, directory=tmp_path) as store:
        world = World(store, clock)
        await store.save_site(world.site)
        yield world


def a_plan(status: str = "optimal", *, basis: Json | None = None) -> Plan:
    said = {} if basis is None else {"basis": basis}
    return Plan("p", "depot", "replan", NOW, NOW, NOW + 12 * HOUR, status, "why", {}, {}, said)


def an_override(hours: float = 1) -> Override:
    return Override("o", "depot", "pause", NOW, NOW + hours * HOUR, "eve", station_id="cs01")


async def test_before_anything_was_planned_stations_keep_their_fallback(world: World) -> None:
    assert await world.mode() == "failsafe"
    assert world.heard == [ModeChanged("depot", "failsafe", NOTHING_PLANNED, NOW)]


async def test_each_outcome_of_planning_is_a_mode(world: World) -> None:
    seen = []
    for plan in (
        a_plan(),
        a_plan("fallback"),
        a_plan("fallback", basis={"basis": "last_plan", "reason": "the solver died"}),
    ):
        await world.modes.planned(world.site, plan)
        seen.append(await world.mode())
    await world.modes.failed(world.site, "no base load is known")
    seen.append(await world.mode())

    assert seen == ["optimised", "rule_based", "last_plan", "failsafe"]
    [newest, *_] = await world.store.audit("depot", action="mode.changed")
    assert newest.detail == {"mode": "failsafe", "was": "last_plan", "reason": "no base load is known"}
    assert [event.mode for event in world.heard if isinstance(event, ModeChanged)] == seen


async def test_the_same_mode_again_is_no_news_but_its_reason_is_kept_up(world: World) -> None:
    await world.modes.planned(world.site, a_plan("fallback"))
    await world.clock.run_until(NOW + HOUR)
    await world.modes.planned(world.site, replace(a_plan("fallback"), reason="another"))

    now = world.modes.of("depot")
    assert now is not None
    assert (now.reason, now.since) == ("another", NOW)
    assert len(await world.store.audit("depot")) == 1


async def test_what_is_set_by_hand_shows_until_it_ends(world: World) -> None:
    await world.modes.planned(world.site, a_plan())
    await world.store.add_override(an_override())
    during = await world.modes.look("depot")
    await world.clock.run_until(NOW + HOUR)

    assert during is not None
    assert (during.mode, during.reason) == ("manual", "pause of cs01 until 2026-04-27T09:00:00+00:00 by eve")
    assert await world.mode() == "optimised"


async def test_by_hand_is_not_said_where_there_is_no_plan(world: World) -> None:
    await world.store.add_override(an_override())

    assert await world.mode() == "failsafe"


async def test_shadow_comes_before_all(world: World) -> None:
    await world.modes.planned(world.site, a_plan())
    await world.store.save_site(a_site(mode="shadow"))

    assert await world.mode() == "shadow"


async def test_a_plan_that_has_ended_is_none(world: World) -> None:
    await world.modes.planned(world.site, a_plan())
    await world.clock.run_until(NOW + 12 * HOUR)

    assert await world.mode() == "failsafe"


async def test_a_restart_goes_by_the_plan_in_the_store(world: World) -> None:
    await world.store.save_plan(a_plan())
    after_restart = Modes(world.store, world.clock, Events())

    now = await after_restart.look("depot")

    assert now is not None
    assert now.mode == "optimised"


async def test_sites_are_counted_by_mode_and_forgotten_when_they_are_gone(world: World) -> None:
    await world.modes.planned(world.site, a_plan())
    counted = world.modes.counts()
    await world.store.delete_site("depot")
    await world.modes.look("depot")

    assert (counted["optimised"], sum(counted.values())) == (1, 1)
    assert sum(world.modes.counts().values()) == 0
