"""Run the benchmarks one after the other, each in a process of its own: figures, tables, and one HTML report.

    python benchmarks/run.py [NAME ...] [--cpu]

Without names all of them run, in under twenty minutes, ten of which are the soak; what a benchmark cannot do for want
of a peer it says and leaves out. A name alone runs that one and keeps the figures of the others. Figures go to
`build/bench.jsonl`, the report to `build/bench.html`. Ends with the seconds of each; the exit status is 1 when one
failed.
With ``--cpu`` the optimiser and its peers are timed by what the processor spent, each on one thread: for a machine that
others use too. Requests and re-planning are always timed by the wall.
"""

import argparse
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

from benchmarks.page import write
from benchmarks.report import CLOCK, WHERE, Report, read
from benchmarks.tables import by_key, text

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"
FIGURES, PAGE = BUILD / "bench.jsonl", BUILD / "bench.html"
NOT_MEASURING = {"run", "figures", "neighbours"}  # commands that measure nothing
TIME_LIMIT_S = 300.0  # of one benchmark
TIME_LIMITS_S = {"soak": 900.0}  # it takes ten minutes, whatever the machine
SHORTENED = {
    "optimizer_replan": ("--repeat", "3"),
    "night_run": ("125", "500"),
}  # where the benchmark's own choice takes too long here


def benchmarks() -> list[str]:
    """Every module here that can be run and measures something."""
    runnable = (
        path.stem for path in sorted(HERE.glob("[a-z]*.py")) if '__name__ == "__main__"' in path.read_text("utf-8")
    )
    return [name for name in runnable if name not in NOT_MEASURING]


def run_one(name: str, *, cpu: bool) -> str | None:
    """Run one with its output shown as it comes; why it failed, or None."""
    environment = {**os.environ, WHERE: str(FIGURES), "PYTHONPATH": str(HERE.parent), "PYTHONUNBUFFERED": "1"}
    if cpu:
        environment |= {CLOCK: "cpu", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / f"{name}.py"), *SHORTENED.get(name, ())]
    try:
        done = subprocess.run(command, env=environment, timeout=TIME_LIMITS_S.get(name, TIME_LIMIT_S), check=False)
    except subprocess.TimeoutExpired:
        return f"took more than {TIME_LIMITS_S.get(name, TIME_LIMIT_S):.0f} s"
    return f"ended with {done.returncode}" if done.returncode else None


def machine(*, cpu: bool) -> str:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    names = cpuinfo.read_text().split("\n") if cpuinfo.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in names if line.startswith("model name")), platform.processor()
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("highspy", "numpy", "pulp"))
    python = f"{platform.system()}, Python {platform.python_version()}"
    clock = "CPU time, one thread." if cpu else "Wall time."
    return f"{os.cpu_count()} × {model or platform.machine()}, {python}, {packages}. {clock}"


def keep_others(names: list[str]) -> None:
    """Leave in the file what other benchmarks have measured before, and on what machine and clock."""
    kept = [one for one in read(FIGURES) if not {one.benchmark, one.case} & set(names)] if FIGURES.exists() else []
    FIGURES.write_text("", encoding="utf-8")
    for one in kept:
        Report(one.benchmark, FIGURES).add(one.case, one.measure, one.value, one.unit, one.note)


def main() -> None:
    """Run, report, and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(benchmarks())}")
    parser.add_argument("--cpu", action="store_true", help="time by what the processor spent, not by the wall")
    options = parser.parse_args()
    names = options.names or benchmarks()
    if unknown := set(names) - set(benchmarks()):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    BUILD.mkdir(exist_ok=True)
    keep_others(names)
    report, failed = Report("run", FIGURES), {}
    for number, name in enumerate(names, 1):
        print(f"\n== {name} ({number} of {len(names)})", flush=True)
        Report("machine", FIGURES).add(name, "", None, "", machine(cpu=options.cpu))
        started = perf_counter()
        if why := run_one(name, cpu=options.cpu):
            failed[name] = why
        report.add(name, "seconds", perf_counter() - started, "s", failed.get(name, ""))
    figures = by_key(read(FIGURES))
    write(PAGE, figures)
    print(f"\n{text(figures)}\n\nseconds:")
    for figure in report.figures:
        print(f"{figure.value:7.1f}  {figure.case}{'  FAILED: ' + figure.note if figure.note else ''}")
    print(f"{sum(figure.value or 0 for figure in report.figures):7.1f}  together\n\n{PAGE}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
