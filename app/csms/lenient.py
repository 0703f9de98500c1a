"""Numbers and texts as stations send them: read if there is one good reading, else None. Pure; nothing raises."""

import re
from typing import Any

MAX_MAGNITUDE = 1e12  # W, Wh, s, ...; beyond is no measurement
MAX_INTEGER = 2**31 - 1  # the integers of OCPP
MAX_TEXT = 100  # characters kept of what a station says of itself

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


def read_number(value: Any) -> float | None:
    """A finite number from a JSON number or text, comma or point as decimal sign; None when it is neither."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 40 or not _NUMBER.fullmatch(text):
            return None
        value = float(text.replace(",", "."))
    return float(value) if _is_measurement(value) else None


def read_count(value: Any) -> int | None:
    """A whole number from 0 up to 2³¹ − 1, or None."""
    number = read_number(value)
    return int(number) if number is not None and number.is_integer() and 0 <= number <= MAX_INTEGER else None


def read_text(value: Any, limit: int = MAX_TEXT) -> str | None:
    """Printable text of at most `limit` characters, or None; PostgreSQL takes no NUL, and a log no line breaks."""
    if _is_measurement(value):
        value = str(value)
    if not isinstance(value, str):
        return None
    return "".join(character for character in value if character.isprintable()).strip()[:limit] or None


def quote(value: Any) -> str:
    """`value` for a log line: bounded, on one line."""
    if value is None or isinstance(value, bool) or _is_measurement(value):
        return str(value)
    return ascii(value[:60])[:80] if isinstance(value, str) else f"a {type(value).__name__}"


def _is_measurement(value: Any) -> bool:
    """NaN fails every comparison, and an integer of 5,000 digits this one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_MAGNITUDE
