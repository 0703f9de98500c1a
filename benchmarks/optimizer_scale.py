"""How time and memory grow with the site: the whole answer from L to XXL, each in a process of its own.

    python benchmarks/optimizer_scale.py [L XL XXL]

Everything but explain, with a check and two baselines. Memory is the most that the process held, less what it held
with all modules imported and no problem yet. Time is per session too: it should not grow faster than the site.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

from benchmarks.canonical import SIZES, canonical
from benchmarks.report import arguments, clock_s, peak_memory_mb, shown
from optimizer.optimise import optimise

TIME_LIMIT_S = 90.0  # what an XXL may take
PATIENCE_S = 300.0  # and when the child is given up
GROWTH = ("L", "XL")


def child(name: str) -> None:
    """Solve one size and print what it took, as one JSON object."""
    rest_mb = peak_memory_mb()
    problem = canonical(SIZES[name])
    problem = replace(problem, settings=replace(problem.settings, time_limit_s=TIME_LIMIT_S))
    started = clock_s()
    schedule = optimise(problem)
    took_s = clock_s() - started
    said = {
        "sessions": len(problem.sessions),
        "seconds": took_s,
        "memory_mb": peak_memory_mb() - rest_mb,
        "gap": schedule.gap,
        "status": schedule.status,
        "reason": schedule.reason,
        "timing_ms": dict(schedule.timing_ms),
    }
    print(json.dumps(said))


def in_a_child(name: str) -> dict[str, Any]:
    """What `child` said; raises `subprocess.SubprocessError` when it failed or took too long."""
    command = [sys.executable, __file__, "--child", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def main() -> None:
    """Measure and print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["L", "XL", "XXL"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--child", choices=SIZES, help=argparse.SUPPRESS)
    options, report = arguments(parser, "optimizer_scale")
    if options.child:
        child(options.child)
        return
    print("size sessions |  seconds  ms a session | MB more than at rest |  gap %  status   build solve repair check s")
    for name in options.sizes:
        try:
            said = in_a_child(name)
        except subprocess.SubprocessError as failure:
            report.add(name, "seconds", None, "s", f"{type(failure).__name__}: {failure}")
            print(f"{name:4} {failure}")
            continue
        seconds, sessions, gap = float(said["seconds"]), int(said["sessions"]), said["gap"]
        report.add(name, "seconds", seconds, "s", str(said["reason"] or "") if said["status"] == "fallback" else "")
        report.add(name, "ms a session", 1000 * seconds / sessions, "ms")
        report.add(name, "memory", float(said["memory_mb"]), "MB")
        report.add(name, "gap", None if gap is None else 100 * float(gap), "%")
        parts = " ".join(
            f"{said['timing_ms'].get(part, 0) / 1000:.2f}" for part in ("build", "solve", "repair", "check")
        )
        print(
            f"{name:4} {sessions:8} | {seconds:8.2f} {1000 * seconds / sessions:13.2f} | {said['memory_mb']:20.0f} |"
            f" {shown(report.value(name, 'gap')):>6}  {said['status']:8} {parts}",
            flush=True,
        )
        if said["status"] == "fallback":
            print(f"     {said['reason']}")
    small, large = (report.value(name, "ms a session") for name in GROWTH)
    if small and large:
        report.add("L to XL", "growth of time a session", large / small, "×")
        print(f"time a session, L to XL: {large / small:.2f}×")


if __name__ == "__main__":
    main()
