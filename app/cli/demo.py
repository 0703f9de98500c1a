"""`smartcharge demo`: the service in a directory of its own, on loopback, with simulated charging stations."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from app import logs
from app.demo.chaos import run_chaos
from app.demo.live import run_live
from app.demo.result import DemoResult
from app.demo.run import run_day
from app.main import keyed_service
from app.settings import Settings

AT_LEISURE = {"guard_period_s": 30.0, "reconcile_s": 60.0}  # a day in a minute: nothing goes wrong between two looks
AT_CHAOS = {"guard_period_s": 5.0, "call_timeout_s": 5.0, "ping_interval_s": 3600.0}  # pings run on real time
LOOPBACK = "127.0.0.1"  # the demo's passwords are known to everybody


async def demo_day(*, as_json: bool) -> int:
    """One simulated day; prints the result, and why it is not good if it is not. The exit status."""
    logs.configure("WARNING")
    with demo_settings(http_port=0, ocpp_port=0, **AT_LEISURE) as settings:
        result = await run_day(lambda clock: keyed_service(settings, clock))
    if as_json:
        sys.stdout.write(json.dumps(result.to_json(), indent=2) + "\n")
    else:
        Console().print(_table(result))
    for failure in result.failures:
        Console(stderr=True).print(f"[red]Failed:[/] {failure}", highlight=False)
    return 0 if result.is_good else 1


async def demo_chaos(*, as_json: bool) -> int:
    """One simulated day on which everything goes wrong. The exit status is 0 only if no limit was exceeded and the
    promises were kept that could be."""
    logs.configure("CRITICAL")  # what goes wrong is told at the end
    with demo_settings(http_port=free_port(), ocpp_port=free_port(), **AT_CHAOS) as settings:
        result = await run_chaos(lambda clock: keyed_service(settings, clock))
    if as_json:
        sys.stdout.write(json.dumps(result.to_json(), indent=2) + "\n")
    else:
        console = Console()
        for mishap in result.mishaps:
            console.print(f"{mishap.hour:05.2f} h  {mishap}", highlight=False)
        console.print(_table(result.day))
        console.print(
            f"{len(result.kept)} of {len(result.possible)} promises kept that perfect foresight could have kept"
        )
    for failure in result.failures:
        Console(stderr=True).print(f"[red]Failed:[/] {failure}", highlight=False)
    return 0 if result.is_good else 1


async def demo_live() -> int:
    """Until Ctrl-C or SIGTERM. Ports are those of the settings: 8080 and 9000."""
    logs.configure("WARNING")
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with demo_settings() as settings:
        await run_live(lambda clock: keyed_service(settings, clock), stop=stop)
    return 0


def free_port() -> int:
    """One that the system has just given out: a service that is started again has to be found where it was."""
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 0))
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def demo_settings(**ports: float) -> Iterator[Settings]:
    """The operator's settings, but on loopback and with a database that is gone afterwards."""
    with TemporaryDirectory(prefix="smartcharge-demo-", ignore_cleanup_errors=True) as folder:
        own = {"http_host": LOOPBACK, "ocpp_host": LOOPBACK, "data_dir": Path(folder), "database_url": None}
        own |= {"solve_workers": "thread"}  # a day is waited for, and a process takes a second or two to start
        yield Settings().model_copy(update=own | ports)


def _table(result: DemoResult) -> Table:
    answer = result.to_json()
    met = sum(session["departure_met"] for session in answer["sessions"])
    table = Table(
        title=f"One day, {answer['stations']} charging stations: {answer['profiles_verified']} of "
        f"{answer['profiles_sent']} profiles verified, {met} of {len(answer['sessions'])} departures met"
    )
    for heading in ("", "realised", "uncontrolled", "equal share"):
        table.add_column(heading, justify="right" if heading else "left")
    policies = ("realised", "uncontrolled", "equal_share")
    for name, key, digits in (("cost", "cost", 2), ("unmet, kWh", "unmet_kwh", 1), ("peak, kW", "peak_kw", 1)):
        table.add_row(name, *(f"{answer[key][policy]:.{digits}f}" for policy in policies))
    table.add_row("limit violations", str(answer["limit_violations"]), str(answer["uncontrolled_violations"]), "")
    return table
