"""A building load jumps to two and a half times the rating of the grid connection: how soon the fuse guard is below it.

    python benchmarks/guard_step.py [--svg docs/images/guard-step.svg]

The service, its gateway and three simulated stations on real sockets, on a stepped clock; every car follows a lower
limit five seconds late, as late as IEC 61851-1 allows. A motor starts on the connection of 63 A: five seconds of
inrush at 2.5 times the rating together with 48 A of charging, then 35 A that stay. Once for each guard period, and
once without a live meter, which leaves the guard blind. Then what a look costs the processor.
"""

import argparse
import asyncio
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import cast

import numpy as np
import structlog

from app.clock import SteppedClock
from app.demo.breaker import EARLIEST, LATEST
from app.demo.physics import Power
from app.dispatch.in_force import wiring_of
from app.dispatch.restraint import Standing
from app.guard.post import Post, Restrains
from app.site import Site, evse_key
from benchmarks.guard_figure import drawing
from benchmarks.report import Report, arguments, timed
from tests.e2e.builders import MORNING, SITE, Json
from tests.e2e.stepped import Model, a_stepped_depot

RATING_A = 63.0
INRUSH_S, RUNNING_A, QUIET_KW, REACTION_S = 5, 35.0, 2.0, 5
A_PER_KW = 1000 / 230 / 3
PERIODS_S = (1.0, 2.0, 5.0, 10.0)
SHOWN_S = 60
SIZES = (12, 100, 500)


async def step(folder: Path, period_s: float | None) -> Power:
    """A on one phase of each second, from the second before the jump on; `period_s` None: there is no live meter."""
    meters = [] if period_s is None else [{"id": "grid", "measures": "grid", "interval_s": 1}]
    site: Json = {
        "meters": meters,
        "connection": {"max_current_a": RATING_A},
        "base_load": {"annual_energy_kwh": 10_000, "max_kw": 40},
    }
    models = {"cs01": Model(), "cs02": Model("2.0.1"), "cs03": Model("2.1")}
    changed = {"guard_period_s": period_s or 10.0}
    async with a_stepped_depot(folder, models, fuse_a=100.0, changed=changed, **site) as depot:
        depot.follows_after_s = REACTION_S
        depot.building(QUIET_KW)

        def shown() -> dict[str, float]:
            return {"grid": depot.building_kw[-1][1] * A_PER_KW + depot.charging_a()} if meters else {}

        async with depot.metered(shown):
            for station_id in models:
                await depot.arrive(station_id, wants_kwh=30.0)
            await depot.pass_time(minutes=5)
            start = depot.clock.now() - timedelta(seconds=1)
            depot.building((2.5 * RATING_A - depot.charging_a()) / A_PER_KW)
            await depot.pass_time(seconds=INRUSH_S)
            depot.building(RUNNING_A / A_PER_KW)
            await depot.pass_time(seconds=SHOWN_S)
            return depot.current_a(None, since=start)


def above_s(multiples: Power) -> int:
    """Seconds from the jump until it is at or below the rating for good; all of them when it never is."""
    over = np.flatnonzero(multiples[1:] > 1.01)
    return int(over[-1]) + 1 if over.size else 0


def look_ms(evses: int) -> float:
    """Of a site at which every EVSE has a plan that no longer fits."""
    document = SITE | {
        "connection": {"max_current_a": 4.0 * evses},
        "circuits": [{"id": f"row-{row}", "max_current_a": 160} for row in range(max(1, evses // 10))],
        "charging_stations": [
            {"id": f"cs{number}", "evses": [{"id": 1, "circuit": f"row-{number // 10}"}]}
            for number in range(evses // 10 * 10)
        ],
    }
    site = Site.model_validate(document)
    standings = [
        Standing(evse_key(one.id, 1), wiring, 16.0, 16.0, True, 6.0, 0.0, 1)
        for one in site.charging_stations
        if (wiring := wiring_of(site, one.id, 1)) is not None
    ]
    restraint = SimpleNamespace(standings=lambda *_: standings, planned_building=lambda *_: None, limit=lambda *_: None)
    post = Post(
        site,
        cast(Restrains, restraint),
        SteppedClock(MORNING),
        period=timedelta(seconds=2),
        give_back_after=timedelta(seconds=60),
    )
    post._tell = lambda *_: None  # type: ignore[method-assign]  # the sending is not what is timed
    spent_ms, _ = timed(20, post.look)
    return spent_ms


async def run(report: Report) -> dict[str, Power]:
    found = {}
    for period_s in (*PERIODS_S, None):
        name = "no live meter" if period_s is None else f"{period_s:g} s"
        with TemporaryDirectory() as folder:
            multiples = await step(Path(folder), period_s) / RATING_A
        found[name] = multiples
        report.add(name, "highest", float(multiples.max()), "× rating")
        report.add(name, "above_rating", float(above_s(multiples)), "s")
        report.add(name, "heat_latest", LATEST.heat(multiples), "of tripping")
        report.add(name, "heat_earliest", EARLIEST.heat(multiples), "of tripping")
        print(
            f"{name:>14}: {multiples.max():.2f} at most, above the rating for {above_s(multiples):>2} s, "
            f"{LATEST.heat(multiples):.0%} of the heat at which it must open"
        )
    return found


def main() -> None:
    """Print the table and, where asked for, draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", type=Path, help="draw the currents and the breaker's band into this file")
    options, report = arguments(parser, "guard_step")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    found = asyncio.run(run(report))
    for evses in SIZES:
        spent_ms = look_ms(evses)
        report.add(f"{evses} EVSEs", "look", spent_ms, "ms")
        print(f"{evses:>9} EVSEs: {spent_ms:.2f} ms a look")
    if options.svg:
        options.svg.write_text(drawing(found), encoding="utf-8")


if __name__ == "__main__":
    main()
