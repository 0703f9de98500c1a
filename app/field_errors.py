"""What pydantic refused, by path and value. Values are made safe first: JSON knows no NaN, and a password that was
refused must not come back.

Shared by the HTTP API, which sends them as a problem, and by the commands, which print them as lines.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from app.errors import InvalidInputError

VALUE_LENGTH = 200  # of a quoted value, in characters
TEXT_LENGTH = 600  # of a text that quotes what was sent
MOST_ERRORS = 20  # named in one answer; the rest is counted

_SECRETS = frozenset({"password", "key", "token", "secret"})
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^\]]+\]|\.[A-Za-z_][A-Za-z0-9_]*)*")
_IN_LIST = re.compile(r"\[\d+\]$")
_TARIFF_KINDS = ("fixed", "time_of_use", "series")
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})
_WORDS = {None: "null", True: "true", False: "false"}


class FieldError(BaseModel):
    """One thing that is wrong with the input."""

    field: str = Field(description="path, e.g. charging_stations[0].evses[1].circuit; empty: the whole body")
    message: str
    value: Any = Field(default=None, description="what was sent, shortened; NaN and infinities as text")

    def __str__(self) -> str:
        """``sessions[0].priority 0: should be at least 1``; what is missing has no value to show."""
        return f"{' '.join(filter(None, (self.field, self.shown_value)))}: {self.message}"

    @property
    def shown_value(self) -> str:
        if "value" not in self.model_fields_set:
            return ""
        return _WORDS[self.value] if self.value is None or isinstance(self.value, bool) else repr(self.value)


def path_of(location: Sequence[int | str]) -> str:
    """``("body", "sessions", 2, "arrival")`` as ``sessions[2].arrival``."""
    parts = location[1:] if location and location[0] in _PLACES else location
    text = ""
    for part in parts:
        if part in _TARIFF_KINDS and text == "tariff":
            continue  # pydantic names the kind it tried; it is no key of the document
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def field_errors(items: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """pydantic's errors, each with its path and its value made safe.

    What is wrong in the same way with many numbers of one list is one error, so that it hides no other.
    """
    alike: dict[tuple[str, str], list[FieldError]] = {}
    for one in map(_field_error, items):
        alike.setdefault((_IN_LIST.sub("[]", one.field), one.message), []).append(one)
    return [
        first if not others else first.model_copy(update={"message": f"{first.message} (and {len(others)} more there)"})
        for first, *others in alike.values()
    ]


def lines_of(refused: ValidationError, root: str) -> list[str]:
    """One line for each error, at most `MOST_ERRORS`, and one that counts the others. `root` names the whole."""
    found = field_errors(refused.errors(include_url=False))
    lines = [str(one if one.field else one.model_copy(update={"field": root})) for one in found[:MOST_ERRORS]]
    return lines if len(found) <= MOST_ERRORS else [*lines, f"and {len(found) - MOST_ERRORS} more"]


def refused_file(file: Path | str, refused: ValidationError, root: str) -> InvalidInputError:
    """All that is wrong with a file: one line for one error, else a line each below the file's name."""
    lines = lines_of(refused, root)
    if len(lines) == 1:
        return InvalidInputError(str(file), lines[0])
    return InvalidInputError(str(file), "\n  ".join(["more than one error", *lines]))


def refused_part(where: str, refused: ValidationError) -> InvalidInputError:
    """What is wrong with a document inside another: the first error by its path below `where`, the others after it."""
    first, *others = field_errors(refused.errors(include_url=False))
    also = [str(one) for one in others[: MOST_ERRORS - 1]]
    rest = len(others) - len(also)
    value = f"{first.shown_value}: " if first.shown_value else ""
    more = "".join(f"; {text}" for text in [*also, *([f"and {rest} more"] if rest else [])])
    return InvalidInputError(".".join(filter(None, (where, first.field))), f"{value}{first.message}{more}")


def _field_error(item: Mapping[str, Any]) -> FieldError:
    field, value = path_of(item["loc"]), item.get("input")
    message = shortened(str(item["msg"]).removeprefix("Value error, "), TEXT_LENGTH)
    if item["type"] == "json_invalid":
        where = f" at character {item['loc'][-1]}" if item["loc"] else ""
        return FieldError(field="", message=f"{item.get('ctx', {}).get('error', message)}{where}")
    if item["type"] == "missing":
        return FieldError(field=field, message="is missing")
    if item["type"] == "extra_forbidden":
        message = "is not a known key"
    if item["type"] == "value_error" and isinstance(value, Mapping):
        # A rule about several fields begins its text with the path of the one that is wrong.
        named = _PATH.match(message)
        if named and re.split(r"[.\[]", named[0], maxsplit=1)[0] in value:
            field, value = ".".join(filter(None, (field, named[0]))), _value_at(value, named[0])
            message = message.removeprefix(named[0]).lstrip(": ")
    if _SECRETS & set(re.split(r"[.\[\]]+", field)):
        return FieldError(field=field, message=message)
    return FieldError(field=field, message=message, value=_safe(value))


def _value_at(document: Any, path: str) -> Any:
    """What stands at ``circuits[c1].parent``: an item of a list is named by its id or its position."""
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, Sequence) and not isinstance(document, str):
            document = next((item for i, item in enumerate(document) if part in (str(i), _id_of(item))), None)
    return document


def _id_of(item: Any) -> str | None:
    return str(item.get("id")) if isinstance(item, Mapping) else None


def _safe(value: Any) -> Any:
    """`value` as JSON that any client reads, of bounded length."""
    match value:
        case None | bool():
            return value
        case int():
            return value if abs(value) < 2**53 else "an integer of more than 53 bits"
        case float():
            return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
        case str():
            text = value
        case bytes():
            text = value.decode("utf-8", "replace")
        case datetime() | date() | time():
            text = value.isoformat()
        case _:
            text = _as_json(value)
    return shortened(text, VALUE_LENGTH)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, default=repr, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"


_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
