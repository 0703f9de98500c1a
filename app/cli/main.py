"""`smartcharge`: thin commands. What they need is imported when they run, so that `--help` is quick."""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import crash_points

if TYPE_CHECKING:
    from app.settings import Settings

app = typer.Typer(
    name="smartcharge",
    help="Smart charging: plans from meter history, PV forecasts and tariffs, sent to charging stations over OCPP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="API keys.", no_args_is_help=True)
stations_app = typer.Typer(help="Charging stations.", no_args_is_help=True)
GARBAGE_AFTER = 5_000  # new objects: a plan makes a hundred thousand that are all gone a second later
import_app = typer.Typer(help="Bring sites and history in.", no_args_is_help=True)
export_app = typer.Typer(help="Take data out.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(stations_app, name="stations")
app.add_typer(import_app, name="import")
app.add_typer(export_app, name="export")

WRONG_INPUT, FAILED = 2, 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; what the user can mend is one line on stderr and status 2, what failed is status 1."""
    try:
        crash_points.arm(os.environ)
        app(args=arguments)
    except Exception as error:
        from app.cli.errors import explain

        explained = explain(error)
        if explained is None:
            raise
        line, status = explained
        _say(f"[red]Error:[/] {line}")
        raise SystemExit(status) from None


@app.command()
def serve() -> None:
    """Run the service: HTTP API and dashboard, OCPP listener, planner. Settings: environment, SMARTCHARGE_…"""
    from app import logs, tracing
    from app.main import serve as run

    settings = _settings()
    logs.configure(settings.log_level)
    tracing.configure(os.environ)
    raise typer.Exit(_run_fast(run(settings)))


@app.command()
def plan(
    file: Annotated[Path, typer.Argument(help="A problem, JSON version 1; - reads standard input.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the schedule goes, as JSON.")] = None,
    solver: Annotated[str, typer.Option(help="highs, or pulp:NAME for a solver that PuLP knows.")] = "highs",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why, in words: binding rules, next-best slots.")
    ] = False,
    evse: Annotated[list[str] | None, typer.Option(help="Reasons for this EVSE alone; may be repeated.")] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="uncontrolled, equal_share, earliest_deadline_first, least_laxity_first or perfect_foresight, in "
            "place of the first two; may be repeated."
        ),
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(min=0.001, max=86_400, help="Seconds, in place of the problem's own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The schedule on standard output, reasons and all.")] = False,
) -> None:
    """Solve one problem file. Without -o the schedule goes to standard output as JSON; with --explain, words do."""
    from app.cli.plan import plan_file

    is_plan = plan_file(
        file,
        output=output,
        solver=solver,
        explain=explain,
        evse_ids=evse or (),
        baselines=baseline or (),
        time_limit_s=time_limit,
        as_json=as_json,
        data_dir=_settings().data_dir,
    )
    if not is_plan:
        raise typer.Exit(FAILED)


@app.command()
def openapi(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
) -> None:
    """Print the API's OpenAPI document."""
    from app.api.application import openapi_document

    text = json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, "utf-8")


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema. `serve` does so by itself."""
    from app.main import open_store

    settings = _settings()

    async def work() -> None:
        async with open_store(settings) as store:
            await store.ping()

    asyncio.run(work())
    _say(f"The database {_shown(settings)} has the newest schema.")


@app.command()
def nightly(
    site: Annotated[list[str] | None, typer.Argument(help="Sites to plan; all when none is named.")] = None,
) -> None:
    """Plan the coming day of each site now. Nothing is sent: a running service sends at the site's own hour."""
    from rich.table import Table

    from app import logs
    from app.main import plan_night

    logs.configure("ERROR")
    results = asyncio.run(plan_night(_settings(), tuple(site or ())))
    table = Table("Site", "Status", "Plan", "Reason")
    for result in results:
        table.add_row(result.site_id, result.status or "[red]failed[/]", result.plan_id or "–", result.error or "")
    _console().print(table)
    if any(result.plan_id is None for result in results):
        raise typer.Exit(FAILED)


@app.command()
def doctor() -> None:
    """Check settings, database, ports and solver, one line each."""
    from app.doctor import examine

    console, is_well = _console(), True
    for finding in asyncio.run(examine(_settings())):
        console.print(f"[{'green' if finding.is_well else 'red'}]{'ok ' if finding.is_well else 'bad'}[/] ", end="")
        console.print(f"{finding.subject}: {finding.text}", markup=False, highlight=False)
        is_well = is_well and finding.is_well
    if not is_well:
        raise typer.Exit(FAILED)


@app.command()
def demo(
    once: Annotated[bool, typer.Option(help="Step the clock through one whole day, print the result and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: one JSON object on standard output.")] = False,
    chaos: Annotated[bool, typer.Option(help="A day on which everything goes wrong: always one whole day.")] = False,
) -> None:
    """A simulated site with twelve charging stations that speak real OCPP, planned and charged."""
    from app.cli.demo import demo_chaos, demo_day, demo_live

    if as_json and not once:
        raise typer.BadParameter("--json needs --once: a demo that stays up has no result")
    if chaos:
        raise typer.Exit(_run_fast(demo_chaos(as_json=as_json)))
    raise typer.Exit(_run_fast(demo_day(as_json=as_json) if once else demo_live()))


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who will hold it.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, write or admin; may be repeated.")] = None,
) -> None:
    """Make an API key and print it this once."""

    async def work(keys: Any) -> str:
        _, token = await keys.create(name, scope or ["read"])
        return str(token)

    sys.stdout.write(_with_keys(work) + "\n")


@keys_app.command("list")
def list_keys() -> None:
    """Every key, without its secret."""
    from rich.table import Table

    async def work(keys: Any) -> Any:
        return await keys.all()

    table = Table("Id", "Name", "Scopes", "Created", "Last used", "Revoked")
    for key in _with_keys(work):
        moments = (f"{at:%Y-%m-%d %H:%M}" if at else "–" for at in (key.created_at, key.last_used_at, key.revoked_at))
        table.add_row(key.key_id, key.name, ", ".join(key.scopes), *moments)
    _console().print(table)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """End a key. A running service refuses it from then on."""

    async def work(keys: Any) -> Any:
        return await keys.revoke(key_id)

    _say(f"Key {_with_keys(work).key_id} is revoked.")


@stations_app.command("call")
def station_call(
    station: Annotated[str, typer.Argument(help="The station's OCPP identity.")],
    action: Annotated[str, typer.Argument(help="As OCPP spells it, e.g. TriggerMessage.")],
    payload: Annotated[str, typer.Argument(help="Its payload as JSON.")] = "{}",
    key: Annotated[str, typer.Option(envvar="SMARTCHARGE_API_KEY", help="An API key.", show_default=False)] = "",
    url: Annotated[str, typer.Option(help="Of the service; by default where the settings say.")] = "",
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Whatever the schema says; admin only.")] = False,
) -> None:
    """Send one OCPP command through the service that runs, and print the station's reply."""
    from app.cli.call import call_station

    settings = _settings()
    address = url or f"http://{settings.http_host}:{settings.http_port}"
    if not call_station(address, key, station, action, payload, validate=not unchecked):
        raise typer.Exit(FAILED)


@stations_app.command("notices")
def station_notices(
    station: Annotated[str, typer.Argument(help="The station's OCPP identity.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 20,
    before: Annotated[int | None, typer.Option(help="Only those with a lower number.")] = None,
    action: Annotated[str | None, typer.Option(help="What the action begins with, e.g. service: or operator:")] = None,
    key: Annotated[str, typer.Option(envvar="SMARTCHARGE_API_KEY", help="An API key.", show_default=False)] = "",
    url: Annotated[str, typer.Option(help="Of the service; by default where the settings say.")] = "",
) -> None:
    """What a station told of itself, what was forgiven it and what operators sent it, newest first."""
    from app.cli.notices import print_notices

    settings = _settings()
    address = url or f"http://{settings.http_host}:{settings.http_port}"
    if not print_notices(address, key, station, limit=limit, before=before, action=action):
        raise typer.Exit(FAILED)


@stations_app.command("password")
def station_password(
    station: Annotated[str, typer.Argument(help="The station's OCPP identity.")],
    generate: Annotated[bool, typer.Option("--generate", help="Make one and print it, instead of asking.")] = False,
) -> None:
    """Set a charging station's Basic-auth password. It holds from its next connection."""
    from app.csms.passwords import generate_password, hash_password
    from app.errors import InvalidInputError
    from app.main import open_store

    if generate:
        password, password_hash = generate_password()
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        if not 16 <= len(password) <= 40:
            raise InvalidInputError("password", f"has {len(password)} characters; OCPP security asks for 16 to 40")
        password_hash = hash_password(password)
    settings = _settings()

    async def work() -> None:
        async with open_store(settings) as store:
            await store.station(station)
            await store.set_password_hash(station, password_hash)

    asyncio.run(work())
    if generate:
        sys.stdout.write(password + "\n")
    _say(f"The password of {station} is set.")


@import_app.command("site")
def import_site(file: Annotated[Path, typer.Argument(help="YAML or JSON; docs/site.yaml is an example.")]) -> None:
    """Add or replace a site: whole, or not at all."""
    from app.main import open_store
    from app.site_file import read_site

    site = read_site(file)
    settings = _settings()

    async def work() -> None:
        async with open_store(settings) as store:
            await store.save_site(site)

    asyncio.run(work())
    _say(f"Site {site.id!r} is saved: {len(site.charging_stations)} charging stations, {len(site.circuits)} circuits.")


def _add_simulate_commands() -> None:
    from app.cli.overrides import overrides_app
    from app.cli.simulate import simulate_app

    app.add_typer(simulate_app, name="simulate")
    app.add_typer(overrides_app, name="overrides")


def _add_backtest_commands() -> None:
    from app.cli.backtest import backtest_app

    app.add_typer(backtest_app, name="backtest")


def _add_history_commands() -> None:
    from app.cli import signals
    from app.imports import archive_cli as archive
    from app.imports import cli as history

    import_app.command("ocpp-log")(history.import_ocpp_log_command)
    import_app.command("meter")(history.import_meter_command)
    import_app.command("transactions")(history.import_transactions_command)
    import_app.command("archive")(archive.import_archive_command)
    import_app.command("series")(signals.import_series_command)
    import_app.command("prices")(signals.import_prices_command)
    import_app.command("tariff")(signals.import_tariff_command)
    export_app.command("cdrs")(history.export_cdrs_command)
    export_app.command("site")(archive.export_site_command)
    app.command("quarantine")(archive.quarantine_command)
    app.command("forget-driver")(archive.forget_driver_command)
    app.command("retention")(archive.retention_command)


def _add_ledger_commands() -> None:
    from app.cli.ledger import replay_command, runs_command, why_command

    app.command("runs")(runs_command)
    app.command("replay")(replay_command)
    app.command("why")(why_command)


def _run_fast(work: Coroutine[Any, Any, int]) -> int:
    """On uvloop where it is installed: twice the messages a second.

    What was imported stays for good, half a million objects: no garbage collection needs to walk through them again.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 10, 10)
    try:
        from uvloop import new_event_loop
    except ImportError:  # Windows
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def _settings() -> "Settings":
    from app.settings import Settings

    return Settings()


def _with_keys(work: Any) -> Any:
    from app.clock import SystemClock
    from app.keys import Keys
    from app.main import open_store

    async def run() -> Any:
        async with open_store(_settings()) as store:
            return await work(Keys(store, SystemClock()))

    return asyncio.run(run())


def _shown(settings: "Settings") -> str:
    """The database's address without its password."""
    from sqlalchemy import make_url

    return make_url(settings.resolved_database_url).render_as_string(hide_password=True)


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=True)


def _say(text: str) -> None:
    _console(stderr=True).print(text, highlight=False)


def _add_backup_commands() -> None:
    from app.cli import backup

    app.command("backup")(backup.backup_command)
    app.command("restore")(backup.restore_command)


_add_history_commands()
_add_backup_commands()
_add_simulate_commands()
_add_backtest_commands()
_add_ledger_commands()
