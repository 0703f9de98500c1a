"""Make a plan again from what the ledger has of it, and compare bit by bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.db.ledger_records import Decision
from app.db.records import Plan
from app.planning.decision import Cut, Recipe, decided, decided_of, digest, made_by, remake
from app.problem_json import problem_from_json

Json = dict[str, Any]
MOST_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of making a plan again.

    `altered` names what in the store is not what it was when the plan was made; `differences` the first values that
    came out otherwise; `others` what of program and machine is another by now.
    """

    plan_id: str
    cut: Cut
    altered: tuple[str, ...]
    others: tuple[str, ...]
    differences: tuple[str, ...]
    more: int = 0  # differences that are not named

    @property
    def is_same(self) -> bool:
        return not self.altered and not self.differences

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.altered:
            return f"the record was altered: {' and '.join(self.altered)} is not what it was when the plan was made"
        if self.is_same:
            return "the same, bit by bit"
        count = len(self.differences) + self.more
        why = []
        if self.cut == "yes":
            why.append("the plan was cut off by its wall-clock limit")
        elif self.cut == "perhaps":
            why.append("a step of the plan may have been cut off by its wall-clock limit")
        if self.others:
            why.append(f"made by another {', '.join(self.others)}")
        return f"{count} values differ{': ' if why else ''}{'; '.join(why)}"


def replay(plan: Plan, decision: Decision) -> Replayed:
    """Solve again what was solved, the same way. Raises `InvalidProblemError` and `SolverError` as the first time."""
    record = decision.record
    recipe = Recipe.of_json(record["recipe"])
    stored = decided(plan.schedule)
    altered = []
    if digest(plan.problem) != record["problem_sha256"]:
        altered.append("the problem")
    if digest(stored) != record["schedule_sha256"]:
        altered.append("the schedule")
    again = decided_of(remake(problem_from_json(plan.problem), recipe), recipe)
    found = [] if digest(again) == digest(stored) else list(_differences(stored, again))
    now = made_by()
    return Replayed(
        plan_id=plan.plan_id,
        cut=record["time"]["cut"],
        altered=tuple(altered),
        others=tuple(
            f"{name} ({was} then, {now.get(name)} now)"
            for name, was in record["made_by"].items()
            if now.get(name) != was
        ),
        differences=tuple(found[:MOST_DIFFERENCES]),
        more=max(0, len(found) - MOST_DIFFERENCES),
    )


def _differences(was: Any, now: Any, path: str = "") -> Iterator[str]:
    """`evses.cs1/1.power_kw[3]: 3.68 became 0.0`."""
    match was, now:
        case dict(), dict():
            for name in {**was, **now}:
                inner = f"{path}.{name}" if path else str(name)
                if name not in was or name not in now:
                    yield f"{inner}: {'is gone' if name in was else 'is new'}"
                else:
                    yield from _differences(was[name], now[name], inner)
        case list(), list():
            if len(was) != len(now):
                yield f"{path}: {len(was)} values became {len(now)}"
            for number, (one, other) in enumerate(zip(was, now, strict=False)):
                yield from _differences(one, other, f"{path}[{number}]")
        case _:
            if type(was) is not type(now) or was != now:
                yield f"{path}: {was!r} became {now!r}"
