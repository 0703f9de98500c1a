"""`smartcharge backtest sessions`: beliefs about stays and energy on a plain file of sessions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pandas as pd

from app.backtest.file import FIRST_YEAR, LARGEST, LAST_YEAR, holidays_in, refuse_surplus, zone_of
from app.backtest.report import Backtest, Column, Picture
from app.errors import InvalidInputError
from app.imports.rows import Progress, Skipped, no_progress, read_rows
from forecasts.errors import SeriesError
from forecasts.local_days import local_dates
from forecasts.session_backtest import SIMILAR, Place, session_scores

Known = TypeVar("Known", datetime, float)
NEEDED = ("arrival", "departure", "energy_kwh")
LEAST_KWH = 0.3  # who takes less was not charging
MOST_KW = 1000.0  # as mean over a stay: what the largest chargers of lorries deliver
LONGEST_STAY = timedelta(days=366)
USUAL_KW = 7.4  # where a file does not say what car and EVSE can do
KNOWN_DAYS = 21
TOTALS_ONLY = (
    "After some hours, energy taken by then is that of full power, and who is full is not known to be: "
    "the file has totals only."
)
COLUMNS = (
    Column("hour", "Hours after"),
    Column("model", "Model"),
    Column("sessions", "Sessions"),
    Column("stay_smape", "Stay SMAPE", percent=True),
    Column("stay_mae_h", "MAE h"),
    Column("stay_pinball_h", "Pinball h", digits=3),
    Column("stay_above_p10", "Above its P10", percent=True),
    Column("energy_smape", "Energy SMAPE", percent=True),
    Column("energy_mae_kwh", "MAE kWh"),
    Column("energy_pinball_kwh", "Pinball kWh", digits=3),
    Column("energy_below_p90", "Below its P90", percent=True),
)


def backtest_sessions_file(
    file: Path,
    time_zone: str | None,
    first_day: datetime | None = None,
    end_day: datetime | None = None,
    country: str | None = None,
    subdivision: str | None = None,
    progress: Progress = no_progress,
) -> Backtest:
    """Raises `InvalidInputError` for a file that cannot be meant, and where no session is left to score."""
    sessions, short = read_sessions(file, time_zone)
    place = Place(time_zone or "UTC", country, subdivision)
    dates = local_dates(pd.DatetimeIndex(sessions["arrival"]), place.time_zone)
    begin, last = dates.min().item(), dates.max().item()
    start = begin + timedelta(days=min(KNOWN_DAYS, (last - begin).days // 2)) if first_day is None else first_day.date()
    end = last + timedelta(days=1) if end_day is None else end_day.date()
    start, end = max(start, begin), min(end, last + timedelta(days=1))
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    try:
        table = session_scores(sessions, place=place, days=days, progress=progress)
    except SeriesError as error:
        raise InvalidInputError(error.field, error.message) from error
    if table.empty:
        raise InvalidInputError("from", f"leaves no session to score: the file reaches from {begin} to {last}")
    rows = rows_of(table)
    return Backtest(
        "sessions",
        f"Sessions of {file.name}",
        _about(file, place, sessions, short, days),
        COLUMNS,
        rows,
        (picture_of(rows),),
        (TOTALS_ONLY,),
    )


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `session_scores`, for a report."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def read_sessions(file: Path, time_zone: str | None) -> tuple[pd.DataFrame, int]:
    """Sessions by arrival, in UTC, and how many were left out because they took less than `LEAST_KWH`.

    Columns `arrival`, `departure`, `energy_kwh`, and where known `session_id`, `evse_id`, `user_id`, `max_kw`,
    `requested_kwh`, `stated_departure`; an empty value is not known. Raises `InvalidInputError`.
    """
    zone, skipped = zone_of(time_zone), Skipped()
    rows, seen, short = [], dict[str, str](), 0
    for line, row in read_rows(file, skipped):
        place = f"{file.name}, {line}"
        refuse_surplus(row, place)
        missing = [name for name in NEEDED if name not in row]
        if missing:
            raise InvalidInputError("file", f"{place}: has no column {missing[0]!r}, only {sorted(map(str, row))}")
        if (number := _text(row, "session_id")) is not None:
            if number in seen:
                raise InvalidInputError(f"{place}: session_id", f"{number!r} was there before, in {seen[number]}")
            seen[number] = place
        arrival, departure = (_required(_moment(row, name, zone, place), name, place) for name in NEEDED[:2])
        energy_kwh = _required(_number(row, "energy_kwh", place), "energy_kwh", place)
        if departure <= arrival:
            raise InvalidInputError(f"{place}: departure", f"{departure.isoformat()} is not after the arrival")
        if departure - arrival > LONGEST_STAY:
            days = (departure - arrival).days
            raise InvalidInputError(f"{place}: departure", f"{departure.isoformat()} is {days} days after the arrival")
        if energy_kwh > MOST_KW * ((departure - arrival) / timedelta(hours=1)):
            raise InvalidInputError(
                f"{place}: energy_kwh", f"{energy_kwh:g} is more than {MOST_KW:g} kW throughout: is it Wh?"
            )
        if energy_kwh < LEAST_KWH:
            short += 1
            continue
        rows.append(
            {
                "arrival": arrival,
                "departure": departure,
                "energy_kwh": energy_kwh,
                "evse_id": _text(row, "evse_id"),
                "user_id": _text(row, "user_id"),
                "max_kw": _number(row, "max_kw", place) or USUAL_KW,
                "requested_kwh": _number(row, "requested_kwh", place),
                "stated_departure": _moment(row, "stated_departure", zone, place),
            }
        )
    if skipped.count:
        raise InvalidInputError("file", f"{str(file)!r}: {skipped.quotes[0]}")
    if not rows:
        raise InvalidInputError("file", f"{str(file)!r} has no sessions of at least {LEAST_KWH} kWh")
    table = pd.DataFrame(rows).astype({"energy_kwh": float, "max_kw": float, "requested_kwh": float})
    for name in ("arrival", "departure", "stated_departure"):
        table[name] = pd.to_datetime(table[name], utc=True)
    return table.sort_values("arrival", kind="stable").reset_index(drop=True), short


def _moment(row: Mapping[str, object], name: str, zone: ZoneInfo | None, place: str) -> datetime | None:
    raw = row.get(name)
    if isinstance(raw, datetime):
        moment = raw
    else:
        text = _text(row, name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise InvalidInputError(f"{place}: {name}", f"{raw!r} is no ISO 8601 time") from error
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InvalidInputError(f"{place}: {name}", f"{str(raw)!r} is not within the years {FIRST_YEAR} to {LAST_YEAR}")
    if moment.tzinfo is None:
        if zone is None:
            raise InvalidInputError(
                f"{place}: {name}", f"{str(raw)!r} has no offset: say which clock it is with --timezone"
            )
        first, second = (moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first > second:  # skipped in spring
            raise InvalidInputError(
                f"{place}: {name}", f"{str(raw)!r} does not exist in {zone}: the clock was put forward"
            )
        return first
    return moment.astimezone(UTC)


def _number(row: Mapping[str, object], name: str, place: str) -> float | None:
    text = _text(row, name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise InvalidInputError(f"{place}: {name}", f"{row[name]!r} is not a number") from error
    if not isfinite(number) or not 0 <= number <= LARGEST:
        raise InvalidInputError(f"{place}: {name}", f"{row[name]!r} is not a number of at least 0 that can be meant")
    return number


def _text(row: Mapping[str, object], name: str) -> str | None:
    raw = row.get(name)
    text = "" if raw is None else str(raw).strip()
    return None if text.lower() in ("", "nan", "nat", "null", "none") else text


def _required(value: Known | None, name: str, place: str) -> Known:
    if value is None:
        raise InvalidInputError(f"{place}: {name}", "is empty")
    return value


def _about(
    file: Path, place: Place, sessions: pd.DataFrame, short: int, days: list[date]
) -> dict[str, str | int | float | None]:
    return {
        "file": file.name,
        "time zone": place.time_zone,
        "holidays": holidays_in(place.country, place.subdivision),
        "sessions": len(sessions),
        f"left out, below {LEAST_KWH} kWh": short,
        "drivers known": int(sessions["user_id"].nunique()),
        "scored": f"{days[0]} to {days[-1]}",
        "known at plug-in": "sessions that had ended before the local day",
    }


def picture_of(rows: Sequence[Mapping[str, Any]], about: str = "") -> Picture:
    """How much less the belief misses, the longer a car is there."""
    own = [row for row in rows if row["model"] == SIMILAR]
    hours = [row["hour"] for row in own]
    return Picture(
        f"{about}how the belief sharpens while a car stays" if about else "How the belief sharpens while a car stays",
        [
            {"x": hours, "y": [row["stay_pinball_h"] for row in own], "name": "stay, h", "mode": "lines+markers"},
            {
                "x": hours,
                "y": [row["energy_pinball_kwh"] for row in own],
                "name": "energy, kWh",
                "mode": "lines+markers",
            },
        ],
        {
            "xaxis": {"title": {"text": "hours after plug-in"}},
            "yaxis": {"title": {"text": "pinball"}, "rangemode": "tozero"},
        },
    )
