"""The demo's day with everything going wrong, against what perfect foresight could have kept of its promises.

    python benchmarks/chaos.py

Two minutes on a machine that does nothing else: the fuse guard looks at every circuit every five simulated
seconds of a whole day. The yardstick is one program over the day as it happened (app/demo/promises.py), in which no
fault of a station hinders anybody: whoever knew of it could have told the station in time.
"""

import argparse
import asyncio
from time import perf_counter, process_time

from app import logs
from app.cli.demo import AT_CHAOS, demo_settings, free_port
from app.demo.chaos import ChaosResult, run_chaos
from app.main import keyed_service
from benchmarks.report import Report, arguments


async def measure(report: Report) -> None:
    """Run the day once; the same seed gives the same day."""
    began, spent_s = perf_counter(), process_time()
    with demo_settings(http_port=free_port(), ocpp_port=free_port(), **AT_CHAOS) as settings:
        result: ChaosResult = await run_chaos(lambda clock: keyed_service(settings, clock))
    case, day = "one day", result.day
    report.add(case, "wall time", perf_counter() - began, "s")
    report.add(case, "processor time", process_time() - spent_s, "s")
    report.add(case, "faults injected", len(result.mishaps), "")
    report.add(case, "promises kept", len(result.kept), "")
    report.add(case, "promises possible", len(result.possible), "")
    report.add(case, "seconds above a rating", day.realised.measured.violations, "s")
    report.add(case, "the same, uncontrolled", day.uncontrolled.measured.violations, "s")
    report.add(case, "unmet", day.realised.unmet_kwh, "kWh")
    for figure in report.figures:
        print(f"{figure.measure:28} {figure.value:10.1f} {figure.unit}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _, report = arguments(parser, "chaos")
    logs.configure("CRITICAL")
    asyncio.run(measure(report))


if __name__ == "__main__":
    main()
