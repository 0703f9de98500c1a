"""An exception as the one line that a person at a terminal needs, and the exit status that goes with it."""

import json
from collections.abc import Iterator, Mapping

from pydantic import ValidationError
from rich.markup import escape
from sqlalchemy.exc import SQLAlchemyError

from app.errors import AppError, InvalidInputError, NotFoundError
from forecasts.errors import ForecastError
from optimizer.errors import InvalidProblemError, OptimizerError

FAILED, WRONG_INPUT = 1, 2
_ALL_BEHIND = "…"


def explain(error: BaseException) -> tuple[str, int] | None:
    """(line in rich markup, exit status), or None for a bug, whose traceback is wanted."""
    match error:
        case ValidationError():
            line, status = "; ".join(_fields(error)), WRONG_INPUT
        case json.JSONDecodeError():
            line, status = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", WRONG_INPUT
        case UnicodeDecodeError():
            line, status = f"is not UTF-8 at byte {error.start}", WRONG_INPUT
        case InvalidInputError() | InvalidProblemError() | NotFoundError():
            line, status = str(error), WRONG_INPUT
        case AppError() | OptimizerError() | ForecastError():
            line, status = str(error), FAILED
        case OSError() if error.filename is not None:
            line, status = f"{error.filename}: {error.strerror}", WRONG_INPUT
        case SQLAlchemyError() | OSError():
            line, status = f"the database or network does not answer: {str(error).splitlines()[0]}", FAILED
        case _:
            return None
    return escape(line), status


def _fields(error: ValidationError) -> Iterator[str]:
    is_settings = error.title == "Settings"
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in item["loc"])
        if is_settings:
            path = f"SMARTCHARGE_{path.upper()}"
        value = item["input"]
        shown = "" if isinstance(value, Mapping) or item["type"] == "missing" else f" {_short(value)}"
        yield f"{path}{shown}: {item['msg'].removeprefix('Value error, ')}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + _ALL_BEHIND
