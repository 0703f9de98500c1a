"""The guard of one site over a real dispatcher: what stations hold after a look, and what they never hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from app.db.records import Delivery
from app.errors import StoreUnavailableError
from app.events import SiteMeasured, TransactionStarted
from app.guard.post import Look, Post
from app.guard.watch import Sample
from tests.app.dispatch.world import World, a_world

PERIOD = timedelta(seconds=2)
BUILDING = {"id": "building", "measures": "base_load", "interval_s": 5}
GRID = {"id": "grid", "measures": "grid", "interval_s": 5}
FEEDER = {"id": "feeder", "measures": "circuit", "circuit": "fuse", "interval_s": 5}
EVENLY = dict.fromkeys(("L1", "L2", "L3"), 0.0)


@dataclass
class Watched:
    """A world and the guard's post in it; what its meters show is said by the test."""

    world: World
    post: Post
    meters: dict[str, float] = field(default_factory=dict)  # A on each phase

    async def look(self, *, after_s: float = 2.0) -> Look:
        """Time passes, the meters report, the guard looks, and what it sends arrives."""
        self.world.pass_time(seconds=after_s)
        for meter_id, current_a in self.meters.items():
            self.post.watch.metered(
                SiteMeasured("depot", meter_id, self.world.clock.now(), None, dict.fromkeys(EVENLY, current_a))
            )
        look, _ = self.post.look()
        await self.post.settle()
        await self.world.dispatcher.settle()
        return look

    async def looks(self, *, seconds: float) -> Look:
        look = await self.look()
        for _ in range(int(seconds / 2)):
            look = await self.look()
        return look

    def sample(self, number: int, current_a: float) -> None:
        self.post.watch.sampled(f"cs{number}/1", Sample(self.world.clock.now(), current_a, number))

    def held_a(self) -> list[float]:
        return [station.limit_a(1, self.world.clock.now()) for station in self.world.connector.stations.values()]


async def a_watched_site(
    currents_a: Sequence[float], *, batteries_kw: dict[str | None, float] | None = None, **site_has: Any
) -> Watched:
    """Stations under a fuse of 32 A, with a plan that gives them `currents_a` for two hours."""
    has = {"connection": {"max_current_a": 40}, "meters": [BUILDING]} | site_has
    world = a_world(len(currents_a), site_has=has)
    post = Post(
        world.site,
        world.dispatcher.restraint,
        world.clock,
        period=PERIOD,
        give_back_after=timedelta(seconds=60),
        batteries=lambda _: batteries_kw or {},
    )
    for station in world.site.charging_stations:
        await world.dispatcher.prepare(world.site, station.id)
    await world.send(dict(enumerate(currents_a, 1)))
    return Watched(world, post, {"building": 5.0} if not site_has.get("meters") else {})


async def test_does_nothing_while_everything_fits() -> None:
    watched = await a_watched_site([16, 16])
    sent = [len(station.sent) for station in watched.world.connector.stations.values()]

    look = await watched.looks(seconds=120)

    assert (look.state, look.ceilings_a) == ("watching", {})
    assert [len(station.sent) for station in watched.world.connector.stations.values()] == sent


async def test_lowers_at_the_first_look_when_the_building_takes_what_was_planned_for_cars() -> None:
    watched = await a_watched_site([16, 16])
    watched.meters["building"] = 20.0

    look = await watched.look()

    assert watched.held_a() == pytest.approx([10, 10], abs=0.1)
    assert (look.state, look.building_source) == ("limiting", "measured")
    assert look.lowered_kw == pytest.approx(12 * 0.69, abs=0.1)


async def test_pauses_everybody_when_the_building_fills_the_connection() -> None:
    watched = await a_watched_site([16, 16])
    watched.meters["building"] = 100.0

    look = await watched.look()

    assert watched.held_a() == [0, 0]
    assert look.state == "overloaded"
    assert look.overloaded == ("connection L1", "connection L2", "connection L3")


async def test_gives_back_slowly_when_the_building_is_calm_again() -> None:
    watched = await a_watched_site([16, 16])
    watched.meters["building"] = 28.0
    await watched.look()
    lowest_a = watched.held_a()
    watched.meters["building"] = 5.0

    await watched.looks(seconds=50)
    still_a = watched.held_a()
    await watched.looks(seconds=20)
    first_step_a = watched.held_a()
    look = await watched.looks(seconds=400)

    assert (lowest_a, still_a) == ([6, 6], [6, 6])
    assert first_step_a == pytest.approx([11, 11], abs=0.1)
    assert watched.held_a() == pytest.approx([16, 16])
    assert look.state == "watching"


async def test_what_one_could_have_if_another_had_less_is_not_given_back() -> None:
    watched = await a_watched_site([16, 16])
    watched.meters["building"] = 28.0

    await watched.looks(seconds=200)

    assert watched.held_a() == [6, 6]


async def test_giving_back_takes_few_messages() -> None:
    watched = await a_watched_site([16, 16])
    sent = len(watched.world.station(1).sent)
    watched.meters["building"] = 28.0
    await watched.look()
    watched.meters["building"] = 5.0

    await watched.looks(seconds=600)

    assert len(watched.world.station(1).sent) - sent <= 5


async def test_a_plan_that_comes_while_evses_are_held_is_cut_before_it_is_sent() -> None:
    watched = await a_watched_site([16, 16])
    watched.meters["building"] = 20.0
    await watched.look()

    await watched.world.send({1: 16, 2: 16})

    assert watched.held_a() == pytest.approx([10, 10], abs=0.1)


async def test_what_stations_may_be_executing_is_known_to_the_book() -> None:
    watched = await a_watched_site([16, 16])
    watched.meters["building"] = 20.0

    await watched.look()

    limit = watched.world.dispatcher.in_force("cs1", 1, watched.world.clock.now())
    assert limit.current_a == pytest.approx(10, abs=0.1)
    assert (limit.source, limit.confirmed) == ("plan", True)


async def test_a_meter_that_falls_silent_counts_with_the_most_the_building_can_draw() -> None:
    watched = await a_watched_site([16, 16], base_load={"max_kw": 13.8})
    await watched.look()
    watched.meters.clear()

    await watched.looks(seconds=10)
    soon_a = watched.held_a()
    look = await watched.looks(seconds=10)

    assert soon_a == [16, 16]
    assert look.building_source == "assumed_maximum"
    assert sum(watched.held_a()) == pytest.approx(40 - 13.8 / 0.69 * 1.1, abs=0.2)


async def test_a_reading_that_no_load_could_cause_is_no_reading() -> None:
    watched = await a_watched_site([16, 16], base_load={"max_kw": 13.8})
    watched.meters["building"] = 500.0

    look = await watched.look()

    assert look.building_source == "assumed_maximum"
    assert all(current_a >= 6 for current_a in watched.held_a())


async def test_who_has_priority_is_lowered_last() -> None:
    watched = await a_watched_site([16, 16])
    problem = watched.world.problem()
    first, second = problem.sessions
    prior = type(first)(
        first.session_id, first.evse_id, first.arrival, first.departure, 50, vehicle_phases=3, priority=2
    )
    await watched.world.send({1: 16, 2: 16}, sessions=(prior, second))
    watched.meters["building"] = 20.0

    await watched.look()

    assert watched.held_a() == pytest.approx([6, 14], abs=0.1)


async def test_the_others_make_room_for_one_that_draws_more_than_it_may() -> None:
    watched = await a_watched_site([8, 12, 12], meters=[FEEDER])
    await watched.look()
    watched.world.pass_time(seconds=60)
    watched.sample(1, 16.0)

    look = await watched.look()

    assert look.disobedient == ("cs1/1",)
    assert watched.held_a()[1:] == pytest.approx([7.5, 7.5], abs=0.1)  # 16 A, and a margin of 1 A


async def test_current_that_nobody_explains_is_made_room_for_whoever_draws_it() -> None:
    watched = await a_watched_site([10, 10, 10], meters=[FEEDER])
    watched.meters["feeder"] = 30.0
    await watched.look()
    watched.world.pass_time(seconds=30)
    watched.meters["feeder"] = 36.0  # one of them draws 16 A

    await watched.look()

    lowered_a = watched.held_a()
    assert lowered_a == pytest.approx([8, 8, 8], abs=0.1)
    assert 16 + sum(lowered_a[1:]) <= 32.1


async def test_the_answer_of_the_meter_to_a_lower_limit_is_awaited() -> None:
    watched = await a_watched_site([16, 16], meters=[GRID])
    watched.meters["grid"] = 50.0
    await watched.look()
    first_a = watched.held_a()

    await watched.look()  # cars are still as they were: a second or two
    await watched.look()

    assert first_a == pytest.approx([11, 11], abs=0.1)
    assert watched.held_a() == first_a


async def test_a_car_that_wakes_up_within_its_limit_lowers_nobody() -> None:
    watched = await a_watched_site([16, 16], meters=[GRID])
    watched.meters["grid"] = 21.0
    for number, current_a in ((1, 16.0), (2, 0.0)):
        watched.world.pass_time(seconds=30)
        watched.sample(number, current_a)
    await watched.looks(seconds=40)

    watched.meters["grid"] = 37.0
    look = await watched.looks(seconds=20)

    assert look.ceilings_a == {}


async def test_the_others_are_lowered_when_one_does_not_take_a_lower_limit() -> None:
    watched = await a_watched_site([16, 16])
    watched.world.station(1).switches(1).reject = lambda profile: True
    watched.meters["building"] = 14.0

    first = await watched.look()
    await watched.looks(seconds=8)

    assert first.ceilings_a == {"cs1/1": pytest.approx(13, abs=0.1), "cs2/1": pytest.approx(13, abs=0.1)}
    assert watched.held_a() == pytest.approx([16, 10], abs=0.1)


async def test_lowers_though_the_database_is_away_and_gives_back_once_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def away(_: Sequence[Delivery]) -> None:
        raise StoreUnavailableError("gone")

    watched = await a_watched_site([16, 16])
    with monkeypatch.context() as broken:
        broken.setattr(watched.world.store, "save_deliveries", away)
        watched.meters["building"] = 20.0
        await watched.look()
        lowered_a = watched.held_a()
        watched.meters["building"] = 5.0
        await watched.looks(seconds=90)
        while_away_a = watched.held_a()

    await watched.world.send({1: 16, 2: 16})
    await watched.looks(seconds=400)

    assert lowered_a == pytest.approx([10, 10], abs=0.1)
    assert while_away_a == lowered_a
    assert watched.held_a() == pytest.approx([16, 16])


async def test_the_write_budget_stops_no_lowering() -> None:
    watched = await a_watched_site([16, 16])
    budget, now = watched.world.dispatcher._messenger.budget, watched.world.clock.now()
    for _ in range(200):
        budget.spend("cs1/1", now)
    watched.meters["building"] = 20.0

    await watched.look()

    assert watched.held_a() == pytest.approx([10, 10], abs=0.1)


async def test_one_that_left_is_held_no_more() -> None:
    watched = await a_watched_site([16, 16])
    watched.meters["building"] = 20.0
    await watched.look()

    watched.world.leave(1)
    look = await watched.look()

    assert set(look.ceilings_a) == {"cs2/1"}


async def test_a_meter_that_shows_the_same_for_ever_is_no_meter() -> None:
    watched = await a_watched_site([16, 16], base_load={"max_kw": 13.8})
    watched.meters["building"] = 5.0
    moving = [await watched.look() for _ in range(2)]

    stuck = await watched.looks(seconds=31 * 60)

    assert {look.building_source for look in moving} == {"measured"}
    assert stuck.building_source == "assumed_maximum"


async def test_a_car_on_one_phase_counts_with_one() -> None:
    watched = await a_watched_site([16, 16], connection={"max_import_kw": 15})
    watched.meters["building"] = 5.0
    three = await watched.look()
    alone = [replace(session, vehicle_phases=1) for session in watched.world.problem().sessions]
    await watched.world.send({1: 16, 2: 16}, sessions=tuple(alone))

    one = await watched.looks(seconds=400)

    assert three.state == "limiting"
    assert one.ceilings_a == {}
    assert watched.held_a() == [16, 16]


async def test_an_evse_at_which_nobody_stands_takes_nothing_from_the_others_until_somebody_comes() -> None:
    circuit = {"id": "fuse", "max_current_a": 20}
    watched = await a_watched_site([14, 0], fallback_current_a=6, circuits=[circuit])
    watched.world.leave(2)

    alone = await watched.look()
    watched.world.events.publish(TransactionStarted("cs2", 1, 99, watched.world.clock.now(), live=True))
    together = await watched.look()

    assert alone.ceilings_a == {}
    assert together.ceilings_a == {}  # 14 A and the fallback of 6 A are just what fits
    assert watched.post.watch.recent_a("cs2/1") == 6


async def test_what_a_battery_may_be_charging_with_is_not_there_for_cars() -> None:
    watched = await a_watched_site([16, 16], batteries_kw={None: 6.9})  # 10 A
    watched.meters["building"] = 10.0

    await watched.look()

    assert watched.held_a() == pytest.approx([10, 10], abs=0.1)  # of 40 A


async def test_a_battery_on_a_circuit_of_evses_is_explained_and_nobody_is_suspected() -> None:
    watched = await a_watched_site([11, 11], batteries_kw={"fuse": 6.9}, meters=[BUILDING, FEEDER])
    watched.sample(1, 11.0)
    watched.sample(2, 11.0)
    watched.meters = {"building": 5.0, "feeder": 32.0}

    look = await watched.looks(seconds=20)

    assert watched.held_a() == pytest.approx([11, 11], abs=0.1)
    assert look.state == "watching"
    assert watched.post.residual().unexplained == {}


async def test_a_grid_meter_shows_the_battery_already() -> None:
    watched = await a_watched_site([16, 16], batteries_kw={None: 6.9}, meters=[GRID])
    watched.sample(1, 16.0)
    watched.sample(2, 16.0)
    watched.meters = {"grid": 39.0}

    look = await watched.looks(seconds=10)

    assert look.state == "watching"
