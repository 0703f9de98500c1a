"""Every line of docs/model.md has a test that fails when it is broken; `model_lines` and `model_keys` hold the table.

A line here is a paragraph, a list item or a row of a table. A key of the problem has a golden case, and the proof that
the case needs it: as if nobody had read the key, it is left out, or changed where it is required, and the case fails.
"""

import ast
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.planning.timed_out import MOST_KEPT
from app.problem_json import ProblemIn, ScheduleOut, problem_from_json, schedule_to_json
from optimizer.constraints import ALL
from optimizer.domain.problem import BASE_LOAD_MARGIN
from optimizer.errors import InvalidProblemError
from optimizer.optimise import optimise
from optimizer.polish import SHORT_KWH, SMALL
from optimizer.repair import POLISH_GAP, POLISH_MONEY
from optimizer.solve import DIRECTION_GAP
from tests.optimizer.model_keys import CHANGES_NO_PLAN, KEYS
from tests.optimizer.model_lines import LINES, Line
from tests.optimizer.test_cases import CASES, differences

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "model.md").read_text("utf-8")
UNTESTABLE = ("# ", "|---", "| key |", "| name |", "| column |", "| rows ")  # titles and heads of tables
PROBLEM = "The problem, version 1"  # its keys have `KEYS`
SCHEDULE = "The schedule, version 1"


@cache
def named_tests(file: str) -> frozenset[str]:
    """The names of the tests of a file below tests/; empty where there is none."""
    path = TESTS / file
    tree = ast.parse(path.read_text("utf-8")) if path.is_file() else ast.Module([], [])
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def lines_of(document: str) -> Iterator[tuple[str, str]]:
    """Section and text of every paragraph, list item and table row, each on one line."""
    section = ""
    for block in re.split(r"\n\s*\n", document.strip()):
        if block.startswith("#"):
            section = block.lstrip("# ")
            continue
        for line in re.split(r"\n(?=[|-] ?)", block):
            if not line.startswith(UNTESTABLE):
                yield section, " ".join(line.split())


LINES_OF_THE_DOCUMENT = list(lines_of(DOCUMENT))


def properties(schema: dict[str, Any], all_of_it: dict[str, Any], above: str = "") -> Iterator[tuple[str, bool]]:
    """Path of every key as the document writes it, and whether it is required."""
    for key, field in schema.get("properties", {}).items():
        options = [field, *field.get("anyOf", [])]
        items = [option["items"]["$ref"] for option in options if "$ref" in option.get("items", {})]
        inside = items + [option["$ref"] for option in options if "$ref" in option]
        path = f"{above}{key}{'[]' if items else ''}"
        yield path, key in schema.get("required", ())
        if inside:
            yield from properties(all_of_it["$defs"][inside[0].rpartition("/")[2]], all_of_it, f"{path}.")


SCHEMA = ProblemIn.model_json_schema()
REQUIRED = dict(properties(SCHEMA, SCHEMA))


def case_file(name: str) -> Path:
    """The golden case whose name begins with this number."""
    (found,) = (path for path in CASES if path.stem.startswith(f"{name}-"))
    return found


def exists(named: str) -> bool:
    """Whether there is such a test; in brackets stands the number of a golden case."""
    file, _, test = named.partition("::")
    name, _, case = test.partition("[")
    return name in named_tests(file) and (not case or any(path.stem.startswith(f"{case[:-1]}-") for path in CASES))


def test_a_test_that_is_not_there_is_seen() -> None:
    assert exists("optimizer/test_cases.py::test_case[001]")
    assert not exists("optimizer/test_cases.py::test_case[000]")
    assert not exists("optimizer/test_cases.py::test_no_such_thing")
    assert not exists("optimizer/test_nowhere.py::test_case")


def test_tables_and_lists_are_read_line_by_line() -> None:
    table = "| key | unit |\n|---|---|\n| `a` | kW |\n| `b` | |"
    document = f"# A title\n\nSome\nwords.\n\n## Keys\n\n{table}\n\n- one\n- two\n  lines"

    assert list(lines_of(document)) == [
        ("A title", "Some words."),
        ("Keys", "| `a` | kW |"),
        ("Keys", "| `b` | |"),
        ("Keys", "- one"),
        ("Keys", "- two lines"),
    ]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.says)
def test_a_line_of_the_table_stands_in_the_document_and_its_tests_exist(line: Line) -> None:
    assert any(line.says in text for _, text in LINES_OF_THE_DOCUMENT)
    assert line.tests
    assert [named for named in line.tests if not exists(named)] == []


def test_every_line_of_the_document_has_its_tests() -> None:
    untested = [
        text
        for section, text in LINES_OF_THE_DOCUMENT
        if not any(line.says in text for line in LINES) and not (section == PROBLEM and text.startswith("|"))
    ]

    assert untested == []


def test_every_row_of_the_program_stands_in_the_document() -> None:
    assert [rule.__name__ for rule in ALL if not re.search(rf"^\|.*`{rule.__name__}`", DOCUMENT, re.MULTILINE)] == []


def test_the_document_knows_the_numbers_of_the_code() -> None:
    numbers = (
        f"newest {MOST_KEPT}, readable",
        f"up to {SMALL:,} charge columns",
        f"more than {POLISH_GAP:.1%} of the gross EV money and {POLISH_MONEY:g} of the currency".replace("%", " %"),
        f"may lack {SHORT_KWH:g} kWh",
        f"expected + {BASE_LOAD_MARGIN:.0%}".replace("%", " %"),
        f"more than {DIRECTION_GAP:.3%} of the gross EV money".replace("%", " %"),
    )

    assert [number for number in numbers if number not in " ".join(DOCUMENT.split())] == []


def test_every_key_of_the_problem_has_a_case_or_changes_no_plan() -> None:
    assert KEYS.keys() | CHANGES_NO_PLAN.keys() == REQUIRED.keys()
    assert KEYS.keys() & CHANGES_NO_PLAN.keys() == set()


def table_names(path: str) -> bool:
    """Whether the table of the problem's keys has a row for this key, or for what is inside it."""
    rows = [text.split("|")[1] for section, text in LINES_OF_THE_DOCUMENT if section == PROBLEM and "|" in text]
    where, _, key = path.rpartition(".")
    if where.endswith(("base_load_a", "current_a")):
        return any(f"`{where}`" in row for row in rows) and f"`{key}`" in DOCUMENT
    full = any(f"`{path}`" in row or f"`{path}." in row or f"`{path}[" in row or f"`{path}`," in row for row in rows)
    beside = any(f"`{where}." in row and f"`.{key}`" in row for row in rows)  # `taper.from_soc`, `.zero_at_soc`
    return full or beside


@pytest.mark.parametrize("path", REQUIRED)
def test_the_document_names_every_key_of_the_problem(path: str) -> None:
    assert table_names(path) or any(table_names(inside) for inside in REQUIRED if inside.startswith(f"{path}."))


def test_the_document_names_every_key_of_the_schedule() -> None:
    schema = ScheduleOut.model_json_schema()
    first_cells = "".join(text.split("|")[1] for section, text in LINES_OF_THE_DOCUMENT if section == SCHEDULE)
    inside = {key for part in schema["$defs"].values() for key in part["properties"]}
    section = DOCUMENT.partition(f"## {SCHEDULE}")[2].partition("## Reasons")[0]

    unnamed = {key for key in schema["properties"] if not re.search(rf"`{key}[`.\[]", first_cells)}
    assert unnamed == {"currency", "version"}  # as in the problem
    assert {key for key in inside if not re.search(rf"[`., ]{key}[`,]", section)} == set()


@pytest.mark.parametrize(("path", "case"), KEYS.items())
def test_a_key_that_nobody_reads_fails_its_case(path: str, case: str) -> None:
    document = json.loads(case_file(case).read_text("utf-8"))
    assert holds(document)

    assert changed(document["problem"], path.split("."), required=REQUIRED[path])

    assert not holds(document)


@pytest.mark.parametrize("path", [path for path, required in REQUIRED.items() if required])
def test_a_required_key_that_is_missing_is_named(path: str) -> None:
    document = json.loads(case_file(KEYS[path]).read_text("utf-8"))["problem"]
    assert changed(document, path.split("."), required=False)

    with pytest.raises(InvalidProblemError, match="is missing") as refused:
        problem_from_json(document)

    assert re.sub(r"\[\d+\]", "[]", refused.value.field) == path.removesuffix("[]")


@pytest.mark.parametrize("path", CHANGES_NO_PLAN)
def test_a_key_that_changes_no_plan_has_tests_of_what_it_is_for(path: str) -> None:
    assert CHANGES_NO_PLAN[path]
    assert [named for named in CHANGES_NO_PLAN[path] if not exists(named)] == []


def holds(case: dict[str, Any]) -> bool:
    """Whether the answer is what the case expects."""
    expected = case["expect"]
    try:
        answer = schedule_to_json(optimise(problem_from_json(case["problem"])))
    except InvalidProblemError as refused:
        error = expected.get("error", {"field": None})
        return bool(refused.field == error["field"] and error["contains"] in str(refused))
    return "error" not in expected and not differences(expected, answer, "schedule")


def changed(document: Any, path: list[str], *, required: bool) -> bool:
    """Leave the key out wherever it stands, or give it another value where it is required; whether it was there."""
    (part, *below) = path
    key = part.removesuffix("[]")
    if key not in document:
        return False
    if below:
        places = document[key] if part.endswith("[]") else [document[key]]
        found = [changed(place, below, required=required) for place in places]  # all of them, not only the first
        return any(found)
    if required:
        document[key] = another(document[key])
    else:
        del document[key]
    return True


def another(value: Any) -> Any:
    """Half of a number, an hour before a moment, one name for all, nothing in place of something."""
    match value:
        case int() | float():
            return value / 2 if value else 1.0
        case [int() | float(), *_]:
            return [one / 2 for one in value]
        case str():
            try:
                return (datetime.fromisoformat(value) - timedelta(hours=1)).isoformat()
            except ValueError:
                return "another"
        case list():
            return []
    return {}
