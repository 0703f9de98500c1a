"""What a plan loses where a station takes n periods: ours beside two simple ways, on the same sites in the same run.

    python benchmarks/profile_compression.py [S M L] [--periods 1 2 5 10 24] [--hours 4] [--problem problem.json]

`compressed` is `optimizer.compress`. `truncated` keeps the first n periods and then holds nothing at all: no further
profile comes. `equal widths` cuts each stay into n equally long parts, each at the lowest power that the plan has in
it. Lost energy is what promises miss beyond the plan, in kWh and as a share of what the plan delivers; money is what
the site pays beyond the plan, as a share of what its vehicles' energy costs there: below 0 where energy that is not
delivered is not bought. The first table holds the whole plan in one profile, the second the hours after the first
arrival only, when the next profile can be sent in time.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
from optimizer_solve import SIZES, site

from app.problem_json import problem_from_json
from optimizer.arrays import Floats, Ints
from optimizer.check import violations
from optimizer.compress import compress, periods_of
from optimizer.compress.compression import schedule_of, steps_of, still
from optimizer.compress.stretches import Stretch, stretches_of
from optimizer.domain import Problem, Schedule
from optimizer.optimise import optimise
from optimizer.program import Site, Variables

Way = Callable[[Floats, int], Floats]


def truncated(plan: Floats, periods: int) -> Floats:
    """The first periods as planned, then nothing."""
    changes = np.flatnonzero(np.diff(plan)) + 1
    kept = plan.copy()
    if changes.size >= periods:
        kept[changes[periods - 1] :] = 0
    return kept


def equal_widths(plan: Floats, periods: int) -> Floats:
    """Equally long parts, each at its lowest power."""
    parts = np.array_split(plan, min(periods, plan.size))
    return np.concatenate([np.full(part.size, part.min()) for part in parts])


WAYS: Mapping[str, Way] = {"truncated": truncated, "equal widths": equal_widths}


@dataclass(frozen=True)
class Loss:
    """Against the plan; `money` in the site's currency."""

    energy_kwh: float
    money: float
    took_s: float = 0.0

    def told(self, plan_kwh: float, gross: float) -> str:
        return f"{self.energy_kwh:9.2f} {100 * self.energy_kwh / plan_kwh:6.2f} {100 * self.money / gross:8.2f}"


def simply(problem: Problem, schedule: Schedule, way: Way, periods: int, until: datetime | None) -> Loss:
    """A simple way, stay by stay; nothing else is planned anew."""
    arrays = Site.of(problem)
    v, plan = Variables.of(arrays), steps_of(arrays, schedule)
    steps = plan.copy()
    for stretch in stretches_of(arrays, everywhere(problem, periods), until):
        steps[stretch.column[stretch.is_open]] = _told(stretch, plan, way, periods)
    told = schedule_of(arrays, v, schedule, still(arrays, v, schedule, plan), steps)
    return Loss(missing_kwh(told) - missing_kwh(schedule), told.cost.minimised - schedule.cost.minimised)


def _told(stretch: Stretch, plan: Ints, way: Way, periods: int) -> Ints:
    values = way(stretch.of_columns(plan.astype(float)), periods)
    return np.round(values[stretch.is_open]).astype(np.int64)


def ours(problem: Problem, schedule: Schedule, periods: int, until: datetime | None) -> Loss:
    began = perf_counter()
    compression = compress(problem, schedule, everywhere(problem, periods), until=until)
    took_s = perf_counter() - began
    assert not violations(problem, compression.schedule).caused
    assert max(compression.periods.values()) <= periods
    return Loss(compression.loss_kwh, compression.loss_money, took_s)


def everywhere(problem: Problem, periods: int) -> dict[str, int]:
    return {evse.evse_id: periods for evse in problem.evses}


def missing_kwh(schedule: Schedule) -> float:
    return sum(one.unmet_kwh + one.floor_unmet_kwh for one in schedule.sessions.values())


def measure(name: str, problem: Problem, numbers: list[int], until: datetime | None) -> None:
    """Print one line a number of periods."""
    schedule = optimise(problem, baselines=False)
    needed = list(periods_of(problem, schedule, until).values())
    plan_kwh = sum(one.planned_energy_kwh for one in schedule.sessions.values())
    price = np.abs(np.array(problem.import_price_per_kwh))
    power_kw = sum(np.maximum(np.array(one), 0) for one in schedule.power_kw.values())
    gross = max(float(price @ power_kw) * problem.horizon.slot_hours, 1e-9)
    window = "the whole plan" if until is None else f"until {until:%H:%M} UTC"
    print(f"\n{name}, {window}: {len(problem.sessions)} stays, {plan_kwh:.0f} kWh, {gross:.2f} {schedule.currency};")
    print(f"periods of the plan: {np.mean(needed):.1f} in the mean, {max(needed)} at most")
    print(
        "  n |    compressed: kWh  %   money %     ms |   truncated: kWh  %   money % | equal widths: kWh  %  money %"
    )
    for periods in numbers:
        own = ours(problem, schedule, periods, until)
        others = [simply(problem, schedule, way, periods, until).told(plan_kwh, gross) for way in WAYS.values()]
        print(f"{periods:3} | {own.told(plan_kwh, gross)} {own.took_s * 1000:6.0f} | {' | '.join(others)}", flush=True)


def main() -> None:
    """Measure and print a table for each site, for the whole plan and for the hours until the next profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["S", "L"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--periods", type=int, nargs="+", default=[1, 2, 5, 10, 24])
    parser.add_argument("--hours", type=float, default=4.0, help="until the next profile is sent")
    parser.add_argument("--problem", type=Path, help="a problem as JSON, measured as well")
    options = parser.parse_args()
    problems = {name: site(SIZES[name]) for name in options.sizes}
    if options.problem is not None:
        problems[options.problem.stem] = problem_from_json(json.loads(options.problem.read_text()))
    for name, problem in problems.items():
        comes = min(max(session.arrival, problem.horizon.first_moment) for session in problem.sessions)
        for until in (None, comes + timedelta(hours=options.hours)):
            measure(name, problem, options.periods, until)


if __name__ == "__main__":
    main()
