"""A good schedule with one value broken, and the violation that must be named for it."""

from dataclasses import dataclass

import pytest

from optimizer.check import Violations
from optimizer.domain import Problem, Schedule, Violation

Named = tuple[str, str, int | None, str | None]  # rule, place, slot, phase


@dataclass(frozen=True)
class Broken:
    """`schedule` or `problem` None: the good one of the test module."""

    story: str
    expected: Named
    schedule: Schedule | None = None
    problem: Problem | None = None
    excess: float | None = None


def named(found: tuple[Violation, ...]) -> set[Named]:
    return {(violation.rule, violation.where, violation.slot, violation.phase) for violation in found}


def assert_named(broken: Broken, found: Violations) -> None:
    """The rule is named with its place, slot and phase, and the excess is right."""
    assert broken.expected in named(found.caused)
    if broken.excess is not None:
        excess = [v.excess for v in found.caused if (v.rule, v.where, v.slot, v.phase) == broken.expected]
        assert excess == [pytest.approx(broken.excess, abs=1e-6)]
