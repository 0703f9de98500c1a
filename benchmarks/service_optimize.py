"""The whole request: `POST /v1/optimize` on the real service, JSON over loopback, and what its parts take.

    python benchmarks/service_optimize.py [S M L] [--repeat 5]

The service runs as `smartcharge serve` does, with its store, gateway and control loop, in this process; one client asks
one question at a time. Validation (text to `Problem`) and answer (`Schedule` to text) are measured alone, solve is what
the answer says it took, and the rest is HTTP, the key, and handing over between threads.
"""

import argparse
import asyncio
import json
import logging
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import httpx
import structlog

from app.main import service
from app.problem_json import problem_from_json, problem_to_json, schedule_from_json, schedule_to_json
from app.settings import Settings
from benchmarks.canonical import SIZES, canonical
from benchmarks.report import Report, arguments, timed


async def measure(report: Report, client: httpx.AsyncClient, name: str, repeat: int) -> None:
    """Add the request and its parts for one size."""
    body = json.dumps(problem_to_json(canonical(SIZES[name]))).encode()
    request_ms, solve_ms, text = [], [], ""
    for turn in range(repeat + 1):
        started = perf_counter()
        answered = await client.post("/v1/optimize", content=body, headers={"Content-Type": "application/json"})
        took_ms = (perf_counter() - started) * 1000
        answered.raise_for_status()
        text = answered.text
        if turn:  # the first warms imports
            request_ms.append(took_ms)
            solve_ms.append(answered.json()["timing_ms"]["total"])
    validate_ms, _ = timed(repeat, lambda: problem_from_json(json.loads(body)))
    schedule = schedule_from_json(json.loads(text))
    answer_ms, _ = timed(repeat, lambda: json.dumps(schedule_to_json(schedule)))
    whole_ms, solved_ms = median(request_ms), median(solve_ms)
    report.add(name, "request", whole_ms, "ms")
    report.add(name, "validation", validate_ms, "ms")
    report.add(name, "solve", solved_ms, "ms")
    report.add(name, "answer", answer_ms, "ms")
    report.add(name, "rest", max(whole_ms - validate_ms - solved_ms - answer_ms, 0.0), "ms")
    report.add(name, "body", len(body) / 1000, "kB")
    report.add(name, "reply", len(text) / 1000, "kB")
    for part in ("validation", "solve", "answer", "rest"):
        report.add(name, f"share of {part}", 100 * (report.value(name, part) or 0.0) / whole_ms, "%")


async def measure_all(report: Report, names: list[str], repeat: int) -> None:
    """Measure and print one line a size."""
    print("size    request = validation + solve + answer + rest ms | share of each in %        | kB in, out")
    with TemporaryDirectory() as directory:
        settings = Settings(http_port=0, ocpp_port=0, data_dir=Path(directory), max_body_bytes=50_000_000)
        async with service(settings) as running:
            headers = {"Authorization": f"Bearer {await running.create_key('benchmark')}"}
            async with httpx.AsyncClient(base_url=running.http_url, headers=headers, timeout=120.0) as client:
                for name in names:
                    await measure(report, client, name, repeat)
                    parts = ("validation", "solve", "answer", "rest")
                    times = "   ".join(f"{report.value(name, part):6.1f}" for part in parts)
                    shares = " ".join(f"{report.value(name, f'share of {part}'):6.1f}" for part in parts)
                    print(
                        f"{name:4} {report.value(name, 'request'):10.1f} = {times}     | {shares} |"
                        f" {report.value(name, 'body'):.0f}, {report.value(name, 'reply'):.0f}",
                        flush=True,
                    )


def main() -> None:
    """Measure and print one line a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["S", "M", "L"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--repeat", type=int, default=5)
    options, report = arguments(parser, "service_optimize")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(measure_all(report, options.sizes, options.repeat))


if __name__ == "__main__":
    main()
