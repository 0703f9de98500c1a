"""What a meter shows at one moment, and how it is found in a JSON document. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from app.meters.sources import JsonPaths

MAX_DEPTH = 20  # of a path


class MeterError(Exception):
    """A meter could not be read, or what it said is no value; the text says which."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Import is positive. `current_a` by phase; phases that the meter does not name are absent."""

    power_kw: float | None
    current_a: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("power", self.power_kw), *self.current_a.items()):
            if value is not None and not isfinite(value):
                raise MeterError(f"{name} is {value}")


def from_json(body: str | bytes, paths: JsonPaths | None, *, power_unit: str = "W") -> Shown:
    """What the document says at `paths`; without paths the document is one number. Raises `MeterError`."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MeterError(f"no JSON: {bytes(body[:40])!r}" if isinstance(body, bytes) else "no JSON") from error
    if paths is None:
        return Shown(_number(document, "the message") / _per_kw(power_unit))
    sign = -1.0 if paths.invert else 1.0
    power = None if paths.power is None else sign * _at(document, paths.power) / _per_kw(paths.power_unit)
    places = {"L1": paths.current_l1, "L2": paths.current_l2, "L3": paths.current_l3}
    return Shown(power, {phase: sign * _at(document, path) for phase, path in places.items() if path is not None})


def _at(document: Any, path: str) -> float:
    value = document
    for step in path.split(".")[:MAX_DEPTH]:
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise MeterError(f"there is no {path!r} in what it said") from error
    return _number(value, path)


def _number(value: Any, where: str) -> float:
    """Some meters put their numbers in quotes."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise MeterError(f"{where} is no number")
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise MeterError(f"{where} is no number") from error


def _per_kw(unit: str) -> float:
    return 1000.0 if unit == "W" else 1.0
