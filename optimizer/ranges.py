"""Numbers beyond any site, refused before a solver sees them: solvers take 1e30 for a number and answer nonsense.

Every physical quantity carries its unit at the end of its name, so the unit alone says what is believable. The
ranges are those of the JSON edge; a problem that was built in Python meets them here.
"""

from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any

from optimizer.domain import Problem
from optimizer.errors import InvalidProblemError

MOST_BY_UNIT = (  # the first ending that fits counts
    ("price_per_kwh", 1e6),
    ("price_per_kw", 1e6),
    ("price_per_kg", 1e6),
    ("kg_per_kwh", 1e3),
    ("_kwh", 1e7),
    ("_kw", 1e6),
    ("_a", 1e5),
    ("_v", 1e3),
)
LEAST = {
    "voltage_v": 1.0,  # powers are divided by it
    "current_step_a": 1e-3,  # currents are counted in it, as whole numbers
}


def refuse_beyond_any_site(problem: Problem) -> None:
    """Raise `InvalidProblemError` with the field and the value of the first number that no site has."""
    _refuse(problem, "")


def _refuse(item: Any, path: str) -> None:
    noun: Any = type(item)
    limits, others = _plan(noun)
    for name, least, most in limits:
        value = getattr(item, name)
        if isinstance(value, tuple):
            if value and not (least <= min(value) and max(value) <= most):
                index = next(index for index, number in enumerate(value) if not least <= number <= most)
                raise InvalidProblemError(f"{path}{name}[{index}]", _said(value[index], least, most))
        elif value is not None and not least <= value <= most:
            raise InvalidProblemError(f"{path}{name}", _said(value, least, most))
    for name in others:
        value = getattr(item, name)
        if is_dataclass(value):
            _refuse(value, f"{path}{name}.")
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for number, member in enumerate(value):
                _refuse(member, f"{path}{name}[{_id(member, number)}].")


def _said(value: float, least: float, most: float) -> str:
    return f"{value} is beyond every site: from {least:g} to {most:g} is believable"


@cache
def _plan(noun: Any) -> tuple[tuple[tuple[str, float, float], ...], tuple[str, ...]]:
    """The fields of a noun that carry a unit, with their ranges, and those that may hold other nouns."""
    limits, others = [], []
    for field in fields(noun):
        most = next((most for unit, most in MOST_BY_UNIT if field.name.endswith(unit)), None)
        if most is not None:
            limits.append((field.name, LEAST.get(field.name, -most), most))
        elif field.type not in (str, float, int, bool, datetime):
            others.append(field.name)
    return tuple(limits), tuple(others)


def _id(member: Any, number: int) -> str:
    """Its id, which most nouns with a plural have as their first field; else its number."""
    first = getattr(member, fields(type(member))[0].name)
    return first if isinstance(first, str) else str(number)
