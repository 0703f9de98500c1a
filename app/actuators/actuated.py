"""A plan on its way: batteries that must charge less go first, then the EVSEs, then all other set-points.

The dispatcher lowers before it raises; a battery that frees a fuse is part of what is lowered. Where it does not
certainly follow, nobody may be given its room: the plan is not sent, and another one, which reserves it, is asked for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from app.actuators.actuators import Actuators
from app.csms.connector import Passport
from app.db.records import Delivery, Transaction
from app.dispatch import Dispatcher
from app.site import Site
from optimizer.domain import Problem, Schedule

log = structlog.get_logger()


class Actuated:
    """In the dispatcher's place for the planner."""

    def __init__(self, dispatcher: Dispatcher, actuators: Actuators) -> None:
        self._dispatcher = dispatcher
        self._actuators = actuators

    def passport(self, station_id: str) -> Passport:
        return self._dispatcher.passport(station_id)

    def watched_until(self, now: datetime) -> datetime:
        return self._dispatcher.watched_until(now)

    async def send(
        self,
        site: Site,
        plan_id: str,
        problem: Problem,
        schedule: Schedule,
        transactions: Mapping[str, Transaction],
    ) -> Sequence[Delivery]:
        """Raises as the dispatcher does: a plan that was overtaken commands no battery either."""
        try:
            if not await self._actuators.make_room(site, plan_id, problem, schedule):
                log.warning("plan not sent: a battery does not make room for it", site=site.id, plan=plan_id)
                self._actuators.replan(site.id)
                return ()
            deliveries = await self._dispatcher.send(site, plan_id, problem, schedule, transactions)
            self._actuators.follow(site, plan_id, problem, schedule)
            return deliveries
        finally:
            self._actuators.let_go(site.id, plan_id)
