"""`smartcharge doctor`: would the service start here, and would it plan?"""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from app.errors import AppError
from app.main import open_store
from app.server import bind
from app.settings import Settings
from optimizer.domain import Connection, Evse, Horizon, Problem, Session
from optimizer.errors import OptimizerError
from optimizer.optimise import optimise


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    is_well: bool
    text: str


async def examine(settings: Settings) -> list[Finding]:
    """One finding for each thing that the service needs."""
    return [
        await _database(settings),
        _port("http", settings.http_host, settings.http_port),
        _port("ocpp", settings.ocpp_host, settings.ocpp_port),
        _solver(settings.solver),
    ]


async def _database(settings: Settings) -> Finding:
    try:
        async with open_store(settings) as store:
            await store.ping()
            sites = await store.sites()
    except Exception as error:  # whatever a driver raises: this is where it is told, not where it is handled
        return Finding("database", False, str(error).splitlines()[0] if str(error) else type(error).__name__)
    stations = sum(len(site.charging_stations) for site in sites)
    return Finding("database", True, f"reachable, newest schema, {len(sites)} sites with {stations} charging stations")


def _port(setting: str, host: str, port: int) -> Finding:
    subject = f"{setting.upper()} port"
    try:
        with closing(bind(host, port, setting)):
            return Finding(subject, True, f"{host}:{port} is free" if port else f"{host}: the system chooses")
    except AppError as error:
        return Finding(subject, False, f"{error} (is the service running?)")


def _solver(name: str) -> Finding:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    problem = Problem(
        horizon=Horizon(start=start, slot_minutes=60, slots=2),
        connection=Connection(),
        circuits=(),
        evses=(Evse("evse", "connection", max_current_a=16),),
        sessions=(Session("session", "evse", start, start.replace(hour=2), 2.0),),
        base_load_kw=(0.0, 0.0),
        import_price_per_kwh=(0.2, 0.1),
        export_price_per_kwh=(0.0, 0.0),
        pv_kw=(0.0, 0.0),
    )
    try:
        schedule = optimise(problem, solver=name, baselines=False)
    except OptimizerError as error:
        return Finding("solver", False, f"{name}: {error}")
    if schedule.status == "fallback":
        return Finding("solver", False, f"{name}: {schedule.status}, {schedule.reason}")
    return Finding("solver", True, f"{name} solves")
