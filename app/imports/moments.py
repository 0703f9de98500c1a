"""Times in files: with an offset, or on a local clock that somebody names."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.errors import InvalidInputError


def zone_named(time_zone: str | None) -> ZoneInfo | None:
    """Raises `InvalidInputError` for one that does not exist."""
    try:
        return None if time_zone is None else ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidInputError("time_zone", f"{time_zone!r} is no IANA time zone") from error


def moment_of(raw: object, zone: ZoneInfo | None) -> datetime:
    """In UTC. A time without an offset is local in `zone`.

    Raises `ValueError` for what is no time, or none that DST leaves certain; `InvalidInputError` where a zone is needed
    and None was named.
    """
    moment = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw).strip())
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if zone is None:
        raise InvalidInputError("time_zone", f"{str(raw)!r} has no offset: say which clock it is with --time-zone")
    earlier, later = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() != later.utcoffset():
        raise ValueError(f"{raw} comes twice or not at all in {zone}: write it with its offset")
    return earlier.astimezone(UTC)
