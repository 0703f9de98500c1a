"""The demo's day with everything going wrong: `smartcharge demo --chaos --once`.

Stations drop, ignore and come back, the building jumps, prices vanish, and the service is killed in the middle of its
work and started again on its database. Killed here means: every socket is cut and every task cancelled where it stands;
a process that is killed by the system is the matter of tests, since a stepped clock lives in one process.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx

from app.clock import SteppedClock, sleep_until
from app.demo.mishaps import JUMP_KW, METER_S, MISHAPS, Mishap, disturbed, jumped, surroundings_of
from app.demo.physics import Surroundings
from app.demo.policies import equal_share, judge, run_policy, uncontrolled
from app.demo.promises import kept, possible
from app.demo.result import DemoResult, PlannedCost, count_deliveries
from app.demo.run import METER_MINUTES, note_plans
from app.demo.scenario import Prices, Scenario, build_scenario
from app.demo.service_client import RunningService, ServiceClient, ServiceFactory
from app.demo.simulated_site import SimulatedSite

KEPT_SHARE = 0.95  # of the promises that could have been kept
RETRY_S = 5.0
START_WITHIN_S = 60.0  # real seconds


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """The day as the demo tells it, with what went wrong on it."""

    day: DemoResult
    mishaps: Sequence[Mishap]
    kept: frozenset[str]
    possible: frozenset[str]

    def to_json(self) -> dict[str, Any]:
        return self.day.to_json() | {
            "faults_injected": len(self.mishaps),
            "promises_kept": len(self.kept),
            "promises_possible": len(self.possible),
            "faults": [f"{mishap.hour:05.2f} h: {mishap}" for mishap in self.mishaps],
        }

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the exit status is not 0. That a profile was not verified is none: its station was made to fail."""
        found = [
            f"{excess.place} {excess.measure}: up to {excess.worst:.1f}, above {excess.rating:g} for {excess.seconds} s"
            for excess in self.day.realised.measured.excesses
        ]
        if len(self.kept) < KEPT_SHARE * len(self.possible):
            found.append(
                f"{len(self.kept)} of {len(self.possible)} possible promises were kept, not "
                f"{', '.join(sorted(self.possible - self.kept))}"
            )
        if self.day.uncontrolled.measured.violations == 0:
            found.append("uncontrolled charging exceeds no limit: the scenario proves nothing")
        return tuple(found)

    @property
    def is_good(self) -> bool:
        return not self.failures


class MortalService:
    """A service that can be killed, and started again on the same database and ports."""

    def __init__(self, start: ServiceFactory, clock: SteppedClock) -> None:
        self._start = start
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._running: RunningService | None = None

    @property
    def running(self) -> RunningService:
        if self._running is None:
            raise RuntimeError("the service is down")
        return self._running

    async def start(self) -> None:
        with self._clock.hold():
            started = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._live(started), name="service")
            async with asyncio.timeout(START_WITHIN_S):
                await asyncio.wait({started, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not started.done():
                await self._task  # it says why it did not come up

    async def kill(self) -> None:
        with self._clock.hold():
            if self._task is not None:
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task
            self._running = None

    async def _live(self, started: asyncio.Future[None]) -> None:
        async with self._start(self._clock) as self._running:
            started.set_result(None)
            await asyncio.Event().wait()


class PatientClient(ServiceClient):
    """Tries again, in simulated time, while the service is down."""

    def __init__(self, http: httpx.AsyncClient, clock: SteppedClock, site_id: str, service: MortalService) -> None:
        super().__init__(http, clock, site_id)
        self._service = service

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        while True:
            try:
                with self._clock.hold():
                    service = self._service.running
                    headers = {"Authorization": f"Bearer {service.api_key}"}
                    return await self._http.request(method, service.http_url + path, json=body, headers=headers)
            except (httpx.TransportError, RuntimeError):
                await self._clock.sleep(RETRY_S)


async def run_chaos(
    start_service: ServiceFactory, *, calm: Scenario | None = None, mishaps: Sequence[Mishap] = MISHAPS
) -> ChaosResult:
    """Step a clock through one local day on which `mishaps` happen: the demo's, or the hours of another, `calm` one."""
    calm = calm or build_scenario()
    calm = replace(calm, site=disturbed(calm.site))
    mishaps = [mishap for mishap in mishaps if mishap.until(calm) <= calm.end]
    scenario, surroundings = jumped(calm, mishaps), surroundings_of(calm, mishaps)
    clock, told = SteppedClock(calm.start), _known_prices(scenario, mishaps)
    service = MortalService(start_service, clock)
    await service.start()
    try:
        async with httpx.AsyncClient(timeout=60.0, trust_env=False) as http:
            client = PatientClient(http, clock, scenario.site.id, service)
            site = SimulatedSite(told, clock, client, service.running.ocpp_url)
            planned = PlannedCost(scenario)
            await site.set_up(scenario.start)
            async with asyncio.TaskGroup() as tasks:
                background = await site.connect(tasks)
                links = dict(zip(site.stations, background, strict=True))
                trouble = Trouble(scenario, clock, client, service, site, links, tasks)
                background = [
                    tasks.create_task(site.report_meters(METER_MINUTES)),
                    tasks.create_task(trouble.report_building(surroundings)),
                    tasks.create_task(note_plans(scenario, clock, client, planned)),
                    *(tasks.create_task(trouble.make(mishap)) for mishap in mishaps),
                    *(tasks.create_task(site.visit(visit)) for visit in scenario.visits),
                ]
                await clock.run_until(scenario.end)
                for task in (*background, *links.values()):
                    task.cancel()
            deliveries = count_deliveries(await client.schedules())
    finally:
        await service.kill()
    day = DemoResult(
        stations=len(site.stations),
        deliveries=deliveries,
        planned_cost=planned.total,
        realised=judge(scenario, surroundings, site.outlets, site.delivered_kwh),
        uncontrolled=run_policy(scenario, surroundings, uncontrolled),
        equal_share=run_policy(scenario, surroundings, equal_share),
    )
    were = kept(scenario, day.realised)
    return ChaosResult(day, mishaps, were, possible(scenario, surroundings) | were)


class Trouble:
    """Makes what goes wrong go wrong, and well again."""

    def __init__(
        self,
        scenario: Scenario,
        clock: SteppedClock,
        client: ServiceClient,
        service: MortalService,
        site: SimulatedSite,
        links: dict[str, asyncio.Task[None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._scenario = scenario
        self._clock = clock
        self._client = client
        self._service = service
        self._site = site
        self._links = links
        self._tasks = tasks

    async def make(self, mishap: Mishap) -> None:
        await sleep_until(self._clock, mishap.at(self._scenario))
        stations = [self._site.stations[name] for name in mishap.stations]
        match mishap.kind:
            case "drop":
                for station in stations:
                    station.line.abort()
            case "offline":
                for name in mishap.stations:
                    self._links[name].cancel()
            case "misbehave" if mishap.fault is not None:
                for station in stations:
                    station.faults.switch_on(mishap.fault)
            case "kill":
                for station in self._site.stations.values():
                    station.line.abort()
                await self._service.kill()
        await sleep_until(self._clock, mishap.until(self._scenario))
        await self._mend(mishap)

    async def _mend(self, mishap: Mishap) -> None:
        match mishap.kind:
            case "offline":
                for name in mishap.stations:
                    run = self._site.stations[name].run(self._service.running.ocpp_url)
                    self._links[name] = self._tasks.create_task(run)
            case "misbehave" if mishap.fault is not None:
                for name in mishap.stations:
                    self._site.stations[name].faults.switch_off(mishap.fault)
            case "kill":
                await self._service.start()
            case "prices":
                for prices in self._scenario.prices:  # late: the next day's were due at one
                    await self._client.add_prices(prices)

    async def report_building(self, surroundings: Surroundings) -> None:
        """What the building draws now: every minute, and at once when it jumps."""
        load_kw = surroundings.base_load_kw
        last = 0
        for second in range(METER_S, surroundings.seconds):
            if second - last < METER_S and abs(load_kw[second] - load_kw[second - 1]) < JUMP_KW:
                continue
            await sleep_until(self._clock, surroundings.start + timedelta(seconds=second))
            await self._client.add_readings([("building", self._clock.now(), float(load_kw[second]))])
            last = second


def _known_prices(scenario: Scenario, mishaps: Sequence[Mishap]) -> Scenario:
    """The scenario as the market publishes it in the morning: up to where the prices vanish."""
    ends = [mishap.hour for mishap in mishaps if mishap.kind == "prices"]
    if not ends:
        return scenario
    today, tomorrow = scenario.prices
    known = Prices(today.start, today.eur_per_mwh[: int(min(ends) * 4)])
    return replace(scenario, prices=(known, tomorrow))
