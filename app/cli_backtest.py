"""`smartcharge backtest`: forecasts scored against what then happened, from plain files or from a site's store."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.backtest_report import Backtest

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
) -> None:
    """Base load: day-ahead quantiles, issued at 12:00 local time, of each model and of the naive ones."""
    from app.backtest_load import backtest_load_file

    show(backtest_load_file(file, time_zone, first_day, end_day), as_json, html)


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
) -> None:
    """Sessions: how long cars stay and what they take, believed at plug-in and while they stay, against the truth."""
    from app.backtest_sessions import backtest_sessions_file

    show(backtest_sessions_file(file, time_zone, first_day, end_day), as_json, html)


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
        out.print(result.as_table(), highlight=False)
    for note in result.notes:
        said.print(note, highlight=False, markup=False)
    if html is None and not as_json:
        html = (Path("build") if Path("build").is_dir() else Path()) / f"backtest-{result.subject}.html"
    if html is not None:
        result.write_page(html)
        said.print(f"Report with pictures written to {html}.", highlight=False, markup=False)
