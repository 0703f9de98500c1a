"""What-if on the production path: the same gather, solve and check, and nothing that can send.

A scenario changes the site's document or what is believed of the day; each answer stands beside its baselines.
"""

import json
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from app.clock import Clock
from app.db.records import Json
from app.db.store import Store
from app.errors import InvalidInputError
from app.field_errors import refused_part
from app.gather import FallbackOnly, Gathered, Gatherer, WhatIf
from app.planning.planner import solve_in
from app.planning.solving import DEFAULTS, Keeping
from app.planning.timed_out import TimedOut
from app.problem_json import SessionIn
from app.site import Site, evse_key
from optimizer.domain import Schedule, Session
from optimizer.errors import InvalidProblemError


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name, keys of the site's document to replace, and beliefs to replace.

    `sessions` are in place of those of `what_if`: what a state of charge asks for follows from the scenario's EVSEs.
    """

    name: str
    site: Json = field(default_factory=dict)
    what_if: WhatIf = field(default_factory=WhatIf)
    sessions: Sequence[SessionIn] | None = None


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """The answer to one scenario, its problem and where its series came from."""

    name: str
    schedule: Schedule
    gathered: Gathered


class _Everything:
    """In a what-if every station answers."""

    def __contains__(self, _: object) -> bool:
        return True


class Simulator:
    """Runs scenarios of a site from the clock's now on. It holds no connector: its stations are all reachable."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        executor: Executor,
        *,
        horizon: timedelta,
        solver: str = "highs",
        timed_out: TimedOut | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._executor = executor
        self._solver = solver
        self._timed_out = timed_out
        self._gatherer = Gatherer(store, clock, FallbackOnly(), connected=_Everything, horizon=horizon)

    async def run(
        self, site_id: str, scenarios: Sequence[Scenario], *, baselines: Collection[str] = DEFAULTS
    ) -> list[ScenarioResult]:
        """Raises `NotFoundError`, `InvalidInputError` for a change that makes no site, and `ForecastError`."""
        site = await self._store.site(site_id)
        changed = [_changed(site, scenario) for scenario in scenarios]
        believed = [_believed(other, scenario) for scenario, other in zip(scenarios, changed, strict=True)]
        keeping = Keeping(self._timed_out, site_id, self._clock.now()) if self._timed_out else None
        results = []
        for scenario, other, what_if in zip(scenarios, changed, believed, strict=True):
            try:
                gathered = await self._gatherer.gather(other, what_if)
            except InvalidProblemError as refused:
                raise _in_scenario(scenario, refused) from refused
            schedule = await solve_in(
                self._executor, gathered.problem, self._solver, baselines=baselines, keeping=keeping
            )
            schedule = replace(schedule, warnings=(*gathered.warnings, *schedule.warnings))
            results.append(ScenarioResult(scenario.name, schedule, gathered))
        return results


def _changed(site: Site, scenario: Scenario) -> Site:
    document: dict[str, Any] = site.model_dump(mode="json")
    fixed = {"id", "mode"} & set(scenario.site)
    where = f"scenarios[{scenario.name}].site"
    if fixed:
        name = min(fixed)
        raise InvalidInputError(f"{where}.{name}", f"{scenario.site[name]!r} cannot be changed in a simulation")
    try:
        return Site.model_validate_json(json.dumps(document | scenario.site))
    except ValidationError as refused:
        raise refused_part(where, refused) from refused


def _believed(site: Site, scenario: Scenario) -> WhatIf:
    if scenario.sessions is None:
        return scenario.what_if
    efficiency = {
        evse_key(station.id, evse.id): evse.efficiency for station in site.charging_stations for evse in station.evses
    }

    def of(session: SessionIn) -> Session:
        try:
            return session.to_domain(efficiency.get(session.evse, 1.0))
        except InvalidProblemError as refused:
            raise _in_scenario(scenario, refused) from refused

    return replace(scenario.what_if, sessions=tuple(of(session) for session in scenario.sessions))


def _in_scenario(scenario: Scenario, refused: InvalidProblemError) -> InvalidInputError:
    return InvalidInputError(f"scenarios[{scenario.name}].{refused.field}", refused.message)
