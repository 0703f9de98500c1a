"""`smartcharge import series`, `import prices` and `import tariff`: thin commands, mounted by app/cli/main.py."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

console = Console()


def import_series_command(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines with a time and a value column.")],
    site: Annotated[str, typer.Option(help="The site that it is about.")],
    kind: Annotated[str, typer.Option(help="import_price, carbon, carbon_marginal, ghi, temp_air, pv, base_load …")],
    unit: Annotated[str, typer.Option(help="e.g. EUR/MWh, g/kWh, kW, W/m2, degC")],
    source: Annotated[str, typer.Option(help="Who issued it; default: the file's name.")] = "",
    time_column: Annotated[str, typer.Option(help="ISO 8601 times with an offset.")] = "time",
    value_column: Annotated[str, typer.Option(help="The values.")] = "value",
    labels: Annotated[str, typer.Option(help="Whether a time is its interval's start or end.")] = "start",
) -> None:
    """Prices, carbon, weather or a forecast. Rows without a value are gaps, and stay gaps."""
    from app.clock import SystemClock
    from app.errors import InvalidInputError
    from app.imports.cli import open_store
    from app.imports.series import import_series
    from app.series_units import SeriesKind

    if kind not in get_args(SeriesKind):
        raise InvalidInputError("kind", f"{kind!r} is none of {', '.join(get_args(SeriesKind))}")
    if labels not in ("start", "end"):
        raise InvalidInputError("labels", f"{labels!r} is neither start nor end")

    async def work() -> None:
        async with open_store() as store:
            result = await import_series(
                store,
                file,
                site_id=site,
                kind=kind,  # type: ignore[arg-type]  # one of them, checked above
                unit=unit,
                source=source or file.name,
                issued_at=SystemClock().now(),
                time_column=time_column,
                value_column=value_column,
                labels=labels,  # type: ignore[arg-type]  # one of the two, checked above
            )
        console.print(
            f"{result.rows:,} rows: {result.values:,} values of {result.step_minutes} minutes in {result.series} "
            f"stretches, {result.gaps:,} gaps, {result.repeated:,} repeated, {result.skipped.count:,} unreadable."
        )
        for quote in result.skipped.quotes:
            console.print(f"  {quote}", markup=False)

    asyncio.run(work())


def import_prices_command(
    files: Annotated[list[Path], typer.Argument(help="JSON replies of Energy-Charts, e.g. one a day.")],
    site: Annotated[str, typer.Option(help="The site that they are for.")],
) -> None:
    """Day-ahead prices that were fetched before, as the site's source would have stored them."""
    from app.clock import SystemClock
    from app.imports.cli import open_store
    from app.imports.series import import_energy_charts

    async def work() -> None:
        async with open_store() as store:
            for file in files:
                result = await import_energy_charts(store, file, site_id=site, issued_at=SystemClock().now())
                console.print(f"{file.name}: {result.values:,} prices of {result.step_minutes} minutes.")

    asyncio.run(work())


def import_tariff_command(
    file: Annotated[Path, typer.Argument(help="JSON of the OpenEI utility rate database, or of acnportal.")],
    site: Annotated[str | None, typer.Option(help="The site that gets it; without one it is printed.")] = None,
) -> None:
    """A time-of-use tariff with its demand charges and tiers, as a site's document says it."""
    from app.imports.cli import open_store
    from app.site import Site
    from app.tariff_files import read_tariff

    read = read_tariff(file)
    if site is None:
        said = {"kind": read.tariff.kind} | read.tariff.model_dump(mode="json", exclude_defaults=True)
        typer.echo(json.dumps(said, indent=2))
    else:
        site_id = site

        async def work() -> None:
            async with open_store() as store:
                known = await store.site(site_id)
                changed = known.model_dump(mode="json") | {"tariff": read.tariff.model_dump(mode="json")}
                await store.save_site(Site.model_validate(changed))

        asyncio.run(work())
        console.print(
            f"Site {site_id!r} has the tariff {read.name!r}: {len(read.tariff.periods)} periods, "
            f"{len(read.tariff.demand_charges)} demand charges, {len(read.tariff.tiers)} tiers."
        )
    for warning in read.warnings:
        typer.secho(f"Warning: {warning}.", err=True)
