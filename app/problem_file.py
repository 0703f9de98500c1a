"""A problem, JSON version 1, from a file or standard input, with errors that name the file, the path and the value."""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import InvalidInputError
from app.field_errors import refused_file
from app.problem_json import ProblemIn
from optimizer.domain import Problem
from optimizer.errors import InvalidProblemError

STANDARD_INPUT = Path("-")


def read_problem(file: Path) -> Problem:
    """Raises `InvalidInputError` for what is no JSON or no problem, `OSError` for a file that cannot be read."""
    name = name_of(file)
    try:
        text = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
        document = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_each_key_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInputError(name, f"is not JSON: {error.msg} at {where}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(name, f"is not UTF-8 at byte {error.start}") from error
    except (RecursionError, ValueError) as error:  # nested without end, an integer of thousands of digits, a key twice
        raise InvalidInputError(name, f"is not JSON: {error}") from error
    try:
        return ProblemIn.model_validate(document).to_domain()
    except ValidationError as refused:
        raise refused_file(name, refused, "problem") from refused
    except InvalidProblemError as refused:
        raise InvalidInputError(name, str(refused)) from refused


def name_of(file: Path) -> str:
    """What errors call it."""
    return "standard input" if file == STANDARD_INPUT else str(file)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a key stand twice and Python takes the last; a limit that is overwritten in silence is no limit."""
    item = dict(pairs)
    if len(item) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands more than once in one object")
    return item
