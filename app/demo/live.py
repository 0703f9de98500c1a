"""The demo that stays up: the same site in real time, with some cars plugged in now."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from app.clock import Clock, SystemClock, sleep_until
from app.demo.result import ON_ITS_WAY, PROVEN
from app.demo.scenario import SEED, Scenario, Visit, build_scenario, moved, prices_of
from app.demo.service_client import RunningService, ServiceClient, ServiceFactory
from app.demo.simulated_site import PRICES_OF_TOMORROW, SimulatedSite

NOW_IN_THE_SCENARIO = timedelta(hours=8, minutes=45)  # after local midnight: twelve cars have come, none has left
WORLD_DAYS = 30  # how long base load and PV go on
SAMPLE_S = 10
METER_MINUTES = 1
RESULT_WITHIN_S = 40.0
LOOK_S = 1.0
ARRIVE_APART = timedelta(seconds=1)  # of the cars that are there from the start

Json = dict[str, Any]


async def run_live(
    start_service: ServiceFactory,
    *,
    seed: int = SEED,
    stop: asyncio.Event | None = None,
    console: Console | None = None,
    clock: Clock | None = None,
) -> None:
    """Run until `stop` is set: plug in, plan, print what each station was sent and draws, then go on charging.

    Base load, PV and prices are of this moment's local time of day; only the cars are moved, so that some are
    there. The same cars come again every day.
    """
    clock, console, stop = clock or SystemClock(), console or Console(), stop or asyncio.Event()
    now = clock.now()
    scenario = live_scenario(now, seed)
    async with (
        start_service(clock) as service,
        ServiceClient.open(service, clock, scenario.site.id) as client,
    ):
        site = SimulatedSite(scenario, clock, client, service.ocpp_url, sample_interval_s=SAMPLE_S, keep_traces=False)
        with console.status("importing four weeks of history"):
            await site.set_up(now)
            await client.add_prices(scenario.prices[1])
        async with asyncio.TaskGroup() as tasks:
            with console.status("connecting twelve charging stations"):
                background = await site.connect(tasks)
            background += [tasks.create_task(_come_every_day(site, visit)) for visit in scenario.visits]
            background.append(tasks.create_task(site.report_meters(METER_MINUTES)))
            background.append(tasks.create_task(_publish_prices_daily(scenario, clock, client)))
            with console.status("planning, sending, reading back"):
                there = sum(visit.arrival - now < timedelta(minutes=1) for visit in scenario.visits)
                plan = await _first_result(there, client, clock, stop)
            console.print(result_table(site, plan))
            console.print(_where(service))
            await stop.wait()
            for task in background:
                task.cancel()


def live_scenario(now: datetime, seed: int = SEED) -> Scenario:
    """The fixed day laid on today, with its cars moved so that it is 08:45 for them."""
    zone = build_scenario(seed).site.zone
    today = now.astimezone(zone).date()
    scenario = build_scenario(seed, today, days=WORLD_DAYS)
    first = min(visit.arrival for visit in scenario.visits)
    fixed = build_scenario(seed)
    since_first = fixed.start + NOW_IN_THE_SCENARIO - min(visit.arrival for visit in fixed.visits)
    visits = moved(scenario.visits, now - since_first - first)
    present = sorted((visit for visit in visits if visit.arrival <= now), key=lambda visit: visit.arrival)
    arrivals = {visit.session_id: now + ARRIVE_APART * number for number, visit in enumerate(present)}
    return replace(
        scenario,
        visits=tuple(replace(visit, arrival=arrivals.get(visit.session_id, visit.arrival)) for visit in visits),
    )


async def _come_every_day(site: SimulatedSite, visit: Visit) -> None:
    for day in count():
        (today,) = moved((visit,), timedelta(days=day))
        await site.visit(today)


async def _publish_prices_daily(scenario: Scenario, clock: Clock, client: ServiceClient) -> None:
    today = scenario.start.astimezone(scenario.site.zone).date()
    for days in count(1):
        await sleep_until(clock, scenario.start + timedelta(days=days) + PRICES_OF_TOMORROW)
        await client.add_prices(prices_of(scenario.site, today + timedelta(days=days + 1), (days + 1) % 2))


async def _first_result(cars: int, client: ServiceClient, clock: Clock, stop: asyncio.Event) -> Json | None:
    """Once a plan has every one of the cars and all its profiles are verified, the newest; or after a while."""
    deadline = clock.now() + timedelta(seconds=RESULT_WITHIN_S)
    while clock.now() < deadline and not stop.is_set():
        plan = await client.latest_schedule()
        states = [delivery["state"] for delivery in plan["deliveries"]] if plan is not None else []
        if len(states) >= cars and all(state in PROVEN for state in states):
            break
        await clock.sleep(LOOK_S)
    await clock.sleep(SAMPLE_S)  # let the cars follow
    return await client.latest_schedule()


def result_table(site: SimulatedSite, plan: Mapping[str, Any] | None) -> Table:
    """Of each station: what it was sent, whether that was verified, what it offers now and what its car draws."""
    deliveries = {
        (delivery["charging_station_id"], delivery["evse_id"]): delivery
        for delivery in (plan or {}).get("deliveries", [])
    }
    table = Table(
        title="What each charging station was sent, holds and draws",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,  # eight columns fit into the eighty characters of a plain terminal
        pad_edge=False,
    )
    for heading in ("station", "circuit", "car", "periods", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("offers A", "draws A", "draws kW"):
        table.add_column(heading, justify="right", no_wrap=True)
    for station_id, station in site.stations.items():
        station.advance()
        for evse_id, outlet in station.outlets.items():
            delivery = deliveries.get((station_id, evse_id))
            periods = len((delivery["profile"] or {}).get("periods", ())) if delivery else 0
            was_sent = delivery is not None and delivery["state"] in ON_ITS_WAY
            table.add_row(
                station_id,
                outlet.evse.circuit or "connection",
                outlet.car.vehicle.name if outlet.car else "",
                str(periods) if was_sent else "",
                _coloured(delivery["state"]) if delivery else "",
                f"{station.offered_a(evse_id):.1f}" if outlet.car else "",
                f"{outlet.current_a:.1f}" if outlet.car else "",
                f"{outlet.power_kw:.1f}" if outlet.car else "",
            )
    return table


def _coloured(state: str) -> str:
    return f"[green]{state}[/green]" if state in PROVEN else f"[yellow]{state}[/yellow]"


def _where(service: RunningService) -> str:
    return (
        f"\nDashboard: [link={service.http_url}]{service.http_url}[/link]"
        f"\nAPI key:   {service.api_key}"
        f"\nStations:  {service.ocpp_url}"
        "\n\nCars charge on in real time. Ctrl-C ends the demo."
    )
