"""Raises that wait for somebody's meter: of one plan at each site, until there is room or a newer plan replaces it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.dispatch.delivery import Job
from app.dispatch.waves import Waves
from app.site import Site, split_evse_key
from optimizer.domain import Problem, Schedule


@dataclass(frozen=True, slots=True)
class SecondWave:
    """`keys`: all EVSEs of the plan, those for whose meters the waiting `jobs` wait among them."""

    site: Site
    plan_id: str
    problem: Problem
    schedule: Schedule
    jobs: list[Job]
    keys: frozenset[str]


class SecondWaves:
    """By site. `conclude` is told what became of the jobs that were sent."""

    def __init__(self, waves: Waves, conclude: Callable[[Site, str, Sequence[Job]], Awaitable[object]]) -> None:
        self._waves = waves
        self._conclude = conclude
        self._waiting: dict[str, SecondWave] = {}

    def put(self, wave: SecondWave) -> None:
        """A plan's, in place of whatever waited at its site."""
        if wave.jobs:
            self._waiting[wave.site.id] = wave
        else:
            self._waiting.pop(wave.site.id, None)

    def supersede(self, site_id: str) -> None:
        self._waiting.pop(site_id, None)

    def drop_all(self) -> None:
        self._waiting.clear()

    def is_waiting(self, site_id: str) -> bool:
        return site_id in self._waiting

    def drop(self, station_id: str, evse_id: int | None = None) -> None:
        """Nothing of an old plan is sent to a station that came back, or for a vehicle that has left."""
        for wave in self._waiting.values():
            wave.jobs[:] = [
                job
                for job in wave.jobs
                if split_evse_key(job.key)[0] != station_id or evse_id not in (None, split_evse_key(job.key)[1])
            ]

    async def go_on(self, site_id: str) -> None:
        """Send what has room by now. The caller sees to it that nobody else sends to the site."""
        wave = self._waiting.get(site_id)
        if wave is None:
            return
        jobs = list(wave.jobs)
        if await self._waves.go_on(wave.plan_id, wave.problem, wave.schedule, jobs, wave.keys):
            await self._conclude(wave.site, wave.plan_id, jobs)
        wave.jobs[:] = [job for job in wave.jobs if job.state == "withheld"]
        if not wave.jobs:
            self._waiting.pop(site_id, None)
