"""The words that every noun is made of: phases, series, and what may not be."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Literal, get_args

from optimizer.errors import InvalidProblemError

Phase = Literal["L1", "L2", "L3"]
PHASES: tuple[Phase, ...] = get_args(Phase)
Series = tuple[float, ...]
PhaseCurrents = tuple[float, float, float]  # A on L1, L2, L3


def require_utc(where: str, moment: datetime) -> None:
    if moment.tzinfo is None:
        raise InvalidProblemError(where, f"{moment.isoformat()} has no time zone")
    if moment.utcoffset() != timedelta(0):
        raise InvalidProblemError(where, f"{moment.isoformat()} is not in UTC: convert it with astimezone({UTC})")


def require_at_least(where: str, value: float | None, least: float) -> None:
    if value is not None and not (isfinite(value) and value >= least):
        raise InvalidProblemError(where, f"{value} is not a finite number of at least {least}")


def require_positive(where: str, value: float) -> None:
    if not (isfinite(value) and value > 0):
        raise InvalidProblemError(where, f"{value} is not a finite number above 0")


def require_unique(where: str, ids: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise InvalidProblemError(where, f"holds {repeated[0]!r} more than once")
