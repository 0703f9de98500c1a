"""What a plan costs when the last one is still there: a live program against a cold build, by kind of change.

    python benchmarks/optimizer_replan.py [L XL] [--repeat 9]

The sites of `optimizer_solve`. Both times hold everything from the new `Problem` to the optimum's values. Prints
medians in milliseconds, their ratio and the worst of the pairs, simplex iterations, and how often the live program
chose to start cold itself. The first kinds are what a day of re-planning is made of; those marked harsh redraw
everything at once, which no meter and no market does.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.optimizer_solve import SIZES, site
from benchmarks.report import arguments
from optimizer.domain import Problem
from optimizer.live import LivePlan, LiveProgram

Change = Callable[[Problem, np.random.Generator], Problem]
Go = Callable[[LiveProgram, Problem], LivePlan]


@dataclass(frozen=True)
class Kind:
    """A kind of change, and how a live program is told of it."""

    name: str
    change: Change
    go: Go


def update(live: LiveProgram, problem: Problem) -> LivePlan:
    return live.update(problem)


def reprice(live: LiveProgram, problem: Problem) -> LivePlan:
    return live.reprice(problem.import_price_per_kwh, problem.export_price_per_kwh)


def prices(level: float, noise: float) -> Change:
    """All prices times `level`, and each on its own by a normal `noise`, as parts of the price."""

    def change(problem: Problem, random: np.random.Generator) -> Problem:
        buy = np.array(problem.import_price_per_kwh) * (level + noise * random.normal(size=problem.horizon.slots))
        return replace(
            problem, import_price_per_kwh=tuple(buy.tolist()), export_price_per_kwh=tuple((buy - 0.12).tolist())
        )

    return change


def needs_and_limits(share: float) -> Change:
    """Other needs for a share of the sessions, up to 10 % less, and up to 2 % less import at the connection."""

    def change(problem: Problem, random: np.random.Generator) -> Problem:
        chosen = random.random(len(problem.sessions)) < share
        sessions = tuple(
            replace(session, required_energy_kwh=session.required_energy_kwh * float(random.uniform(0.9, 1.0)))
            if flag
            else session
            for session, flag in zip(problem.sessions, chosen, strict=True)
        )
        limit_kw = (problem.connection.max_import_kw or 0.0) * float(random.uniform(0.98, 1.0))
        return replace(problem, sessions=sessions, connection=replace(problem.connection, max_import_kw=limit_kw))

    return change


def progress(problem: Problem, random: np.random.Generator) -> Problem:
    """Every tenth vehicle has got up to 0.3 kWh since the last plan: some 100 s at 11 kW."""
    chosen = random.random(len(problem.sessions)) < 0.1
    got_kwh = random.uniform(0, 0.3, len(problem.sessions)) * chosen
    return _with_needs(
        problem, [max(s.required_energy_kwh - got, 0.1) for s, got in zip(problem.sessions, got_kwh, strict=True)]
    )


def corrected(problem: Problem, random: np.random.Generator) -> Problem:
    """All needs up to 1 % less."""
    factor = random.uniform(0.99, 1.0, len(problem.sessions))
    return _with_needs(problem, [s.required_energy_kwh * one for s, one in zip(problem.sessions, factor, strict=True)])


def _with_needs(problem: Problem, needs_kwh: Sequence[float]) -> Problem:
    pairs = zip(problem.sessions, needs_kwh, strict=True)
    sessions = tuple(
        session if session.required_energy_kwh == kwh else replace(session, required_energy_kwh=float(kwh))
        for session, kwh in pairs
    )
    return replace(problem, sessions=sessions)


def readings(problem: Problem, random: np.random.Generator) -> Problem:
    """Another base load in the next four slots: what a meter has just told."""
    load = np.array(problem.base_load_kw)
    load[:4] *= 1 + 0.05 * random.normal(size=4)
    high = np.maximum(np.array(problem.base_load_high_kw), load)
    return replace(problem, base_load_kw=tuple(load.tolist()), base_load_high_kw=tuple(high.tolist()))


def departure(problem: Problem, random: np.random.Generator) -> Problem:
    gone = int(random.integers(len(problem.sessions)))
    return replace(problem, sessions=problem.sessions[:gone] + problem.sessions[gone + 1 :])


def arrival(problem: Problem, _: np.random.Generator) -> Problem:
    """Whoever is missing first comes back."""
    everybody = site(SIZES[{200: "L", 1000: "XL"}.get(len(problem.evses), "S")]).sessions
    there = {session.session_id for session in problem.sessions}
    new = next(session for session in everybody if session.session_id not in there)
    return replace(problem, sessions=(*problem.sessions, new))


KINDS = (
    Kind("all prices, +3 %", prices(1.03, 0.0), reprice),
    Kind("all prices, noise 0.5 %", prices(1.0, 0.005), reprice),
    Kind("readings of the load", readings, update),
    Kind("needs of who charged", progress, update),
    Kind("needs (5 %) and limit", needs_and_limits(0.05), update),
    Kind("needs (all), up to -1 %", corrected, update),
    Kind("one departure", departure, update),
    Kind("one arrival", arrival, update),
    Kind("harsh: prices, noise 5 %", prices(1.0, 0.05), reprice),
    Kind("harsh: needs all, -10 %", needs_and_limits(1.0), update),
)


HEAD = "change                   | warm ms cold ms | ratio  worst | iterations    | started cold"


@dataclass
class Row:
    """What one kind of change took, one entry a repetition."""

    warm_ms: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    cold_iterations: list[int] = field(default_factory=list)
    started_cold: int = 0

    def __str__(self) -> str:
        warm_ms, cold_ms = median(self.warm_ms), median(self.cold_ms)
        worst = min(cold / warm for cold, warm in zip(self.cold_ms, self.warm_ms, strict=True))
        times = f"{warm_ms:7.1f} {cold_ms:7.1f} | {cold_ms / warm_ms:5.1f}x {worst:5.1f}x"
        simplex = f"{median(self.iterations):6.0f} {median(self.cold_iterations):6.0f}"
        return f"{times} | {simplex} | {self.started_cold}/{len(self.warm_ms)}"


def timed(work: Callable[..., LivePlan | LiveProgram], *given: object) -> tuple[float, LivePlan]:
    started = perf_counter()
    done = work(*given)
    took_ms = (perf_counter() - started) * 1000
    return took_ms, done.plan if isinstance(done, LiveProgram) else done


def measure(problem: Problem, kind: Kind, repeat: int) -> Row:
    """Each change is made on top of the last one."""
    random, row = np.random.default_rng(7), Row()
    changed = replace(problem, sessions=problem.sessions[:-repeat])
    live = LiveProgram(changed)
    for _ in range(repeat):
        changed = kind.change(changed, random)
        took_ms, plan = timed(kind.go, live, changed)
        row.warm_ms.append(took_ms)
        row.iterations.append(plan.iterations)
        row.started_cold += not plan.warm
        took_ms, fresh = timed(LiveProgram, changed)
        row.cold_ms.append(took_ms)
        row.cold_iterations.append(fresh.iterations)
        assert abs(plan.objective - fresh.objective) < 1e-6 * max(1, abs(fresh.objective))
    return row


def main() -> None:
    """Measure and print one line a size and kind, with and without the demand charge that couples all slots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["L", "XL"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--repeat", type=int, default=9)
    options, report = arguments(parser, "optimizer_replan")
    for name in options.sizes:
        problem = site(SIZES[name])
        for title, one in (("", problem), (", no demand charge", replace(problem, demand_charges=()))):
            print(f"\n{name + title}\n{HEAD}")
            for kind in KINDS:
                row = measure(one, kind, options.repeat)
                warm_ms, cold_ms = median(row.warm_ms), median(row.cold_ms)
                report.add(name + title, f"{kind.name}: warm", warm_ms, "ms")
                report.add(name + title, f"{kind.name}: cold", cold_ms, "ms")
                report.add(name + title, kind.name, cold_ms / warm_ms, "×")
                print(f"{kind.name:24} | {row}", flush=True)


if __name__ == "__main__":
    main()
