"""A calendar month as a span of time, by a site's own clock."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from app.errors import InvalidInputError


def month_span(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """[start, end) in UTC of a month written ``YYYY-MM``. Raises `InvalidInputError`."""
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text)
    if found is None or found[1] == "0000" or found[1] == "9999":
        raise InvalidInputError("month", f"{text!r} is no month like 2026-04")
    return _span(int(found[1]), int(found[2]), zone)


def month_of(moment: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """[start, end) in UTC of the month that holds `moment` (aware)."""
    local = moment.astimezone(zone)
    return _span(local.year, local.month, zone)


def _span(year: int, month: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    start = datetime(year, month, 1, tzinfo=zone)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    return start.astimezone(UTC), end.astimezone(UTC)
