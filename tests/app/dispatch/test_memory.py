"""A dispatcher that works for years remembers what is, and not what was."""

import gc
from collections import deque
from datetime import timedelta

from app.db.records import Transaction
from app.events import TransactionStarted
from app.site import Site
from optimizer.domain import Session
from tests.app.dispatch.world import World, a_world

CONTAINERS = (dict, list, set, frozenset, tuple, deque)
CARS = (1, 2, 3)
HOURS = 3.0  # of each stay: what is counted by the day is forgotten after eight of them


def held(root: object) -> int:
    """How many entries the containers have that can be reached from `root` within the dispatcher's own objects."""
    entries, seen, left = 0, {id(root)}, [root]
    while left:
        one = left.pop()
        if isinstance(one, CONTAINERS):
            entries += len(one)
        for other in gc.get_referents(one):
            own = isinstance(other, CONTAINERS) or type(other).__module__.startswith("app.dispatch")
            if own and not isinstance(other, Site) and id(other) not in seen:
                seen.add(id(other))
                left.append(other)
    return entries


async def cars_come_and_go(world: World, stays: range) -> None:
    for stay in stays:
        for number in CARS:
            transaction_id = 10 * stay + number
            key, station_id = f"cs{number}/1", f"cs{number}"
            world.transactions[key] = Transaction(transaction_id, "depot", station_id, 1, "tag", world.clock.now(), 0.0)
            world.store.running.append(world.transactions[key])
            world.station(number).transactions[1] = transaction_id
            world.events.publish(TransactionStarted(station_id, 1, transaction_id, world.clock.now(), live=True))
        now = world.clock.now()
        there = tuple(
            Session(key, key, now, now + timedelta(hours=HOURS), 50, vehicle_phases=3) for key in world.transactions
        )
        for current_a in (10, 7, 9):
            await world.send(dict.fromkeys(CARS, current_a), sessions=there)
            for number in CARS:
                world.draw(number, current_a, current_a + 5 * (number == 3), every=timedelta(seconds=5))
            world.pass_time(minutes=2)
            await world.dispatcher.reconcile(world.site)
        await world.dispatcher.settle()
        for number in CARS:
            world.leave(number)
        world.pass_time(hours=HOURS)


async def test_stays_that_are_over_leave_nothing_behind() -> None:
    world = a_world(len(CARS), fallback_a=6)
    for number in CARS:
        world.leave(number)
        await world.dispatcher.prepare(world.site, f"cs{number}")
    await cars_come_and_go(world, range(1, 21))
    after_twenty = held(world.dispatcher)

    await cars_come_and_go(world, range(21, 61))

    assert held(world.dispatcher) <= after_twenty
