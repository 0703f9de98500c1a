"""One service's night as a process of its own: `python night_service.py DATABASE_URL NAME LEASE_S WORK_S`.

It waits for a line on standard input, works off what the ledger has, and says what it does, a line each:
`sent SITE PLAN` when a plan reaches its dispatcher. It ends when its input does.
"""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

from app.clock import SystemClock
from app.csms.connector import Passport
from app.db.records import Delivery
from app.db.store import Store
from app.errors import OvertakenError
from app.events import Events
from app.gather import FallbackOnly, Gatherer
from app.planning.executor import make_executor
from app.planning.ledger import Ledger
from app.planning.nightly import Nightly
from app.planning.planner import Planner
from app.site import Site


class Announces:
    """A dispatcher that takes what it may, after `work_s`, and says so."""

    def __init__(self, store: Store, work_s: float) -> None:
        self._store = store
        self._work_s = work_s

    def passport(self, station_id: str) -> Passport:
        return Passport()

    def watched_until(self, now: datetime) -> datetime:
        return now

    async def send(self, site: Site, plan_id: str, *_: object) -> Sequence[Delivery]:
        await asyncio.sleep(self._work_s)
        if not await self._store.admit_plan(plan_id):
            raise OvertakenError(plan_id)
        say("sent", site.id, plan_id)
        return ()


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def main(url: str, name: str, lease_s: float, work_s: float) -> None:
    clock = SystemClock()
    async with Store.open(url, clock) as store:
        gatherer = Gatherer(store, clock, FallbackOnly(), connected=frozenset, horizon=timedelta(hours=6))
        ledger = Ledger(store, clock, owner=name, lease=timedelta(seconds=lease_s))
        with make_executor("thread") as executor:
            planner = Planner(store, gatherer, Announces(store, work_s), clock, Events(), executor, ledger=ledger)
            say("ready")
            await asyncio.to_thread(sys.stdin.readline)
            night = asyncio.create_task(Nightly(store, planner, clock).run())
            await asyncio.to_thread(sys.stdin.readline)
            night.cancel()


if __name__ == "__main__":
    _, url, name, *numbers = sys.argv
    asyncio.run(main(url, name, *map(float, numbers)))
