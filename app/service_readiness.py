"""What is asked of this service before it says that it is ready, beyond the database and the stations' port."""

from collections.abc import Callable, Iterable
from functools import partial

from app.db.store import Store
from app.guard import Guard
from app.readiness import Readiness
from app.sources.feed import Feed

LONGEST_GUARD_PAUSE_S = 30.0  # three of its longest periods
LONGEST_WRITE_LAG_S = 10.0  # a writer that is well needs a twentieth of a second


def service_readiness(store: Store, guard: Guard, feeds: Callable[[], Iterable[Feed]]) -> Readiness:
    """Its questions."""
    readiness = Readiness()
    readiness.add("writer", partial(_writes, store))
    readiness.add("guard", partial(_guards, guard))
    readiness.add("sources", partial(_delivers, feeds), needed=False)  # estimates stand in
    return readiness


async def _guards(guard: Guard) -> str | None:
    age_s = guard.age_s()
    is_late = age_s is not None and age_s > LONGEST_GUARD_PAUSE_S
    return f"the fuse guard has not looked for {age_s:.0f} s" if is_late else None


async def _delivers(feeds: Callable[[], Iterable[Feed]]) -> str | None:
    bad = [feed for feed in feeds() if feed.state() in ("failing", "misconfigured")]
    return f"{len(bad)} sources do not deliver" if bad else None


async def _writes(store: Store) -> str | None:
    """What is wrong with the writer of meter values."""
    lag_s = store.write_lag_s
    if lag_s <= LONGEST_WRITE_LAG_S and not store.keeps_in_memory:
        return None
    return f"{store.waiting_meter_values} meter values have been waiting for {lag_s:.0f} s"
