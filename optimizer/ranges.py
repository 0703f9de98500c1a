"""Numbers beyond any site, refused before a solver sees them: solvers take 1e30 for a number and answer nonsense.

Every physical quantity carries its unit at the end of its name, so the unit alone says what is believable. The
ranges are those of the JSON edge; a problem that was built in Python meets them here.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

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
    for where, name, value in _numbers(problem, ""):
        most = next((most for unit, most in MOST_BY_UNIT if name.endswith(unit)), None)
        if most is None:
            continue
        least = LEAST.get(name, -most)
        worst = value if isinstance(value, int | float) else _worst(value, least, most)
        if not least <= worst <= most:
            place = where if isinstance(value, int | float) else f"{where}[{value.index(worst)}]"
            raise InvalidProblemError(place, f"{worst} is beyond every site: from {least:g} to {most:g} is believable")


def _worst(values: tuple[float, ...], least: float, most: float) -> float:
    low, high = min(values, default=least), max(values, default=most)
    return low if low < least else high


def _numbers(item: object, path: str) -> Iterator[tuple[str, str, float | tuple[float, ...]]]:
    """Path, name and value of every number and series below `item`."""
    for field in fields(item):  # type: ignore[arg-type]  # only dataclasses are handed down
        value, where = getattr(item, field.name), f"{path}{field.name}"
        if is_dataclass(value):
            yield from _numbers(value, f"{where}.")
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for number, member in enumerate(value):
                yield from _numbers(member, f"{where}[{_name(member, number)}].")
        elif _is_number(value) or (isinstance(value, tuple) and value and all(map(_is_number, value))):
            yield where, field.name, value


def _name(member: object, number: int) -> str:
    """Its id, which every noun with a plural has as its first field; else its number."""
    first = getattr(member, fields(member)[0].name)  # type: ignore[arg-type]  # a dataclass
    return first if isinstance(first, str) else str(number)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
