"""A simulated day in lock-step with the real service: `smartcharge demo --once`."""

import asyncio
from datetime import timedelta

from app.clock import SteppedClock, sleep_until
from app.demo.policies import equal_share, judge, run_policy, uncontrolled
from app.demo.result import DemoResult, PlannedCost, count_deliveries
from app.demo.scenario import QUARTER, SEED, Scenario, build_scenario
from app.demo.service_client import ServiceClient, ServiceFactory
from app.demo.simulated_site import SimulatedSite, SwitchFaults

METER_MINUTES = 5


async def run_day(
    start_service: ServiceFactory,
    *,
    seed: int = SEED,
    hours: float = 24.0,
    switch_faults: SwitchFaults | None = None,
) -> DemoResult:
    """Step a clock through one local day, with the service that `start_service` starts on it.

    `switch_faults` is handed the stations before they connect. Fewer `hours` are for tests: the cars that leave later
    do not come.
    """
    scenario = build_scenario(seed)
    scenario = scenario.cut(hours) if hours < 24 else scenario
    clock = SteppedClock(scenario.start)
    async with (
        start_service(clock) as service,
        ServiceClient.open(service, clock, scenario.site.id) as client,
    ):
        site = SimulatedSite(scenario, clock, client, service.ocpp_url)
        if switch_faults is not None:
            switch_faults(site.stations)
        planned = PlannedCost(scenario)
        await site.set_up(scenario.start)
        async with asyncio.TaskGroup() as tasks:
            background = await site.connect(tasks)
            background += [
                tasks.create_task(site.report_meters(METER_MINUTES)),
                tasks.create_task(site.publish_prices_of_tomorrow()),
                tasks.create_task(note_plans(scenario, clock, client, planned)),
                *(tasks.create_task(site.visit(visit)) for visit in scenario.visits),
            ]
            await clock.run_until(scenario.end)
            for task in background:
                task.cancel()
        deliveries = count_deliveries(await client.schedules())
    surroundings = scenario.world.surroundings(scenario.start, scenario.end)
    return DemoResult(
        stations=len(site.stations),
        deliveries=deliveries,
        planned_cost=planned.total,
        realised=judge(scenario, surroundings, site.outlets, site.delivered_kwh),
        uncontrolled=run_policy(scenario, surroundings, uncontrolled),
        equal_share=run_policy(scenario, surroundings, equal_share),
    )


async def note_plans(scenario: Scenario, clock: SteppedClock, client: ServiceClient, planned: PlannedCost) -> None:
    """Note the plan that is in force at the end of each quarter of an hour."""
    for quarter in range(int((scenario.end - scenario.start) / QUARTER)):
        await sleep_until(clock, scenario.start + QUARTER * (quarter + 1) - timedelta(seconds=1))
        plan = await client.latest_schedule()
        if plan is not None:
            planned.note(quarter, plan)
