"""`smartcharge backtest`: forecasts scored against what then happened, from plain files or from a site's store."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.backtest.report import Backtest

backtest_app = typer.Typer(
    help="What forecasts are worth: each issued with what was known then, scored against what then happened.",
    no_args_is_help=True,
)

# The options that every back-test has; a command names them as its parameters.
TimeZone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        help="IANA name of the local clock: of local days, and of times that carry no offset. UTC where none is given; "
        "times without an offset are refused then.",
    ),
]
From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First local day that is scored.")]
To = Annotated[
    datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="First local day that is not scored any more.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The scores as JSON on standard output.")]
Country = Annotated[str | None, typer.Option(help="ISO 3166 code, such as DE, for public holidays.")]
Subdivision = Annotated[
    str | None, typer.Option(help="The part of the country whose holidays hold, such as BY; with --country.")
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", help="Where the report with pictures goes; backtest-….html in build/ or here, none with --json."
    ),
]


@backtest_app.command("load")
def backtest_load_command(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines with the columns time and kw.")],
    time_zone: TimeZone = None,
    first_day: From = None,
    end_day: To = None,
    as_json: AsJson = False,
    html: Html = None,
    country: Country = None,
    subdivision: Subdivision = None,
) -> None:
    """Base load: quantiles of each model and of the naive ones, for whole days and for the coming hours."""
    from app.backtest.load import backtest_load_file

    with bar("issuing forecasts") as progress:
        result = backtest_load_file(file, time_zone, first_day, end_day, country, subdivision, progress)
    show(result, as_json, html)


@backtest_app.command("pv")
def backtest_pv_command(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines with columns time, kw, ghi and temp_air.")],
    latitude: Annotated[float, typer.Option(help="Degrees, north positive.")],
    longitude: Annotated[float, typer.Option(help="Degrees, east positive.")],
    tilt: Annotated[list[float], typer.Option(help="Degrees, 0 is flat; repeated for each array.")],
    azimuth: Annotated[list[float], typer.Option(help="Degrees, 180 is south; repeated for each array.")],
    kwp: Annotated[list[float], typer.Option(help="Nameplate of the modules; repeated for each array.")],
    inverter_kw: Annotated[float | None, typer.Option(help="What the inverters deliver together at most.")] = None,
    time_zone: TimeZone = None,
    first_day: From = None,
    end_day: To = None,
    as_json: AsJson = False,
    html: Html = None,
    time_column: Annotated[str, typer.Option(help="ISO 8601 times, the start of each interval.")] = "time",
    value_column: Annotated[str, typer.Option(help="The measured power.")] = "kw",
    unit: Annotated[str, typer.Option(help="Of the power: kW or W.")] = "kW",
) -> None:
    """PV: the power of each model in daylight, with the weather that stands in the file."""
    from app.backtest.pv import backtest_pv_file, roof_of

    roof = roof_of(latitude, longitude, tilt, azimuth, kwp, inverter_kw)
    with bar("issuing forecasts") as progress:
        result = backtest_pv_file(
            file,
            roof,
            time_zone,
            first_day,
            end_day,
            time_column=time_column,
            value_column=value_column,
            unit=unit,
            progress=progress,
        )
    show(result, as_json, html)


@backtest_app.command("site")
def backtest_site_command(
    site: Annotated[str, typer.Argument(help="Its id.")],
    time_zone: Annotated[
        str | None, typer.Option("--timezone", help="Another clock than the site's own, by its IANA name.")
    ] = None,
    first_day: From = None,
    end_day: To = None,
    as_json: AsJson = False,
    html: Html = None,
) -> None:
    """A site's base load, PV and sessions, from what its meters and stations measured: the last 28 days."""
    import asyncio

    from app.backtest.site import backtest_site
    from app.clock import SystemClock
    from app.imports.cli import open_store

    async def work() -> "Backtest":
        async with open_store() as store:
            with bar("issuing forecasts") as progress:
                return await backtest_site(
                    store,
                    await store.site(site),
                    SystemClock().now(),
                    first_day=first_day.date() if first_day else None,
                    end_day=end_day.date() if end_day else None,
                    time_zone=time_zone,
                    progress=progress,
                )

    show(asyncio.run(work()), as_json, html)


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, gone when the work is done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


@backtest_app.command("sessions")
def backtest_sessions_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet or JSON lines with the columns arrival, departure, energy_kwh, and where known "
            "session_id, evse_id, user_id, max_kw, requested_kwh, stated_departure."
        ),
    ],
    time_zone: TimeZone = None,
    first_day: From = None,
    end_day: To = None,
    as_json: AsJson = False,
    html: Html = None,
    country: Country = None,
    subdivision: Subdivision = None,
) -> None:
    """Sessions: how long cars stay and what they take, believed at plug-in and while they stay, against the truth."""
    from app.backtest.sessions import backtest_sessions_file

    with bar("issuing forecasts") as progress:
        result = backtest_sessions_file(file, time_zone, first_day, end_day, country, subdivision, progress)
    show(result, as_json, html)


def show(result: "Backtest", as_json: bool, html: Path | None) -> None:
    """Print one back-test and write its page."""
    from rich.console import Console

    said = Console(stderr=True, soft_wrap=True)
    if as_json:
        sys.stdout.write(result.as_text() + "\n")
    else:
        out = Console(soft_wrap=True)
        if not out.is_terminal:  # a file or a pipe has no width: cells are not cut to that of a terminal
            out = Console(width=160, soft_wrap=True)
        for name, value in result.about.items():
            out.print(f"{name}: {value}", highlight=False, markup=False)
        for table in result.tables:
            out.print(table.as_table(), highlight=False)
    for note in result.notes:
        said.print(note, highlight=False, markup=False)
    if html is None and not as_json:
        html = (Path("build") if Path("build").is_dir() else Path()) / f"backtest-{result.subject}.html"
    if html is not None:
        result.write_page(html)
        said.print(f"Report with pictures written to {html}.", highlight=False, markup=False)
