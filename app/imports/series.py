"""A series from a file: a column of times, which are the starts of their intervals, and a column of values."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from app.db.store import Store
from app.errors import InvalidInputError
from app.imports.meter import number_of
from app.imports.moments import moment_of
from app.imports.rows import Progress, Skipped, no_progress, read_rows
from app.series_units import NEVER_NEGATIVE, SeriesKind, kept_unit
from app.sources.feed import stored
from forecasts.errors import SourceError
from forecasts.sources.energy_charts import EnergyCharts
from forecasts.sources.published import Interval, Published, Window, on_steps, started, unique


@dataclass(slots=True)
class ImportedSeries:
    """`gaps` are rows without a value, `repeated` say the same again; `series` are stretches without a gap."""

    rows: int = 0
    values: int = 0
    gaps: int = 0
    repeated: int = 0
    series: int = 0
    step_minutes: int = 0
    skipped: Skipped = field(default_factory=Skipped)


async def import_series(
    store: Store,
    path: Path,
    *,
    site_id: str,
    kind: SeriesKind,
    unit: str,
    source: str,
    issued_at: datetime,
    time_column: str = "time",
    value_column: str = "value",
    labels: Literal["start", "end"] = "start",
    progress: Progress = no_progress,
) -> ImportedSeries:
    """Store a file's values as series of `source`, issued at `issued_at`: the same again replaces the first.

    Times need an offset. The step is the shortest distance of two times; a longer one is a gap. Raises
    `InvalidInputError` and `NotFoundError`; of a file that is wrong nothing is stored.
    """
    site = await store.site(site_id)
    kept, factor = kept_unit(kind, unit, site.currency)
    result, pairs = ImportedSeries(), []
    for place, row in read_rows(path, result.skipped, progress):
        if result.rows == 0:
            for name, column in (("time_column", time_column), ("value_column", value_column)):
                if column not in row:
                    raise InvalidInputError(name, f"{column!r} is none of the file's columns {sorted(row)}")
        result.rows += 1
        if row.get(value_column) in (None, ""):
            result.gaps += 1
            continue
        try:
            pairs.append((moment_of(row.get(time_column), None), number_of(row[value_column]) * factor))
        except InvalidInputError:
            raise
        except (ValueError, OverflowError) as error:
            result.skipped.add(place, row, str(error))
    published = _published(path, kind, kept, pairs, labels)
    if kind in NEVER_NEGATIVE and float(published.values.min()) < 0:
        raise InvalidInputError("file", f"{kind} {published.values.min():g} {kept} is negative")
    series = stored(site_id, source, [published], issued_at)
    for one in series:
        await store.add_series(one)
    result.values, result.series = len(published.values), len(series)
    result.repeated = len(pairs) - len(set(pairs))
    result.step_minutes = round(published.step / timedelta(minutes=1))
    return result


async def import_energy_charts(store: Store, path: Path, *, site_id: str, issued_at: datetime) -> ImportedSeries:
    """Store the day-ahead prices of a reply of Energy-Charts that was kept as a file, as its source would.

    Raises `InvalidInputError`, `NotFoundError` and `OSError`; of a reply that is wrong nothing is stored.
    """
    site = await store.site(site_id)
    any_time = Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))  # all that the reply has
    reply = await asyncio.to_thread(path.read_bytes)
    try:
        [published] = EnergyCharts("").parse([reply], any_time)
    except SourceError as error:
        raise InvalidInputError("file", f"{path.name}: {error}") from error
    if published.unit != f"{site.currency}/kWh":
        raise InvalidInputError("file", f"{path.name} is in {published.unit}, the site in {site.currency}")
    series = stored(site_id, EnergyCharts("").name, [published], issued_at)
    for one in series:
        await store.add_series(one)
    values, step_minutes = len(published.values), round(published.step / timedelta(minutes=1))
    return ImportedSeries(rows=values, values=values, series=len(series), step_minutes=step_minutes)


def _published(
    path: Path, kind: SeriesKind, unit: str, pairs: list[tuple[datetime, float]], labels: Literal["start", "end"]
) -> Published:
    try:
        intervals = started(path.name, unique(path.name, pairs))
        if labels == "end":
            step = intervals[0].end - intervals[0].start
            intervals = [Interval(one.start - step, one.end - step, one.value) for one in intervals]
        values, length = on_steps(path.name, intervals)
    except SourceError as error:
        raise InvalidInputError("file", str(error)) from error
    return Published(kind, values, length, unit)
