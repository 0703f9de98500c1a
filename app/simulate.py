"""What-if on the production path: the same gather, solve and check, and nothing that can send.

A scenario changes the site's document or what is believed of the day; each answer stands beside its baselines.
"""

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from app.clock import Clock
from app.db.records import Json
from app.db.store import Store
from app.errors import InvalidInputError
from app.gather import FallbackOnly, Gathered, Gatherer, WhatIf
from app.planner import solve_in
from app.site import Site
from optimizer.domain import Schedule


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name, keys of the site's document to replace, and beliefs to replace."""

    name: str
    site: Json = field(default_factory=dict)
    what_if: WhatIf = field(default_factory=WhatIf)


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
        self, store: Store, clock: Clock, executor: Executor, *, horizon: timedelta, solver: str = "highs"
    ) -> None:
        self._store = store
        self._executor = executor
        self._solver = solver
        self._gatherer = Gatherer(store, clock, FallbackOnly(), connected=_Everything, horizon=horizon)

    async def run(self, site_id: str, scenarios: Sequence[Scenario]) -> list[ScenarioResult]:
        """Raises `NotFoundError`, `InvalidInputError` for a change that makes no site, and `ForecastError`."""
        site = await self._store.site(site_id)
        changed = [_changed(site, scenario) for scenario in scenarios]
        results = []
        for scenario, other in zip(scenarios, changed, strict=True):
            gathered = await self._gatherer.gather(other, scenario.what_if)
            schedule = await solve_in(self._executor, gathered.problem, self._solver)
            schedule = replace(schedule, warnings=(*gathered.warnings, *schedule.warnings))
            results.append(ScenarioResult(scenario.name, schedule, gathered))
        return results


def _changed(site: Site, scenario: Scenario) -> Site:
    document: dict[str, Any] = site.model_dump(mode="json")
    fixed = {"id", "mode"} & set(scenario.site)
    if fixed:
        raise InvalidInputError(f"scenarios[{scenario.name}].site.{min(fixed)}", "cannot be changed in a simulation")
    try:
        return Site.model_validate_json(json.dumps(document | scenario.site))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(["site", *(str(part) for part in first["loc"])])
        raise InvalidInputError(f"scenarios[{scenario.name}].{path}", first["msg"]) from error
