"""What a benchmark says: a table for the reader, and one JSON line a figure for the report and the docs.

Each benchmark has `main() -> None`. It prints, and where ``--json PATH`` or ``SMARTCHARGE_BENCH_JSON`` names a file it
appends lines of `{"benchmark", "case", "measure", "value", "unit"}`. A figure that could not be had carries null and
the reason as `note`.
"""

import argparse
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")
WHERE = "SMARTCHARGE_BENCH_JSON"
CLOCK = "SMARTCHARGE_BENCH_CLOCK"  # "cpu": what the processor spent, where others use the machine too


@dataclass(frozen=True)
class Figure:
    """One measured value. `case` is a size or a name, `measure` what was measured on it."""

    benchmark: str
    case: str
    measure: str
    value: float | None
    unit: str
    note: str = ""


@dataclass
class Report:
    """Collects the figures of one benchmark; each is written as soon as it is there."""

    benchmark: str
    path: Path | None = None
    figures: list[Figure] = field(default_factory=list)

    def add(self, case: str, measure: str, value: float | None, unit: str, note: str = "") -> None:
        if value is not None and not isfinite(value):
            value, note = None, note or "no finite value"
        figure = Figure(self.benchmark, case, measure, value, unit, note)
        self.figures.append(figure)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(figure)) + "\n")

    def value(self, case: str, measure: str) -> float | None:
        """The figure that was added under this name; None when there is none."""
        return next((one.value for one in self.figures if (one.case, one.measure) == (case, measure)), None)

    def ratio(self, case: str, measure: str, above: str, below: str) -> float | None:
        """Add how many times `above` is `below`, both figures of the same case."""
        top, bottom = self.value(case, above), self.value(case, below)
        value = None if top is None or not bottom else top / bottom
        self.add(case, measure, value, "×")
        return value


def arguments(parser: argparse.ArgumentParser, benchmark: str) -> tuple[argparse.Namespace, Report]:
    """The command line, and the report that it asks for."""
    parser.add_argument("--json", type=Path, default=None, help=f"append figures here; else to ${WHERE}, if set")
    options = parser.parse_args()
    path = options.json or (Path(os.environ[WHERE]) if os.environ.get(WHERE) else None)
    return options, Report(benchmark, path)


def read(path: Path) -> list[Figure]:
    """The figures of a file of JSON lines."""
    return [Figure(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line]


def clock_s() -> float:
    """Seconds of this process and of its children that ended, on the clock that the environment names."""
    if os.environ.get(CLOCK) != "cpu":
        return perf_counter()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(repeat: int, work: Callable[[], T], *, warm: bool = True) -> tuple[float, T]:
    """Median in ms, and the last result. One run before, unless `warm` is off, so that imports and caches are there."""
    result = work() if warm else None
    took_ms = []
    for _ in range(repeat):
        started = clock_s()
        result = work()
        took_ms.append((clock_s() - started) * 1000)
    assert result is not None
    return median(took_ms), result


def interleaved(repeat: int, works: Sequence[Callable[[], object]]) -> list[float]:
    """Median ms of each, run in turn: what disturbs the machine for a while disturbs them all."""
    took_ms: list[list[float]] = [[] for _ in works]
    for turn in range(repeat + 1):
        for work, times in zip(works, took_ms, strict=True):
            started = clock_s()
            work()
            if turn:  # the first warms imports and caches
                times.append((clock_s() - started) * 1000)
    return [median(times) for times in took_ms]


def peak_memory_mb() -> float:
    """The most memory this process has held, MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


def shown(value: float | None, unit: str = "") -> str:
    """A figure to three digits; a dash where there is none."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    number = f"{value:,.{digits}f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
    return number + unit
