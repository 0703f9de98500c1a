"""A meter's history from a CSV file: a time column, a value column, a unit and a time zone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.db.records import Reading
from app.db.store import Store
from app.errors import InvalidInputError
from app.imports.reading_judge import ReadingJudge
from app.imports.rows import Progress, Skipped, no_progress, read_rows
from app.imports.unread import unread

BATCH = 20_000
Unit = Literal["kW", "W", "kWh", "Wh"]


@dataclass(slots=True)
class ImportedMeter:
    """`gaps` are rows without a value: nothing was measured, and nothing is invented. `suspects` are quarantined."""

    rows: int = 0
    stored: int = 0
    gaps: int = 0
    suspects: int = 0
    skipped: Skipped = field(default_factory=Skipped)
    warnings: list[str] = field(default_factory=list)


async def import_meter(
    store: Store,
    path: Path,
    *,
    site_id: str,
    meter_id: str,
    time_column: str,
    value_column: str,
    unit: Unit,
    time_zone: str | None = None,
    resolution_minutes: int | None = None,
    labels: Literal["start", "end"] = "start",
    progress: Progress = no_progress,
) -> ImportedMeter:
    """Store the file's rows as readings, idempotent: mean kW over intervals labelled by their start.

    Energy units and labels at the end need `resolution_minutes`. Times without an offset are local in `time_zone`, and
    refused where it is None; one that DST makes ambiguous or skips is not guessed but skipped. What the connection
    cannot carry goes into the quarantine, and a file that is mostly so is refused as a whole: its unit is another.
    Raises `InvalidInputError` and `NotFoundError`.
    """
    site = await store.site(site_id)
    meter = next((meter for meter in site.meters if meter.id == meter_id), None)
    if meter is None:
        raise InvalidInputError("meter", f"{meter_id!r} is no meter of site {site_id!r}")
    if resolution_minutes is None and (unit.endswith("h") or labels == "end"):
        raise InvalidInputError("resolution_minutes", f"is needed for unit {unit} with labels at the {labels}")
    try:
        zone = None if time_zone is None else ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidInputError("time_zone", f"{time_zone!r} is no IANA time zone") from error
    step = timedelta(minutes=resolution_minutes or 0)
    to_kw = _factor(unit, step)
    result = ImportedMeter()
    judge = ReadingJudge(site, meter, path.name)
    batch: list[Reading] = []
    for place, row in read_rows(path, result.skipped, progress):
        if result.rows == 0:
            for name, column in (("time_column", time_column), ("value_column", value_column)):
                if column not in row:
                    raise InvalidInputError(name, f"{column!r} is none of the file's columns {sorted(row)}")
        result.rows += 1
        missing = [column for column in (time_column, value_column) if column not in row]
        if missing:
            result.skipped.add(place, row, f"has no {missing[0]!r}")
            continue
        raw = row[value_column]
        if raw is None or str(raw).strip() == "":
            result.gaps += 1
            continue
        try:
            at = moment_of(row[time_column], zone) - (step if labels == "end" else timedelta(0))
            batch.append(Reading(site_id, meter_id, at, number_of(raw) * to_kw))
        except InvalidInputError:
            raise
        except (ValueError, OverflowError) as error:
            result.skipped.add(place, row, str(error))
        if len(batch) >= BATCH:
            result.stored += await store.add_readings(judge.believed(batch, unit))
            batch = []
    result.stored += await store.add_readings(judge.believed(batch, unit))
    result.warnings += judge.warnings(unit)
    result.suspects = await store.add_suspects(judge.suspects)
    await store.add_suspects(unread(site_id, path.name, result.skipped))
    return result


def _factor(unit: Unit, step: timedelta) -> float:
    match unit:
        case "kW":
            return 1.0
        case "W":
            return 0.001
        case "kWh":
            return timedelta(hours=1) / step
        case "Wh":
            return timedelta(hours=1) / step / 1000


def number_of(raw: object) -> float:
    """A finite number, with a decimal point or comma; `ValueError` for anything else."""
    number = float(raw) if isinstance(raw, int | float) else float(str(raw).strip().replace(",", "."))
    if not isfinite(number):
        raise ValueError(f"{raw} is not a finite number")
    return number


def moment_of(raw: object, zone: ZoneInfo | None) -> datetime:
    """In UTC. `InvalidInputError` for a time without an offset where no zone is given, `ValueError` for no time."""
    moment = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw).strip())
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if zone is None:
        raise InvalidInputError("time_zone", f"{str(raw)!r} has no offset: say which clock it is with --time-zone")
    earlier, later = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() != later.utcoffset():
        raise ValueError(f"{raw} comes twice or not at all in {zone}: write it with its offset")
    return earlier.astimezone(UTC)
