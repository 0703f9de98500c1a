"""A file of measurements for a back-test: a time column and columns of numbers, refused where they cannot be meant.

An empty number is a gap, and a gap stays one. Everything else that cannot be read is an error that names the column,
the line and the value: scores of a file that was half understood would be believed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from app.errors import InvalidInputError
from app.imports.rows import Skipped, read_rows

FIRST_YEAR, LAST_YEAR = 1970, 2200
LONGEST = timedelta(days=20 * 366)  # beyond, a year is a slip of the pen
LARGEST = 1e9  # kW, or W/m²: no site, and no sun
NOISE_SHARE = 0.01  # of the highest value: what a meter shows below zero when nothing flows


def read_columns(
    path: Path,
    names: Sequence[str],
    time_zone: str | None,
    *,
    time_column: str = "time",
) -> pd.DataFrame:
    """Columns `names` on the file's moments in UTC, sorted; NaN is a gap.

    Times without an offset are local in `time_zone`, and refused where it is None; of the hour that comes
    twice in autumn the first pass is read first. Raises `InvalidInputError`.
    """
    zone = zone_of(time_zone)
    skipped = Skipped()
    stamps: dict[datetime, str] = {}
    values: dict[str, list[float]] = {name: [] for name in names}
    for line, row in read_rows(path, skipped):
        place = f"{path.name}, {line}"
        refuse_surplus(row, place)
        for name in (time_column, *names):
            if name not in row:
                raise InvalidInputError("file", f"{place}: has no column {name!r}, only {sorted(map(str, row))}")
        at = _moment(row[time_column], zone, stamps, f"{place}: {time_column}")
        if at in stamps:
            raise InvalidInputError(f"{place}: {time_column}", f"{at.isoformat()} was there before, in {stamps[at]}")
        stamps[at] = place
        for name in names:
            values[name].append(_number(row[name], f"{place}: {name}"))
    if skipped.count:
        raise InvalidInputError("file", f"{str(path)!r}: {skipped.quotes[0]}")
    if not stamps:
        raise InvalidInputError("file", f"{str(path)!r} has no rows")
    first, last = min(stamps), max(stamps)
    if last - first > LONGEST:
        raise InvalidInputError(
            f"{stamps[last]}: {time_column}",
            f"{last.isoformat()} is {(last - first).days // 365} years after {first.isoformat()}, in {stamps[first]}",
        )
    index = pd.DatetimeIndex(list(stamps), name="time")
    return pd.DataFrame(values, index=index, dtype="float64").sort_index()


def refuse_surplus(row: Mapping[str, object], place: str) -> None:
    """A row of CSV with more values than columns was meant otherwise: a decimal comma, or a row of another table."""
    surplus = cast("Mapping[str | None, object]", row).get(None)
    if surplus is not None:
        raise InvalidInputError("file", f"{place}: has more values than the first line has columns: {surplus!r}")


def not_negative(values: pd.Series, column: str, why: str) -> tuple[pd.Series, int]:
    """`values` with noise below zero as 0, and how many there were; refused is what no noise explains."""
    least = -NOISE_SHARE * float(values.max()) if values.notna().any() else 0.0
    wrong = values[values < min(least, 0.0)]
    if len(wrong):
        raise InvalidInputError(
            column, f"{wrong.iloc[0]:g} at {wrong.index[0].isoformat()} is negative ({len(wrong)} such rows): {why}"
        )
    return values.clip(lower=0.0), int((values < 0).sum())


def holidays_in(country: str | None, subdivision: str | None) -> str:
    """For a report: whose holidays are days off."""
    return "none" if country is None else "-".join(filter(None, (country, subdivision)))


def zone_of(time_zone: str | None) -> ZoneInfo | None:
    """Raises `InvalidInputError` for a name that nobody knows."""
    try:
        return None if time_zone is None else ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInputError("timezone", f"{time_zone!r} is no IANA time zone") from error


def _moment(raw: object, zone: ZoneInfo | None, before: Mapping[datetime, str], where: str) -> datetime:
    try:
        moment = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw).strip())
    except ValueError as error:
        raise InvalidInputError(where, f"{raw!r} is no ISO 8601 time") from error
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InvalidInputError(where, f"{str(raw)!r} is not within the years {FIRST_YEAR} to {LAST_YEAR}")
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if zone is None:
        raise InvalidInputError(where, f"{str(raw)!r} has no offset: say which clock it is with --timezone")
    first, second = (moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # skipped in spring: the clock never showed it
        raise InvalidInputError(where, f"{str(raw)!r} does not exist in {zone}: the clock was put forward")
    return second if first in before else first


def _number(raw: object, where: str) -> float:
    text = "" if raw is None else str(raw).strip()
    if text == "" or text.lower() in ("nan", "null", "none", "na", "n/a"):
        return float("nan")
    try:
        number = float(text)
    except ValueError as error:
        raise InvalidInputError(where, f"{raw!r} is not a number") from error
    if not isfinite(number):
        raise InvalidInputError(where, f"{raw!r} is not a finite number")
    if abs(number) > LARGEST:
        raise InvalidInputError(where, f"{raw!r} is too large to be meant")
    return number
