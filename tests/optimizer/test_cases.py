"""Golden cases: a bug report becomes a test by dropping a file into `cases/`.

A file holds a ``story`` (one sentence), a ``problem`` (JSON version 1) and what to ``expect`` of the schedule (JSON
version 1). Only what is named is compared, numbers to 1e-3. In place of a value may stand ``{"contains": "text"}``,
``{"at_most": 1}``, ``{"at_least": 1}`` or ``{"one_of": [..]}``. ``{"error": {"field": .., "contains": ..}}`` expects a
refusal.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from app.problem_json import problem_from_json, schedule_to_json
from optimizer.check import violations
from optimizer.errors import InvalidProblemError
from optimizer.optimise import optimise

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
TOLERANCE = 1e-3


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = json.loads(path.read_text())
    assert case.keys() == {"story", "problem", "expect"}

    if "error" in case["expect"]:
        with pytest.raises(InvalidProblemError) as refused:
            optimise(problem_from_json(case["problem"]))
        assert refused.value.field == case["expect"]["error"]["field"]
        assert case["expect"]["error"]["contains"] in str(refused.value)
        return
    problem = problem_from_json(case["problem"])
    schedule = optimise(problem)

    assert list(differences(case["expect"], schedule_to_json(schedule), "schedule")) == []
    assert schedule.status != "fallback" or case["expect"].get("status") == "fallback"
    assert violations(problem, schedule).caused == ()


def test_there_are_cases() -> None:
    assert len(CASES) >= 40


# What users of such systems complain about, as far as a plan can cause or cure it.
PAINS = (
    "cycles between full, minimum and off",
    "sleep or give up after repeated pauses",
    "the wrong unit",
    "after a reconnect the limit is gone",
    "below the minimum current",
    "honoured only sometimes",
    "nothing or zeros",
    "lazy or late charging when prices tie",
    "void at price zero",
    "first come, first served",
    "not seen by the planner",
    "throttled by another phase",
    "with a capacity tariff, plans charge at full power",
    "measured on the clock",
    "an hour off when the clock changes",
    "missing prices are taken as 0",
    "no plan until tomorrow’s prices",
    "surplus charging flaps",
    "two masters",
    "departure times are ignored",
    "accepted but has no effect",
    "surplus charging without a target",
    "state of charge is read as 0 %",
    "compared to what",
)


@pytest.mark.parametrize("pain", PAINS)
def test_every_pain_that_is_about_planning_has_a_case(pain: str) -> None:
    stories = [json.loads(path.read_text())["story"] for path in CASES]

    assert any("Pain: " in story and pain in story for story in stories)


def test_every_story_is_told_once() -> None:
    stories = [json.loads(path.read_text())["story"] for path in CASES]

    assert len(set(stories)) == len(CASES)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1.0, 1.002),
        ([1.0], [1.0, 2.0]),
        ({"a": 1}, {}),
        ("optimal", "feasible"),
        ({"contains": "six"}, "seven"),
        ({"at_most": 1}, 2),
        ({"at_least": 1}, 0),
        ({"one_of": ["a", "b"]}, "c"),
        (None, 0),
        (True, False),
    ],
    ids=repr,
)
def test_a_difference_is_seen(expected: object, actual: object) -> None:
    assert len(list(differences(expected, actual, "x"))) == 1


def differences(expected: Any, actual: Any, where: str) -> list[str]:  # noqa: PLR0911 - one return per kind of value
    """Where `actual` is not what is expected, each as a sentence."""
    told = [f"{where} is {actual!r}, expected {expected!r}"]
    match expected:
        case {"contains": text}:
            return [] if text in str(actual) else told
        case {"at_most": most}:
            return [] if actual <= most + TOLERANCE else told
        case {"at_least": least}:
            return [] if actual >= least - TOLERANCE else told
        case {"one_of": values}:
            return [] if actual in values else told
        case dict():
            if not isinstance(actual, dict):
                return told
            missing = [f"{where}.{key} is missing" for key in expected.keys() - actual.keys()]
            found = (
                differences(expected[key], actual[key], f"{where}.{key}") for key in expected.keys() & actual.keys()
            )
            return missing + [text for texts in found for text in texts]
        case list():
            if not isinstance(actual, list) or len(actual) != len(expected):
                return told
            pairs = enumerate(zip(expected, actual, strict=True))
            return [text for index, pair in pairs for text in differences(*pair, f"{where}[{index}]")]
        case bool() | None | str():
            return [] if actual == expected else told
    return [] if isinstance(actual, int | float) and actual == pytest.approx(expected, abs=TOLERANCE) else told
