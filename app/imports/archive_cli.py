"""`smartcharge export site`, `import site-archive`, `quarantine`, `forget-driver`, `retention`: thin commands."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from app.imports.cli import console, open_store

Days = Annotated[int | None, typer.Option(min=1, help="Keep so many days.")]


def export_site_command(
    site: Annotated[str, typer.Argument(help="The site's id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder: one file a table, and site.json.")],
    form: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "parquet",
) -> None:
    """A site with all its history, in files that `import archive` reads back without loss."""
    from app.errors import InvalidInputError
    from app.imports.archive import write_archive

    if form not in ("csv", "parquet"):
        raise InvalidInputError("format", f"{form!r} is neither csv nor parquet")

    async def work() -> Mapping[str, int]:
        async with open_store() as store:
            return await write_archive(store, site, output, form)  # type: ignore[arg-type]  # one of the two

    _print_counts(asyncio.run(work()), "Rows written")


def import_archive_command(
    folder: Annotated[Path, typer.Argument(help="What `export site` has written.")],
) -> None:
    """A site and its history from an archive. Twice is as good as once; a site that is there keeps its document."""
    from app.imports.archive import read_archive

    async def work() -> Mapping[str, int]:
        async with open_store() as store:
            return await read_archive(store, folder)

    _print_counts(asyncio.run(work()), "Rows taken in")


def quarantine_command(
    site: Annotated[str, typer.Argument(help="The site's id.")],
    reason: Annotated[str | None, typer.Option(help="Only these; docs/data.md lists them.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many are listed, newest first.")] = 50,
) -> None:
    """What was measured or sent and is not believed: counted by reason, and listed."""
    from app.errors import InvalidInputError
    from app.plausibility import REASONS

    if reason is not None and reason not in REASONS:
        raise InvalidInputError("reason", f"{reason!r} is none of {', '.join(REASONS)}")

    async def work() -> None:
        async with open_store() as store:
            await store.site(site)
            counts = await store.count_suspects(site)
            rows = await store.suspects(site, reason=reason, limit=limit)
        _print_counts(counts, "In quarantine")
        table = Table("At", "Reason", "Where", "What")
        for row in rows:
            where = f"{row.station_id}/{row.evse_id}" if row.station_id else row.meter_id or row.source
            table.add_row(row.at.isoformat() if row.at else "–", row.reason, where, row.detail)
        if rows:
            console.print(table, markup=False)

    asyncio.run(work())


def forget_driver_command(
    id_tag: Annotated[str, typer.Argument(help="As stations send it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Put a random name in the place of an id tag, everywhere and for good. Sums stay; nobody can tell whose."""
    from app import logs
    from app.retention import forget_driver

    if not yes:
        typer.confirm("This cannot be undone. Forget this driver?", abort=True)
    logs.configure("INFO")

    async def work() -> tuple[str, Mapping[str, int]]:
        async with open_store() as store:
            return await forget_driver(store, id_tag)

    pseudonym, counts = asyncio.run(work())
    _print_counts(counts, f"Now {pseudonym}")


def retention_command(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    samples_days: Days = None,
    plans_days: Days = None,
    history_days: Days = None,
    quarantine_days: Days = None,
    id_tags_days: Days = None,
) -> None:
    """Drop meter values, plans, site history and quarantine beyond their days; take names off older records."""
    from app import logs
    from app.clock import SystemClock
    from app.errors import InvalidInputError
    from app.retention import keep_no_longer

    days = {
        "samples_before": samples_days,
        "plans_before": plans_days,
        "history_before": history_days,
        "quarantine_before": quarantine_days,
        "id_tags_before": id_tags_days,
    }
    if all(value is None for value in days.values()):
        raise InvalidInputError("days", "none is given: name at least one, e.g. --samples-days 400")
    now = SystemClock().now()
    befores = {name: now - timedelta(days=value) for name, value in days.items() if value is not None}
    logs.configure("INFO")

    async def work() -> Mapping[str, int]:
        async with open_store() as store:
            if site is not None:
                await store.site(site)
            return await keep_no_longer(store, site_id=site, **befores)

    _print_counts(asyncio.run(work()), "Dropped")


def _print_counts(counts: Mapping[str, int], title: str) -> None:
    said = ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "nothing"
    console.print(f"{title}: {said}.", markup=False, highlight=False)
