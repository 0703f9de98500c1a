"""How long a whole solve takes, and how far its answer lies above the LP bound, from 10 to 1,000 sessions.

    python benchmarks/optimizer_solve.py [S M L XL] [--repeat 5] [--solver highs]

Sites as in the tables of docs: a day of 15 minutes, one session an EVSE, half of the vehicles on one phase, a tree of
fuses that binds in the evening, spot prices, PV, a demand charge; with ``--battery`` one on the connection. Prints
medians in milliseconds and the gap in percent of the gross EV money; then the LP path (build, solve, extract) against
the raw HiGHS call on the same arrays, the two in turns.
"""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter
from typing import Any

import highspy
import numpy as np

from benchmarks.report import arguments
from optimizer.constraints import ALL
from optimizer.domain import (
    PHASES,
    Battery,
    Circuit,
    Connection,
    DemandCharge,
    Evse,
    Horizon,
    Phase,
    Problem,
    Session,
)
from optimizer.doors import PRESOLVE_FROM_NONZEROS, THREADS, HighsDoor, model_arguments
from optimizer.objectives import money, unmet_price
from optimizer.program import Program, Site, Variables, assemble
from optimizer.service import missed
from optimizer.solve import solve

START = datetime(2026, 3, 2, 11, tzinfo=UTC)
ROTATIONS: tuple[tuple[Phase, ...], ...] = (PHASES, ("L2", "L3", "L1"), ("L3", "L1", "L2"))
EVSES_PER_CIRCUIT = 10


@dataclass(frozen=True)
class Size:
    """How many sessions, and how many slots of how many minutes."""

    sessions: int
    slots: int = 96
    slot_minutes: int = 15


SIZES = {"S": Size(10), "M": Size(54, 144, 5), "L": Size(200), "XL": Size(1000), "XXL": Size(2000, 288, 5)}


def site(size: Size, *, battery: bool = False, seed: int = 1) -> Problem:
    """A depot or car park; the same seed gives the same site."""
    random = np.random.default_rng(seed)
    count, slots = size.sessions, size.slots
    hours = np.arange(slots) * size.slot_minutes / 60
    day = hours * 24 / hours[-1]
    price = 0.25 + 0.10 * np.sin((day + 11 - 13) * np.pi / 6) + random.normal(0, 0.01, slots)
    base_kw = count * (0.8 + 0.3 * np.sin((day - 5) * np.pi / 12)) + random.normal(0, 0.02 * count, slots)
    pv_kw = np.maximum(np.sin((day + 11 - 6) % 24 * np.pi / 12), 0) * count * 0.6
    circuits = tuple(
        Circuit(f"row-{number}", max_current_a=EVSES_PER_CIRCUIT * 10.0)
        for number in range(-(-count // EVSES_PER_CIRCUIT))
    )
    evses = tuple(
        Evse(
            f"evse-{number}",
            circuits[number // EVSES_PER_CIRCUIT].circuit_id,
            phases=ROTATIONS[number % 3],
            max_current_a=32,
        )
        for number in range(count)
    )
    sessions = []
    span_h = float(hours[-1])
    for number, evse in enumerate(evses):
        arrival = START + timedelta(hours=float(random.uniform(0, 0.3 * span_h)))
        stay_h = float(random.uniform(0.3, 0.65) * span_h)
        phases = 1 if random.random() < 0.5 else 3
        max_power_kw = 7.36 if phases == 1 else 11.0
        need_kwh = float(min(random.uniform(4, 35), 0.6 * stay_h * max_power_kw))
        sessions.append(
            Session(
                f"tx-{number}",
                evse.evse_id,
                arrival,
                arrival + timedelta(hours=stay_h),
                round(need_kwh, 2),
                max_power_kw=max_power_kw,
                vehicle_phases=phases,
            )
        )
    batteries = (Battery("battery", 4.0 * count, 2.0 * count, count, count, 0.0, None, 0.95, 0.95, 0.02),)
    return Problem(
        horizon=Horizon(START, size.slot_minutes, slots),
        connection=Connection(max_import_kw=4.5 * count, max_export_kw=2.0 * count),
        circuits=circuits,
        evses=evses,
        sessions=tuple(sessions),
        base_load_kw=tuple(np.maximum(base_kw, 0).tolist()),
        base_load_high_kw=tuple(np.maximum(base_kw * 1.2, 0).tolist()),
        import_price_per_kwh=tuple(price.tolist()),
        export_price_per_kwh=tuple((price - 0.12).tolist()),
        pv_kw=tuple(pv_kw.tolist()),
        batteries=batteries if battery else (),
        demand_charges=(DemandCharge("month", 4.5, expected_peak_kw=2.0 * count),),
        time_zone="Europe/Berlin",
    )


def lp_path(problem: Problem) -> Program:
    """From the problem to the values of its money LP; the program that was solved."""
    arrays = Site.of(problem)
    variables = Variables.of(arrays)
    cost = money(arrays, variables)
    cost[missed(arrays, variables)] = unmet_price(arrays)
    program = assemble(arrays, variables, ALL, cost)
    HighsDoor().solve(program, time_limit_s=problem.settings.time_limit_s)
    return program


def raw(arguments: tuple[Any, ...], presolve: str) -> None:
    """What nobody can avoid who uses HiGHS: pass the arrays, run, take the values."""
    highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # its stub lacks calls that exist
    for name, value in (("output_flag", False), ("threads", THREADS), ("presolve", presolve)):
        highs.setOptionValue(name, value)
    highs.passModel(*arguments)
    highs.run()
    np.array(highs.getSolution().col_value)


def against_raw(problem: Problem, repeat: int) -> tuple[float, float, float]:
    """Medians of the LP path and of the raw call in milliseconds, and of their ratio."""
    program = lp_path(problem)
    arguments = model_arguments(program)
    presolve = "on" if program.matrix.value.size > PRESOLVE_FROM_NONZEROS else "off"
    times_ms: list[tuple[float, float]] = []
    for _ in range(repeat):
        started = perf_counter()
        lp_path(problem)
        between = perf_counter()
        raw(arguments, presolve)
        times_ms.append(((between - started) * 1000, (perf_counter() - between) * 1000))
    ours, theirs = zip(*times_ms, strict=True)
    return median(ours), median(theirs), median(our / their for our, their in times_ms)


def main() -> None:
    """Measure and print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["S", "M", "L"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--battery", action="store_true")
    options, report = arguments(parser, "optimizer_solve")
    print("size columns  rows nonzeros | build solve repair total ms | gap %  unmet kWh  status")
    for name in options.sizes:
        problem = site(SIZES[name], battery=options.battery)
        arrays = Site.of(problem)
        variables = Variables.of(arrays)
        program = assemble(arrays, variables, ALL, money(arrays, variables))
        totals, schedules = [], []
        for _ in range(options.repeat):
            started = perf_counter()
            schedules.append(solve(problem, solver=options.solver))
            totals.append((perf_counter() - started) * 1000)
        timing = {part: median(one.timing_ms[part] for one in schedules) for part in ("build", "solve", "repair")}
        last = schedules[-1]
        for part, took_ms in (*timing.items(), ("total", median(totals))):
            report.add(name, part, took_ms, "ms")
        report.add(name, "gap", None if last.gap is None else 100 * last.gap, "%", last.reason or "")
        print(
            f"{name:4} {program.lower.size:7} {program.matrix.rows:5} {program.matrix.value.size:8} |"
            f" {timing['build']:5.1f} {timing['solve']:5.1f} {timing['repair']:6.1f} {median(totals):8.1f} |"
            f" {100 * (last.gap or 0):5.3f} {last.unmet_kwh:9.3f}   {last.status}"
        )
    print("\nsize LP path   raw HiGHS ms | ratio")
    for name in options.sizes:
        ours_ms, raw_ms, ratio = against_raw(site(SIZES[name], battery=options.battery), options.repeat)
        print(f"{name:4} {ours_ms:7.1f} {raw_ms:11.1f}    | {ratio:5.2f}x", flush=True)


if __name__ == "__main__":
    main()
