"""EMHASS and FlexMeasures on the same work: 10 and 54 EVSEs, one day of 15 minutes, one session an EVSE.

    python benchmarks/optimizer_peers.py [EVSES ...] [--repeat 3]

The problem is what all of them can express: prices, base load, PV, limits of the connection, a demand charge, stays of
whole slots. No feeders, phases, minimum current or checker: EMHASS and FlexMeasures solve one linear program and hand
out its values, ours is the whole answer with repair, bound, check and two baselines. Where a peer's optimum is not the
bare solver's, to 1e-6, the benchmark fails. Each peer runs in its own environment (`make bench-peers`) and process;
what it takes to start and import is not counted. One run, one machine.
"""

import argparse
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import neighbours
from benchmarks.canonical import START, Size, canonical
from benchmarks.optimizer_lp import bare, money_program
from benchmarks.report import Report, arguments, interleaved, shown
from optimizer.answer import cost_of, flows
from optimizer.domain import Problem
from optimizer.doors import door
from optimizer.optimise import optimise
from optimizer.program import Site, Variables

EVSES = (10, 54)
FILLED = 0.95  # of what a stay can hold at full power, at most
SAME = 1e-6
TOLD_APART = (  # measure, peer, script, what it says
    ("EMHASS first call", "emhass", "first_ms"),
    ("EMHASS second call", "emhass", "second_ms"),
    ("FlexMeasures highspy", "flexmeasures", "ms"),
    ("FlexMeasures highspy, soft", "flexmeasures soft", "ms"),
)


def common(evses: int) -> Problem:
    """A canonical site without what only we know, and sessions that begin and end with slots."""
    problem = canonical(Size(evses), stays=1)
    step = timedelta(minutes=problem.horizon.slot_minutes)
    sessions = []
    for session in problem.sessions:
        first = round((session.arrival - START) / step)
        end = max(round((session.departure - START) / step), first + 1)
        most_kwh = (session.max_power_kw or 0.0) * (end - first) * (step / timedelta(hours=1))
        sessions.append(
            replace(
                session,
                arrival=START + first * step,
                departure=START + end * step,
                required_energy_kwh=min(session.required_energy_kwh, FILLED * most_kwh),
            )
        )
    return replace(
        problem,
        circuits=(),
        evses=tuple(replace(evse, circuit_id="connection") for evse in problem.evses),
        sessions=tuple(sessions),
        base_load_high_kw=problem.base_load_kw,
        pv_low_kw=problem.pv_kw,
    )


def as_arrays(problem: Problem) -> dict[str, object]:
    """The same for the peers: kW, kWh, hours, currency; sessions by their first slot and the one after their last."""
    step = timedelta(minutes=problem.horizon.slot_minutes)
    charge = problem.demand_charges[0]
    return {
        "slots": problem.horizon.slots,
        "step_h": step / timedelta(hours=1),
        "base_kw": problem.base_load_kw,
        "pv_kw": problem.pv_kw,
        "buy": problem.import_price_per_kwh,
        "sell": problem.export_price_per_kwh,
        "max_import_kw": problem.connection.max_import_kw,
        "max_export_kw": problem.connection.max_export_kw,
        "peak_price_per_kw": charge.price_per_kw,
        "free_peak_kw": charge.free_peak_kw,
        "unmet_price_per_kwh": 10.0,
        "sessions": [
            {
                "first": int((session.arrival - START) / step),
                "end": int((session.departure - START) / step),
                "max_kw": session.max_power_kw,
                "energy_kwh": session.required_energy_kwh,
            }
            for session in problem.sessions
        ],
    }


def optimum(problem: Problem) -> float:
    """The site's money at the optimum of the linear program."""
    site = Site.of(problem)
    variables = Variables.of(site)
    x = door("highs").solve(money_program(problem), time_limit_s=60.0).x
    power_kw = x[variables.charge]
    return cost_of(site, flows(site, variables, x, power_kw), power_kw).total


def measure(report: Report, evses: int, repeat: int) -> None:
    problem, case = common(evses), f"{evses} EVSEs"
    program = money_program(problem)
    best = optimum(problem)
    full = canonical(Size(evses), stays=1)
    ours = (lambda: bare(program), lambda: optimise(problem), lambda: optimise(full))
    before_ms = interleaved(repeat, ours)
    said: dict[str, dict[str, float]] = {}
    failed: dict[str, str] = {}
    with TemporaryDirectory() as directory:
        path = Path(directory) / "problem.json"
        path.write_text(json.dumps(as_arrays(problem)))
        for name, given in (("emhass", ()), ("flexmeasures", ()), ("flexmeasures soft", ("soft",))):
            peer = name.split()[0]
            try:
                said[name] = neighbours.run(peer, f"{peer}_core.py", str(path), *given)
            except neighbours.PeerError as error:
                failed[name] = str(error)
                continue
            found = said[name]["cost"]
            assert abs(found - best) <= SAME * max(1, abs(best)), f"{name} found {found}, the optimum is {best}"
    after_ms = interleaved(repeat, ours)  # what disturbs the machine while the peers run, disturbs one of the two
    for measured, before, after in zip(("bare", "whole", "whole, all rules"), before_ms, after_ms, strict=True):
        report.add(case, measured, (before + after) / 2, "ms")
    for measured, name, key in TOLD_APART:
        report.add(case, measured, said[name][key] if name in said else None, "ms", failed.get(name, ""))
        report.ratio(case, f"{measured} / whole", measured, "whole")
        report.ratio(case, f"{measured} / bare", measured, "bare")


def main() -> None:
    """Measure and print a table a site."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evses", nargs="*", type=int, default=EVSES)
    parser.add_argument("--repeat", type=int, default=3)
    options, report = arguments(parser, "optimizer_peers")
    for evses in options.evses:
        measure(report, evses, options.repeat)
        case = f"{evses} EVSEs"
        print(f"\n{case:28}        ms   / whole    / bare")
        for measured in ("bare", "whole", "whole, all rules", *(one for one, *_ in TOLD_APART)):
            whole, bare_ratio = (report.value(case, f"{measured} / {below}") for below in ("whole", "bare"))
            print(
                f"{measured:28} {shown(report.value(case, measured)):>9} {shown(whole):>9} {shown(bare_ratio):>9}",
                flush=True,
            )
    for note in dict.fromkeys(figure.note for figure in report.figures if figure.note):
        print(note)


if __name__ == "__main__":
    main()
