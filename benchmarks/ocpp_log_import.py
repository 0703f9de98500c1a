"""A million messages of an OCPP log: read, de-duplicated, stored and settled. And meter readings, in bulk.

    python benchmarks/ocpp_log_import.py [--messages 1000000] [--readings 500000] [--json PATH]

Each runs in a process of its own, whose highest memory is taken at the end. The log is made here: stations that send
heartbeats and twelve values a minute while they charge, with one row in twenty twice and neighbouring rows shuffled.
Targets: 5 minutes and 1 GB for the log on two cores, 100,000 readings a second.
"""

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.report import Report, arguments

ROOT = Path(__file__).parents[1]
STATIONS = 100
START = datetime(2026, 3, 2, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CHARGING, PAUSE = 90, 30  # minutes of a transaction, and until the next one
PHASES = ("L1", "L2", "L3")


def write_log(path: Path, messages: int) -> None:
    """`messages` rows as JSON lines."""
    chance = random.Random(7)
    rows = _rows()
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < messages:
            some = [next(rows) for _ in range(min(500, messages - written))]
            some += chance.sample(some, min(len(some) // 20, messages - written - len(some)))
            chance.shuffle(some)
            file.writelines(some)
            written += len(some)


def _rows() -> Iterator[str]:
    minute, message = 0, 0
    while True:
        at = START + minute * MINUTE
        for station in range(STATIONS):
            round_, since = divmod(minute - station, CHARGING + PAUSE)  # they begin one after the other
            transaction = round_ * STATIONS + station + 1
            for action, body, answer in _exchanges(at, since, transaction):
                message += 1
                yield _row(message, 2, station, action, at, body)
                yield _row(message, 3, station, action, at, answer)
        minute += 1


def _exchanges(at: datetime, since: int, transaction: int) -> Iterator[tuple[str, Any, Any]]:
    told = at.isoformat()
    yield "Heartbeat", {}, {"current_time": told}
    if transaction <= 0:
        return
    if since == 0:
        start = {"connector_id": 1, "id_tag": f"tag-{transaction % 300}", "meter_start": 0, "timestamp": told}
        yield "StartTransaction", start, {"transaction_id": transaction, "id_tag_info": {"status": "Accepted"}}
    if since < CHARGING:
        values = {"connector_id": 1, "transaction_id": transaction, "meter_value": [_sample(told, since)]}
        yield "MeterValues", values, {}
    if since == CHARGING:
        stop = {"transaction_id": transaction, "meter_stop": CHARGING * 11_000 // 60, "timestamp": told}
        yield "StopTransaction", stop, {"id_tag_info": None}


def _sample(at: str, minutes: int) -> dict[str, Any]:
    values = [_value(11_000, "Power.Active.Import", "W"), _value(48, "Current.Import", "A")]
    values.append(_value(round(minutes * 11_000 / 60), "Energy.Active.Import.Register", "Wh"))
    for phase in PHASES:
        values.append(_value(3_666.7, "Power.Active.Import", "W", phase))
        values.append(_value(16, "Current.Import", "A", phase))
        values.append(_value(230, "Voltage", "V", f"{phase}-N"))
    return {"timestamp": at, "sampled_value": values}


def _value(value: float, measurand: str, unit: str, phase: str | None = None) -> dict[str, Any]:
    plain = {"value": str(value), "context": "Sample.Periodic", "format": "Raw", "measurand": measurand}
    return plain | {"phase": phase, "location": None, "unit": unit}


def _row(message: int, kind: int, station: int, action: str, at: datetime, body: Any) -> str:
    row = {
        "message_id": str(message),
        "message_type": kind,
        "charge_point_id": f"cp-{station:03}",
        "action": action,
        "write_timestamp": at.isoformat(),
        "body": json.dumps(body),
    }
    return json.dumps(row) + "\n"


async def _import_log(log: Path, database: str) -> dict[str, float]:
    from app.clock import SystemClock
    from app.db.store import Store
    from app.imports.ocpp_log import import_ocpp_log

    async with Store.open(database, SystemClock()) as store:
        started = perf_counter()
        result = await import_ocpp_log(store, log, site_id="depot")
        took_s = perf_counter() - started
    assert result.skipped.count == 0, result.skipped.quotes
    return {"s": took_s, "rows": result.rows, "values": result.meter_values, "cdrs": result.cdrs}


async def _store_readings(count: int, database: str) -> dict[str, float]:
    from app.clock import SystemClock
    from app.db.records import Reading
    from app.db.store import Store

    readings = [Reading("depot", "grid", START + number * MINUTE, number % 97 / 10) for number in range(count)]
    async with Store.open(database, SystemClock()) as store:
        started = perf_counter()
        first = await store.add_readings(readings)
        took_s = perf_counter() - started
        started = perf_counter()
        again = await store.add_readings(readings)
        again_s = perf_counter() - started
    assert (first, again) == (count, 0)
    return {"s": took_s, "again_s": again_s}


def child(what: str, argument: str, database: str) -> None:
    """In the process of its own."""
    work = _import_log(Path(argument), database) if what == "log" else _store_readings(int(argument), database)
    figures = asyncio.run(work)
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures["cpu_s"] = used.ru_utime + used.ru_stime
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def measured(what: str, argument: str, database: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.ocpp_log_import", "--child", what, argument, database]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def report_on(report: Report, messages: int, readings: int) -> None:
    with TemporaryDirectory(prefix="smartcharge-import-") as folder:
        log, database = Path(folder) / "log.jsonl", f"sqlite:///{folder}/benchmark.db"
        write_log(log, messages)
        case = f"{messages:,} messages"
        for measure in ("first import", "again"):
            figures = measured("log", str(log), database)
            report.add(case, measure, figures["s"], "s")
            report.add(case, f"{measure}, processor", figures["cpu_s"], "s")
            report.add(case, f"{measure}, highest memory", figures["peak_mb"], "MB")
            cost = f"{figures['s']:.1f} s ({figures['cpu_s']:.1f} s of processor), {figures['peak_mb']:.0f} MB"
            print(f"{case}, {measure}: {cost}, {figures['values']:,.0f} new values, {figures['cdrs']:,.0f} CDRs")
        figures = measured("readings", str(readings), f"sqlite:///{folder}/readings.db")
    for measure, took_s in (("new", figures["s"]), ("again", figures["again_s"])):
        report.add(f"{readings:,} readings", measure, readings / took_s, "rows/s")
        print(f"{readings:,} readings, {measure}: {readings / took_s:,.0f} rows/s")


def main() -> None:
    """Print the figures, and append them where they are asked for."""
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:5])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--readings", type=int, default=500_000)
    options, report = arguments(parser, "ocpp_log_import")
    report_on(report, options.messages, options.readings)


if __name__ == "__main__":
    main()
