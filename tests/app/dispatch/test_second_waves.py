"""The second wave waits for the meters of those whose room it needs, and for nobody else."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.dispatch.lowerings import GRACE
from app.events import StationConnected, TransactionStopped
from optimizer.domain import PHASES, Circuit, Evse
from tests.app.dispatch.world import FUSE_A, SLOTS, World, a_world


async def a_world_that_measures(stations: int, currents_a: dict[int, float], **more: object) -> World:
    """Every station draws what it may, and says so once a minute."""
    world = a_world(stations)
    await world.send(currents_a, **more)
    for _ in range(2):
        for number, current_a in currents_a.items():
            world.draw(number, current_a, every=timedelta(0))
        world.pass_time(seconds=60)
    await world.dispatcher.settle()
    return world


async def test_a_raise_waits_until_the_meter_shows_that_the_other_has_lowered() -> None:
    world = await a_world_that_measures(2, {1: 16, 2: 16})

    deliveries = await world.send({1: 26, 2: 6})

    assert deliveries[2].state == "applied"
    assert (deliveries[1].state, deliveries[1].detail) == ("withheld", "waits until the meter of cs2/1 shows less")
    assert world.station(1).limit_a(1, world.clock.now()) == 16
    world.pass_time(seconds=60)
    world.draw(2, 6, every=timedelta(0))
    await world.dispatcher.settle()
    assert world.store.saved["plan-2", "cs1", 1].state == "applied"
    assert world.station(1).limit_a(1, world.clock.now()) == 26


async def test_who_needs_none_of_that_room_goes_at_once() -> None:
    world = await a_world_that_measures(3, {1: 6, 2: 16, 3: 6})

    deliveries = await world.send({1: 10, 2: 6, 3: 6})

    assert {number: one.state for number, one in deliveries.items()} == {1: "applied", 2: "applied", 3: "verified"}


async def test_who_shares_no_overloaded_fuse_goes_at_once() -> None:
    circuits = (Circuit("fuse", max_current_a=FUSE_A), Circuit("other", max_current_a=FUSE_A))
    evses = tuple(Evse(f"cs{n}/1", "other" if n == 3 else "fuse", PHASES, max_current_a=32) for n in (1, 2, 3))
    world = await a_world_that_measures(3, {1: 16, 2: 16, 3: 16}, circuits=circuits, evses=evses)

    deliveries = await world.send({1: 26, 2: 6, 3: 32}, circuits=circuits, evses=evses)

    assert {number: one.state for number, one in deliveries.items()} == {1: "withheld", 2: "applied", 3: "applied"}


async def test_who_is_raised_later_only_goes_at_once() -> None:
    world = await a_world_that_measures(2, {1: 16, 2: 16})

    deliveries = await world.send({1: [16] * 2 + [26] * 6, 2: 6})

    assert deliveries[1].state == "applied"


async def test_a_meter_that_says_nothing_is_waited_for_one_interval() -> None:
    world = await a_world_that_measures(2, {1: 16, 2: 16})
    await world.send({1: 26, 2: 6})

    await world.dispatcher.reconcile(world.site)
    assert world.station(1).limit_a(1, world.clock.now()) == 16
    world.pass_time(seconds=60 + GRACE.total_seconds())
    await world.dispatcher.reconcile(world.site)

    assert world.station(1).limit_a(1, world.clock.now()) == 26


async def test_who_is_seen_to_draw_on_keeps_the_others_waiting() -> None:
    world = await a_world_that_measures(2, {1: 16, 2: 16})
    await world.send({1: 26, 2: 6})
    world.pass_time(seconds=60)
    world.draw(2, 16, 16)
    world.pass_time(minutes=5)

    await world.dispatcher.reconcile(world.site)

    assert world.store.saved["plan-2", "cs1", 1].state == "withheld"
    assert world.station(1).limit_a(1, world.clock.now()) == 16


async def test_the_next_plan_waits_too() -> None:
    world = await a_world_that_measures(2, {1: 16, 2: 16})
    await world.send({1: 16, 2: 6})

    deliveries = await world.send({1: 26, 2: 6})

    assert deliveries[1].state == "withheld"


async def test_a_newer_plan_takes_the_place_of_what_waits() -> None:
    world = await a_world_that_measures(2, {1: 16, 2: 16})
    await world.send({1: 26, 2: 6})
    await world.send({1: 12, 2: 6})
    world.pass_time(seconds=60)

    world.draw(2, 6, every=timedelta(0))
    await world.dispatcher.settle()

    assert world.station(1).limit_a(1, world.clock.now()) == 12


async def test_nothing_is_raised_for_a_vehicle_that_has_left() -> None:
    world = await a_world_that_measures(2, {1: 16, 2: 16})
    await world.send({1: 26, 2: 6})
    world.leave(1)
    world.station(1).sent.clear()
    world.pass_time(seconds=60)

    world.draw(2, 6, every=timedelta(0))
    await world.dispatcher.settle()

    assert world.station(1).sent == []


async def test_nothing_is_raised_at_a_station_that_came_back() -> None:
    """It is prepared first, and gets a plan of its own."""
    world = await a_world_that_measures(2, {1: 16, 2: 16})
    await world.send({1: 26, 2: 6})
    world.events.publish(StationConnected("cs1", world.clock.now()))
    world.station(1).sent.clear()
    world.pass_time(seconds=60)

    world.draw(2, 6, every=timedelta(0))
    await world.dispatcher.settle()

    assert world.station(1).sent == []


async def test_the_room_of_a_vehicle_that_left_is_free() -> None:
    world = await a_world_that_measures(2, {1: 16, 2: 16})
    await world.send({1: 26, 2: 6})
    world.events.publish(TransactionStopped("cs2", 1, 2, world.clock.now(), live=True))

    await world.dispatcher.reconcile(world.site)

    assert world.station(1).limit_a(1, world.clock.now()) == 26


split = st.sampled_from([(16, 16), (0, 32), (32, 0), (6, 26), (26, 6), (10, 6), (6, 10)])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plans=st.lists(split, min_size=2, max_size=5),
    laziness=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
async def test_no_vehicle_that_follows_slowly_overloads_the_fuse(
    plans: list[tuple[float, float]], laziness: tuple[int, int]
) -> None:
    """A vehicle that is up to three samples late with lowering never meets one that was raised into its room."""
    world = a_world(2)
    allowed_a = [[0.0] * 4, [0.0] * 4]  # of each station, the last four minutes
    for plan in plans:
        await world.send({1: [plan[0]] * SLOTS, 2: [plan[1]] * SLOTS})
        for _ in range(6):
            drawn_a = []
            for number in (1, 2):
                history = allowed_a[number - 1]
                history.append(world.station(number).limit_a(1, world.clock.now()))
                drawn_a.append(max(history[-1 - laziness[number - 1] :]))
            assert sum(drawn_a) <= FUSE_A + 1
            for number in (1, 2):
                world.draw(number, drawn_a[number - 1], every=timedelta(0))
            await world.dispatcher.settle()
            world.pass_time(seconds=60)
            await world.dispatcher.reconcile(world.site)
