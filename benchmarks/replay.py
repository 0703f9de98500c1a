"""What a belief about sessions is worth: a month of real sessions, replayed knowing only what was known at each moment.

    python benchmarks/replay.py [SESSIONS.csv] [--from 2019-09-02] [--to 2019-09-30] [--timezone America/Los_Angeles]
                                [--policies beliefs,stated,truth] [--history none] [--country US --subdivision CA]

Every quarter hour in which a car is there, the optimiser plans anew: with the forecast's beliefs, with the drivers'
stated wishes believed, or with the truth of those who are there. Only the first quarter hour of a plan happens; a car
takes what it is offered until it is full, and leaves when it left. Sessions of the file that lie before ``--from`` are
history (``--history none`` forgets them); the month begins without any where there are none, and learns as it goes.
Printed are the bill, unmet energy at 1 per kWh, what was delivered, and the regret against perfect foresight of the
whole month. Without a file the sample beside this repository is replayed; where that is absent it says so and ends.
"""

import argparse
from datetime import date
from pathlib import Path
from time import perf_counter

from benchmarks.replay_policies import Beliefs, Known, Policy, Stated, replay
from benchmarks.replayed import Month, Outcome, load, month_of, perfect_foresight, uncontrolled
from benchmarks.report import Report, arguments, clock_s

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "acn_jpl_2019-09_4weeks.csv"
POLICIES = ("beliefs", "stated", "truth")
HEAD = (
    f"{'policy':20} {'energy':>8} {'demand':>8} {'unmet':>8} {'total':>8} {'peak kW':>8} {'delivered':>9} {'regret':>7}"
)


def main() -> None:
    """Replay, print a line a policy, and report its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--from", dest="first", type=date.fromisoformat, default=date(2019, 9, 2))
    parser.add_argument("--to", dest="end", type=date.fromisoformat, default=date(2019, 9, 30), help="not in it")
    parser.add_argument("--timezone", default="America/Los_Angeles")
    parser.add_argument("--country", default="US")
    parser.add_argument("--subdivision", default="CA")
    parser.add_argument("--policies", default=",".join(POLICIES), help=f"of {', '.join(POLICIES)}")
    parser.add_argument("--history", choices=["file", "none"], default="file", help="sessions before --from")
    options, report = arguments(parser, "replay")
    if not options.file.exists():
        print(f"skipped: the sample {options.file.name} is not beside this repository")
        return
    rows = load(options.file)
    month = month_of(rows, options.first, options.end, options.timezone)
    past = rows[rows["arrival"] < month.start] if options.history == "file" else rows.iloc[:0]
    case = f"{options.file.stem} {options.first}"
    print(
        f"{case} to {options.end}: {month.size} sessions, {month.energy_kwh.sum():.0f} kWh, "
        f"{len(past)} sessions before\n{HEAD}",
        flush=True,
    )
    foresight = perfect_foresight(month)
    _tell(report, case, "perfect foresight", month, foresight, foresight)
    _tell(report, case, "uncontrolled", month, uncontrolled(month), foresight)
    place = (options.country or None, options.subdivision or None)
    made: dict[str, Policy] = {"beliefs": Beliefs(month, past, *place), "stated": Stated(month), "truth": Known(month)}
    for name in options.policies.split(","):
        began, wall = clock_s(), perf_counter()
        outcome = replay(month, made[name], progress=lambda done, name=name: print(f"  {name} {done}", flush=True))
        _tell(report, case, name, month, outcome, foresight)
        report.add(case, f"{name}: time", clock_s() - began, "s")
        print(f"  {name}: {perf_counter() - wall:.0f} s", flush=True)


def _tell(report: Report, case: str, name: str, month: Month, outcome: Outcome, foresight: Outcome) -> None:
    score = outcome.score(month)
    regret = score.total / foresight.score(month).total - 1
    print(
        f"{name:20} {score.energy:8.0f} {score.demand:8.0f} {score.unmet:8.0f} {score.total:8.0f} {score.peak_kw:8.1f} "
        f"{100 * score.delivered:8.2f}% {100 * regret:6.1f}%",
        flush=True,
    )
    report.add(case, f"{name}: bill with unmet energy", score.total, "USD")
    report.add(case, f"{name}: delivered", 100 * score.delivered, "%")
    report.add(case, f"{name}: regret", 100 * regret, "%")
    report.add(case, f"{name}: peak", score.peak_kw, "kW")


if __name__ == "__main__":
    main()
