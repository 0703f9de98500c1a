"""What is not enough for everybody: the whole solve of sites that cannot serve all, beside the same sites that can.

    python benchmarks/optimizer_contention.py [M L XL] [--of-the-fuses 0.3]

The sites of `optimizer_solve`, and the same with so much less at the connection and at every circuit. The division by
class, floor, share and total is in the solve; each is run once, for it takes seconds.
"""

import argparse
from dataclasses import replace

from benchmarks.optimizer_solve import SIZES, site
from benchmarks.report import arguments, clock_s, shown
from optimizer.domain import Problem, Schedule
from optimizer.solve import solve

SHORT_KWH = 0.01  # less is rounding, nobody goes short
LIMIT_S = 300.0


def scarce(problem: Problem, share: float) -> Problem:
    """The site with this share of its connection and of its circuits' ratings."""
    connection, circuits = problem.connection, problem.circuits
    import_kw = None if connection.max_import_kw is None else share * connection.max_import_kw
    rated_a = [None if one.max_current_a is None else share * one.max_current_a for one in circuits]
    return replace(
        problem,
        connection=replace(connection, max_import_kw=import_kw),
        circuits=tuple(replace(one, max_current_a=most) for one, most in zip(circuits, rated_a, strict=True)),
    )


def measured(problem: Problem) -> tuple[float, Schedule]:
    """Seconds of the whole solve."""
    began = clock_s()
    schedule = solve(problem)
    return clock_s() - began, schedule


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sizes", nargs="*", default=["M", "L", "XL"], metavar="SIZE", help=", ".join(SIZES))
    parser.add_argument("--of-the-fuses", type=float, default=0.3, metavar="SHARE")
    options, report = arguments(parser, "optimizer_contention")
    print(f"{'':4} {'enough':>10} {'scarce':>10} {'ratio':>7} {'go short':>9} {'unmet kWh':>10}  status")
    for name in options.sizes:
        problem = site(SIZES[name])
        problem = replace(problem, settings=replace(problem.settings, time_limit_s=LIMIT_S))
        enough_s, _ = measured(problem)
        scarce_s, schedule = measured(scarce(problem, options.of_the_fuses))
        short = sum(result.unmet_kwh > SHORT_KWH for result in schedule.sessions.values())
        report.add(name, "enough", enough_s, "s")
        report.add(name, "scarce", scarce_s, "s")
        report.add(name, "go short", float(short), "sessions")
        report.add(name, "unmet", schedule.unmet_kwh, "kWh")
        ratio = report.ratio(name, "scarce / enough", "scarce", "enough")
        cells = f"{shown(enough_s, ' s'):>10} {shown(scarce_s, ' s'):>10} {shown(ratio, '×'):>7} {short:>9}"
        print(f"{name:4} {cells} {shown(schedule.unmet_kwh):>10}  {schedule.status}", flush=True)


if __name__ == "__main__":
    main()
