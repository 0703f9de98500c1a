"""`smartcharge import` of logs, meters and transactions, and `export cdrs`: thin commands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from app.db.store import Store
    from app.imports.rows import Skipped

console = Console()


def import_ocpp_log_command(
    file: Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines in the layout of docs/data.md.")],
    site: Annotated[str | None, typer.Option(help="Where unknown stations go; made when it does not exist.")] = None,
) -> None:
    """Stations, transactions, meter values and CDRs from an OCPP 1.6 message log. Twice is as good as once."""
    from app.imports.ocpp_log import import_ocpp_log

    async def work() -> None:
        async with open_store() as store:
            with _progress() as progress:
                result = await import_ocpp_log(store, file, site_id=site, progress=lambda name: _bar(progress, name))
        console.print(
            f"{result.rows:,} messages of {result.stations} charging stations at site {result.site_id!r}: "
            f"{result.transactions} transactions, {result.cdrs} CDRs, {result.meter_values:,} new meter values."
        )
        if result.new_stations:
            console.print(
                f"{result.new_stations} stations are new to site {result.site_id!r} and marked isolated: nothing is "
                "reserved for them until they connect. Give them their circuits before you rely on its plans."
            )
        _print_skipped(result.skipped)
        _print_suspects(result.suspects, result.site_id)
        for warning in result.warnings:
            console.print(f"[yellow]Warning:[/] {warning}.")
        if result.rows == 0:
            raise typer.Exit(1)

    asyncio.run(work())


def import_meter_command(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines with a time and a value column.")],
    site: Annotated[str, typer.Option(help="The site that the meter belongs to.")],
    meter: Annotated[str, typer.Option(help="The meter's id in the site's document.")],
    time_column: Annotated[str, typer.Option(help="ISO 8601 times.")] = "time",
    value_column: Annotated[str, typer.Option(help="The measured values.")] = "kw",
    unit: Annotated[str, typer.Option(help="kW, W, kWh or Wh.")] = "kW",
    time_zone: Annotated[
        str | None, typer.Option(help="Of times that carry no offset; without it they are refused.")
    ] = None,
    resolution_minutes: Annotated[int | None, typer.Option(help="Of energy values and end labels.", min=1)] = None,
    labels: Annotated[str, typer.Option(help="Whether a time is its interval's start or end.")] = "start",
) -> None:
    """A meter's history. Rows without a value are gaps; rows that cannot be read are counted and quoted."""
    from app.errors import InvalidInputError
    from app.imports.meter import import_meter

    if unit not in ("kW", "W", "kWh", "Wh"):
        raise InvalidInputError("unit", f"{unit!r} is none of kW, W, kWh, Wh")
    if labels not in ("start", "end"):
        raise InvalidInputError("labels", f"{labels!r} is neither start nor end")

    async def work() -> None:
        async with open_store() as store:
            with _progress() as progress:
                result = await import_meter(
                    store,
                    file,
                    site_id=site,
                    meter_id=meter,
                    time_column=time_column,
                    value_column=value_column,
                    unit=unit,  # type: ignore[arg-type]  # one of the four, checked above
                    time_zone=time_zone,
                    resolution_minutes=resolution_minutes,
                    labels=labels,  # type: ignore[arg-type]  # one of the two, checked above
                    progress=_bar(progress, "reading"),
                )
        console.print(f"{result.rows:,} rows: {result.stored:,} new or changed readings, {result.gaps:,} gaps.")
        _print_suspects(result.suspects, site)
        _print_skipped(result.skipped)
        for warning in result.warnings:
            console.print(f"[yellow]Warning:[/] {warning}")
        if result.rows == result.skipped.count:
            raise typer.Exit(1)

    asyncio.run(work())


def import_transactions_command(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines, e.g. SteVe's export of its transactions.")],
    site: Annotated[str | None, typer.Option(help="Where unknown stations go; made when it does not exist.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="NAME=COLUMN: the file's column for one of SteVe's names, e.g. charge_box_id=station."),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Of times that carry no offset; without it they are refused.")
    ] = None,
) -> None:
    """Completed transactions and their CDRs from a table of another CSMS. Twice is as good as once."""
    from app.errors import InvalidInputError
    from app.imports.transactions import import_transactions

    columns = {name: there for name, _, there in (one.partition("=") for one in column or ())}
    if unnamed := next((name for name, there in columns.items() if not there), None):
        raise InvalidInputError("column", f"{unnamed!r} is no NAME=COLUMN")

    async def work() -> None:
        async with open_store() as store:
            with _progress() as progress:
                result = await import_transactions(
                    store,
                    file,
                    site_id=site,
                    columns=columns,
                    time_zone=time_zone,
                    progress=_bar(progress, "reading"),
                )
        console.print(
            f"{result.rows:,} rows of {result.stations} charging stations at site {result.site_id!r}: "
            f"{result.transactions} new transactions, {result.known} known ones, {result.cdrs} CDRs."
        )
        if result.running:
            console.print(f"{result.running} transactions run still: import them once they have ended.")
        if result.new_stations:
            console.print(f"{result.new_stations} stations are new to site {result.site_id!r} and marked isolated.")
        _print_skipped(result.skipped)
        _print_suspects(result.suspects, result.site_id)
        if result.rows == result.skipped.count:
            raise typer.Exit(1)

    asyncio.run(work())


def export_cdrs_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv or .parquet file.")],
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    month: Annotated[str | None, typer.Option(help="YYYY-MM by the site's clock; UTC without a site.")] = None,
) -> None:
    """Charge detail records of completed transactions."""
    from app.imports.export import write_cdrs

    async def work() -> None:
        async with open_store() as store:
            zone = (await store.site(site)).zone if site else ZoneInfo("UTC")
            start, end = _month(month, zone) if month else (None, None)
            cdrs = await store.cdrs(site_id=site, start=start, end=end)
        write_cdrs(cdrs, output)
        console.print(f"{len(cdrs)} CDRs written to {output}.")

    asyncio.run(work())


def _month(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    from app.months import month_span

    return month_span(text, zone)


@asynccontextmanager
async def open_store() -> AsyncIterator["Store"]:
    from app.clock import SystemClock
    from app.db.store import Store
    from app.settings import Settings

    async with Store.open(Settings().resolved_database_url, SystemClock()) as store:
        yield store


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True)


def _bar(progress: Progress, name: str) -> Callable[[int, int], None]:
    task = progress.add_task(name, total=None)
    return lambda done, of: progress.update(task, completed=done, total=of)


def _print_skipped(skipped: "Skipped") -> None:
    if skipped.count:
        console.print(f"[yellow]{skipped.count} rows could not be read and were skipped:[/]")
        for quote in skipped.quotes:
            console.print(f"  {quote}", markup=False, highlight=False)
        if skipped.count > len(skipped.quotes):
            console.print(f"  ... and {skipped.count - len(skipped.quotes)} more")


def _print_suspects(count: int, site_id: str) -> None:
    if count:
        console.print(f"{count} of what is not believed are new: [bold]smartcharge quarantine {site_id}[/] lists them.")
