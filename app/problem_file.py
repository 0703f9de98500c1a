"""A problem, JSON version 1, from a file or standard input, with errors that name the file, the path and the value."""

import json
import sys
from pathlib import Path

from pydantic import ValidationError

from app.errors import InvalidInputError
from app.field_errors import refused_file
from app.problem_json import ProblemIn
from app.strict_json import loads
from optimizer.domain import Problem
from optimizer.errors import InvalidProblemError

STANDARD_INPUT = Path("-")


def read_problem(file: Path) -> Problem:
    """Raises `InvalidInputError` for what is no JSON or no problem, `OSError` for a file that cannot be read."""
    name = name_of(file)
    try:
        text = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
        document = loads(text.decode("utf-8-sig"))
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
